/*
 * The memory behind the buffers of one state: the same memory is held once, whatever number of
 * buffers it has, so that it is mapped once and takes one descriptor.
 *
 * What is large and has been looked at is kept a while longer than the garbage collector found
 * its last buffer: one that is sent to and fro is new to its receiver each time, and mapping its
 * pages anew would cost more than copying them. At the most BUFFER_IDLE of these, and so many
 * bytes, for a second after the last. What is let go by hand is never kept.
 */
#ifndef TITAN_SCRIPT_BUFFER_MEMORY_H
#define TITAN_SCRIPT_BUFFER_MEMORY_H

#include <lua.h>

#include "base/list.h"
#include "transport/reactor.h"
#include "transport/shm.h"

#define BUFFER_IDLE 4
#define BUFFER_IDLE_BYTES ((size_t)8 << 20)
#define BUFFER_IDLE_MIN ((size_t)256 << 10) /* less is mapped again sooner than looked for */
#define BUFFER_IDLE_MS 1000

struct runtime;

/* Owned by its buffers together. */
struct held_memory {
    struct shm *memory;
    size_t buffers;
    struct list idle; /* in the list of these, while no buffer has it */
    bool known;       /* is found by its inode */
};

/* One a state, in its runtime. */
struct buffer_memory {
    size_t live, live_max; /* buffers, and how many lead to a collection of garbage */
    size_t bytes, bytes_max;
    struct list idle; /* the oldest first */
    unsigned idle_len;
    size_t idle_bytes;
    struct timer forget; /* what is idle */
    bool closed;         /* nothing is kept any more */
};

void buffer_memory_open(struct runtime *rt);
void buffer_memory_close(struct runtime *rt); /* before its reactor */

/* For one more buffer, of `len` bytes, of this memory. Collects garbage if much has come since the
 * last time. May raise a Lua error, and then holds nothing. */
struct held_memory *buffer_memory_hold(lua_State *L, struct shm *memory, size_t len);

/* For one less. `by_hand`: it is wanted to be gone. */
void buffer_memory_let_go(lua_State *L, struct held_memory *h, size_t len, bool by_hand);

/* Lets go what no buffer has. */
void buffer_memory_forget_idle(struct runtime *rt);

#endif
