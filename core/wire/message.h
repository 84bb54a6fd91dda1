/* clang-format off */
/*
 * Frames and messages.
 *
 * A frame is a 4-byte little-endian length and one MessagePack array, in the shapes of
 * MessagePack-RPC (https://github.com/msgpack-rpc/msgpack-rpc/blob/master/spec.md), extended:
 *
 *     request       [0, id, method, params]           method: a name, or a number announced by
 *                                                     the peer
 *                   [0, id, method, params, header]   header: a map, see wire/header.h
 *     response      [1, id, error, results]           results: an array, one element a value
 *     notification  [2, method, params]
 *     cancel        [3, id]                           the caller no longer waits for request id
 *     item          [4, id, values]                   of the stream that answers request id
 *     credit        [5, id, bytes]                    so many bytes of items more may be sent
 *     cargo         [6, pieces]                       what belongs to the message after it
 *     arena         [7]                               memory for blocks of the sender's cargo comes
 *                                                     along
 *     release       [8, block]                        a block of the receiver's arena is free again;
 *                                                     nil: that arena has not arrived
 *
 * A stream begins with an item without values, [4, id, []]; the response ends it, and its results
 * mean nothing. Who answers may send items as long as its credit is above zero: STREAM_WINDOW at
 * first, less the bytes of the `values` of each item (so the last one may overshoot), plus what the
 * caller gives back as it consumes them. Credit never is above STREAM_WINDOW.
 *
 * A piece of cargo is one of: [offset, len], a block of the sender's arena; a string, the bytes
 * themselves; nil, memory whose descriptor comes along, in this order. Values refer to pieces by
 * their numbers from 0: a string of its own is the extension type WIRE_STRING (number), a part of
 * shared memory WIRE_MEMORY (number, offset, len). A piece that is a string has one value, memory
 * may have several. The bytes of blocks count for the limit of a frame and for credit, a descriptor
 * counts for credit with DESCRIPTOR_WEIGHT. See rpc/cargo.h.
 *
 * Payloads (params, results, error, header, values) stay bytes here; script/ turns them into
 * values.
 */
/* clang-format on */
#ifndef TITAN_WIRE_MESSAGE_H
#define TITAN_WIRE_MESSAGE_H

#include "base/buf.h"
#include "base/errors.h"

#define FRAME_HEAD 4

enum wire_ext { WIRE_STRING = 1, WIRE_MEMORY = 2 };

#define DESCRIPTOR_WEIGHT (64u << 10)

/* Bytes of items that may be under way, or wait at the caller. */
#define STREAM_WINDOW (4u << 20)

struct wire_limits {
    uint32_t frame;       /* bytes of a frame's body at the most */
    uint32_t nesting;     /* arrays and maps inside each other in a value, < MP_DEPTH_MAX */
    uint32_t outstanding; /* calls of one connection that have no answer yet */
};

#define WIRE_LIMITS_DEFAULT                                                                        \
    (struct wire_limits)                                                                           \
    {                                                                                              \
        .frame = 64u << 20, .nesting = 64, .outstanding = 65536                                    \
    }

struct span {
    const uint8_t *at; /* NULL: not there */
    size_t len;
};

static inline struct span span_of(const char *text)
{
    return (struct span){(const uint8_t *)text, __builtin_strlen(text)};
}

bool span_is(struct span s, const char *text);

enum message_kind {
    MESSAGE_REQUEST,
    MESSAGE_RESPONSE,
    MESSAGE_NOTIFICATION,
    MESSAGE_CANCEL,
    MESSAGE_ITEM,
    MESSAGE_CREDIT,
    MESSAGE_CARGO,
    MESSAGE_ARENA,
    MESSAGE_RELEASE
};

struct message {
    enum message_kind kind;
    uint32_t id;
    uint32_t method_id;  /* when method.at is NULL */
    struct span method;  /* the name, without its MessagePack head */
    uint32_t credit;     /* bytes, 1 to STREAM_WINDOW */
    int64_t block;       /* that is released; -1: the whole arena */
    struct span payload; /* params of a request or notification, results of a response, values of an
                            item, pieces of a cargo */
    struct span error;   /* of a response that is one */
    struct span header;
};

/* Takes a frame's body apart. The spans point into it. `why` names what is malformed. */
int message_parse(struct span body, const struct wire_limits *limits, struct message *m,
                  struct failure *why);

/*
 * Looks for a whole frame at the front of `len` bytes. Returns its size with the head, or 0 when
 * more bytes are needed, or TITAN_E_PROTOCOL_ERROR when it is empty or larger than the limit.
 */
int64_t frame_find(const uint8_t *bytes, size_t len, uint32_t limit, struct failure *why);

/* Opens a frame at the end of `b`; *at is what frame_close wants. */
bool frame_open(struct buf *b, size_t *at);

/* Writes the length of the frame opened at `at`; false when it is over the limit (and then takes
 * the frame back). */
bool frame_close(struct buf *b, size_t at, uint32_t limit);

/* The envelope up to the payload, which the caller writes next. */
bool message_write_request(struct buf *b, uint32_t id, uint32_t method_id, struct span method,
                           bool has_header);
bool message_write_results(struct buf *b, uint32_t id);
bool message_write_error(struct buf *b, uint32_t id); /* the payload is the error */
bool message_write_error_end(struct buf *b);
bool message_write_notification(struct buf *b, const char *method);
bool message_write_cancel(struct buf *b, uint32_t id);
bool message_write_item(struct buf *b, uint32_t id);
bool message_write_credit(struct buf *b, uint32_t id, uint32_t bytes);
bool message_write_cargo(struct buf *b); /* the payload is the pieces */
bool message_write_arena(struct buf *b);
bool message_write_release(struct buf *b, int64_t block);

#endif
