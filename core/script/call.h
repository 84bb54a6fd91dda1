/*
 * A call as the caller's coroutine sees it: the arguments go from its stack straight into the
 * connection's buffer, it is suspended, the results come straight back onto its stack.
 */
#ifndef TITAN_SCRIPT_CALL_H
#define TITAN_SCRIPT_CALL_H

#include <lua.h>

#include "rpc/peer.h"

/* The upvalues that a method's closure has, whoever made it. */
enum call_upvalue {
    CALL_TARGET = 1, /* the userdata that leads to the peer */
    CALL_PROXY,      /* what the call must be made on, to tell `.` from `:` */
    CALL_METHOD,     /* its name */
    CALL_PROCESS,    /* the name of the process or service */
    CALL_TIMEOUT,    /* ms; 0: none */
    CALL_METHOD_ID,  /* or nil: by name */
    CALL_HEADER,     /* or nil: what call_header made */
    CALL_UPVALUES = CALL_HEADER
};

/* A method may be one of many proxies that each hold an idempotency key, as their [1]: then
 * CALL_PROXY is their metatable, and CALL_HEADER whether the manager has the claims of the keys. */

/* First of all: raises an error when the call was not made on the proxy. */
void call_check_self(lua_State *L);

/* Sends the call with all arguments but the first, through `peer`; to another service when
 * `service` is not NULL. `return call_send(...)` of a closure with the upvalues above. */
int call_send(lua_State *L, struct peer *peer, const char *service);

/* The same, but nobody hears what the answer is: returns nothing, at once. */
int call_tell(lua_State *L, struct peer *peer, const char *service);

/* The two halves of call_send, for a closure that does more in between. call_begin: the answer will
 * resume the task, with t->reply, or without one for `return stream_push(L, t)` (stream.h).
 * call_results: pushes the results, which may end the call with an error. */
struct task;
int call_begin(lua_State *L, struct task *t, struct peer *peer, const char *service,
               uint32_t timeout_ms, struct failure *why);
int call_results(lua_State *L, const struct reply *reply);

/* header{traceparent =, headers =, ...} -> what goes along with each call that has it as its
 * CALL_HEADER. */
int call_header(lua_State *L);

/* Raises `why` as this call's error. */
int call_raise(lua_State *L, const struct failure *why);

#endif
