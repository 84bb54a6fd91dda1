/* A child that is a supervisor itself: what gives up there is a crash here. */
#ifndef TITAN_MANAGER_CHILD_SUPERVISOR_H
#define TITAN_MANAGER_CHILD_SUPERVISOR_H

#include "manager/supervisor.h"

struct child_supervisor {
    struct child child;
    struct supervisor *inner;                  /* outlives it */
    void (*freed)(struct child_supervisor *c); /* the owner's: frees the memory */
};

extern const struct child_ops child_supervisor_ops;

#endif
