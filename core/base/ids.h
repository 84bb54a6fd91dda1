/*
 * Identifiers that nobody else has, in this process, on this machine or elsewhere: random bytes of
 * the kernel, which is asked for many at a time.
 */
#ifndef TITAN_BASE_IDS_H
#define TITAN_BASE_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IDS_BATCH 256 /* the most that getentropy(3) gives at once */

/* Starts from zeros. A process that was forked must call ids_forget before it takes one: what lies
 * here its parent has, too. */
struct ids {
    uint8_t bytes[IDS_BATCH];
    size_t left; /* those at the end that nobody has taken */
};

/* Writes an id of `len` bytes, at most IDS_BATCH, as 2 * len digits of lower-case hex, without an
 * end; never one of zeros alone. False when the kernel gives no random bytes. */
bool ids_take(struct ids *ids, char *hex, size_t len);

void ids_forget(struct ids *ids);

#endif
