#include "manager/child_supervisor.h"

static struct child_supervisor *of_child(struct child *c)
{
    return list_entry(c, struct child_supervisor, child);
}

static void start(struct child *child)
{
    struct supervisor *inner = of_child(child)->inner;

    if (inner->state == SUPERVISOR_RUNNING) {
        child_up(child);
    } else {
        supervisor_start(inner);
    }
}

static void stop(struct child *child, uint32_t timeout_ms)
{
    struct supervisor *inner = of_child(child)->inner;

    (void)timeout_ms; /* each of its children has one of its own */
    if (inner->state == SUPERVISOR_STOPPED) {
        child_down(child);
    } else {
        supervisor_stop(inner);
    }
}

static void let_go(struct child *child)
{
    (void)child;
}

static void free_child(struct child *child)
{
    struct child_supervisor *c = of_child(child);

    c->inner->as_child = NULL;
    c->freed(c);
}

const struct child_ops child_supervisor_ops = {start, stop, let_go, free_child};
