#include "manager/child_process.h"

static struct child_process *of_child(struct child *c)
{
    return list_entry(c, struct child_process, child);
}

static struct child_process *of_keeper(struct keeper *k)
{
    return list_entry(k, struct child_process, keeper);
}

/* ---- what the supervisor wants ---- */

static void start(struct child *child)
{
    struct child_process *c = of_child(child);
    struct failure why;

    if (c->process != NULL) {
        process_revive(c->process, 0);
    } else if (c->spawn(c, &c->process, &why) < 0) {
        child_start_failed(child, &why);
    }
}

static void stop(struct child *child, uint32_t timeout_ms)
{
    struct child_process *c = of_child(child);

    if (c->process != NULL) {
        process_stop(c->process, timeout_ms);
    } else {
        child_down(child);
    }
}

static void let_go(struct child *child)
{
    struct child_process *c = of_child(child);
    struct process *p = c->process;

    c->process = NULL;
    if (p != NULL) {
        process_let_go(p);
    }
}

static void free_child(struct child *child)
{
    struct child_process *c = of_child(child);

    if (c->process != NULL) {
        c->process->keeper = NULL;
    }
    c->freed(c);
}

const struct child_ops child_process_ops = {start, stop, let_go, free_child};

/* ---- what the process does ---- */

static void report_end(struct child *c, struct process *p)
{
    bool by_itself = c->state != CHILD_STOPPING;

    if (by_itself && p->stop_asked) {
        child_withdrawn(c);
    } else if (by_itself && p->outcome == OUTCOME_CRASHED) {
        child_crashed(c, &p->last_error);
    } else if (by_itself && p->outcome == OUTCOME_FAILED) {
        child_start_failed(c, &p->last_error);
    } else {
        child_down(c);
    }
}

static int64_t went_down(struct keeper *k, struct process *p)
{
    struct child *c = &of_keeper(k)->child;

    report_end(c, p);
    return c->wanted || c->undecided ? KEEP_HELD : KEEP_NEVER;
}

static void came_up(struct keeper *k, struct process *p)
{
    (void)p;
    child_up(&of_keeper(k)->child);
}

/* While it is held it ends only when it is stopped: by its supervisor, which had told it to come
 * back just before, or by somebody else. */
static void ended(struct keeper *k, struct process *p)
{
    struct child_process *c = of_keeper(k);

    if (c->process == p) {
        c->process = NULL;
        if (c->child.state == CHILD_STOPPING || c->child.wanted || c->child.undecided) {
            child_withdrawn(&c->child);
        }
    }
}

void child_process_init(struct child_process *c)
{
    c->keeper = (struct keeper){.down = went_down, .up = came_up, .ended = ended};
    c->process = NULL;
}
