/*
 * The watchdog looks at all threads once a slice. Who is on the same run at two looks is overdue,
 * so that a run costs no look at the clock. While all threads sleep, so does the watchdog, without
 * end; the first one that gets up wakes it.
 *
 * A run that is to be reported is claimed first: its thread, when it comes to the end of the run,
 * waits until the report is over. So the unit is still there.
 */
#include <signal.h>

#include "spawn/sched_parts.h"

/* ---- the threads' side ---- */

void watch_begin(struct sched_thread *t, struct unit *u)
{
    uint64_t run = atomic_load_explicit(&t->run, memory_order_relaxed);

    atomic_store_explicit(&t->unit, u, memory_order_relaxed);
    atomic_store_explicit(&t->run, run + 1, memory_order_release);
}

void watch_end(struct sched_thread *t)
{
    struct watchdog *w = &t->sched->watchdog;
    uint64_t run = atomic_load_explicit(&t->run, memory_order_relaxed) & ~RUN_CLAIMED;
    uint64_t expected = run;

    while (!atomic_compare_exchange_strong_explicit(&t->run, &expected, run + 1,
                                                    memory_order_acq_rel, memory_order_relaxed)) {
        uv_mutex_lock(&w->mutex);
        uv_mutex_unlock(&w->mutex);
        expected = run;
    }
}

/* Sequentially consistent with `sleep`, which the caller has just changed: see is_quiet. */
void sched_watch_thread_is_up(struct sched *s)
{
    struct watchdog *w = &s->watchdog;

    if (atomic_load(&w->parked)) {
        uv_mutex_lock(&w->mutex);
        atomic_store(&w->parked, false);
        uv_cond_signal(&w->changed);
        uv_mutex_unlock(&w->mutex);
    }
}

/* ---- the watchdog's ---- */

static void report(struct sched *s, struct sched_thread *t, uint64_t run)
{
    uint64_t expected = run;

    if (!atomic_compare_exchange_strong_explicit(&t->run, &expected, run | RUN_CLAIMED,
                                                 memory_order_acq_rel, memory_order_relaxed)) {
        return;
    }
    s->options.overdue(s->options.ctx, atomic_load_explicit(&t->unit, memory_order_relaxed), t,
                       run);
    atomic_store_explicit(&t->run, run, memory_order_release);
}

/* What waits behind a long run, and what becomes due meanwhile, gets another thread, if there is
 * one.
 */
static void look_at(struct sched *s, struct sched_thread *t)
{
    uint64_t run = atomic_load_explicit(&t->run, memory_order_acquire);
    bool same = run == t->seen_run;

    t->seen_run = run;
    if (!same || run % 2 == 0) {
        return;
    }
    if (atomic_load_explicit(&t->first_due_ns, memory_order_relaxed) != NEVER) {
        sched_queue_due(t, NULL);
    }
    if (run_queue_len(&t->queue) > 0 || !inbox_empty(&t->inbox)) {
        sched_send_one(s);
        atomic_store_explicit(&s->behind, t->index + 1, memory_order_relaxed);
    }
    if (s->options.overdue != NULL) {
        report(s, t, run);
    }
}

static bool is_quiet(struct sched *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        if (atomic_load(&s->threads[i].sleep) != ASLEEP) {
            return false;
        }
    }
    return true;
}

/* Says that it is parked before it looks, as the threads get up before they look whether it is. */
static void park_while_quiet(struct sched *s)
{
    struct watchdog *w = &s->watchdog;

    if (!is_quiet(s)) {
        return;
    }
    atomic_store(&w->parked, true);
    if (!is_quiet(s)) {
        atomic_store(&w->parked, false);
    }
    while (atomic_load(&w->parked) && !w->stop) {
        uv_cond_wait(&w->changed, &w->mutex);
    }
}

static void watch(void *arg)
{
    struct sched *s = arg;
    struct watchdog *w = &s->watchdog;

    uv_mutex_lock(&w->mutex);
    while (!w->stop) {
        park_while_quiet(s);
        if (w->stop || uv_cond_timedwait(&w->changed, &w->mutex, s->slice_ns) == 0) {
            continue; /* told to stop, or woken for nothing */
        }
        for (unsigned i = 0; i < s->count; i++) {
            look_at(s, &s->threads[i]);
        }
    }
    uv_mutex_unlock(&w->mutex);
}

/* ---- life ---- */

int sched_watch_start(struct sched *s)
{
    struct watchdog *w = &s->watchdog;
    sigset_t all, before;
    int error;

    if (uv_mutex_init(&w->mutex) < 0) {
        return -1;
    }
    if (uv_cond_init(&w->changed) < 0) {
        uv_mutex_destroy(&w->mutex);
        return -1;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = uv_thread_create(&w->thread, watch, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error < 0) {
        uv_cond_destroy(&w->changed);
        uv_mutex_destroy(&w->mutex);
    }
    return error;
}

void sched_watch_stop(struct sched *s)
{
    struct watchdog *w = &s->watchdog;

    uv_mutex_lock(&w->mutex);
    w->stop = true;
    uv_cond_signal(&w->changed);
    uv_mutex_unlock(&w->mutex);
    uv_thread_join(&w->thread);
    uv_cond_destroy(&w->changed);
    uv_mutex_destroy(&w->mutex);
}
