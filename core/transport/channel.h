/*
 * A channel carries frames between two peers, in order, both ways. One interface for every
 * transport: `unix` is the one of this version; tcp, websocket and the in-process mailbox take the
 * same shape.
 *
 * Writing is appending to channel->out and calling channel_written(); it never blocks and never
 * sends by itself: what one loop turn wrote goes out together at its end.
 */
#ifndef TITAN_TRANSPORT_CHANNEL_H
#define TITAN_TRANSPORT_CHANNEL_H

#include "base/buf.h"
#include "transport/reactor.h"
#include "transport/shm.h"

/* Pieces of memory that can go along with one message: what the kernel takes at once
 * (SCM_MAX_FD is 253). */
#define CHANNEL_SHM_MAX 250

struct channel;

/* What the owner hears. It may close the channel in any of them. */
struct channel_events {
    /* Bytes came in: returns how many of them were whole frames and are done with. The rest is kept
     * and comes again with more behind it. */
    size_t (*bytes)(void *ctx, const uint8_t *bytes, size_t len);
    /* Nothing will come any more: 0 for the end of the stream, else an errno, EPROTO for memory
     * that belongs to no message. Once. */
    void (*lost)(void *ctx, int error);
};

/* What a transport provides. */
struct channel_ops {
    const char *name;
    void (*drain)(struct channel *c);
    void (*finish)(struct channel *c);
    void (*close)(struct channel *c);
    /* NULL, both: no memory can go along, as over a network. */
    bool (*attach)(struct channel *c, size_t at, struct shm *const *memory, unsigned count);
    int (*detach)(struct channel *c, struct shm **memory, unsigned count);
};

struct channel {
    const struct channel_ops *ops;
    const struct channel_events *events;
    void *ctx;
    struct reactor *reactor;
    struct flusher flusher;
    struct buf in;  /* the beginning of a frame whose rest has not come */
    struct buf out; /* what is still to be sent */
    /* While more than this waits to be sent nothing is read, so that a peer that sends and never
     * reads cannot fill our memory. 0: always read. Only one side of a channel may set it, or both
     * could wait for each other. */
    size_t read_pause_len;
    /* Set by who writes much: flushed, once, as soon as less than room_len waits to be sent. */
    struct flusher *when_room;
    size_t room_len;
};

/* Bytes were appended to c->out. */
static inline void channel_written(struct channel *c)
{
    reactor_flush_later(c->reactor, &c->flusher);
}

/* Reads what has arrived already, without waiting: before a peer that has died is given up. May
 * report `lost`. */
static inline void channel_drain(struct channel *c)
{
    c->ops->drain(c);
}

/* Blocks until all that was written is sent or cannot be: the last thing before a worker exits. */
static inline void channel_finish(struct channel *c)
{
    c->ops->finish(c);
}

/* Whether memory can go along with the bytes. */
static inline bool channel_carries(const struct channel *c)
{
    return c->ops->attach != NULL;
}

/* `count` pieces of memory go along with the byte that is to be written at the offset `at` of
 * c->out; not before those of an earlier attach. The channel takes references of its own. False
 * when memory is out. */
static inline bool channel_attach(struct channel *c, size_t at, struct shm *const *memory,
                                  unsigned count)
{
    return c->ops->attach(c, at, memory, count);
}

/* In `bytes`: takes what came along with one attach of the other side, in the order in which it was
 * sent. One that could not be received, for want of descriptors or memory, is NULL.
 * TITAN_E_PROTOCOL_ERROR when one is no memory that can be shared; then none is taken. */
static inline int channel_detach(struct channel *c, struct shm **memory, unsigned count)
{
    return c->ops->detach(c, memory, count);
}

/* Closes and frees. What was not sent is dropped. Sets *c to NULL; does nothing when it is. */
static inline void channel_close(struct channel **c)
{
    struct channel *closing = *c;

    *c = NULL;
    if (closing != NULL) {
        closing->ops->close(closing);
    }
}

/* A stream socket, which the channel owns from success on. NULL when memory or descriptors are out.
 */
struct channel *channel_unix(struct reactor *r, int fd, const struct channel_events *events,
                             void *ctx);

#endif
