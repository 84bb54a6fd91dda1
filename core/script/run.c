/* titan_run_script: a lua_State that runs one script. lua/titan/run.lua is the part in Lua. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>

#include "script/core.h"
#include "script/runtime.h"
#include "script/state.h"
#include "titan.h"

struct script_args {
    int argc;
    char **argv;
};

/* require("titan.run").script(argv...) -> exit code */
static int run_script(lua_State *L)
{
    const struct script_args *args = lua_touserdata(L, 1);

    luaL_openlibs(L);
    core_preload(L);
    lua_getglobal(L, "require");
    lua_pushstring(L, "titan.run");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "script");
    luaL_checkstack(L, args->argc + 2, "too many arguments");
    for (int i = 0; i < args->argc; i++) {
        lua_pushstring(L, args->argv[i]);
    }
    lua_call(L, args->argc, 1);
    return 1;
}

int titan_run_script(int argc, char **argv)
{
    struct script_args args = {argc, argv};
    struct state_memory *memory;
    lua_State *L = state_new(&memory, NULL);
    int code = 1;

    if (L == NULL) {
        fprintf(stderr, "titan: out of memory\n");
        return 1;
    }
    lua_pushcfunction(L, run_script);
    lua_pushlightuserdata(L, &args);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK) {
        code = (int)lua_tointeger(L, -1);
    } else {
        script_report(L, -1, "error");
    }
    state_close(L, memory);
    return code;
}
