#include "transport/unix_shm.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/channel.h"

#define KERNEL_MAX 253 /* SCM_MAX_FD */

/* The last message may not have been read to its end when the next batch comes with its rest. */
#define QUEUED_MAX ((size_t)2 * (KERNEL_MAX + 1))

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * KERNEL_MAX)];
};

/* ---- outgoing ---- */

struct parcel {
    uint64_t position;
    struct shm *memory;
};

static struct parcel *parcels(const struct outgoing_shm *o, size_t *count)
{
    *count = buf_len(&o->queue) / sizeof(struct parcel);
    return (struct parcel *)(void *)buf_front(&o->queue);
}

bool outgoing_shm_add(struct outgoing_shm *o, uint64_t position, struct shm *const *memory,
                      unsigned count)
{
    if (buf_room(&o->queue, count * sizeof(struct parcel)) == NULL) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        struct parcel p = {position, shm_ref(memory[i])};

        (void)buf_append(&o->queue, &p, sizeof p);
    }
    return true;
}

/* How many there are of the first batch, and in *next the position of the one after it. */
static size_t first_batch(const struct outgoing_shm *o, uint64_t *next)
{
    size_t count, n = 1;
    const struct parcel *p = parcels(o, &count);

    while (n < count && p[n].position == p[0].position) {
        n++;
    }
    *next = n < count ? p[n].position : UINT64_MAX;
    return n;
}

static void drop(struct outgoing_shm *o, size_t n)
{
    size_t count;
    struct parcel *p = parcels(o, &count);

    for (size_t i = 0; i < n; i++) {
        shm_unref(&p[i].memory);
    }
    buf_consume(&o->queue, n * sizeof *p);
}

static ssize_t send_batch(const struct outgoing_shm *o, size_t n, int fd, const uint8_t *bytes,
                          size_t len)
{
    size_t count;
    const struct parcel *p = parcels(o, &count);
    union control control;
    struct iovec iov = {(void *)bytes, len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
    struct cmsghdr *c;

    memset(&control.align, 0, sizeof control.align);
    msg.msg_controllen = CMSG_SPACE(sizeof(int) * n);
    c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * n);
    for (size_t i = 0; i < n; i++) {
        memcpy(CMSG_DATA(c) + i * sizeof(int), &p[i].memory->fd, sizeof(int));
    }
    return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

ssize_t outgoing_shm_send(struct outgoing_shm *o, int fd, uint64_t position, const uint8_t *bytes,
                          size_t len)
{
    size_t count;
    uint64_t first = parcels(o, &count)[0].position;
    uint64_t next;
    size_t n = first_batch(o, &next);
    uint64_t until = first > position ? first : next;
    ssize_t sent;

    if (len > until - position) {
        len = (size_t)(until - position);
    }
    if (first > position) {
        return send(fd, bytes, len, MSG_NOSIGNAL);
    }
    sent = send_batch(o, n, fd, bytes, len);
    if (sent > 0) {
        drop(o, n);
    }
    return sent;
}

void outgoing_shm_free(struct outgoing_shm *o)
{
    size_t count;

    if (outgoing_shm_len(o) > 0) {
        (void)parcels(o, &count);
        drop(o, count);
    }
    buf_free(&o->queue);
}

/* ---- arrived ---- */

static bool put(struct arrived_shm *a, int fd)
{
    if (buf_len(&a->queue) < (size_t)QUEUED_MAX * sizeof fd &&
        buf_append(&a->queue, &fd, sizeof fd)) {
        return true;
    }
    if (fd >= 0) {
        close(fd);
    }
    return false;
}

/* All of them are taken or closed. */
static bool put_all(struct arrived_shm *a, struct msghdr *msg)
{
    bool ok = true;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        size_t count;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            ok = put(a, fd) && ok;
        }
    }
    return !(msg->msg_flags & MSG_CTRUNC) ? ok : put(a, -1) && ok;
}

// NOLINTNEXTLINE(readability-non-const-parameter): the kernel writes there
ssize_t arrived_shm_receive(struct arrived_shm *a, int fd, uint8_t *to, size_t room)
{
    union control control;
    struct iovec iov = {.iov_len = room};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
    ssize_t got;

    iov.iov_base = to;
    do {
        msg.msg_controllen = sizeof control;
        got = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got > 0 && (msg.msg_controllen > 0 || msg.msg_flags & MSG_CTRUNC) && !put_all(a, &msg)) {
        errno = EPROTO;
        return -1;
    }
    return got;
}

int arrived_shm_take(struct arrived_shm *a, struct shm **memory, unsigned count)
{
    bool missing = false;
    int code = TITAN_OK;

    for (unsigned i = 0; i < count; i++) {
        int fd = -1;

        memory[i] = NULL;
        missing |= buf_len(&a->queue) == 0;
        if (!missing) {
            memcpy(&fd, buf_front(&a->queue), sizeof fd);
            buf_consume(&a->queue, sizeof fd);
            missing = fd < 0;
        }
        if (!missing) {
            memory[i] = shm_adopt(fd);
            if (memory[i] == NULL && errno == EPROTO) {
                code = TITAN_E_PROTOCOL_ERROR;
            }
        }
    }
    if (code < 0) {
        for (unsigned i = 0; i < count; i++) {
            shm_unref(&memory[i]);
        }
    }
    return code;
}

void arrived_shm_free(struct arrived_shm *a)
{
    while (arrived_shm_len(a) > 0) {
        int fd;

        memcpy(&fd, buf_front(&a->queue), sizeof fd);
        buf_consume(&a->queue, sizeof fd);
        if (fd >= 0) {
            close(fd);
        }
    }
    buf_free(&a->queue);
}
