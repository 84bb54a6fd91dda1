/* The filter of system calls in a build without libseccomp. */
#include "spawn/syscall_filter.h"

bool syscall_filter_possible(void)
{
    return false;
}

const char *syscall_filter_missing(void)
{
    return "this Titan was built without it, TITAN_WITH_SECCOMP";
}

int syscall_filter_load(const struct sandbox_options *options, bool signals_scoped,
                        struct failure *why)
{
    (void)options;
    (void)signals_scoped;
    return fail(why, TITAN_E_SPAWN_FAILED, "the sandbox needs seccomp (%s)",
                syscall_filter_missing());
}
