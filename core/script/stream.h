/*
 * A stream as the caller's coroutine sees it: what a generic `for` takes. Items are kept as the
 * bytes they came as until `next` takes them, inside the coroutine that wants them, and credit goes
 * back as they are taken: so a reader that is slow holds up the sender and grows no memory.
 *
 * A stream is a call that goes on: it leaves the task that began it, with its place in a pool, and
 * lives in a userdata, which ends it when it is closed or collected.
 */
#ifndef TITAN_SCRIPT_STREAM_H
#define TITAN_SCRIPT_STREAM_H

#include <lua.h>

#include "rpc/peer.h"

struct task;

/* For the call of a task that may be answered by a stream: resumes the task without a reply. */
void stream_began(struct call *c, struct span values);

/* In a closure with the upvalues of call.h, whose task was resumed so: pushes the iterator, nil,
 * nil and the value to be closed; returns 4. */
int stream_push(lua_State *L, struct task *t);

#endif
