#include "script/buffer.h"

#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "base/copy.h"
#include "script/core.h"
#include "script/runtime.h"

/* Its address is a key of the registry. */
static const char metatable_key;

/* ---- making ---- */

static void push_metatable(lua_State *L);

const struct buffer *buffer_test(lua_State *L, int index)
{
    const struct buffer *b = lua_touserdata(L, index);
    bool is;

    if (b == NULL || !lua_getmetatable(L, index)) {
        return NULL;
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable_key);
    is = lua_istable(L, -1) && lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return is ? b : NULL;
}

void buffer_push(lua_State *L, struct shm *memory, size_t offset, size_t len)
{
    struct buffer *b = lua_newuserdatauv(L, sizeof *b, 0);

    memset(b, 0, sizeof *b);
    push_metatable(L);
    lua_setmetatable(L, -2);
    b->held = buffer_memory_hold(L, memory, len);
    b->memory = b->held->memory;
    b->offset = offset;
    b->len = len;
}

/* ---- arguments ---- */

static struct buffer *check(lua_State *L, int index)
{
    const struct buffer *b = buffer_test(L, index);

    if (b == NULL) {
        luaL_typeerror(L, index, "titan.buffer");
        return NULL; /* not reached */
    }
    return (struct buffer *)b;
}

static struct buffer *check_held(lua_State *L, int index)
{
    struct buffer *b = check(L, index);

    if (b->memory == NULL) {
        script_push_error(L, TITAN_E_DESTROYED, "the buffer has been released", NULL, NULL);
        lua_error(L);
    }
    return b;
}

static uint8_t *bytes_of(lua_State *L, const struct buffer *b)
{
    uint8_t *at = shm_at(b->memory);
    struct failure why;

    if (at == NULL) {
        fail(&why, TITAN_E_LIMIT_EXCEEDED, "no address space for a buffer of %zu bytes",
             b->memory->len);
        (void)script_raise(L, &why);
    }
    return at + b->offset;
}

static void out_of_range(lua_State *L, const struct buffer *b, lua_Integer pos, lua_Integer len)
{
    struct failure why;

    fail(&why, TITAN_E_VALIDATION_FAILED,
         "%lld bytes from position %lld on are not within the buffer, which has %zu bytes "
         "(positions count from 1)",
         (long long)len, (long long)pos, b->len);
    (void)script_raise(L, &why);
}

struct range {
    size_t at, len;
};

static struct range range_of(lua_State *L, const struct buffer *b, lua_Integer pos, lua_Integer len)
{
    if (pos < 1 || len < 0 || (lua_Unsigned)pos - 1 > b->len ||
        (lua_Unsigned)len > b->len - ((lua_Unsigned)pos - 1)) {
        out_of_range(L, b, pos, len);
    }
    return (struct range){(size_t)pos - 1, (size_t)len};
}

/* pos? (1) and len? (to the end) at `index` and the next. */
static struct range check_range(lua_State *L, int index, const struct buffer *b)
{
    lua_Integer pos = luaL_optinteger(L, index, 1);
    lua_Integer rest =
        pos >= 1 && (lua_Unsigned)pos - 1 <= b->len ? (lua_Integer)b->len - pos + 1 : 0;

    return range_of(L, b, pos, luaL_optinteger(L, index + 1, rest));
}

/* Where it is, for who reads or writes all of it. */
static uint8_t *range_at(lua_State *L, const struct buffer *b, struct range r)
{
    uint8_t *at = bytes_of(L, b);

    shm_prefault(b->memory, b->offset + r.at, r.len);
    return at + r.at;
}

static uint8_t check_byte(lua_State *L, int index)
{
    lua_Integer v = luaL_checkinteger(L, index);

    luaL_argcheck(L, v >= 0 && v <= UINT8_MAX, index, "a byte is between 0 and 255");
    return (uint8_t)v;
}

/* ---- methods ---- */

/* buffer:read(pos?, len?) -> string */
static int buffer_read(lua_State *L)
{
    const struct buffer *b = check_held(L, 1);
    struct range r = check_range(L, 2, b);

    lua_pushlstring(L, (const char *)range_at(L, b, r), r.len);
    return 1;
}

/* buffer:write(pos, string or buffer) -> buffer */
static int buffer_write(lua_State *L)
{
    const struct buffer *b = check_held(L, 1);
    lua_Integer pos = luaL_checkinteger(L, 2);
    const struct buffer *from = NULL;
    const uint8_t *bytes;
    struct range r;
    size_t len;

    if (buffer_test(L, 3) != NULL) {
        from = check_held(L, 3);
        bytes = range_at(L, from, (struct range){0, from->len});
        len = from->len;
    } else {
        bytes = (const uint8_t *)luaL_checklstring(L, 3, &len);
    }
    r = range_of(L, b, pos, (lua_Integer)len);
    if (from == NULL || !shm_is_same(from->memory, b->memory)) {
        copy_much(range_at(L, b, r), bytes, len);
    } else {
        memmove(range_at(L, b, r), bytes, len);
    }
    lua_settop(L, 1);
    return 1;
}

/* buffer:byte(pos) -> 0 to 255 */
static int buffer_byte(lua_State *L)
{
    const struct buffer *b = check_held(L, 1);
    struct range r = range_of(L, b, luaL_checkinteger(L, 2), 1);

    lua_pushinteger(L, bytes_of(L, b)[r.at]);
    return 1;
}

/* buffer:set_byte(pos, 0 to 255) -> buffer */
static int buffer_set_byte(lua_State *L)
{
    const struct buffer *b = check_held(L, 1);
    struct range r = range_of(L, b, luaL_checkinteger(L, 2), 1);

    bytes_of(L, b)[r.at] = check_byte(L, 3);
    lua_settop(L, 1);
    return 1;
}

/* buffer:fill(byte?, pos?, len?) -> buffer */
static int buffer_fill(lua_State *L)
{
    const struct buffer *b = check_held(L, 1);
    uint8_t byte = lua_isnoneornil(L, 2) ? 0 : check_byte(L, 2);
    struct range r = check_range(L, 3, b);

    memset(range_at(L, b, r), byte, r.len);
    lua_settop(L, 1);
    return 1;
}

/* buffer:slice(pos?, len?) -> a buffer of the same memory, which it keeps */
static int buffer_slice(lua_State *L)
{
    const struct buffer *b = check_held(L, 1);
    struct range r = check_range(L, 2, b);

    buffer_push(L, b->memory, b->offset + r.at, r.len);
    return 1;
}

/* Calls string[name] with what is on the stack from `first` on. */
static void call_string(lua_State *L, const char *name, int first)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, LUA_STRLIBNAME);
    lua_getfield(L, -1, name);
    lua_insert(L, first);
    lua_pop(L, 2);
    lua_call(L, lua_gettop(L) - first, LUA_MULTRET);
}

/* buffer:pack(format, pos, ...) -> the position behind what string.pack made */
static int buffer_pack(lua_State *L)
{
    const struct buffer *b = check_held(L, 1);
    lua_Integer pos = luaL_checkinteger(L, 3);
    const char *bytes;
    struct range r;
    size_t len;

    luaL_checkstring(L, 2);
    lua_remove(L, 3);
    call_string(L, "pack", 2);
    bytes = luaL_checklstring(L, 2, &len);
    r = range_of(L, check_held(L, 1), pos, (lua_Integer)len);
    memcpy(bytes_of(L, b) + r.at, bytes, len);
    lua_pushinteger(L, pos + (lua_Integer)len);
    return 1;
}

static int pack_size(lua_State *L)
{
    call_string(L, "packsize", 1);
    return 1;
}

/* The bytes that a format takes, if it says so: one with strings in it does not. */
static bool size_of_format(lua_State *L, int format, lua_Integer *size)
{
    bool ok;

    lua_pushcfunction(L, pack_size);
    lua_pushvalue(L, format);
    ok = lua_pcall(L, 1, 1, 0) == LUA_OK;
    *size = ok ? lua_tointeger(L, -1) : 0;
    lua_pop(L, 1);
    return ok;
}

/* buffer:unpack(format, pos?) -> what string.unpack reads there, and the position behind it */
static int buffer_unpack(lua_State *L)
{
    const struct buffer *b = check_held(L, 1);
    lua_Integer pos = luaL_optinteger(L, 3, 1);
    lua_Integer size;
    struct range r;
    int top;

    luaL_checkstring(L, 2);
    lua_settop(L, 2);
    if (size_of_format(L, 2, &size)) {
        r = range_of(L, b, pos, size);
    } else {
        r = range_of(L, b, pos, 0);
        r.len = b->len - r.at;
    }
    lua_pushlstring(L, (const char *)bytes_of(L, b) + r.at, r.len);
    call_string(L, "unpack", 2);
    top = lua_gettop(L);
    lua_pushinteger(L, lua_tointeger(L, top) + pos - 1);
    lua_replace(L, top);
    return top - 1;
}

static int buffer_resize(lua_State *L)
{
    static const struct failure why = {
        TITAN_E_VALIDATION_FAILED,
        "a buffer keeps its length, since another process may be reading it: make another one with "
        "titan.buffer(len) and copy with other:write(1, buffer)",
    };

    (void)check(L, 1);
    return script_raise(L, &why);
}

static int let_go(lua_State *L, bool by_hand)
{
    struct buffer *b = check(L, 1);

    if (b->memory != NULL) {
        b->memory = NULL;
        buffer_memory_let_go(L, b->held, b->len, by_hand);
    }
    return 0;
}

static int buffer_release(lua_State *L)
{
    return let_go(L, true);
}

static int buffer_gc(lua_State *L)
{
    return let_go(L, false);
}

static int buffer_len(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)check_held(L, 1)->len);
    return 1;
}

static int buffer_tostring(lua_State *L)
{
    const struct buffer *b = check(L, 1);

    if (b->memory == NULL) {
        lua_pushliteral(L, "titan.buffer: released");
    } else {
        lua_pushfstring(L, "titan.buffer: %I bytes", (LUAI_UACINT)b->len);
    }
    return 1;
}

/* The same bytes of the same memory. */
static int buffer_eq(lua_State *L)
{
    const struct buffer *a = buffer_test(L, 1);
    const struct buffer *b = buffer_test(L, 2);

    lua_pushboolean(L, a != NULL && b != NULL && a->memory != NULL && b->memory != NULL &&
                           a->offset == b->offset && a->len == b->len &&
                           shm_is_same(a->memory, b->memory));
    return 1;
}

static void push_metatable(lua_State *L)
{
    static const luaL_Reg metamethods[] = {
        {"__len", buffer_len}, {"__tostring", buffer_tostring},
        {"__eq", buffer_eq},   {"__close", buffer_release},
        {"__gc", buffer_gc},   {NULL, NULL},
    };
    static const luaL_Reg methods[] = {
        {"read", buffer_read},
        {"write", buffer_write},
        {"byte", buffer_byte},
        {"set_byte", buffer_set_byte},
        {"fill", buffer_fill},
        {"slice", buffer_slice},
        {"pack", buffer_pack},
        {"unpack", buffer_unpack},
        {"resize", buffer_resize},
        {"release", buffer_release},
        {NULL, NULL},
    };

    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable_key) == LUA_TTABLE) {
        return;
    }
    lua_pop(L, 1);
    lua_newtable(L);
    luaL_setfuncs(L, metamethods, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "titan.buffer");
    lua_setfield(L, -2, "__name");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &metatable_key);
}

/* ---- core ---- */

/* When descriptors are out, those of garbage come free first. */
static struct shm *make(lua_State *L, size_t len)
{
    struct shm *memory = shm_new("titan-buffer", len);

    if (memory == NULL && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
        lua_gc(L, LUA_GCCOLLECT);
        buffer_memory_forget_idle(runtime_of(L));
        memory = shm_new("titan-buffer", len);
    }
    if (memory == NULL) {
        struct failure why;

        fail(&why, TITAN_E_LIMIT_EXCEEDED, "no memory for a buffer of %zu bytes: %s%s", len,
             strerror(errno),
             errno == EMFILE  ? " (each takes one; raise `ulimit -n`)"
             : errno == EFBIG ? " (rlimits.fsize counts for buffers, too)"
                              : "");
        (void)script_raise(L, &why);
    }
    return memory;
}

/* The reference of `memory` goes over to what is pushed. */
static int push_made(lua_State *L)
{
    struct shm *memory = lua_touserdata(L, 1);

    buffer_push(L, memory, 0, memory->len);
    return 1;
}

/* buffer(len or string) -> buffer */
static int core_buffer(lua_State *L)
{
    const char *bytes = NULL;
    struct shm *memory;
    size_t len;
    int status;

    if (lua_type(L, 1) == LUA_TSTRING) {
        bytes = lua_tolstring(L, 1, &len);
    } else {
        lua_Integer wanted = luaL_checkinteger(L, 1);

        luaL_argcheck(L, wanted >= 0, 1, "a length is not below zero");
        len = (size_t)wanted;
    }
    memory = make(L, len);
    lua_pushcfunction(L, push_made);
    lua_pushlightuserdata(L, memory);
    status = lua_pcall(L, 1, 1, 0);
    shm_unref(&memory);
    if (status != LUA_OK) {
        return lua_error(L);
    }
    if (bytes != NULL) {
        copy_much(range_at(L, check(L, -1), (struct range){0, len}), bytes, len);
    }
    return 1;
}

/* is_buffer(value) -> boolean */
static int core_is_buffer(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushboolean(L, buffer_test(L, 1) != NULL);
    return 1;
}

void core_add_buffer(struct core_names *names)
{
    static const luaL_Reg functions[] = {
        {"buffer", core_buffer},
        {"is_buffer", core_is_buffer},
        {NULL, NULL},
    };

    core_offer(names, functions);
}
