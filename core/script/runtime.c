#include "script/runtime.h"

#include <lauxlib.h>
#include <luv/luv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script/core.h"
#include "script/task.h"

static const char registry_key; /* its address is the key */

/* ---- errors ---- */

void script_push_error(lua_State *L, int code, const char *message, const char *process,
                       const char *method)
{
    core_require(L, "titan.errors");
    lua_getfield(L, -1, "new");
    lua_remove(L, -2);
    lua_pushstring(L, titan_error_name(code));
    lua_pushstring(L, message);
    lua_createtable(L, 0, 2);
    lua_pushstring(L, process);
    lua_setfield(L, -2, "process");
    lua_pushstring(L, method);
    lua_setfield(L, -2, "method");
    lua_call(L, 3, 1);
}

int script_raise(lua_State *L, const struct failure *why)
{
    script_push_error(L, why->code, why->message, NULL, NULL);
    return lua_error(L);
}

void script_fail(lua_State *L, const char *message)
{
    luaL_error(L, "%s", message);
    abort(); /* not reached */
}

static int to_text(lua_State *L)
{
    luaL_tolstring(L, 1, NULL);
    return 1;
}

void script_report(lua_State *L, int index, const char *where)
{
    index = lua_absindex(L, index);
    lua_pushcfunction(L, to_text);
    lua_pushvalue(L, index);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK || lua_type(L, -1) != LUA_TSTRING) {
        fprintf(stderr, "titan: %s: an error object that cannot be shown\n", where);
    } else {
        fprintf(stderr, "titan: %s: %s\n", where, lua_tostring(L, -1));
    }
    lua_pop(L, 1);
}

/* ---- callbacks of luv ---- */

int script_traceback(lua_State *L)
{
    luaL_tolstring(L, 1, NULL);
    luaL_traceback(L, L, lua_tostring(L, -1), 1);
    return 1;
}

/* luv's own answer to an error in a callback is exit(-1) in the middle of everything. Ours is to
 * end the program in order: the error is the script's, uncaught. */
static int luv_callback(lua_State *L, int nargs, int nresults, int flags)
{
    int base = lua_gettop(L) - nargs;
    struct runtime *rt = runtime_of(L);
    int status;

    (void)flags;
    lua_pushcfunction(L, script_traceback);
    lua_insert(L, base);
    status = lua_pcall(L, nargs, nresults, base);
    lua_remove(L, base);
    if (status != LUA_OK) {
        task_uncaught(rt, L, -1, "in a callback");
        lua_pop(L, 1);
        return -status;
    }
    return lua_gettop(L) - base + 1;
}

/* ---- life ---- */

struct reactor *runtime_reactor(struct runtime *rt)
{
    if (!rt->reactor_open) {
        if (reactor_open(&rt->reactor, rt->uv) < 0) {
            luaL_error(rt->L, "titan: out of memory");
        }
        rt->reactor_open = true;
    }
    return &rt->reactor;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

static int runtime_gc(lua_State *L)
{
    struct runtime *rt = lua_touserdata(L, 1);

    tasks_close(rt);
    if (rt->reactor_open) {
        reactor_close(&rt->reactor);
        rt->reactor_open = false;
    }
    if (rt->owns_loop) {
        uv_walk(rt->uv, close_handle, NULL);
        while (uv_run(rt->uv, UV_RUN_NOWAIT) != 0) {
        }
        uv_loop_close(rt->uv);
        rt->owns_loop = false;
    }
    return 0;
}

static int runtime_new(lua_State *L)
{
    struct runtime *rt = lua_newuserdatauv(L, sizeof *rt, 0);

    memset(rt, 0, sizeof *rt);
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    rt->L = lua_tothread(L, -1);
    lua_pop(L, 1);
    tasks_open(rt);
    clock_open(rt);
    rt->uv = luv_loop(L);
    if (rt->uv == NULL) {
        if (uv_loop_init(&rt->own_loop) < 0) {
            return luaL_error(L, "titan: cannot make a loop: out of memory or descriptors");
        }
        rt->uv = &rt->own_loop;
        rt->owns_loop = true;
        luv_set_loop(L, rt->uv);
    }
    luv_set_callback(L, luv_callback);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, runtime_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    return 1;
}

struct runtime *runtime_of(lua_State *L)
{
    struct runtime *rt;

    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key) == LUA_TNIL) {
        lua_pop(L, 1);
        runtime_new(L);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
    }
    rt = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return rt;
}
