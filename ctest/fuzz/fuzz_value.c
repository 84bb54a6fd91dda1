/*
 * Any bytes as a value and as a list of values in a Lua state: what can be decoded can be encoded
 * again, and what that decodes to is the same. Memory stays in proportion to the bytes.
 */
#include "fuzz.h"

#include <lauxlib.h>
#include <lua.h>

#include "script/value.h"

static const struct wire_limits limits = {.frame = 64u << 20, .nesting = 64, .outstanding = 1};

/* An empty table takes 56 bytes and its place in a table up to 80; what is made before the entries
 * have come is 64 levels of 4096. */
#define BYTES_A_BYTE 256
#define BYTES_AHEAD (16u << 20)

static size_t memory_used;
static size_t memory_max = SIZE_MAX;

static void *allocate(void *ctx, void *at, size_t old, size_t len)
{
    void *moved;

    (void)ctx;
    old = at ? old : 0;
    if (len == 0) {
        free(at);
        memory_used -= old;
        return NULL;
    }
    if (len > old && len - old > memory_max - memory_used) {
        return NULL;
    }
    moved = realloc(at, len);
    must(moved != NULL);
    memory_used += len - old;
    return moved;
}

/* ---- comparing ---- */

static bool is_same(lua_State *L, int a, int b);

static uint64_t bits_of(lua_Number number)
{
    uint64_t bits;

    memcpy(&bits, &number, sizeof bits);
    return bits;
}

static bool is_same_number(lua_State *L, int a, int b)
{
    if (lua_isinteger(L, a) || lua_isinteger(L, b)) {
        return lua_isinteger(L, a) && lua_isinteger(L, b) && lua_rawequal(L, a, b);
    }
    return bits_of(lua_tonumber(L, a)) == bits_of(lua_tonumber(L, b));
}

static size_t count_pairs(lua_State *L, int table)
{
    size_t count = 0;

    lua_pushnil(L);
    while (lua_next(L, table)) {
        lua_pop(L, 1);
        count++;
    }
    return count;
}

/* Every pair of `a` is in `b`. */
static bool is_within(lua_State *L, int a, int b)
{
    lua_pushnil(L);
    while (lua_next(L, a)) {
        int value = lua_gettop(L);
        bool same;

        lua_pushvalue(L, value - 1);
        lua_rawget(L, b);
        same = is_same(L, value, value + 1);
        lua_settop(L, value - 1);
        if (!same) {
            lua_settop(L, value - 2);
            return false;
        }
    }
    return true;
}

static bool is_same(lua_State *L, int a, int b)
{
    luaL_checkstack(L, 8, NULL);
    if (lua_type(L, a) != lua_type(L, b)) {
        return false;
    }
    switch (lua_type(L, a)) {
    case LUA_TNUMBER:
        return is_same_number(L, a, b);
    case LUA_TTABLE:
        return count_pairs(L, a) == count_pairs(L, b) && is_within(L, a, b);
    default:
        return lua_rawequal(L, a, b);
    }
}

/* ---- one value, and a list ---- */

struct input {
    struct span bytes;
    struct buf first, second; /* what it is encoded to, and what that is */
    bool as_list;
};

/* Pushes what the bytes are; how many values, -1 when they are malformed. */
static int decode(lua_State *L, const struct input *in, struct span bytes)
{
    struct failure why = {0};
    int top = lua_gettop(L);
    int count;

    if (in->as_list) {
        count = value_decode_list(L, bytes, limits.nesting, &why);
    } else {
        count = value_decode(L, bytes, limits.nesting, &why) == TITAN_OK ? 1 : -1;
    }
    must(lua_gettop(L) == top + (count < 0 ? 0 : count));
    must(count >= 0 || (why.code == TITAN_E_PROTOCOL_ERROR && why.message[0] != '\0'));
    return count;
}

static struct span encode(lua_State *L, const struct input *in, int first, int count, struct buf *b)
{
    struct failure why;
    int top = lua_gettop(L);
    int code = in->as_list ? value_encode_list(L, first, count, "value", &limits, b, &why)
                           : value_encode(L, first, &limits, b, &why);

    must(code == TITAN_OK);
    must(lua_gettop(L) == top);
    return (struct span){buf_front(b), buf_len(b)};
}

static int try_input(lua_State *L)
{
    struct input *in = lua_touserdata(L, 1);
    int count = decode(L, in, in->bytes);
    struct span first;
    struct span second;

    if (count < 0) {
        return 0;
    }
    first = encode(L, in, 2, count, &in->first);
    must(decode(L, in, first) == count);
    for (int i = 0; i < count; i++) {
        must(is_same(L, 2 + i, 2 + count + i));
    }
    second = encode(L, in, 2 + count, count, &in->second);
    must(second.len == first.len); /* the order of a table's pairs is Lua's to choose */
    return 0;
}

static void try_as(lua_State *L, const uint8_t *bytes, size_t len, bool as_list)
{
    struct input in = {.bytes = {bytes, len}, .as_list = as_list};
    int status;

    /* Decoded twice. */
    memory_max = memory_used + 2 * (BYTES_AHEAD + BYTES_A_BYTE * len);
    lua_pushcfunction(L, try_input);
    lua_pushlightuserdata(L, &in);
    status = lua_pcall(L, 1, 0, 0);
    memory_max = SIZE_MAX;
    if (status != LUA_OK) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
    }
    must(status == LUA_OK);
    buf_free(&in.first);
    buf_free(&in.second);
    lua_gc(L, LUA_GCCOLLECT);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static lua_State *L;

    if (L == NULL) {
        L = lua_newstate(allocate, NULL);
        must(L != NULL);
    }
    if (len > 0) {
        try_as(L, bytes, len, false);
        try_as(L, bytes, len, true);
    }
    return 0;
}
