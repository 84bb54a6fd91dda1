/* The coroutine library of Titan's states: Lua 5.4's own (lcorolib.c), whose semantics and messages
 * it keeps, but for two things. It says who runs, and it passes a preemption (interrupt.h) through:
 * when an inner coroutine was made to yield, so does the one that resumed it, up to the task, which
 * resumes them all again. No code sees that but in the time, since none runs before they go on. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>

#include "script/interrupt.h"
#include "script/task.h"

#define FAILED (-1)
#define PREEMPTED (-2)

static struct runtime *runtime_at(lua_State *L, int upvalue)
{
    return lua_touserdata(L, lua_upvalueindex(upvalue));
}

static lua_State *get_co(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);

    luaL_argexpected(L, co, 1, "thread");
    return co;
}

/* ---- running one ---- */

/* Runs `co` with the arguments at its top; what it says is moved to L. */
static int run(struct runtime *rt, lua_State *L, lua_State *co, int nargs)
{
    lua_State *outer = interrupt_switch(&rt->interrupt, co);
    int count;
    int status = lua_resume(co, L, nargs, &count);

    interrupt_back(&rt->interrupt, outer);
    if (status == LUA_YIELD && rt->interrupt.preempted == co) {
        rt->interrupt.preempted = NULL;
        return PREEMPTED;
    }
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return FAILED;
    }
    if (!lua_checkstack(L, count + 1)) {
        lua_pop(co, count);
        lua_pushliteral(L, "too many results to resume");
        return FAILED;
    }
    lua_xmove(co, L, count);
    return count;
}

/* `index` is where L has the coroutine. */
static int begin(struct runtime *rt, lua_State *L, int index, int nargs)
{
    lua_State *co = lua_tothread(L, index);

    if (!lua_checkstack(co, nargs)) {
        lua_pushliteral(L, "too many arguments to resume");
        return FAILED;
    }
    lua_xmove(L, co, nargs);
    return run(rt, L, co, nargs);
}

/* As long as it is preempted: L yields, too, and `k` goes on. Where L cannot yield the coroutine
 * just goes on. */
static int settle(struct runtime *rt, lua_State *L, int index, int result, lua_KFunction k)
{
    while (result == PREEMPTED) {
        if (lua_isyieldable(L)) {
            rt->interrupt.preempted = L;
            return lua_yieldk(L, 0, 0, k);
        }
        result = run(rt, L, lua_tothread(L, index), 0);
    }
    return result;
}

/* ---- resume and wrap ---- */

static int resume_done(lua_State *L, int result)
{
    lua_pushboolean(L, result >= 0);
    lua_insert(L, result >= 0 ? -(result + 1) : -2);
    return result >= 0 ? result + 1 : 2;
}

static int resume_again(lua_State *L, int status, lua_KContext ctx)
{
    struct runtime *rt = runtime_at(L, 1);

    (void)status;
    (void)ctx;
    lua_settop(L, 1);
    return resume_done(L, settle(rt, L, 1, run(rt, L, lua_tothread(L, 1), 0), resume_again));
}

static int co_resume(lua_State *L)
{
    struct runtime *rt = runtime_at(L, 1);

    (void)get_co(L);
    return resume_done(L, settle(rt, L, 1, begin(rt, L, 1, lua_gettop(L) - 1), resume_again));
}

static int close_co(struct runtime *rt, lua_State *co)
{
    lua_State *outer = interrupt_switch(&rt->interrupt, co);
    int status = lua_resetthread(co);

    interrupt_back(&rt->interrupt, outer);
    return status;
}

#define WRAPPED lua_upvalueindex(1)

static int wrap_done(struct runtime *rt, lua_State *L, int result)
{
    lua_State *co = lua_tothread(L, WRAPPED);
    int status;

    if (result >= 0) {
        return result;
    }
    status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD) {
        status = close_co(rt, co);
        lua_xmove(co, L, 1);
    }
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int wrap_again(lua_State *L, int status, lua_KContext ctx)
{
    struct runtime *rt = runtime_at(L, 2);
    int result;

    (void)status;
    (void)ctx;
    lua_settop(L, 0);
    result = run(rt, L, lua_tothread(L, WRAPPED), 0);
    return wrap_done(rt, L, settle(rt, L, WRAPPED, result, wrap_again));
}

static int wrapped(lua_State *L)
{
    struct runtime *rt = runtime_at(L, 2);
    int result = begin(rt, L, WRAPPED, lua_gettop(L));

    return wrap_done(rt, L, settle(rt, L, WRAPPED, result, wrap_again));
}

static int co_wrap(lua_State *L)
{
    lua_State *co;

    luaL_checktype(L, 1, LUA_TFUNCTION);
    co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, wrapped, 2);
    return 1;
}

/* ---- status and close ---- */

enum co_status { CO_RUNNING, CO_DEAD, CO_SUSPENDED, CO_NORMAL };
static const char *const status_names[] = {"running", "dead", "suspended", "normal"};

/* Of the one at 1. */
static enum co_status status_of(lua_State *L)
{
    lua_State *co = get_co(L);
    lua_Debug ar;

    if (L == co) {
        return CO_RUNNING;
    }
    switch (lua_status(co)) {
    case LUA_YIELD:
        return CO_SUSPENDED;
    case LUA_OK:
        if (lua_getstack(co, 0, &ar)) {
            return CO_NORMAL;
        }
        return lua_gettop(co) == 0 ? CO_DEAD : CO_SUSPENDED;
    default:
        return CO_DEAD;
    }
}

static int co_close(lua_State *L)
{
    struct runtime *rt = runtime_at(L, 1);
    enum co_status status = status_of(L);
    lua_State *co = lua_tothread(L, 1);

    if (status != CO_DEAD && status != CO_SUSPENDED) {
        return luaL_error(L, "cannot close a %s coroutine", status_names[status]);
    }
    if (close_co(rt, co) == LUA_OK) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushboolean(L, 0);
    lua_xmove(co, L, 1);
    return 2;
}

void coroutines_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"resume", co_resume},
        {"wrap", co_wrap},
        {"close", co_close},
        {NULL, NULL},
    };

    lua_getglobal(L, LUA_COLIBNAME);
    lua_pushlightuserdata(L, runtime_of(L));
    luaL_setfuncs(L, functions, 1);
    lua_pop(L, 1);
}
