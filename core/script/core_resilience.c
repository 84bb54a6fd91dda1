/* Circuit breakers, and the waits between attempts, as Lua functions: for the annotations of
 * lua/titan/annotations/. */
#include <lauxlib.h>
#include <unistd.h>

#include "base/breaker.h"
#include "base/clock.h"
#include "script/core.h"
#include "script/core_manager.h"

#define BREAKER_TYPE "titan.core.breaker"

static struct breaker *check_breaker(lua_State *L)
{
    return luaL_checkudata(L, 1, BREAKER_TYPE);
}

static uint64_t clock_ms(void)
{
    return now_ns() / 1000000u;
}

/* breaker_new{failure_threshold=, timeout=, half_open_requests=} -> a closed one */
static int breaker_new(lua_State *L)
{
    struct breaker_policy policy;

    luaL_checktype(L, 1, LUA_TTABLE);
    policy.failure_threshold = core_field_uint(L, 1, "failure_threshold");
    policy.timeout_ms = core_field_uint(L, 1, "timeout");
    policy.half_open_requests = core_field_uint(L, 1, "half_open_requests");
    breaker_init(lua_newuserdatauv(L, sizeof(struct breaker), 0), &policy);
    luaL_setmetatable(L, BREAKER_TYPE);
    return 1;
}

/* breaker:take() -> a ticket, to be given back exactly once; or nil, and in how many ms to ask
 * again: nil for as soon as a probe has ended. All calls of one stay in a state have the same
 * ticket, and no two stays do. */
static int take(lua_State *L)
{
    uint32_t retry_in_ms;
    uint64_t ticket = breaker_ask(check_breaker(L), clock_ms(), &retry_in_ms);

    if (ticket != 0) {
        lua_pushinteger(L, (lua_Integer)ticket);
        return 1;
    }
    lua_pushnil(L);
    if (retry_in_ms == 0) {
        return 1;
    }
    lua_pushinteger(L, retry_in_ms);
    return 2;
}

/* breaker:give_back(ticket, went_well): true, false, or nil for what says nothing */
static int give_back(lua_State *L)
{
    struct breaker *b = check_breaker(L);
    uint64_t ticket = (uint64_t)luaL_checkinteger(L, 2);

    if (lua_isnoneornil(L, 3)) {
        breaker_abandon(b, ticket);
    } else if (lua_toboolean(L, 3)) {
        breaker_success(b, ticket, clock_ms());
    } else {
        breaker_failure(b, ticket, clock_ms());
    }
    return 0;
}

/* breaker:state() -> "closed", "open" or "half_open" */
static int state(lua_State *L)
{
    lua_pushstring(L, breaker_state_name(breaker_state(check_breaker(L), clock_ms())));
    return 1;
}

/* backoff_ms({delay=, backoff=}, before) -> how long to wait when `before` waits went before this
 * one. No state: processes that were forked from one another must not draw the same numbers. */
static int backoff_ms(lua_State *L)
{
    struct random random = {now_ns() ^ random_mix((uint64_t)getpid())};
    struct restart_policy waits = core_check_waits(L, 1);
    lua_Integer before = luaL_checkinteger(L, 2);

    luaL_argcheck(L, before >= 0, 2, "a count is not negative");
    lua_pushinteger(L, restart_wait_ms(&waits, (size_t)before, &random));
    return 1;
}

void core_add_resilience(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"take", take},
        {"give_back", give_back},
        {"state", state},
        {NULL, NULL},
    };
    static const luaL_Reg functions[] = {
        {"breaker_new", breaker_new},
        {"backoff_ms", backoff_ms},
        {NULL, NULL},
    };

    luaL_newmetatable(L, BREAKER_TYPE);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
