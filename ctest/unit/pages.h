/* A status page for a test: as the worker has it, and as the manager has it. */
#ifndef TITAN_CTEST_PAGES_H
#define TITAN_CTEST_PAGES_H

#include "unit.h"

#include <unistd.h>

#include "worker/status.h"

struct pages {
    struct status_page *written;
    struct status_page *read;
    int fd;
};

static inline int set_up(void **state)
{
    struct pages *p = calloc(1, sizeof *p);

    *state = p;
    if (status_create(&p->written, &p->fd) < 0) {
        return -1;
    }
    return status_map(&p->read, p->fd);
}

static inline int tear_down(void **state)
{
    struct pages *p = *state;

    status_unmap(&p->written);
    status_unmap(&p->read);
    close(p->fd);
    free(p);
    return 0;
}

#endif
