/*
 * The zygote: a small process that forks workers on request and, should the manager die, kills what
 * is left of them. It is started by exec, single-threaded, blocks in one recvmsg, and allocates
 * nothing while it serves: it has no reason to die.
 *
 * Workers are forked with CLONE_PARENT: they are the manager's children, their exit status is the
 * manager's to take, and they outlive the zygote.
 */
#ifndef TITAN_SPAWN_ZYGOTE_SERVER_H
#define TITAN_SPAWN_ZYGOTE_SERVER_H

#include "base/errors.h"
#include "worker/worker.h"

/* What is kept warm in the zygote and runs in its children. */
struct zygote_guest {
    /* Once, before serving. `boot_fd` is the boot data; on failure `why` is for people. */
    int (*warm_up)(void *ctx, int boot_fd, struct failure *why);
    /* In the child: the worker's whole life. Returns its exit code. */
    int (*run_worker)(void *ctx, const struct worker_fds *fds);
    void *ctx;
};

/* First thing in the process, before anything is opened: 0, or the exit code to end with. */
int zygote_begin(void);

/* Serves until the manager is gone. Returns the exit code, in the zygote and in each worker. */
int zygote_serve(const struct zygote_guest *guest);

#endif
