/* What a task knows of the call that it is part of, and limits of time, as Lua functions. */
#include <lauxlib.h>

#include "base/clock.h"
#include "script/call.h"
#include "script/core.h"
#include "script/task.h"

#define LIMIT_TYPE "titan.core.time_limit"

/* context() -> the table of the running call, or nil: traceparent, tracestate, headers,
 * idempotency_key, claimed */
static int core_context(lua_State *L)
{
    struct runtime *rt = runtime_of(L);

    if (rt->running == NULL) {
        lua_pushnil(L);
    } else {
        scope_push_context(L, &rt->running->scope);
    }
    return 1;
}

/* set_context(table or nil): of the running task, in whichever coroutine of it, and of the tasks it
 * begins from now on; nothing where none runs */
static int core_set_context(lua_State *L)
{
    struct runtime *rt = runtime_of(L);

    lua_settop(L, 1);
    if (!lua_isnil(L, 1)) {
        luaL_checktype(L, 1, LUA_TTABLE);
    }
    if (rt->running != NULL) {
        scope_set_context(L, &rt->running->scope);
    }
    return 0;
}

/* take_claim() -> whether the manager holds the claim of the running request's key; once true */
static int core_take_claim(lua_State *L)
{
    struct task *t = runtime_of(L)->running;

    lua_pushboolean(L, t != NULL && t->claimed);
    if (t != NULL) {
        t->claimed = false;
    }
    return 1;
}

/* time_left() -> ms until the deadline of what the running task is part of, or nil */
static int core_time_left(lua_State *L)
{
    struct runtime *rt = runtime_of(L);
    uint64_t deadline_ms = rt->running ? scope_deadline_ms(&rt->running->scope) : 0;
    uint64_t now_ms;

    if (deadline_ms == 0) {
        lua_pushnil(L);
        return 1;
    }
    now_ms = reactor_ms_at(runtime_reactor(rt), now_ns());
    lua_pushinteger(L, deadline_ms > now_ms ? (lua_Integer)(deadline_ms - now_ms) : 0);
    return 1;
}

/* time_for(ms; 0: no end) -> how much of it a call that is made now may take, nil when nothing is
 * left of the one that the task is part of; whether one of the task's limits ends that call anyway
 */
static int core_time_for(lua_State *L)
{
    struct task *t = task_current(L);
    uint64_t now_ms = reactor_ms_at(runtime_reactor(t->runtime), now_ns());
    lua_Integer own_ms = luaL_checkinteger(L, 1);
    uint32_t left_ms;

    luaL_argcheck(L, own_ms >= 0 && own_ms <= UINT32_MAX, 1, "not a time");
    if (!scope_limit_ms(&t->scope, now_ms, (uint32_t)own_ms, &left_ms)) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, left_ms);
    lua_pushboolean(L, left_ms > 0 && task_sees_to(t, now_ms, left_ms));
    return 2;
}

/* detach(): the running task is part of no call any more */
static int core_detach(lua_State *L)
{
    scope_leave(L, &task_current(L)->scope);
    return 0;
}

/* ---- limits ---- */

/* On the stack of the coroutine that it limits, as a to-be-closed variable. */
struct limit {
    struct time_limit limit;
    struct task *task; /* NULL when closed */
    uint64_t outer_deadline_ms;
    int error; /* registry: what is raised; LUA_REFNIL: nothing */
};

static void limit_passed(struct timer *timer)
{
    struct limit *l = list_entry(timer, struct limit, limit.timer);
    lua_State *L = l->task->runtime->L;

    lua_rawgeti(L, LUA_REGISTRYINDEX, l->error);
    (void)task_interrupt(l->task, L); /* waits for what is not ours: it sees the time itself */
}

static int limit_close(lua_State *L);

/* time_limit(ms, err or nil) -> a to-be-closed value: until it is closed the deadline of the
 * running task is that soon at the latest; `err` is raised where it waits then. */
static int core_time_limit(lua_State *L)
{
    static const luaL_Reg metamethods[] = {
        {"__close", limit_close}, {"__gc", limit_close}, {NULL, NULL}};
    struct task *t = task_current(L);
    lua_Integer ms = luaL_checkinteger(L, 1);
    struct reactor *r = runtime_reactor(t->runtime);
    struct limit *l;

    luaL_argcheck(L, ms >= 0, 1, "a time is not negative");
    lua_settop(L, 2);
    l = lua_newuserdatauv(L, sizeof *l, 0);
    *l = (struct limit){.outer_deadline_ms = t->scope.deadline_ms, .error = LUA_REFNIL};
    core_set_type(L, LIMIT_TYPE, metamethods);
    lua_pushvalue(L, 2);
    l->error = luaL_ref(L, LUA_REGISTRYINDEX);
    l->limit.deadline_ms =
        reactor_ms_at(r, now_ns()) + (uint64_t)ms; /* not the turn's: see interrupt.h */
    if (l->error != LUA_REFNIL) {
        l->limit.timer.fire = limit_passed;
        if (!timer_arm(r, &l->limit.timer, (uint64_t)ms, true)) {
            return luaL_error(L, "titan: out of memory");
        }
        l->limit.outer = t->limit;
        t->limit = &l->limit;
    }
    l->task = t;
    if (t->scope.deadline_ms == 0 || l->limit.deadline_ms < t->scope.deadline_ms) {
        scope_set_deadline(&t->scope, l->limit.deadline_ms);
    }
    return 1;
}

/* As __close and as __gc: of one that was never closed nobody knows when it should have been. */
static int limit_close(lua_State *L)
{
    struct limit *l = luaL_checkudata(L, 1, LIMIT_TYPE);
    struct task *t = l->task;

    if (t == NULL) {
        return 0;
    }
    l->task = NULL;
    if (l->error != LUA_REFNIL) {
        timer_disarm(&t->runtime->reactor, &l->limit.timer);
        task_limit_remove(t, &l->limit);
    }
    luaL_unref(L, LUA_REGISTRYINDEX, l->error);
    scope_set_deadline(&t->scope, l->outer_deadline_ms);
    return 0;
}

void core_add_scope(struct core_names *names)
{
    static const luaL_Reg functions[] = {
        {"take_claim", core_take_claim},
        {"context", core_context},
        {"set_context", core_set_context},
        {"time_left", core_time_left},
        {"time_for", core_time_for},
        {"detach", core_detach},
        {"time_limit", core_time_limit},
        {"call_header", call_header},
        {NULL, NULL},
    };

    core_offer(names, functions);
}
