/* What the parts of a pool share with each other and with nobody else. */
#ifndef TITAN_MANAGER_POOL_PARTS_H
#define TITAN_MANAGER_POOL_PARTS_H

#include "manager/pool.h"

static inline struct reactor *pool_reactor(const struct pool *p)
{
    return p->manager->reactor;
}

static inline uint64_t pool_now_ms(const struct pool *p)
{
    return reactor_now_ms(p->manager->reactor);
}

/* The workers are looked after at the end of this turn. */
static inline void pool_look(struct pool *p)
{
    if (p->manager != NULL) {
        reactor_flush_later(p->manager->reactor, &p->turn);
    }
}

/* ---- pool_states.c ---- */

enum pool_event {
    POOL_EVENT_START,
    POOL_EVENT_ENOUGH, /* as many are UP as were waited for */
    POOL_EVENT_BROKEN, /* no worker is left and none will come, or a first one cannot start */
    POOL_EVENT_DRAIN,
    POOL_EVENT_STOP,
    POOL_EVENT_EMPTY, /* the last process has ended */
    POOL_EVENTS
};

void pool_dispatch(struct pool *p, enum pool_event event);

/* ---- pool_calls.c ---- */

/* While somebody waits and somebody is free. */
void pool_grant(struct pool *p);

/* Ends all calls that wait. */
void pool_refuse_all(struct pool *p, const struct failure *why);

/* ---- pool_workers.c ---- */

static inline bool pool_worker_counts(const struct pool_worker *w)
{
    return w->state < POOL_WORKER_RETIRING && w->replaces == NULL;
}

/* The balancer may pick it from now on, or not. */
void pool_worker_open(struct pool_worker *w, bool open);

/* A new worker, which the host is asked to make; NULL when memory is out. */
struct pool_worker *pool_worker_new(struct pool *p, struct pool_worker *replaces);

void pool_worker_part(struct pool_worker *w);

/* It finishes its calls, then its process is stopped; so does what was to replace it. */
void pool_worker_retire(struct pool_worker *w);

/* Asks its process to stop, now. */
void pool_worker_stop(struct pool_worker *w, uint32_t timeout_ms);

void pool_worker_free(struct pool_worker *w);

/* ---- pool_upkeep.c ---- */

void pool_reconcile(struct flusher *f);

/* ---- pool_care.c ---- */

void pool_care_start(struct pool *p);
void pool_care_stop(struct pool *p);

void pool_tell(struct pool *p, enum pool_news what, const struct failure *why);
void pool_tell_size(struct pool *p, uint32_t from, const char *reason);

#endif
