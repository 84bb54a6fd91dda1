#include "manager/manager.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/pool.h"

/* ---- the queue for the zygote ---- */

static void fail_pending(struct manager *m, const struct failure *why)
{
    while (!list_empty(&m->pending)) {
        struct process *p = list_entry(m->pending.next, struct process, queued);

        list_remove(&p->queued);
        process_start_failed(p, why);
    }
}

/* The first in the queue has the spare, also one that is on its way. */
static struct process *next_to_fork(struct manager *m)
{
    struct list *l = m->pending.next;

    if (m->spare.state == SPARE_ASKED && l != &m->pending) {
        l = l->next;
    }
    if (l == &m->pending || (m->spare.state != SPARE_READY && !zygote_has_room(&m->zygote))) {
        return NULL;
    }
    return list_entry(l, struct process, queued);
}

static void begin_startable(struct manager *m)
{
    while (!list_empty(&m->startable)) {
        struct process *p = list_entry(m->startable.next, struct process, queued);

        list_remove(&p->queued);
        process_begin(p);
    }
}

/* At the end of a turn, and whenever the zygote has room. */
static void fork_pending(struct manager *m)
{
    struct process *next;
    struct failure why;

    if (m->closing) {
        return;
    }
    begin_startable(m);
    if (!list_empty(&m->pending) && zygote_start(&m->zygote, &why) < 0) {
        fail_pending(m, &why);
    }
    while ((next = next_to_fork(m)) != NULL) {
        list_remove(&next->queued);
        process_begin(next);
    }
}

void manager_requeue(struct manager *m, struct process *p)
{
    list_push(p->body->by_zygote ? &m->pending : &m->startable, &p->queued);
    reactor_flush_later(m->reactor, &m->turn);
}

/* ---- what the zygote says ---- */

static struct process *find_tag(struct manager *m, uint64_t tag)
{
    for (struct list *l = m->processes.prev; l != &m->processes; l = l->prev) {
        struct process *p = list_entry(l, struct process, link);

        if (p->tag == tag) {
            return p;
        }
    }
    return NULL;
}

static void on_forked(void *ctx, uint64_t tag, pid_t pid, int pidfd, int error)
{
    struct process *p = find_tag(ctx, tag);

    if (spare_forked(ctx, tag, pid, pidfd, error)) {
        return;
    }
    if (p != NULL) {
        process_forked(p, pid, pidfd, error);
    } else {
        process_kill_stray(ctx, pid, pidfd);
    }
}

static void on_serving(void *ctx)
{
    fork_pending(ctx);
}

/* Each step may end its process, and no other. */
static void for_living(struct manager *m, void (*step)(struct process *p))
{
    struct list *l = m->processes.next;

    while (l != &m->processes) {
        struct list *next = l->next;

        step(list_entry(l, struct process, link));
        l = next;
    }
}

static void on_warm(void *ctx)
{
    spare_adopt(ctx);
    manager_groups_tell(ctx);
    for_living(ctx, process_adopt);
}

static void on_zygote_died(void *ctx)
{
    spare_zygote_died(ctx);
    for_living(ctx, process_zygote_died);
}

static void on_zygote_failed(void *ctx, const struct failure *why)
{
    fail_pending(ctx, why);
}

/* ---- processes ---- */

int manager_spawn(struct manager *m, const struct process_spec *spec, struct process **out,
                  struct failure *why)
{
    struct process *p;

    if (m->closing) {
        return fail(why, TITAN_E_SHUTTING_DOWN, "the manager is closed");
    }
    p = process_new(m, spec);
    if (p == NULL) {
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    if (!map_insert(&m->by_id, &p->by_id, p->id, strlen(p->id))) {
        process_free(p);
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    if (!map_insert(&m->by_name, &p->by_name, p->name, strlen(p->name))) {
        map_remove(&m->by_id, &p->by_id);
        process_free(p);
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    list_push(&m->processes, &p->link);
    manager_requeue(m, p);
    *out = p;
    return TITAN_OK;
}

bool manager_rename(struct manager *m, struct process *p, const char *name)
{
    process_strike(p);
    map_remove(&m->by_name, &p->by_name);
    snprintf(p->name, sizeof p->name, "%s", name);
    process_enter(p);
    return map_insert(&m->by_name, &p->by_name, p->name, strlen(p->name));
}

static struct process *from_node(struct map_node *node, size_t offset)
{
    return node ? (struct process *)(void *)((char *)node - offset) : NULL;
}

struct process *manager_find_id(const struct manager *m, const char *id, size_t len)
{
    return from_node(map_find(&m->by_id, id, len), offsetof(struct process, by_id));
}

struct process *manager_find_name(const struct manager *m, const char *name, size_t len)
{
    return from_node(map_find(&m->by_name, name, len), offsetof(struct process, by_name));
}

static void forget(struct manager *m, struct process *p)
{
    list_remove(&p->link);
    map_remove(&m->by_id, &p->by_id);
    m->events->forgotten(m->ctx, p);
    process_free(p);
}

void manager_process_ended(struct manager *m, struct process *p)
{
    list_remove(&p->link);
    map_remove(&m->by_name, &p->by_name);
    list_push(&m->ended, &p->link);
    m->ended_len++;
    reactor_flush_later(m->reactor, &m->turn);
    m->events->ended(m->ctx, p);
}

/* Not in manager_process_ended: its caller still holds the process it ended. */
static void forget_oldest(struct manager *m)
{
    while (m->ended_len > ENDED_KEPT) {
        m->ended_len--;
        forget(m, list_entry(m->ended.next, struct process, link));
    }
}

static void end_of_turn(struct flusher *f)
{
    struct manager *m = list_entry(f, struct manager, turn);

    if (m->closing) {
        m->events->closed(m->ctx);
    } else {
        forget_oldest(m);
        fork_pending(m);
    }
}

/* ---- life ---- */

int manager_open(struct manager *m, struct reactor *r, const struct manager_options *options,
                 const struct manager_events *events, void *ctx, struct failure *why)
{
    static const struct zygote_events zygote_events = {on_forked, on_warm, on_serving,
                                                       on_zygote_died, on_zygote_failed};

    memset(m, 0, sizeof *m);
    m->reactor = r;
    m->limits = options->limits;
    m->events = events;
    m->ctx = ctx;
    m->random.state = now_ns() ^ random_mix((uint64_t)getpid());
    list_init(&m->processes);
    list_init(&m->pending);
    list_init(&m->startable);
    m->thread_guest = options->thread_guest;
    m->threads = options->threads;
    if (!buf_append(&m->boot, options->boot.at, options->boot.len)) {
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    list_init(&m->ended);
    flusher_init(&m->turn, end_of_turn);
    m->sweep_interval_ms = options->sweep_interval_ms;
    m->interrupt_grace_ms = options->interrupt_grace_ms;
    m->spin_us = options->spin_us;
    spare_init(m, options->spare);
    m->groups.root = options->cgroup_root ? strdup(options->cgroup_root) : NULL;
    if (!manager_sweep_later(m)) {
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    if (zygote_open(&m->zygote, r, options->boot, &zygote_events, m) < 0) {
        timer_disarm(r, &m->sweep);
        manager_groups_close(m);
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory or descriptors");
    }
    if (zygote_start(&m->zygote, why) < 0) {
        timer_disarm(r, &m->sweep);
        zygote_close(&m->zygote);
        manager_groups_close(m);
        return why->code;
    }
    reactor_spin(r, (uint64_t)m->spin_us * 1000u);
    return TITAN_OK;
}

static void kill_body(struct process *p)
{
    p->body->kill(p);
}

/* First: a pool must not make up for the processes it loses. */
static void close_pools(struct manager *m)
{
    struct map_node *node;

    while ((node = map_first(&m->pools)) != NULL) {
        pool_close((struct pool *)(void *)((char *)node - offsetof(struct pool, by_name)));
    }
}

void manager_close(struct manager *m)
{
    if (m->closing) {
        return;
    }
    m->closing = true;
    m->closing_ns = now_ns();
    timer_disarm(m->reactor, &m->sweep);
    close_pools(m);
    for_living(m, kill_body); /* all at once, before they are awaited one by one */
    /* Ending calls runs their callers' code, which may do anything: so always the first one. */
    while (!list_empty(&m->processes)) {
        struct process *p = list_entry(m->processes.next, struct process, link);

        list_remove(&p->link);
        list_push(&m->ended, &p->link);
        map_remove(&m->by_name, &p->by_name);
        process_destroy(p);
    }
    if (m->sched != NULL && sched_units(m->sched) == 0) {
        sched_close(m->sched); /* else it is as stuck as what was given up */
    }
    m->sched = NULL;
    if (m->stock != NULL) {
        stock_close(m->stock);
    }
    if (m->crew != NULL) {
        crew_close(m->crew);
    }
    spare_close(m);
    zygote_close(&m->zygote);
    manager_groups_close(m);
    reactor_flush_later(m->reactor, &m->turn);
}

void manager_free(struct manager *m)
{
    flusher_cancel(&m->turn);
    while (!list_empty(&m->ended)) {
        forget(m, list_entry(m->ended.next, struct process, link));
    }
    map_free(&m->by_id);
    map_free(&m->by_name);
    map_free(&m->pools);
    directory_release(&m->directory);
    stock_release(&m->stock);
    crew_release(&m->crew);
    buf_free(&m->boot);
}
