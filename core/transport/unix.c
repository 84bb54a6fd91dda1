/* The unix transport: a stream socket, read when the kernel says so, written at a turn's end. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "transport/channel.h"

#define READS_A_TURN 4 /* after that the other descriptors get their turn */

struct unix_channel {
    struct channel base;
    struct watch *watch;
    bool blocked; /* the kernel takes no more for now */
    bool broken;  /* the other side takes nothing any more; it may still have sent something */
    bool ended;   /* nothing will come any more, and the owner knows */
    bool closed;
    bool busy; /* in a callback of the owner: memory stays until it returns */
    uint64_t received;
};

static struct unix_channel *unix_of(struct channel *c)
{
    return list_entry(c, struct unix_channel, base);
}

/* What to wait for. Room to write only once the kernel has had none: what is written in a turn is
 * sent at its end anyhow, and each change here costs libuv two system calls. */
static void update_interest(struct unix_channel *u)
{
    bool paused =
        u->blocked && u->base.read_pause_len > 0 && buf_len(&u->base.out) > u->base.read_pause_len;

    watch_events(u->watch, (u->blocked ? UV_WRITABLE : 0) | (paused || u->ended ? 0 : UV_READABLE));
}

static void send_waiting(struct unix_channel *u)
{
    struct buf *out = &u->base.out;

    u->blocked = false;
    while (buf_len(out) > 0 && !u->broken && !u->blocked) {
        ssize_t sent = send(watch_fd(u->watch), buf_front(out), buf_len(out), MSG_NOSIGNAL);

        if (sent >= 0) {
            buf_consume(out, (size_t)sent);
        } else if (errno != EINTR) {
            u->blocked = errno == EAGAIN || errno == ENOBUFS;
            u->broken = !u->blocked;
        }
    }
    if (u->broken) {
        buf_free(out);
    }
    if (u->base.when_room != NULL && buf_len(out) < u->base.room_len) {
        reactor_flush_later(u->base.reactor, u->base.when_room);
        u->base.when_room = NULL;
    }
    update_interest(u);
}

static void flush(struct flusher *f)
{
    send_waiting(unix_of(list_entry(f, struct channel, flusher)));
}

static void finish_close(struct unix_channel *u)
{
    buf_free(&u->base.in);
    buf_free(&u->base.out);
    free(u);
}

/* Gives `bytes` to the owner and returns how many it took. */
static size_t deliver(struct unix_channel *u, const uint8_t *bytes, size_t len)
{
    size_t taken;

    u->busy = true;
    taken = u->base.events->bytes(u->base.ctx, bytes, len);
    u->busy = false;
    return taken;
}

/* The end of what comes in; the owner may close the channel in this. */
static void end(struct unix_channel *u, int error)
{
    u->ended = true;
    update_interest(u);
    u->base.events->lost(u->base.ctx, error);
}

enum outcome { READ_ALL, READ_PART, READ_OVER };

static ssize_t receive(int fd, uint8_t *to, size_t room)
{
    ssize_t got;

    do {
        got = recv(fd, to, room, 0);
    } while (got < 0 && errno == EINTR);
    return got;
}

/* Behind the kept beginning of a frame. */
static size_t deliver_kept(struct unix_channel *u, size_t got)
{
    buf_wrote(&u->base.in, got);
    return deliver(u, buf_front(&u->base.in), buf_len(&u->base.in));
}

/* Reads once: straight behind the kept beginning of a frame if there is one, else into the
 * reactor's scratch, so that an idle channel holds no memory. READ_PART: the kernel may have more.
 */
static enum outcome read_once(struct unix_channel *u)
{
    struct buf *in = &u->base.in;
    bool fresh = buf_len(in) == 0;
    uint8_t *to = fresh ? u->base.reactor->scratch : buf_room(in, SCRATCH_LEN);
    size_t room = fresh ? SCRATCH_LEN : in->cap - in->end;
    ssize_t got;
    size_t taken;

    if (to == NULL) {
        end(u, ENOMEM);
        return READ_OVER;
    }
    got = receive(watch_fd(u->watch), to, room);
    if (got < 0 && errno == EAGAIN) {
        return READ_ALL;
    }
    if (got <= 0) {
        end(u, got < 0 ? errno : 0);
        return READ_OVER;
    }
    u->received += (uint64_t)got;
    taken = fresh ? deliver(u, to, (size_t)got) : deliver_kept(u, (size_t)got);
    if (u->closed) {
        finish_close(u);
        return READ_OVER;
    }
    if (!fresh) {
        buf_consume(in, taken);
    } else if (!buf_append(in, to + taken, (size_t)got - taken)) {
        end(u, ENOMEM);
        return READ_OVER;
    }
    return (size_t)got < room ? READ_ALL : READ_PART;
}

static void ready(void *ctx, int events)
{
    struct unix_channel *u = ctx;

    if (events & UV_WRITABLE || u->ended) { /* after the end only an error is heard as readable */
        send_waiting(u);
    }
    if (events & UV_READABLE && !u->ended) {
        unsigned turns = READS_A_TURN;
        enum outcome outcome;

        do {
            outcome = read_once(u);
        } while (outcome == READ_PART && --turns > 0);
        if (outcome != READ_OVER) {
            update_interest(u);
        }
    }
}

/* Until the kernel has nothing more: a short read is no proof, the sender may have gone on. */
static void unix_drain(struct channel *c)
{
    struct unix_channel *u = unix_of(c);
    uint64_t before;

    do {
        before = u->received;
        if (u->ended || read_once(u) == READ_OVER) {
            return;
        }
    } while (u->received != before);
}

static void unix_finish(struct channel *c)
{
    struct unix_channel *u = unix_of(c);
    struct pollfd p = {.fd = watch_fd(u->watch), .events = POLLOUT};

    flusher_cancel(&c->flusher);
    for (;;) {
        send_waiting(u);
        if (buf_len(&c->out) == 0 || (poll(&p, 1, -1) < 0 && errno != EINTR)) {
            return;
        }
    }
}

static void unix_close(struct channel *c)
{
    struct unix_channel *u = unix_of(c);

    flusher_cancel(&c->flusher);
    watch_close(&u->watch);
    u->closed = true;
    if (!u->busy) {
        finish_close(u);
    }
}

struct channel *channel_unix(struct reactor *r, int fd, const struct channel_events *events,
                             void *ctx)
{
    static const struct channel_ops ops = {"unix", unix_drain, unix_finish, unix_close};
    struct unix_channel *u = calloc(1, sizeof *u);

    if (u == NULL) {
        return NULL;
    }
    u->base.ops = &ops;
    u->base.events = events;
    u->base.ctx = ctx;
    u->base.reactor = r;
    flusher_init(&u->base.flusher, flush);
    u->watch = watch_open(r, fd, UV_READABLE, ready, u);
    if (u->watch == NULL) {
        free(u);
        return NULL;
    }
    return &u->base;
}
