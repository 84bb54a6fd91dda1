/* Tasks and time, as Lua functions. lua/titan/tasks.lua makes futures of them. */
#include <lauxlib.h>
#include <stdint.h>

#include "script/core.h"
#include "script/task.h"

/* ended(ok, ...): the registry keeps it under the number in t->owner. */
static void go_ended(struct task *t, lua_State *L, int status, int first)
{
    int anchor = (int)(intptr_t)t->owner;

    lua_rawgeti(L, LUA_REGISTRYINDEX, anchor);
    luaL_unref(L, LUA_REGISTRYINDEX, anchor);
    lua_pushboolean(L, status == LUA_OK);
    lua_rotate(L, first, 2);
    lua_call(L, lua_gettop(L) - first, 0);
}

/* The coroutine is the last on the stack. */
static int begun(lua_State *L, int status, lua_KContext ctx)
{
    (void)L;
    (void)status;
    (void)ctx;
    return 1;
}

/* go(handler, ended, f, ...) -> coroutine. Runs f(...) as a task until it first waits. An error
 * goes through handler(err) first; then ended(true, results...) or ended(false, err). */
static int core_go(lua_State *L)
{
    struct runtime *rt = runtime_of(L);
    int nargs = lua_gettop(L) - 3;
    struct task *t;

    luaL_checktype(L, 1, LUA_TFUNCTION);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    luaL_checkany(L, 3);
    t = task_new(rt, L);
    t->ended = go_ended;
    if (rt->running != NULL) {
        if (!scope_inherit(L, &t->scope, &rt->running->scope)) {
            return luaL_error(L, "titan: out of memory");
        }
        t->started_ns = rt->running->started_ns;
    }
    lua_pushvalue(L, 2);
    t->owner = (void *)(intptr_t)luaL_ref(L, LUA_REGISTRYINDEX);
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->anchor);
    lua_replace(L, 2);
    if (!lua_checkstack(t->co, nargs + 8)) {
        return luaL_error(L, "titan: too many arguments");
    }
    lua_pushvalue(L, 1);
    lua_xmove(L, t->co, 1);
    lua_xmove(L, t->co, nargs + 1);
    return task_start_in(t, nargs, L, begun);
}

static int resumed(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    task_resumed(L, ctx);
    return 0;
}

static void time_is_up(struct timer *timer)
{
    task_resume(list_entry(timer, struct task, timer));
}

static void arm(lua_State *L, struct task *t, lua_Integer ms)
{
    luaL_argcheck(L, ms >= 0, 1, "a time is not negative");
    t->timer.fire = time_is_up;
    reactor_update_time(runtime_reactor(t->runtime)); /* a sleep is never shorter than it says */
    if (!timer_arm(runtime_reactor(t->runtime), &t->timer, (uint64_t)ms, true)) {
        luaL_error(L, "titan: out of memory");
    }
}

/* park(ms or nil): waits until unpark or interrupt, at most so long. What it waits for may not have
 * come when it returns: the caller looks. */
static int core_park(lua_State *L)
{
    struct task *t = task_current(L);

    if (!lua_isnoneornil(L, 1)) {
        arm(L, t, luaL_checkinteger(L, 1));
    }
    return task_wait(t, TASK_PARKED, L, resumed);
}

/* sleep(ms) */
static int core_sleep(lua_State *L)
{
    struct task *t = task_current(L);

    arm(L, t, luaL_checkinteger(L, 1));
    return task_wait(t, TASK_WAITING, L, resumed);
}

/* The task of the coroutine at `index`; NULL when it has none (any more). */
static struct task *task_at(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TTHREAD);
    return task_of(L, lua_tothread(L, index));
}

/* unpark(coroutine): if it is parked it goes on at the end of this turn. */
static int core_unpark(lua_State *L)
{
    struct task *t = task_at(L, 1);

    if (t != NULL) {
        task_unpark(t);
    }
    return 0;
}

/* interrupt(coroutine, err) -> whether it was waiting: what it waits for is given up, and it goes
 * on with err raised. */
static int core_interrupt(lua_State *L)
{
    struct task *t = task_at(L, 1);

    luaL_checkany(L, 2);
    lua_settop(L, 2);
    lua_pushboolean(L, t != NULL && task_interrupt(t, L));
    return 1;
}

/* current() -> the coroutine of the running task; raises where nothing may wait. */
static int core_current(lua_State *L)
{
    task_current(L);
    lua_pushthread(L);
    return 1;
}

/* ---- running the loop ---- */

struct run {
    bool ended;
    bool uncaught;
    bool looping;
    int result; /* registry: a table {ok, n = , ...} */
};

/* Not before it runs: libuv would remember that for its next run. */
static void stop_loop(struct runtime *rt, const struct run *run)
{
    if (run->looping) {
        uv_stop(rt->uv);
    }
}

static void run_ended(struct task *t, lua_State *L, int status, int first)
{
    struct run *run = t->owner;
    int n = lua_gettop(L) - first + 1;

    lua_createtable(L, n, 2);
    lua_insert(L, first);
    for (int i = n; i > 0; i--) {
        lua_rawseti(L, first, i);
    }
    lua_pushboolean(L, status == LUA_OK);
    lua_setfield(L, first, "ok");
    lua_pushinteger(L, n);
    lua_setfield(L, first, "n");
    run->result = luaL_ref(L, LUA_REGISTRYINDEX);
    run->ended = true;
    stop_loop(t->runtime, run);
}

static void run_uncaught(struct runtime *rt)
{
    struct run *run = rt->owner;

    run->uncaught = true;
    stop_loop(rt, run);
}

/* run(handler, f, ...) -> {ok=, n=, ...}: runs f as a task and the loop until it has ended; nil
 * when it waits for what can never come; false after an error that nobody could catch. */
static int core_run(lua_State *L)
{
    struct runtime *rt = runtime_of(L);
    struct run run = {.result = LUA_NOREF};
    int nargs = lua_gettop(L) - 2;
    struct task *t;

    luaL_checktype(L, 1, LUA_TFUNCTION);
    luaL_checkany(L, 2);
    if (rt->running != NULL || rt->owner != NULL) {
        return luaL_error(L, "titan.run: the loop runs already; use titan.go for another task");
    }
    runtime_reactor(rt);
    t = task_new(rt, L);
    t->ended = run_ended;
    t->owner = &run;
    if (!lua_checkstack(t->co, nargs + 8)) {
        return luaL_error(L, "titan: too many arguments");
    }
    lua_xmove(L, t->co, nargs + 2);
    rt->owner = &run;
    rt->uncaught = run_uncaught;
    task_start(t, nargs);
    run.looping = true;
    while (!run.ended && !run.uncaught && uv_run(rt->uv, UV_RUN_DEFAULT) != 0) {
    }
    rt->owner = NULL;
    rt->uncaught = NULL;
    tasks_discard(rt);
    /* The close callbacks of luv want a state that is not itself closing. */
    uv_run(rt->uv, UV_RUN_NOWAIT);
    if (run.ended) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, run.result);
        luaL_unref(L, LUA_REGISTRYINDEX, run.result);
    } else {
        run.uncaught ? lua_pushboolean(L, 0) : lua_pushnil(L);
    }
    return 1;
}

/* run_handles() -> whether it went well: the loop, until no handle of luv's keeps it alive any
 * more. */
static int core_run_handles(lua_State *L)
{
    struct runtime *rt = runtime_of(L);
    struct run run = {.looping = true, .result = LUA_NOREF};

    rt->owner = &run;
    rt->uncaught = run_uncaught;
    while (!run.uncaught && uv_run(rt->uv, UV_RUN_DEFAULT) != 0) {
    }
    rt->owner = NULL;
    rt->uncaught = NULL;
    lua_pushboolean(L, !run.uncaught);
    return 1;
}

void core_add_tasks(struct core_names *names)
{
    static const luaL_Reg functions[] = {
        {"go", core_go},
        {"park", core_park},
        {"sleep", core_sleep},
        {"unpark", core_unpark},
        {"interrupt", core_interrupt},
        {"current", core_current},
        {"run", core_run},
        {"run_handles", core_run_handles},
        {NULL, NULL},
    };

    core_offer(names, functions);
}
