/*
 * What manager and zygote say to each other, one SEQPACKET message each. Both ends are the same
 * build of the same library, so these are plain structs.
 */
#ifndef TITAN_SPAWN_ZYGOTE_PROTOCOL_H
#define TITAN_SPAWN_ZYGOTE_PROTOCOL_H

#include <stdint.h>

/* The zygote's descriptors, set up by whoever starts it. */
#define ZYGOTE_SOCKET 3 /* the conversation below */
#define ZYGOTE_BOOT 4   /* a memfd: the guest's boot data (what to preload) */

/* Put into the zygote's environment: ld.so(8) then resolves every symbol at the start, once, rather
 * than in each worker, where it would cost the lookup and a page. The zygote takes it out again. */
#define ZYGOTE_BIND_NOW "LD_BIND_NOW=titan"

/* In the environment of tests: a tree in which control groups are looked for instead of /. */
#define ZYGOTE_CGROUP_ROOT "TITAN_TEST_CGROUP_ROOT"

/* A worker's descriptors in the order they travel with ZYGOTE_FORK. */
enum worker_fd { FD_DATA, FD_CONTROL, FD_STATUS, FD_STDOUT, FD_STDERR, WORKER_FDS };

enum zygote_order {
    ZYGOTE_FORK,    /* with WORKER_FDS descriptors: fork a worker; answered by FORKED */
    ZYGOTE_ADOPT,   /* pid: a worker forked by a zygote before this one */
    ZYGOTE_RELEASE, /* pid: this worker's group is gone; sent while the pid is still a zombie */
    ZYGOTE_GROUPS   /* tag: the number of the manager's control groups, which are to be removed when
                     * the manager has died */
};

struct zygote_request {
    uint32_t order;
    int32_t pid;
    uint64_t tag; /* comes back in the reply */
};

enum zygote_news {
    ZYGOTE_READY,  /* the preloads are done */
    ZYGOTE_FAILED, /* they are not, and this zygote ends; text says why */
    ZYGOTE_FORKED  /* with a pidfd; or error: -errno */
};

struct zygote_reply {
    uint32_t news;
    int32_t pid;
    uint64_t tag;
    int32_t error;
    char text[1024];
};

#endif
