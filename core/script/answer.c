#include "script/answer.h"

#include "script/state.h"
#include "script/value.h"

#define LIGHT_MESSAGE 512 /* bytes of a message that fit into the smallest frame there may be */

static bool answer_with_error(struct peer *peer, uint32_t id, lua_State *L, int index)
{
    struct failure why;
    struct draft d;

    if (answer_begin(peer, &d, id, true) < 0) {
        return false;
    }
    if (value_encode(L, index, &peer->limits, peer_out(peer), &why) < 0) {
        answer_abort(peer, &d);
        return false;
    }
    return answer_end(peer, &d, true) == TITAN_OK;
}

/* Takes from an error map what may have made it too large or too deep: code and message matter
 * more. */
static void lighten(lua_State *L, int index)
{
    size_t len;
    const char *message;

    if (!lua_istable(L, index)) {
        return;
    }
    lua_pushnil(L);
    lua_setfield(L, index, "details");
    lua_pushnil(L);
    lua_setfield(L, index, "traceback");
    if (lua_getfield(L, index, "message") == LUA_TSTRING) {
        message = lua_tolstring(L, -1, &len);
        lua_pushlstring(L, message, len < LIGHT_MESSAGE ? len : LIGHT_MESSAGE);
        lua_setfield(L, index, "message");
    }
    lua_pop(L, 1);
}

static bool answer_with_results(struct peer *peer, uint32_t id, lua_State *L, int first)
{
    struct failure why = {0};
    struct draft d;
    int code = answer_begin(peer, &d, id, false);

    if (code < 0) {
        return true; /* the connection has ended: nobody waits */
    }
    code = value_write_list(L, first, lua_gettop(L) - first + 1, "result", peer, &why);
    if (code < 0) {
        answer_abort(peer, &d);
    } else if (answer_end(peer, &d, false) < 0) {
        code = fail(&why, TITAN_E_LIMIT_EXCEEDED,
                    "the results are larger than a frame may be (limits.frame = %u bytes)",
                    peer->limits.frame);
    }
    if (code < 0) {
        (void)answer_failure(peer, id, &why);
    }
    return code == TITAN_OK;
}

/* Nothing of Lua is needed for it: there may be no memory to make an error object of. */
static bool answer_out_of_memory(struct peer *peer, uint32_t id, lua_State *L)
{
    const struct state_memory *memory = state_memory_of(L);
    struct failure why;

    if (memory == NULL || !state_describe_refusal(memory, &why)) {
        return false;
    }
    (void)answer_failure(peer, id, &why);
    return true;
}

bool answer_with(struct peer *peer, uint32_t id, lua_State *L, int status, int first)
{
    struct failure why;

    if (status == LUA_OK) {
        return answer_with_results(peer, id, L, first);
    }
    if (status == LUA_ERRMEM && answer_out_of_memory(peer, id, L)) {
        return false;
    }
    if (answer_with_error(peer, id, L, first)) {
        return false;
    }
    lighten(L, first);
    if (!answer_with_error(peer, id, L, first)) {
        fail(&why, TITAN_E_REMOTE_ERROR, "the method raised an error that cannot travel");
        (void)answer_failure(peer, id, &why);
    }
    return false;
}
