/*
 * A pool: workers of one class behind one queue.
 *
 * States (pool_states.c):
 *
 *     ENDED     no workers; what a pool is before its first start and after a stop
 *     STARTING  the first workers start; calls wait
 *     RUNNING   enough of them are ready
 *     DRAINING  takes no new calls, finishes those it has
 *     STOPPING  its workers are asked to end; calls that wait have failed
 *     FAILED    no worker is left and none will come; can be started again
 *
 * A worker's states:
 *
 *     STARTING  its process is being made or loads its module, for the first time or again
 *     WARMING   its host warms it up
 *     UP        takes calls
 *     DOWN      its process has ended and will be started again
 *     RETIRING  takes no more calls; when it has finished those it has, its process is stopped
 *     GONE      its process has ended for good; its calls end in this turn
 *
 * Promises:
 *  - a call that pool_take let in is granted or refused exactly once, unless it is forgotten; it is
 *    never left waiting while a worker is free;
 *  - a worker that crashes comes back as the same process, after what its restart policy says,
 *    without the host; when the policy gives up, the worker leaves the pool;
 *  - what replaces a worker is ready before that one retires, and a worker that retires finishes
 *    its calls. So while one is replaced there is one process more than the pool's size.
 *
 * The host makes the processes (a process needs what only the host knows of its class) and hears
 * what happens. Everything that changes the set of workers is done at the end of a turn
 * (pool_reconcile), so that no callback of a process takes another one away under its feet.
 */
#ifndef TITAN_MANAGER_POOL_H
#define TITAN_MANAGER_POOL_H

#include "base/breaker.h"
#include "base/map.h"
#include "manager/autoscale.h"
#include "manager/balance.h"
#include "manager/manager.h"
#include "worker/histogram.h"

#define POOL_QUEUED 1          /* of pool_take */
#define POOL_PRIORITY_MAX 1000 /* and down to minus that */
/* A call may kill whoever takes it, and must not take the pool with it. Who did it among the calls
 * of a lost worker nobody knows, so they share the blame: 1000 for a worker that died while a
 * method ran, 250 for one that was killed while all of them waited. A call with so much of it is
 * not retried any more: five workers that it had to itself, or many more that it shared. */
#define POOL_BLAME_MAX 5000
#define POOL_BLAME_RUNNING 1000
#define POOL_BLAME_WAITING 250

struct pool;
struct pool_worker;
struct pool_call;

enum pool_state {
    POOL_ENDED,
    POOL_STARTING,
    POOL_RUNNING,
    POOL_DRAINING,
    POOL_STOPPING,
    POOL_FAILED,
    POOL_STATES
};

enum pool_worker_state {
    POOL_WORKER_STARTING,
    POOL_WORKER_WARMING,
    POOL_WORKER_UP,
    POOL_WORKER_DOWN,
    POOL_WORKER_RETIRING,
    POOL_WORKER_GONE
};

struct pool_options {
    enum strategy strategy;
    uint32_t min, max;         /* of what idleness and autoscaling make of the size */
    uint32_t max_queue;        /* calls that may wait */
    uint32_t max_concurrency;  /* calls that one worker has at a time */
    uint32_t stop_timeout_ms;  /* of the process of a worker that has finished its calls */
    uint64_t recycle_after;    /* calls after which a worker is replaced; 0: never */
    uint32_t max_lifetime_ms;  /* 0: none. Both are cut by up to a tenth, another for each worker */
    uint32_t idle_timeout_ms;  /* without a call for so long: retired, down to min; 0: never */
    uint64_t memory_limit_len; /* of PSS, else RSS; 0: none */
    uint64_t memory_warning_len; /* 0: none */
    const uint32_t *weights;     /* by slot, from 1; the host's; NULL: all 1 */
    uint32_t weights_len;
    bool warms; /* `warm` is called for each worker, and pool_worker_warmed is the answer */
    bool replace_unhealthy;
    bool has_breaker;
    struct breaker_policy breaker;
    uint32_t scale_interval_ms;    /* 0: no autoscaling */
    struct autoscale_policy scale; /* its min and max are set by pool_open */
};

/* What the host hears of the pool itself. */
enum pool_news {
    POOL_NEWS_READY,    /* RUNNING */
    POOL_NEWS_FAILED,   /* FAILED, and no process is left: why */
    POOL_NEWS_ENDED,    /* ENDED: no process is left */
    POOL_NEWS_DRAINED,  /* DRAINING: no call is left */
    POOL_NEWS_SETTLED,  /* all workers are UP, and those that were too many have ended */
    POOL_NEWS_GAVE_UP,  /* a worker has left because it cannot be started (again): why */
    POOL_NEWS_RELOADED, /* nobody is left who was there at the last pool_reload; or why not */
    POOL_NEWS_SIZE,     /* another size: p->scaled tells */
    POOL_NEWS_MEMORY    /* p->told is beyond memory_warning_len */
};

struct pool_events {
    /* Make a process for the worker, with &w->keeper: then pool_worker_spawned or
     * pool_worker_failed, now or later. */
    void (*spawn)(void *ctx, struct pool_worker *w);
    void (*warm)(void *ctx, struct pool_worker *w);
    void (*news)(void *ctx, enum pool_news what, const struct failure *why); /* why may be NULL */
};

struct pool_worker {
    struct keeper keeper;
    struct pool *pool;
    struct list link; /* in pool->workers, in the order of their birth */
    struct seat seat;
    bool seated; /* the balancer knows the seat */
    bool open;   /* and may pick it */
    enum pool_worker_state state;
    struct process *process; /* NULL before it is made and after it has ended */
    uint32_t number;         /* of the worker; never used again in this pool */
    uint32_t slot;           /* from 1; the one that replaces it has the same */
    uint32_t generation;     /* pool->generation at its birth */
    uint32_t active;         /* calls it has */
    uint64_t calls;          /* in this life of the process */
    uint64_t call_limit;     /* of one life, recycle_after with its jitter */
    uint64_t born_ms;        /* UP since then */
    uint32_t lifetime_ms;    /* max_lifetime with its jitter */
    uint64_t last_used_ms;
    uint64_t memory_len; /* the last sample */
    uint32_t life;       /* how often its process was ready */
    bool was_up;
    uint32_t window_ms; /* of its restart policy; 0: it has none */
    uint32_t blame;     /* of each call that it had when it was lost */
    bool shunned;       /* unhealthy: not to be picked any more */
    bool warned;        /* of its memory */
    bool gave_up;
    bool surplus; /* it retires because the pool is to be smaller */
    bool stop_sent;
    bool mourned;                    /* GONE, and the pool has done what follows from it */
    const char *due;                 /* why it is to be replaced; NULL: it is not */
    struct pool_worker *replacement; /* on its way */
    struct pool_worker *replaces;    /* who retires when this one is UP */
    struct failure why;              /* it has not come up, or not come back */
};

struct pool {
    struct manager *manager; /* NULL when closed */
    struct map_node by_name; /* in manager->pools */
    const char *name;        /* the host's */
    const struct pool_events *events;
    void *ctx;
    struct pool_options options;
    enum pool_state state;
    struct list workers;
    struct balancer balancer;
    uint32_t target;  /* how many workers it should have */
    uint32_t missing; /* of the size that was wanted: given up, and to be tried again */
    uint64_t grow_again_ms;
    uint32_t wait_for; /* how many have to be UP before it is RUNNING */
    uint32_t open_len; /* workers that the balancer may pick */
    uint32_t active;   /* calls granted */
    struct heap queue; /* of struct pool_call: highest priority, then oldest, first */
    uint64_t order;    /* of the calls */
    uint32_t next_number;
    uint32_t generation;
    bool reloading;
    bool unsettled; /* POOL_NEWS_SETTLED is still to be told */
    bool drain_told;
    bool end_told;                 /* of this start: POOL_NEWS_ENDED or POOL_NEWS_FAILED */
    uint32_t stop_timeout_ms;      /* of STOPPING */
    struct pool_worker *reload_at; /* the replacement that the reload waits for */
    uint64_t replace_after_ms;     /* after one that failed */
    struct failure why;            /* of FAILED */
    struct flusher turn;           /* pool_reconcile */
    struct timer care;             /* pool_care.c */
    struct timer scale_alarm;
    uint64_t sampled_ms; /* the memory of the workers */
    struct breaker breaker;
    struct autoscale autoscale;
    struct histogram_sum scale_latency; /* what `latency` was at the last sample */
    uint64_t scale_cpu_ns;
    uint64_t scale_at_ns;
    struct {
        uint32_t from, to;
        const char *reason;
    } scaled;                 /* for POOL_NEWS_SIZE */
    struct pool_worker *told; /* for POOL_NEWS_MEMORY */
    uint64_t calls, errors, retries, rejected;
    struct histogram latency; /* from the grant to the answer */
};

/* A call as the pool sees it; lives inside its owner. Zeroed memory is none. */
struct pool_call {
    struct heap_node node;      /* in pool->queue */
    struct pool *pool;          /* NULL when it is not under way */
    struct pool_worker *worker; /* NULL while it waits */
    struct timer deadline;      /* while it waits */
    uint64_t deadline_ms;       /* of the loop; UINT64_MAX: none */
    uint32_t timeout_ms;        /* 0: none */
    int32_t priority;
    uint64_t hash; /* of its key */
    uint64_t order;
    uint64_t ticket; /* of the breaker; 0: none */
    uint64_t granted_ns;
    uint32_t blame; /* for the workers that were lost with it */
    /* It waits no more: it has a worker (why == NULL, and nothing of the caller may run in this
     * callback), or it will never have one, and is not under way any more. */
    void (*left)(struct pool_call *c, const struct failure *why);
};

/* ---- the pool ---- */

/* ENDED, under a name that no other pool of the manager has. The pool must stay where it is. */
int pool_open(struct pool *p, struct manager *m, const char *name, const struct pool_options *o,
              const struct pool_events *events, void *ctx, struct failure *why);

/* Forgets everything at once; calls that wait end with `destroyed`. Its processes are left to the
 * manager. Safe to call twice. pool_free: nothing may be under way any more but what is forgotten.
 */
void pool_close(struct pool *p);
void pool_free(struct pool *p);

/* In ENDED or FAILED: `size` workers; ready when `wait_for` of them are. Any other state is left
 * alone. */
void pool_start(struct pool *p, uint32_t size, uint32_t wait_for);

/* Calls that wait end with `destroyed`; those under way have so long, then the workers are killed.
 */
void pool_stop(struct pool *p, uint32_t timeout_ms);

void pool_drain(struct pool *p);
void pool_scale(struct pool *p, uint32_t size, const char *reason);
void pool_reload(struct pool *p);

const char *pool_state_name(const struct pool *p);

/* Workers that are, or are to be, of the pool: neither on their way out nor a replacement that is
 * still to come up. Those of them with a call under way. */
uint32_t pool_size(const struct pool *p);
uint32_t pool_busy(const struct pool *p);

struct pool *manager_find_pool(const struct manager *m, const char *name, size_t len);

/* ---- its workers, for the host ---- */

struct pool_worker *pool_worker_numbered(struct pool *p, uint32_t number);
void pool_worker_spawned(struct pool_worker *w, struct process *process);
void pool_worker_failed(struct pool_worker *w, const struct failure *why);
/* `life` is the w->life of the `warm`; why == NULL: it went well. */
void pool_worker_warmed(struct pool_worker *w, uint32_t life, const struct failure *why);

/* It does not answer its health checks: it is replaced if replace_unhealthy says so, and takes no
 * more calls meanwhile. */
void pool_worker_unhealthy(struct pool_worker *w);

/* The worker of a process that a pool keeps; NULL for any other. */
struct pool_worker *pool_worker_of(const struct process *process);

const char *pool_worker_state_name(const struct pool_worker *w);

/* ---- calls ---- */

/*
 * Lets a call in: the caller has set timeout_ms, priority, hash and left. TITAN_OK: c->worker is
 * there to be sent to. POOL_QUEUED: `left` will be called. Else `why`: overloaded, circuit_open,
 * shutting_down, destroyed, worker_lost.
 */
int pool_take(struct pool *p, struct pool_call *c, struct failure *why);

/* `to`, which is none, takes the place of a call that has a worker, or of none. */
void pool_call_move(struct pool_call *from, struct pool_call *to);

/* What is left of its time for the call to its worker, at least 1; 0: no deadline. */
uint32_t pool_call_left_ms(const struct pool_call *c);

/* The call has ended with this code of titan.h. What it has learned of the worker is noted. */
void pool_give_back(struct pool_call *c, int code);

/* Instead of pool_give_back after TITAN_E_WORKER_LOST: again, on another worker, as pool_take; the
 * time goes on. `sent`: the worker may have been lost by this call. When it fails the call has been
 * given back, and `why` says why: for one that was sent it is not touched. */
int pool_take_again(struct pool_call *c, bool sent, struct failure *why);

/* Nobody waits for it any more, whether it waits or has a worker. Does nothing for none. */
void pool_call_forget(struct pool_call *c);

#endif
