/* What lua/titan/tracing/ needs for each span, as Lua functions. */
#include <lauxlib.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/traceparent.h"
#include "script/core.h"
#include "script/runtime.h"

static void take_id(lua_State *L, char *hex, size_t len)
{
    struct runtime *rt = runtime_of(L);

    if (rt->ids == NULL) {
        rt->ids = calloc(1, sizeof *rt->ids);
    }
    if (rt->ids == NULL || !ids_take(rt->ids, hex, len)) {
        luaL_error(L, "titan: the system has no random numbers, or no memory");
    }
}

static void push_traceparent(lua_State *L, const char *trace_id, const char *span_id, bool sampled)
{
    char text[TRACEPARENT_LEN];

    traceparent_format(text, trace_id, span_id, sampled);
    lua_pushlstring(L, text, sizeof text);
}

/* span_id() -> 16 digits of hex that no other span has */
static int core_span_id(lua_State *L)
{
    char span_id[2 * SPAN_ID_LEN];

    take_id(L, span_id, SPAN_ID_LEN);
    lua_pushlstring(L, span_id, sizeof span_id);
    return 1;
}

/* new_trace(bound) -> the traceparent of its first span; when it is sampled the ids of the span and
 * of the trace, too */
static int core_new_trace(lua_State *L)
{
    lua_Integer bound = luaL_checkinteger(L, 1);
    char trace_id[2 * TRACE_ID_LEN], span_id[2 * SPAN_ID_LEN];
    bool sampled;

    take_id(L, trace_id, TRACE_ID_LEN);
    take_id(L, span_id, SPAN_ID_LEN);
    sampled = traceparent_is_sampled(trace_id, bound);
    push_traceparent(L, trace_id, span_id, sampled);
    if (!sampled) {
        return 1;
    }
    lua_pushlstring(L, span_id, sizeof span_id);
    lua_pushlstring(L, trace_id, sizeof trace_id);
    return 3;
}

/* new_span(trace id) -> the traceparent of another span of the trace, which is sampled; its id */
static int core_new_span(lua_State *L)
{
    size_t len;
    const char *trace_id = luaL_checklstring(L, 1, &len);
    char span_id[2 * SPAN_ID_LEN];

    luaL_argcheck(L, len == 2 * (size_t)TRACE_ID_LEN, 1, "not a trace id");
    take_id(L, span_id, SPAN_ID_LEN);
    push_traceparent(L, trace_id, span_id, true);
    lua_pushlstring(L, span_id, sizeof span_id);
    return 2;
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

void core_add_trace(struct core_names *names)
{
    static const luaL_Reg functions[] = {
        {"new_trace", core_new_trace},
        {"new_span", core_new_span},
        {"span_id", core_span_id},
        {"traceparent", core_traceparent},
        {"span_clock", core_span_clock},
        {"monotonic_ns", core_monotonic_ns},
        {NULL, NULL},
    };

    core_offer(names, functions);
}
