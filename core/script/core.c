#include "script/core.h"

#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <luv/luv.h>
#include <stdlib.h>
#include <string.h>

#include "script/embedded.h"
#include "script/runtime.h"
#include "script/value.h"
#include "titan.h"
#include "wire/mp_read.h"

/* suggest(word, names) -> the nearest name, or nil */
static int core_suggest(lua_State *L)
{
    const char *word = luaL_checkstring(L, 1);
    lua_Integer count = luaL_len(L, 2);
    const char **names = lua_newuserdatauv(L, ((size_t)count + 1) * sizeof(char *), 0);

    luaL_checkstack(L, (int)count + 2, "too many names");
    for (lua_Integer i = 0; i < count; i++) {
        lua_geti(L, 2, i + 1); /* stays on the stack, and so alive */
        names[i] = luaL_checkstring(L, -1);
    }
    lua_pushstring(L, titan_suggest(word, names, (size_t)count));
    return 1;
}

/* encode(value) -> bytes, decode(bytes) -> value: MessagePack as it goes over the wire. */
static int core_encode(lua_State *L)
{
    struct wire_limits limits = WIRE_LIMITS_DEFAULT;
    struct buf b = {0};
    struct failure why;
    int code;

    luaL_checkany(L, 1);
    code = value_encode(L, 1, &limits, &b, &why);
    if (code == TITAN_OK) {
        lua_pushlstring(L, (const char *)buf_front(&b), buf_len(&b));
    }
    buf_free(&b);
    return code == TITAN_OK ? 1 : script_raise(L, &why);
}

static int core_decode(lua_State *L)
{
    struct wire_limits limits = WIRE_LIMITS_DEFAULT;
    struct failure why;
    struct span bytes;

    bytes.at = (const uint8_t *)luaL_checklstring(L, 1, &bytes.len);
    return value_decode(L, bytes, limits.nesting, &why) == TITAN_OK ? 1 : script_raise(L, &why);
}

/* encode_list(what, ...) -> bytes: all the values, nils and the last ones too, which decode_list
 * gives back. They may be as deep as any connection lets them be. `what` is what one is called in
 * errors. */
static int core_encode_list(lua_State *L)
{
    struct wire_limits limits = WIRE_LIMITS_DEFAULT;
    const char *what = luaL_checkstring(L, 1);
    struct buf b = {0};
    struct failure why;
    int code;

    limits.nesting = MP_DEPTH_MAX - 1;
    code = value_encode_list(L, 2, lua_gettop(L) - 1, what, &limits, &b, &why);
    if (code == TITAN_OK) {
        lua_pushlstring(L, (const char *)buf_front(&b), buf_len(&b));
    }
    buf_free(&b);
    return code == TITAN_OK ? 1 : script_raise(L, &why);
}

static int core_decode_list(lua_State *L)
{
    struct failure why;
    struct span bytes;
    int count;

    bytes.at = (const uint8_t *)luaL_checklstring(L, 1, &bytes.len);
    count = value_decode_list(L, bytes, MP_DEPTH_MAX - 1, &why);
    return count < 0 ? script_raise(L, &why) : count;
}

static int release_cargo(lua_State *L)
{
    cargo_free(lua_touserdata(L, 1));
    return 0;
}

/* Pushes an empty one, which lets its pieces go when it is closed or collected. */
static struct cargo *push_cargo(lua_State *L)
{
    struct cargo *cargo = lua_newuserdatauv(L, sizeof *cargo, 0);

    memset(cargo, 0, sizeof *cargo);
    if (luaL_newmetatable(L, "titan.core.cargo")) {
        lua_pushcfunction(L, release_cargo);
        lua_setfield(L, -2, "__gc");
        lua_pushcfunction(L, release_cargo);
        lua_setfield(L, -2, "__close");
    }
    lua_setmetatable(L, -2);
    return cargo;
}

/* passed(what, frame_len, nesting, ...) -> the values as they would arrive at another process under
 * these limits, buffers by reference; raises what a call would. `what` is what a value is called
 * there. */
static int core_passed(lua_State *L)
{
    struct wire_limits limits = WIRE_LIMITS_DEFAULT;
    struct cargo *cargo = push_cargo(L);
    struct buf b = {0};
    struct failure why;
    struct span bytes = {NULL, 0};
    int code, count;

    lua_insert(L, 1);
    lua_toclose(L, 1);
    limits.frame = (uint32_t)luaL_checkinteger(L, 3);
    limits.nesting = (unsigned)luaL_checkinteger(L, 4);
    code = value_encode_with(L, 5, lua_gettop(L) - 4, luaL_checkstring(L, 2), &limits, &b, cargo,
                             &why);
    if (code == TITAN_OK && buf_len(&b) > limits.frame) {
        code = fail(&why, TITAN_E_LIMIT_EXCEEDED,
                    "the message is larger than a frame may be (limits.frame = %u bytes)",
                    limits.frame);
    }
    if (code == TITAN_OK) {
        lua_settop(L, 1);
        bytes.len = buf_len(&b);
        bytes.at = (const uint8_t *)lua_pushlstring(L, (const char *)buf_front(&b), bytes.len);
    }
    buf_free(&b);
    if (code < 0) {
        return script_raise(L, &why);
    }
    count = value_decode_with(L, bytes, limits.nesting, cargo, &why);
    return count < 0 ? script_raise(L, &why) : count;
}

/* realpath(path) -> the absolute path, or nil and why not */
static int core_realpath(lua_State *L)
{
    char path[PATH_MAX];

    if (realpath(luaL_checkstring(L, 1), path) == NULL) {
        lua_pushnil(L);
        lua_pushstring(L, strerror(errno));
        return 2;
    }
    lua_pushstring(L, path);
    return 1;
}

static int open_core(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"suggest", core_suggest},         {"encode", core_encode},
        {"decode", core_decode},           {"encode_list", core_encode_list},
        {"decode_list", core_decode_list}, {"passed", core_passed},
        {"realpath", core_realpath},       {NULL, NULL},
    };

    luaL_newlib(L, functions);
    lua_pushstring(L, titan_version());
    lua_setfield(L, -2, "version");
    core_add_clock(L);
    core_add_tasks(L);
    core_add_scope(L);
    core_add_manager(L);
    core_add_worker(L);
    core_add_digest(L);
    core_add_resilience(L);
    core_add_series(L);
    core_add_store(L);
    core_add_trace(L);
    core_add_stream(L);
    core_add_buffer(L);
    return 1;
}

/* The loader of an embedded module; its number is an upvalue. */
static int load_embedded(lua_State *L)
{
    const struct embedded_module *m = &embedded_modules[lua_tointeger(L, lua_upvalueindex(1))];
    const char *chunk = lua_pushfstring(L, "=%s", m->name);

    if (luaL_loadbufferx(L, (const char *)m->source, m->len, chunk, "t") != LUA_OK) {
        return lua_error(L);
    }
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

/* luv on this state's own loop, whichever of the two is asked for first. */
static int open_luv(lua_State *L)
{
    runtime_of(L);
    return luaopen_luv(L);
}

void core_preload(lua_State *L)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    for (size_t i = 0; i < embedded_module_count; i++) {
        lua_pushinteger(L, (lua_Integer)i);
        lua_pushcclosure(L, load_embedded, 1);
        lua_setfield(L, -2, embedded_modules[i].name);
    }
    lua_pushcfunction(L, open_core);
    lua_setfield(L, -2, "titan.core");
    lua_pushcfunction(L, open_luv);
    lua_setfield(L, -2, "luv");
    lua_pop(L, 1);
}

int luaopen_titan(lua_State *L)
{
    core_preload(L);
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_getfield(L, -1, "titan");
    lua_pushstring(L, "titan");
    lua_call(L, 1, 1);
    return 1;
}
