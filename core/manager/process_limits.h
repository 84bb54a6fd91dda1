/*
 * What bounds the memory and the CPU of a process from outside: a control group (spawn/cgroup.h) if
 * somebody named a limit for it and groups can be made, else a watch.
 *
 * The watch of a named limit looks often while the process changes and seldom while it does not;
 * for limits that nobody named it begins only when the liveness sweep finds the process over one.
 * Over its memory a process is killed, over its CPU it is stopped (SIGSTOP) until what it used too
 * much is made up for. It counts the process alone; a group counts all that it has started, too.
 */
#ifndef TITAN_MANAGER_PROCESS_LIMITS_H
#define TITAN_MANAGER_PROCESS_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "spawn/cgroup.h"
#include "transport/reactor.h"

struct manager;
struct process;

struct process_bounds {
    uint64_t memory_len;            /* 0: none */
    double cpus;                    /* 0: none */
    bool named[CGROUP_CONTROLLERS]; /* by somebody, and not only a default */
};

struct process_limits {
    struct process_bounds bounds;
    bool has_group;
    enum cgroup_version by[CGROUP_CONTROLLERS]; /* of this life, or the last; CGROUP_NONE: watch */
    struct timer look;
    uint32_t look_ms; /* how long between the last two looks */
    uint64_t looked_ns;
    uint64_t cpu_ns; /* used at the last look */
    uint64_t rss_len;
    int64_t debt_ns; /* of CPU time used too much; below 0 it has some to its credit */
    bool stopped;    /* by the watch */
    uint64_t stopped_ns;
};

/* The manager's groups, opened when the first is needed. */
struct manager_groups {
    struct cgroups *cgroups; /* NULL: not opened yet */
    char *root;              /* see cgroups_find; owned, or NULL for "" */
    struct timer remove;     /* of groups that were not empty yet */
};

/* Opens them if that has not been done. NULL when memory is out. */
const struct cgroups *manager_groups(struct manager *m);
void manager_groups_close(struct manager *m);
/* A zygote warmed up: it is to remove the groups, should it outlive the manager. */
void manager_groups_tell(struct manager *m);

/* From here on; for a life that has begun as well. */
void process_limit(struct process *p, const struct process_bounds *bounds);

/* What bounds it: CGROUP_NONE is the watch. */
enum cgroup_version process_bounded_by(const struct process *p, enum cgroup_controller which);

/* Whether the watch stopped it a moment ago, so that it cannot answer as it would. */
bool process_is_slowed(const struct process *p);

/* ---- for the states of a process ---- */

void process_limits_init(struct process *p);
void process_limits_fork(struct process *p);     /* before the fork */
void process_limits_started(struct process *p);  /* it exists */
void process_limits_continue(struct process *p); /* it is to end: nothing stops it any more */
void process_limits_reaped(struct process *p);   /* says of what limit it died, in last_error */
void process_limits_sweep(struct process *p);

#endif
