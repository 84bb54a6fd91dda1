/* The state machine of a process: its events, its transitions, its end. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manager/manager.h"
#include "manager/process_parts.h"

#define CLOSING_GRACE_MS 2000 /* from the end of the connection to SIGKILL */

/* ---- events and the table ---- */

typedef void (*action)(struct process *p);

static const action transitions[PROCESS_STATES][EVENTS];

void process_dispatch(struct process *p, enum process_event event)
{
    transitions[p->state][event](p);
}

/* ---- actions ---- */

static void ignore(struct process *p)
{
    (void)p;
}

void process_enter_killed(struct process *p)
{
    p->state = PROCESS_KILLED;
    process_strike(p);
    timer_disarm(p->manager->reactor, &p->alarm);
    timer_disarm(p->manager->reactor, &p->limits.look);
    p->body->kill(p);
}

static void enter_closing(struct process *p)
{
    p->state = PROCESS_CLOSING;
    process_strike(p);
    process_limits_continue(p);
    if (!timer_arm(p->manager->reactor, &p->alarm, CLOSING_GRACE_MS, true)) {
        process_enter_killed(p);
    }
}

static void closing_timed_out(struct process *p)
{
    if (p->last_error.code == TITAN_OK) {
        fail(&p->last_error, TITAN_E_WORKER_LOST, "closed its connection, lived on and was killed");
    }
    process_enter_killed(p);
}

static void started(struct process *p)
{
    p->state = PROCESS_STARTING;
    process_limits_started(p);
    p->manager->events->forked(p->manager->ctx, p);
}

static void ready(struct process *p)
{
    p->state = PROCESS_RUNNING;
    process_enter(p);
    timer_disarm(p->manager->reactor, &p->alarm);
}

static void startup_timed_out(struct process *p)
{
    fail(&p->last_error, TITAN_E_STARTUP_TIMEOUT,
         "not ready within %u ms: raise startup_timeout, or look at what init does",
         p->startup_timeout_ms);
    process_enter_killed(p);
}

/* The zygote may fork it all the same. If it has, and the worker has said so, finish hears that and
 * kills it; what the zygote says later is of a stranger, and process_kill_stray kills that. */
static void give_up_fork(struct process *p)
{
    p->state = PROCESS_ABORTING;
    process_finish(p);
}

static void note_no_fork(struct process *p)
{
    fail(&p->last_error, TITAN_E_STARTUP_TIMEOUT,
         "not started within %u ms: the zygote still loads the preloads or is busy with others",
         p->startup_timeout_ms);
}

static void fork_timed_out(struct process *p)
{
    note_no_fork(p);
    give_up_fork(p);
}

static void queue_timed_out(struct process *p)
{
    note_no_fork(p);
    process_finish(p);
}

static void stop_timed_out(struct process *p)
{
    fail(&p->last_error, TITAN_E_TIMEOUT,
         "did not end in time and was killed: a call or a shutdown hook went on");
    process_enter_killed(p);
}

static void begin_stop(struct process *p)
{
    p->state = PROCESS_STOPPING;
    process_strike(p);
    timer_disarm(p->manager->reactor, &p->alarm);
    health_stop(p);
    process_limits_continue(p);
    if (peer_notify(&p->control, "shutdown", NO_PARAMS) < 0 ||
        peer_notify(&p->data, "drain", NO_PARAMS) < 0) {
        process_enter_killed(p);
    }
}

/* The fork may have happened in a zygote that died before it could say so. All copies of the
 * worker's descriptors are closed now, so a child that got them is dead as well, and a zombie of
 * ours. */
static void reap_unannounced(struct process *p)
{
    pid_t pid = status_load(p->status->pid);

    if (pid > 0) {
        waitpid(pid, NULL, __WALL);
    }
}

/* While the zygote that was asked still lives its answer will come and counts. */
static void fork_lost(struct process *p)
{
    struct failure why;

    if (p->zygote_number == p->manager->zygote.deaths) {
        return;
    }
    reap_unannounced(p);
    fail(&why, TITAN_E_WORKER_LOST, "the zygote died");
    process_close_connections(p, &why);
    output_close(&p->out);
    output_close(&p->err);
    p->body->forget(p);
    p->state = PROCESS_PENDING;
    manager_requeue(p->manager, p);
}

/* Everything a state can be told. What cannot happen, or no longer matters, is ignored by name:
 * kernel, zygote and worker are three witnesses who need not agree on the order of things. */
static const action transitions[PROCESS_STATES][EVENTS] = {
    [PROCESS_PENDING] =
        {
            [EVENT_FORKED] = ignore,
            [EVENT_FORK_FAILED] = process_finish,
            [EVENT_READY] = ignore,
            [EVENT_START_FAILED] = ignore,
            [EVENT_STOP] = process_finish,
            [EVENT_ALARM] = queue_timed_out,
            [EVENT_LOST] = ignore,
            [EVENT_GARBAGE] = ignore,
            [EVENT_EXITED] = ignore,
        },
    [PROCESS_FORKING] =
        {
            [EVENT_FORKED] = started,
            [EVENT_FORK_FAILED] = process_finish,
            [EVENT_READY] = ignore,
            [EVENT_START_FAILED] = ignore,
            [EVENT_STOP] = give_up_fork,
            [EVENT_ALARM] = fork_timed_out,
            [EVENT_LOST] = fork_lost,
            [EVENT_GARBAGE] = ignore,
            [EVENT_EXITED] = ignore,
        },
    [PROCESS_ABORTING] =
        {
            [EVENT_FORKED] = process_enter_killed,
            [EVENT_FORK_FAILED] = ignore,
            [EVENT_READY] = ignore,
            [EVENT_START_FAILED] = ignore,
            [EVENT_STOP] = ignore,
            [EVENT_ALARM] = ignore,
            [EVENT_LOST] = ignore,
            [EVENT_GARBAGE] = ignore,
            [EVENT_EXITED] = ignore,
        },
    [PROCESS_STARTING] =
        {
            [EVENT_FORKED] = ignore,
            [EVENT_FORK_FAILED] = ignore,
            [EVENT_READY] = ready,
            [EVENT_START_FAILED] = enter_closing,
            [EVENT_STOP] = begin_stop,
            [EVENT_ALARM] = startup_timed_out,
            [EVENT_LOST] = enter_closing,
            [EVENT_GARBAGE] = process_enter_killed,
            [EVENT_EXITED] = process_finish,
        },
    [PROCESS_RUNNING] =
        {
            [EVENT_FORKED] = ignore,
            [EVENT_FORK_FAILED] = ignore,
            [EVENT_READY] = ignore,
            [EVENT_START_FAILED] = ignore,
            [EVENT_STOP] = begin_stop,
            [EVENT_ALARM] = ignore,
            [EVENT_LOST] = enter_closing,
            [EVENT_GARBAGE] = process_enter_killed,
            [EVENT_EXITED] = process_finish,
        },
    [PROCESS_STOPPING] =
        {
            [EVENT_FORKED] = ignore,
            [EVENT_FORK_FAILED] = ignore,
            [EVENT_READY] = ignore,
            [EVENT_START_FAILED] = enter_closing,
            [EVENT_STOP] = ignore,
            [EVENT_ALARM] = stop_timed_out,
            [EVENT_LOST] = ignore, /* finalizers may still run; the deadline stands */
            [EVENT_GARBAGE] = process_enter_killed,
            [EVENT_EXITED] = process_finish,
        },
    [PROCESS_CLOSING] =
        {
            [EVENT_FORKED] = ignore,
            [EVENT_FORK_FAILED] = ignore,
            [EVENT_READY] = ignore,
            [EVENT_START_FAILED] = ignore,
            [EVENT_STOP] = ignore,
            [EVENT_ALARM] = closing_timed_out,
            [EVENT_LOST] = ignore,
            [EVENT_GARBAGE] = process_enter_killed,
            [EVENT_EXITED] = process_finish,
        },
    [PROCESS_KILLED] =
        {
            [EVENT_FORKED] = ignore,
            [EVENT_FORK_FAILED] = ignore,
            [EVENT_READY] = ignore,
            [EVENT_START_FAILED] = ignore,
            [EVENT_STOP] = ignore,
            [EVENT_ALARM] = process_finish, /* a thread that does not end */
            [EVENT_LOST] = ignore,
            [EVENT_GARBAGE] = ignore,
            [EVENT_EXITED] = process_finish,
        },
    [PROCESS_DOWN] =
        {
            [EVENT_FORKED] = ignore,
            [EVENT_FORK_FAILED] = ignore,
            [EVENT_READY] = ignore,
            [EVENT_START_FAILED] = ignore,
            [EVENT_STOP] = process_end_down,
            [EVENT_ALARM] = process_begin_again,
            [EVENT_LOST] = ignore,
            [EVENT_GARBAGE] = ignore,
            [EVENT_EXITED] = ignore,
        },
    [PROCESS_ENDED] =
        {
            [EVENT_FORKED] = ignore,
            [EVENT_FORK_FAILED] = ignore,
            [EVENT_READY] = ignore,
            [EVENT_START_FAILED] = ignore,
            [EVENT_STOP] = ignore,
            [EVENT_ALARM] = ignore,
            [EVENT_LOST] = ignore,
            [EVENT_GARBAGE] = ignore,
            [EVENT_EXITED] = ignore,
        },
};

/* ---- where events come from ---- */

void process_exit_seen(void *ctx, int events)
{
    (void)events;
    process_dispatch(ctx, EVENT_EXITED);
}

void process_alarm_rang(struct timer *t)
{
    process_dispatch(list_entry(t, struct process, alarm), EVENT_ALARM);
}
