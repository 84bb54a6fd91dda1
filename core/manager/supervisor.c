/* What a supervisor is told: by its owner and by its children. supervisor_work.c acts on it. */
#include "manager/supervisor.h"

#include <stdio.h>
#include <string.h>

#include "manager/supervisor_parts.h"

static bool runs(const struct supervisor *s)
{
    return s->state == SUPERVISOR_STARTING || s->state == SUPERVISOR_RUNNING;
}

/* ---- life ---- */

void supervisor_init(struct supervisor *s, enum supervisor_strategy strategy, bool decides,
                     struct random *random, const struct supervisor_clock *clock,
                     const struct supervisor_events *events)
{
    *s = (struct supervisor){.events = events,
                             .clock = clock,
                             .random = random,
                             .strategy = strategy,
                             .decides = decides};
    list_init(&s->children);
}

void supervisor_drop_child(struct child *c)
{
    list_remove(&c->link);
    restart_history_free(&c->history);
    c->ops->free(c);
}

void supervisor_drop_children(struct supervisor *s)
{
    while (!list_empty(&s->children)) {
        supervisor_drop_child(list_entry(s->children.prev, struct child, link));
    }
}

static void want(struct child *c, bool queued)
{
    restart_history_free(&c->history);
    c->wanted = true;
    c->queued = queued;
    c->due_ms = 0;
}

/* Its own supervisor brings it back: its children come back with it, and a start that fails now is
 * no first one. */
static bool comes_back(const struct supervisor *s)
{
    return s->as_child != NULL && s->as_child->has_lived;
}

void supervisor_start(struct supervisor *s)
{
    if (s->state != SUPERVISOR_STOPPED) {
        return;
    }
    s->state = SUPERVISOR_STARTING;
    s->failure = (struct failure){0};
    s->starts = false;
    s->on_purpose = false;
    for (struct list *l = s->children.next; l != &s->children; l = l->next) {
        struct child *c = list_entry(l, struct child, link);

        if (!c->removed) {
            want(c, c->state != CHILD_UP);
            c->has_lived = c->has_lived && comes_back(s);
        }
    }
    s->events->starting(s);
    s->clock->work_soon(s);
}

void supervisor_begin_stop(struct supervisor *s)
{
    s->starts = s->state == SUPERVISOR_STARTING;
    s->state = SUPERVISOR_STOPPING;
    for (struct list *l = s->children.next; l != &s->children; l = l->next) {
        struct child *c = list_entry(l, struct child, link);

        c->wanted = false;
        c->queued = false;
        c->recycled = false;
        c->undecided = false;
    }
    s->clock->work_soon(s);
}

void supervisor_stop(struct supervisor *s)
{
    if (s->state == SUPERVISOR_STOPPED) {
        return;
    }
    s->on_purpose = true;
    s->failure = (struct failure){0};
    if (s->state != SUPERVISOR_STOPPING) {
        supervisor_begin_stop(s);
    }
    if (s->starts) {
        fail(&s->failure, TITAN_E_SHUTTING_DOWN, "the supervisor was stopped while it started");
    }
}

/* ---- children that come and go ---- */

void supervisor_add(struct supervisor *s, struct child *c, const struct child_ops *ops,
                    const struct child_spec *spec)
{
    *c = (struct child){.parent = s, .ops = ops, .spec = *spec};
    snprintf(c->name, sizeof c->name, "%s", spec->name);
    c->spec.name = c->name;
    list_push(&s->children, &c->link);
    if (runs(s)) {
        want(c, s->state == SUPERVISOR_STARTING);
        s->clock->work_soon(s);
    }
}

struct child *supervisor_child(const struct supervisor *s, const char *name)
{
    for (struct list *l = s->children.next; l != &s->children; l = l->next) {
        struct child *c = list_entry(l, struct child, link);

        if (!c->removed && strcmp(c->name, name) == 0) {
            return c;
        }
    }
    return NULL;
}

void supervisor_remove(struct supervisor *s, struct child *c)
{
    c->removed = true;
    c->wanted = false;
    c->queued = false;
    c->undecided = false;
    s->clock->work_soon(s);
}

void supervisor_restart(struct supervisor *s, struct child *c)
{
    if (!runs(s) || c->removed) {
        return;
    }
    want(c, c->queued || (s->state == SUPERVISOR_STARTING && c->state != CHILD_UP));
    c->has_lived = false;
    c->undecided = false;
    c->recycled = child_is_alive(c);
    s->clock->work_soon(s);
}

/* ---- crashes ---- */

static void give_up(struct supervisor *s, struct child *c, const char *because)
{
    if (runs(s)) {
        fail(&s->failure, TITAN_E_WORKER_LOST, "child \"%s\" %s: %s", c->name, because,
             c->last_error.message);
        supervisor_begin_stop(s);
    }
}

static void child_gives_up(struct supervisor *s, struct child *c)
{
    c->state = CHILD_FAILED;
    c->wanted = false;
    c->queued = false;
    s->events->child_failed(s, c);
    if (c->spec.critical) {
        char because[128];

        snprintf(because, sizeof because,
                 "is critical and was given up after %u restarts within %u ms",
                 c->spec.policy.max_restarts, c->spec.policy.window_ms);
        give_up(s, c, because);
    }
}

/* Those that go down and come back with it: never an optional one, never one that is down for good.
 * A temporary one goes down with them, but does not come back. */
static void recycle_group(struct supervisor *s, struct child *cause)
{
    bool reached = s->strategy == ONE_FOR_ALL;

    if ((s->strategy != ONE_FOR_ALL && s->strategy != REST_FOR_ONE) || cause->spec.optional) {
        return;
    }
    for (struct list *l = s->children.next; l != &s->children; l = l->next) {
        struct child *c = list_entry(l, struct child, link);

        reached = reached || c == cause;
        if (!reached || c->spec.optional || !c->wanted) {
            continue;
        }
        c->recycled = c != cause && child_is_alive(c);
        c->wanted = !c->recycled || c->spec.restart != CHILD_TEMPORARY;
        c->queued = c->wanted;
        c->due_ms = c->due_ms > cause->due_ms ? c->due_ms : cause->due_ms;
    }
}

static void restart(struct supervisor *s, struct child *c)
{
    uint64_t now_ms = s->clock->now_ms(s);
    int64_t wait_ms = restart_decide(&c->spec.policy, &c->history, now_ms, s->random);

    if (wait_ms == RESTART_NEVER) {
        child_gives_up(s, c);
        return;
    }
    c->restarts++;
    c->due_ms = now_ms + (uint64_t)wait_ms;
    recycle_group(s, c);
}

void supervisor_decide(struct supervisor *s, struct child *c, enum crash_decision decision,
                       const char *why)
{
    if (!s->decides || !c->undecided) {
        return;
    }
    c->undecided = false;
    switch (decision) {
    case DECIDE_RESTART:
        if (c->wanted) {
            restart(s, c);
        }
        break;
    case DECIDE_IGNORE:
        c->state = CHILD_STOPPED;
        c->wanted = false;
        c->queued = false;
        break;
    case DECIDE_ESCALATE:
        c->state = CHILD_FAILED;
        give_up(s, c, why);
        break;
    case DECIDE_SHUTDOWN:
        supervisor_stop(s);
        break;
    }
    s->clock->work_soon(s);
}

/* ---- what children report ---- */

/* A stop was under way: by the owner, for its group, or to remove it. Or its supervisor does not
 * run, and keeps nobody alive. */
static bool was_stopping(const struct child *c)
{
    return c->state == CHILD_STOPPING || !runs(c->parent) || c->removed;
}

static void settle(struct child *c, enum child_state state)
{
    struct supervisor *s = c->parent;

    c->state = state;
    c->recycled = false;
    if (state == CHILD_STOPPED) {
        s->events->child_stopped(s, c);
    }
    s->clock->work_soon(s);
}

/* Also one that was not asked for: a supervisor below may be started by itself, whatever is planned
 * for it here. */
void child_up(struct child *c)
{
    struct supervisor *s = c->parent;

    if (c->state != CHILD_UP && c->state != CHILD_STOPPING) {
        c->state = CHILD_UP;
        if (!c->recycled) { /* else it goes down and comes back in its turn */
            c->wanted = !was_stopping(c);
            c->queued = false;
        }
        c->undecided = false;
        c->has_lived = true;
        s->events->child_up(s, c);
        s->clock->work_soon(s);
    }
}

void child_down(struct child *c)
{
    struct supervisor *s = c->parent;

    if (was_stopping(c)) {
        settle(c, CHILD_STOPPED);
    } else if (c->spec.restart == CHILD_PERMANENT && c->wanted) {
        settle(c, CHILD_CRASHED);
        fail(&c->last_error, TITAN_E_WORKER_LOST, "it ended by itself, but is permanent");
        restart(s, c);
    } else {
        c->wanted = false;
        c->queued = false;
        settle(c, CHILD_STOPPED);
    }
}

void child_crashed(struct child *c, const struct failure *why)
{
    struct supervisor *s = c->parent;

    c->last_error = *why;
    if (was_stopping(c)) {
        settle(c, CHILD_STOPPED);
        return;
    }
    settle(c, CHILD_CRASHED);
    c->undecided = true;
    if (c->spec.restart == CHILD_TEMPORARY) {
        c->wanted = false;
        c->queued = false;
    }
    s->events->child_crashed(s, c, s->decides);
    if (!s->decides && c->undecided) { /* the owner has not done something else about it */
        c->undecided = false;
        if (c->wanted) {
            restart(s, c);
        }
    }
}

void child_start_failed(struct child *c, const struct failure *why)
{
    struct supervisor *s = c->parent;

    if (was_stopping(c)) {
        c->last_error = *why;
        settle(c, CHILD_STOPPED);
        return;
    }
    if (c->has_lived) {
        child_crashed(c, why);
        return;
    }
    c->last_error = *why;
    c->wanted = false;
    c->queued = false;
    settle(c, CHILD_FAILED);
    s->events->child_start_failed(s, c);
    if (c->spec.critical && s->state == SUPERVISOR_STARTING) {
        give_up(s, c, "is critical and did not start");
    }
}

void child_withdrawn(struct child *c)
{
    c->wanted = was_stopping(c) && c->wanted;
    c->queued = c->queued && c->wanted;
    c->undecided = false;
    settle(c, CHILD_STOPPED);
}

const char *child_state_name(const struct child *c)
{
    static const char *const names[] = {
        [CHILD_STOPPED] = "stopped",   [CHILD_STARTING] = "starting", [CHILD_UP] = "running",
        [CHILD_STOPPING] = "stopping", [CHILD_CRASHED] = "crashed",   [CHILD_FAILED] = "failed",
    };

    return names[c->state];
}
