/* What supervisor.c, which is told things, and supervisor_work.c, which does them, share. */
#ifndef TITAN_MANAGER_SUPERVISOR_PARTS_H
#define TITAN_MANAGER_SUPERVISOR_PARTS_H

#include "manager/supervisor.h"

/* From now on everything goes down. */
void supervisor_begin_stop(struct supervisor *s);

void supervisor_drop_child(struct child *c);

#endif
