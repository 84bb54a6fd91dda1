/* What lua/titan/tracing/ needs for each span, as Lua functions. */
#include <lauxlib.h>

#include "base/clock.h"
#include "base/traceparent.h"
#include "script/core.h"
#include "script/runtime.h"

static void push_id(lua_State *L, size_t len)
{
    char hex[2 * TRACE_ID_LEN];

    if (!ids_take(&runtime_of(L)->ids, hex, len)) {
        luaL_error(L, "titan: the system has no random numbers");
    }
    lua_pushlstring(L, hex, 2 * len);
}

/* trace_id() -> 32 digits of hex that no other trace has */
static int core_trace_id(lua_State *L)
{
    push_id(L, TRACE_ID_LEN);
    return 1;
}

/* span_id() -> 16 digits of hex that no other span has */
static int core_span_id(lua_State *L)
{
    push_id(L, SPAN_ID_LEN);
    return 1;
}

/* traceparent(text) -> whether it is sampled; its trace id and its parent id when it is, since
 * nobody needs them otherwise. Nil when there is no valid one, whatever there is. */
static int core_traceparent(lua_State *L)
{
    struct traceparent t;
    size_t len;
    const char *text = lua_type(L, 1) == LUA_TSTRING ? lua_tolstring(L, 1, &len) : NULL;

    if (text == NULL || !traceparent_parse(text, len, &t)) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushboolean(L, t.sampled);
    if (!t.sampled) {
        return 1;
    }
    lua_pushlstring(L, t.trace_id, 2 * (size_t)TRACE_ID_LEN);
    lua_pushlstring(L, t.parent_id, 2 * (size_t)SPAN_ID_LEN);
    return 3;
}

/* span_clock() -> the wall clock and monotonic time, both in whole ns */
static int core_span_clock(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)clock_ns(CLOCK_REALTIME));
    lua_pushinteger(L, (lua_Integer)now_ns());
    return 2;
}

/* monotonic_ns() -> monotonic time in whole ns */
static int core_monotonic_ns(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)now_ns());
    return 1;
}

void core_add_trace(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"trace_id", core_trace_id},         {"span_id", core_span_id},
        {"traceparent", core_traceparent},   {"span_clock", core_span_clock},
        {"monotonic_ns", core_monotonic_ns}, {NULL, NULL},
    };

    luaL_setfuncs(L, functions, 0);
}
