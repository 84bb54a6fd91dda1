/* How a guest's state comes to be, up to where it stands by for a thread or its zygote is warm. */
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "script/core.h"
#include "script/guest.h"
#include "script/libraries.h"

/* (guest, whether it is one of many, on a thread) */
static int open_state(lua_State *L)
{
    struct guest *g = lua_touserdata(L, 1);

    guest_register(L, g);
    if (lua_toboolean(L, 2)) {
        libraries_open_lean(L);
    } else {
        luaL_openlibs(L);
    }
    g->runtime = runtime_bare(L);
    coroutines_open(L); /* keeps the runtime that there is */
    core_preload(L);
    core_require(L, "titan"); /* the module of every worker asks for it */
    lua_pop(L, 1);
    core_require(L, "titan.worker");
    g->lua_main = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

int guest_open(struct guest *g, struct chunks *chunks, struct failure *why)
{
    memset(g, 0, sizeof *g);
    g->methods = LUA_NOREF;
    g->by_name = LUA_NOREF;
    g->keyed = LUA_NOREF;
    g->self = LUA_NOREF;
    g->handler = LUA_NOREF;
    g->refuse = LUA_NOREF;
    g->cancelled = LUA_NOREF;
    g->L = state_new(&g->memory, chunks);
    if (g->L == NULL) {
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    lua_pushcfunction(g->L, open_state);
    lua_pushlightuserdata(g->L, g);
    lua_pushboolean(g->L, chunks != NULL);
    if (lua_pcall(g->L, 2, 0, 0) != LUA_OK) {
        fail(why, TITAN_E_SPAWN_FAILED, "%s", lua_tostring(g->L, -1));
        guest_close(g);
        return why->code;
    }
    return TITAN_OK;
}

/* What a start leaves behind in tables that last, or holds on to, is made before all that it drops;
 * of strings only the long ones (state.c) need it. */
static void push_lasting(lua_State *L)
{
    static const char *const functions[] = {"briefly",      "current",      "file_at", "file_of",
                                            "go",           "limit_memory", "started", "use",
                                            "worker_serve", "worker_ready", NULL};

    core_drop_standing(L);
    core_require(L, "titan.core");
    for (const char *const *name = functions; *name != NULL; name++) {
        lua_getfield(L, -1, *name);
        lua_pop(L, 1);
    }
    lua_pushliteral(L, "the caller no longer waits");
}

/* (guest) */
static int stand_by(lua_State *L)
{
    const struct guest *g = lua_touserdata(L, 1);

    push_lasting(L);
    (void)state_make(g->memory, STATE_BRIEF_STRINGS);
    core_stand_by(L);
    return 0;
}

void guest_stand_by(struct guest *g)
{
    lua_gc(g->L, LUA_GCCOLLECT); /* what is made now finds room where the libraries' code was */
    lua_pushcfunction(g->L, stand_by);
    lua_pushlightuserdata(g->L, g);
    if (lua_pcall(g->L, 1, 0, 0) != LUA_OK) {
        lua_pop(g->L, 1);
    }
    (void)state_make(g->memory, STATE_LASTING);
    lua_gc(g->L, LUA_GCCOLLECT);
}

/* (guest, mailbox or nil) */
static int settle(lua_State *L)
{
    const struct guest *g = lua_touserdata(L, 1);

    runtime_settle(L, g->runtime, lua_touserdata(L, 2));
    return 0;
}

int guest_settle(struct guest *g, struct mailbox *mail, struct failure *why)
{
    lua_pushcfunction(g->L, settle);
    lua_pushlightuserdata(g->L, g);
    lua_pushlightuserdata(g->L, mail);
    if (lua_pcall(g->L, 2, 0, 0) != LUA_OK) {
        fail(why, TITAN_E_SPAWN_FAILED, "%s", lua_tostring(g->L, -1));
        lua_pop(g->L, 1);
        return why->code;
    }
    return TITAN_OK;
}

void guest_close(struct guest *g)
{
    if (g->L != NULL) {
        state_close(g->L, g->memory);
        g->L = NULL;
    }
}
