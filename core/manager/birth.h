/* What a worker is born with: five descriptors at each end, and the status page. */
#ifndef TITAN_MANAGER_BIRTH_H
#define TITAN_MANAGER_BIRTH_H

#include "spawn/zygote_protocol.h"
#include "worker/status.h"

struct birth {
    int ours[WORKER_FDS];   /* -1 where there is none (the status page has none on our side) */
    int theirs[WORKER_FDS]; /* to be closed once the zygote has copies */
    struct status_page *status;
};

#define BIRTH_NONE                                                                                 \
    (struct birth)                                                                                 \
    {                                                                                              \
        {-1, -1, -1, -1, -1}, {-1, -1, -1, -1, -1}, NULL                                           \
    }

/* 0, or -errno; then birth_discard what was made. */
int birth_make(struct birth *b);

/* Closes what is still open; twice is safe. */
void birth_discard(struct birth *b);

#endif
