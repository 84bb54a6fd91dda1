/*
 * A worker on a thread of its manager's process: on one of its own, or, as a unit of a scheduler
 * (sched.h), by turns with others on a few.
 *
 * The struct is shared by the manager and the thread, and freed by the last of them: a thread that
 * is stuck in C code can be given up, and goes on until it notices. Of the manager's side only its
 * own thread may be used.
 *
 *     thread_start --> the guest serves --> `ended` at the manager --> thread_join
 *         thread_kill: it ends as soon as it can; thread_give_up: nobody waits for that any more
 */
#ifndef TITAN_SPAWN_THREAD_H
#define TITAN_SPAWN_THREAD_H

#include <semaphore.h>

#include "base/errors.h"
#include "spawn/crew.h"
#include "spawn/directory.h"
#include "spawn/sched.h"
#include "spawn/stock.h"
#include "worker/worker.h"

struct thread;

/* Whoever implements the worker (script/ does it in Lua). It ends as soon as it can once
 * thread_is_dying. */
struct thread_guest {
    /* On a thread of its own: opens t->links on a reactor that takes t->mail, serves until its end,
     * returns the exit code. */
    int (*run)(struct thread *t);
    /* By turns: does what there is to do. Returns when it wants the next turn: 0 at once, else a
     * time in ms (CLOCK_MONOTONIC), UINT64_MAX when mail comes; after the last THREAD_ENDED, with
     * t->exit_code set. */
    uint64_t (*turn)(struct thread *t, struct sched_thread *on);
    /* Another worker of this process wants to call it: end 1 is its to open or abandon. On its own
     * thread, also after its end. */
    void (*visited)(struct thread *t, struct inproc_link *link);
    const struct stock_ops *stock; /* what can be made ahead for it; or NULL */
};

#define THREAD_ENDED (UINT64_MAX - 1)

/* What a thread says of its end to those that called it, beside an exit code. */
#define PARTING_NONE (-1)
#define PARTING_ORDERLY (-2) /* it was stopped, and had nothing left to do */

// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): in order of who it belongs to
struct thread {
    atomic_uint holders;
    const struct thread_guest *guest;
    struct worker_links links;
    struct buf boot;      /* for the guest */
    uint32_t spin_us;     /* of its reactor, if it has a thread of its own */
    struct mailbox *mail; /* the thread's own */
    struct mailbox *to;   /* the manager's */
    struct post over;     /* tells the manager of the end */
    struct post dying;    /* tells the thread to end */
    atomic_bool is_dying;
    sem_t has_ended;
    int exit_code;               /* once it has */
    struct worker *worker;       /* the thread's, while it serves */
    void *state;                 /* the guest's own; NULL before its first turn */
    struct directory *directory; /* held: whom it can call directly */
    struct stock *stock;         /* held; or NULL */
    atomic_uint entry;           /* the number of its own entry there */
    atomic_int parting;          /* the guest's to set, before it closes its visitors' links */
    /* With a thread of its own: */
    struct crew *crew; /* held; or NULL */
    struct crew_job job;
    bool is_traceless; /* the guest's to set: the native thread is as it was found */
    /* By turns: */
    bool by_turns;
    struct unit unit;
    struct mailbox turns; /* whose posts lead to a turn */
    uint64_t due_ms;
    atomic_bool is_overdue; /* its turn has gone on for a slice; then SIGURG came */
    /* For the manager, whose loop goes on until it is told: */
    struct reactor *reactor; /* NULL: it waits no more */
    void (*ended)(struct thread *t);
    void *owner;
};

/* The manager's end of a worker's links, and its page. */
struct thread_ends {
    struct inproc_link *data, *control; /* end 0 is the caller's to open or abandon */
    struct status_page *status;         /* the thread's; there as long as the thread is held */
};

struct thread_spec {
    const struct thread_guest *guest;
    struct sched *sched; /* by turns; NULL: on a thread of its own */
    struct reactor *r;   /* the manager's, which has a mailbox: `ended` is called in its turns */
    struct directory *directory;
    struct stock *stock; /* or NULL */
    struct crew *crew;   /* whose native threads it is to have, if not by turns; or NULL */
    struct span boot;    /* the guest's business; copied */
    uint32_t spin_us;    /* see reactor_spin; by turns it is the scheduler's */
    void (*ended)(struct thread *t);
    void *owner;
};

/* Starts one, which the caller then holds. NULL, and the error. */
struct thread *thread_start(const struct thread_spec *spec, struct thread_ends *ends,
                            struct failure *why);

/* It is to end now: its loop does so at once, its Lua code at the next instruction, C code when it
 * returns. */
void thread_kill(struct thread *t);

/* For sched_options: the turns of such threads give way. */
void thread_overdue(void *ctx, struct unit *u, struct sched_thread *on, uint64_t run);

/* What runs on it is to look at what it is asked (script/interrupt.h): at once if it has a thread
 * of its own, else at the end of its slice. */
void thread_interrupt(struct thread *t);

/* Waits for its end for so long, and `ended` is not called any more. False: it goes on. */
bool thread_await(struct thread *t, uint32_t timeout_ms);

/* Once it has ended: its last instructions are over. Returns the exit code. */
int thread_join(struct thread *t);

/* In place of thread_join: nobody waits for its end, and `ended` is not called. */
void thread_give_up(struct thread *t);

void thread_hold(struct thread *t);
void thread_release(struct thread **held);

/* ---- for its neighbours ---- */

/* Brings it a link whose end 1 is its to open. False when memory is out or it has ended: then that
 * end is still the caller's. Any thread that holds it. */
bool thread_visit(struct thread *t, struct inproc_link *link);

/* Whether the entry that directory_find gave is still there. */
static inline bool thread_is_entered(struct thread *t, unsigned entry)
{
    return atomic_load_explicit(&t->entry, memory_order_relaxed) == entry;
}

/* ---- for the guest ---- */

static inline bool thread_is_dying(struct thread *t)
{
    return atomic_load_explicit(&t->is_dying, memory_order_relaxed);
}

#endif
