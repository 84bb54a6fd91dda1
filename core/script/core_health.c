/* The health of a process, as Lua functions. lua/titan/manager/health.lua says what it means. */
#include <lauxlib.h>

#include "script/core.h"
#include "script/core_manager.h"
#include "script/value.h"

static struct health_options check_options(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TTABLE);
    return (struct health_options){
        .enabled = core_field_flag(L, index, "enabled"),
        .restart_hung = core_field_flag(L, index, "restart_hung"),
        .interval_ms = core_field_uint(L, index, "interval"),
        .timeout_ms = core_field_uint(L, index, "timeout"),
        .failures = core_field_uint(L, index, "failures"),
        .hang_after_ms = core_field_uint(L, index, "hang_after"),
    };
}

/* The names stay strings of the table, which stays at its index. */
static unsigned check_methods(lua_State *L, int index, struct health_method **methods)
{
    unsigned count = 0;

    luaL_checktype(L, index, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        count++;
    }
    *methods = lua_newuserdatauv(L, (count + 1) * sizeof **methods, 0);
    count = 0;
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        luaL_checktype(L, -2, LUA_TSTRING);
        (*methods)[count++] = (struct health_method){
            .name = lua_tostring(L, -2),
            .number = (uint32_t)luaL_checkinteger(L, -1),
        };
    }
    return count;
}

/* health_watch(process, options, {name -> number}): in "ready", from now on */
static int health_watch_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);
    struct health_options options = check_options(L, 2);
    struct health_method *methods;
    unsigned count = check_methods(L, 3, &methods);

    if (p != NULL && !health_watch(p, &options, methods, count)) {
        return luaL_error(L, "titan: out of memory");
    }
    return 0;
}

/* health_ask(process) -> whether a check is under way now: the event "health" comes at its end */
static int health_ask_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);

    lua_pushboolean(L, p != NULL && health_ask(p));
    return 1;
}

static void set_integer(lua_State *L, const char *name, uint64_t v)
{
    lua_pushinteger(L, (lua_Integer)v);
    lua_setfield(L, -2, name);
}

/* The bytes were well-formed when they were kept. */
static void set_details(lua_State *L, const struct process *p)
{
    const struct buf *b = &p->health.words.details;
    struct failure why;

    if (buf_len(b) > 0 && value_decode(L, (struct span){buf_front(b), buf_len(b)},
                                       p->data.limits.nesting, &why) == TITAN_OK) {
        lua_setfield(L, -2, "details");
    }
}

/* health_get(process) -> {status, previous, busy, failures, last_check, since, latency, reason,
 * details}, or nil when it was forgotten */
static int health_get_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);
    const struct buf *reason;

    if (p == NULL) {
        lua_pushnil(L);
        return 1;
    }
    reason = &p->health.words.reason;
    lua_createtable(L, 0, 10);
    lua_pushstring(L, health_verdict_name(p->health.record.verdict));
    lua_setfield(L, -2, "status");
    lua_pushstring(L, health_verdict_name(p->health.record.previous));
    lua_setfield(L, -2, "previous");
    lua_pushboolean(L, p->health.busy);
    lua_setfield(L, -2, "busy");
    set_integer(L, "failures", p->health.record.failures);
    if (p->health.checked_wall_ms > 0) {
        set_integer(L, "last_check", p->health.checked_wall_ms);
    }
    if (p->health.since_wall_ms > 0) {
        set_integer(L, "since", p->health.since_wall_ms);
    }
    if (p->health.latency_ns > 0) {
        lua_pushnumber(L, (lua_Number)p->health.latency_ns / 1e6);
        lua_setfield(L, -2, "latency");
    }
    if (buf_len(reason) > 0) {
        lua_pushlstring(L, (const char *)buf_front(reason), buf_len(reason));
        lua_setfield(L, -2, "reason");
    }
    set_details(L, p);
    return 1;
}

void core_add_health(struct core_names *names)
{
    static const luaL_Reg functions[] = {
        {"health_watch", health_watch_lua},
        {"health_ask", health_ask_lua},
        {"health_get", health_get_lua},
        {NULL, NULL},
    };

    core_offer(names, functions);
}
