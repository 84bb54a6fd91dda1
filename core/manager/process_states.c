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

void process_kill_group(struct process *p)
{
    if (p->pidfd >= 0) {
        kill(-p->pid, SIGKILL);
        syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
    }
}

void process_enter_killed(struct process *p)
{
    p->state = PROCESS_KILLED;
    timer_disarm(p->manager->reactor, &p->alarm);
    process_kill_group(p);
}

static void enter_closing(struct process *p)
{
    p->state = PROCESS_CLOSING;
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
    p->manager->events->forked(p->manager->ctx, p);
}

static void ready(struct process *p)
{
    p->state = PROCESS_RUNNING;
    timer_disarm(p->manager->reactor, &p->alarm);
}

static void finish(struct process *p);

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
    finish(p);
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
    finish(p);
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
    timer_disarm(p->manager->reactor, &p->alarm);
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
    status_unmap(&p->status);
    p->state = PROCESS_PENDING;
    manager_requeue(p->manager, p);
}

/* Everything a state can be told. What cannot happen, or no longer matters, is ignored by name:
 * kernel, zygote and worker are three witnesses who need not agree on the order of things. */
static const action transitions[PROCESS_STATES][EVENTS] = {
    [PROCESS_PENDING] =
        {
            [EVENT_FORKED] = ignore,
            [EVENT_FORK_FAILED] = finish,
            [EVENT_READY] = ignore,
            [EVENT_START_FAILED] = ignore,
            [EVENT_STOP] = finish,
            [EVENT_ALARM] = queue_timed_out,
            [EVENT_LOST] = ignore,
            [EVENT_GARBAGE] = ignore,
            [EVENT_EXITED] = ignore,
        },
    [PROCESS_FORKING] =
        {
            [EVENT_FORKED] = started,
            [EVENT_FORK_FAILED] = finish,
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
            [EVENT_EXITED] = finish,
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
            [EVENT_EXITED] = finish,
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
            [EVENT_EXITED] = finish,
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
            [EVENT_EXITED] = finish,
        },
    [PROCESS_KILLED] =
        {
            [EVENT_FORKED] = ignore,
            [EVENT_FORK_FAILED] = ignore,
            [EVENT_READY] = ignore,
            [EVENT_START_FAILED] = ignore,
            [EVENT_STOP] = ignore,
            [EVENT_ALARM] = ignore,
            [EVENT_LOST] = ignore,
            [EVENT_GARBAGE] = ignore,
            [EVENT_EXITED] = finish,
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

/* ---- the end ---- */

/* Waits for the end of a child that was killed or has ended. */
bool process_await_exit(int pidfd, siginfo_t *info)
{
    int code;

    fcntl(pidfd, F_SETFL, 0); /* libuv made it non-blocking, and so waitid: see pidfd_open(2) */
    do {
        code = waitid((idtype_t)P_PIDFD, (id_t)pidfd, info, WEXITED | __WALL);
    } while (code < 0 && errno == EINTR);
    return code == 0;
}

/* Takes the exit status. The zombie goes with it, and only then may its number be used again. */
void process_reap(struct process *p)
{
    siginfo_t info = {0};

    if (p->pidfd < 0) {
        return;
    }
    zygote_release(&p->manager->zygote, p->pid);
    p->exit_known = process_await_exit(p->pidfd, &info);
    if (p->exit_known && info.si_code == CLD_EXITED) {
        p->exit_code = info.si_status;
    } else if (p->exit_known) {
        p->exit_signal = info.si_status;
    }
    watch_close(&p->exit);
    p->pidfd = -1;
}

/* What it had said before it died counts. The state stays what it was meanwhile. */
static void hear_out(struct process *p)
{
    if (p->control.channel != NULL) {
        channel_drain(p->control.channel);
    }
    if (p->data.channel != NULL) {
        channel_drain(p->data.channel);
    }
    output_finish(&p->out);
    output_finish(&p->err);
}

/* An exit nobody asked for is a crash, unless it is clean and cost no call. */
static enum process_outcome outcome_of(const struct process *p)
{
    bool clean = p->exit_known && p->exit_code == 0 && p->last_error.code == TITAN_OK &&
                 p->data.outstanding == 0;

    if (p->stop_asked) {
        return OUTCOME_STOPPED;
    }
    if (!p->was_ready) {
        return OUTCOME_FAILED;
    }
    return clean ? OUTCOME_STOPPED : OUTCOME_CRASHED;
}

/* The error of the calls that were under way. */
static void lost_calls(const struct process *p, struct failure *why)
{
    char how[96];

    process_describe_exit(p, how, sizeof how);
    if (p->last_error.code == TITAN_E_PROTOCOL_ERROR) {
        *why = p->last_error;
    } else {
        fail(why, TITAN_E_WORKER_LOST, "the worker %s in the middle of this call",
             p->last_error.code == TITAN_E_WORKER_LOST ? p->last_error.message : how);
    }
}

void process_close_connections(struct process *p, const struct failure *why)
{
    peer_close(&p->data, why);
    peer_close(&p->control, why);
    manager_relays_drop(p);
}

static void note_error(struct process *p)
{
    char how[96];

    if (p->outcome == OUTCOME_STOPPED || p->last_error.code != TITAN_OK) {
        return;
    }
    process_describe_exit(p, how, sizeof how);
    if (p->outcome == OUTCOME_FAILED) {
        fail(&p->last_error, TITAN_E_SPAWN_FAILED, "%s before it was ready", how);
    } else {
        fail(&p->last_error, TITAN_E_WORKER_LOST, "%s", how);
    }
}

/* The last transition, from any state. */
static void finish(struct process *p)
{
    struct failure why;

    process_kill_group(p);
    hear_out(p);
    if (p->state == PROCESS_ENDED) {
        return; /* an answer's receiver has closed the manager */
    }
    process_reap(p);
    timer_disarm(p->manager->reactor, &p->alarm);
    p->state = PROCESS_ENDED;
    p->ended_ns = now_ns();
    p->end_wall_ms = wall_ms();
    p->outcome = outcome_of(p);
    lost_calls(p, &why);
    note_error(p);
    manager_process_ended(p->manager, p);
    /* Last: who waited for an answer finds everything settled. */
    process_close_connections(p, &why);
}

void process_exit_seen(void *ctx, int events)
{
    (void)events;
    process_dispatch(ctx, EVENT_EXITED);
}

void process_alarm_rang(struct timer *t)
{
    process_dispatch(list_entry(t, struct process, alarm), EVENT_ALARM);
}
