#include "script/route.h"

#include <stdlib.h>
#include <string.h>

#include "script/guest.h"
#include "wire/mp_write.h"

struct route {
    struct map_node by_name;
    struct list link; /* in routes.used or routes.retired */
    struct guest *guest;
    struct thread *to; /* held */
    unsigned entry;    /* of it in the directory */
    struct peer peer;
    char name[];
};

static struct route *route_of(struct map_node *node)
{
    return node != NULL ? (struct route *)(void *)((char *)node - offsetof(struct route, by_name))
                        : NULL;
}

/* ---- its end ---- */

static void route_free(struct route *r)
{
    static const struct failure closed = {TITAN_E_WORKER_LOST, "the connection was closed"};

    peer_close(&r->peer, &closed);
    thread_release(&r->to);
    list_remove(&r->link);
    free(r);
}

/* At the end of a turn, where nothing of theirs is on the stack: those without calls. */
static void bury(struct flusher *f)
{
    struct routes *all = list_entry(f, struct routes, bury);
    struct list *l = all->retired.next;

    while (l != &all->retired) {
        struct route *r = list_entry(l, struct route, link);

        l = l->next;
        if (r->peer.channel == NULL || r->peer.outstanding == 0) {
            route_free(r);
        }
    }
}

/* No new call takes it. */
static void retire(struct route *r)
{
    struct routes *all = &r->guest->routes;

    if (r->name[0] == '\0') {
        return;
    }
    map_remove(&all->by_name, &r->by_name);
    r->name[0] = '\0';
    all->len--;
    list_remove(&r->link);
    list_push(&all->retired, &r->link);
    reactor_flush_later(&r->guest->runtime->reactor, &all->bury);
}

/* What the manager would say of the calls that are under way. */
static void describe_end(const struct route *r, struct failure *why)
{
    int parting = atomic_load_explicit(&r->to->parting, memory_order_relaxed);

    if (thread_is_dying(r->to)) {
        fail(why, TITAN_E_WORKER_LOST,
             "the worker was killed by SIGKILL in the middle of this call");
    } else if (parting == PARTING_ORDERLY) {
        fail(why, TITAN_E_SHUTTING_DOWN, "the worker is stopping"); /* they had not begun */
    } else if (parting == PARTING_NONE) {
        fail(why, TITAN_E_WORKER_LOST, "the worker has closed its connection");
    } else {
        fail(why, TITAN_E_WORKER_LOST, "the worker exited with code %d in the middle of this call",
             parting);
    }
}

static void on_lost(void *ctx, int code, const char *why)
{
    struct route *r = ctx;
    struct failure failure;

    if (code == TITAN_E_PROTOCOL_ERROR) {
        fail(&failure, code, "%s", why);
    } else {
        describe_end(r, &failure);
    }
    retire(r); /* first: who made the calls may make another */
    peer_close(&r->peer, &failure);
    reactor_flush_later(&r->guest->runtime->reactor, &r->guest->routes.bury);
}

/* The one who is called may be too busy to hear of it: the manager sees to that. Without memory to
 * say so it goes on until its next call is given up. */
static void on_gave_up(struct peer *peer, uint32_t id)
{
    struct route *r = list_entry(peer, struct route, peer);
    struct buf b = {0};

    (void)id;
    if (r->name[0] != '\0' && mp_write_str(&b, r->name, strlen(r->name))) {
        (void)peer_notify(&r->guest->worker.control, "given_up",
                          (struct span){buf_front(&b), buf_len(&b)});
    }
    buf_free(&b);
}

/* ---- what the other side must not say ---- */

static void on_message(void *ctx, const struct message *m)
{
    (void)m;
    peer_blame(&((struct route *)ctx)->peer, "a request or a notification of one who is called");
}

static void on_cancel(void *ctx, uint32_t id)
{
    (void)id;
    peer_blame(&((struct route *)ctx)->peer, "a cancel of one who is called");
}

/* ---- the way there ---- */

static void make_room(struct guest *g)
{
    struct routes *all = &g->routes;
    struct list *l = all->used.next;

    if (!list_empty(&all->retired)) {
        reactor_flush_later(&g->runtime->reactor, &all->bury);
    }
    while (all->len >= ROUTES_MAX && l != &all->used) {
        struct route *r = list_entry(l, struct route, link);

        l = l->next;
        if (r->peer.outstanding == 0) {
            retire(r);
        }
    }
}

static struct route *route_new(struct guest *g, const char *service, struct thread *to)
{
    size_t size = strlen(service) + 1;
    struct route *r = calloc(1, sizeof *r + size);

    if (r == NULL) {
        return NULL;
    }
    memcpy(r->name, service, size);
    list_init(&r->link);
    r->guest = g;
    r->to = to;
    if (!map_insert(&g->routes.by_name, &r->by_name, r->name, size - 1)) {
        free(r);
        return NULL;
    }
    list_push(&g->routes.used, &r->link);
    g->routes.len++;
    return r;
}

/* False: there is no way, and the link is given up. */
static bool begin(struct route *r)
{
    static const struct peer_events events = {on_message, on_message, on_cancel, NULL, on_lost};
    struct guest *g = r->guest;
    struct inproc_link *link = inproc_new(g->thread->mail, r->to->mail);

    if (link == NULL) {
        return false;
    }
    if (peer_open_inproc(&r->peer, &g->runtime->reactor, link, 0, &g->worker.data.limits, &events,
                         r) < 0) {
        inproc_abandon(link, 0);
        inproc_abandon(link, 1);
        return false;
    }
    r->peer.gave_up = on_gave_up;
    if (!thread_visit(r->to, link)) {
        inproc_abandon(link, 1);
        return false;
    }
    return true;
}

static struct peer *find_way(struct guest *g, const char *service)
{
    unsigned entry;
    struct thread *to = directory_find(g->thread->directory, service, &entry);
    struct route *r;

    if (to == NULL) {
        return NULL;
    }
    make_room(g);
    r = g->routes.len < ROUTES_MAX ? route_new(g, service, to) : NULL;
    if (r == NULL) {
        thread_release(&to);
        return NULL;
    }
    r->entry = entry;
    if (!begin(r)) {
        retire(r);
        return NULL;
    }
    return &r->peer;
}

struct peer *route_to(struct guest *g, const char *service)
{
    struct routes *all = &g->routes;
    struct route *r;

    if (g->thread == NULL || g->thread->directory == NULL) {
        return NULL;
    }
    r = route_of(map_find(&all->by_name, service, strlen(service)));
    if (r != NULL && thread_is_entered(r->to, r->entry)) {
        list_remove(&r->link);
        list_push(&all->used, &r->link);
        return &r->peer;
    }
    if (r != NULL) {
        retire(r);
    }
    return find_way(g, service);
}

/* ---- all of them ---- */

void routes_open(struct routes *r)
{
    list_init(&r->used);
    list_init(&r->retired);
    flusher_init(&r->bury, bury);
}

void routes_close(struct routes *r)
{
    flusher_cancel(&r->bury);
    while (!list_empty(&r->used)) {
        retire(list_entry(r->used.next, struct route, link));
    }
    flusher_cancel(&r->bury);
    while (!list_empty(&r->retired)) {
        route_free(list_entry(r->retired.next, struct route, link));
    }
    map_free(&r->by_name);
}
