/* A process, as Lua functions. lua/titan/manager/ makes objects of them. */
#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <string.h>

#include "script/call.h"
#include "script/core.h"
#include "script/core_manager.h"
#include "script/process_info.h"
#include "script/process_metrics.h"
#include "script/process_series.h"

struct process *core_check_process(lua_State *L, int index)
{
    struct script_process *sp = luaL_checkudata(L, index, PROCESS_TYPE);

    return sp->process;
}

/* process_info(process) -> a table, or nil when it ended too long ago */
static int process_info_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);

    if (p == NULL) {
        lua_pushnil(L);
    } else {
        process_info_push(L, p);
    }
    return 1;
}

/* process_metrics(process, with_latencies) -> a table, or nil when it ended too long ago;
 * process_metrics_summary: the same, of what costs little */
static int process_metrics_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);

    if (p == NULL) {
        lua_pushnil(L);
    } else {
        process_metrics_push(L, p, lua_toboolean(L, 2));
    }
    return 1;
}

static int process_metrics_summary_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);

    if (p == NULL) {
        lua_pushnil(L);
    } else {
        process_metrics_push_summary(L, p, lua_toboolean(L, 2));
    }
    return 1;
}

/* process_series(process) -> a list, or nil when it ended too long ago */
static int process_series_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);

    if (p == NULL) {
        lua_pushnil(L);
    } else {
        process_series_push(L, p);
    }
    return 1;
}

/* process_series_sum(process, slots) -> { latency = } of several histograms together, or nil when
 * it ended too long ago */
static int process_series_sum_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);

    luaL_checktype(L, 2, LUA_TTABLE);
    if (p == NULL) {
        lua_pushnil(L);
    } else {
        lua_createtable(L, 0, 1);
        process_series_set_sum(L, p, 2);
    }
    return 1;
}

/* process_state(process) -> status, whether it has ended */
static int process_state_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);

    lua_pushstring(L, p ? process_status_name(p) : "stopped");
    lua_pushboolean(L, p == NULL || p->state == PROCESS_ENDED);
    return 2;
}

/* process_stop(process, timeout_ms) */
static int process_stop_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);

    if (p != NULL) {
        process_stop(p, (uint32_t)luaL_checkinteger(L, 2));
    }
    return 0;
}

/* process_kill(process, signal) -> true, or nil, why not, and the code of that: "invalid_config"
 * for a signal that this kind of process does not take, else "destroyed" */
static int process_kill_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);
    int code = p ? process_kill(p, (int)luaL_checkinteger(L, 2)) : -ESRCH;

    if (code == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, strerror(-code));
    lua_pushstring(L,
                   titan_error_name(code == -ENOTSUP ? TITAN_E_INVALID_CONFIG : TITAN_E_DESTROYED));
    return 3;
}

/* process_proceed(process, payload) or process_refuse(process, why): after "declared" */
static int process_proceed_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);
    struct buf b = {0};
    struct failure why;
    int code = core_encode_own(L, 2, &b, &why);

    if (p != NULL && code == TITAN_OK) {
        process_proceed(p, (struct span){buf_front(&b), buf_len(&b)});
    }
    buf_free(&b);
    return code == TITAN_OK ? 0 : script_raise(L, &why);
}

static int process_refuse_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);
    struct failure why;

    if (p != NULL) {
        fail(&why, TITAN_E_SPAWN_FAILED, "%s", luaL_checkstring(L, 2));
        process_refuse(p, &why);
    }
    return 0;
}

/* process_blame(process, why): in "declared" or "ready", what it said makes no sense */
static int process_blame_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);

    if (p != NULL) {
        process_blame(p, luaL_checkstring(L, 2));
    }
    return 0;
}

/* process_set_startup_timeout(process, ms) */
static int process_set_startup_timeout_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);

    if (p != NULL) {
        process_set_startup_timeout(p, (uint32_t)luaL_checkinteger(L, 2));
    }
    return 0;
}

/* process_rename(process, name): one that no living process has */
static int process_rename_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);

    if (p != NULL && p->state != PROCESS_ENDED &&
        !manager_rename(p->manager, p, luaL_checkstring(L, 2))) {
        return luaL_error(L, "titan: out of memory");
    }
    return 0;
}

/* A further upvalue of a method: the process's numbering that its number is of. */
#define NUMBERING (CALL_UPVALUES + 1)

static int process_call(lua_State *L)
{
    struct script_process *sp = lua_touserdata(L, lua_upvalueindex(CALL_TARGET));
    struct failure why;

    call_check_self(L);
    if (sp->process == NULL) {
        fail(&why, TITAN_E_DESTROYED, "the worker has been stopped");
        return call_raise(L, &why);
    }
    if (process_callable(sp->process, &why) < 0) {
        return call_raise(L, &why);
    }
    if (sp->process->numbering != (unsigned)lua_tointeger(L, lua_upvalueindex(NUMBERING))) {
        lua_pushnil(L); /* made before a restart that changed the numbers: by name from now on */
        lua_replace(L, lua_upvalueindex(CALL_METHOD_ID));
    }
    return call_send(L, &sp->process->data, NULL);
}

/* process_method(process, proxy, method, process_name, timeout_ms, method_id, header or nil) ->
 * function */
static int process_method_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);

    lua_settop(L, CALL_UPVALUES);
    lua_pushinteger(L, p ? p->numbering : 0);
    lua_pushcclosure(L, process_call, NUMBERING);
    return 1;
}

/* process_renumbered(process): its public methods have other numbers now */
static int process_renumbered_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);

    if (p != NULL) {
        p->numbering++;
    }
    return 0;
}

/* process_set_restart_policy(process, policy) */
static int process_set_restart_policy_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);

    if (p != NULL) {
        p->restart = core_check_policy(L, 2);
    }
    return 0;
}

/* signal_number(name or number) -> number or nil: "SIGTERM" and "TERM" are the same. */
static int signal_number(lua_State *L)
{
    const char *name;

    if (lua_isinteger(L, 1)) {
        lua_Integer n = lua_tointeger(L, 1);

        n > 0 && n < NSIG ? lua_pushinteger(L, n) : lua_pushnil(L);
        return 1;
    }
    name = luaL_checkstring(L, 1);
    name += strncmp(name, "SIG", 3) == 0 ? 3 : 0;
    for (int i = 1; i < NSIG; i++) {
        const char *known = sigabbrev_np(i);

        if (known != NULL && strcmp(known, name) == 0) {
            lua_pushinteger(L, i);
            return 1;
        }
    }
    lua_pushnil(L);
    return 1;
}

void core_add_process(struct core_names *names)
{
    static const luaL_Reg functions[] = {
        {"process_info", process_info_lua},
        {"process_metrics", process_metrics_lua},
        {"process_metrics_summary", process_metrics_summary_lua},
        {"process_series", process_series_lua},
        {"process_series_sum", process_series_sum_lua},
        {"process_state", process_state_lua},
        {"process_stop", process_stop_lua},
        {"process_kill", process_kill_lua},
        {"process_method", process_method_lua},
        {"process_renumbered", process_renumbered_lua},
        {"process_set_restart_policy", process_set_restart_policy_lua},
        {"process_proceed", process_proceed_lua},
        {"process_refuse", process_refuse_lua},
        {"process_blame", process_blame_lua},
        {"process_set_startup_timeout", process_set_startup_timeout_lua},
        {"process_rename", process_rename_lua},
        {"signal_number", signal_number},
        {NULL, NULL},
    };

    core_offer(names, functions);
}
