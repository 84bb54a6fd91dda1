/* The environment variables of the process, as a secret. */
#ifndef TITAN_SPAWN_ENVIRONMENT_H
#define TITAN_SPAWN_ENVIRONMENT_H

#include <stddef.h>

#include "base/errors.h"

/*
 * Leaves these variables, where they are set, and no others. What the process was started with is
 * overwritten as well: it would be seen in /proc/self/environ, in its memory and by its core dump.
 * Pointers that getenv(3) has given are of no use any more. For one thread. TITAN_OK or
 * SPAWN_FAILED: out of memory, or /proc is not there.
 */
int environment_keep(const char *const *names, size_t count, struct failure *why);

#endif
