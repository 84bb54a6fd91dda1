/* How a state has only what it uses: fields that are found on first use, modules that are not kept.
 */
#include <lauxlib.h>
#include <string.h>

#include "script/core.h"

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

/* use(name) -> what an embedded module returns: the one that is loaded, if it is; else it is loaded
 * for this once, and can be collected when nobody holds on to what it made. */
static int core_use(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);

    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    if (lua_getfield(L, -1, name) == LUA_TNIL) {
        core_load(L, name);
    }
    return 1;
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
    static const luaL_Reg functions[] = {{"later", core_later}, {"use", core_use}, {NULL, NULL}};

    core_offer(names, functions);
}
