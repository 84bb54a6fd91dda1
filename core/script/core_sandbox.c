/* What lua/titan/worker/sandbox.lua needs, as Lua functions. Both only take away. */
#include <lauxlib.h>
#include <string.h>

#include "script/core.h"
#include "script/runtime.h"
#include "spawn/environment.h"
#include "spawn/sandbox.h"

/* The strings of the list at `index`, which keeps them alive. Leaves one value on the stack. */
static const char *const *check_strings(lua_State *L, int index, size_t *count)
{
    const char **strings;

    luaL_checktype(L, index, LUA_TTABLE);
    *count = (size_t)luaL_len(L, index);
    strings = lua_newuserdatauv(L, (*count + 1) * sizeof *strings, 0);
    for (size_t i = 0; i < *count; i++) {
        lua_rawgeti(L, index, (lua_Integer)i + 1);
        luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, index, "a list of strings");
        strings[i] = lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    return strings;
}

static bool flag(lua_State *L, const char *name)
{
    bool v;

    lua_getfield(L, 1, name);
    v = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return v;
}

/* Of the table at 1, which keeps it alive. */
static const char *text(lua_State *L, const char *name)
{
    const char *v;

    lua_getfield(L, 1, name);
    v = luaL_optstring(L, -1, NULL);
    lua_pop(L, 1);
    return v;
}

static int push_report(lua_State *L, const struct sandbox_report *report)
{
    lua_createtable(L, 0, 3);
    lua_pushboolean(L, report->seccomp);
    lua_setfield(L, -2, "seccomp");
    if (report->landlock_abi > 0) {
        lua_pushinteger(L, report->landlock_abi);
    } else {
        lua_pushboolean(L, 0);
    }
    lua_setfield(L, -2, "landlock");
    if (report->missing[0] != '\0') {
        lua_pushstring(L, report->missing);
        lua_setfield(L, -2, "missing");
    }
    return 1;
}

/* sandbox_apply{filesystem =, network =, spawn =, best_effort =, user =, group = (texts or nil),
 * readable = {path, ...}} -> {seccomp = boolean, landlock = its ABI or false, missing = text or
 * nil}; raises spawn_failed. */
static int core_sandbox_apply(lua_State *L)
{
    static const char *const filesystems[] = {"read-write", "read-only", "none", NULL};
    struct sandbox_options o = {0};
    struct sandbox_kernel kernel;
    struct sandbox_report report;
    struct failure why;

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    o.network = flag(L, "network");
    o.spawn = flag(L, "spawn");
    o.best_effort = flag(L, "best_effort");
    o.user = text(L, "user");
    o.group = text(L, "group");
    lua_getfield(L, 1, "filesystem");
    o.filesystem = (enum sandbox_filesystem)luaL_checkoption(L, -1, NULL, filesystems);
    lua_getfield(L, 1, "readable");
    o.readable = check_strings(L, lua_gettop(L), &o.readable_count);
    sandbox_probe(&kernel);
    return sandbox_apply(&o, &kernel, &report, &why) < 0 ? script_raise(L, &why)
                                                         : push_report(L, &report);
}

/* environment_keep{name, ...}: the process loses every other variable; raises spawn_failed */
static int core_environment_keep(lua_State *L)
{
    struct failure why;
    size_t count;
    const char *const *names = check_strings(L, 1, &count);

    return environment_keep(names, count, &why) < 0 ? script_raise(L, &why) : 0;
}

void core_add_sandbox(struct core_names *names)
{
    static const luaL_Reg functions[] = {
        {"sandbox_apply", core_sandbox_apply},
        {"environment_keep", core_environment_keep},
        {NULL, NULL},
    };

    core_offer(names, functions);
}
