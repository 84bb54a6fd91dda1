/*
 * A worker on a thread of its manager's process.
 *
 * The struct is shared by the manager and the thread, and freed by the last of them: a thread that
 * is stuck in C code can be given up, and goes on until it notices. Of the manager's side only its
 * own thread may be used.
 *
 *     thread_start --> the guest runs --> `ended` at the manager --> thread_join
 *         thread_kill: it ends as soon as it can; thread_give_up: nobody waits for that any more
 */
#ifndef TITAN_SPAWN_THREAD_H
#define TITAN_SPAWN_THREAD_H

#include <pthread.h>

#include "base/errors.h"
#include "worker/worker.h"

struct thread;

/* Whoever implements the worker (script/ does it in Lua). */
struct thread_guest {
    /* On the thread: opens t->links on a reactor that takes t->mail, serves until its end, returns
     * the exit code. Looks at thread_is_dying at every chance. */
    int (*run)(void *ctx, struct thread *t);
    void *ctx; /* the same for all threads; read only */
};

struct thread {
    atomic_uint holders;
    pthread_t id;
    _Atomic int32_t tid;  /* of the kernel; 0 until it runs */
    struct mailbox *mail; /* the thread's own */
    struct mailbox *to;   /* the manager's */
    struct post over;     /* tells the manager of the end */
    struct post dying;    /* tells the thread to end */
    atomic_bool is_dying;
    int exit_code; /* once it is over */
    struct worker_links links;
    struct buf boot; /* for the guest */
    const struct thread_guest *guest;
    struct worker *worker; /* the thread's own, while it serves */
    /* For the manager: what it is told, on its thread, and whose loop goes on until then. */
    struct reactor *reactor; /* NULL: it waits no more */
    void (*ended)(struct thread *t);
    void *owner;
};

/* The manager's end of a worker's links, and its page. */
struct thread_ends {
    struct inproc_link *data, *control; /* end 0 is the caller's to open or abandon */
    struct status_page *status;         /* the thread's; there as long as the thread is held */
};

/* Starts a thread whose news come to the mailbox of `r`, which must have one; `boot`, the guest's
 * business, is copied. The caller holds it. NULL, and the error. */
struct thread *thread_start(struct reactor *r, const struct thread_guest *guest, struct span boot,
                            struct thread_ends *ends, void (*ended)(struct thread *t), void *owner,
                            struct failure *why);

/* It is to end now: its loop does so at once, its Lua code at the next instruction, C code when it
 * returns. */
void thread_kill(struct thread *t);

/* After `ended`: waits for its last instructions. Returns the exit code. */
int thread_join(struct thread *t);

/* Waits for its end for so long. False: it goes on. Then, and after thread_give_up, `ended` is not
 * called any more. */
bool thread_await(struct thread *t, uint32_t timeout_ms);
void thread_give_up(struct thread *t);

void thread_release(struct thread **t);

/* ---- for the guest ---- */

static inline bool thread_is_dying(struct thread *t)
{
    return atomic_load_explicit(&t->is_dying, memory_order_relaxed);
}

#endif
