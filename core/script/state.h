/*
 * Where a lua_State of Titan's own is born, and the memory it lives in.
 *
 * Small blocks come from chunks by size class, large ones from malloc. That is faster than malloc
 * for what Lua does all day; but the reason is the fork: state_seal, called in the zygote once
 * everything is warm, puts the memory in use aside. What a child allocates afterwards comes from
 * fresh pages, and what it frees of the old is left alone, so that the zygote's pages stay shared:
 * a worker costs the pages it writes to, and a page fault more than most other things in its start.
 */
#ifndef TITAN_SCRIPT_STATE_H
#define TITAN_SCRIPT_STATE_H

#include <lua.h>

struct state_memory;

/* A state without libraries; NULL when memory is out. state_close ends both. */
lua_State *state_new(struct state_memory **memory);
void state_close(lua_State *L, struct state_memory *memory);

void state_seal(struct state_memory *memory);

#endif
