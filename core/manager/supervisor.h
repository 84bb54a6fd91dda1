/*
 * A supervisor: children that are started left to right, kept alive, and stopped right to left.
 *
 * It is told what happens and notes it; what is to be done about it, it does at the end of the turn
 * (supervisor_work), by comparing what every child is with what it should be. So nothing here is
 * ever entered twice, and whoever reports need not fear what follows.
 *
 *     STOPPED --start--> STARTING --all are up--> RUNNING
 *        ^                   |                       |
 *        |                   `--stop, or a critical--'
 *        |                      child gives up
 *        `----all are down---- STOPPING
 *
 * Promises:
 *  - a child that crashed waits what its restart policy says of the restarts inside the window;
 *    more of them than max_restarts, and it is FAILED; a critical one takes the supervisor with it,
 *    which then reports to its own supervisor as a crash of its own;
 *  - one_for_all and rest_for_one take the group down, right to left, before they start it again,
 *    left to right; an optional child is never part of a group;
 *  - from supervisor_stop on nothing is started, whatever backoff or decision is pending;
 *  - a child that somebody stopped on purpose, or that is temporary, stays down; one that somebody
 *    brings back is up, whatever was pending about it.
 *
 * What a child is, it does not know: see struct child_ops. All on the loop's thread.
 */
#ifndef TITAN_MANAGER_SUPERVISOR_H
#define TITAN_MANAGER_SUPERVISOR_H

#include "base/errors.h"
#include "base/list.h"
#include "manager/restart.h"

#define CHILD_NAME_MAX 64
#define SHUTDOWN_FOREVER UINT32_MAX

enum supervisor_strategy { ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE, SIMPLE_ONE_FOR_ONE };

enum child_restart {
    CHILD_PERMANENT, /* after every end */
    CHILD_TRANSIENT, /* after a crash */
    CHILD_TEMPORARY  /* never */
};

enum child_state {
    CHILD_STOPPED, /* it is down, and is wanted so unless it is about to be started */
    CHILD_STARTING,
    CHILD_UP,
    CHILD_STOPPING,
    CHILD_CRASHED, /* down; waits for its backoff, its group or a decision */
    CHILD_FAILED   /* given up */
};

enum supervisor_state {
    SUPERVISOR_STOPPED,
    SUPERVISOR_STARTING,
    SUPERVISOR_RUNNING,
    SUPERVISOR_STOPPING
};

/* What is done about a crash. */
enum crash_decision {
    DECIDE_RESTART,  /* what restart type and policy say */
    DECIDE_IGNORE,   /* it stays down */
    DECIDE_ESCALATE, /* the supervisor gives up */
    DECIDE_SHUTDOWN  /* the supervisor stops in order */
};

struct supervisor;
struct child;

/* What every kind of child can do. Called by supervisor_work alone; answers may come at once. */
struct child_ops {
    /* Answered by child_up or child_start_failed. */
    void (*start)(struct child *c);
    /* Answered by child_down, whatever comes first. It may be starting. */
    void (*stop)(struct child *c, uint32_t timeout_ms);
    /* It is down and will not be started again soon: lets go of what was kept for that. */
    void (*let_go)(struct child *c);
    /* It is removed. */
    void (*free)(struct child *c);
};

struct child_spec {
    const char *name;
    enum child_restart restart;
    bool critical;                /* giving it up gives the supervisor up */
    bool optional;                /* nobody waits for it, and no group includes it */
    uint32_t shutdown_timeout_ms; /* 0 kills at once */
    struct restart_policy policy;
};

struct child {
    struct list link; /* in supervisor->children, left to right */
    struct supervisor *parent;
    const struct child_ops *ops;
    char name[CHILD_NAME_MAX + 1];
    struct child_spec spec;
    enum child_state state;
    bool wanted;    /* it should be up */
    bool queued;    /* started only after those left of it that are queued, too */
    bool recycled;  /* to be taken down first: its group restarts */
    bool undecided; /* its crash waits for supervisor_decide, or its owner is being told of it */
    bool removed;   /* to be freed once it is down; never started again */
    bool has_lived; /* was up since somebody started it or its supervisor by hand */
    uint64_t due_ms;
    unsigned restarts;
    struct restart_history history;
    struct failure last_error;
};

/* What its owner hears of it. */
struct supervisor_events {
    void (*starting)(struct supervisor *s); /* by supervisor_start, whoever called it */
    void (*started)(struct supervisor *s);
    /* Everything that was up is down again; the failure is s->failure. `stopped` follows when
     * somebody asked for a stop meanwhile. */
    void (*start_failed)(struct supervisor *s);
    /* In order; or, with s->failure set, because it gave up. */
    void (*stopped)(struct supervisor *s);
    void (*child_up)(struct supervisor *s, struct child *c);
    /* c->last_error says why. When `asks`, supervisor_decide is awaited. */
    void (*child_crashed)(struct supervisor *s, struct child *c, bool asks);
    void (*child_stopped)(struct supervisor *s, struct child *c); /* for good unless c->wanted */
    void (*child_start_failed)(struct supervisor *s, struct child *c);
    void (*child_failed)(struct supervisor *s, struct child *c); /* given up */
    void (*child_removed)(struct supervisor *s, struct child *c);
};

/* Time and the end of the turn, so that a test can be both. */
struct supervisor_clock {
    uint64_t (*now_ms)(struct supervisor *s);
    /* supervisor_work is to be called at the end of this turn, or in so many ms (UINT64_MAX: no
     * more); each forgets what it was told before. False when memory is out. */
    void (*work_soon)(struct supervisor *s);
    bool (*work_in)(struct supervisor *s, uint64_t ms);
};

struct supervisor {
    const struct supervisor_events *events;
    const struct supervisor_clock *clock;
    struct random *random;
    enum supervisor_strategy strategy;
    enum supervisor_state state;
    bool decides;    /* crashes wait for supervisor_decide */
    bool starts;     /* the stop under way is that of a start that failed */
    bool on_purpose; /* the stop was asked for */
    struct list children;
    struct failure failure; /* why it gave up; TITAN_OK otherwise */
    struct child *as_child; /* of its own supervisor; NULL for a root */
};

void supervisor_init(struct supervisor *s, enum supervisor_strategy strategy, bool decides,
                     struct random *random, const struct supervisor_clock *clock,
                     const struct supervisor_events *events);

/* Frees the children, whatever their state; nothing is stopped and nobody is told. */
void supervisor_drop_children(struct supervisor *s);

/* Ends in `started` or `start_failed`; does nothing unless it is STOPPED. */
void supervisor_start(struct supervisor *s);

/* Ends in `stopped` (and `start_failed` for a start that was under way). */
void supervisor_stop(struct supervisor *s);

/* `ops` and the memory of the child are its kind's. Started at once when the supervisor runs. */
void supervisor_add(struct supervisor *s, struct child *c, const struct child_ops *ops,
                    const struct child_spec *spec);

struct child *supervisor_child(const struct supervisor *s, const char *name);

/* Stops it, then frees it. */
void supervisor_remove(struct supervisor *s, struct child *c);

/* Stops it if it is up, then starts it, with an empty history. */
void supervisor_restart(struct supervisor *s, struct child *c);

/* The answer to `child_crashed`, there or later. Too late, or not asked for, it does nothing. */
void supervisor_decide(struct supervisor *s, struct child *c, enum crash_decision decision,
                       const char *why);

/* For the clock: does what is to be done. */
void supervisor_work(struct supervisor *s);

/* ---- what a kind of child reports ---- */

void child_up(struct child *c);
void child_start_failed(struct child *c, const struct failure *why);

/* It is down: stopped by the supervisor, or by itself. */
void child_down(struct child *c);
void child_crashed(struct child *c, const struct failure *why);

/* It is down because somebody else wanted it so. */
void child_withdrawn(struct child *c);

const char *child_state_name(const struct child *c);

#endif
