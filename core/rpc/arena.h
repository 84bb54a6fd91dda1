/*
 * Memory in which one side of a connection lays the large strings of its messages, for the other
 * side to take from: mapped once by both and used again and again, since a fresh page costs more
 * than its bytes.
 *
 * What is free is known to the owner alone, in memory of its own. The lowest place that fits is
 * taken, so that the same few pages stay in use.
 */
#ifndef TITAN_RPC_ARENA_H
#define TITAN_RPC_ARENA_H

#include "transport/shm.h"

#define ARENA_LEN ((size_t)8 << 20)
#define ARENA_UNIT ((size_t)16 << 10)
#define ARENA_UNITS (ARENA_LEN / ARENA_UNIT)

/* So much of one that is empty keeps its pages. */
#define ARENA_KEPT ((size_t)2 << 20)

struct arena {
    struct shm *memory;
    uint8_t *at;
    unsigned used;                /* units */
    unsigned touched;             /* units from the beginning that may have pages */
    uint16_t blocks[ARENA_UNITS]; /* where a block begins, its units; else 0 */
};

/* NULL when memory, descriptors or address space are out. */
struct arena *arena_new(void);

/* Sets *a to NULL; does nothing when it is. */
void arena_free(struct arena **a);

/* The offset of a block of `len` > 0 bytes; -1 when there is no such room. */
int64_t arena_take(struct arena *a, size_t len);

/* False, and nothing happens, when no block begins there. */
bool arena_give(struct arena *a, uint64_t offset);

/* Gives the pages of an empty one back, but for ARENA_KEPT. */
void arena_trim(struct arena *a);

#endif
