/*
 * Landlock: which files a process may open, with which TCP ports it may talk, whom it may signal.
 *
 * Source: Documentation/userspace-api/landlock.rst of Linux. The numbers are written out in
 * landlock.c, since a system's headers are often older than its kernel.
 */
#ifndef TITAN_SPAWN_LANDLOCK_H
#define TITAN_SPAWN_LANDLOCK_H

#include "spawn/sandbox.h"

#define LANDLOCK_ABI_ANY 2     /* renames between directories can be let be */
#define LANDLOCK_ABI_FILES 3   /* truncation is covered: Linux 6.2 */
#define LANDLOCK_ABI_TCP 4     /* Linux 6.7 */
#define LANDLOCK_ABI_IOCTL 5   /* on devices: Linux 6.10 */
#define LANDLOCK_ABI_SIGNALS 6 /* and abstract unix sockets: Linux 6.12 */

/* The version that the kernel has; 0 for none. */
int landlock_abi(void);

/*
 * Puts the calling thread, and the threads and processes it makes, into a domain of its own, from
 * where it cannot look into the processes outside by ptrace(2), and so not by /proc either: their
 * memory, environment and descriptors. Uses no more than `abi`, of what is there. no_new_privs must
 * be set. TITAN_OK or SPAWN_FAILED.
 */
int landlock_restrict(const struct sandbox_options *options, int abi, struct failure *why);

#endif
