#include "script/visitor.h"

#include <stdlib.h>

#include "script/guest.h"
#include "script/task.h"

#define READ_PAUSE_LEN ((size_t)8 << 20) /* as of the manager's connection: worker.c */

struct visitor {
    struct caller caller;
    struct peer peer;
    struct list link; /* in visitors.here or visitors.gone */
};

static const struct failure left = {TITAN_E_WORKER_LOST, "the caller has gone"};

void caller_init(struct caller *c, struct guest *g, struct peer *peer, uint32_t number)
{
    c->guest = g;
    c->peer = peer;
    c->number = number;
    list_init(&c->requests);
    pump_open(c);
}

/* ---- its end ---- */

static void visitor_free(struct visitor *v)
{
    pump_close(&v->caller);
    list_remove(&v->link);
    free(v);
}

/* At the end of a turn: nothing of theirs is under way on the stack. */
static void bury(struct flusher *f)
{
    struct visitors *all = list_entry(f, struct visitors, bury);
    struct list *l = all->gone.next;

    while (l != &all->gone) {
        struct visitor *v = list_entry(l, struct visitor, link);

        l = l->next;
        if (list_empty(&v->caller.requests)) {
            visitor_free(v);
        }
    }
}

static void bury_later(struct guest *g)
{
    reactor_flush_later(&g->runtime->reactor, &g->visitors.bury);
}

void visitor_answered(struct caller *c)
{
    if (c->number != 0 && c->peer->channel == NULL && list_empty(&c->requests)) {
        bury_later(c->guest);
    }
}

/* Each may end in its turn, and the others with it. */
static void cancel_requests(struct caller *c)
{
    struct list now;

    list_take(&now, &c->requests);
    reactor_begin_whole(c->peer->reactor);
    while (!list_empty(&now)) {
        struct task *t = list_entry(now.next, struct task, asked_by);

        list_remove(&t->asked_by);
        list_push(&c->requests, &t->asked_by);
        guest_cancel(c, t->id);
    }
    reactor_end_whole(c->peer->reactor);
}

/* ---- what it says ---- */

/* A worker that has ended without being asked to has nothing more to say. */
static void refuse(struct visitor *v, uint32_t id)
{
    static const struct failure stopping = {TITAN_E_SHUTTING_DOWN, "the worker is stopping"};
    const struct worker *w = &v->caller.guest->worker;

    if (w->state == WORKER_STOPPING || worker_was_orderly(w)) {
        (void)answer_failure(&v->peer, id, &stopping);
    }
}

/* What the manager's connection has as its limit holds for all callers together. */
static bool is_overloaded(const struct visitor *v)
{
    const struct worker *w = &v->caller.guest->worker;

    return w->in_flight >= w->data.limits.outstanding;
}

static void refuse_more(struct visitor *v, uint32_t id)
{
    struct failure why;

    fail(&why, TITAN_E_OVERLOADED,
         "%u calls have no answer yet, which is the limit (limits.outstanding)",
         v->caller.guest->worker.in_flight);
    (void)answer_failure(&v->peer, id, &why);
}

static void on_request(void *ctx, const struct message *m)
{
    struct visitor *v = ctx;

    if (m->method.at == NULL) {
        peer_blame(&v->peer, "a request that names no method");
    } else if (v->caller.guest->worker.state >= WORKER_STOPPING) {
        refuse(v, m->id);
    } else if (is_overloaded(v)) {
        refuse_more(v, m->id);
    } else {
        guest_request(&v->caller, m);
    }
}

static void on_notification(void *ctx, const struct message *m)
{
    (void)m;
    peer_blame(&((struct visitor *)ctx)->peer, "a notification");
}

static void on_cancel(void *ctx, uint32_t id)
{
    guest_cancel(&((struct visitor *)ctx)->caller, id);
}

static void on_credit(void *ctx, uint32_t id, uint32_t bytes)
{
    pumps_credit(&((struct visitor *)ctx)->caller, id, bytes);
}

static void on_lost(void *ctx, int code, const char *why)
{
    struct visitor *v = ctx;
    struct guest *g = v->caller.guest;

    (void)code;
    (void)why;
    peer_close(&v->peer, &left);
    list_remove(&v->link);
    list_push(&g->visitors.gone, &v->link);
    cancel_requests(&v->caller);
    bury_later(g);
}

/* ---- all of them ---- */

void visitors_open(struct visitors *v)
{
    list_init(&v->here);
    list_init(&v->gone);
    flusher_init(&v->bury, bury);
}

void visitors_take(struct guest *g, struct inproc_link *link)
{
    static const struct peer_events events = {on_request, on_notification, on_cancel, on_credit,
                                              on_lost};
    struct visitor *v = calloc(1, sizeof *v);

    if (v == NULL || peer_open_inproc(&v->peer, &g->runtime->reactor, link, 1,
                                      &g->worker.data.limits, &events, v) < 0) {
        inproc_abandon(link, 1);
        free(v);
        return;
    }
    v->peer.channel->read_pause_len = READ_PAUSE_LEN;
    caller_init(&v->caller, g, &v->peer, ++g->visitors.last_number);
    list_init(&v->link);
    list_push(&g->visitors.here, &v->link);
}

void visitors_finish(struct guest *g)
{
    bool orderly = worker_was_orderly(&g->worker);
    struct list *here = &g->visitors.here;
    struct list *l = here->next;

    while (l != here) {
        struct visitor *v = list_entry(l, struct visitor, link);

        l = l->next;
        if (orderly) {
            channel_drain(v->peer.channel);
        }
        if (v->peer.channel != NULL) {
            channel_finish(v->peer.channel);
        }
    }
}

static void close_all(struct list *head)
{
    while (!list_empty(head)) {
        struct visitor *v = list_entry(head->next, struct visitor, link);

        peer_close(&v->peer, &left);
        visitor_free(v);
    }
}

void visitors_close(struct visitors *v)
{
    flusher_cancel(&v->bury);
    close_all(&v->here);
    close_all(&v->gone);
}
