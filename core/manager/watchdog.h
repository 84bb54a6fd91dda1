/*
 * What becomes of a call that was given up, at its deadline or by its caller, while its worker is
 * so busy that it does not hear of it.
 *
 * The worker's loop hears of it by itself as soon as it turns. If the call is not answered in a
 * moment and something is on the worker's CPU, the worker is asked what it is: by SIGURG, whose
 * handler looks (script/interrupt.h) and answers in the status page. A method that is within its
 * time is left alone, and not asked again. One that is overdue is interrupted there and then; when
 * it has not given way for grace_ms (it is stuck in C, or catches the error and goes on) the worker
 * is killed, which is a crash like any other.
 *
 * It never kills on suspicion: only what the worker itself has said, in the same turn of its loop,
 * for the whole of the grace. A worker that is stopped says nothing.
 *
 * There is a timer while a call that was given up is not answered, or is told of by another worker
 * and something runs; nothing else at any time.
 */
#ifndef TITAN_MANAGER_WATCHDOG_H
#define TITAN_MANAGER_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/reactor.h"

struct peer;
struct process;

/* In every process. */
struct watchdog {
    struct timer timer;       /* armed while something is overdue */
    uint32_t pause_ms;        /* until it looks again */
    uint32_t calm_ms;         /* the same the next time that there is nothing to be done, */
    uint32_t press_ms;        /* and while it does not give way */
    uint32_t id;              /* of the call that was given up last */
    uint64_t given_up;        /* how many were */
    uint64_t asked_ns;        /* the start of what ran when the worker was asked last */
    uint64_t spared_ns;       /* the start of what runs and was found to be within its time; or 0 */
    uint64_t spared_given_up; /* `given_up` at that time */
    bool waits;               /* for an answer */
    bool rests;               /* what it runs was interrupted a moment ago */
    bool sure;                /* the grace was over by the last answer */
    bool told;                /* another worker has given up a call to it (watchdog_tell) */
};

void watchdog_init(struct process *p);

/* The connection of a process that can be called from now on. */
void watchdog_watch(struct process *p);

/* A call that a worker has made to it directly, on a thread, was given up: what runs is looked at
 * until nothing does. */
void watchdog_tell(struct process *p);

/* The end of a life. */
void watchdog_stop(struct process *p);

#endif
