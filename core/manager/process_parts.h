/* What the parts of a process share with each other and with nobody else: its state machine
 * (process_states.c), what it hears (process_hear.c), its birth (process_fork.c). */
#ifndef TITAN_MANAGER_PROCESS_PARTS_H
#define TITAN_MANAGER_PROCESS_PARTS_H

#include <signal.h>

#include "manager/process.h"

enum process_event {
    EVENT_FORKED,       /* it exists; pid and pidfd are set */
    EVENT_FORK_FAILED,  /* it does not, last_error says why */
    EVENT_READY,        /* the guest has loaded */
    EVENT_START_FAILED, /* the guest has not; last_error says why */
    EVENT_STOP,         /* somebody wants it to end by stop_timeout_ms */
    EVENT_ALARM,        /* the time of this state is over */
    EVENT_LOST,         /* a connection ended */
    EVENT_GARBAGE,      /* it sent what is not the protocol; last_error says what */
    EVENT_EXITED,       /* the kernel says so */
    EVENTS
};

/* Does what the table says of the event in the process's state. It may end the process. */
void process_dispatch(struct process *p, enum process_event event);

/* Kills it, and waits for the end. */
void process_enter_killed(struct process *p);

/* process_end.c: the last transition of a life, from any state; the next life; no more of them. */
void process_finish(struct process *p);
void process_begin_again(struct process *p);
void process_end_down(struct process *p);

/* Waits for the end of a child that was killed or has ended. */
bool process_await_exit(int pidfd, siginfo_t *info);

/* 1: the child has ended and is yet to be reaped; 0: it lives; -1: it is no child of ours any more.
 */
int process_has_exited(int pidfd);

/* Ends the calls of both directions with `why`. */
void process_close_connections(struct process *p, const struct failure *why);

/* Where the events come from: the pidfd and the alarm, */
void process_exit_seen(void *ctx, int events);
void process_alarm_rang(struct timer *t);

/* the worker's connections and what it prints. */
extern const struct peer_events process_data_events;
extern const struct peer_events process_control_events;
void process_hear_line(void *ctx, struct output *o, const char *text, size_t len);

/* The params of a message that has none. */
#define NO_PARAMS ((struct span){(const uint8_t *)"\x90", 1})

#endif
