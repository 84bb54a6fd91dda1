/* Copying of much. */
#ifndef TITAN_BASE_COPY_H
#define TITAN_BASE_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define COPY_PIECE ((size_t)256 << 10)

/*
 * memcpy, for what may be a MiB and goes to memory that another processor has looked at.
 *
 * From the size of the second-level cache on, glibc (2.33 and later, on AMD) stores word by word
 * and no longer by `rep movsb`, which overwrites whole lines without fetching them first. Lines
 * that are in the other processor's cache then come over just to be overwritten: 1 MiB took 95 us,
 * and takes 28 in pieces that are smaller than that.
 */
static inline void copy_much(void *to, const void *from, size_t len)
{
    uint8_t *at = to;
    const uint8_t *next = from;

    while (len > COPY_PIECE) {
        memcpy(at, next, COPY_PIECE);
        at += COPY_PIECE;
        next += COPY_PIECE;
        len -= COPY_PIECE;
    }
    memcpy(at, next, len);
}

#endif
