/* Calls through a pool: who gets which worker, who waits, who is refused. */
#include "manager/pool_parts.h"

/* ---- the queue ---- */

/* Highest priority first, then the oldest: 12 bits and 52. */
static uint64_t queue_key(const struct pool_call *c)
{
    return (uint64_t)(POOL_PRIORITY_MAX - c->priority) << 52 | (c->order & ((1ull << 52) - 1));
}

static void leave_queue(struct pool_call *c)
{
    heap_remove(&c->pool->queue, &c->node);
    timer_disarm(pool_reactor(c->pool), &c->deadline);
}

static void give_ticket_back(struct pool_call *c, int code)
{
    struct breaker *b = &c->pool->breaker;

    if (c->ticket == 0) {
        return;
    }
    switch (code) {
    case TITAN_OK:
    case TITAN_E_REMOTE_ERROR:
        breaker_success(b, c->ticket, pool_now_ms(c->pool));
        break;
    case TITAN_E_WORKER_LOST:
    case TITAN_E_TIMEOUT:
    case TITAN_E_PROTOCOL_ERROR:
        breaker_failure(b, c->ticket, pool_now_ms(c->pool));
        break;
    default:
        breaker_abandon(b, c->ticket);
        break;
    }
    c->ticket = 0;
}

/* It waits, and will not be granted. */
static void refuse(struct pool_call *c, const struct failure *why)
{
    leave_queue(c);
    give_ticket_back(c, why->code);
    c->pool->errors++;
    if (c->pool->state == POOL_DRAINING) {
        pool_look(c->pool);
    }
    c->pool = NULL;
    c->left(c, why);
}

void pool_refuse_all(struct pool *p, const struct failure *why)
{
    struct heap_node *first;

    /* The callers' code runs in between and may do anything: so always the first one. */
    while ((first = heap_first(&p->queue)) != NULL) {
        refuse(list_entry(first, struct pool_call, node), why);
    }
}

static void waited_too_long(struct timer *t)
{
    struct pool_call *c = list_entry(t, struct pool_call, deadline);
    struct failure why;

    fail(&why, TITAN_E_TIMEOUT, "no worker of the pool was free within %u ms", c->timeout_ms);
    refuse(c, &why);
}

static int enqueue(struct pool *p, struct pool_call *c, struct failure *why)
{
    uint64_t now_ms = pool_now_ms(p);

    c->node.key = queue_key(c);
    if (!heap_insert(&p->queue, &c->node)) {
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    c->deadline.fire = waited_too_long;
    if (c->timeout_ms > 0 &&
        !timer_arm(pool_reactor(p), &c->deadline,
                   c->deadline_ms > now_ms ? c->deadline_ms - now_ms : 0, true)) {
        heap_remove(&p->queue, &c->node);
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    return POOL_QUEUED;
}

/* ---- workers ---- */

/* One that takes calls. A process whose end nobody has seen yet is passed over from now on; it is
 * opened again when it has come back. */
static struct pool_worker *pick(struct pool *p, uint64_t hash)
{
    while (p->open_len > 0) {
        struct seat *seat = balancer_pick(&p->balancer, hash);
        struct pool_worker *w;

        if (seat == NULL) {
            return NULL;
        }
        w = list_entry(seat, struct pool_worker, seat);
        if (w->process->state == PROCESS_RUNNING) {
            return w;
        }
        pool_worker_open(w, false);
    }
    return NULL;
}

static void take(struct pool_call *c, struct pool_worker *w)
{
    struct pool *p = c->pool;

    c->worker = w;
    c->granted_ns = now_ns();
    p->active++;
    w->active++;
    w->calls++;
    w->last_used_ms = pool_now_ms(p);
    balancer_begin(&p->balancer, &w->seat);
    if (w->active >= p->options.max_concurrency) {
        pool_worker_open(w, false);
    }
}

/* `left` does no more than make its owner go on later, so nothing happens to the pool meanwhile. */
void pool_grant(struct pool *p)
{
    struct heap_node *first;

    while ((first = heap_first(&p->queue)) != NULL) {
        struct pool_call *c = list_entry(first, struct pool_call, node);
        struct pool_worker *w = pick(p, c->hash);

        if (w == NULL) {
            return;
        }
        leave_queue(c);
        take(c, w);
        c->left(c, NULL);
    }
}

/* The worker has one call less. */
static void let_go(struct pool_worker *w, struct pool_call *c, int code)
{
    struct pool *p = w->pool;
    uint64_t took_ns = now_ns() - c->granted_ns;

    p->active--;
    w->active--;
    w->last_used_ms = pool_now_ms(p);
    if (code == TITAN_OK || code == TITAN_E_REMOTE_ERROR) {
        histogram_record(&p->latency, took_ns);
    }
    if (w->seated) {
        balancer_end(&p->balancer, &w->seat, took_ns, code != TITAN_OK);
    }
    if (w->state == POOL_WORKER_UP) {
        if (w->active == p->options.max_concurrency - 1) {
            pool_worker_open(w, true);
        }
        if (w->calls >= w->call_limit && w->due == NULL) {
            w->due = "recycle_after";
            pool_look(p);
        }
    } else if (w->active == 0) {
        pool_look(p); /* it retires, or can be forgotten */
    }
    if (p->state == POOL_DRAINING && p->active == 0) {
        pool_look(p);
    }
}

/* ---- calls ---- */

static int no_calls(const struct pool *p, bool again, struct failure *why)
{
    switch (p->state) {
    case POOL_STARTING:
    case POOL_RUNNING:
        return TITAN_OK;
    case POOL_DRAINING:
        if (again) {
            return TITAN_OK;
        }
        return fail(why, TITAN_E_SHUTTING_DOWN, "the pool takes no new calls: it has been drained");
    case POOL_FAILED:
        return fail(why, TITAN_E_WORKER_LOST, "the pool has no worker left: %s", p->why.message);
    default:
        return fail(why, TITAN_E_DESTROYED, "the pool has been stopped");
    }
}

static int ask_breaker(struct pool *p, struct pool_call *c, struct failure *why)
{
    uint32_t retry_in_ms;

    c->ticket = 0;
    if (!p->options.has_breaker) {
        return TITAN_OK;
    }
    c->ticket = breaker_ask(&p->breaker, pool_now_ms(p), &retry_in_ms);
    if (c->ticket != 0) {
        return TITAN_OK;
    }
    if (retry_in_ms == 0) {
        return fail(why, TITAN_E_CIRCUIT_OPEN,
                    "calls through the pool failed; the first ones since are still under way");
    }
    return fail(why, TITAN_E_CIRCUIT_OPEN, "%u calls in a row failed; try again in %u ms",
                p->options.breaker.failure_threshold, retry_in_ms);
}

/* What was let in before is not held up by a drain or by the length of the queue. */
static int admit(struct pool *p, struct pool_call *c, bool again, struct failure *why)
{
    struct pool_worker *w;
    int code = no_calls(p, again, why);

    if (code == TITAN_OK) {
        code = ask_breaker(p, c, why);
    }
    if (code < 0) {
        return code;
    }
    c->pool = p;
    c->worker = NULL;
    w = p->queue.len == 0 ? pick(p, c->hash) : NULL;
    if (w != NULL) {
        take(c, w);
        return TITAN_OK;
    }
    if (!again && p->queue.len >= p->options.max_queue) {
        code = fail(why, TITAN_E_OVERLOADED, "%zu calls wait for a worker (max_queue_size)",
                    p->queue.len);
    } else {
        code = enqueue(p, c, why);
    }
    if (code < 0) {
        give_ticket_back(c, TITAN_E_CANCELLED);
        c->pool = NULL;
    }
    return code;
}

int pool_take(struct pool *p, struct pool_call *c, struct failure *why)
{
    int code;

    c->blame = 0;
    c->order = p->order++;
    c->deadline_ms = c->timeout_ms > 0 && p->manager ? pool_now_ms(p) + c->timeout_ms : UINT64_MAX;
    code = admit(p, c, false, why);
    if (code < 0) {
        p->rejected++;
    } else {
        p->calls++;
    }
    return code;
}

void pool_call_move(struct pool_call *from, struct pool_call *to)
{
    *to = *from;
    from->pool = NULL;
    from->worker = NULL;
    from->ticket = 0;
}

uint32_t pool_call_left_ms(const struct pool_call *c)
{
    uint64_t now_ms;

    if (c->timeout_ms == 0) {
        return 0;
    }
    now_ms = pool_now_ms(c->pool);
    return c->deadline_ms > now_ms ? (uint32_t)(c->deadline_ms - now_ms) : 1;
}

/* When the pool was closed meanwhile nobody counts any more. */
static void give_back(struct pool_call *c, int code)
{
    struct pool *p = c->pool;
    struct pool_worker *w = c->worker;

    if (p->manager == NULL) {
        p->active--; /* the worker may be gone */
    } else {
        give_ticket_back(c, code);
        let_go(w, c, code);
    }
    c->worker = NULL;
}

void pool_give_back(struct pool_call *c, int code)
{
    struct pool *p = c->pool;

    if (p == NULL) {
        return;
    }
    p->errors += code < 0;
    give_back(c, code);
    c->pool = NULL;
    if (p->manager != NULL) {
        pool_grant(p);
    }
}

/* May it be tried once more, were there a worker? */
static int may_try_again(const struct pool_call *c, struct failure *why)
{
    if (c->blame >= POOL_BLAME_MAX) {
        return fail(why, TITAN_E_WORKER_LOST, "worker after worker was lost with this call");
    }
    if (pool_now_ms(c->pool) >= c->deadline_ms) {
        return fail(why, TITAN_E_TIMEOUT, "no answer within %u ms", c->timeout_ms);
    }
    return TITAN_OK;
}

/* It is as old as it was, so it goes first among those of its priority. */
int pool_take_again(struct pool_call *c, bool sent, struct failure *why)
{
    struct pool *p = c->pool;
    struct failure over;
    int code;

    if (sent && p->manager != NULL) {
        c->blame += c->worker->blame;
    }
    give_back(c, sent ? TITAN_E_WORKER_LOST : TITAN_E_CANCELLED);
    if (p->manager == NULL) {
        c->pool = NULL;
        return fail(why, TITAN_E_DESTROYED, "the manager was closed");
    }
    code = may_try_again(c, &over);
    c->pool = NULL;
    if (code == TITAN_OK) {
        code = admit(p, c, true, &over);
    }
    if (code >= 0) {
        p->retries += sent;
    } else {
        p->errors++;
        if (!sent) {
            *why = over;
        }
    }
    pool_grant(p);
    return code < 0 ? why->code : code;
}

void pool_call_forget(struct pool_call *c)
{
    struct pool *p = c->pool;

    if (p == NULL) {
        return;
    }
    if (c->worker != NULL) {
        pool_give_back(c, TITAN_E_CANCELLED);
        return;
    }
    leave_queue(c);
    give_ticket_back(c, TITAN_E_CANCELLED);
    c->pool = NULL;
    p->errors++;
    if (p->state == POOL_DRAINING) {
        pool_look(p);
    }
}
