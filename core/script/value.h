/*
 * Values between the Lua stack and MessagePack, in one pass each way.
 *
 * A table whose keys are exactly 1..n travels as an array, every other table as a map with the keys
 * it has, so holes and an explicit `n` arrive as they were. Metatables stay behind. Integers and
 * floats are kept apart. What cannot travel (functions, userdata, threads, cycles, too deep
 * nesting) is named with the path to it.
 *
 * With a cargo (rpc/cargo.h) large strings leave the bytes, if there is room for them elsewhere,
 * and a titan.buffer can travel, by reference. Without one, strings are written as they are and a
 * buffer is refused: what is kept cannot hold on to memory.
 */
#ifndef TITAN_SCRIPT_VALUE_H
#define TITAN_SCRIPT_VALUE_H

#include <lua.h>

#include "rpc/peer.h"

/*
 * Appends `count` values from stack index `first` as one array. Raises no Lua error. On failure the
 * buffer may hold a part: the caller truncates it. `what` is what a value is called in errors
 * ("argument").
 */
int value_encode_list(lua_State *L, int first, int count, const char *what,
                      const struct wire_limits *limits, struct buf *b, struct failure *why);

/* The same, with what is loaded into the cargo. */
int value_encode_with(lua_State *L, int first, int count, const char *what,
                      const struct wire_limits *limits, struct buf *b, struct cargo *cargo,
                      struct failure *why);

/* The same, for the message that is begun at the peer: into peer_out() and its cargo. */
int value_write_list(lua_State *L, int first, int count, const char *what, struct peer *peer,
                     struct failure *why);

/*
 * As value_encode_list, in the one form that all lists with the same content have: the entries of a
 * map are in the order of their keys' bytes, and there is one NaN. 1 and 1.0, 0.0 and -0.0 stay
 * apart. It decodes like any other.
 */
int value_encode_canonical(lua_State *L, int first, int count, const char *what,
                           const struct wire_limits *limits, struct buf *b, struct failure *why);

/* Appends the one value at `index`; with what is loaded into the cargo. */
int value_encode(lua_State *L, int index, const struct wire_limits *limits, struct buf *b,
                 struct failure *why);
int value_encode_one_with(lua_State *L, int index, const struct wire_limits *limits, struct buf *b,
                          struct cargo *cargo, struct failure *why);

/*
 * Pushes the elements of an array, which the span must be exactly. Returns how many; -1 when the
 * bytes are malformed, with `why`, and nothing is pushed. May raise a Lua memory error.
 */
int value_decode_list(lua_State *L, struct span payload, unsigned nesting, struct failure *why);

/* The same, with the cargo that they came with, or NULL; of the message that the peer hears. */
int value_decode_with(lua_State *L, struct span payload, unsigned nesting, struct cargo *cargo,
                      struct failure *why);
int value_read_list(lua_State *L, struct span payload, const struct peer *peer,
                    struct failure *why);

/* Pushes the one value that the span must be exactly; TITAN_OK, or as above. */
int value_decode(lua_State *L, struct span payload, unsigned nesting, struct failure *why);
int value_decode_one_with(lua_State *L, struct span payload, unsigned nesting, struct cargo *cargo,
                          struct failure *why);

#endif
