#include "spawn/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "spawn/capabilities.h"
#include "spawn/identity.h"
#include "spawn/landlock.h"
#include "spawn/syscall_filter.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>

/* Its search for leaks at the exit takes a process and ptrace, which are refused then. */
static void sanitize_now(void)
{
    __lsan_do_leak_check();
}
#else
static void sanitize_now(void)
{
}
#endif

void sandbox_probe(struct sandbox_kernel *kernel)
{
    kernel->landlock_abi = landlock_abi();
    kernel->seccomp = syscall_filter_possible();
}

static bool one_thread(void)
{
#if defined(__SANITIZE_THREAD__)
    return true; /* the sanitizer's own thread is always there */
#else
    struct stat tasks;

    /* Each task is a directory, and so a link, besides the two that every directory has. */
    return stat("/proc/self/task", &tasks) < 0 || tasks.st_nlink <= 3;
#endif
}

/* What of the options this kernel cannot do, as a list of words; "" for nothing. */
static void find_missing(const struct sandbox_options *o, const struct sandbox_kernel *kernel,
                         char *missing, size_t len)
{
    int wanted = o->filesystem == SANDBOX_READ_WRITE ? LANDLOCK_ABI_ANY : LANDLOCK_ABI_FILES;
    int used = 0;

    missing[0] = '\0';
    if (!kernel->seccomp) {
        used = snprintf(missing, len, "seccomp (%s)", syscall_filter_missing());
    }
    if (kernel->landlock_abi < wanted) {
        snprintf(missing + used, len - (size_t)used,
                 "%sLandlock ABI %d (of Linux %s; this kernel has %d)", used > 0 ? " and " : "",
                 wanted, wanted == LANDLOCK_ABI_ANY ? "5.19" : "6.2", kernel->landlock_abi);
    }
}

static int restrict_process(const struct sandbox_options *o, const struct sandbox_kernel *kernel,
                            struct sandbox_report *report, struct failure *why)
{
    int code = identity_take(o->user, o->group, why);

    code = code == TITAN_OK ? capabilities_drop(why) : code;
    if (code < 0) {
        return code;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return fail(why, TITAN_E_SPAWN_FAILED, "the sandbox: no_new_privs: %s", strerror(errno));
    }
    if (kernel->landlock_abi > 0) {
        code = landlock_restrict(o, kernel->landlock_abi, why);
        report->landlock_abi = kernel->landlock_abi;
    }
    if (code == TITAN_OK && kernel->seccomp) {
        code = syscall_filter_load(o, kernel->landlock_abi >= LANDLOCK_ABI_SIGNALS, why);
        report->seccomp = code == TITAN_OK;
    }
    return code;
}

int sandbox_apply(const struct sandbox_options *o, const struct sandbox_kernel *kernel,
                  struct sandbox_report *report, struct failure *why)
{
    memset(report, 0, sizeof *report);
    find_missing(o, kernel, report->missing, sizeof report->missing);
    if (report->missing[0] != '\0' && !o->best_effort) {
        return fail(why, TITAN_E_SPAWN_FAILED,
                    "the sandbox needs %s; security.best_effort = true does without",
                    report->missing);
    }
    if (!one_thread()) {
        return fail(why, TITAN_E_SPAWN_FAILED,
                    "the sandbox is for a process with one thread, and this one has others");
    }
    sanitize_now();
    return restrict_process(o, kernel, report, why);
}
