/*
 * What belongs to one message and does not go through the connection's bytes: large strings, which
 * lie in the sender's arena, and shared memory, whose descriptors come along. The values of the
 * message refer to the pieces by their numbers (wire/message.h).
 *
 * A cargo is loaded while its message is written, and sent with it by rpc/peer.c; what has arrived
 * is there while its message is heard, and whoever wants it for longer keeps it (cargo_keep).
 * A block goes back to its owner when the cargo it came with is cleared, whatever became of the
 * message.
 */
#ifndef TITAN_RPC_CARGO_H
#define TITAN_RPC_CARGO_H

#include "rpc/lane.h"
#include "wire/message.h"

/* Strings from this length on go through the arena. */
#define CARGO_STRING_MIN ((size_t)64 << 10)

/* Pieces of one message. */
#define CARGO_MAX 4096

enum piece_kind {
    PIECE_BYTES,  /* at, len: not this cargo's own, unless it is kept */
    PIECE_PLACED, /* in an arena of ours */
    PIECE_BLOCK,  /* at, len: in the other side's */
    PIECE_MEMORY,
    PIECE_MISSING /* it could not be received */
};

struct piece {
    enum piece_kind kind;
    bool used; /* a value refers to it */
    bool owned;
    uint32_t offset;
    uint32_t len;
    const uint8_t *at;
    struct shm *memory;
    struct view *view;
};

/* Zeroed memory is an empty one that has no lane: its strings stay inline. */
struct cargo {
    struct lane *lane;
    struct piece *pieces;
    uint32_t len, cap;
    uint32_t descriptors;
    size_t bytes; /* of its strings */
    bool missing; /* a piece is */
};

/* Lets all pieces go; it can be loaded again. */
void cargo_clear(struct cargo *c);
void cargo_free(struct cargo *c);

/* What it counts for as credit. */
static inline size_t cargo_weight(const struct cargo *c)
{
    return c == NULL ? 0 : c->bytes + (size_t)c->descriptors * DESCRIPTOR_WEIGHT;
}

/* ---- loading ---- */

/* False: the string is to be written inline. */
bool cargo_load_string(struct cargo *c, const void *bytes, size_t len, uint32_t *number);

/* The same memory has one number. TITAN_OK or TITAN_E_LIMIT_EXCEEDED; TITAN_E_VALIDATION_FAILED
 * when the connection can carry none. */
int cargo_load_memory(struct cargo *c, struct shm *memory, uint32_t *number, struct failure *why);

/* The pieces of another message, to be passed on: `from` must stay until it is sent. May be NULL.
 */
int cargo_load_all(struct cargo *c, const struct cargo *from, struct failure *why);

/*
 * Puts the cargo before the message whose frame at `frame_at` of the lane's channel is complete,
 * and is empty after it. False when memory is out; then the frame is taken back, too.
 */
bool cargo_send(struct cargo *c, size_t frame_at);

/* ---- what has arrived ---- */

/* From the pieces of a message. TITAN_E_PROTOCOL_ERROR when they are not what they should be, or
 * more than bytes_max. */
int cargo_read(struct cargo *c, struct span pieces, size_t bytes_max, struct failure *why);

/* What a value refers to; `ext` is its bytes. NULL, or what is wrong. A string can be asked for
 * once, so that a short message cannot mean much of it. The memory stays the cargo's. */
struct memory_part {
    struct shm *memory;
    size_t offset, len;
};
const char *cargo_string(struct cargo *c, struct span ext, struct span *string);
const char *cargo_memory(const struct cargo *c, struct span ext, struct memory_part *part);

/* How a reference to a part of a piece is written; `ext` has room for it. Returns its length. */
#define CARGO_REFERENCE_MAX 20
size_t cargo_refer(uint8_t *ext, uint32_t number);
size_t cargo_refer_part(uint8_t *ext, uint32_t number, size_t offset, size_t len);

/* Whether `values` is one well-formed value, nested no deeper, whose references are to pieces that
 * are there. For bytes that are passed on. `c` may be NULL. */
bool cargo_fits(struct cargo *c, struct span values, unsigned nesting);

/* Moves what has arrived to `to`, which is empty. False when memory is out: then nothing was. */
bool cargo_keep(struct cargo *from, struct cargo *to);

#endif
