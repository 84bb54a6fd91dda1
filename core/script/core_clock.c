/* What the time is, as Lua functions, and the clock under a test's hand, of which
 * lua/titan/testing/clock.lua makes an object. */
#include <lauxlib.h>

#include "base/clock.h"
#include "script/core.h"
#include "script/task.h"

/* now_ms() -> the wall clock, whole ms. While the clock is held it moves along with it. */
static int core_now_ms(lua_State *L)
{
    const struct runtime *rt = runtime_of(L);
    uint64_t ms = rt->reactor.held ? rt->reactor.held_ms + rt->wall_ahead_ms : wall_ms();

    lua_pushinteger(L, (lua_Integer)ms);
    return 1;
}

uint64_t runtime_now_ns(const struct runtime *rt)
{
    const struct reactor *r = &rt->reactor; /* zeroed before it is opened */

    return r->held ? r->held_ms * 1000000u : now_ns() + r->ahead_ms * 1000000u;
}

/* monotonic_ms() -> for durations, with fractions */
static int core_monotonic_ms(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)runtime_now_ns(runtime_of(L)) / 1e6);
    return 1;
}

/* spin_us() -> for how long this state's own loop looks for mail before it sleeps, at the most */
static int core_spin_us(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)(runtime_of(L)->reactor.spin.limit_ns / 1000u));
    return 1;
}

/* ---- holding it ---- */

/* clock_hold() -> whether it was not held before */
static int core_clock_hold(lua_State *L)
{
    struct runtime *rt = runtime_of(L);
    struct reactor *r = runtime_reactor(rt);
    bool held = r->held;

    reactor_hold_clock(r);
    if (!held) {
        rt->wall_ahead_ms = wall_ms() - r->held_ms;
    }
    lua_pushboolean(L, !held);
    return 1;
}

/* clock_move(ms): to a time of monotonic_ms, not before the present one */
static int core_clock_move(lua_State *L)
{
    reactor_move_clock(runtime_reactor(runtime_of(L)), (uint64_t)luaL_checkinteger(L, 1));
    return 0;
}

/* clock_set_wall(ms): what now_ms() says from now on, while the clock is held */
static int core_clock_set_wall(lua_State *L)
{
    struct runtime *rt = runtime_of(L);

    rt->wall_ahead_ms = (uint64_t)luaL_checkinteger(L, 1) - rt->reactor.held_ms;
    return 0;
}

/* clock_next() -> when the first timer is due, or nil; whether somebody waits for one */
static int core_clock_next(lua_State *L)
{
    const struct reactor *r = runtime_reactor(runtime_of(L));
    uint64_t next = reactor_next_ms(r);

    if (next > LUA_MAXINTEGER) {
        lua_pushnil(L);
    } else {
        lua_pushinteger(L, (lua_Integer)next);
    }
    lua_pushboolean(L, r->holding > 0);
    return 2;
}

/* ---- waiting until nothing is left to do ---- */

static void forget_settling(struct runtime *rt)
{
    flusher_cancel(&rt->settled);
    luaL_unref(rt->L, LUA_REGISTRYINDEX, rt->settling);
    rt->settling = LUA_NOREF;
}

/* Its task may have been given up meanwhile. */
static void settled(struct flusher *f)
{
    struct runtime *rt = list_entry(f, struct runtime, settled);
    struct task *t;

    lua_rawgeti(rt->L, LUA_REGISTRYINDEX, rt->settling);
    t = task_of(rt->L, lua_tothread(rt->L, -1));
    lua_pop(rt->L, 1);
    forget_settling(rt);
    if (t != NULL) {
        task_unpark(t);
    }
}

/* clock_settle(): unparks the running task when the others have nothing to do before the clock
 * moves on. Whether that has come says clock_settled(). */
static int core_clock_settle(lua_State *L)
{
    struct runtime *rt = runtime_of(L);

    task_current(L);
    forget_settling(rt);
    lua_pushthread(L);
    rt->settling = luaL_ref(L, LUA_REGISTRYINDEX);
    reactor_when_quiet(runtime_reactor(rt), &rt->settled);
    return 0;
}

static int core_clock_settled(lua_State *L)
{
    lua_pushboolean(L, list_empty(&runtime_of(L)->settled.node));
    return 1;
}

/* clock_release() */
static int core_clock_release(lua_State *L)
{
    struct runtime *rt = runtime_of(L);

    forget_settling(rt);
    reactor_release_clock(runtime_reactor(rt));
    return 0;
}

void clock_open(struct runtime *rt)
{
    rt->settling = LUA_NOREF;
    flusher_init(&rt->settled, settled);
}

void core_add_clock(struct core_names *names)
{
    static const luaL_Reg functions[] = {
        {"now_ms", core_now_ms},
        {"monotonic_ms", core_monotonic_ms},
        {"spin_us", core_spin_us},
        {"clock_hold", core_clock_hold},
        {"clock_move", core_clock_move},
        {"clock_set_wall", core_clock_set_wall},
        {"clock_next", core_clock_next},
        {"clock_settle", core_clock_settle},
        {"clock_settled", core_clock_settled},
        {"clock_release", core_clock_release},
        {NULL, NULL},
    };

    core_offer(names, functions);
}
