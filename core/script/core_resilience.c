/* Circuit breakers, and the waits between attempts, as Lua functions: for the annotations of
 * lua/titan/annotations/. */
#include <lauxlib.h>
#include <unistd.h>

#include "base/breaker.h"
#include "base/clock.h"
#include "script/core.h"
#include "script/core_manager.h"

/* The upvalues of a breaker's functions. */
#define BREAKER lua_upvalueindex(1)
#define FAILED lua_upvalueindex(2)

static uint64_t clock_ms(lua_State *L)
{
    return runtime_now_ns(runtime_of(L)) / 1000000u;
}

/* take() -> a ticket, to be given back exactly once; or nil, and in how many ms to ask again: nil
 * for as soon as a probe has ended. All calls of one stay in a state have the same ticket, and no
 * two stays do. */
static int take(lua_State *L)
{
    struct breaker *b = lua_touserdata(L, BREAKER);
    uint64_t now_ms = b->state == BREAKER_OPEN ? clock_ms(L) : 0; /* the others have no time */
    uint32_t retry_in_ms;
    uint64_t ticket = breaker_ask(b, now_ms, &retry_in_ms);

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

/* give_back(ticket, went_well): true, false, or nil for what says nothing */
static int give_back(lua_State *L)
{
    struct breaker *b = lua_touserdata(L, BREAKER);
    uint64_t ticket = (uint64_t)luaL_checkinteger(L, 1);

    if (lua_isnoneornil(L, 2)) {
        breaker_abandon(b, ticket);
    } else if (lua_toboolean(L, 2)) {
        breaker_success(b, ticket, clock_ms(L));
    } else {
        breaker_failure(b, ticket, clock_ms(L));
    }
    return 0;
}

static int has_failed(lua_State *L, int status, lua_KContext ctx)
{
    (void)L;
    (void)status;
    (void)ctx;
    return 0;
}

/* close({ticket}, err): gives it back for a call that went well, and leaves it to failed(ticket,
 * err) for one that raised. */
static int close_stay(lua_State *L)
{
    uint64_t ticket;

    lua_settop(L, 2);
    lua_rawgeti(L, 1, 1);
    if (lua_isnil(L, 2)) {
        ticket = (uint64_t)lua_tointeger(L, 3);
        breaker_success(lua_touserdata(L, BREAKER), ticket, 0); /* which has no time, either */
        return 0;
    }
    lua_pushvalue(L, FAILED);
    lua_replace(L, 1);
    lua_insert(L, 2);
    lua_callk(L, 2, 0, 0, has_failed);
    return 0;
}

/* breaker_new({failure_threshold=, timeout=, half_open_requests=}, failed) -> take, give_back,
 * close, of one that is closed. `close` is a __close for {ticket}. */
static int breaker_new(lua_State *L)
{
    struct breaker_policy policy;

    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    policy.failure_threshold = core_field_uint(L, 1, "failure_threshold");
    policy.timeout_ms = core_field_uint(L, 1, "timeout");
    policy.half_open_requests = core_field_uint(L, 1, "half_open_requests");
    breaker_init(lua_newuserdatauv(L, sizeof(struct breaker), 0), &policy);
    lua_pushvalue(L, 3);
    lua_pushcclosure(L, take, 1);
    lua_pushvalue(L, 3);
    lua_pushcclosure(L, give_back, 1);
    lua_pushvalue(L, 3);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, close_stay, 2);
    return 3;
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

void core_add_resilience(struct core_names *names)
{
    static const luaL_Reg functions[] = {
        {"breaker_new", breaker_new},
        {"backoff_ms", backoff_ms},
        {NULL, NULL},
    };

    core_offer(names, functions);
}
