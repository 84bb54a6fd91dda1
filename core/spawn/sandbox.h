/*
 * What a worker may do, told to the kernel: from then on it holds for the process, for what it
 * starts, and cannot be taken back.
 *
 * Four parts, in this order: who it is (identity.h), what of root's power it keeps
 * (capabilities.h), what it may open (landlock.h), which system calls it may make
 * (syscall_filter.h). no_new_privs is set in any case. What stays open whatever
 * is asked: descriptors that are open already, threads, memory, the metadata of files (stat,
 * chdir).
 *
 * Knows neither Lua nor processes of a manager.
 */
#ifndef TITAN_SPAWN_SANDBOX_H
#define TITAN_SPAWN_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/errors.h"

enum sandbox_filesystem {
    SANDBOX_READ_WRITE, /* all but writing below /proc */
    SANDBOX_READ_ONLY,  /* nothing is written, made, renamed or removed */
    SANDBOX_NONE        /* nothing is opened but to load code: `readable` */
};

/* Borrowed, for the time of the call. */
struct sandbox_options {
    enum sandbox_filesystem filesystem;
    bool network, spawn; /* whether it may */
    bool best_effort;    /* do what this kernel can, instead of failing */
    const char *user;    /* names or numbers; NULL: as it is */
    const char *group;
    const char *const *readable; /* files, and directories with all below; may be missing */
    size_t readable_count;
};

/* What a kernel, and this build, can do. A test says less than there is. */
struct sandbox_kernel {
    int landlock_abi; /* 0: has no Landlock, or it is switched off */
    bool seccomp;
};

/* What is in force. */
struct sandbox_report {
    int landlock_abi;
    bool seccomp;
    char missing[256]; /* what was asked for and is not, "" for nothing; only with best_effort */
};

void sandbox_probe(struct sandbox_kernel *kernel);

/*
 * Restricts the calling process, which must have one thread: Landlock knows threads only. Again,
 * it restricts further, and what files it could not open before it has not to be given now.
 * TITAN_OK; SPAWN_FAILED, and then the process may be half restricted, so that it should end.
 */
int sandbox_apply(const struct sandbox_options *options, const struct sandbox_kernel *kernel,
                  struct sandbox_report *report, struct failure *why);

#endif
