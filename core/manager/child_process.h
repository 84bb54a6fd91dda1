/* A child that is a process: kept in DOWN between its lives, so that its id and name stay. */
#ifndef TITAN_MANAGER_CHILD_PROCESS_H
#define TITAN_MANAGER_CHILD_PROCESS_H

#include "manager/process.h"
#include "manager/supervisor.h"

struct child_process {
    struct child child;
    struct keeper keeper;
    struct process *process; /* NULL when there is none, not even one that is down */
    /* Makes the process, with this keeper; its first life only. */
    int (*spawn)(struct child_process *c, struct process **out, struct failure *why);
    void (*freed)(struct child_process *c); /* the owner's: frees the memory */
};

/* Fills in the keeper; `spawn` and `freed` are the caller's to set. */
void child_process_init(struct child_process *c);

extern const struct child_ops child_process_ops;

#endif
