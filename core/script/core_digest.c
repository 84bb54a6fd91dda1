/* Keys made of arguments, as a Lua function. */
#include <lauxlib.h>
#include <string.h>

#include "base/sha256.h"
#include "script/core.h"
#include "script/runtime.h"
#include "script/value.h"

/*
 * digest(...) -> a string of at most 32 bytes that stands for these arguments: the same for the
 * same arguments in every process, and, as far as SHA-256 goes, for no others.
 *
 * It is their canonical encoding (value.h) if that is shorter than a hash, and else its SHA-256: so
 * no length is both, and nobody can write arguments that look like the hash of others. What counts
 * is the content: how a table came to be does not, nor its metatable. Integers and floats
 * are kept apart (1 and 1.0 are one key of a Lua table, but a method may tell them apart), so are
 * f() and f(nil). Raises validation_failed for what cannot travel, naming the argument.
 */
static int core_digest(lua_State *L)
{
    struct wire_limits limits = WIRE_LIMITS_DEFAULT;
    uint8_t digest[SHA256_LEN];
    size_t len = SHA256_LEN;
    struct buf b = {0};
    struct failure why;
    int code = value_encode_canonical(L, 1, lua_gettop(L), "argument", &limits, &b, &why);

    if (code == TITAN_OK && buf_len(&b) < SHA256_LEN) {
        len = buf_len(&b);
        memcpy(digest, buf_front(&b), len);
    } else if (code == TITAN_OK) {
        sha256(buf_front(&b), buf_len(&b), digest);
    }
    buf_free(&b);
    if (code < 0) {
        return script_raise(L, &why);
    }
    lua_pushlstring(L, (const char *)digest, len);
    return 1;
}

void core_add_digest(struct core_names *names)
{
    static const luaL_Reg functions[] = {{"digest", core_digest}, {NULL, NULL}};

    core_offer(names, functions);
}
