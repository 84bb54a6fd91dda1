/* What lua/titan/worker.lua needs inside a worker, as Lua functions. */
#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "script/call.h"
#include "script/core.h"
#include "script/guest.h"
#include "script/pump.h"
#include "script/route.h"
#include "script/value.h"

/* Takes the field into the registry, in the place of what was there. */
static void keep_field(lua_State *L, const char *name, int *ref)
{
    luaL_unref(L, LUA_REGISTRYINDEX, *ref);
    lua_getfield(L, 1, name);
    *ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

static uint32_t limit(lua_State *L, const char *name)
{
    lua_Integer v;

    lua_getfield(L, 1, "limits");
    lua_getfield(L, -1, name);
    v = luaL_checkinteger(L, -1);
    lua_pop(L, 2);
    return (uint32_t)v;
}

static void name_methods(lua_State *L, struct status_page *page)
{
    lua_getfield(L, 1, "names");
    for (lua_Integer i = 1; i <= luaL_len(L, -1); i++) {
        lua_rawgeti(L, -1, i);
        status_name_method(page, (uint32_t)i - 1, luaL_checkstring(L, -1));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* worker_serve{methods = {f, ...}, names = {name, ...}, by_name = {name -> id from 0},
 * keyed = {id -> true of those that are idempotent by key}, self =,
 * handler = f(err) -> error map, refuse = f(name) -> error, cancelled = the error of a cancelled
 * call, limits =, latencies = whether to keep them}: what requests are answered with from now on.
 */
static int worker_serve(lua_State *L)
{
    struct guest *g = guest_check(L);

    luaL_checktype(L, 1, LUA_TTABLE);
    keep_field(L, "methods", &g->methods);
    keep_field(L, "by_name", &g->by_name);
    keep_field(L, "keyed", &g->keyed);
    keep_field(L, "self", &g->self);
    keep_field(L, "handler", &g->handler);
    keep_field(L, "refuse", &g->refuse);
    keep_field(L, "cancelled", &g->cancelled);
    name_methods(L, g->worker.status);
    lua_getfield(L, 1, "latencies");
    status_store(g->worker.status->keeps_latencies, (uint32_t)lua_toboolean(L, -1));
    lua_pop(L, 1);
    g->worker.data.limits.frame = limit(L, "frame");
    g->worker.data.limits.nesting = limit(L, "nesting");
    g->worker.data.limits.outstanding = limit(L, "outstanding");
    g->runtime->status = g->worker.status;
    return 0;
}

static int with_payload(lua_State *L, void (*tell)(struct worker *w, struct span payload))
{
    struct guest *g = guest_check(L);
    struct buf b = {0};
    struct failure why;
    int code = value_encode(L, 1, &g->worker.control.limits, &b, &why);

    if (code == TITAN_OK) {
        tell(&g->worker, (struct span){buf_front(&b), buf_len(&b)});
    }
    buf_free(&b);
    return code == TITAN_OK ? 0 : script_raise(L, &why);
}

/* worker_declared(payload): titan.worker.proceed() is called when the manager agrees */
static int worker_declared_lua(lua_State *L)
{
    return with_payload(L, worker_declared);
}

/* worker_ready(payload), worker_failed(error map): the end of the start, one of the two */
static int worker_ready_lua(lua_State *L)
{
    return with_payload(L, worker_ready);
}

static int worker_failed_lua(lua_State *L)
{
    return with_payload(L, worker_failed);
}

/* worker_hooks_done(): the shutdown hooks have run */
static int worker_hooks_done_lua(lua_State *L)
{
    worker_hooks_done(&guest_check(L)->worker);
    return 0;
}

static int service_call(lua_State *L)
{
    struct guest *g = guest_check(L);
    const char *service = lua_tostring(L, lua_upvalueindex(CALL_PROCESS));
    struct peer *direct;

    call_check_self(L);
    direct = route_to(g, service);
    return direct ? call_send(L, direct, NULL) : call_send(L, &g->worker.data, service);
}

static int service_tell(lua_State *L)
{
    call_check_self(L);
    return call_tell(L, &guest_check(L)->worker.data,
                     lua_tostring(L, lua_upvalueindex(CALL_PROCESS)));
}

static int push_method(lua_State *L, lua_CFunction call)
{
    (void)guest_check(L);
    lua_settop(L, CALL_UPVALUES - 1);
    lua_pushnil(L);
    lua_insert(L, CALL_METHOD_ID);
    lua_pushcclosure(L, call, CALL_UPVALUES);
    return 1;
}

/* service_method(nil, proxy, method, service, timeout_ms, header or nil) -> function */
static int service_method(lua_State *L)
{
    return push_method(L, service_call);
}

/* service_teller(nil, proxy, method, service, 0, header or nil) -> function that does not wait, and
 * says nothing of what the service answers */
static int service_teller(lua_State *L)
{
    return push_method(L, service_tell);
}

/* is_worker() -> boolean */
static int is_worker(lua_State *L)
{
    lua_pushboolean(L, guest_of(L) != NULL);
    return 1;
}

/* chdir(path), setenv(name, value or nil): true, or nil and why not */
static int os_result(lua_State *L, int code)
{
    if (code == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, strerror(errno));
    return 2;
}

/* The environment and the directory are the process's: of a worker on a thread, everybody's. */
static void check_own_process(lua_State *L, const char *what)
{
    const struct guest *g = guest_of(L);

    if (g != NULL && g->thread != NULL) {
        luaL_error(L, "%s belongs to the whole process; this worker shares it (isolation)", what);
    }
}

static int core_chdir(lua_State *L)
{
    check_own_process(L, "the working directory");
    return os_result(L, chdir(luaL_checkstring(L, 1)));
}

static int core_setenv(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);

    check_own_process(L, "the environment");
    return os_result(L, lua_isnoneornil(L, 2) ? unsetenv(name)
                                              : setenv(name, luaL_checkstring(L, 2), 1));
}

void core_add_worker(struct core_names *names)
{
    static const luaL_Reg functions[] = {
        {"worker_serve", worker_serve},
        {"worker_declared", worker_declared_lua},
        {"worker_ready", worker_ready_lua},
        {"worker_failed", worker_failed_lua},
        {"worker_hooks_done", worker_hooks_done_lua},
        {"service_method", service_method},
        {"service_teller", service_teller},
        {"stream_items", core_stream_items},
        {"is_worker", is_worker},
        {"chdir", core_chdir},
        {"setenv", core_setenv},
        {NULL, NULL},
    };

    core_offer(names, functions);
}
