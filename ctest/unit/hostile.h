/* A peer whose other side is a bare socket: a test says there what no honest peer would. */
#ifndef TITAN_CTEST_HOSTILE_H
#define TITAN_CTEST_HOSTILE_H

#include "loop.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/mman.h>

#include "rpc/peer.h"
#include "wire/mp_read.h"
#include "wire/mp_write.h"

#define SEALED (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define BLOCK_LEN CARGO_STRING_MIN

struct side {
    struct peer peer;
    int fd;     /* the other side */
    int before; /* descriptors that were open */
    int requests, notifications, lost, done, items;
    char text[16];     /* how the last string began */
    size_t len;        /* of the last string or memory */
    struct cargo kept; /* of the last request, when `keep` */
    bool keep;
    int code;
    char why[512];
    struct call call;
};

static const struct failure closed = {TITAN_E_DESTROYED, "closed by the test"};

static inline int descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    assert_non_null(d);
    while (readdir(d) != NULL) {
        n++;
    }
    closedir(d);
    return n;
}

/* ---- the peer's owner ---- */

/* Takes the one value of the list, which is a reference, and blames what is wrong with it. */
static inline void take_value(struct side *s, struct span list)
{
    struct mp_reader r = {list.at, list.at + list.len};
    struct mp_token array, t;
    const char *wrong = NULL;

    assert_null(mp_next(&r, &array));
    for (uint32_t i = 0; wrong == NULL && i < array.n; i++) {
        struct span ext, string;
        struct memory_part part;

        assert_null(mp_next(&r, &t));
        ext = (struct span){t.bytes, t.n};
        if (t.type == MP_EXT && t.i == WIRE_STRING) {
            wrong = cargo_string(s->peer.arrived, ext, &string);
            s->len = wrong == NULL ? string.len : 0;
            memcpy(s->text, wrong == NULL ? string.at : (const uint8_t *)"", s->len > 0 ? 15 : 1);
        } else if (t.type == MP_EXT) {
            wrong = cargo_memory(s->peer.arrived, ext, &part);
            s->len = wrong == NULL ? part.len : 0;
        }
    }
    if (wrong != NULL) {
        peer_blame(&s->peer, wrong);
    }
}

static inline void on_request(void *ctx, const struct message *m)
{
    struct side *s = ctx;
    struct draft d;

    s->requests++;
    take_value(s, m->payload);
    if (s->keep) {
        assert_true(cargo_keep(s->peer.arrived, &s->kept));
    }
    assert_int_equal(answer_begin(&s->peer, &d, m->id, false), TITAN_OK);
    assert_true(buf_append(peer_out(&s->peer), "\x90", 1));
    assert_int_equal(answer_end(&s->peer, &d, false), TITAN_OK);
}

static inline void on_notification(void *ctx, const struct message *m)
{
    (void)m;
    ((struct side *)ctx)->notifications++;
}

static inline void on_cancel(void *ctx, uint32_t id)
{
    (void)ctx;
    (void)id;
}

static inline void on_lost(void *ctx, int code, const char *why)
{
    struct side *s = ctx;

    s->lost++;
    s->code = code;
    snprintf(s->why, sizeof s->why, "%s", why);
}

static inline void on_done(struct call *call, const struct reply *reply)
{
    struct side *s = list_entry(call, struct side, call);

    s->done++;
    s->code = reply->code;
    snprintf(s->why, sizeof s->why, "%s", reply->failure != NULL ? reply->failure->message : "");
}

static inline void on_item(struct call *call, struct span values)
{
    struct side *s = list_entry(call, struct side, call);

    (void)values;
    s->items++;
}

static const struct peer_events events = {on_request, on_notification, on_cancel, NULL, on_lost};

static inline void open_side(struct fixture *f, struct side *s)
{
    static const struct wire_limits limits = {.frame = 4 << 20, .nesting = 8, .outstanding = 4};
    int fds[2];

    memset(s, 0, sizeof *s);
    s->before = descriptors();
    socket_pair(SOCK_STREAM, fds);
    assert_int_equal(peer_open(&s->peer, &f->reactor, fds[0], &limits, &events, s), TITAN_OK);
    s->fd = fds[1];
}

/* Nothing that came is open any more. */
static inline void close_side(struct fixture *f, struct side *s)
{
    peer_close(&s->peer, &closed);
    close(s->fd);
    run_idle(f);
    assert_int_equal(descriptors(), s->before);
}

static inline void must_be_lost(struct fixture *f, struct side *s, int code, const char *why)
{
    run_until(f, s->lost);
    run_idle(f);
    assert_int_equal(s->lost, 1);
    assert_int_equal(s->code, code);
    if (strstr(s->why, why) == NULL) {
        assert_string_equal(s->why, why);
    }
    close_side(f, s);
}

/* A call whose one parameter is a string in an arena of the peer's, if `string`. */
static inline void begin_call(struct side *s, bool string)
{
    static char bytes[BLOCK_LEN] = "a string of the peer's";
    struct draft d;
    uint32_t number = 0;

    s->call.done = on_done;
    s->call.item = on_item;
    assert_int_equal(request_begin(&s->peer, &d, 7, (struct span){NULL, 0}, false, NULL), TITAN_OK);
    assert_true(!string || cargo_load_string(&s->peer.loading, bytes, sizeof bytes, &number));
    assert_true(buf_append(peer_out(&s->peer), "\x91\xd6\x01\0\0\0\0", 7));
    assert_int_equal(request_end(&s->peer, &d, &s->call, 0, NULL), TITAN_OK);
}

/* ---- the other side ---- */

static inline void say_with(const struct side *s, const void *bytes, size_t len, const int *fds,
                            unsigned count)
{
    char control[CMSG_SPACE(sizeof(int) * 253)] = {0};
    struct iovec iov = {(void *)bytes, len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct cmsghdr *c;

    if (count > 0) {
        msg.msg_control = control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
    }
    assert_int_equal(sendmsg(s->fd, &msg, MSG_NOSIGNAL), len);
}

#define FRAME(body) "" body, sizeof(body) - 1

static inline size_t put_frame(uint8_t *to, const void *body, size_t len)
{
    for (unsigned i = 0; i < FRAME_HEAD; i++) {
        to[i] = (uint8_t)(len >> 8 * i);
    }
    memcpy(to + FRAME_HEAD, body, len);
    return len + FRAME_HEAD;
}

static inline void say_frame(const struct side *s, const void *body, size_t len, const int *fds,
                             unsigned count)
{
    uint8_t frame[8192];

    assert_true(len + FRAME_HEAD <= sizeof frame);
    say_with(s, frame, put_frame(frame, body, len), fds, count);
}

/* [0, 1, 7, [the first piece of its cargo, a string]] */
#define REQUEST_STRING "\x94\x00\x01\x07\x91\xd6\x01\0\0\0\0"
/* [0, 1, 7, [8 bytes of the first piece of its cargo, memory]] */
#define REQUEST_MEMORY "\x94\x00\x01\x07\x91\xc7\x14\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08"
#define ARENA "\x91\x07"
#define ONE_MEMORY "\x92\x06\x91\xc0"

static inline void say_request_of_memory(const struct side *s, int fd)
{
    say_frame(s, FRAME(ONE_MEMORY), &fd, 1);
    say_frame(s, FRAME(REQUEST_MEMORY), NULL, 0);
}

static inline int memory(size_t len, unsigned flags, int seals)
{
    int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)len), 0);
    assert_true(seals == 0 || fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

/* An arena of the other side's that begins with "block"; its descriptor is closed. */
static inline void say_arena(const struct side *s, size_t len)
{
    int fd = memory(len, 0, SEALED);

    assert_true(len == 0 || pwrite(fd, "block", 5, 0) == 5);
    say_frame(s, FRAME(ARENA), &fd, 1);
    close(fd);
}

/* A request of a block of the arena. */
static inline void say_block(const struct side *s, int64_t offset, int64_t len)
{
    struct buf b = {0};

    assert_true(message_write_cargo(&b) && mp_write_array(&b, 1) && mp_write_array(&b, 2) &&
                mp_write_int(&b, offset) && mp_write_int(&b, len));
    say_frame(s, buf_front(&b), buf_len(&b), NULL, 0);
    buf_free(&b);
    say_frame(s, FRAME(REQUEST_STRING), NULL, 0);
}

/* All that the peer has said by now. Descriptors that come along are put to *fd. */
// NOLINTNEXTLINE(readability-non-const-parameter): the kernel writes there
static inline size_t hear(struct fixture *f, const struct side *s, uint8_t *bytes, size_t room,
                          int *fd)
{
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec iov;
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control};
    size_t len = 0;
    ssize_t got;

    run_idle(f);
    do {
        const struct cmsghdr *c;

        iov.iov_base = bytes + len;
        iov.iov_len = room - len;
        msg.msg_controllen = sizeof control;
        got = recvmsg(s->fd, &msg, MSG_CMSG_CLOEXEC);
        len += got > 0 ? (size_t)got : 0;
        c = got > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
        if (c != NULL && fd != NULL) {
            memcpy(fd, CMSG_DATA(c), sizeof *fd);
        }
    } while (got > 0 && len < room);
    return len;
}

/* Whether these bytes are among those. */
static inline bool has(const uint8_t *bytes, size_t len, const char *part, size_t part_len)
{
    return memmem(bytes, len, part, part_len) != NULL;
}

#endif
