/*
 * Many units of work over a few native threads (M:N), with work stealing.
 *
 * A unit is something that has work now and then: it is woken, runs on one of the threads, says
 * whether it has more to do, and is left alone until it is woken again or its time has come. It
 * never runs twice at a time. Each thread has a queue, first come, first served; one that has
 * nothing left takes half of another's (Blumofe, Leiserson: Scheduling Multithreaded Computations
 * by Work Stealing, 1999), and sleeps in its loop when there is nothing to take.
 *
 * What is promised:
 *   - Each wake leads to a run that begins after it and sees everything that was written before it.
 *     Several wakes may share that run. A unit may also run without having been woken.
 *   - A unit that always has more to do goes to the end of the queue: all others come before it,
 *     and so do the thread's loop and what is due.
 *   - A pinned unit runs on its thread only.
 *   - A unit may find itself queued behind one that runs on for long. Another thread takes it from
 *     there, at once when it has nothing else to do and after two slices at the latest, and so it
 *     is with what becomes due; but nobody can take a pinned unit.
 */
#ifndef TITAN_SPAWN_SCHED_H
#define TITAN_SPAWN_SCHED_H

#include <pthread.h>
#include <stdatomic.h>

#include "transport/reactor.h"

#define SCHED_THREADS_MAX 256

struct sched;
struct sched_thread;
struct unit;

/* ---- life ---- */

struct sched_options {
    unsigned threads;  /* 1 .. SCHED_THREADS_MAX; 0: as many as there are processors for us */
    unsigned slice_us; /* what a run should take at the most; 0: 5000 */
    unsigned spin_us;  /* how long a thread looks for work before it sleeps, at the most */

    /*
     * The run `run` of `u` on thread `on` takes longer than a slice: called between one and two
     * slices after its beginning and after each further slice, on a thread of its own. May be NULL.
     * Must be short and must neither wait for `on` nor close the scheduler.
     *
     * `u` lives and belongs to `on` until this returns. But its run may be returning just now, so
     * that a signal sent to the thread can reach it in the next unit's run: the signal only means
     * "look", and its receiver compares sched_thread_run(on) with what was meant.
     */
    void (*overdue)(void *ctx, struct unit *u, struct sched_thread *on, uint64_t run);
    void *ctx;
};

/*
 * NULL when memory, descriptors or threads are out, or there are to be too many threads.
 *
 * The threads block all signals but SIGURG, which is for interrupting them, and those that a fault
 * of theirs raises.
 */
struct sched *sched_open(const struct sched_options *options);

/* Ends the threads, on none of which it may be called. Every unit must have ended; what they had in
 * a thread's loop must be closed or closing. */
void sched_close(struct sched *s);

/* ---- units ---- */

enum unit_next {
    UNIT_IDLE,  /* nothing to do until it is woken or due */
    UNIT_AGAIN, /* has more to do: to the end of the queue */
    UNIT_ENDED, /* never runs again */
};

struct unit_ops {
    enum unit_next (*run)(struct unit *u, struct sched_thread *on);
    /* Once, after the run that returned UNIT_ENDED; the scheduler has forgotten the unit. */
    void (*ended)(struct unit *u, struct sched_thread *on);
};

/* Lives inside its owner, which keeps it until it has ended, and wakes it no more after that. All
 * but `state` belongs to whoever holds the unit: the thread that it runs on, the queue that it is
 * in, and while it is idle the one that wakes it. */
struct unit {
    const struct unit_ops *ops;
    struct sched *sched;
    struct unit *next;      /* in an inbox, or in the queue of the pinned */
    struct heap_node due;   /* its key holds from one run to the next */
    _Atomic(uint8_t) state; /* UNIT_WOKEN | UNIT_RUNS | UNIT_OVER; idle while none is set */
    bool pinned;
    bool timed;    /* went idle with a time that is due */
    uint16_t home; /* the thread it has last run on; its `due` is in that one's heap */
};

/* Idle; runs for the first time when it is woken. `home`: the thread to begin on, or -1 for each in
 * turn. From any thread. */
void unit_init(struct unit *u, struct sched *s, const struct unit_ops *ops, int home);

/*
 * From any thread, but not from a signal handler. Costs one atomic operation when the unit runs or
 * is queued already. If it is idle, it is queued on the caller's own thread if that is one of the
 * scheduler's, otherwise, or if it is pinned, on the thread that it has last run on. Takes no lock,
 * but when the unit has a time that is due: that is taken out of its thread's heap.
 */
void unit_wake(struct unit *u);

/* ---- from within run() ---- */

/* It shall run at this time (now_ns of base/clock.h) if it is idle then, even if nobody wakes it;
 * late by what is queued before it. Holds until then, however often the unit runs
 * in between; a new time takes the place of the old one, UINT64_MAX means none. */
void unit_due(struct unit *u, uint64_t due_ns);

/* From now on it runs on this thread only: it has something in this thread's loop. Before the first
 * wake: on its home. */
void unit_pin(struct unit *u);

/* ---- threads ---- */

unsigned sched_thread_count(const struct sched *s);

/* The calling thread, if it is one of this scheduler's, otherwise NULL. */
struct sched_thread *sched_thread_self(const struct sched *s);

struct sched_thread *sched_thread_at(struct sched *s, unsigned index);
unsigned sched_thread_index(const struct sched_thread *t);
pthread_t sched_thread_id(const struct sched_thread *t);

/* The number of the run that is on: odd; even while none is. Safe in a signal handler on `t`. */
uint64_t sched_thread_run(const struct sched_thread *t);

/* For pinned units, from within their runs and the loop's callbacks. The loop has a turn after some
 * runs, or a slice. */
uv_loop_t *sched_thread_loop(struct sched_thread *t);
struct reactor *sched_thread_reactor(struct sched_thread *t);

/* Around what a callback of the loop does for a pinned unit: counts as a run of it, which can be
 * overdue. The unit's run() is not called meanwhile, since it has this thread only. */
void unit_enter(struct unit *u, struct sched_thread *t);
void unit_leave(struct unit *u, struct sched_thread *t);

/* ---- figures ---- */

struct sched_stats {
    uint64_t runs;
    uint64_t steals; /* units taken from other threads */
    uint64_t queued; /* now, without what has just been woken from elsewhere */
};

/* Of one thread, from any. */
void sched_thread_stats(const struct sched_thread *t, struct sched_stats *stats);

uint64_t sched_units(const struct sched *s); /* that have not ended */

#endif
