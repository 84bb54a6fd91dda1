/* The unix transport: a stream socket, read when the kernel says so, written at a turn's end. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "transport/channel.h"
#include "transport/unix_shm.h"

#define READS_A_TURN 4 /* after that the other descriptors get their turn */
#define CROWDED_MS 5   /* until descriptors are sent again of which too many were under way */

struct unix_channel {
    struct channel base;
    struct watch *watch;
    bool blocked; /* the kernel takes no more for now */
    bool crowded; /* the same, since too many descriptors are under way: no event tells the end */
    bool broken;  /* the other side takes nothing any more; it may still have sent something */
    bool ended;   /* nothing will come any more, and the owner knows */
    bool closed;
    bool busy; /* in a callback of the owner: memory stays until it returns */
    uint64_t received;
    uint64_t sent;
    struct timer retry; /* while it is crowded */
    struct outgoing_shm outgoing;
    struct arrived_shm arrived;
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

    watch_events(u->watch, (u->blocked && !u->crowded ? UV_WRITABLE : 0) |
                               (paused || u->ended ? 0 : UV_READABLE));
}

/* As much as the kernel takes, but not past the next byte that memory goes along with. */
static ssize_t send_once(struct unix_channel *u)
{
    struct buf *out = &u->base.out;

    if (outgoing_shm_len(&u->outgoing) == 0) {
        return send(watch_fd(u->watch), buf_front(out), buf_len(out), MSG_NOSIGNAL);
    }
    return outgoing_shm_send(&u->outgoing, watch_fd(u->watch), u->sent, buf_front(out),
                             buf_len(out));
}

static void send_waiting(struct unix_channel *u)
{
    struct buf *out = &u->base.out;

    u->blocked = false;
    u->crowded = false;
    while (buf_len(out) > 0 && !u->broken && !u->blocked) {
        ssize_t sent = send_once(u);

        if (sent >= 0) {
            buf_consume(out, (size_t)sent);
            u->sent += (uint64_t)sent;
        } else if (errno != EINTR) {
            u->crowded =
                errno == ETOOMANYREFS && timer_arm(u->base.reactor, &u->retry, CROWDED_MS, false);
            u->blocked = u->crowded || errno == EAGAIN || errno == ENOBUFS;
            u->broken = !u->blocked;
        }
    }
    if (u->broken) {
        buf_free(out);
        outgoing_shm_free(&u->outgoing);
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

static void try_again(struct timer *t)
{
    send_waiting(list_entry(t, struct unix_channel, retry));
}

static void finish_close(struct unix_channel *u)
{
    buf_free(&u->base.in);
    buf_free(&u->base.out);
    outgoing_shm_free(&u->outgoing);
    arrived_shm_free(&u->arrived);
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
    got = arrived_shm_receive(&u->arrived, watch_fd(u->watch), to, room);
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
    if (buf_len(in) == 0 && arrived_shm_len(&u->arrived) > 0) {
        end(u, EPROTO); /* it came along with nothing that wants it */
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
        if (buf_len(&c->out) == 0 ||
            (poll(&p, u->crowded ? 0 : 1, u->crowded ? CROWDED_MS : -1) < 0 && errno != EINTR)) {
            return;
        }
    }
}

static void unix_close(struct channel *c)
{
    struct unix_channel *u = unix_of(c);

    flusher_cancel(&c->flusher);
    timer_disarm(c->reactor, &u->retry);
    watch_close(&u->watch);
    u->closed = true;
    if (!u->busy) {
        finish_close(u);
    }
}

static bool unix_attach(struct channel *c, size_t at, struct shm *const *memory, unsigned count)
{
    struct unix_channel *u = unix_of(c);

    return u->broken || outgoing_shm_add(&u->outgoing, u->sent + at, memory, count);
}

static int unix_detach(struct channel *c, struct shm **memory, unsigned count)
{
    return arrived_shm_take(&unix_of(c)->arrived, memory, count);
}

struct channel *channel_unix(struct reactor *r, int fd, const struct channel_events *events,
                             void *ctx)
{
    static const struct channel_ops ops = {"unix",     unix_drain,  unix_finish,
                                           unix_close, unix_attach, unix_detach};
    struct unix_channel *u = calloc(1, sizeof *u);

    if (u == NULL) {
        return NULL;
    }
    u->base.ops = &ops;
    u->base.events = events;
    u->base.ctx = ctx;
    u->base.reactor = r;
    flusher_init(&u->base.flusher, flush);
    u->retry.fire = try_again;
    u->watch = watch_open(r, fd, UV_READABLE, ready, u);
    if (u->watch == NULL) {
        free(u);
        return NULL;
    }
    return &u->base;
}
