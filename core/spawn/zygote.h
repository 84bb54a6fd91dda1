/*
 * The manager's hold on its zygote: starts it, asks it to fork, starts another when it dies.
 *
 *     DOWN ----start----> WARMING ----READY----> SERVING
 *      ^                     |                      |
 *      +--FAILED or death----+                      |
 *                            ^--------death---------+
 *
 * A zygote that dies while warming up is not tried again by itself (it would most likely die
 * again); the next fork tries.
 */
#ifndef TITAN_SPAWN_ZYGOTE_H
#define TITAN_SPAWN_ZYGOTE_H

#include "base/errors.h"
#include "spawn/zygote_protocol.h"
#include "transport/reactor.h"
#include "wire/message.h"

struct zygote_events {
    /* A fork was answered: `error` is 0 or -errno; the pidfd is the receiver's. */
    void (*forked)(void *ctx, uint64_t tag, pid_t pid, int pidfd, int error);
    /* It has warmed up: it is to be told of the workers that live already, with zygote_adopt. */
    void (*warm)(void *ctx);
    /* It serves: forks may be asked for, also again after a refusal. */
    void (*serving)(void *ctx);
    /* It died while it served, another one is warming up if it can. Forks not yet answered may or
     * may not have happened. */
    void (*died)(void *ctx);
    /* It cannot start or warm up: forks that wait will not happen. */
    void (*failed)(void *ctx, const struct failure *why);
};

enum zygote_state { ZYGOTE_IS_DOWN, ZYGOTE_IS_WARMING, ZYGOTE_IS_SERVING };

struct zygote_client {
    struct reactor *reactor;
    const struct zygote_events *events;
    void *ctx;
    enum zygote_state state;
    struct watch *socket;
    struct watch *exit;
    pid_t pid;
    int boot_fd; /* owned: what every new zygote preloads */
    unsigned unanswered;
    struct buf backlog; /* requests without descriptors that the socket had no room for */
    unsigned deaths;    /* while serving */
};

/* `boot` is the guest's boot data; it is copied. Does not start the zygote yet. */
int zygote_open(struct zygote_client *z, struct reactor *r, struct span boot,
                const struct zygote_events *events, void *ctx);

/* Starts it unless it runs. TITAN_OK, or what is wrong. */
int zygote_start(struct zygote_client *z, struct failure *why);

/* Whether zygote_fork would take a request now; if not, `serving` says when. */
bool zygote_has_room(const struct zygote_client *z);

/* Asks for a worker with these descriptors, which stay the caller's to close. */
int zygote_fork(struct zygote_client *z, uint64_t tag, const int fds[WORKER_FDS],
                struct failure *why);

/* Tells of a worker that a dead zygote forked (not before `warm`), or that a worker's group is
 * gone.
 */
void zygote_adopt(struct zygote_client *z, pid_t pid);
void zygote_release(struct zygote_client *z, pid_t pid);

/* Tells of control groups (spawn/cgroup.h) that it has to remove should the manager die. */
void zygote_tell_groups(struct zygote_client *z, unsigned number);

/* Ends it (it kills what it still knows of) and waits for its exit. */
void zygote_close(struct zygote_client *z);

#endif
