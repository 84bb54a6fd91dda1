/* The manager and its processes, as Lua functions. lua/titan/manager.lua makes objects of them. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "script/core.h"
#include "script/core_ledger.h"
#include "script/core_manager.h"
#include "script/core_pool.h"
#include "script/guest_thread.h"
#include "script/task.h"
#include "script/value.h"

/* ---- from C to the manager's event function ---- */

void core_push_process(lua_State *L, struct script_manager *sm, struct process *p)
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
        core_set_type(L, PROCESS_TYPE, NULL);
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
    int64_t wait_ms;     /* of "down"; of "health": what holds */
    const char *stream;
};

static int run_event(lua_State *L)
{
    const struct event *e = lua_touserdata(L, 1);
    struct failure why;

    lua_rawgeti(L, LUA_REGISTRYINDEX, e->sm->anchor);
    lua_getiuservalue(L, -1, MANAGER_EVENT_FN);
    lua_pushstring(L, e->kind);
    core_push_process(L, e->sm, e->process);
    if (e->payload.at != NULL) {
        if (value_decode(L, e->payload, e->process->control.limits.nesting, &why) < 0) {
            process_blame(e->process, why.message);
            return 0;
        }
    } else if (e->text.at == NULL) {
        lua_pushinteger(L, e->wait_ms);
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
    (void)task_protected(e->sm->runtime, run_event, (void *)e, "in an event of the manager");
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

static void on_down(void *ctx, struct process *p, int64_t wait_ms)
{
    emit(&(struct event){.sm = ctx, .process = p, .kind = "down", .wait_ms = wait_ms});
}

static void on_ended(void *ctx, struct process *p)
{
    emit(&(struct event){.sm = ctx, .process = p, .kind = "ended"});
}

static void on_health(void *ctx, struct process *p, unsigned what)
{
    emit(&(struct event){.sm = ctx, .process = p, .kind = "health", .wait_ms = what});
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

    core_push_process(L, e->sm, e->process);
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

    (void)task_protected(e.sm->runtime, forget, &e, "while a process was forgotten");
}

static void on_closed(void *ctx)
{
    struct script_manager *sm = ctx;

    manager_free(&sm->manager);
    core_ledgers_part(sm);
    luaL_unref(sm->runtime->L, LUA_REGISTRYINDEX, sm->anchor);
    sm->anchor = LUA_NOREF;
}

/* ---- the manager ---- */

struct script_manager *core_check_manager(lua_State *L)
{
    struct script_manager *sm = luaL_checkudata(L, 1, MANAGER_TYPE);

    if (sm->anchor == LUA_NOREF || sm->manager.closing) {
        script_push_error(L, TITAN_E_DESTROYED, "the manager has been closed", NULL, NULL);
        lua_error(L);
    }
    return sm;
}

uint32_t core_field_uint(lua_State *L, int table, const char *name)
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

int core_encode_own(lua_State *L, int index, struct buf *b, struct failure *why)
{
    const struct wire_limits limits = WIRE_LIMITS_DEFAULT;

    return value_encode(L, index, &limits, b, why);
}

static int manager_gc(lua_State *L);

/* manager_open(boot, limits, log_format, on_event, sweep_interval, spare, serve, interrupt_grace,
 * threads or nil, spin_us) -> manager */
static int manager_open_lua(lua_State *L)
{
    static const struct manager_events events = {
        on_forked, on_declared, on_ready,   on_start_failed, on_down,   on_ended,
        on_health, on_line,     core_asked, on_forgotten,    on_closed,
    };
    static const luaL_Reg metamethods[] = {{"__gc", manager_gc}, {NULL, NULL}};
    struct runtime *rt = runtime_of(L);
    struct manager_options options = {.limits = WIRE_LIMITS_DEFAULT};
    struct script_manager *sm;
    struct buf boot = {0};
    struct failure why;
    int code;

    luaL_checktype(L, 2, LUA_TTABLE);
    luaL_checktype(L, 4, LUA_TFUNCTION);
    luaL_checktype(L, 7, LUA_TFUNCTION);
    options.limits.frame = core_field_uint(L, 2, "frame");
    options.limits.nesting = core_field_uint(L, 2, "nesting");
    options.limits.outstanding = core_field_uint(L, 2, "outstanding");
    options.sweep_interval_ms = (uint32_t)luaL_checkinteger(L, 5);
    options.spare = lua_toboolean(L, 6);
    options.interrupt_grace_ms = (uint32_t)luaL_checkinteger(L, 8);
    options.thread_guest = &guest_on_thread;
    (void)interrupt_install();
    options.threads = (unsigned)luaL_optinteger(L, 9, 0);
    options.spin_us = (uint32_t)luaL_checkinteger(L, 10);
    runtime_reactor(rt);
    sm = lua_newuserdatauv(L, sizeof *sm, 4);
    memset(sm, 0, sizeof *sm);
    sm->runtime = rt;
    sm->anchor = LUA_NOREF;
    sm->log.fd = STDERR_FILENO;
    sm->log.format = check_log_format(L, 3);
    lua_pushvalue(L, 4);
    lua_setiuservalue(L, -2, MANAGER_EVENT_FN);
    lua_pushvalue(L, 7);
    lua_setiuservalue(L, -2, MANAGER_SERVE_FN);
    lua_newtable(L);
    lua_setiuservalue(L, -2, MANAGER_PROCESSES);
    lua_newtable(L);
    lua_setiuservalue(L, -2, MANAGER_POOLS);
    core_set_type(L, MANAGER_TYPE, metamethods);
    if (getenv(ZYGOTE_CGROUP_ROOT) != NULL) {
        options.cgroup_root = getenv(ZYGOTE_CGROUP_ROOT);
    }
    code = core_encode_own(L, 1, &boot, &why);
    if (code == TITAN_OK) {
        options.boot = (struct span){buf_front(&boot), buf_len(&boot)};
        code = manager_open(&sm->manager, &rt->reactor, &options, &events, sm, &why);
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

double core_field_number(lua_State *L, int table, const char *name)
{
    double v;

    lua_getfield(L, table, name);
    v = luaL_checknumber(L, -1);
    lua_pop(L, 1);
    return v;
}

bool core_field_flag(lua_State *L, int table, const char *name)
{
    bool v;

    lua_getfield(L, table, name);
    v = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return v;
}

struct restart_policy core_check_waits(lua_State *L, int index)
{
    static const char *const backoffs[] = {"exponential", "linear", "fixed", NULL};
    struct restart_policy policy = {.enabled = false};
    int backoff;

    luaL_checktype(L, index, LUA_TTABLE);
    policy.delay_ms = core_field_uint(L, index, "delay");
    lua_getfield(L, index, "backoff");
    backoff = lua_gettop(L);
    luaL_checktype(L, backoff, LUA_TTABLE);
    policy.initial_ms = core_field_uint(L, backoff, "initial");
    policy.max_ms = core_field_uint(L, backoff, "max");
    policy.factor = core_field_number(L, backoff, "factor");
    policy.jitter = core_field_number(L, backoff, "jitter");
    lua_getfield(L, backoff, "type");
    policy.backoff = (enum backoff)luaL_checkoption(L, -1, NULL, backoffs);
    lua_pop(L, 2);
    return policy;
}

struct restart_policy core_check_policy(lua_State *L, int index)
{
    struct restart_policy policy = core_check_waits(L, index);

    policy.enabled = core_field_flag(L, index, "enabled");
    policy.max_restarts = core_field_uint(L, index, "max_restarts");
    policy.window_ms = core_field_uint(L, index, "window");
    return policy;
}

/* The pool's worker at `index` (the pool) and the next (its number); NULL when that is no pool. */
static struct pool_worker *check_worker(lua_State *L, int index)
{
    struct script_pool *sp = luaL_testudata(L, index, POOL_TYPE);
    struct pool_worker *w;

    if (sp == NULL) {
        return NULL;
    }
    w = pool_worker_numbered(&sp->pool, (uint32_t)luaL_checkinteger(L, index + 1));
    if (w == NULL || w->state != POOL_WORKER_STARTING || w->process != NULL) {
        script_push_error(L, TITAN_E_DESTROYED, "the pool no longer wants this worker", NULL, NULL);
        lua_error(L);
    }
    return w;
}

static const struct body *check_isolation(lua_State *L, int index)
{
    static const char *const names[] = {"process", "worker", "thread", NULL};
    static const struct body *const bodies[] = {&body_process, &body_worker, &body_thread};

    return bodies[luaL_checkoption(L, index, NULL, names)];
}

/* manager_spawn(manager, name, spec, startup_timeout, call_timeout, restart_policy, isolation,
 * supervisor or pool, child or number of the worker) -> process, which that one keeps, if there is
 * one */
static int manager_spawn_lua(lua_State *L)
{
    struct script_manager *sm = core_check_manager(L);
    struct process_spec spec = {.name = luaL_checkstring(L, 2),
                                .startup_timeout_ms = (uint32_t)luaL_checkinteger(L, 4),
                                .call_timeout_ms = (uint32_t)luaL_checkinteger(L, 5),
                                .restart = core_check_policy(L, 6),
                                .body = check_isolation(L, 7)};
    struct pool_worker *worker = check_worker(L, 8);
    const struct wire_limits limits = WIRE_LIMITS_DEFAULT;
    struct cargo cargo = {0};
    struct buf b = {0};
    struct process *p = NULL;
    struct failure why;
    int code;

    if (worker != NULL) {
        spec.keeper = &worker->keeper;
    } else if (!lua_isnoneornil(L, 8)) {
        spec.keeper = core_check_keeper(L, 8, luaL_checkstring(L, 9));
    }
    code = value_encode_one_with(L, 3, &limits, &b, &cargo, &why);
    if (code == TITAN_OK) {
        spec.spec = (struct span){buf_front(&b), buf_len(&b)};
        spec.cargo = &cargo;
        code = manager_spawn(&sm->manager, &spec, &p, &why);
    }
    buf_free(&b);
    cargo_free(&cargo);
    if (code < 0) {
        return script_raise(L, &why);
    }
    if (worker != NULL) {
        pool_worker_spawned(worker, p);
    }
    core_push_process(L, sm, p);
    return 1;
}

/* manager_find(manager, id or name) -> process or nil */
static int manager_find_lua(lua_State *L)
{
    struct script_manager *sm = core_check_manager(L);
    size_t len;
    const char *key = luaL_checklstring(L, 2, &len);
    struct process *p = manager_find_id(&sm->manager, key, len);

    if (p == NULL) {
        p = manager_find_name(&sm->manager, key, len);
    }
    if (p == NULL) {
        lua_pushnil(L);
    } else {
        core_push_process(L, sm, p);
    }
    return 1;
}

static void push_list(lua_State *L, struct script_manager *sm, const struct list *head, int table)
{
    for (const struct list *l = head->next; l != head; l = l->next) {
        core_push_process(L, sm, list_entry(l, struct process, link));
        lua_rawseti(L, table, (lua_Integer)lua_rawlen(L, table) + 1);
    }
}

/* manager_processes(manager) -> those that ended (the latest of them), then those that live */
static int manager_processes_lua(lua_State *L)
{
    struct script_manager *sm = core_check_manager(L);

    lua_newtable(L);
    push_list(L, sm, &sm->manager.ended, lua_gettop(L));
    push_list(L, sm, &sm->manager.processes, lua_gettop(L));
    return 1;
}

/* manager_zygote_pid(manager) -> pid or nil */
static int manager_zygote_pid_lua(lua_State *L)
{
    struct script_manager *sm = core_check_manager(L);

    if (sm->manager.zygote.state == ZYGOTE_IS_DOWN) {
        lua_pushnil(L);
    } else {
        lua_pushinteger(L, sm->manager.zygote.pid);
    }
    return 1;
}

void core_add_manager(struct core_names *names)
{
    static const luaL_Reg functions[] = {
        {"manager_open", manager_open_lua},
        {"manager_close", manager_close_lua},
        {"manager_spawn", manager_spawn_lua},
        {"manager_find", manager_find_lua},
        {"manager_processes", manager_processes_lua},
        {"manager_zygote_pid", manager_zygote_pid_lua},
        {NULL, NULL},
    };

    core_offer(names, functions);
    core_add_process(names);
    core_add_health(names);
    core_add_ledger(names);
    core_add_pool(names);
    core_add_supervisor(names);
}
