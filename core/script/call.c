#include "script/call.h"

#include <lauxlib.h>
#include <string.h>

#include "script/stream.h"
#include "script/task.h"
#include "script/value.h"
#include "wire/mp_write.h"

static const char *upvalue_string(lua_State *L, int which)
{
    return lua_tostring(L, lua_upvalueindex(which));
}

int call_raise(lua_State *L, const struct failure *why)
{
    script_push_error(L, why->code, why->message, upvalue_string(L, CALL_PROCESS),
                      upvalue_string(L, CALL_METHOD));
    return lua_error(L);
}

void call_check_self(lua_State *L)
{
    if (!lua_rawequal(L, 1, lua_upvalueindex(CALL_PROXY))) {
        luaL_error(L, "titan: call the method with a colon: worker:%s(...)",
                   upvalue_string(L, CALL_METHOD));
    }
}

/* ---- the answer ---- */

/* What the worker raised, as the error object it was there. */
static int raise_remote(lua_State *L, const struct reply *reply)
{
    const struct wire_limits limits = WIRE_LIMITS_DEFAULT;
    unsigned nesting = reply->peer ? reply->peer->limits.nesting : limits.nesting;
    struct failure why;

    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "titan.remote_error");
    lua_getfield(L, -1, "receive");
    if (value_decode(L, reply->error, nesting, &why) < 0) {
        if (reply->peer != NULL) {
            peer_blame(reply->peer, why.message);
        }
        return call_raise(L, &why);
    }
    lua_pushvalue(L, lua_upvalueindex(CALL_PROCESS));
    lua_pushvalue(L, lua_upvalueindex(CALL_METHOD));
    lua_call(L, 3, 1);
    return lua_error(L);
}

int call_results(lua_State *L, const struct reply *reply)
{
    struct failure why;
    int count;

    if (reply->code == TITAN_E_REMOTE_ERROR) {
        return raise_remote(L, reply);
    }
    if (reply->code < 0) {
        return call_raise(L, reply->failure);
    }
    lua_settop(L, 0);
    count = value_decode_list(L, reply->results, reply->peer->limits.nesting, &why);
    if (count < 0) {
        peer_blame(reply->peer, why.message);
        return call_raise(L, &why);
    }
    return count;
}

static int resumed(lua_State *L, int status, lua_KContext ctx)
{
    struct task *t = task_resumed(L, ctx);
    const struct reply *reply = t->reply;

    (void)status;
    t->reply = NULL;
    return reply != NULL ? call_results(L, reply) : stream_push(L, t);
}

static void answered(struct call *c, const struct reply *reply)
{
    struct task *t = list_entry(c, struct task, call);

    t->reply = reply;
    task_resume(t);
}

/* ---- the request ---- */

static struct span upvalue_span(lua_State *L, int which)
{
    struct span s;

    s.at = (const uint8_t *)lua_tolstring(L, lua_upvalueindex(which), &s.len);
    return s;
}

static bool write_service(struct buf *b, const char *service)
{
    return mp_write_map(b, 1) && mp_write_str(b, HEADER_SERVICE, strlen(HEADER_SERVICE)) &&
           mp_write_str(b, service, strlen(service));
}

static int write_request(lua_State *L, struct peer *peer, struct draft *d, const char *service,
                         struct failure *why)
{
    bool by_name = lua_isnil(L, lua_upvalueindex(CALL_METHOD_ID));
    struct span name = by_name ? upvalue_span(L, CALL_METHOD) : (struct span){NULL, 0};
    uint32_t id = by_name ? 0 : (uint32_t)lua_tointeger(L, lua_upvalueindex(CALL_METHOD_ID));
    int code = request_begin(peer, d, id, name, service != NULL, why);

    if (code < 0) {
        return code;
    }
    code =
        value_encode_list(L, 2, lua_gettop(L) - 1, "argument", &peer->limits, peer_out(peer), why);
    if (code == TITAN_OK && service != NULL && !write_service(peer_out(peer), service)) {
        code = fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    if (code < 0) {
        request_abort(peer, d);
    }
    return code;
}

int call_begin(lua_State *L, struct task *t, struct peer *peer, const char *service,
               uint32_t timeout_ms, struct failure *why)
{
    struct draft d;
    int code = write_request(L, peer, &d, service, why);

    if (code < 0) {
        return code;
    }
    t->call.done = answered;
    t->call.item = stream_began;
    return request_end(peer, &d, &t->call, timeout_ms, why);
}

int call_send(lua_State *L, struct peer *peer, const char *service)
{
    struct task *t = task_current(L);
    uint32_t timeout_ms = (uint32_t)lua_tointeger(L, lua_upvalueindex(CALL_TIMEOUT));
    struct failure why;

    if (call_begin(L, t, peer, service, timeout_ms, &why) < 0) {
        return call_raise(L, &why);
    }
    return task_wait(t, TASK_WAITING, L, resumed);
}
