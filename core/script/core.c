#include "script/core.h"

#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <luv/luv.h>
#include <stdlib.h>
#include <string.h>

#include "script/embedded.h"
#include "script/runtime.h"
#include "script/state.h"
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

/* ---- the functions by name ---- */

struct core_names {
    lua_State *L;
    const char *wanted;  /* NULL: all are put into the list at the top */
    lua_CFunction found; /* NULL: not yet */
};

void core_offer(struct core_names *names, const luaL_Reg *functions)
{
    for (const luaL_Reg *f = functions; f->name != NULL; f++) {
        if (names->wanted == NULL) {
            lua_pushstring(names->L, f->name);
            lua_rawseti(names->L, -2, luaL_len(names->L, -2) + 1);
        } else if (strcmp(f->name, names->wanted) == 0) {
            names->found = f->func;
        }
    }
}

static int core_names(lua_State *L);
static int core_embedded_loader(lua_State *L);

static void ask_all(struct core_names *names)
{
    static const luaL_Reg functions[] = {
        {"suggest", core_suggest},
        {"encode", core_encode},
        {"decode", core_decode},
        {"encode_list", core_encode_list},
        {"decode_list", core_decode_list},
        {"passed", core_passed},
        {"realpath", core_realpath},
        {"names", core_names},
        {"embedded_loader", core_embedded_loader},
        {NULL, NULL},
    };

    core_offer(names, functions);
    core_add_clock(names);
    core_add_tasks(names);
    core_add_scope(names);
    core_add_limits(names);
    core_add_manager(names);
    core_add_worker(names);
    core_add_sandbox(names);
    core_add_digest(names);
    core_add_resilience(names);
    core_add_series(names);
    core_add_store(names);
    core_add_trace(names);
    core_add_buffer(names);
    core_add_later(names);
    core_add_source(names);
}

/* names() -> a list of the names of all functions */
static int core_names(lua_State *L)
{
    struct core_names names = {.L = L};

    lua_newtable(L);
    ask_all(&names);
    return 1;
}

/* __index(core, name): looks once for each name. */
static int core_find(lua_State *L)
{
    struct core_names names = {.L = L};

    if (lua_type(L, 2) != LUA_TSTRING) {
        return 0;
    }
    names.wanted = lua_tostring(L, 2);
    ask_all(&names);
    if (names.found == NULL) {
        return 0;
    }
    lua_pushcfunction(L, names.found);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -2);
    lua_rawset(L, 1);
    return 1;
}

static int open_core(lua_State *L)
{
    lua_newtable(L);
    lua_pushstring(L, titan_version());
    lua_setfield(L, -2, "version");
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, core_find);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    return 1;
}

void core_set_type(lua_State *L, const char *type, const luaL_Reg *metamethods)
{
    if (luaL_getmetatable(L, type) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        if (metamethods != NULL) {
            luaL_setfuncs(L, metamethods, 0);
        }
        lua_pushstring(L, type);
        lua_setfield(L, -2, "__name");
        lua_pushvalue(L, -1);
        lua_setfield(L, LUA_REGISTRYINDEX, type); /* now that it is complete */
    }
    lua_setmetatable(L, -2);
}

/* ---- embedded modules ---- */

/* luv on this state's own loop, whichever of the two is asked for first. */
static int open_luv(lua_State *L)
{
    struct runtime *rt = runtime_of(L);

    (void)runtime_loop(L, rt);
    rt->has_luv = true;
    return luaopen_luv(L);
}

/* As lua_load. The code of what is not kept is soon dropped. */
static int load_code(lua_State *L, const struct embedded_module *m, bool is_kept)
{
    struct state_memory *memory = is_kept ? NULL : state_memory_of(L);
    enum state_span before = memory != NULL ? state_make(memory, STATE_BRIEF) : STATE_LASTING;
    int status;

    if (before == STATE_BRIEF_STRINGS) {
        (void)state_make(memory, before);
    }
    status = luaL_loadbufferx(L, (const char *)m->code, m->len, m->name, "b");
    if (memory != NULL) {
        (void)state_make(memory, before);
    }
    return status;
}

/* The loader of an embedded module, called with its name, and with `false` if it is not kept. */
static int load_embedded(lua_State *L)
{
    const struct embedded_module *m = embedded_find(luaL_checkstring(L, 1));
    bool is_kept = !lua_isboolean(L, 2) || lua_toboolean(L, 2);

    if (m == NULL) { /* it was asked for under another name */
        return luaL_error(L, "titan: there is no module %s", lua_tostring(L, 1));
    }
    if (load_code(L, m, is_kept) != LUA_OK) {
        return lua_error(L);
    }
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

/* NULL when the name is none of ours. */
static lua_CFunction loader_of(const char *name)
{
    if (strcmp(name, "luv") == 0) {
        return open_luv;
    }
    if (strcmp(name, "titan.core") == 0) {
        return open_core;
    }
    return embedded_find(name) != NULL ? load_embedded : NULL;
}

/* embedded_loader(name) -> the loader of a module of ours, or nil */
static int core_embedded_loader(lua_State *L)
{
    lua_CFunction loader = loader_of(luaL_checkstring(L, 1));

    lua_pushnil(L);
    if (loader != NULL) {
        lua_pushcfunction(L, loader);
    }
    return 1;
}

/* A searcher of package.searchers: name -> loader, or nothing. In place of a function for each
 * module in package.preload, which would cost every state some 15 KB. */
static int search_embedded(lua_State *L)
{
    lua_CFunction loader = loader_of(luaL_checkstring(L, 1));

    if (loader == NULL) {
        return 0;
    }
    lua_pushcfunction(L, loader);
    lua_pushliteral(L, ":titan:");
    return 2;
}

/* Behind package.preload and before everything else. */
void core_preload(lua_State *L)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, LUA_LOADLIBNAME);
    lua_getfield(L, -1, "searchers");
    for (lua_Integer i = luaL_len(L, -1); i > 1; i--) {
        lua_rawgeti(L, -1, i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushcfunction(L, search_embedded);
    lua_rawseti(L, -2, 2);
    lua_pop(L, 3);
}

static void load(lua_State *L, const char *name, bool is_kept)
{
    lua_CFunction loader = loader_of(name);

    if (loader == NULL) {
        luaL_error(L, "titan: there is no module %s", name);
    }
    lua_pushcfunction(L, loader);
    lua_pushstring(L, name);
    lua_pushboolean(L, is_kept);
    lua_call(L, 2, 1);
}

void core_load(lua_State *L, const char *name)
{
    load(L, name, false);
}

void core_require(lua_State *L, const char *name)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    if (lua_getfield(L, -1, name) == LUA_TNIL) {
        lua_pop(L, 1);
        load(L, name, true);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, name);
    }
    lua_remove(L, -2);
}

int luaopen_titan(lua_State *L)
{
    core_preload(L);
    core_require(L, "titan");
    return 1;
}
