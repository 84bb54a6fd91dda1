#include "transport/bell.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct bell {
    struct mailbox base;
    int fd;
};

static void ring(struct mailbox *m)
{
    static const uint64_t one = 1;

    /* It can only fail when the counter is full, which wakes just as well. */
    (void)!write(((struct bell *)m)->fd, &one, sizeof one);
}

static void bell_free(struct mailbox *m)
{
    close(((struct bell *)m)->fd);
    free(m);
}

struct mailbox *bell_new(void)
{
    struct bell *b = malloc(sizeof *b);

    if (b == NULL) {
        return NULL;
    }
    b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->fd < 0) {
        free(b);
        return NULL;
    }
    mailbox_init(&b->base, ring, bell_free);
    return &b->base;
}

int bell_dup(struct mailbox *m)
{
    return fcntl(((struct bell *)m)->fd, F_DUPFD_CLOEXEC, 0);
}
