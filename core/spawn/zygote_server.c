#include "spawn/zygote_server.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "spawn/cgroup.h"
#include "spawn/fdpass.h"
#include "spawn/zygote_protocol.h"

#define GROUPS_MAX 65536

/* The process groups of the live workers: what must not outlive the manager. */
struct groups {
    pid_t *pids;
    size_t len;
};

static void groups_add(struct groups *g, pid_t pid)
{
    if (g->len < GROUPS_MAX) {
        g->pids[g->len++] = pid;
    }
}

static void groups_remove(struct groups *g, pid_t pid)
{
    for (size_t i = 0; i < g->len; i++) {
        if (g->pids[i] == pid) {
            g->pids[i] = g->pids[--g->len];
            return;
        }
    }
}

static void groups_kill(const struct groups *g)
{
    for (size_t i = 0; i < g->len; i++) {
        kill(-g->pids[i], SIGKILL);
    }
}

/* ---- in the child ---- */

/* Back to what a program expects to find, whatever the zygote needs for itself. */
static void reset_signals(void)
{
    sigset_t none;

    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The first steps of a worker. Until its group exists and PDEATHSIG is set it could escape, so
 * those come first; a manager that died before that shows as another parent. */
static bool become_worker(pid_t manager, int *fds)
{
    if (setpgid(0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != manager) {
        return false;
    }
    close(ZYGOTE_SOCKET);
    if (dup2(fds[FD_STDOUT], STDOUT_FILENO) < 0 || dup2(fds[FD_STDERR], STDERR_FILENO) < 0) {
        return false;
    }
    close_all(&fds[FD_STDOUT], 2);
    reset_signals();
    /* A pipe would make stdout wait for a full block, and a crash would lose what was printed. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    return true;
}

static int child_main(const struct zygote_guest *guest, pid_t manager, int *fds)
{
    struct worker_fds worker = {fds[FD_DATA], fds[FD_CONTROL], fds[FD_STATUS]};

    if (!become_worker(manager, fds)) {
        _exit(127);
    }
    return guest->run_worker(guest->ctx, &worker);
}

/* ---- in the zygote ---- */

/* fork(2) that makes the child a sibling and returns a pidfd for it: clone3(2) without shared
 * memory. glibc's own fork handlers do not run: the zygote has one thread, so there is nothing to
 * repair. */
// NOLINTNEXTLINE(readability-non-const-parameter): the kernel writes it
static pid_t fork_sibling(int *pidfd)
{
    struct clone_args args;

    memset(&args, 0, sizeof args);
    args.flags = CLONE_PARENT | CLONE_PIDFD;
    args.pidfd = (uint64_t)(uintptr_t)pidfd;
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

static void tell(const struct zygote_reply *reply, int fd)
{
    /* A manager that cannot be told has died; the next receive says so. */
    (void)fdpass_send(ZYGOTE_SOCKET, reply, sizeof *reply, &fd, fd >= 0 ? 1 : 0);
}

/* A fork copies only the thread that asks: another one, and the locks it holds, would be lost. */
static bool one_thread(void)
{
#if defined(__SANITIZE_THREAD__)
    return true; /* the sanitizer's own thread is always there */
#else
    struct stat tasks;

    /* Each task is a directory, and so a link, besides the two that every directory has. */
    return stat("/proc/self/task", &tasks) < 0 || tasks.st_nlink <= 3;
#endif
}

struct zygote {
    const struct zygote_guest *guest;
    pid_t manager;
    struct groups groups;
    bool has_control_groups;
    unsigned control_groups; /* their number */
};

/* True in the child, with its exit code. */
static bool serve_fork(struct zygote *z, uint64_t tag, int *fds, int *exit_code)
{
    struct zygote_reply reply = {.news = ZYGOTE_FORKED, .tag = tag};
    int pidfd = -1;
    pid_t pid = fork_sibling(&pidfd);

    if (pid == 0) {
        *exit_code = child_main(z->guest, z->manager, fds);
        return true;
    }
    if (pid < 0) {
        reply.error = -errno;
    } else {
        reply.pid = pid;
        groups_add(&z->groups, pid);
    }
    close_all(fds, WORKER_FDS);
    tell(&reply, pidfd);
    close_all(&pidfd, 1);
    return false;
}

/* An order that follows the end of a manager in good order finds nothing to do. */
static void end_of_manager(struct zygote *z)
{
    const char *root = getenv(ZYGOTE_CGROUP_ROOT);

    groups_kill(&z->groups);
    if (z->has_control_groups) {
        cgroups_clear_of(root ? root : "", z->manager, z->control_groups);
    }
}

static int serve(struct zygote *z)
{
    for (;;) {
        struct zygote_request request;
        int fds[WORKER_FDS];
        int exit_code;
        ssize_t got = fdpass_receive(ZYGOTE_SOCKET, &request, sizeof request, fds, WORKER_FDS, 0);

        if (got == -EMFILE) {
            tell(
                &(struct zygote_reply){.news = ZYGOTE_FORKED, .tag = request.tag, .error = -EMFILE},
                -1);
            continue;
        }
        if (got <= 0) {
            end_of_manager(z);
            return got < 0 ? 1 : 0;
        }
        switch (request.order) {
        case ZYGOTE_FORK:
            if (serve_fork(z, request.tag, fds, &exit_code)) {
                return exit_code;
            }
            break;
        case ZYGOTE_GROUPS:
            z->has_control_groups = true;
            z->control_groups = (unsigned)request.tag;
            break;
        case ZYGOTE_ADOPT:
            groups_add(&z->groups, request.pid);
            break;
        default:
            groups_remove(&z->groups, request.pid);
            break;
        }
    }
}

static bool started_by_titan(void)
{
    int type = 0;
    socklen_t len = sizeof type;

    return getsockopt(ZYGOTE_SOCKET, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
           type == SOCK_SEQPACKET && fcntl(ZYGOTE_BOOT, F_GETFD) >= 0;
}

static void isolate(void)
{
    int null;

    /* A host may have closed its own stdout or stderr; nothing else may take their place. */
    do {
        null = open("/dev/null", O_RDWR);
    } while (null >= 0 && null <= STDERR_FILENO);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        close(null);
    }
    fcntl(ZYGOTE_SOCKET, F_SETFD, FD_CLOEXEC);
    fcntl(ZYGOTE_BOOT, F_SETFD, FD_CLOEXEC);
    /* Whatever a host left open is none of the workers' business. */
    syscall(SYS_close_range, ZYGOTE_BOOT + 1, ~0U, 0);
    signal(SIGPIPE, SIG_IGN);
}

int zygote_begin(void)
{
    const char *bind_now;

    if (!started_by_titan()) {
        fprintf(stderr, "titan-zygote is started by libtitan, it is not a command of its own\n");
        return 2;
    }
    /* User code runs next, and should the manager die meanwhile nobody would look at the socket. No
     * worker exists yet, so dying with the manager is safe. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    isolate();
    bind_now = getenv("LD_BIND_NOW");
    if (bind_now != NULL && strcmp(bind_now, "titan") == 0) {
        unsetenv("LD_BIND_NOW");
    }
    return 0;
}

int zygote_serve(const struct zygote_guest *guest)
{
    struct zygote z = {.guest = guest, .manager = getppid()};
    struct zygote_reply reply = {.news = ZYGOTE_READY};
    struct failure why = {0};
    int code;

    z.groups.pids = malloc(GROUPS_MAX * sizeof(pid_t));
    code = z.groups.pids ? guest->warm_up(guest->ctx, ZYGOTE_BOOT, &why) : TITAN_E_LIMIT_EXCEEDED;
    close(ZYGOTE_BOOT);
    if (code == TITAN_OK && !one_thread()) {
        code = fail(&why, TITAN_E_SPAWN_FAILED, "a preloaded module started a thread");
    }
    if (code < 0) {
        reply.news = ZYGOTE_FAILED;
        snprintf(reply.text, sizeof reply.text, "%s", why.message);
        tell(&reply, -1);
        free(z.groups.pids);
        return 1;
    }
    prctl(PR_SET_PDEATHSIG, 0);
    tell(&reply, -1);
    code = serve(&z);
    free(z.groups.pids);
    return code;
}
