/*
 * The manager: every process it started, under the names they are called by, and the zygote they
 * come from. It runs on one loop's thread; it knows no Lua.
 */
#ifndef TITAN_MANAGER_MANAGER_H
#define TITAN_MANAGER_MANAGER_H

#include "base/random.h"
#include "manager/process.h"
#include "manager/spare.h"
#include "spawn/zygote.h"

#define ENDED_KEPT 256 /* processes that have ended and can still be asked about */

/* What the manager's owner hears. A process stays valid from `forked` to manager_close unless more
 * than ENDED_KEPT others have ended after it, `forgotten` says so. */
struct manager_events {
    void (*forked)(void *ctx, struct process *p);
    void (*declared)(void *ctx, struct process *p, struct span payload); /* then process_proceed */
    void (*ready)(void *ctx, struct process *p, struct span payload);
    void (*start_failed)(void *ctx, struct process *p, struct span payload); /* the guest's words */
    /* It lives no more and is to be started again: in so many ms, or KEEP_HELD. */
    void (*down)(void *ctx, struct process *p, int64_t wait_ms);
    void (*ended)(void *ctx, struct process *p);
    /* HEALTH_CHANGED, HEALTH_CRITICAL and HEALTH_ASKED, of those what holds. */
    void (*health)(void *ctx, struct process *p, unsigned what);
    void (*line)(void *ctx, struct process *p, bool is_stderr, const char *text, size_t len);
    /* It asks the manager itself, for a service whose name begins with ":" (own_request.h). */
    void (*asked)(void *ctx, struct process *p, struct span service, const struct message *m);
    void (*forgotten)(void *ctx, struct process *p);
    void (*closed)(
        void *ctx); /* at the end of the turn of manager_close: now manager_free is safe */
};

struct manager {
    struct reactor *reactor;
    const struct manager_events *events;
    void *ctx;
    struct wire_limits limits;
    struct zygote_client zygote;
    const struct thread_guest *thread_guest;
    struct buf boot;             /* what every thread is told */
    struct sched *sched;         /* of isolation "thread"; NULL before the first */
    unsigned threads;            /* that it has; 0: as many as there are processors */
    struct directory *directory; /* of the running ones on threads; NULL before the first */
    struct stock *stock;         /* for those on threads; NULL before the first, or without */
    struct crew *crew;           /* of isolation "worker"; NULL before the first */
    struct list processes;       /* that have not ended, in order of their spawn */
    struct list pending;         /* of these, those that wait for the zygote, */
    struct list startable;       /* and those that wait for the end of the turn alone */
    struct list ended;
    unsigned ended_len;
    struct map by_id;
    struct map by_name;  /* of these */
    struct map pools;    /* of struct pool: that are open, by name */
    struct flusher turn; /* at its end: fork what waits, forget what ended long ago */
    uint64_t next_number;
    uint64_t next_tag;
    struct random random;
    struct spare spare;
    struct timer sweep;
    uint32_t sweep_interval_ms;
    uint32_t interrupt_grace_ms;
    uint32_t spin_us;
    unsigned sweeps;
    struct manager_groups groups;
    bool closing;
    uint64_t closing_ns; /* since when */
};

struct manager_options {
    struct wire_limits limits;  /* of the workers' data connections */
    uint32_t sweep_interval_ms; /* how often the kernel is asked about every process (sweep.c) */
    const char *cgroup_root;    /* NULL, or see cgroups_find; copied */
    /* How long a worker that was interrupted may go on before it is killed (watchdog.h). */
    uint32_t interrupt_grace_ms;
    /* How long threads, this loop's too, look for mail before they sleep, at the most
     * (base/spin.h). Of several managers of a loop the one that was opened last has it its way. 0:
     * not at all. */
    uint32_t spin_us;
    bool spare;       /* whether a worker is forked ahead of its need (spare.h) */
    struct span boot; /* goes to the zygote, which starts at once */
    const struct thread_guest *thread_guest; /* what runs on threads */
    unsigned threads; /* of isolation "thread"; 0: as many as there are processors */
};

int manager_open(struct manager *m, struct reactor *r, const struct manager_options *options,
                 const struct manager_events *events, void *ctx, struct failure *why);

/* Kills and reaps what still lives, without `ended` events. Safe in any callback, and twice: the
 * memory stays until manager_free, which nothing of the manager's may be calling. */
void manager_close(struct manager *m);
void manager_free(struct manager *m);

/* A process under a name that no living one has; it is started in its turn. What happens to it from
 * here on comes as events. */
int manager_spawn(struct manager *m, const struct process_spec *spec, struct process **out,
                  struct failure *why);

/* Another name, which no living process has. False when memory is out. */
bool manager_rename(struct manager *m, struct process *p, const char *name);

struct process *manager_find_id(const struct manager *m, const char *id, size_t len);
struct process *manager_find_name(const struct manager *m, const char *name, size_t len);

/* ---- for process.c ---- */

void manager_process_ended(struct manager *m, struct process *p);
void manager_requeue(struct manager *m, struct process *p);

/* The liveness sweep, and the next one after the interval. False when memory is out. */
bool manager_sweep_later(struct manager *m);

/* A request from a worker to another service (relay.c). */
void manager_relay(struct manager *m, struct process *from, const struct message *request);
void manager_relay_cancel(struct process *from, uint32_t id);
void manager_relay_credit(struct process *from, uint32_t id, uint32_t bytes);
void manager_relays_drop(struct process *from);

#endif
