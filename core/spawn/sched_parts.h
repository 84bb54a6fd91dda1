/*
 * What the parts of the scheduler share: sched.c opens and closes it and wakes units,
 * sched_thread.c is what a thread does, sched_watch.c the watchdog.
 *
 * How a thread goes to sleep so that no wake is lost: it says that it is asleep, looks once more
 * into its inboxes, and sleeps if there is nothing. Who puts something into an inbox
 * looks afterwards whether the thread is asleep, and if so rings its bell. All four are
 * sequentially consistent, so at least one of the two sees what the other did (Dekker).
 */
#ifndef TITAN_SPAWN_SCHED_PARTS_H
#define TITAN_SPAWN_SCHED_PARTS_H

#include "base/random.h"
#include "spawn/sched_queue.h"

#define NEVER UINT64_MAX

/* What is in unit.state. A unit that is woken and does not run is queued. All that changes it are
 * read-modify-writes with acquire and release, so that what was written before any of the wakes is
 * seen by the run after them; this is why waking a queued unit is no mere look. */
#define UNIT_WOKEN 1
#define UNIT_RUNS 2
#define UNIT_OVER 4

enum { AWAKE, ASLEEP, SENT }; /* sent: woken to look for work elsewhere */

#define RUN_CLAIMED ((uint64_t)1 << 63)

// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): in order of who writes it
struct sched_thread {
    /* Everyone's. */
    struct run_queue queue;
    alignas(CACHE_LINE) struct inbox inbox;
    struct inbox pinned_inbox; /* nobody steals from this one */
    _Atomic(int) sleep;
    int bell; /* eventfd(2) */

    /* The thread's; read by others. */
    alignas(CACHE_LINE) _Atomic(uint64_t) run; /* odd: on `unit`; RUN_CLAIMED: the watchdog's */
    _Atomic(struct unit *) unit;
    _Atomic(uint64_t) runs, steals, pinned_len;

    /* Of idle units whose last run was here. Whoever wakes one takes it out. */
    uv_mutex_t due_mutex;
    struct heap due;
    _Atomic(uint64_t) first_due_ns; /* changed with the mutex held; only the thread makes it less */

    /* The thread's alone. */
    struct sched *sched;
    unsigned index;
    unsigned tick;
    bool sent;                         /* is the one that s->searching stands for */
    struct unit *pinned, *last_pinned; /* the queue of the pinned */
    struct random random;
    struct spin spin;
    uv_loop_t loop;
    uv_async_t keeper; /* never sent: a loop without handles would not let the thread sleep */
    struct reactor reactor;
    uv_thread_t thread;

    uint64_t seen_run; /* the watchdog's */
};

struct watchdog {
    uv_thread_t thread;
    uv_mutex_t mutex; /* held while a run is claimed */
    uv_cond_t changed;
    atomic_bool parked;
    bool stop;
};

struct sched {
    struct sched_options options;
    uint64_t slice_ns;
    unsigned count;
    pthread_key_t self; /* the struct sched_thread of a thread */
    atomic_bool stop;
    _Atomic(unsigned) next_home;
    alignas(CACHE_LINE) _Atomic(uint64_t) units;
    alignas(CACHE_LINE) _Atomic(unsigned) sleepers;
    atomic_bool searching; /* a thread has been woken to look for work, and has not yet looked */
    /* Whose queue waits behind a long run, its index + 1, for a thread that has work of its own and
     * so never looks by itself; 0: nobody's. */
    _Atomic(unsigned) behind;
    struct watchdog watchdog;
    struct sched_thread threads[];
};

/* ---- sched.c ---- */

/* Queues a unit that the caller holds, in state UNIT_WOKEN; `self` is the calling thread or NULL.
 */
void sched_queue_unit(struct unit *u, struct sched_thread *self);

/* Wakes the thread if it is asleep; false if it was not. */
bool sched_rouse(struct sched_thread *t, int why);

/* There is more to do than the thread that has it can do at once: wakes another, if one sleeps and
 * none is on its way. */
void sched_send_one(struct sched *s);

/* ---- sched_thread.c ---- */

void sched_thread_main(void *arg);

/* Queues what is due of `t`: by itself, or, when it is on a long run, by the watchdog (self NULL).
 */
void sched_queue_due(struct sched_thread *t, struct sched_thread *self);

/* Takes an idle unit that has just been woken out of its thread's heap. */
void sched_disarm(struct unit *u);

/* ---- sched_watch.c ---- */

int sched_watch_start(struct sched *s);
void sched_watch_stop(struct sched *s);

/* A thread that has got up may be the first that does. */
void sched_watch_thread_is_up(struct sched *s);

/* Says on whom to have an eye; nothing else of `u` may happen between watch_end and the next
 * begin that the watchdog's callback must not see. */
void watch_begin(struct sched_thread *t, struct unit *u);
void watch_end(struct sched_thread *t);

#endif
