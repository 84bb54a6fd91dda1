/* How a state has only what it uses: fields that are found on first use, modules that are not kept.
 */
#include <lauxlib.h>
#include <string.h>

#include "script/core.h"
#include "script/state.h"

/* Pushes what "module:field", or "module" alone, names. */
static void push_named(lua_State *L, const char *where)
{
    const char *colon = strchr(where, ':');

    if (colon == NULL) {
        core_require(L, where);
        return;
    }
    core_require(L, lua_pushlstring(L, where, (size_t)(colon - where)));
    lua_getfield(L, -1, colon + 1);
}

static const char standing_key; /* its address is the key */

void core_drop_standing(lua_State *L)
{
    lua_pushboolean(L, false); /* the place in the registry stays */
    lua_rawsetp(L, LUA_REGISTRYINDEX, &standing_key);
}

void core_stand_by(lua_State *L)
{
    static const char *const names[] = {"titan.class.loading", "titan.class.plain",
                                        "titan.class.source", "titan.worker.starting", NULL};

    lua_createtable(L, 0, 4);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &standing_key);
    for (const char *const *name = names; *name != NULL; name++) {
        core_load(L, *name);
        lua_setfield(L, -2, *name);
    }
    lua_pop(L, 1);
}

void core_push_used(lua_State *L, const char *name)
{
    int top = lua_gettop(L);

    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    if (lua_getfield(L, -1, name) == LUA_TNIL &&
        (lua_rawgetp(L, LUA_REGISTRYINDEX, &standing_key) != LUA_TTABLE ||
         lua_getfield(L, -1, name) == LUA_TNIL)) {
        core_load(L, name);
    }
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
}

/* use(name) -> what an embedded module returns: the one that is loaded or stands by, if one does;
 * else it is loaded for this once, and can be collected when nobody holds on to what it made. */
static int core_use(lua_State *L)
{
    core_push_used(L, luaL_checkstring(L, 1));
    return 1;
}

/* started(): nothing stands by any more */
static int core_started(lua_State *L)
{
    core_drop_standing(L);
    return 0;
}

/* briefly(is): whether what is made from here on, but for strings, is soon dropped, until a state
 * of Titan's has come to rest after its start. No promise: who holds on to it pays with more
 * memory. */
static int core_briefly(lua_State *L)
{
    struct state_memory *memory = state_memory_of(L);

    if (memory != NULL) {
        (void)state_make(memory, lua_toboolean(L, 1) ? STATE_BRIEF : STATE_LASTING);
    }
    return 0;
}

/* __index(table, key): the fields, or the name of the module that returns them, are an upvalue. */
static int find_later(lua_State *L)
{
    lua_settop(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    if (lua_type(L, 3) == LUA_TSTRING) {
        lua_pushcfunction(L, core_use);
        lua_insert(L, 3);
        lua_call(L, 1, 1);
    }
    lua_pushvalue(L, 2);
    if (lua_rawget(L, 3) != LUA_TSTRING) {
        return 0;
    }
    push_named(L, lua_tostring(L, -1));
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -2);
    lua_rawset(L, 1);
    return 1;
}

/* later(fields) -> a function to be __index: `fields`, or what the embedded module of that name
 * returns, has for each name where it is: "titan.tasks:go", or a module alone. What was found is
 * kept in the table. */
static int core_later(lua_State *L)
{
    luaL_argexpected(L, lua_istable(L, 1) || lua_type(L, 1) == LUA_TSTRING, 1, "table or string");
    lua_settop(L, 1);
    lua_pushcclosure(L, find_later, 1);
    return 1;
}

void core_add_later(struct core_names *names)
{
    static const luaL_Reg functions[] = {{"later", core_later},
                                         {"use", core_use},
                                         {"started", core_started},
                                         {"briefly", core_briefly},
                                         {NULL, NULL}};

    core_offer(names, functions);
}
