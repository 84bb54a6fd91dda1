/* What root may do beyond others, as far as a sandboxed process keeps it. */
#ifndef TITAN_SPAWN_CAPABILITIES_H
#define TITAN_SPAWN_CAPABILITIES_H

#include "base/errors.h"

/*
 * Takes from the process every capability but those that let root use files, sockets and ids as it
 * is used to, and keeps it from getting them back. The others look past the sandbox: with
 * CAP_PERFMON the kernel shows the environment of any process, whatever Landlock says (Linux 6.16).
 *
 * TITAN_OK, also for a process without any; SPAWN_FAILED.
 */
int capabilities_drop(struct failure *why);

#endif
