/*
 * What a task that serves a request ends with, as an answer on the wire. Whatever it is, an answer
 * goes out: a caller waits for it.
 */
#ifndef TITAN_SCRIPT_ANSWER_H
#define TITAN_SCRIPT_ANSWER_H

#include <lua.h>

#include "rpc/peer.h"

/* The results, or the error, lie at `first` and above; an error is what titan.remote_error packs.
 * Returns whether the caller gets results. */
bool answer_with(struct peer *peer, uint32_t id, lua_State *L, int status, int first);

#endif
