/* What supervisor.c, which is told things, and supervisor_work.c, which does them, share. */
#ifndef TITAN_MANAGER_SUPERVISOR_PARTS_H
#define TITAN_MANAGER_SUPERVISOR_PARTS_H

#include "manager/supervisor.h"

/* From now on everything goes down. */
void supervisor_begin_stop(struct supervisor *s);

void supervisor_drop_child(struct child *c);

static inline bool child_is_alive(const struct child *c)
{
    return c->state == CHILD_STARTING || c->state == CHILD_UP || c->state == CHILD_STOPPING;
}

#endif
