/* A pool from outside: its life, what it can be told. */
#include "manager/pool.h"

#include <stdlib.h>
#include <string.h>

#include "manager/pool_parts.h"

/* ---- life ---- */

int pool_open(struct pool *p, struct manager *m, const char *name, const struct pool_options *o,
              const struct pool_events *events, void *ctx, struct failure *why)
{
    memset(p, 0, sizeof *p);
    list_init(&p->workers);
    p->ctx = ctx;
    p->name = name;
    p->options = *o;
    p->options.scale.min = o->min;
    p->options.scale.max = o->max;
    p->options.scale.max_concurrency = o->max_concurrency;
    p->state = POOL_ENDED;
    flusher_init(&p->turn, pool_reconcile);
    if (!balancer_open(&p->balancer, o->strategy, &m->random)) {
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    if (!map_insert(&m->pools, &p->by_name, name, strlen(name))) {
        balancer_close(&p->balancer);
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    breaker_init(&p->breaker, &o->breaker);
    p->events = events;
    p->manager = m;
    return TITAN_OK;
}

void pool_close(struct pool *p)
{
    struct failure why;

    if (p->manager == NULL) {
        return;
    }
    p->state = POOL_ENDED;
    pool_care_stop(p);
    flusher_cancel(&p->turn);
    map_remove(&p->manager->pools, &p->by_name);
    for (struct list *l = p->workers.next; l != &p->workers; l = l->next) {
        struct pool_worker *w = list_entry(l, struct pool_worker, link);

        pool_worker_open(w, false);
        w->state = POOL_WORKER_GONE;
        if (w->process != NULL) {
            w->process->keeper = NULL;
            w->process = NULL;
        }
    }
    fail(&why, TITAN_E_DESTROYED, "the manager was closed");
    pool_refuse_all(p, &why);
    p->manager = NULL;
}

void pool_free(struct pool *p)
{
    if (p->events == NULL) {
        return; /* it was not opened, or is free already */
    }
    p->events = NULL;
    while (!list_empty(&p->workers)) {
        pool_worker_free(list_entry(p->workers.next, struct pool_worker, link));
    }
    balancer_close(&p->balancer);
    heap_free(&p->queue);
}

struct pool *manager_find_pool(const struct manager *m, const char *name, size_t len)
{
    struct map_node *node = map_find(&m->pools, name, len);

    return node ? (struct pool *)(void *)((char *)node - offsetof(struct pool, by_name)) : NULL;
}

/* ---- what it is told ---- */

void pool_start(struct pool *p, uint32_t size, uint32_t wait_for)
{
    if (p->manager != NULL && (p->state == POOL_ENDED || p->state == POOL_FAILED)) {
        p->missing = 0;
        p->target = size;
        p->wait_for = wait_for < size ? wait_for : size;
        pool_dispatch(p, POOL_EVENT_START);
    }
}

void pool_stop(struct pool *p, uint32_t timeout_ms)
{
    p->stop_timeout_ms = timeout_ms;
    pool_dispatch(p, POOL_EVENT_STOP);
}

void pool_drain(struct pool *p)
{
    pool_dispatch(p, POOL_EVENT_DRAIN);
}

static bool is_live(const struct pool *p)
{
    return p->state == POOL_STARTING || p->state == POOL_RUNNING || p->state == POOL_DRAINING;
}

void pool_scale(struct pool *p, uint32_t size, const char *reason)
{
    uint32_t from = p->target;

    if (!is_live(p)) {
        return;
    }
    p->missing = 0;
    p->target = size;
    p->wait_for = p->wait_for < size ? p->wait_for : size;
    p->unsettled = true;
    pool_look(p);
    if (from != size) {
        pool_tell_size(p, from, reason);
    }
}

/* One during another makes those stale, too, that came since: it follows. */
void pool_reload(struct pool *p)
{
    if (is_live(p)) {
        p->generation++;
        p->reloading = true;
        p->unsettled = true;
        pool_look(p);
    }
}

/* ---- what it tells ---- */

void pool_tell(struct pool *p, enum pool_news what, const struct failure *why)
{
    p->events->news(p->ctx, what, why);
}

void pool_tell_size(struct pool *p, uint32_t from, const char *reason)
{
    p->scaled.from = from;
    p->scaled.to = p->target;
    p->scaled.reason = reason;
    pool_tell(p, POOL_NEWS_SIZE, NULL);
}

uint32_t pool_size(const struct pool *p)
{
    uint32_t count = 0;

    for (const struct list *l = p->workers.next; l != &p->workers; l = l->next) {
        count += pool_worker_counts(list_entry(l, struct pool_worker, link));
    }
    return count;
}

uint32_t pool_busy(const struct pool *p)
{
    uint32_t count = 0;

    for (const struct list *l = p->workers.next; l != &p->workers; l = l->next) {
        const struct pool_worker *w = list_entry(l, struct pool_worker, link);

        count += pool_worker_counts(w) && w->active > 0;
    }
    return count;
}
