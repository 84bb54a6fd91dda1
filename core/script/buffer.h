/*
 * titan.buffer: shared memory as a Lua value. Sent to another process it is the same memory there;
 * each userdata is a holder, and the memory is freed when the last one, in whatever process, has
 * let go. Mapped when its bytes are first looked at, so that passing one on costs no page faults.
 *
 * Positions are Lua's: from 1.
 */
#ifndef TITAN_SCRIPT_BUFFER_H
#define TITAN_SCRIPT_BUFFER_H

#include <lua.h>

#include "script/buffer_memory.h"

struct buffer {
    struct shm *memory; /* of `held`; NULL once released */
    struct held_memory *held;
    size_t offset, len; /* the part of it that this is */
};

/* The buffer at `index`, released or not; NULL when there is something else. Raises no error. */
const struct buffer *buffer_test(lua_State *L, int index);

/* Pushes one, with a reference of its own. May raise a Lua memory error. */
void buffer_push(lua_State *L, struct shm *memory, size_t offset, size_t len);

#endif
