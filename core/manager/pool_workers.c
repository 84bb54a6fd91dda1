/* A pool's workers, one at a time: birth, life and end, as their processes and the host report
 * them. Here states are noted; what follows for the pool is seen to at the end of the turn. */
#include <stdlib.h>

#include "manager/pool_parts.h"

#define JITTER 0.1 /* recycle_after and max_lifetime are cut by up to this share */

void pool_worker_open(struct pool_worker *w, bool open)
{
    struct pool *p = w->pool;

    open = open && w->seated && w->state == POOL_WORKER_UP && !w->shunned &&
           w->active < p->options.max_concurrency && w->process->state == PROCESS_RUNNING;
    if (open != w->open) {
        w->open = open;
        p->open_len += open ? 1 : -1u;
        balancer_set_open(&p->balancer, &w->seat, open);
    }
}

static void leave_seat(struct pool_worker *w)
{
    pool_worker_open(w, false);
    if (w->seated) {
        w->seated = false;
        balancer_leave(&w->pool->balancer, &w->seat);
    }
}

/* ---- the end ---- */

/* Neither waits for the other any more. A replacement without somebody to replace takes the place
 * in the pool. */
void pool_worker_part(struct pool_worker *w)
{
    if (w->replacement != NULL) {
        w->replacement->replaces = NULL;
        w->replacement = NULL;
    }
    if (w->replaces != NULL) {
        w->replaces->replacement = NULL;
        w->replaces = NULL;
    }
}

static void gone(struct pool_worker *w)
{
    leave_seat(w);
    w->state = POOL_WORKER_GONE;
    w->process = NULL;
    pool_look(w->pool);
}

void pool_worker_free(struct pool_worker *w)
{
    list_remove(&w->link);
    free(w);
}

/* It may have no process yet: then the host's will come too late. */
void pool_worker_stop(struct pool_worker *w, uint32_t timeout_ms)
{
    if (w->state == POOL_WORKER_GONE) {
        return;
    }
    leave_seat(w);
    w->state = POOL_WORKER_RETIRING;
    w->stop_sent = true;
    if (w->process == NULL) {
        gone(w);
    } else {
        process_stop(w->process, timeout_ms);
    }
}

void pool_worker_retire(struct pool_worker *w)
{
    if (w->state >= POOL_WORKER_RETIRING) {
        return;
    }
    if (w->replacement != NULL) {
        struct pool_worker *replacement = w->replacement;

        pool_worker_part(w);
        pool_worker_retire(replacement);
    }
    pool_worker_part(w);
    leave_seat(w);
    w->state = POOL_WORKER_RETIRING;
    w->pool->unsettled = true;
    pool_look(w->pool);
}

/* ---- what its process does ---- */

static uint64_t cut(struct pool *p, uint64_t limit)
{
    uint64_t less = (uint64_t)((double)limit * JITTER * random_unit(&p->manager->random));

    return limit - less;
}

static uint32_t weight_of(const struct pool_worker *w)
{
    const struct pool_options *o = &w->pool->options;

    return w->slot <= o->weights_len ? o->weights[w->slot - 1] : 1;
}

static void come_up(struct pool_worker *w)
{
    struct pool *p = w->pool;
    struct pool_worker *old = w->replaces;

    w->state = POOL_WORKER_UP;
    w->was_up = true;
    w->calls = 0;
    w->call_limit = p->options.recycle_after > 0 ? cut(p, p->options.recycle_after) : UINT64_MAX;
    w->lifetime_ms = (uint32_t)cut(p, p->options.max_lifetime_ms);
    w->born_ms = pool_now_ms(p);
    w->last_used_ms = w->born_ms;
    w->due = NULL;
    w->shunned = false;
    w->warned = false;
    if (!w->seated) {
        w->seated = balancer_join(&p->balancer, &w->seat, weight_of(w), w->slot);
    }
    if (!w->seated) {
        fail(&w->why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
        w->gave_up = true;
        pool_worker_stop(w, 0);
        return;
    }
    if (old != NULL) {
        pool_worker_part(w);
        if (old->shunned) {
            pool_worker_stop(old, p->options.stop_timeout_ms);
        } else {
            pool_worker_retire(old);
        }
    }
    if (p->reload_at == w) {
        p->reload_at = NULL;
    }
    pool_worker_open(w, true);
    pool_grant(p);
    pool_look(p);
}

static struct pool_worker *worker_of(struct keeper *k)
{
    return list_entry(k, struct pool_worker, keeper);
}

static void on_up(struct keeper *k, struct process *process)
{
    struct pool_worker *w = worker_of(k);

    if (w->state >= POOL_WORKER_RETIRING || process->state != PROCESS_RUNNING) {
        return; /* it was asked to stop while it started */
    }
    w->life++;
    if (w->pool->options.warms) {
        w->state = POOL_WORKER_WARMING;
        w->pool->events->warm(w->pool->ctx, w);
    } else {
        come_up(w);
    }
}

/* Whether it is to come back at all, were its policy to say yes. */
static bool comes_back(const struct pool_worker *w, const struct process *process)
{
    return w->state < POOL_WORKER_RETIRING && !process->stop_asked && w->replacement == NULL &&
           (w->was_up || (w->pool->state != POOL_STARTING && w->replaces == NULL));
}

static void note_blame(struct pool_worker *w, const struct process *process)
{
    bool waited =
        process->status == NULL || status_load(process->status->running_method) >= STATUS_TASK;

    w->blame = (waited ? POOL_BLAME_WAITING : POOL_BLAME_RUNNING) /
               (w->seat.in_flight > 0 ? w->seat.in_flight : 1);
}

static int64_t on_down(struct keeper *k, struct process *process)
{
    struct pool_worker *w = worker_of(k);
    struct pool *p = w->pool;
    int64_t wait_ms;

    pool_worker_open(w, false);
    p->unsettled = true;
    pool_look(p);
    note_blame(w, process);
    w->why = process->last_error;
    w->window_ms = process->restart.enabled ? process->restart.window_ms : 0;
    if (!comes_back(w, process)) {
        w->gave_up =
            w->state < POOL_WORKER_RETIRING && !process->stop_asked && w->replacement == NULL;
        return KEEP_NEVER;
    }
    w->state = POOL_WORKER_DOWN;
    wait_ms =
        restart_decide(&process->restart, &process->restarts, pool_now_ms(p), &p->manager->random);
    if (wait_ms == RESTART_NEVER) {
        w->gave_up = true;
        return KEEP_NEVER;
    }
    return wait_ms;
}

static void on_ended(struct keeper *k, struct process *process)
{
    (void)process;
    gone(worker_of(k));
}

static void on_health(struct keeper *k, struct process *process, enum health_verdict verdict)
{
    (void)process;
    if (verdict == HEALTH_UNHEALTHY) {
        pool_worker_unhealthy(worker_of(k));
    }
}

/* ---- what the host does ---- */

static uint32_t free_slot(const struct pool *p)
{
    for (uint32_t slot = 1;; slot++) {
        const struct list *l = p->workers.next;

        while (l != &p->workers && list_entry(l, struct pool_worker, link)->slot != slot) {
            l = l->next;
        }
        if (l == &p->workers) {
            return slot;
        }
    }
}

struct pool_worker *pool_worker_new(struct pool *p, struct pool_worker *replaces)
{
    struct pool_worker *w = calloc(1, sizeof *w);

    if (w == NULL) {
        return NULL;
    }
    w->keeper = (struct keeper){.down = on_down, .up = on_up, .ended = on_ended};
    if (p->options.replace_unhealthy) {
        w->keeper.health = on_health;
    }
    w->pool = p;
    w->number = ++p->next_number;
    w->slot = replaces ? replaces->slot : free_slot(p);
    w->generation = p->generation;
    w->replaces = replaces;
    if (replaces != NULL) {
        replaces->replacement = w;
    }
    list_push(&p->workers, &w->link);
    p->unsettled = true;
    p->events->spawn(p->ctx, w);
    return w;
}

struct pool_worker *pool_worker_numbered(struct pool *p, uint32_t number)
{
    for (struct list *l = p->workers.next; l != &p->workers; l = l->next) {
        struct pool_worker *w = list_entry(l, struct pool_worker, link);

        if (w->number == number) {
            return w;
        }
    }
    return NULL;
}

void pool_worker_spawned(struct pool_worker *w, struct process *process)
{
    w->process = process;
}

void pool_worker_failed(struct pool_worker *w, const struct failure *why)
{
    if (w->state < POOL_WORKER_RETIRING) {
        w->why = *why;
        w->gave_up = true;
        gone(w);
    }
}

/* One that cannot be warmed up has crashed: its restart policy says what follows. */
void pool_worker_warmed(struct pool_worker *w, uint32_t life, const struct failure *why)
{
    if (w->state != POOL_WORKER_WARMING || w->life != life ||
        w->process->state != PROCESS_RUNNING) {
        return;
    }
    if (why == NULL) {
        come_up(w);
        return;
    }
    if (w->process->last_error.code == TITAN_OK) {
        w->process->last_error = *why;
    }
    (void)process_kill(w->process, SIGKILL);
}

void pool_worker_unhealthy(struct pool_worker *w)
{
    if (w->state == POOL_WORKER_UP && w->pool->options.replace_unhealthy && !w->shunned) {
        w->shunned = true;
        w->due = "unhealthy";
        pool_worker_open(w, false);
        pool_look(w->pool);
    }
}

struct pool_worker *pool_worker_of(const struct process *process)
{
    return process->keeper != NULL && process->keeper->down == on_down ? worker_of(process->keeper)
                                                                       : NULL;
}

const char *pool_worker_state_name(const struct pool_worker *w)
{
    static const char *const names[] = {
        [POOL_WORKER_STARTING] = "starting",
        [POOL_WORKER_WARMING] = "warming",
        [POOL_WORKER_UP] = "up",
        [POOL_WORKER_DOWN] = "down",
        [POOL_WORKER_RETIRING] = "retiring",
        [POOL_WORKER_GONE] = "gone",
    };

    return names[w->state];
}
