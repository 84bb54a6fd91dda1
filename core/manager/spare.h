/*
 * The spare: a worker that is forked ahead of its need, so that the next spawn or restart finds one
 * that has forked and set itself up, and only has to load its class. It belongs to nobody, knows
 * nothing yet and waits; one a manager, made in a quiet moment: made at once it would take the
 * processor from those who are waited for.
 *
 *     NONE --a quiet moment--> ASKED --the zygote's answer--> READY --taken--> NONE
 *
 * A zygote that dies while the spare is ASKED may have forked it all the same. Its descriptors are
 * closed then, so that it ends by itself; its page says who it was, and the next sweep reaps it.
 */
#ifndef TITAN_MANAGER_SPARE_H
#define TITAN_MANAGER_SPARE_H

#include <sys/types.h>

#include "manager/birth.h"
#include "transport/reactor.h"

struct manager;

enum spare_state { SPARE_NONE, SPARE_ASKED, SPARE_READY };

struct spare {
    enum spare_state state;
    bool wanted; /* the config says so */
    struct timer quiet;
    uint64_t tag; /* of the fork asked for */
    struct birth birth;
    pid_t pid;
    int pidfd; /* when READY */
    struct status_page *unannounced;
};

void spare_init(struct manager *m, bool wanted);

/* A worker has become ready: when no other does for a while, it is time for the next. */
void spare_later(struct manager *m);

/* The spare, if there is one that lives. All of it is the caller's then. */
bool spare_take(struct manager *m, struct birth *birth, pid_t *pid, int *pidfd);

/* The zygote's answer; false when it is not about the spare. */
bool spare_forked(struct manager *m, uint64_t tag, pid_t pid, int pidfd, int error);

void spare_zygote_died(struct manager *m);
void spare_adopt(struct manager *m);

/* Reaps one that a dead zygote forked without saying so; `wait`: its end is waited for. */
void spare_reap(struct manager *m, bool wait);

/* Kills and reaps it. */
void spare_close(struct manager *m);

#endif
