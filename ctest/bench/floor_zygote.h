/*
 * The smallest zygote: a process with a warm Lua state that forks a worker for every socket it is
 * sent. A worker answers calls, each of which runs a Lua function, until its socket is closed.
 */
#ifndef TITAN_BENCH_FLOOR_ZYGOTE_H
#define TITAN_BENCH_FLOOR_ZYGOTE_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <sys/uio.h>

#include "floor.h"

struct zygote {
    int fd;
    pid_t pid;
};

struct reply {
    char bytes[MESSAGE_LEN];
    pid_t pid; /* of the worker */
};

static inline lua_State *warm_lua(void)
{
    lua_State *L = luaL_newstate();

    if (L == NULL) {
        die("luaL_newstate");
    }
    luaL_openlibs(L);
    if (luaL_dostring(L, "function add(a, b) return a + b end") != LUA_OK) {
        die(lua_tostring(L, -1));
    }
    return L;
}

static inline void serve_calls(int fd, lua_State *L)
{
    struct reply reply = {.pid = getpid()};

    while (read_all(fd, reply.bytes, sizeof reply.bytes)) {
        lua_getglobal(L, "add");
        lua_pushinteger(L, reply.bytes[0]);
        lua_pushinteger(L, 1);
        lua_call(L, 2, 1);
        reply.bytes[0] = (char)lua_tointeger(L, -1);
        lua_pop(L, 1);
        write_all(fd, &reply, sizeof reply);
    }
    _exit(0);
}

static inline void send_fd(int to, int fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec iov = {.iov_base = (char[1]){0}, .iov_len = 1};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    if (sendmsg(to, &message, 0) != 1) {
        die("sendmsg");
    }
}

/* -1 when the other end was closed. */
static inline int receive_fd(int from)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    char byte;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *header;
    int fd = -1;

    if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) != 1) {
        return -1;
    }
    header = CMSG_FIRSTHDR(&message);
    if (header != NULL) {
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
    }
    return fd;
}

static inline void zygote_main(int fd)
{
    lua_State *L = warm_lua();
    int worker_fd;

    signal(SIGCHLD, SIG_IGN); /* the kernel reaps */
    while ((worker_fd = receive_fd(fd)) >= 0) {
        if (fork_child() == 0) {
            close(fd);
            serve_calls(worker_fd, L);
        }
        close(worker_fd);
    }
    _exit(0);
}

static inline struct zygote start_zygote(void)
{
    struct zygote z;
    int fds[2];

    make_socketpair(fds);
    z.pid = fork_child();
    if (z.pid == 0) {
        close(fds[0]);
        zygote_main(fds[1]);
    }
    close(fds[1]);
    z.fd = fds[0];
    return z;
}

/* The workers must have been stopped. */
static inline void stop_zygote(struct zygote *z)
{
    close(z->fd);
    wait_child(z->pid);
}

/* Asks for a worker and calls it at once; returns its socket when it has answered. */
static inline int spawn_and_call(struct zygote *z, pid_t *pid)
{
    struct reply reply = {{0}, 0};
    int fds[2];

    make_socketpair(fds);
    send_fd(z->fd, fds[1]);
    close(fds[1]);
    write_all(fds[0], reply.bytes, sizeof reply.bytes);
    if (!read_all(fds[0], &reply, sizeof reply)) {
        die("worker lost");
    }
    *pid = reply.pid;
    return fds[0];
}

/* Closes a worker's socket and returns when the worker has let go of its own end. */
static inline void stop_worker(int fd)
{
    char byte;

    shutdown(fd, SHUT_WR);
    if (read(fd, &byte, 1) != 0) {
        die("worker still talks");
    }
    close(fd);
}

#endif
