#include "manager/birth.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "spawn/fdpass.h"

/* A connected pair: ours goes to *ours, the worker's to *theirs. */
static int make_pair(int *ours, int *theirs)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return -errno;
    }
    *ours = pair[0];
    *theirs = pair[1];
    return 0;
}

static int make_pipe(int *ours, int *theirs)
{
    int pair[2];

    if (pipe2(pair, O_CLOEXEC) < 0) {
        return -errno;
    }
    *ours = pair[0];
    *theirs = pair[1];
    return 0;
}

int birth_make(struct birth *b)
{
    int code;

    *b = BIRTH_NONE;
    code = make_pair(&b->ours[FD_DATA], &b->theirs[FD_DATA]);
    if (code == 0) {
        code = make_pair(&b->ours[FD_CONTROL], &b->theirs[FD_CONTROL]);
    }
    if (code == 0) {
        code = make_pipe(&b->ours[FD_STDOUT], &b->theirs[FD_STDOUT]);
    }
    if (code == 0) {
        code = make_pipe(&b->ours[FD_STDERR], &b->theirs[FD_STDERR]);
    }
    if (code == 0) {
        code = status_create(&b->status, &b->theirs[FD_STATUS]);
    }
    return code;
}

void birth_discard(struct birth *b)
{
    close_all(b->ours, WORKER_FDS);
    close_all(b->theirs, WORKER_FDS);
    status_unmap(&b->status);
}
