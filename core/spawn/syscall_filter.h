/*
 * The system calls that a sandboxed process may make: a seccomp filter, put together by libseccomp.
 *
 * A call that is refused fails with EPERM, so that a program can go on and say so. Three are
 * different: clone3 is not there (ENOSYS), since its flags lie in memory where no filter sees them
 * and the C library then takes clone; neither is what is newer than Linux 5.17, since nobody has
 * looked at what it can do; and a call by the numbers of another architecture kills.
 */
#ifndef TITAN_SPAWN_SYSCALL_FILTER_H
#define TITAN_SPAWN_SYSCALL_FILTER_H

#include "spawn/sandbox.h"

/* Whether the kernel has seccomp filters and libseccomp is there. */
bool syscall_filter_possible(void);

/* Why it is not possible, in some words. */
const char *syscall_filter_missing(void);

/*
 * Restricts the calling thread, and what it makes. `signals_scoped`: Landlock keeps signals to the
 * process and what it started; otherwise this filter lets it signal itself alone. no_new_privs must
 * be set. TITAN_OK or SPAWN_FAILED.
 */
int syscall_filter_load(const struct sandbox_options *options, bool signals_scoped,
                        struct failure *why);

#endif
