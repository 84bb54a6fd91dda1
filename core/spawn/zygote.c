#include "spawn/zygote.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawn/fdpass.h"
#include "spawn/zygote_path.h"

#define UNANSWERED_MAX 16 /* forks under way; more wait in the manager, without descriptors */

static void socket_ready(void *ctx, int events);
static void zygote_exited(void *ctx, int events);

/* ---- starting ---- */

/* The host's environment and ZYGOTE_BIND_NOW, in one block to free. NULL when memory is out. */
static char **environment(void)
{
    size_t count = 0;
    char **copy;

    while (environ != NULL && environ[count] != NULL) {
        count++;
    }
    copy = calloc(count + 2, sizeof *copy);
    if (copy != NULL) {
        copy[0] = (char *)ZYGOTE_BIND_NOW;
        for (size_t i = 0; i < count; i++) {
            copy[i + 1] = environ[i];
        }
    }
    return copy;
}

/* posix_spawn, not fork: the host may have threads, and a large heap makes fork slow. */
static int spawn_program(const char *path, int socket, int boot, pid_t *pid)
{
    char *argv[] = {(char *)"titan-zygote", NULL};
    char **envp = environment();
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none;
    sigset_t all;
    int code;

    if (envp == NULL) {
        return -ENOMEM;
    }
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_adddup2(&actions, socket, ZYGOTE_SOCKET);
    posix_spawn_file_actions_adddup2(&actions, boot, ZYGOTE_BOOT);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attr, 0); /* Ctrl-C is for the manager, which tells the workers */
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    code = posix_spawn(pid, path, &actions, &attr, argv, envp);
    free(envp);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return -code;
}

/* Moves a descriptor above those that spawn_program assigns: neither dup2 may hit the other. */
static int move_up(int *fd)
{
    int moved = fcntl(*fd, F_DUPFD_CLOEXEC, ZYGOTE_BOOT + 1);

    if (moved < 0) {
        return -errno;
    }
    close(*fd);
    *fd = moved;
    return 0;
}

static int watch_both(struct zygote_client *z, int socket)
{
    int exit_fd = (int)syscall(SYS_pidfd_open, z->pid, 0);

    if (exit_fd < 0) {
        return -errno;
    }
    z->exit = watch_open(z->reactor, exit_fd, UV_READABLE, zygote_exited, z);
    if (z->exit == NULL) {
        close(exit_fd);
        return -ENOMEM;
    }
    z->socket = watch_open(z->reactor, socket, UV_READABLE, socket_ready, z);
    if (z->socket == NULL) {
        watch_close(&z->exit);
        return -ENOMEM;
    }
    watch_hold(z->exit, false);
    watch_hold(z->socket, false);
    return 0;
}

static int start(struct zygote_client *z, const char *path)
{
    int pair[2];
    int code;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        return -errno;
    }
    code = move_up(&pair[1]);
    if (code == 0) {
        code = spawn_program(path, pair[1], z->boot_fd, &z->pid);
    }
    close(pair[1]);
    if (code == 0) {
        code = watch_both(z, pair[0]);
        if (code < 0) {
            kill(z->pid, SIGKILL);
            waitpid(z->pid, NULL, 0);
        }
    }
    if (code < 0) {
        close(pair[0]);
        return code;
    }
    z->state = ZYGOTE_IS_WARMING;
    z->unanswered = 0;
    return 0;
}

int zygote_start(struct zygote_client *z, struct failure *why)
{
    char path[ZYGOTE_PATH_MAX];
    int code;

    if (z->state != ZYGOTE_IS_DOWN) {
        return TITAN_OK;
    }
    code = zygote_path(path, why);
    if (code < 0) {
        return code;
    }
    code = start(z, path);
    if (code < 0) {
        return fail(why, TITAN_E_SPAWN_FAILED, "cannot start the zygote %s: %s", path,
                    strerror(-code));
    }
    return TITAN_OK;
}

/* ---- dying ---- */

/* The exit status of the zygote, for people. */
static void describe_exit(pid_t pid, char *text, size_t len)
{
    int status = 0;

    if (waitpid(pid, &status, 0) < 0) {
        snprintf(text, len, "its exit status is unknown: %s", strerror(errno));
    } else if (WIFSIGNALED(status)) {
        snprintf(text, len, "it was killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    } else {
        snprintf(text, len, "it exited with code %d", WEXITSTATUS(status));
    }
}

static void forget_process(struct zygote_client *z)
{
    watch_close(&z->socket);
    watch_close(&z->exit);
    buf_free(&z->backlog);
    z->state = ZYGOTE_IS_DOWN;
    z->unanswered = 0;
}

static void zygote_exited(void *ctx, int events)
{
    struct zygote_client *z = ctx;
    bool was_serving = z->state == ZYGOTE_IS_SERVING;
    struct failure why = {0};
    char how[128];

    (void)events;
    /* It may have said why it fails, or answered a fork, before it died. */
    socket_ready(z, UV_READABLE);
    if (z->state == ZYGOTE_IS_DOWN) {
        return;
    }
    describe_exit(z->pid, how, sizeof how);
    forget_process(z);
    if (!was_serving) {
        fail(&why, TITAN_E_SPAWN_FAILED, "the zygote died while loading the preloads: %s", how);
        z->events->failed(z->ctx, &why);
        return;
    }
    z->deaths++;
    if (zygote_start(z, &why) < 0) {
        z->events->failed(z->ctx, &why);
    }
    z->events->died(z->ctx);
}

/* ---- talking ---- */

static void take_failed(struct zygote_client *z, struct zygote_reply *reply)
{
    struct failure why;

    reply->text[sizeof reply->text - 1] = '\0';
    fail(&why, TITAN_E_SPAWN_FAILED, "preload: %s", reply->text);
    waitpid(z->pid, NULL, 0);
    forget_process(z);
    z->events->failed(z->ctx, &why);
}

static void take_news(struct zygote_client *z, struct zygote_reply *reply, int pidfd)
{
    switch (reply->news) {
    case ZYGOTE_READY:
        z->state = ZYGOTE_IS_SERVING;
        z->events->warm(z->ctx);
        z->events->serving(z->ctx);
        break;
    case ZYGOTE_FAILED:
        take_failed(z, reply);
        break;
    default:
        z->unanswered--;
        z->events->forked(z->ctx, reply->tag, reply->pid, pidfd, reply->error);
        z->events->serving(z->ctx);
        break;
    }
}

/* False when nothing more is there. */
static bool receive_one(struct zygote_client *z)
{
    struct zygote_reply reply;
    int pidfd;
    ssize_t got =
        fdpass_receive(watch_fd(z->socket), &reply, sizeof reply, &pidfd, 1, MSG_DONTWAIT);

    if (got == -EMFILE) {
        /* The fork happened, but there is no room for its pidfd. It is our child and not yet waited
         * for, so its pid is still its own. */
        kill(reply.pid, SIGKILL);
        waitpid(reply.pid, NULL, __WALL);
        reply.error = -EMFILE;
        got = sizeof reply;
    }
    if (got != sizeof reply) {
        return false;
    }
    take_news(z, &reply, pidfd);
    return z->socket != NULL;
}

static void send_backlog(struct zygote_client *z)
{
    while (buf_len(&z->backlog) > 0) {
        if (fdpass_send(watch_fd(z->socket), buf_front(&z->backlog), sizeof(struct zygote_request),
                        NULL, 0) < 0) {
            return;
        }
        buf_consume(&z->backlog, sizeof(struct zygote_request));
    }
    watch_events(z->socket, UV_READABLE);
    z->events->serving(z->ctx);
}

static void socket_ready(void *ctx, int events)
{
    struct zygote_client *z = ctx;

    if (z->socket == NULL) {
        return;
    }
    if (events & UV_WRITABLE) {
        send_backlog(z);
    }
    while (receive_one(z)) {
    }
    if (z->socket != NULL && (events & UV_READABLE)) {
        char end;

        /* At the end of the stream the exit is what counts; the socket would only wake us in vain.
         */
        if (recv(watch_fd(z->socket), &end, 1, MSG_DONTWAIT | MSG_PEEK) == 0) {
            watch_events(z->socket, 0);
        }
    }
}

/* A message without descriptors, now or as soon as there is room. Without memory for waiting it is
 * lost, and with it only what happens should the manager be SIGKILLed. */
static void send_later(struct zygote_client *z, const struct zygote_request *request)
{
    if (z->socket == NULL) {
        return;
    }
    if (buf_len(&z->backlog) == 0 &&
        fdpass_send(watch_fd(z->socket), request, sizeof *request, NULL, 0) != -EAGAIN) {
        return;
    }
    if (buf_append(&z->backlog, request, sizeof *request)) {
        watch_events(z->socket, UV_READABLE | UV_WRITABLE);
    }
}

bool zygote_has_room(const struct zygote_client *z)
{
    return z->state == ZYGOTE_IS_SERVING && z->unanswered < UNANSWERED_MAX &&
           buf_len(&z->backlog) == 0;
}

int zygote_fork(struct zygote_client *z, uint64_t tag, const int fds[WORKER_FDS],
                struct failure *why)
{
    struct zygote_request request = {.order = ZYGOTE_FORK, .tag = tag};
    int code = fdpass_send(watch_fd(z->socket), &request, sizeof request, fds, WORKER_FDS);

    /* One that has just died is asked like one that dies before it answers: `died` is to come. */
    if (code < 0 && code != -EPIPE && code != -ECONNRESET) {
        return fail(why, TITAN_E_SPAWN_FAILED, "cannot reach the zygote: %s", strerror(-code));
    }
    z->unanswered++;
    return TITAN_OK;
}

void zygote_adopt(struct zygote_client *z, pid_t pid)
{
    if (z->state == ZYGOTE_IS_SERVING) {
        send_later(z, &(struct zygote_request){.order = ZYGOTE_ADOPT, .pid = pid});
    }
}

void zygote_release(struct zygote_client *z, pid_t pid)
{
    send_later(z, &(struct zygote_request){.order = ZYGOTE_RELEASE, .pid = pid});
}

void zygote_tell_groups(struct zygote_client *z, unsigned number)
{
    if (z->state == ZYGOTE_IS_SERVING) {
        send_later(z, &(struct zygote_request){.order = ZYGOTE_GROUPS, .tag = number});
    }
}

/* ---- life ---- */

int zygote_open(struct zygote_client *z, struct reactor *r, struct span boot,
                const struct zygote_events *events, void *ctx)
{
    memset(z, 0, sizeof *z);
    z->reactor = r;
    z->events = events;
    z->ctx = ctx;
    z->boot_fd = memfd_create("titan-boot", MFD_CLOEXEC);
    if (z->boot_fd < 0) {
        return TITAN_E_LIMIT_EXCEEDED;
    }
    if (move_up(&z->boot_fd) < 0 || pwrite(z->boot_fd, boot.at, boot.len, 0) != (ssize_t)boot.len) {
        close(z->boot_fd);
        z->boot_fd = -1;
        return TITAN_E_LIMIT_EXCEEDED;
    }
    return TITAN_OK;
}

/* The forks it has been asked for and has not answered happen all the same: what it says of them is
 * heard, so that none is left behind. */
static void hear_out(struct zygote_client *z)
{
    struct pollfd readable = {.fd = watch_fd(z->socket), .events = POLLIN};

    shutdown(readable.fd, SHUT_WR);
    while (z->unanswered > 0) {
        if (poll(&readable, 1, -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return;
        }
        if (!receive_one(z)) {
            return;
        }
    }
}

void zygote_close(struct zygote_client *z)
{
    if (z->state != ZYGOTE_IS_DOWN) {
        pid_t pid = z->pid;

        /* While it warms up it runs user code and would not see the socket close; stopped by
         * somebody it would see nothing at all. */
        kill(pid, z->state == ZYGOTE_IS_WARMING ? SIGKILL : SIGCONT);
        hear_out(z);
        forget_process(z);
        waitpid(pid, NULL, 0);
    }
    close_all(&z->boot_fd, 1);
}
