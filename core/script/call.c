#include "script/call.h"
#include "base/clock.h"

#include <lauxlib.h>
#include <string.h>

#include "script/core.h"
#include "script/stream.h"
#include "script/task.h"
#include "script/value.h"
#include "wire/header.h"
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

static bool is_one_of_many(lua_State *L)
{
    int top = lua_gettop(L);
    bool is = lua_getmetatable(L, 1) && lua_rawequal(L, -1, lua_upvalueindex(CALL_PROXY));

    lua_settop(L, top);
    return is;
}

void call_check_self(lua_State *L)
{
    if (!lua_rawequal(L, 1, lua_upvalueindex(CALL_PROXY)) && !is_one_of_many(L)) {
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

    core_require(L, "titan.remote_error"); /* nobody may have needed it before in this state */
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
    count = value_read_list(L, reply->results, reply->peer, &why);
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

/* What is kept as CALL_HEADER: how many pairs, in one byte, then the pairs. */
int call_header(lua_State *L)
{
    const struct wire_limits limits = WIRE_LIMITS_DEFAULT;
    struct buf b = {0};
    struct failure why;
    uint8_t pairs = 0;
    int code;

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, 1) != 0) {
        pairs++;
        lua_pop(L, 1);
    }
    code = value_encode(L, 1, &limits, &b, &why);
    if (code == TITAN_OK && (pairs == 0 || pairs > 15)) {
        code = fail(&why, TITAN_E_VALIDATION_FAILED, "a header has between 1 and 15 pairs");
    }
    if (code == TITAN_OK) {
        buf_front(&b)[0] = pairs; /* in the place of the map's head, which is one byte */
        lua_pushlstring(L, (const char *)buf_front(&b), buf_len(&b));
    }
    buf_free(&b);
    return code == TITAN_OK ? 1 : script_raise(L, &why);
}

/* The trace that the running call is part of goes along with the calls it makes. */
static const char *const inherited[] = {"traceparent", "tracestate"};
#define INHERITED (sizeof inherited / sizeof inherited[0])

/* Leaves the values on the stack: they are written from there. */
static uint32_t push_inherited(lua_State *L, const struct task *t)
{
    uint32_t count = 0;

    scope_push_context(L, &t->scope);
    if (!lua_istable(L, -1)) {
        lua_pop(L, 1);
        return 0;
    }
    for (size_t i = 0; i < INHERITED; i++) {
        if (lua_getfield(L, -1 - (int)i, inherited[i]) == LUA_TSTRING) {
            count++;
        }
    }
    lua_remove(L, -1 - (int)INHERITED);
    return count;
}

static bool write_inherited(lua_State *L, struct buf *b)
{
    for (size_t i = 0; i < INHERITED; i++) {
        size_t len;
        const char *value;

        if (lua_type(L, (int)i - (int)INHERITED) != LUA_TSTRING) {
            continue;
        }
        value = lua_tolstring(L, (int)i - (int)INHERITED, &len);
        if (!mp_write_str(b, inherited[i], strlen(inherited[i])) || !mp_write_str(b, value, len)) {
            return false;
        }
    }
    return true;
}

static uint32_t count_own(lua_State *L)
{
    int header = lua_upvalueindex(CALL_HEADER);

    if (lua_isboolean(L, header)) {
        return HEADER_KEY_PAIRS(lua_toboolean(L, header));
    }
    return lua_isnil(L, header) ? 0 : upvalue_span(L, CALL_HEADER).at[0];
}

static bool write_own(lua_State *L, struct buf *b)
{
    struct span own = upvalue_span(L, CALL_HEADER);
    struct span key = {(const uint8_t *)"", 0};

    if (own.at != NULL) {
        return buf_append(b, own.at + 1, own.len - 1);
    }
    if (!lua_isboolean(L, lua_upvalueindex(CALL_HEADER))) {
        return true;
    }
    if (lua_rawgeti(L, 1, 1) == LUA_TSTRING) {
        key.at = (const uint8_t *)lua_tolstring(L, -1, &key.len);
    }
    return header_write_key(b, key, lua_toboolean(L, lua_upvalueindex(CALL_HEADER)));
}

/* What was written first gives way where a key is there twice: the caller's own words come last. */
static bool write_header(lua_State *L, const struct task *t, struct buf *b, const char *service,
                         uint32_t deadline_ms)
{
    bool is_part = t->scope.context != 0;
    int top = lua_gettop(L);
    uint32_t pairs = is_part ? push_inherited(L, t) : 0;
    bool ok = header_begin(b, service, deadline_ms, pairs + count_own(L)) &&
              (pairs == 0 || write_inherited(L, b)) && write_own(L, b);

    lua_settop(L, top);
    return ok;
}

static bool needs_header(lua_State *L, const struct task *t, const char *service,
                         uint32_t deadline_ms)
{
    return deadline_ms > 0 || service != NULL || t->scope.context != 0 ||
           !lua_isnil(L, lua_upvalueindex(CALL_HEADER));
}

static int write_request(lua_State *L, struct task *t, struct peer *peer, struct draft *d,
                         const char *service, uint32_t deadline_ms, struct failure *why)
{
    bool by_name = lua_isnil(L, lua_upvalueindex(CALL_METHOD_ID));
    struct span name = by_name ? upvalue_span(L, CALL_METHOD) : (struct span){NULL, 0};
    uint32_t id = by_name ? 0 : (uint32_t)lua_tointeger(L, lua_upvalueindex(CALL_METHOD_ID));
    bool has_header = needs_header(L, t, service, deadline_ms);
    int code = request_begin(peer, d, id, name, has_header, why);

    if (code < 0) {
        return code;
    }
    code = value_write_list(L, 2, lua_gettop(L) - 1, "argument", peer, why);
    if (code == TITAN_OK && has_header &&
        !write_header(L, t, peer_out(peer), service, deadline_ms)) {
        code = fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    if (code < 0) {
        request_abort(peer, d);
    }
    return code;
}

static int send_call(lua_State *L, struct task *t, struct peer *peer, const char *service,
                     uint32_t timeout_ms, struct call *c, struct failure *why)
{
    struct draft d;
    /* A deadline is by the time that it is; the turn may have begun before it was set. */
    uint64_t now_ms = scope_is_empty(&t->scope) ? reactor_now_ms(peer->reactor)
                                                : reactor_ms_at(peer->reactor, now_ns());
    uint32_t left_ms;
    int code;

    if (!scope_limit_ms(&t->scope, now_ms, timeout_ms, &left_ms)) {
        return fail(why, TITAN_E_TIMEOUT, "no time is left of the call that this one is part of");
    }
    code = write_request(L, t, peer, &d, service, left_ms, why);
    if (code < 0) {
        return code;
    }
    return request_end(peer, &d, c, task_sees_to(t, now_ms, left_ms) ? 0 : left_ms, why);
}

int call_begin(lua_State *L, struct task *t, struct peer *peer, const char *service,
               uint32_t timeout_ms, struct failure *why)
{
    t->call.done = answered;
    t->call.item = stream_began;
    return send_call(L, t, peer, service, timeout_ms, &t->call, why);
}

int call_tell(lua_State *L, struct peer *peer, const char *service)
{
    struct failure why;

    if (send_call(L, task_current(L), peer, service, 0, NULL, &why) < 0) {
        return call_raise(L, &why);
    }
    return 0;
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
