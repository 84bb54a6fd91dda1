#include "script/libraries.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stddef.h>

#include "script/thread_output.h"

static const luaL_Reg now[] = {
    {LUA_GNAME, luaopen_base},          {LUA_LOADLIBNAME, luaopen_package},
    {LUA_COLIBNAME, luaopen_coroutine}, {LUA_TABLIBNAME, luaopen_table},
    {LUA_STRLIBNAME, luaopen_string},   {NULL, NULL},
};

static const luaL_Reg later[] = {
    {LUA_DBLIBNAME, luaopen_debug},  {LUA_IOLIBNAME, thread_output_open_io},
    {LUA_MATHLIBNAME, luaopen_math}, {LUA_OSLIBNAME, thread_output_open_os},
    {LUA_UTF8LIBNAME, luaopen_utf8}, {NULL, NULL},
};

/* The metatable of them all, which has each library's table at its number in `later`. */
static const char metatable_key; /* its address is the key */

/* The number of the library whose table is at 1; 0 when it is none, or complete. */
static int number_of(lua_State *L, int metatable)
{
    for (int i = 1; later[i - 1].name != NULL; i++) {
        bool found = lua_rawgeti(L, metatable, i) == LUA_TTABLE && lua_rawequal(L, 1, -1);

        lua_pop(L, 1);
        if (found) {
            return i;
        }
    }
    return 0;
}

/* Into the table at 1, from the one at the top. */
static void copy_missing(lua_State *L)
{
    int from = lua_gettop(L);

    lua_pushnil(L);
    while (lua_next(L, from) != 0) {
        lua_pushvalue(L, -2);
        if (lua_rawget(L, 1) == LUA_TNIL) {
            lua_pushvalue(L, -3);
            lua_pushvalue(L, -3);
            lua_rawset(L, 1);
        }
        lua_pop(L, 2);
    }
}

/* What raises in its middle is done again at the next look. */
static void complete(lua_State *L)
{
    int metatable = lua_gettop(L) + 1;
    int number;

    lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable_key);
    number = number_of(L, metatable);
    if (number > 0) {
        lua_pushcfunction(L, later[number - 1].func);
        lua_pushstring(L, later[number - 1].name);
        lua_call(L, 1, 1);
        copy_missing(L);
        lua_pushnil(L);
        lua_setmetatable(L, 1);
        lua_pushboolean(L, false);
        lua_rawseti(L, metatable, number);
    }
    lua_settop(L, metatable - 1);
}

/* __index(library, key) */
static int find(lua_State *L)
{
    lua_settop(L, 2);
    complete(L);
    lua_rawget(L, 1);
    return 1;
}

static int next(lua_State *L)
{
    lua_settop(L, 2);
    if (lua_next(L, 1) != 0) {
        return 2;
    }
    lua_pushnil(L);
    return 1;
}

/* __pairs(library) */
static int pairs(lua_State *L)
{
    lua_settop(L, 1);
    complete(L);
    lua_pushcfunction(L, next);
    lua_pushvalue(L, 1);
    return 2;
}

/* The empty table of the one that was asked for by name. */
static int open_later(lua_State *L)
{
    lua_createtable(L, 0, 0);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable_key);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, luaL_len(L, -2) + 1);
    lua_setmetatable(L, -2);
    return 1;
}

void libraries_open_lean(lua_State *L)
{
    for (const luaL_Reg *library = now; library->name != NULL; library++) {
        luaL_requiref(L, library->name, library->func, true);
        lua_pop(L, 1);
    }
    lua_createtable(L, (int)(sizeof later / sizeof later[0]) - 1, 2);
    lua_pushcfunction(L, find);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, pairs);
    lua_setfield(L, -2, "__pairs");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &metatable_key);
    for (const luaL_Reg *library = later; library->name != NULL; library++) {
        luaL_requiref(L, library->name, open_later, true);
        lua_pop(L, 1);
    }
    thread_output_open_print(L);
}
