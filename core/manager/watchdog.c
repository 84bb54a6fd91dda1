#include "manager/watchdog.h"

#include <inttypes.h>
#include <signal.h>

#include "manager/manager.h"
#include "manager/process_parts.h"

#define PAUSE_FIRST_MS 1 /* time to hear of it in the ordinary way */
#define PAUSE_MAX_MS 20  /* between two looks at what runs */
#define PAUSE_REST_MS 250 /* the same where nothing is to be done: it waits, or is spared */

static struct process *process_of(struct watchdog *w)
{
    return list_entry(w, struct process, watchdog);
}

static void look_later(struct watchdog *w, uint32_t ms)
{
    struct process *p = process_of(w);

    /* Without memory for it the next call that is given up tries again. */
    (void)timer_arm(p->manager->reactor, &w->timer, ms, false);
}

static void slow_down(struct watchdog *w, uint32_t max_ms)
{
    w->pause_ms = w->pause_ms * 2 < max_ms ? w->pause_ms * 2 : max_ms;
}

/* ---- asking ---- */

/* The worker compares it with what runs when the signal comes. The number is not used again before
 * the call has been answered, so it is of no later call. */
static uint32_t unwanted(const struct process *p, uint32_t running)
{
    if (running != 0 && peer_gave_up(&p->data, running - 1)) {
        return running;
    }
    return peer_gave_up(&p->data, p->watchdog.id) ? p->watchdog.id + 1 : 0;
}

static void ask(struct process *p)
{
    struct status_interrupt *i = &p->status->interrupt;

    status_store(i->unwanted, unwanted(p, status_load(i->running)));
    atomic_store_explicit(&i->asked, status_load(i->asked) + 1, memory_order_release);
    (void)process_kill(p, SIGURG);
}

/* How long what runs has been overdue, by the answer to the last question; 0 when it is not. False
 * when there is none yet. */
static bool answer(const struct process *p, uint64_t *overdue_ns)
{
    const struct status_interrupt *i = &p->status->interrupt;
    uint32_t asked = status_load(i->asked);

    if (asked == 0 || atomic_load_explicit(&i->answered, memory_order_acquire) != asked) {
        return false;
    }
    *overdue_ns = status_load(i->overdue_ns);
    return true;
}

/* ---- deciding ---- */

static void kill_it(struct process *p, uint64_t overdue_ns)
{
    char name[STATUS_NAME];

    fail(&p->last_error, TITAN_E_WORKER_LOST,
         "did not give way %" PRIu64 " ms after the time of `%s` was over (stuck in C code?) and was "
         "killed",
         overdue_ns / 1000000u,
         status_method_name(p->status, status_load(p->status->running_method), name));
    process_enter_killed(p);
}

/* Twice, with a moment in between: what gives way in the end is not killed for an answer of then. */
static void judge(struct process *p, uint64_t overdue_ns)
{
    struct watchdog *w = &p->watchdog;

    if (overdue_ns < (uint64_t)p->manager->interrupt_grace_ms * 1000000u) {
        w->sure = false;
        slow_down(w, PAUSE_MAX_MS);
    } else if (!w->sure) {
        w->sure = true;
        w->pause_ms = PAUSE_FIRST_MS;
    } else {
        kill_it(p, overdue_ns);
    }
}

/* As long as it runs, and no other call is given up: that may be its own. */
static bool is_spared(const struct watchdog *w, uint64_t started_ns)
{
    return started_ns != 0 && w->spared_ns == started_ns && w->spared_overdue == w->overdue;
}

/* The answer was that what ran is within its time. Where it is a call that was given up the worker
 * was asked about another, and is asked again. */
static void spare(struct process *p, uint64_t started_ns)
{
    struct watchdog *w = &p->watchdog;
    uint32_t running = status_load(p->status->interrupt.running);

    if (w->asked_ns == started_ns && (running == 0 || !peer_gave_up(&p->data, running - 1))) {
        w->spared_ns = started_ns;
        w->spared_overdue = w->overdue;
    }
}

/* Something is on the CPU. */
static void look_at_running(struct process *p)
{
    struct watchdog *w = &p->watchdog;
    uint64_t started_ns = status_load(p->status->running_started_ns);
    uint64_t overdue_ns;

    if (!is_spared(w, started_ns) && answer(p, &overdue_ns)) {
        judge(p, overdue_ns);
        if (overdue_ns == 0) {
            spare(p, started_ns);
        }
    }
    if (is_spared(w, started_ns)) {
        slow_down(w, PAUSE_REST_MS);
    } else if (p->state != PROCESS_KILLED) {
        w->asked_ns = started_ns;
        ask(p);
    }
}

static bool is_watched(const struct process *p)
{
    return (p->state == PROCESS_RUNNING || p->state == PROCESS_STOPPING) && p->status != NULL &&
           p->data.given_up > 0;
}

static void look(struct timer *t)
{
    struct process *p = list_entry(t, struct process, watchdog.timer);
    struct watchdog *w = &p->watchdog;

    if (!is_watched(p)) {
        return;
    }
    if (status_load(p->status->running_method) == STATUS_NO_METHOD) {
        w->sure = false;
        slow_down(w, PAUSE_REST_MS);
    } else {
        look_at_running(p);
    }
    if (is_watched(p)) {
        look_later(w, w->pause_ms);
    }
}

/* ---- life ---- */

/* Those that come in the same moment are looked at together. */
static void gave_up(struct peer *peer, uint32_t id)
{
    struct process *p = list_entry(peer, struct process, data);
    struct watchdog *w = &p->watchdog;

    w->overdue++;
    w->id = id;
    if (!is_watched(p)) {
        return;
    }
    if (timer_left_ms(p->manager->reactor, &w->timer) > PAUSE_FIRST_MS) {
        w->pause_ms = PAUSE_FIRST_MS;
        look_later(w, PAUSE_FIRST_MS);
    }
}

void watchdog_init(struct process *p)
{
    p->watchdog.timer.fire = look;
}

void watchdog_watch(struct process *p)
{
    p->data.gave_up = gave_up;
}

void watchdog_stop(struct process *p)
{
    timer_disarm(p->manager->reactor, &p->watchdog.timer);
    p->watchdog = (struct watchdog){.timer.fire = look};
}
