/* Durable keys and values, as Lua functions. lua/titan/store/file.lua makes an object of them. */
#include <lauxlib.h>

#include "script/core.h"
#include "script/task.h"
#include "store/kv.h"

#define STORE_TYPE "titan.store"

struct script_store {
    struct kv *kv; /* NULL once closed */
};

/* The user value of a store: its path. */
#define STORE_PATH 1

static struct script_store *check_open(lua_State *L)
{
    struct script_store *store = luaL_checkudata(L, 1, STORE_TYPE);
    struct failure why;

    if (store->kv == NULL) {
        lua_getiuservalue(L, 1, STORE_PATH);
        fail(&why, TITAN_E_DESTROYED, "the store %s is closed", lua_tostring(L, -1));
        script_raise(L, &why);
    }
    return store;
}

static struct span check_span(lua_State *L, int index)
{
    struct span s;

    s.at = (const uint8_t *)luaL_checklstring(L, index, &s.len);
    return s;
}

static uint64_t check_ttl(lua_State *L, int index)
{
    lua_Integer ttl_ms;

    if (lua_isnoneornil(L, index)) {
        return KV_FOREVER;
    }
    ttl_ms = luaL_checkinteger(L, index);
    luaL_argcheck(L, ttl_ms >= 0, index, "a time is not negative");
    return (uint64_t)ttl_ms;
}

/* ---- waiting ---- */

static void answered(struct kv_wait *w, const struct kv_answer *answer)
{
    struct task *t = list_entry(w, struct task, stored);

    t->kept = answer;
    task_resume(t);
}

static struct kv_wait *waiting(struct task *t)
{
    t->stored.fn = answered;
    return &t->stored;
}

/* Waits for the answer to what has been asked for with `code`. */
static int wait_for(struct task *t, lua_State *L, int code, const struct failure *why,
                    lua_KFunction k)
{
    return code < 0 ? script_raise(L, why) : task_wait(t, TASK_WAITING, L, k);
}

/* The answer, which is not a failure. */
static const struct kv_answer *take_answer(lua_State *L, lua_KContext ctx)
{
    struct task *t = task_resumed(L, ctx);
    const struct kv_answer *answer = t->kept;

    t->kept = NULL;
    if (answer->failure != NULL) {
        script_raise(L, answer->failure);
    }
    return answer;
}

static void push_value(lua_State *L, const struct kv_answer *answer)
{
    lua_pushlstring(L, (const char *)answer->value.at, answer->value.len);
}

static int nothing(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    take_answer(L, ctx);
    return 0;
}

static int value_or_nil(lua_State *L, int status, lua_KContext ctx)
{
    const struct kv_answer *answer = take_answer(L, ctx);

    (void)status;
    answer->found ? push_value(L, answer) : lua_pushnil(L);
    return 1;
}

static int true_or_kept(lua_State *L, int status, lua_KContext ctx)
{
    const struct kv_answer *answer = take_answer(L, ctx);

    (void)status;
    lua_pushboolean(L, !answer->found);
    if (!answer->found) {
        return 1;
    }
    push_value(L, answer);
    return 2;
}

static int whether_found(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    lua_pushboolean(L, take_answer(L, ctx)->found);
    return 1;
}

/* ---- functions ---- */

static lua_Integer option(lua_State *L, const char *name)
{
    lua_Integer v;

    lua_getfield(L, 2, name);
    v = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    return v;
}

/* A file that did not open is closed when the handle is collected. */
static int opened(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    take_answer(L, ctx);
    return 1; /* the handle, the last on the stack */
}

static int store_gc(lua_State *L);

/* kv_open(path, {busy_timeout, sweep_interval, max_waiting, max_waiting_bytes, normal_sync}) ->
 * handle. Times in ms; all of them must be there. */
static int core_kv_open(lua_State *L)
{
    static const luaL_Reg metamethods[] = {{"__gc", store_gc}, {NULL, NULL}};
    struct task *t = task_current(L);
    const char *path = luaL_checkstring(L, 1);
    struct kv_options options = KV_OPTIONS_DEFAULT;
    struct script_store *store;
    struct failure why;
    int code;

    luaL_checktype(L, 2, LUA_TTABLE);
    options.busy_timeout_ms = (uint32_t)option(L, "busy_timeout");
    options.sweep_ms = (uint32_t)option(L, "sweep_interval");
    options.max_waiting = (size_t)option(L, "max_waiting");
    options.max_waiting_bytes = (size_t)option(L, "max_waiting_bytes");
    lua_getfield(L, 2, "normal_sync");
    options.normal_sync = lua_toboolean(L, -1);
    store = lua_newuserdatauv(L, sizeof *store, 1);
    store->kv = NULL;
    core_set_type(L, STORE_TYPE, metamethods);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, STORE_PATH);
    code = kv_open(&store->kv, runtime_reactor(t->runtime), path, &options, waiting(t), &why);
    return wait_for(t, L, code, &why, opened);
}

/* kv_get(handle, key) -> value or nil */
static int core_kv_get(lua_State *L)
{
    struct script_store *store = check_open(L);
    struct task *t = task_current(L);
    struct failure why;
    int code = kv_get(store->kv, check_span(L, 2), waiting(t), &why);

    return wait_for(t, L, code, &why, value_or_nil);
}

static int put(lua_State *L, enum kv_mode mode, lua_KFunction k)
{
    struct script_store *store = check_open(L);
    struct task *t = task_current(L);
    struct failure why;
    int code = kv_put(store->kv, mode, check_span(L, 2), check_span(L, 3), check_ttl(L, 4),
                      waiting(t), &why);

    return wait_for(t, L, code, &why, k);
}

/* kv_put(handle, key, value, ttl_ms or nil) */
static int core_kv_put(lua_State *L)
{
    return put(L, KV_REPLACE, nothing);
}

/* kv_put_new(handle, key, value, ttl_ms or nil) -> true, or false and the value that is there */
static int core_kv_put_new(lua_State *L)
{
    return put(L, KV_INSERT, true_or_kept);
}

/* kv_remove(handle, key) -> whether it was there */
static int core_kv_remove(lua_State *L)
{
    struct script_store *store = check_open(L);
    struct task *t = task_current(L);
    struct failure why;
    int code = kv_remove(store->kv, check_span(L, 2), waiting(t), &why);

    return wait_for(t, L, code, &why, whether_found);
}

/* kv_close(handle): when it returns the file is closed. Again: nothing. */
static int core_kv_close(lua_State *L)
{
    struct script_store *store = luaL_checkudata(L, 1, STORE_TYPE);
    struct task *t;

    if (store->kv == NULL) {
        return 0;
    }
    t = task_current(L);
    kv_close(&store->kv, waiting(t));
    return task_wait(t, TASK_WAITING, L, nothing);
}

static int store_gc(lua_State *L)
{
    struct script_store *store = lua_touserdata(L, 1);

    kv_close(&store->kv, NULL);
    return 0;
}

void core_add_store(struct core_names *names)
{
    static const luaL_Reg functions[] = {
        {"kv_open", core_kv_open},
        {"kv_get", core_kv_get},
        {"kv_put", core_kv_put},
        {"kv_put_new", core_kv_put_new},
        {"kv_remove", core_kv_remove},
        {"kv_close", core_kv_close},
        {NULL, NULL},
    };

    core_offer(names, functions);
}
