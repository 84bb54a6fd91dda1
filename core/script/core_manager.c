/* The manager and its processes, as Lua functions. lua/titan/manager.lua makes objects of them. */
#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/manager.h"
#include "ops/log.h"
#include "script/call.h"
#include "script/core.h"
#include "script/process_info.h"
#include "script/process_metrics.h"
#include "script/task.h"
#include "script/value.h"

#define MANAGER_TYPE "titan.core.manager"
#define PROCESS_TYPE "titan.core.process"

/* The user value of a manager: the function that hears its events, and every process by its
 * address. */
#define MANAGER_EVENT_FN 1
#define MANAGER_PROCESSES 2

struct script_manager {
    struct manager manager;
    struct runtime *runtime;
    struct log_sink log;
    int anchor; /* keeps the userdata while the manager is open; LUA_NOREF when it is not */
};

/* What a Lua program holds of a process. */
struct script_process {
    struct process *process; /* NULL once forgotten */
};

/* ---- from C to the manager's event function ---- */

static int event_failed(lua_State *L)
{
    luaL_tolstring(L, 1, NULL);
    luaL_traceback(L, L, lua_tostring(L, -1), 1);
    return 1;
}

/* Pushes the userdata of a process, made on first sight. */
static void push_process(lua_State *L, struct script_manager *sm, struct process *p)
{
    struct script_process *sp;

    lua_rawgeti(L, LUA_REGISTRYINDEX, sm->anchor);
    lua_getiuservalue(L, -1, MANAGER_PROCESSES);
    lua_remove(L, -2);
    if (lua_rawgetp(L, -1, p) == LUA_TNIL) {
        lua_pop(L, 1);
        sp = lua_newuserdatauv(L, sizeof *sp, 0);
        memset(sp, 0, sizeof *sp);
        sp->process = p;
        luaL_setmetatable(L, PROCESS_TYPE);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, -3, p);
    }
    lua_remove(L, -2);
}

/* The arguments of an event, pushed inside the protected call. */
struct event {
    struct script_manager *sm;
    struct process *process;
    const char *kind;
    struct span payload; /* decoded, when there */
    struct span text;    /* a string, when there */
    const char *stream;
};

static int run_event(lua_State *L)
{
    const struct event *e = lua_touserdata(L, 1);
    struct failure why;

    lua_rawgeti(L, LUA_REGISTRYINDEX, e->sm->anchor);
    lua_getiuservalue(L, -1, MANAGER_EVENT_FN);
    lua_pushstring(L, e->kind);
    push_process(L, e->sm, e->process);
    if (e->payload.at != NULL) {
        if (value_decode(L, e->payload, e->process->control.limits.nesting, &why) < 0) {
            process_blame(e->process, why.message);
            return 0;
        }
    } else {
        lua_pushlstring(L, (const char *)e->text.at, e->text.len);
    }
    lua_pushstring(L, e->stream);
    lua_call(L, 4, 1);
    if (lua_type(L, -1) == LUA_TSTRING && e->payload.at != NULL) {
        fail(&e->process->last_error, TITAN_E_SPAWN_FAILED, "%s", lua_tostring(L, -1));
    }
    return 0;
}

static void emit(const struct event *e)
{
    struct runtime *rt = e->sm->runtime;
    lua_State *L = rt->L;

    lua_pushcfunction(L, event_failed);
    lua_pushcfunction(L, run_event);
    lua_pushlightuserdata(L, (void *)e);
    if (lua_pcall(L, 1, 0, -3) != LUA_OK) {
        task_uncaught(rt, L, -1, "in an event of the manager");
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void on_forked(void *ctx, struct process *p)
{
    emit(&(struct event){.sm = ctx, .process = p, .kind = "spawn"});
}

static void on_declared(void *ctx, struct process *p, struct span payload)
{
    emit(&(struct event){.sm = ctx, .process = p, .kind = "declared", .payload = payload});
}

static void on_ready(void *ctx, struct process *p, struct span payload)
{
    emit(&(struct event){.sm = ctx, .process = p, .kind = "ready", .payload = payload});
}

static void on_start_failed(void *ctx, struct process *p, struct span payload)
{
    emit(&(struct event){.sm = ctx, .process = p, .kind = "start_failed", .payload = payload});
}

static void on_ended(void *ctx, struct process *p)
{
    emit(&(struct event){.sm = ctx, .process = p, .kind = "ended"});
}

static void on_line(void *ctx, struct process *p, bool is_stderr, const char *text, size_t len)
{
    struct script_manager *sm = ctx;

    log_sink_write(&sm->log, &(struct log_line){.name = p->name,
                                                .pid = (int)p->pid,
                                                .is_stderr = is_stderr,
                                                .text = text,
                                                .len = len,
                                                .time_ms = wall_ms()});
    emit(&(struct event){.sm = sm,
                         .process = p,
                         .kind = "line",
                         .text = {(const uint8_t *)text, len},
                         .stream = is_stderr ? "stderr" : "stdout"});
}

static int forget(lua_State *L)
{
    const struct event *e = lua_touserdata(L, 1);
    struct script_process *sp;

    push_process(L, e->sm, e->process);
    sp = lua_touserdata(L, -1);
    sp->process = NULL;
    lua_rawgeti(L, LUA_REGISTRYINDEX, e->sm->anchor);
    lua_getiuservalue(L, -1, MANAGER_PROCESSES);
    lua_pushnil(L);
    lua_rawsetp(L, -2, e->process);
    return 0;
}

static void on_forgotten(void *ctx, struct process *p)
{
    struct event e = {.sm = ctx, .process = p};
    lua_State *L = e.sm->runtime->L;

    lua_pushcfunction(L, forget);
    lua_pushlightuserdata(L, &e);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        task_uncaught(e.sm->runtime, L, -1, "while a process was forgotten");
        lua_pop(L, 1);
    }
}

static void on_closed(void *ctx)
{
    struct script_manager *sm = ctx;

    manager_free(&sm->manager);
    luaL_unref(sm->runtime->L, LUA_REGISTRYINDEX, sm->anchor);
    sm->anchor = LUA_NOREF;
}

/* ---- the manager ---- */

static struct script_manager *check_manager(lua_State *L)
{
    struct script_manager *sm = luaL_checkudata(L, 1, MANAGER_TYPE);

    if (sm->anchor == LUA_NOREF || sm->manager.closing) {
        script_push_error(L, TITAN_E_DESTROYED, "the manager has been closed", NULL, NULL);
        lua_error(L);
    }
    return sm;
}

static uint32_t field_uint(lua_State *L, int table, const char *name)
{
    lua_Integer v;

    lua_getfield(L, table, name);
    v = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    return (uint32_t)v;
}

static enum log_format check_log_format(lua_State *L, int index)
{
    static const char *const names[] = {"none", "text", "json", "auto", NULL};
    static const enum log_format formats[] = {LOG_NONE, LOG_TEXT, LOG_JSON};
    int which = luaL_checkoption(L, index, NULL, names);

    return which == 3 ? log_format_for(STDERR_FILENO) : formats[which];
}

/* What Titan tells its own processes is not for the limits of the config to refuse. */
static int encode_own(lua_State *L, int index, struct buf *b, struct failure *why)
{
    const struct wire_limits limits = WIRE_LIMITS_DEFAULT;

    return value_encode(L, index, &limits, b, why);
}

/* manager_open(boot, limits, log_format, on_event) -> manager */
static int manager_open_lua(lua_State *L)
{
    static const struct manager_events events = {on_forked,       on_declared, on_ready,
                                                 on_start_failed, on_ended,    on_line,
                                                 on_forgotten,    on_closed};
    struct runtime *rt = runtime_of(L);
    struct wire_limits limits = WIRE_LIMITS_DEFAULT;
    struct script_manager *sm;
    struct buf boot = {0};
    struct failure why;
    int code;

    luaL_checktype(L, 2, LUA_TTABLE);
    luaL_checktype(L, 4, LUA_TFUNCTION);
    limits.frame = field_uint(L, 2, "frame");
    limits.nesting = field_uint(L, 2, "nesting");
    limits.outstanding = field_uint(L, 2, "outstanding");
    runtime_reactor(rt);
    sm = lua_newuserdatauv(L, sizeof *sm, 2);
    memset(sm, 0, sizeof *sm);
    sm->runtime = rt;
    sm->anchor = LUA_NOREF;
    sm->log.fd = STDERR_FILENO;
    sm->log.format = check_log_format(L, 3);
    lua_pushvalue(L, 4);
    lua_setiuservalue(L, -2, MANAGER_EVENT_FN);
    lua_newtable(L);
    lua_setiuservalue(L, -2, MANAGER_PROCESSES);
    luaL_setmetatable(L, MANAGER_TYPE);
    code = encode_own(L, 1, &boot, &why);
    if (code == TITAN_OK) {
        code = manager_open(&sm->manager, &rt->reactor, &limits,
                            (struct span){buf_front(&boot), buf_len(&boot)}, &events, sm, &why);
    }
    buf_free(&boot);
    if (code < 0) {
        return script_raise(L, &why);
    }
    lua_pushvalue(L, -1);
    sm->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
    return 1;
}

/* manager_close(manager): kills what lives; does nothing the second time. */
static int manager_close_lua(lua_State *L)
{
    struct script_manager *sm = luaL_checkudata(L, 1, MANAGER_TYPE);

    if (sm->anchor != LUA_NOREF) {
        manager_close(&sm->manager);
    }
    return 0;
}

/* Only when the state closes: until then an open manager is anchored. */
static int manager_gc(lua_State *L)
{
    struct script_manager *sm = lua_touserdata(L, 1);

    if (sm->anchor != LUA_NOREF) {
        manager_close(&sm->manager);
        on_closed(sm);
    }
    return 0;
}

/* manager_spawn(manager, name, spec, startup_timeout, call_timeout) -> process */
static int manager_spawn_lua(lua_State *L)
{
    struct script_manager *sm = check_manager(L);
    struct process_spec spec = {.name = luaL_checkstring(L, 2),
                                .startup_timeout_ms = (uint32_t)luaL_checkinteger(L, 4),
                                .call_timeout_ms = (uint32_t)luaL_checkinteger(L, 5)};
    struct buf b = {0};
    struct process *p = NULL;
    struct failure why;
    int code = encode_own(L, 3, &b, &why);

    if (code == TITAN_OK) {
        spec.spec = (struct span){buf_front(&b), buf_len(&b)};
        code = manager_spawn(&sm->manager, &spec, &p, &why);
    }
    buf_free(&b);
    if (code < 0) {
        return script_raise(L, &why);
    }
    push_process(L, sm, p);
    return 1;
}

/* manager_find(manager, id or name) -> process or nil */
static int manager_find_lua(lua_State *L)
{
    struct script_manager *sm = check_manager(L);
    size_t len;
    const char *key = luaL_checklstring(L, 2, &len);
    struct process *p = manager_find_id(&sm->manager, key, len);

    if (p == NULL) {
        p = manager_find_name(&sm->manager, key, len);
    }
    if (p == NULL) {
        lua_pushnil(L);
    } else {
        push_process(L, sm, p);
    }
    return 1;
}

static void push_list(lua_State *L, struct script_manager *sm, const struct list *head, int table)
{
    for (const struct list *l = head->next; l != head; l = l->next) {
        push_process(L, sm, list_entry(l, struct process, link));
        lua_rawseti(L, table, (lua_Integer)lua_rawlen(L, table) + 1);
    }
}

/* manager_processes(manager) -> those that ended (the latest of them), then those that live */
static int manager_processes_lua(lua_State *L)
{
    struct script_manager *sm = check_manager(L);

    lua_newtable(L);
    push_list(L, sm, &sm->manager.ended, lua_gettop(L));
    push_list(L, sm, &sm->manager.processes, lua_gettop(L));
    return 1;
}

/* manager_zygote_pid(manager) -> pid or nil */
static int manager_zygote_pid_lua(lua_State *L)
{
    struct script_manager *sm = check_manager(L);

    if (sm->manager.zygote.state == ZYGOTE_IS_DOWN) {
        lua_pushnil(L);
    } else {
        lua_pushinteger(L, sm->manager.zygote.pid);
    }
    return 1;
}

/* ---- a process ---- */

static struct process *check_process(lua_State *L)
{
    struct script_process *sp = luaL_checkudata(L, 1, PROCESS_TYPE);

    return sp->process;
}

/* process_info(process) -> a table, or nil when it ended too long ago */
static int process_info_lua(lua_State *L)
{
    struct process *p = check_process(L);

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
    struct process *p = check_process(L);

    if (p == NULL) {
        lua_pushnil(L);
    } else {
        process_metrics_push(L, p, lua_toboolean(L, 2));
    }
    return 1;
}

static int process_metrics_summary_lua(lua_State *L)
{
    struct process *p = check_process(L);

    if (p == NULL) {
        lua_pushnil(L);
    } else {
        process_metrics_push_summary(L, p, lua_toboolean(L, 2));
    }
    return 1;
}

/* process_state(process) -> status, whether it has ended */
static int process_state_lua(lua_State *L)
{
    struct process *p = check_process(L);

    lua_pushstring(L, p ? process_status_name(p) : "stopped");
    lua_pushboolean(L, p == NULL || p->state == PROCESS_ENDED);
    return 2;
}

/* process_stop(process, timeout_ms) */
static int process_stop_lua(lua_State *L)
{
    struct process *p = check_process(L);

    if (p != NULL) {
        process_stop(p, (uint32_t)luaL_checkinteger(L, 2));
    }
    return 0;
}

/* process_kill(process, signal) -> true, or nil and why not */
static int process_kill_lua(lua_State *L)
{
    struct process *p = check_process(L);
    int code = p ? process_kill(p, (int)luaL_checkinteger(L, 2)) : -ESRCH;

    if (code == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, strerror(-code));
    return 2;
}

/* process_proceed(process, payload) or process_refuse(process, why): after "declared" */
static int process_proceed_lua(lua_State *L)
{
    struct process *p = check_process(L);
    struct buf b = {0};
    struct failure why;
    int code = encode_own(L, 2, &b, &why);

    if (p != NULL && code == TITAN_OK) {
        process_proceed(p, (struct span){buf_front(&b), buf_len(&b)});
    }
    buf_free(&b);
    return code == TITAN_OK ? 0 : script_raise(L, &why);
}

static int process_refuse_lua(lua_State *L)
{
    struct process *p = check_process(L);
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
    struct process *p = check_process(L);

    if (p != NULL) {
        process_blame(p, luaL_checkstring(L, 2));
    }
    return 0;
}

/* process_set_startup_timeout(process, ms) */
static int process_set_startup_timeout_lua(lua_State *L)
{
    struct process *p = check_process(L);

    if (p != NULL) {
        process_set_startup_timeout(p, (uint32_t)luaL_checkinteger(L, 2));
    }
    return 0;
}

/* process_rename(process, name): one that no living process has */
static int process_rename_lua(lua_State *L)
{
    struct process *p = check_process(L);

    if (p != NULL && p->state != PROCESS_ENDED &&
        !manager_rename(p->manager, p, luaL_checkstring(L, 2))) {
        return luaL_error(L, "titan: out of memory");
    }
    return 0;
}

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
    return call_send(L, &sp->process->data, NULL);
}

/* process_method(process, proxy, method, process_name, timeout_ms, method_id) -> function */
static int process_method_lua(lua_State *L)
{
    (void)check_process(L);
    lua_settop(L, CALL_UPVALUES);
    lua_pushcclosure(L, process_call, CALL_UPVALUES);
    return 1;
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

void core_add_manager(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"manager_open", manager_open_lua},
        {"manager_close", manager_close_lua},
        {"manager_spawn", manager_spawn_lua},
        {"manager_find", manager_find_lua},
        {"manager_processes", manager_processes_lua},
        {"manager_zygote_pid", manager_zygote_pid_lua},
        {"process_info", process_info_lua},
        {"process_metrics", process_metrics_lua},
        {"process_metrics_summary", process_metrics_summary_lua},
        {"process_state", process_state_lua},
        {"process_stop", process_stop_lua},
        {"process_kill", process_kill_lua},
        {"process_method", process_method_lua},
        {"process_proceed", process_proceed_lua},
        {"process_refuse", process_refuse_lua},
        {"process_blame", process_blame_lua},
        {"process_set_startup_timeout", process_set_startup_timeout_lua},
        {"process_rename", process_rename_lua},
        {"signal_number", signal_number},
        {NULL, NULL},
    };

    luaL_newmetatable(L, MANAGER_TYPE);
    lua_pushcfunction(L, manager_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newmetatable(L, PROCESS_TYPE);
    lua_pop(L, 2);
    luaL_setfuncs(L, functions, 0);
}
