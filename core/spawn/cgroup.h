/*
 * Control groups: what bounds a worker together with all that it starts.
 *
 * Below the manager's own group, wherever it may write there, is one group for the manager and in
 * that one for each worker:
 *
 *     OWN/titan-<pid of the manager>-<number>/<id of the process>
 *
 * cgroup v2 (Documentation/admin-guide/cgroup-v2.rst of the kernel) is used for a controller that
 * the own group has, else a v1 hierarchy with it (cgroup-v1/memory.rst, scheduler/sched-bwc.rst),
 * else there is none. In v2 a group that hands controllers on may hold no process itself; when its
 * processes are only the manager and its children they are moved to a leaf, OWN/titan-leaf-<pid>,
 * and otherwise there is none.
 *
 * The manager makes and removes the groups, the worker joins by itself: nothing of it runs outside.
 */
#ifndef TITAN_SPAWN_CGROUP_H
#define TITAN_SPAWN_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/errors.h"

enum cgroup_controller { CGROUP_MEMORY, CGROUP_CPU, CGROUP_CONTROLLERS };

enum cgroup_version { CGROUP_NONE, CGROUP_V1, CGROUP_V2 };

/* Where the groups with one controller are. */
struct cgroup_place {
    enum cgroup_version version;
    char own[PATH_MAX]; /* the group below which ours is */
};

struct cgroups {
    struct cgroup_place places[CGROUP_CONTROLLERS];
    unsigned number;
    char name[48]; /* of the manager's group */
    char why[256]; /* there is no group for one of the controllers, for people */
};

/* Finds the places, by /proc/self/cgroup and mountinfo. `root` is put before every path: "", or a
 * tree of a test. Nothing is changed. */
void cgroups_find(struct cgroups *c, const char *root);

/* The same, removes what managers that are dead have left, and makes the manager's group. A place
 * that turns out not to be writable becomes CGROUP_NONE, and `why` says so. */
void cgroups_open(struct cgroups *c, const char *root, pid_t pid);

/* What a group may use; 0: not bounded by it. */
struct cgroup_limits {
    uint64_t memory_len;
    double cpus;
};

/* Makes the group `id`, or takes the one that is there. 0 or -errno. */
int cgroup_make(const struct cgroups *c, const char *id, const struct cgroup_limits *limits);

/* Where one joins the group `id` by writing 0: the path goes to `path`. False when that controller
 * has no place, or shares that of memory. */
bool cgroup_join_path(const struct cgroups *c, enum cgroup_controller controller, const char *id,
                      char path[PATH_MAX]);

/* For the worker. 0 or -errno; -ENOENT: there is no such group (any more). */
int cgroup_join(const char *path);

/* How many the kernel has killed in the group since it was made, for its memory. */
unsigned cgroup_oom_kills(const struct cgroups *c, const char *id);

/* Kills what is left in the group and removes it. 0, or -EBUSY: not yet, try again. */
int cgroup_remove(const struct cgroups *c, const char *id);

/* Removes every group in the manager's for which `keeps` does not say yes; with NULL all, and that
 * of the manager as well. 0 or -EBUSY. */
int cgroups_remove(const struct cgroups *c, bool (*keeps)(void *ctx, const char *id), void *ctx);

/* Removes them all, waiting a few seconds at most for what was killed in them to be gone. */
void cgroups_clear(const struct cgroups *c);

/* The same, of the manager `pid`, which is dead, for who was in the same group as that one. */
void cgroups_clear_of(const char *root, pid_t pid, unsigned number);

const char *cgroup_version_name(enum cgroup_version v);

#endif
