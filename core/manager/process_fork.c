/* The birth of a process: from the spare or by the zygote, and what happens when that dies. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manager/manager.h"
#include "manager/process_parts.h"
#include "spawn/fdpass.h"

/* Each descriptor that is taken over becomes -1. */
static int open_ours(struct process *p, int ours[WORKER_FDS])
{
    const struct wire_limits control_limits = WIRE_LIMITS_DEFAULT;
    struct manager *m = p->manager;
    int code = peer_open(&p->data, m->reactor, ours[FD_DATA], &m->limits, &process_data_events, p);

    if (code == TITAN_OK) {
        ours[FD_DATA] = -1;
        watchdog_watch(p);
        code = peer_open(&p->control, m->reactor, ours[FD_CONTROL], &control_limits,
                         &process_control_events, p);
    }
    if (code == TITAN_OK) {
        ours[FD_CONTROL] = -1;
        code = output_open(&p->out, m->reactor, ours[FD_STDOUT], process_hear_line, p);
    }
    if (code == TITAN_OK) {
        ours[FD_STDOUT] = -1;
        code = output_open(&p->err, m->reactor, ours[FD_STDERR], process_hear_line, p);
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
    process_dispatch(p, EVENT_FORK_FAILED);
}

/* The start is sent before anything is forked: the worker finds it when it first looks. */
static int send_start(struct process *p, int ours[WORKER_FDS])
{
    if (open_ours(p, ours) < 0) {
        return -ENOMEM;
    }
    p->state = PROCESS_FORKING;
    p->tag = ++p->manager->next_tag;
    p->zygote_number = p->manager->zygote.deaths;
    return peer_notify_with(&p->control, "start",
                            (struct span){buf_front(&p->spec), buf_len(&p->spec)}, &p->cargo) < 0
               ? -ENOMEM
               : 0;
}

static void fork_spare(struct process *p, struct birth *b, pid_t pid, int pidfd)
{
    p->status = b->status;
    b->status = NULL;
    if (send_start(p, b->ours) < 0) {
        process_kill_stray(p->manager, pid, pidfd);
        fork_impossible(p, ENOMEM);
    } else {
        process_forked(p, pid, pidfd, 0);
    }
}

static void fork_new(struct process *p, struct birth *b)
{
    int error = birth_make(b);

    p->status = b->status;
    b->status = NULL;
    if (error == 0) {
        error = send_start(p, b->ours);
    }
    if (error < 0) {
        fork_impossible(p, -error);
    } else if (zygote_fork(&p->manager->zygote, p->tag, b->theirs, &p->last_error) < 0) {
        process_dispatch(p, EVENT_FORK_FAILED);
    }
}

static void begin_forked(struct process *p)
{
    struct birth b = BIRTH_NONE;
    int pidfd;
    pid_t pid;

    process_limits_fork(p);
    if (spare_take(p->manager, &b, &pid, &pidfd)) {
        fork_spare(p, &b, pid, pidfd);
    } else {
        fork_new(p, &b);
    }
    birth_discard(&b);
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
    p->exit = watch_open(p->manager->reactor, pidfd, UV_READABLE, process_exit_seen, p);
    if (p->exit == NULL) {
        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        process_await_exit(pidfd, &(siginfo_t){0});
        close(pidfd);
        fork_impossible(p, ENOMEM);
        return;
    }
    p->pid = pid;
    p->pidfd = pidfd;
    if (p->zygote_number != p->manager->zygote.deaths) {
        zygote_adopt(&p->manager->zygote, pid);
    }
    process_dispatch(p, EVENT_FORKED);
}

void process_kill_stray(struct manager *m, pid_t pid, int pidfd)
{
    if (pidfd >= 0 && syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0) {
        kill(-pid, SIGKILL);
        zygote_release(&m->zygote, pid);
        process_await_exit(pidfd, &(siginfo_t){0});
    }
    close_all(&pidfd, 1);
}

void process_zygote_died(struct process *p)
{
    if (p->state == PROCESS_FORKING && p->control.lost) {
        process_dispatch(p, EVENT_LOST);
    }
}

void process_adopt(struct process *p)
{
    if (p->pidfd >= 0) {
        zygote_adopt(&p->manager->zygote, p->pid);
    }
}

/* ---- body.h ---- */

static void kill_group(struct process *p)
{
    if (p->pidfd >= 0) {
        kill(-p->pid, SIGKILL);
        syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
    }
}

static int send_signal(struct process *p, int signal)
{
    if (p->pidfd < 0) {
        return -ESRCH;
    }
    return syscall(SYS_pidfd_send_signal, p->pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

/* The zombie goes with the exit status, and only then may its number be used again. */
static void reap(struct process *p)
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

static bool exists(const struct process *p)
{
    return p->pidfd >= 0;
}

static void forget(struct process *p)
{
    status_unmap(&p->status);
}

const struct body body_process = {
    .isolation = "process",
    .transport = "unix",
    .by_zygote = true,
    .begin = begin_forked,
    .kill = kill_group,
    .signal = send_signal,
    .reap = reap,
    .exists = exists,
    .forget = forget,
};
