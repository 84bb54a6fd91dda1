#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 128
#define KEEP_CAP ((size_t)64 * 1024) /* an empty buffer larger than this is given back */

bool buf_grow(struct buf *b, size_t extra)
{
    size_t len = buf_len(b);
    size_t cap = b->cap ? b->cap : FIRST_CAP;
    uint8_t *data;

    if (extra > SIZE_MAX / 2 - len) {
        return false;
    }
    if (b->start > 0 && b->cap - len >= extra && b->start >= len) {
        memcpy(b->data, buf_front(b), len);
        b->start = 0;
        b->end = len;
        return true;
    }
    while (cap < len + extra) {
        cap *= 2;
    }
    if (b->start > 0 && cap < 2 * len) {
        cap *=
            2; /* as much room as is copied now, or a queue that stays long is copied each time */
    }
    if (b->start == 0) {
        data = realloc(b->data, cap);
        if (data == NULL) {
            return false;
        }
    } else {
        data = malloc(cap);
        if (data == NULL) {
            return false;
        }
        memcpy(data, buf_front(b), len);
        free(b->data);
    }
    b->data = data;
    b->start = 0;
    b->end = len;
    b->cap = cap;
    return true;
}

void buf_consume(struct buf *b, size_t len)
{
    b->start += len;
    if (b->start < b->end) {
        return;
    }
    if (b->cap > KEEP_CAP) {
        buf_free(b);
        return;
    }
    b->start = 0;
    b->end = 0;
}

void buf_free(struct buf *b)
{
    free(b->data);
    memset(b, 0, sizeof *b);
}

bool buf_append(struct buf *b, const void *bytes, size_t len)
{
    uint8_t *at;

    if (len == 0) {
        return true;
    }
    at = buf_room(b, len);
    if (at == NULL) {
        return false;
    }
    memcpy(at, bytes, len);
    buf_wrote(b, len);
    return true;
}
