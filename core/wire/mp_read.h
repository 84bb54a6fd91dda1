/*
 * MessagePack, reading: one token at a time from bytes that nobody trusts. No function reads past
 * `end`, allocates, or believes a length before the bytes are there.
 */
#ifndef TITAN_WIRE_MP_READ_H
#define TITAN_WIRE_MP_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most that a configured nesting limit may be, and the list around the values. */
#define MP_DEPTH_MAX 201

enum mp_type {
    MP_NIL,
    MP_BOOL,
    MP_INT,    /* .i */
    MP_UINT,   /* above INT64_MAX, in .u */
    MP_DOUBLE, /* .d, also for float 32 */
    MP_STR,    /* .bytes, .n long; also for bin */
    MP_ARRAY,  /* .n elements follow */
    MP_MAP,    /* .n pairs follow */
    MP_EXT     /* .bytes, .n long; its type in .i */
};

struct mp_token {
    enum mp_type type;
    uint32_t n;
    int64_t i;
    union {
        uint64_t u;
        double d;
        const uint8_t *bytes;
    };
};

struct mp_reader {
    const uint8_t *at, *end;
};

/*
 * Reads one token. For str, bin and ext the bytes are stepped over, for array and map they come
 * next. An array or map that claims more elements than bytes are left is malformed. NULL, or what
 * is wrong (static text).
 */
const char *mp_next(struct mp_reader *r, struct mp_token *t);

/* As mp_skip; each extension must be one that `is_known`, which may be NULL: none is. */
const char *mp_check(struct mp_reader *r, unsigned depth,
                     bool (*is_known)(void *ctx, const struct mp_token *ext), void *ctx);

/* Steps over one whole value, at most `depth` (<= MP_DEPTH_MAX) arrays and maps deep. */
const char *mp_skip(struct mp_reader *r, unsigned depth);

#endif
