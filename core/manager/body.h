/*
 * What a process lives in: a process of the system's own, forked by the zygote, a thread of the
 * manager's, or a share of some. One interface; the state machine (process_states.c) knows no
 * difference.
 */
#ifndef TITAN_MANAGER_BODY_H
#define TITAN_MANAGER_BODY_H

#include <stdbool.h>

struct process;

struct body {
    const char *isolation, *transport;
    bool by_zygote; /* it has to wait for the zygote */
    /* In PENDING: makes one, sends it the start, and goes to FORKING. Then EVENT_FORKED comes, or
     * EVENT_FORK_FAILED with the error in last_error. */
    void (*begin)(struct process *p);
    /* Ends it, and all that it has started, as soon as can be; nothing when there is none. */
    void (*kill)(struct process *p);
    /* Another signal. 0, -ESRCH, or -ENOTSUP when it is nothing that takes signals. */
    int (*signal)(struct process *p, int signal);
    /* Takes the exit of what was killed or has ended; does nothing without one. */
    void (*reap)(struct process *p);
    /* Whether it is there: begun and not reaped. */
    bool (*exists)(const struct process *p);
    /* The same page, as long as somebody reads it. Sets p->status to NULL. */
    void (*forget)(struct process *p);
};

extern const struct body body_process; /* process_fork.c */
extern const struct body body_worker;  /* process_thread.c: a thread of its own */
extern const struct body body_thread;  /* the same file: by turns with others on a few */

#endif
