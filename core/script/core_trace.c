/* What lua/titan/tracing/ needs for each span, as Lua functions. */
#include <lauxlib.h>

#include "base/clock.h"
#include "script/core.h"
#include "script/runtime.h"

#define TRACE_ID_LEN 16 /* bytes, https://www.w3.org/TR/trace-context/#trace-id */
#define SPAN_ID_LEN 8

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
        {"trace_id", core_trace_id},
        {"span_id", core_span_id},
        {"span_clock", core_span_clock},
        {"monotonic_ns", core_monotonic_ns},
        {NULL, NULL},
    };

    luaL_setfuncs(L, functions, 0);
}
