/* What a pool does about its workers, at the end of a turn in which something has happened: those
 * that are missing are made, those that are too many or due are replaced or retired. */
#include "manager/pool_parts.h"

#define REPLACE_AGAIN_MS 5000 /* after a replacement that could not start */
#define GROW_AGAIN_MS 1000    /* between two that were given up and are tried again */

typedef void (*step)(struct pool *p, struct pool_worker *w);

/* Each step may free its worker, and no other. */
static void for_each(struct pool *p, step fn)
{
    struct list *l = p->workers.next;

    while (l != &p->workers) {
        struct list *next = l->next;

        fn(p, list_entry(l, struct pool_worker, link));
        l = next;
    }
}

/* ---- those that are gone ---- */

static void replacement_failed(struct pool *p, struct pool_worker *w)
{
    p->replace_after_ms = pool_now_ms(p) + REPLACE_AGAIN_MS;
    if (p->reload_at == w) {
        p->reload_at = NULL;
        p->reloading = false;
        for (struct list *l = p->workers.next; l != &p->workers; l = l->next) {
            list_entry(l, struct pool_worker, link)->generation = p->generation;
        }
        pool_tell(p, POOL_NEWS_RELOADED, &w->why);
    }
}

static void gave_up(struct pool *p, struct pool_worker *w)
{
    uint32_t from = p->target;

    p->why = w->why;
    if (p->state == POOL_STARTING) {
        pool_dispatch(p, POOL_EVENT_BROKEN);
    } else if (p->target > 0) {
        p->target--;
        p->missing += w->window_ms > 0;
        p->grow_again_ms = pool_now_ms(p) + w->window_ms;
        pool_tell_size(p, from, "given up");
        pool_tell(p, POOL_NEWS_GAVE_UP, &w->why);
    }
}

/* `replaces` is still set for a replacement that was not up: whoever it was for stays. */
static void mourn(struct pool *p, struct pool_worker *w)
{
    bool live = p->state == POOL_STARTING || p->state == POOL_RUNNING || p->state == POOL_DRAINING;

    if (w->state == POOL_WORKER_GONE && !w->mourned) {
        bool failed = w->replaces != NULL;

        w->mourned = true;
        if (p->reload_at == w && !failed) {
            p->reload_at = NULL;
        }
        if (live && failed) {
            replacement_failed(p, w);
        } else if (live && w->gave_up) {
            gave_up(p, w);
        }
        pool_worker_part(w);
    }
    if (w->state == POOL_WORKER_GONE && w->active == 0) {
        pool_worker_free(w);
    }
}

static void let_retire(struct pool *p, struct pool_worker *w)
{
    if (w->state == POOL_WORKER_RETIRING && w->active == 0 && !w->stop_sent) {
        pool_worker_stop(w, p->options.stop_timeout_ms);
    }
}

/* ---- the size ---- */

/* Whom the pool misses least: who takes no calls, who is to be replaced anyway, who has the fewest
 * calls, who came last. */
static bool misses_less(const struct pool *p, const struct pool_worker *a,
                        const struct pool_worker *b)
{
    bool a_up = a->state == POOL_WORKER_UP && !a->shunned;
    bool b_up = b->state == POOL_WORKER_UP && !b->shunned;
    bool a_old = a->generation != p->generation;
    bool b_old = b->generation != p->generation;

    if (a_up != b_up) {
        return !a_up;
    }
    if (a_old != b_old) {
        return a_old;
    }
    return a->active <= b->active;
}

static void retire_one(struct pool *p)
{
    struct pool_worker *least = NULL;

    for (struct list *l = p->workers.next; l != &p->workers; l = l->next) {
        struct pool_worker *w = list_entry(l, struct pool_worker, link);

        if (pool_worker_counts(w) && (least == NULL || misses_less(p, w, least))) {
            least = w;
        }
    }
    if (least != NULL) {
        least->surplus = true;
        pool_worker_retire(least);
    }
}

/* A pool that goes on without those that were given up tries again, one at a time, when the window
 * of their restart policy is over. */
static void grow_again(struct pool *p)
{
    uint32_t from = p->target;

    if (p->missing > 0 && p->state == POOL_RUNNING && pool_now_ms(p) >= p->grow_again_ms) {
        p->missing--;
        p->grow_again_ms = pool_now_ms(p) + GROW_AGAIN_MS;
        p->target++;
        pool_tell_size(p, from, "tried again");
    }
}

static void match_size(struct pool *p)
{
    uint32_t size = pool_size(p);

    while (size > p->target) {
        retire_one(p);
        size--;
    }
    while (size < p->target && pool_worker_new(p, NULL) != NULL) {
        size++;
    }
}

/* ---- replacements ---- */

static uint32_t being_replaced(const struct pool *p)
{
    uint32_t count = 0;

    for (const struct list *l = p->workers.next; l != &p->workers; l = l->next) {
        count += list_entry(l, struct pool_worker, link)->replacement != NULL;
    }
    return count;
}

/* Those that are due, an eighth of the pool at a time, so that it does not double. */
static void replace_due(struct pool *p)
{
    uint32_t room = 1 + p->target / 8;
    uint32_t under_way = being_replaced(p);

    if (pool_now_ms(p) < p->replace_after_ms) {
        return;
    }
    for (struct list *l = p->workers.next; l != &p->workers && under_way < room; l = l->next) {
        struct pool_worker *w = list_entry(l, struct pool_worker, link);

        if (w->due != NULL && w->state == POOL_WORKER_UP && w->replacement == NULL &&
            w->replaces == NULL) {
            under_way += pool_worker_new(p, w) != NULL;
        }
    }
}

/* The next one of before the reload; NULL when there is none. */
static struct pool_worker *stale(struct pool *p)
{
    for (struct list *l = p->workers.next; l != &p->workers; l = l->next) {
        struct pool_worker *w = list_entry(l, struct pool_worker, link);

        if (pool_worker_counts(w) && w->generation != p->generation) {
            return w;
        }
    }
    return NULL;
}

/* One after the other. One that starts is waited for; one that is down gives way at once. */
static void reload(struct pool *p)
{
    struct pool_worker *w;

    while (p->reloading && p->reload_at == NULL && p->state != POOL_STARTING) {
        w = stale(p);
        if (w == NULL) {
            p->reloading = false;
            pool_tell(p, POOL_NEWS_RELOADED, NULL);
        } else if (w->state == POOL_WORKER_DOWN) {
            pool_worker_retire(w);
            p->reload_at = pool_worker_new(p, NULL);
            return;
        } else if (w->replacement != NULL) {
            p->reload_at = w->replacement;
        } else if (w->state == POOL_WORKER_UP) {
            p->reload_at = pool_worker_new(p, w);
            return;
        } else {
            return;
        }
    }
}

/* ---- all of it ---- */

/* Replacements are no matter: under load there may always be one. */
static bool is_settled(const struct pool *p)
{
    for (const struct list *l = p->workers.next; l != &p->workers; l = l->next) {
        const struct pool_worker *w = list_entry(l, struct pool_worker, link);

        if (w->surplus || (pool_worker_counts(w) && w->state != POOL_WORKER_UP)) {
            return false;
        }
    }
    return true;
}

static void tell_settled(struct pool *p)
{
    if (p->unsettled && is_settled(p)) {
        p->unsettled = false;
        pool_tell(p, POOL_NEWS_SETTLED, NULL);
    }
}

static uint32_t up_count(const struct pool *p)
{
    uint32_t count = 0;

    for (const struct list *l = p->workers.next; l != &p->workers; l = l->next) {
        count += list_entry(l, struct pool_worker, link)->state == POOL_WORKER_UP;
    }
    return count;
}

static void look_after_living(struct pool *p)
{
    grow_again(p);
    match_size(p);
    reload(p);
    replace_due(p);
    if (p->state == POOL_STARTING && up_count(p) >= p->wait_for) {
        pool_dispatch(p, POOL_EVENT_ENOUGH);
    }
    if (p->state != POOL_STARTING && pool_size(p) == 0) {
        pool_dispatch(p, POOL_EVENT_BROKEN);
        return;
    }
    tell_settled(p);
    if (p->state == POOL_DRAINING && p->active == 0 && p->queue.len == 0 && !p->drain_told) {
        p->drain_told = true;
        pool_tell(p, POOL_NEWS_DRAINED, NULL);
    }
}

void pool_reconcile(struct flusher *f)
{
    struct pool *p = list_entry(f, struct pool, turn);

    for_each(p, mourn);
    for_each(p, let_retire);
    if (p->state == POOL_STARTING || p->state == POOL_RUNNING || p->state == POOL_DRAINING) {
        look_after_living(p);
    } else if (list_empty(&p->workers) && !p->end_told &&
               (p->state == POOL_STOPPING || p->state == POOL_FAILED)) {
        p->end_told = true;
        pool_dispatch(p, POOL_EVENT_EMPTY);
    }
}
