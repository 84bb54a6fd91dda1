/* Pools, as Lua functions. lua/titan/pool.lua makes objects of them. */
#include "script/core_pool.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "script/core.h"
#include "script/task.h"

struct script_pool *core_check_pool(lua_State *L, int index)
{
    return luaL_checkudata(L, index, POOL_TYPE);
}

/* The user value of a pool: the function that hears its events. */
#define POOL_EVENT_FN 1

/* Sets the place of the pool in its manager's table of those that are open to what is on top of the
 * stack, and pops that. */
static void keep(lua_State *L, const struct script_manager *sm, struct script_pool *sp)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, sm->anchor);
    lua_getiuservalue(L, -1, MANAGER_POOLS);
    lua_pushvalue(L, -3);
    lua_rawsetp(L, -2, sp);
    lua_pop(L, 3);
}

/* ---- from C to the pool's event function ---- */

/* What it is called with: its kind, then what goes with it. */
struct event {
    struct script_pool *pool;
    const char *kind;
    const struct pool_worker *worker;
    const struct failure *why;
    const char *reason;
    lua_Integer from, to;
};

static void set_worker(lua_State *L, const struct event *e)
{
    lua_pushinteger(L, e->worker->number);
    lua_setfield(L, -2, "number");
    lua_pushinteger(L, e->worker->slot);
    lua_setfield(L, -2, "index");
    lua_pushinteger(L, e->worker->life);
    lua_setfield(L, -2, "life");
    lua_pushinteger(L, (lua_Integer)e->worker->memory_len);
    lua_setfield(L, -2, "memory");
    if (e->worker->process != NULL) {
        core_push_process(L, e->pool->manager, e->worker->process);
        lua_setfield(L, -2, "process");
    }
}

/* on_event(kind, {number, index, life, memory, process, code, message, from, to, reason}) */
static int run_event(lua_State *L)
{
    const struct event *e = lua_touserdata(L, 1);

    lua_rawgeti(L, LUA_REGISTRYINDEX, e->pool->manager->anchor);
    lua_getiuservalue(L, -1, MANAGER_POOLS);
    lua_rawgetp(L, -1, e->pool);
    lua_getiuservalue(L, -1, POOL_EVENT_FN);
    lua_pushstring(L, e->kind);
    lua_createtable(L, 0, 6);
    if (e->worker != NULL) {
        set_worker(L, e);
    }
    if (e->why != NULL) {
        lua_pushstring(L, titan_error_name(e->why->code));
        lua_setfield(L, -2, "code");
        lua_pushstring(L, e->why->message);
        lua_setfield(L, -2, "message");
    }
    if (e->reason != NULL) {
        lua_pushinteger(L, e->from);
        lua_setfield(L, -2, "from");
        lua_pushinteger(L, e->to);
        lua_setfield(L, -2, "to");
        lua_pushstring(L, e->reason);
        lua_setfield(L, -2, "reason");
    }
    lua_call(L, 2, 0);
    return 0;
}

static void emit(const struct event *e)
{
    (void)task_protected(e->pool->runtime, run_event, (void *)e, "in an event of a pool");
}

static void on_spawn(void *ctx, struct pool_worker *w)
{
    emit(&(struct event){.pool = ctx, .kind = "spawn", .worker = w});
}

static void on_warm(void *ctx, struct pool_worker *w)
{
    emit(&(struct event){.pool = ctx, .kind = "warm", .worker = w});
}

static void on_news(void *ctx, enum pool_news what, const struct failure *why)
{
    static const char *const kinds[] = {
        [POOL_NEWS_READY] = "ready",       [POOL_NEWS_FAILED] = "failed",
        [POOL_NEWS_ENDED] = "ended",       [POOL_NEWS_DRAINED] = "drained",
        [POOL_NEWS_SETTLED] = "settled",   [POOL_NEWS_GAVE_UP] = "gave_up",
        [POOL_NEWS_RELOADED] = "reloaded", [POOL_NEWS_SIZE] = "size",
        [POOL_NEWS_MEMORY] = "memory",
    };
    struct script_pool *sp = ctx;
    struct event e = {.pool = sp, .kind = kinds[what], .why = why};

    if (what == POOL_NEWS_SIZE) {
        e.from = sp->pool.scaled.from;
        e.to = sp->pool.scaled.to;
        e.reason = sp->pool.scaled.reason;
    } else if (what == POOL_NEWS_MEMORY) {
        e.worker = sp->pool.told;
    }
    emit(&e);
}

/* ---- options ---- */

static uint64_t field_u64(lua_State *L, int table, const char *name)
{
    lua_Integer v;

    lua_getfield(L, table, name);
    v = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    return (uint64_t)v;
}

static enum strategy field_strategy(lua_State *L, int table)
{
    int strategy;

    lua_getfield(L, table, "strategy");
    strategy = strategy_named(luaL_checkstring(L, -1));
    if (strategy < 0) {
        luaL_error(L, "titan: no strategy named %s", lua_tostring(L, -1));
    }
    lua_pop(L, 1);
    return (enum strategy)strategy;
}

static void read_breaker(lua_State *L, int table, struct pool_options *o)
{
    if (lua_getfield(L, table, "circuit_breaker") == LUA_TTABLE) {
        int at = lua_gettop(L);

        o->has_breaker = true;
        o->breaker.failure_threshold = core_field_uint(L, at, "failure_threshold");
        o->breaker.timeout_ms = core_field_uint(L, at, "timeout");
        o->breaker.half_open_requests = core_field_uint(L, at, "half_open_requests");
    }
    lua_pop(L, 1);
}

static void read_scale(lua_State *L, int table, struct pool_options *o)
{
    if (lua_getfield(L, table, "auto_scale") == LUA_TTABLE) {
        int at = lua_gettop(L);

        o->scale_interval_ms = core_field_uint(L, at, "interval");
        o->scale.queue = core_field_number(L, at, "queue");
        o->scale.busy = core_field_number(L, at, "busy");
        o->scale.cpu = core_field_number(L, at, "cpu");
        o->scale.latency_ms = core_field_number(L, at, "latency");
        o->scale.memory_len = field_u64(L, at, "memory");
        o->scale.up_cooldown_ms = core_field_uint(L, at, "up_cooldown");
        o->scale.down_cooldown_ms = core_field_uint(L, at, "down_cooldown");
    }
    lua_pop(L, 1);
}

/* The weights stay the script_pool's. */
static void read_weights(lua_State *L, int table, struct script_pool *sp, struct pool_options *o)
{
    if (lua_getfield(L, table, "weights") == LUA_TTABLE && luaL_len(L, -1) > 0) {
        o->weights_len = (uint32_t)luaL_len(L, -1);
        sp->weights = calloc(o->weights_len, sizeof *sp->weights);
        if (sp->weights == NULL) {
            script_fail(L, "titan: out of memory");
        }
        for (uint32_t i = 0; i < o->weights_len; i++) {
            lua_rawgeti(L, -1, (lua_Integer)i + 1);
            sp->weights[i] = (uint32_t)luaL_checkinteger(L, -1);
            lua_pop(L, 1);
        }
        o->weights = sp->weights;
    }
    lua_pop(L, 1);
}

static struct pool_options read_options(lua_State *L, int table, struct script_pool *sp)
{
    struct pool_options o = {.strategy = field_strategy(L, table)};

    o.min = core_field_uint(L, table, "min");
    o.max = core_field_uint(L, table, "max");
    o.max_queue = core_field_uint(L, table, "max_queue_size");
    o.max_concurrency = core_field_uint(L, table, "max_concurrency");
    o.stop_timeout_ms = core_field_uint(L, table, "stop_timeout");
    o.recycle_after = field_u64(L, table, "recycle_after");
    o.max_lifetime_ms = core_field_uint(L, table, "max_lifetime");
    o.idle_timeout_ms = core_field_uint(L, table, "idle_timeout");
    o.memory_limit_len = field_u64(L, table, "memory_limit");
    o.memory_warning_len = field_u64(L, table, "memory_warning");
    o.warms = core_field_flag(L, table, "warms");
    o.replace_unhealthy = core_field_flag(L, table, "replace_unhealthy");
    read_breaker(L, table, &o);
    read_scale(L, table, &o);
    read_weights(L, table, sp, &o);
    return o;
}

/* ---- life ---- */

static int pool_gc(lua_State *L);

/* pool_open(manager, name, options, on_event) -> pool */
static int pool_open_lua(lua_State *L)
{
    static const struct pool_events events = {on_spawn, on_warm, on_news};
    static const luaL_Reg metamethods[] = {{"__gc", pool_gc}, {NULL, NULL}};
    struct script_manager *sm = core_check_manager(L);
    const char *name = luaL_checkstring(L, 2);
    struct script_pool *sp;
    struct pool_options options;
    struct failure why;

    luaL_checktype(L, 3, LUA_TTABLE);
    luaL_checktype(L, 4, LUA_TFUNCTION);
    sp = lua_newuserdatauv(L, sizeof *sp, 1);
    memset(sp, 0, sizeof *sp);
    list_init(&sp->pool.workers);
    sp->runtime = sm->runtime;
    core_set_type(L, POOL_TYPE, metamethods);
    lua_pushvalue(L, 4);
    lua_setiuservalue(L, -2, POOL_EVENT_FN);
    strncpy(sp->name, name, sizeof sp->name - 1);
    options = read_options(L, 3, sp);
    if (pool_open(&sp->pool, &sm->manager, sp->name, &options, &events, sp, &why) < 0) {
        return script_raise(L, &why);
    }
    sp->manager = sm;
    lua_pushvalue(L, -1);
    keep(L, sm, sp);
    return 1;
}

/* pool_close(pool): for one that has ended */
static int pool_close_lua(lua_State *L)
{
    struct script_pool *sp = core_check_pool(L, 1);

    if (sp->pool.manager != NULL) {
        pool_close(&sp->pool);
        lua_pushnil(L);
        keep(L, sp->manager, sp);
    }
    return 0;
}

/* An open one is kept by its manager, so this is the end of either. Nobody is told. */
static int pool_gc(lua_State *L)
{
    struct script_pool *sp = luaL_checkudata(L, 1, POOL_TYPE);
    struct heap_node *first;

    while (sp->pool.manager != NULL && (first = heap_first(&sp->pool.queue)) != NULL) {
        pool_call_forget(list_entry(first, struct pool_call, node));
    }
    pool_close(&sp->pool);
    pool_free(&sp->pool);
    free(sp->weights);
    sp->weights = NULL;
    return 0;
}

/* ---- what it is told ---- */

/* pool_start(pool, size, wait_for) */
static int pool_start_lua(lua_State *L)
{
    pool_start(&core_check_pool(L, 1)->pool, (uint32_t)luaL_checkinteger(L, 2),
               (uint32_t)luaL_checkinteger(L, 3));
    return 0;
}

/* pool_stop(pool, timeout_ms) */
static int pool_stop_lua(lua_State *L)
{
    struct script_pool *sp = core_check_pool(L, 1);

    if (sp->pool.manager != NULL) {
        pool_stop(&sp->pool, (uint32_t)luaL_checkinteger(L, 2));
    }
    return 0;
}

/* pool_drain(pool) */
static int pool_drain_lua(lua_State *L)
{
    pool_drain(&core_check_pool(L, 1)->pool);
    return 0;
}

/* pool_scale(pool, size) */
static int pool_scale_lua(lua_State *L)
{
    pool_scale(&core_check_pool(L, 1)->pool, (uint32_t)luaL_checkinteger(L, 2), "scale");
    return 0;
}

/* pool_reload(pool) */
static int pool_reload_lua(lua_State *L)
{
    pool_reload(&core_check_pool(L, 1)->pool);
    return 0;
}

static struct failure failure_at(lua_State *L, int index)
{
    struct failure why;

    fail(&why, TITAN_E_SPAWN_FAILED, "%s", luaL_checkstring(L, index));
    return why;
}

/* pool_worker_failed(pool, number, why): it could not be made */
static int pool_worker_failed_lua(lua_State *L)
{
    struct pool *p = &core_check_pool(L, 1)->pool;
    struct pool_worker *w = pool_worker_numbered(p, (uint32_t)luaL_checkinteger(L, 2));
    struct failure why = failure_at(L, 3);

    if (w != NULL && p->manager != NULL) {
        pool_worker_failed(w, &why);
    }
    return 0;
}

/* pool_worker_warmed(pool, number, life, why or nil) */
static int pool_worker_warmed_lua(lua_State *L)
{
    struct pool *p = &core_check_pool(L, 1)->pool;
    struct pool_worker *w = pool_worker_numbered(p, (uint32_t)luaL_checkinteger(L, 2));
    uint32_t life = (uint32_t)luaL_checkinteger(L, 3);
    struct failure why;

    if (w == NULL || p->manager == NULL) {
        return 0;
    }
    if (lua_isnoneornil(L, 4)) {
        pool_worker_warmed(w, life, NULL);
    } else {
        why = failure_at(L, 4);
        pool_worker_warmed(w, life, &why);
    }
    return 0;
}

/* pool_state(pool) -> state, size, busy workers, calls that wait, calls under way */
static int pool_state_lua(lua_State *L)
{
    struct pool *p = &core_check_pool(L, 1)->pool;

    lua_pushstring(L, pool_state_name(p));
    lua_pushinteger(L, pool_size(p));
    lua_pushinteger(L, pool_busy(p));
    lua_pushinteger(L, (lua_Integer)p->queue.len);
    lua_pushinteger(L, p->active);
    return 5;
}

/* strategies() -> the names of all */
static int strategies_lua(lua_State *L)
{
    lua_createtable(L, STRATEGIES, 0);
    for (int i = 0; i < STRATEGIES; i++) {
        lua_pushstring(L, strategy_name((enum strategy)i));
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

void core_add_pool(struct core_names *names)
{
    static const luaL_Reg functions[] = {
        {"pool_open", pool_open_lua},
        {"pool_close", pool_close_lua},
        {"pool_start", pool_start_lua},
        {"pool_stop", pool_stop_lua},
        {"pool_drain", pool_drain_lua},
        {"pool_scale", pool_scale_lua},
        {"pool_reload", pool_reload_lua},
        {"pool_worker_failed", pool_worker_failed_lua},
        {"pool_worker_warmed", pool_worker_warmed_lua},
        {"pool_state", pool_state_lua},
        {"pool_metrics", core_pool_metrics},
        {"pool_method", core_pool_method},
        {"strategies", strategies_lua},
        {NULL, NULL},
    };

    core_offer(names, functions);
}
