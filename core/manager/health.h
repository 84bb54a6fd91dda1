/*
 * The checks of one process's health: a ping, which its worker answers without Lua, so that it says
 * whether the loop turns, and beside it a call of each of its health_check methods.
 *
 * A check is under way or not; the first comes at a random moment of the first interval, each
 * further one an interval after the end of the last. None is made but in PROCESS_RUNNING. What was
 * asked and not answered in time stays asked: it is not asked again before the answer has come, so
 * that a busy worker does not find a heap of pings. Everything of it is of one life: a restart
 * begins anew.
 */
#ifndef TITAN_MANAGER_HEALTH_H
#define TITAN_MANAGER_HEALTH_H

#include "manager/health_answer.h"
#include "rpc/peer.h"

#define HEALTH_DETAILS_MAX 4096 /* bytes of an answer that are kept */
#define HEALTH_METHOD_LEN 64    /* of a name, with its end */

/* What manager_events.health is told beside HEALTH_CHANGED and HEALTH_CRITICAL. */
#define HEALTH_ASKED 8u /* the check that health_ask wanted has ended, or never will */

struct process;
struct health_ask;

/* Why it is so. Empty, of a process that is well, it takes nothing; what there was no memory for is
 * missing. */
struct health_words {
    struct buf reason;  /* text */
    struct buf details; /* a MessagePack map */
};

struct health {
    struct health_options options;
    struct health_record record;
    struct health_life life;
    struct timer timer; /* the next check, or the end of the one that is under way */
    bool checking;
    bool wanted;             /* somebody waits for the end of a check */
    struct health_ask *asks; /* the ping, then the methods; they know their process */
    unsigned asks_len;       /* 0 while it is not watched */
    unsigned unanswered;     /* of the check under way */
    uint64_t began_ns;
    enum health_finding worst; /* of the check under way */
    struct health_words of_worst;
    bool late; /* the time is over; what has come meanwhile is still to be read */
    bool busy; /* what the last check found */
    struct health_words words;
    uint64_t checked_wall_ms; /* end of the last check, 0 before the first */
    uint64_t since_wall_ms;   /* of the verdict, 0 while it is unknown */
    uint64_t latency_ns;      /* of the last check that was answered in full */
};

/* A method to ask. */
struct health_method {
    const char *name;
    uint32_t number; /* of the wire */
};

/* In manager_events.ready: from now on. Everything is copied. False when memory is out. */
bool health_watch(struct process *p, const struct health_options *options,
                  const struct health_method *methods, unsigned count);

/* Makes a check now, unless one is under way; HEALTH_ASKED comes at its end. False when none can be
 * made of a process that is not running. */
bool health_ask(struct process *p);

/* Calls of checks that have no answer yet: nobody has lost anything when they are lost. */
uint32_t health_outstanding(const struct process *p);

/* ---- for process*.c ---- */

void health_init(struct process *p);

/* No checks any more; a method that is still asked hears that nobody waits. */
void health_stop(struct process *p);

/* The end of a life, of which nothing is kept. */
void health_reset(struct process *p);

/* Its connections are closed: no answer comes any more. */
void health_free(struct process *p);

#endif
