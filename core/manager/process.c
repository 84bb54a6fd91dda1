#include "manager/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manager/manager.h"
#include "spawn/fdpass.h"
#include "wire/mp_read.h"

#define CLOSING_GRACE_MS 2000 /* from the end of the connection to SIGKILL */

static const struct span no_params = {(const uint8_t *)"\x90", 1};

/* ---- events and the table ---- */

enum event {
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

typedef void (*action)(struct process *p);

static const action transitions[PROCESS_STATES][EVENTS];

static void dispatch(struct process *p, enum event event)
{
    transitions[p->state][event](p);
}

/* ---- actions ---- */

static void ignore(struct process *p)
{
    (void)p;
}

static void kill_group(struct process *p)
{
    if (p->pidfd >= 0) {
        kill(-p->pid, SIGKILL);
        syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
    }
}

static void enter_killed(struct process *p)
{
    p->state = PROCESS_KILLED;
    timer_disarm(p->manager->reactor, &p->alarm);
    kill_group(p);
}

static void enter_closing(struct process *p)
{
    p->state = PROCESS_CLOSING;
    if (!timer_arm(p->manager->reactor, &p->alarm, CLOSING_GRACE_MS, true)) {
        enter_killed(p);
    }
}

static void closing_timed_out(struct process *p)
{
    if (p->last_error.code == TITAN_OK) {
        fail(&p->last_error, TITAN_E_WORKER_LOST, "closed its connection, lived on and was killed");
    }
    enter_killed(p);
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
    enter_killed(p);
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
    enter_killed(p);
}

static void begin_stop(struct process *p)
{
    p->state = PROCESS_STOPPING;
    timer_disarm(p->manager->reactor, &p->alarm);
    if (peer_notify(&p->control, "shutdown", no_params) < 0 ||
        peer_notify(&p->data, "drain", no_params) < 0) {
        enter_killed(p);
    }
}

static void close_connections(struct process *p, const struct failure *why);

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
    close_connections(p, &why);
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
            [EVENT_FORKED] = enter_killed,
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
            [EVENT_GARBAGE] = enter_killed,
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
            [EVENT_GARBAGE] = enter_killed,
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
            [EVENT_GARBAGE] = enter_killed,
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
            [EVENT_GARBAGE] = enter_killed,
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
static bool await_exit(int pidfd, siginfo_t *info)
{
    int code;

    fcntl(pidfd, F_SETFL, 0); /* libuv made it non-blocking, and so waitid: see pidfd_open(2) */
    do {
        code = waitid((idtype_t)P_PIDFD, (id_t)pidfd, info, WEXITED | __WALL);
    } while (code < 0 && errno == EINTR);
    return code == 0;
}

/* Takes the exit status. The zombie goes with it, and only then may its number be used again. */
static void reap(struct process *p)
{
    siginfo_t info = {0};

    if (p->pidfd < 0) {
        return;
    }
    zygote_release(&p->manager->zygote, p->pid);
    if (await_exit(p->pidfd, &info)) {
        p->exit_known = true;
        p->exit_signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
        p->exit_code = info.si_code == CLD_EXITED ? info.si_status : -1;
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

void process_describe_exit(const struct process *p, char *text, size_t len)
{
    if (p->pid == 0) {
        snprintf(text, len, "was never started");
    } else if (!p->exit_known) {
        snprintf(text, len, "ended, its exit status was taken by another part of this program");
    } else if (p->exit_signal > 0) {
        snprintf(text, len, "was killed by SIG%s", sigabbrev_np(p->exit_signal));
    } else {
        snprintf(text, len, "exited with code %d", p->exit_code);
    }
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

static void close_connections(struct process *p, const struct failure *why)
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

    kill_group(p);
    hear_out(p);
    if (p->state == PROCESS_ENDED) {
        return; /* an answer's receiver has closed the manager */
    }
    reap(p);
    timer_disarm(p->manager->reactor, &p->alarm);
    p->state = PROCESS_ENDED;
    p->ended_ns = now_ns();
    p->end_wall_ms = wall_ms();
    p->outcome = outcome_of(p);
    lost_calls(p, &why);
    note_error(p);
    manager_process_ended(p->manager, p);
    close_connections(p, &why); /* last: who waited for an answer finds everything settled */
}

/* ---- what the worker says ---- */

static void on_request(void *ctx, const struct message *m)
{
    struct process *p = ctx;

    manager_relay(p->manager, p, m);
}

static void on_data_notification(void *ctx, const struct message *m)
{
    struct process *p = ctx;

    (void)m;
    peer_blame(&p->data, "a notification on the data connection");
}

static void on_cancel(void *ctx, uint32_t id)
{
    manager_relay_cancel(ctx, id);
}

/* It exists, and was forked by a zygote that perhaps did not live to say so. */
static void hear_hello(struct process *p)
{
    pid_t pid = status_load(p->status->pid);
    siginfo_t info;
    int pidfd;

    if (p->state != PROCESS_FORKING && p->state != PROCESS_ABORTING) {
        return;
    }
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd >= 0 &&
        waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0) {
        close(pidfd); /* not a child of ours */
        pidfd = -1;
    }
    process_forked(p, pid, pidfd, pidfd < 0 ? -errno : 0);
}

static void hear_declared(struct process *p, struct span payload)
{
    if (p->state == PROCESS_STARTING) {
        p->manager->events->declared(p->manager->ctx, p, payload);
    }
}

void process_proceed(struct process *p, struct span payload)
{
    if (p->state == PROCESS_STARTING && peer_notify(&p->control, "proceed", payload) < 0) {
        enter_killed(p);
    }
}

void process_refuse(struct process *p, const struct failure *why)
{
    if (p->state == PROCESS_STARTING) {
        p->last_error = *why;
        enter_killed(p);
    }
}

void process_blame(struct process *p, const char *why)
{
    peer_blame(&p->control, why);
}

void process_set_startup_timeout(struct process *p, uint32_t timeout_ms)
{
    uint64_t gone_ms = (now_ns() - p->started_ns) / 1000000u;

    p->startup_timeout_ms = timeout_ms;
    if (p->state == PROCESS_STARTING &&
        !timer_arm(p->manager->reactor, &p->alarm, timeout_ms > gone_ms ? timeout_ms - gone_ms : 0,
                   true)) {
        startup_timed_out(p);
    }
}

static void hear_ready(struct process *p, struct span payload)
{
    if (p->state == PROCESS_STARTING) {
        dispatch(p, EVENT_READY);
        p->manager->events->ready(p->manager->ctx, p, payload);
        p->was_ready = p->last_error.code != TITAN_E_PROTOCOL_ERROR; /* and so is believed */
    }
}

static void hear_failed(struct process *p, struct span payload)
{
    if (p->was_ready) {
        peer_blame(&p->control, "a failure to start after it was ready");
        return;
    }
    p->manager->events->start_failed(p->manager->ctx, p, payload);
    if (p->last_error.code == TITAN_OK) {
        fail(&p->last_error, TITAN_E_SPAWN_FAILED, "the worker could not load its module");
    }
    dispatch(p, EVENT_START_FAILED);
}

static void on_control_notification(void *ctx, const struct message *m)
{
    struct process *p = ctx;

    if (span_is(m->method, "hello")) {
        hear_hello(p);
    } else if (span_is(m->method, "declared")) {
        hear_declared(p, m->payload);
    } else if (span_is(m->method, "ready")) {
        hear_ready(p, m->payload);
    } else if (span_is(m->method, "failed")) {
        hear_failed(p, m->payload);
    } else {
        peer_blame(&p->control, "an unknown control message");
    }
}

static void on_control_request(void *ctx, const struct message *m)
{
    struct process *p = ctx;

    (void)m;
    peer_blame(&p->control, "a request on the control connection");
}

static void on_control_cancel(void *ctx, uint32_t id)
{
    struct process *p = ctx;

    (void)id;
    peer_blame(&p->control, "a cancel on the control connection");
}

static void on_lost(void *ctx, int code, const char *why)
{
    struct process *p = ctx;

    if (code == TITAN_E_PROTOCOL_ERROR) {
        fail(&p->last_error, code, "the worker sent bytes that are not the protocol: %s", why);
        dispatch(p, EVENT_GARBAGE);
    } else {
        dispatch(p, EVENT_LOST);
    }
}

static void on_line(void *ctx, struct output *o, const char *text, size_t len)
{
    struct process *p = ctx;

    p->manager->events->line(p->manager->ctx, p, o == &p->err, text, len);
}

static void on_exit_seen(void *ctx, int events)
{
    (void)events;
    dispatch(ctx, EVENT_EXITED);
}

static void on_alarm(struct timer *t)
{
    dispatch(list_entry(t, struct process, alarm), EVENT_ALARM);
}

/* ---- forking ---- */

static const struct peer_events data_events = {on_request, on_data_notification, on_cancel,
                                               on_lost};
static const struct peer_events control_events = {on_control_request, on_control_notification,
                                                  on_control_cancel, on_lost};

/* A connected pair: ours goes to *ours, the worker's to *theirs. */
static int make_pair(int *ours, int *theirs)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return -errno;
    }
    *ours = pair[0];
    *theirs = pair[1];
    return 0;
}

static int make_pipe(int *ours, int *theirs)
{
    int pair[2];

    if (pipe2(pair, O_CLOEXEC) < 0) {
        return -errno;
    }
    *ours = pair[0];
    *theirs = pair[1];
    return 0;
}

static int make_fds(struct process *p, int ours[WORKER_FDS], int theirs[WORKER_FDS])
{
    int code = make_pair(&ours[FD_DATA], &theirs[FD_DATA]);

    if (code == 0) {
        code = make_pair(&ours[FD_CONTROL], &theirs[FD_CONTROL]);
    }
    if (code == 0) {
        code = make_pipe(&ours[FD_STDOUT], &theirs[FD_STDOUT]);
    }
    if (code == 0) {
        code = make_pipe(&ours[FD_STDERR], &theirs[FD_STDERR]);
    }
    if (code == 0) {
        code = status_create(&p->status, &theirs[FD_STATUS]);
    }
    return code;
}

/* Each descriptor that is taken over becomes -1. */
static int open_ours(struct process *p, int ours[WORKER_FDS])
{
    const struct wire_limits control_limits = WIRE_LIMITS_DEFAULT;
    struct manager *m = p->manager;
    int code = peer_open(&p->data, m->reactor, ours[FD_DATA], &m->limits, &data_events, p);

    if (code == TITAN_OK) {
        ours[FD_DATA] = -1;
        code = peer_open(&p->control, m->reactor, ours[FD_CONTROL], &control_limits,
                         &control_events, p);
    }
    if (code == TITAN_OK) {
        ours[FD_CONTROL] = -1;
        code = output_open(&p->out, m->reactor, ours[FD_STDOUT], on_line, p);
    }
    if (code == TITAN_OK) {
        ours[FD_STDOUT] = -1;
        code = output_open(&p->err, m->reactor, ours[FD_STDERR], on_line, p);
    }
    if (code == TITAN_OK) {
        ours[FD_STDERR] = -1;
    }
    return code;
}

/* The error for people when descriptors or memory are out. */
static void fork_impossible(struct process *p, int error)
{
    fail(&p->last_error,
         error == EMFILE || error == ENFILE || error == EAGAIN ? TITAN_E_LIMIT_EXCEEDED
                                                               : TITAN_E_SPAWN_FAILED,
         "cannot start the worker: %s%s", strerror(error),
         error == EMFILE
             ? " (a worker takes ten descriptors while it starts and six after that; raise "
               "`ulimit -n`)"
         : error == EAGAIN ? " (the limit on processes; raise `ulimit -u`)"
                           : "");
    dispatch(p, EVENT_FORK_FAILED);
}

void process_fork(struct process *p)
{
    int ours[WORKER_FDS] = {-1, -1, -1, -1, -1};
    int theirs[WORKER_FDS] = {-1, -1, -1, -1, -1};
    int error = make_fds(p, ours, theirs);

    if (error == 0 && open_ours(p, ours) < 0) {
        error = -ENOMEM;
    }
    if (error == 0) {
        p->state = PROCESS_FORKING;
        p->tag = ++p->manager->next_tag;
        p->zygote_number = p->manager->zygote.deaths;
        if (peer_notify(&p->control, "start",
                        (struct span){buf_front(&p->spec), buf_len(&p->spec)}) < 0) {
            error = -ENOMEM;
        } else if (zygote_fork(&p->manager->zygote, p->tag, theirs, &p->last_error) < 0) {
            dispatch(p, EVENT_FORK_FAILED);
        }
    }
    close_all(ours, WORKER_FDS);
    close_all(theirs, WORKER_FDS);
    if (error < 0) {
        fork_impossible(p, -error);
    }
}

void process_forked(struct process *p, pid_t pid, int pidfd, int error)
{
    if (p->state != PROCESS_FORKING && p->state != PROCESS_ABORTING) {
        close_all(&pidfd, 1); /* its own hello was faster than the zygote's answer */
        return;
    }
    if (error < 0) {
        fork_impossible(p, -error);
        return;
    }
    p->exit = watch_open(p->manager->reactor, pidfd, UV_READABLE, on_exit_seen, p);
    if (p->exit == NULL) {
        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        await_exit(pidfd, &(siginfo_t){0});
        close(pidfd);
        fork_impossible(p, ENOMEM);
        return;
    }
    p->pid = pid;
    p->pidfd = pidfd;
    if (p->zygote_number != p->manager->zygote.deaths) {
        zygote_adopt(&p->manager->zygote, pid);
    }
    dispatch(p, EVENT_FORKED);
}

void process_kill_stray(struct manager *m, pid_t pid, int pidfd)
{
    if (pidfd >= 0 && syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0) {
        kill(-pid, SIGKILL);
        zygote_release(&m->zygote, pid);
        await_exit(pidfd, &(siginfo_t){0});
    }
    close_all(&pidfd, 1);
}

void process_zygote_died(struct process *p)
{
    if (p->state == PROCESS_FORKING && p->control.lost) {
        dispatch(p, EVENT_LOST);
    }
}

void process_adopt(struct process *p)
{
    if (p->pidfd >= 0) {
        zygote_adopt(&p->manager->zygote, p->pid);
    }
}

void process_start_failed(struct process *p, const struct failure *why)
{
    p->last_error = *why;
    dispatch(p, EVENT_FORK_FAILED);
}

/* ---- from outside ---- */

struct process *process_new(struct manager *m, const struct process_spec *spec)
{
    struct process *p = calloc(1, sizeof *p);

    if (p == NULL || !buf_append(&p->spec, spec->spec.at, spec->spec.len) ||
        !timer_arm(m->reactor, &p->alarm, spec->startup_timeout_ms, true)) {
        if (p != NULL) {
            buf_free(&p->spec);
        }
        free(p);
        return NULL;
    }
    p->manager = m;
    list_init(&p->link);
    list_init(&p->queued);
    list_init(&p->relays);
    snprintf(p->name, sizeof p->name, "%s", spec->name);
    snprintf(p->id, sizeof p->id, "w%llu", (unsigned long long)++m->next_number);
    p->pidfd = -1;
    p->exit_code = -1;
    p->alarm.fire = on_alarm;
    p->startup_timeout_ms = spec->startup_timeout_ms;
    p->call_timeout_ms = spec->call_timeout_ms;
    p->start_wall_ms = wall_ms();
    p->started_ns = now_ns();
    return p;
}

void process_free(struct process *p)
{
    status_unmap(&p->status);
    buf_free(&p->spec);
    free(p);
}

/* For manager_close: ends it without telling anyone. */
void process_destroy(struct process *p)
{
    struct failure why;

    kill_group(p);
    if (p->pidfd >= 0) {
        reap(p);
    }
    timer_disarm(p->manager->reactor, &p->alarm);
    list_remove(&p->queued);
    p->state = PROCESS_ENDED;
    fail(&why, TITAN_E_DESTROYED, "the manager was closed");
    close_connections(p, &why);
    output_close(&p->out);
    output_close(&p->err);
}

void process_stop(struct process *p, uint32_t timeout_ms)
{
    if (p->state == PROCESS_ENDED) {
        return;
    }
    p->stop_asked = true;
    dispatch(p, EVENT_STOP);
    if (p->state != PROCESS_STOPPING) {
        return;
    }
    if (timeout_ms == 0 || (timer_left_ms(p->manager->reactor, &p->alarm) > timeout_ms &&
                            !timer_arm(p->manager->reactor, &p->alarm, timeout_ms, true))) {
        enter_killed(p);
    }
}

int process_kill(struct process *p, int signal)
{
    if (p->pidfd < 0) {
        return -ESRCH;
    }
    if (signal == SIGKILL) {
        kill_group(p);
        return 0;
    }
    return syscall(SYS_pidfd_send_signal, p->pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int process_callable(const struct process *p, struct failure *why)
{
    switch (p->state) {
    case PROCESS_RUNNING:
        return TITAN_OK;
    case PROCESS_PENDING:
    case PROCESS_FORKING:
    case PROCESS_STARTING:
        return fail(why, TITAN_E_WORKER_LOST, "the worker is not ready yet");
    case PROCESS_ENDED:
        if (p->outcome == OUTCOME_STOPPED) {
            return fail(why, TITAN_E_DESTROYED, "the worker has been stopped");
        }
        return fail(why, TITAN_E_WORKER_LOST, "the worker is gone: %s", p->last_error.message);
    case PROCESS_CLOSING:
        if (!p->stop_asked) {
            return fail(why, TITAN_E_WORKER_LOST, "the worker has closed its connection");
        }
        break;
    default:
        if (!p->stop_asked) {
            return fail(why, TITAN_E_WORKER_LOST, "the worker is being killed");
        }
        break;
    }
    return fail(why, TITAN_E_SHUTTING_DOWN, "the worker is stopping");
}

const char *process_status_name(const struct process *p)
{
    static const char *const of_state[PROCESS_STATES] = {
        [PROCESS_PENDING] = "pending",   [PROCESS_FORKING] = "pending",
        [PROCESS_ABORTING] = "stopping", [PROCESS_STARTING] = "starting",
        [PROCESS_RUNNING] = "running",   [PROCESS_STOPPING] = "stopping",
        [PROCESS_CLOSING] = "stopping",  [PROCESS_KILLED] = "stopping",
    };
    static const char *const of_outcome[] = {
        [OUTCOME_NONE] = "pending",
        [OUTCOME_STOPPED] = "stopped",
        [OUTCOME_FAILED] = "failed",
        [OUTCOME_CRASHED] = "crashed",
    };

    return p->state == PROCESS_ENDED ? of_outcome[p->outcome] : of_state[p->state];
}
