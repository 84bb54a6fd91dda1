/* The liveness sweep: the kernel is asked about every process, in case that an exit went unnoticed.
 * It has been told twice by then (the pidfd, the connections), so this should never find anything;
 * what it finds is treated as any other exit. */
#include "manager/manager.h"
#include "manager/process_parts.h"

/* One that this sweep has not looked at yet and that is dead. What its end does to others is not
 * known here, so the search begins anew after each. */
static struct process *find_dead(struct manager *m)
{
    for (struct list *l = m->processes.next; l != &m->processes; l = l->next) {
        struct process *p = list_entry(l, struct process, link);

        if (p->swept != m->sweeps) {
            p->swept = m->sweeps;
            if (p->pidfd >= 0 && process_has_exited(p->pidfd) == 1) {
                return p;
            }
            process_limits_sweep(p);
        }
    }
    return NULL;
}

static void sweep(struct timer *t)
{
    struct manager *m = list_entry(t, struct manager, sweep);
    struct process *p;

    m->sweeps++;
    spare_reap(m, false);
    while (!m->closing && (p = find_dead(m)) != NULL) {
        process_dispatch(p, EVENT_EXITED);
    }
    if (!m->closing) {
        (void)manager_sweep_later(m); /* its node is in the heap's memory already */
    }
}

bool manager_sweep_later(struct manager *m)
{
    m->sweep.fire = sweep;
    return timer_arm(m->reactor, &m->sweep, m->sweep_interval_ms, false);
}
