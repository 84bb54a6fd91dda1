/*
 * The memory that states (state.h) take and give back, in chunks. Some are kept for the next state:
 * fresh memory costs a page fault for every 4 KiB, and giving it back one interrupt of every
 * processor that runs a thread of this process.
 *
 * Any thread may use one at any time; it is freed after the last state that was made from it.
 */
#ifndef TITAN_SCRIPT_CHUNKS_H
#define TITAN_SCRIPT_CHUNKS_H

#include <stddef.h>

#define CHUNK_LEN ((size_t)64 * 1024) /* and its alignment: from a block to its chunk by a mask */
#define CHUNKS_MOST 128               /* are kept */

struct chunks;

struct chunks *chunks_new(void); /* NULL when memory is out */
void chunks_free(struct chunks *c);

/* CHUNK_LEN bytes with anything in them; NULL when memory is out. `c` may be NULL: nothing is kept.
 */
void *chunk_take(struct chunks *c);
void chunk_give(struct chunks *c, void *chunk);

/* Keeps half of what it keeps. */
void chunks_tidy(struct chunks *c);

unsigned chunks_kept(struct chunks *c);

#endif
