/* As whom a process runs. */
#ifndef TITAN_SPAWN_IDENTITY_H
#define TITAN_SPAWN_IDENTITY_H

#include "base/errors.h"

/*
 * Makes the process one of that user and that group, for good: supplementary groups, group, user,
 * each the real, the effective and the saved one. Names or decimal numbers; NULL stands for as it
 * is. Without a group it is the user's own, and the groups are all that the user is in; with one,
 * it is the only one.
 *
 * The kernel takes back PR_SET_PDEATHSIG when the user changes; it is set again, and a parent that
 * has died meanwhile is a failure.
 *
 * TITAN_OK, also when there is nothing to do; SPAWN_FAILED: nobody of that name, or not root.
 */
int identity_take(const char *user, const char *group, struct failure *why);

#endif
