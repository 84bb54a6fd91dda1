/* What a supervisor does at the end of a turn: it compares what every child is with what it should
 * be, and takes the next steps. */
#include "manager/supervisor_parts.h"

static void stop_child(struct child *c)
{
    if (c->state != CHILD_STOPPING) {
        c->state = CHILD_STOPPING;
        c->ops->stop(c, c->spec.shutdown_timeout_ms);
    }
}

/* Takes those down that `goes` says, right to left, one after the other (those of a
 * simple_one_for_one, which know nothing of each other, together). Whether one is still alive. */
static bool take_down(struct supervisor *s, bool (*goes)(const struct child *c))
{
    bool alive = false;

    for (struct list *l = s->children.prev; l != &s->children; l = l->prev) {
        struct child *c = list_entry(l, struct child, link);

        if (!goes(c) || !child_is_alive(c)) {
            continue;
        }
        stop_child(c);
        if (child_is_alive(c)) {
            alive = true;
            if (s->strategy != SIMPLE_ONE_FOR_ONE) {
                return true;
            }
        }
    }
    return alive;
}

static bool any(const struct child *c)
{
    (void)c;
    return true;
}

static bool is_recycled(const struct child *c)
{
    return c->recycled;
}

static bool is_removed(const struct child *c)
{
    return c->removed;
}

/* What is down for good need not be kept for a restart. */
static void let_go(struct supervisor *s)
{
    struct list *l = s->children.next;

    while (l != &s->children) {
        struct child *c = list_entry(l, struct child, link);

        l = l->next;
        if (!child_is_alive(c) && !c->wanted) {
            if (c->state == CHILD_CRASHED) {
                c->state = CHILD_STOPPED;
            }
            c->ops->let_go(c);
            if (c->removed) {
                s->events->child_removed(s, c);
                supervisor_drop_child(c);
            }
        }
    }
}

/* Starts those whose time has come, but none that is queued when they must wait. Returns when the
 * next one's comes. */
static uint64_t start_due(struct supervisor *s, bool must_wait)
{
    uint64_t now_ms = s->clock->now_ms(s);
    uint64_t next_ms = UINT64_MAX;

    for (struct list *l = s->children.next; l != &s->children; l = l->next) {
        struct child *c = list_entry(l, struct child, link);
        bool starts = c->wanted && !child_is_alive(c) && !c->undecided && !(c->queued && must_wait);

        if (starts && c->due_ms <= now_ms) {
            c->state = CHILD_STARTING;
            c->ops->start(c);
        } else if (starts && c->due_ms < next_ms) {
            next_ms = c->due_ms;
        }
        must_wait = must_wait || (c->queued && c->wanted && !c->spec.optional);
    }
    return next_ms == UINT64_MAX ? UINT64_MAX : next_ms - now_ms;
}

static bool is_starting(const struct supervisor *s)
{
    for (struct list *l = s->children.next; l != &s->children; l = l->next) {
        const struct child *c = list_entry(l, struct child, link);

        if (c->queued && c->wanted && !c->spec.optional) {
            return true;
        }
    }
    return false;
}

static void run(struct supervisor *s)
{
    uint64_t next_ms;

    take_down(s, is_removed);
    let_go(s);
    next_ms = start_due(s, take_down(s, is_recycled));
    if (s->state == SUPERVISOR_STOPPING) {
        return; /* by what the children or the owner did to it meanwhile */
    }
    if (!s->clock->work_in(s, next_ms)) {
        fail(&s->failure, TITAN_E_LIMIT_EXCEEDED, "out of memory");
        supervisor_begin_stop(s);
        return;
    }
    if (s->state == SUPERVISOR_STARTING && !is_starting(s)) {
        s->state = SUPERVISOR_RUNNING;
        s->events->started(s);
        if (s->as_child != NULL) {
            child_up(s->as_child);
        }
    }
}

/* Tells its owner first, then its own supervisor. */
static void stopped(struct supervisor *s)
{
    struct failure failure = s->failure;
    struct child *as_child = s->as_child;
    bool was_start = s->starts;
    bool on_purpose = s->on_purpose;

    s->state = SUPERVISOR_STOPPED;
    s->clock->work_in(s, UINT64_MAX);
    if (was_start) {
        s->events->start_failed(s);
    }
    if (on_purpose) {
        s->failure = (struct failure){0};
    }
    if (on_purpose || !was_start) {
        s->events->stopped(s);
    }
    if (as_child == NULL) {
        return;
    }
    if (on_purpose) {
        child_withdrawn(as_child);
    } else if (was_start) {
        child_start_failed(as_child, &failure);
    } else {
        child_crashed(as_child, &failure);
    }
}

void supervisor_work(struct supervisor *s)
{
    switch (s->state) {
    case SUPERVISOR_STOPPED:
        let_go(s);
        break;
    case SUPERVISOR_STARTING:
    case SUPERVISOR_RUNNING:
        run(s);
        break;
    case SUPERVISOR_STOPPING:
        if (!take_down(s, any)) {
            let_go(s);
            stopped(s);
        }
        break;
    }
}
