/*
 * A byte queue: written at the end, consumed from the front.
 *
 * Offsets that callers keep are relative to the front (buf_front), since growing may move bytes to
 * the start of the memory; they stay true as long as nothing is consumed.
 */
#ifndef TITAN_BASE_BUF_H
#define TITAN_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data;
    size_t start; /* the first byte not yet consumed */
    size_t end;   /* one past the last byte written */
    size_t cap;
};

/* Makes room for `extra` more bytes. False when memory is out: the content is as before. */
bool buf_grow(struct buf *b, size_t extra);

/* Drops `len` bytes from the front. Gives a large buffer's memory back once it is empty. */
void buf_consume(struct buf *b, size_t len);

void buf_free(struct buf *b);

static inline size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}

static inline uint8_t *buf_front(const struct buf *b)
{
    return b->data + b->start;
}

/* Where the next `extra` bytes may be written (then buf_wrote), or NULL when memory is out. */
static inline uint8_t *buf_room(struct buf *b, size_t extra)
{
    if (b->cap - b->end < extra && !buf_grow(b, extra)) {
        return NULL;
    }
    return b->data + b->end;
}

static inline void buf_wrote(struct buf *b, size_t len)
{
    b->end += len;
}

/* Forgets everything past the first `len` bytes: how a half-written message is taken back. */
static inline void buf_truncate(struct buf *b, size_t len)
{
    b->end = b->start + len;
}

bool buf_append(struct buf *b, const void *bytes, size_t len);

#endif
