/* The state machine of a pool: its events, its transitions, what they do. The workers are looked
 * after in pool_upkeep.c. */
#include <string.h>

#include "manager/pool_parts.h"

typedef void (*action)(struct pool *p);

static const action transitions[POOL_STATES][POOL_EVENTS];

void pool_dispatch(struct pool *p, enum pool_event event)
{
    transitions[p->state][event](p);
}

const char *pool_state_name(const struct pool *p)
{
    static const char *const names[POOL_STATES] = {
        [POOL_ENDED] = "ended",       [POOL_STARTING] = "starting", [POOL_RUNNING] = "running",
        [POOL_DRAINING] = "draining", [POOL_STOPPING] = "stopping", [POOL_FAILED] = "failed",
    };

    return names[p->state];
}

/* ---- actions ---- */

static void ignore(struct pool *p)
{
    (void)p;
}

static void start(struct pool *p)
{
    p->state = POOL_STARTING;
    p->why = (struct failure){0};
    p->unsettled = true;
    p->drain_told = false;
    p->end_told = false;
    p->reloading = false;
    breaker_init(&p->breaker, &p->options.breaker);
    pool_care_start(p);
    pool_look(p);
}

static void run(struct pool *p)
{
    p->state = POOL_RUNNING;
    pool_tell(p, POOL_NEWS_READY, NULL);
}

static void drain(struct pool *p)
{
    p->state = POOL_DRAINING;
    pool_look(p);
}

/* What still lives is stopped; whoever waits is told at once. */
static void stop_workers(struct pool *p, uint32_t timeout_ms)
{
    for (struct list *l = p->workers.next; l != &p->workers; l = l->next) {
        pool_worker_stop(list_entry(l, struct pool_worker, link), timeout_ms);
    }
    p->reload_at = NULL;
    p->target = 0;
    pool_care_stop(p);
    pool_look(p);
}

/* Nothing of a start that failed is worth a graceful end. */
static void break_start(struct pool *p)
{
    p->state = POOL_FAILED;
    stop_workers(p, 0);
    pool_refuse_all(p, &p->why);
}

static void break_down(struct pool *p)
{
    struct failure why;

    p->state = POOL_FAILED;
    stop_workers(p, p->options.stop_timeout_ms);
    fail(&why, TITAN_E_WORKER_LOST, "the pool has no worker left: %s", p->why.message);
    pool_refuse_all(p, &why);
}

static void stop(struct pool *p)
{
    struct failure why;

    p->state = POOL_STOPPING;
    stop_workers(p, p->stop_timeout_ms);
    fail(&why, TITAN_E_DESTROYED, "the pool has been stopped");
    pool_refuse_all(p, &why);
}

/* A sooner deadline counts. */
static void stop_sooner(struct pool *p)
{
    stop_workers(p, p->stop_timeout_ms);
}

static void tell_failed(struct pool *p)
{
    struct failure why = p->why;

    pool_tell(p, POOL_NEWS_FAILED, &why);
}

static void end(struct pool *p)
{
    p->state = POOL_ENDED;
    pool_tell(p, POOL_NEWS_ENDED, NULL);
}

/* A stop after it has failed: what is left ends as it does anyway. */
static void stop_failed(struct pool *p)
{
    p->state = POOL_STOPPING;
    p->end_told = false;
    stop_workers(p, p->stop_timeout_ms);
}

/* Everything a state can be told. */
static const action transitions[POOL_STATES][POOL_EVENTS] = {
    [POOL_ENDED] =
        {
            [POOL_EVENT_START] = start,
            [POOL_EVENT_ENOUGH] = ignore,
            [POOL_EVENT_BROKEN] = ignore,
            [POOL_EVENT_DRAIN] = ignore,
            [POOL_EVENT_STOP] = ignore,
            [POOL_EVENT_EMPTY] = ignore,
        },
    [POOL_STARTING] =
        {
            [POOL_EVENT_START] = ignore,
            [POOL_EVENT_ENOUGH] = run,
            [POOL_EVENT_BROKEN] = break_start,
            [POOL_EVENT_DRAIN] = drain,
            [POOL_EVENT_STOP] = stop,
            [POOL_EVENT_EMPTY] = ignore,
        },
    [POOL_RUNNING] =
        {
            [POOL_EVENT_START] = ignore,
            [POOL_EVENT_ENOUGH] = ignore,
            [POOL_EVENT_BROKEN] = break_down,
            [POOL_EVENT_DRAIN] = drain,
            [POOL_EVENT_STOP] = stop,
            [POOL_EVENT_EMPTY] = ignore,
        },
    [POOL_DRAINING] =
        {
            [POOL_EVENT_START] = ignore,
            [POOL_EVENT_ENOUGH] = ignore,
            [POOL_EVENT_BROKEN] = break_down,
            [POOL_EVENT_DRAIN] = ignore,
            [POOL_EVENT_STOP] = stop,
            [POOL_EVENT_EMPTY] = ignore,
        },
    [POOL_STOPPING] =
        {
            [POOL_EVENT_START] = ignore,
            [POOL_EVENT_ENOUGH] = ignore,
            [POOL_EVENT_BROKEN] = ignore,
            [POOL_EVENT_DRAIN] = ignore,
            [POOL_EVENT_STOP] = stop_sooner,
            [POOL_EVENT_EMPTY] = end,
        },
    [POOL_FAILED] =
        {
            [POOL_EVENT_START] = start,
            [POOL_EVENT_ENOUGH] = ignore,
            [POOL_EVENT_BROKEN] = ignore,
            [POOL_EVENT_DRAIN] = ignore,
            [POOL_EVENT_STOP] = stop_failed,
            [POOL_EVENT_EMPTY] = tell_failed,
        },
};
