/* Where code was loaded from: of debug.getinfo what a class has to know of itself, without the
 * library, which most states never need. */
#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>

#include "script/core.h"

/* Pushes the path of the file; false for code that came from none, nil for C. */
static int push_file(lua_State *L, const lua_Debug *ar)
{
    if (strcmp(ar->what, "C") == 0) {
        lua_pushnil(L);
    } else if (ar->source[0] == '@') {
        lua_pushstring(L, ar->source + 1);
    } else {
        lua_pushboolean(L, false);
    }
    return 1;
}

/* file_at(level) -> the file of what is so many calls above the function that asks, 1 for its
 * caller; false for code without a file; nil when the stack cannot tell: a tail call leaves no
 * trace of who made it. */
static int core_file_at(lua_State *L)
{
    lua_Integer level = luaL_checkinteger(L, 1);
    lua_Debug ar;

    for (int frame = 1; frame <= level; frame++) { /* 0 is this function */
        if (!lua_getstack(L, frame, &ar) || !lua_getinfo(L, "t", &ar) || ar.istailcall) {
            return 0;
        }
    }
    if (!lua_getstack(L, (int)level + 1, &ar) || !lua_getinfo(L, "S", &ar)) {
        return 0;
    }
    return push_file(L, &ar);
}

/* file_of(fn) -> the file that it stands in; false for code without one; nil for C */
static int core_file_of(lua_State *L)
{
    lua_Debug ar;

    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    (void)lua_getinfo(L, ">S", &ar);
    return push_file(L, &ar);
}

void core_add_source(struct core_names *names)
{
    static const luaL_Reg functions[] = {
        {"file_at", core_file_at}, {"file_of", core_file_of}, {NULL, NULL}};

    core_offer(names, functions);
}
