/*
 * Where a lua_State of Titan's own is born, and the memory it lives in.
 *
 * Small blocks come from chunks by size class, large ones from malloc. That is faster than malloc
 * for what Lua does all day; but the reason is the fork: state_seal, called in the zygote once
 * everything is warm, puts the memory in use aside. What a child allocates afterwards comes from
 * fresh pages, and what it frees of the old is left alone, so that the zygote's pages stay shared:
 * a worker costs the pages it writes to, and a page fault more than most other things in its start.
 *
 * A state may have a limit. What would go over it is refused; Lua then collects all its garbage,
 * asks once more, and raises its memory error, which a pcall can catch. The limit bites only while
 * the user's code runs (tasks and callbacks): what Titan itself does around it, which nobody could
 * catch an error of, goes on. All of this is the state's own thread's.
 */
#ifndef TITAN_SCRIPT_STATE_H
#define TITAN_SCRIPT_STATE_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/errors.h"

struct state_memory;
struct chunks;

/* A state without libraries; NULL when memory is out. state_close ends both. `chunks`, which are
 * there as long as it is, may be NULL. */
lua_State *state_new(struct state_memory **memory, struct chunks *chunks);
void state_close(lua_State *L, struct state_memory *memory);

void state_seal(struct state_memory *memory);

/*
 * How long what is made from here on will be there. What is soon dropped, as the code of a start
 * is, lies apart, and state_rest, called when it has been collected, gives its memory back, once:
 * by the page, so that what somebody holds on to after all keeps its neighbours and nothing else.
 * Strings are shared, also with those who stay: where there are such they are not for dropping.
 */
enum state_span {
    STATE_LASTING,
    STATE_BRIEF,        /* all but strings */
    STATE_BRIEF_STRINGS /* those as well, but for short ones, which may be anybody's words */
};

/* Without effect after state_rest, and in a state without chunks of others. Returns what was so
 * before, to be put back; where it is not, by an error, it is so until state_rest. */
enum state_span state_make(struct state_memory *memory, enum state_span span);
void state_rest(struct state_memory *memory);

/* The memory of a state made here; NULL for a host's own state. */
struct state_memory *state_memory_of(lua_State *L);

/* Bytes that Lua has now, garbage included, as it asked for them. */
size_t state_used(const struct state_memory *memory);

/* At most so many bytes while it bites; 0: as many as there are. */
void state_limit(struct state_memory *memory, size_t max_len);

/* Whether the limit bites from here on. Returns whether it did before, to be put back. */
bool state_bite(struct state_memory *memory, bool bites);

/* What was refused last, as limit_exceeded, in words for the caller. False when nothing was, or
 * when the last failure was the machine's. */
bool state_describe_refusal(const struct state_memory *memory, struct failure *why);

/* Whether anything was refused since the last time: what the code that ran into it has let go of is
 * better collected, since buffers of the auxiliary library do not try again after a collection. */
bool state_take_pressure(struct state_memory *memory);

#endif
