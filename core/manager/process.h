/*
 * One worker process from the wish for it to its last word.
 *
 * States, and what the world sees of them (process_status_name):
 *
 *     PENDING   waits for the zygote                                          pending
 *     FORKING   the zygote was asked                                          pending
 *     ABORTING  it is being given up: if it exists after all, it is killed    stopping
 *     STARTING  it exists and loads its module                                starting
 *     RUNNING   it takes calls                                                running
 *     STOPPING  it finishes what it has, until the deadline                   stopping
 *     CLOSING   it has closed its connection or failed to start: it should
 *               exit by itself in a moment                                    stopping
 *     KILLED    SIGKILL was sent to its group                                 stopping
 *     DOWN      reaped, and to be started again: at the end of its backoff, or
 *               when its keeper says so                   stopped, failed or crashed
 *     ENDED     reaped; nothing happens any more          stopped, failed or crashed
 *
 * Promises: an exit is counted once, however it was noticed. The group is killed while the leader
 * is still a zombie, so the number cannot have become somebody else's. Whatever the worker had
 * answered or printed before it died is delivered before `down` or `ended` is reported. A restart
 * is another life of the same process: its id, its name and who holds it stay.
 */
#ifndef TITAN_MANAGER_PROCESS_H
#define TITAN_MANAGER_PROCESS_H

#include "base/map.h"
#include "manager/body.h"
#include "manager/health.h"
#include "manager/output.h"
#include "manager/process_limits.h"
#include "manager/restart.h"
#include "manager/watchdog.h"
#include "rpc/peer.h"
#include "spawn/thread.h"
#include "worker/status.h"

#define PROCESS_ID_MAX 24
#define PROCESS_NAME_MAX 64

struct manager;

enum process_state {
    PROCESS_PENDING,
    PROCESS_FORKING,
    PROCESS_ABORTING,
    PROCESS_STARTING,
    PROCESS_RUNNING,
    PROCESS_STOPPING,
    PROCESS_CLOSING,
    PROCESS_KILLED,
    PROCESS_DOWN,
    PROCESS_ENDED,
    PROCESS_STATES
};

/* What an ended process ended as. */
enum process_outcome { OUTCOME_NONE, OUTCOME_STOPPED, OUTCOME_FAILED, OUTCOME_CRASHED };

struct process;

/* Answers of a keeper, beside a time to wait in ms. */
#define KEEP_NEVER (-1) /* it has ended for good */
#define KEEP_HELD (-2)  /* it stays down until process_revive or process_stop */

/* Who decides what follows when a process has gone down: a supervisor, a pool. Without one its own
 * restart policy does. A keeper outlives its processes. */
struct keeper {
    /* It is reaped, in DOWN, and p->outcome says as what; calls under way end after this. Must not
     * stop or revive this process itself. Returns ms, KEEP_HELD or KEEP_NEVER. */
    int64_t (*down)(struct keeper *k, struct process *p);
    void (*up)(struct keeper *k, struct process *p);    /* ready, the first time or again */
    void (*ended)(struct keeper *k, struct process *p); /* for good; it may be forgotten soon */
    /* NULL, or: its health has changed. Then it is the keeper's to end one that hangs; without this
     * (and without a keeper) it is killed, if its options say so. May stop it. */
    void (*health)(struct keeper *k, struct process *p, enum health_verdict verdict);
};

struct process {
    struct manager *manager;
    struct list link;      /* in manager->processes, or manager->ended */
    struct list queued;    /* in manager->pending while PENDING */
    struct list relays;    /* of struct relay: what it asks of other services */
    struct list asked;     /* of struct own_request: what it asks of the manager itself */
    struct map relay_ids;  /* the same by the number of the request */
    struct map_node by_id; /* in manager->by_id */
    struct map_node by_name;
    char id[PROCESS_ID_MAX];
    char name[PROCESS_NAME_MAX + 1];
    enum process_state state;
    enum process_outcome outcome;
    bool stop_asked;
    bool was_ready; /* in this life */
    bool has_lived; /* was ready in this life or one before */
    unsigned restart_count;
    unsigned swept;     /* the last sweep that looked at it */
    unsigned numbering; /* of its public methods: another after a restart that changed it */
    struct restart_policy restart;
    struct restart_history restarts;
    struct keeper *keeper;  /* or NULL */
    uint64_t tag;           /* of the fork asked for; another one after each try */
    unsigned zygote_number; /* which zygote was asked */
    struct buf spec;
    struct cargo cargo; /* of the spec, until it has ended */
    const struct body *body;
    pid_t pid; /* 0 until forked */
    int pidfd; /* -1 until forked and after the end; the watch owns it */
    struct watch *exit;
    struct thread *thread; /* or NULL; held */
    bool thread_over;      /* it has said its last word */
    bool reaped;           /* joined, or given up */
    struct peer data;
    struct peer control;
    struct status_page *status; /* stays mapped for reports */
    struct health health;
    struct watchdog watchdog;
    struct process_limits limits;
    struct output out;
    struct output err;
    struct timer alarm; /* the startup timeout, the stop deadline, CLOSING's grace, the backoff */
    uint32_t startup_timeout_ms;
    uint32_t call_timeout_ms;
    uint64_t start_wall_ms;
    uint64_t end_wall_ms; /* 0 while it lives */
    uint64_t started_ns;
    uint64_t ended_ns;
    bool exit_known;
    int exit_code;   /* -1: killed by a signal, or not known */
    int exit_signal; /* 0: none */
    struct failure last_error;
    struct failure *last_life_error; /* why there was a restart; NULL before the first */
};

/* The id of the next process that is spawned. */
void process_next_id(const struct manager *m, char id[PROCESS_ID_MAX]);

/* What process_spawn needs to know; everything is copied. */
struct process_spec {
    const char *name;
    const struct body *body; /* NULL: body_process */
    struct span spec;        /* a MessagePack value for the worker's guest */
    struct cargo *cargo;     /* what that refers to, which the process takes over; or NULL */
    uint32_t startup_timeout_ms;
    uint32_t call_timeout_ms; /* 0: calls have no deadline of their own */
    struct restart_policy restart;
    struct keeper *keeper; /* NULL: the policy decides */
};

/* Asks the worker to stop; it is killed after timeout_ms (0: at once). A later, sooner deadline
 * counts; a process that has ended is left alone. */
void process_stop(struct process *p, uint32_t timeout_ms);

/* Sends a signal; SIGKILL goes to the whole process group. 0 or -errno (-ESRCH: it is gone,
 * -ENOTSUP: a thread takes no other). */
int process_kill(struct process *p, int signal);

/* After `declared`: lets the worker go on, or gives up on it. Does nothing when it is too late. */
void process_proceed(struct process *p, struct span payload);
void process_refuse(struct process *p, const struct failure *why);

/* In `declared` or `ready`: the payload is not what it should be. Ends the worker. */
void process_blame(struct process *p, const char *why);

/* Moves the end of the startup, counted from the spawn. */
void process_set_startup_timeout(struct process *p, uint32_t timeout_ms);

/* In DOWN: starts it again, in so many ms; any other state is left alone. Not inside the keeper's
 * `down` or the event of that name. */
void process_revive(struct process *p, uint32_t wait_ms);

/* In DOWN: it has ended, as what it ended as. */
void process_let_go(struct process *p);

/* Whether a call may be sent to it now; else the error that the caller gets. */
int process_callable(const struct process *p, struct failure *why);

const char *process_status_name(const struct process *p);

/* "exited with code 3", "was killed by SIGKILL", for people. `text` has room for `len` bytes. */
void process_describe_exit(const struct process *p, char *text, size_t len);

/* ---- for manager.c ---- */

/* A new process in PENDING, linked nowhere. NULL when memory is out. */
struct process *process_new(struct manager *m, const struct process_spec *spec);
void process_free(struct process *p);

/* Makes its body. */
void process_begin(struct process *p);
void process_forked(struct process *p, pid_t pid, int pidfd, int error);
/* A worker nobody waits for: it was given up, or its whole life went by before the zygote's answer
 * was read, and then nothing happens. */
void process_kill_stray(struct manager *m, pid_t pid, int pidfd);
void process_zygote_died(struct process *p); /* another one is to take its place */
void process_adopt(struct process *p);       /* that one wants to know of it */
void process_start_failed(struct process *p, const struct failure *why);

/* While it is RUNNING on a thread it stands in the directory, and others call it directly. */
void process_enter(struct process *p);
void process_strike(struct process *p);

/* Ends it at once and without an event. */
void process_destroy(struct process *p);

#endif
