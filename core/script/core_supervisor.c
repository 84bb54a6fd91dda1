/* Supervisors, as Lua functions. lua/titan/supervisor.lua makes objects of them. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "manager/child_process.h"
#include "manager/child_supervisor.h"
#include "manager/supervisor_clock.h"
#include "script/core.h"
#include "script/core_manager.h"
#include "script/task.h"

#define SUPERVISOR_TYPE "titan.core.supervisor"

/* User values: the function that hears its events, and the userdata of supervisors below. */
#define SUPERVISOR_EVENT_FN 1
#define SUPERVISOR_INNER 2

/* The Lua side keeps the userdata of a root while it is not STOPPED; that of another is kept by the
 * supervisor above it. */
struct script_supervisor {
    struct timed_supervisor timed;
    struct script_manager *sm;
};

static const char supervisors_key; /* registry: the userdata by their addresses, weak */

/* A child whose kind is made in Lua: a pool. */
struct host_child {
    struct child child;
};

static struct script_supervisor *of(struct supervisor *s)
{
    return list_entry(s, struct script_supervisor, timed.supervisor);
}

/* ---- from C to the event function ---- */

struct supervisor_event {
    struct script_supervisor *ss;
    const char *kind;
    struct child *child; /* or NULL */
    lua_Integer number;
    struct process *process; /* what `spawn` returned */
};

/* on_event(kind, child's name, number, message) */
static int run_event(lua_State *L)
{
    struct supervisor_event *e = lua_touserdata(L, 1);
    const struct supervisor *s = &e->ss->timed.supervisor;
    const struct failure *f = e->child ? &e->child->last_error : &s->failure;

    lua_rawgetp(L, LUA_REGISTRYINDEX, &supervisors_key);
    lua_rawgetp(L, -1, e->ss);
    lua_getiuservalue(L, -1, SUPERVISOR_EVENT_FN);
    lua_pushstring(L, e->kind);
    lua_pushstring(L, e->child ? e->child->name : NULL);
    lua_pushinteger(L, e->number);
    lua_pushstring(L, f->code != TITAN_OK ? f->message : NULL);
    lua_call(L, 4, 1);
    e->process = lua_isuserdata(L, -1) ? core_check_process(L, lua_gettop(L)) : NULL;
    return 0;
}

/* False after an error, which is reported. */
static bool emit(struct supervisor_event *e)
{
    return task_protected(e->ss->sm->runtime, run_event, e, "in an event of a supervisor");
}

static void tell(struct supervisor *s, const char *kind, struct child *c, lua_Integer number)
{
    emit(&(struct supervisor_event){.ss = of(s), .kind = kind, .child = c, .number = number});
}

static void on_starting(struct supervisor *s)
{
    tell(s, "starting", NULL, 0);
}

static void on_started(struct supervisor *s)
{
    tell(s, "started", NULL, 0);
}

static void on_start_failed(struct supervisor *s)
{
    tell(s, "start_failed", NULL, s->on_purpose);
}

static void on_stopped(struct supervisor *s)
{
    tell(s, s->failure.code == TITAN_OK ? "stopped" : "gave_up", NULL, 0);
}

static void on_child_up(struct supervisor *s, struct child *c)
{
    tell(s, "child_up", c, 0);
}

static void on_child_crashed(struct supervisor *s, struct child *c, bool asks)
{
    tell(s, asks ? "child_asks" : "child_crashed", c, 0);
}

static void on_child_stopped(struct supervisor *s, struct child *c)
{
    tell(s, "child_stopped", c, c->wanted);
}

static void on_child_start_failed(struct supervisor *s, struct child *c)
{
    tell(s, "child_start_failed", c, 0);
}

static void on_child_failed(struct supervisor *s, struct child *c)
{
    tell(s, "child_failed", c, 0);
}

static void on_child_removed(struct supervisor *s, struct child *c)
{
    tell(s, "child_removed", c, 0);
}

static const struct supervisor_events supervisor_events = {
    on_starting,      on_started,       on_start_failed,       on_stopped,      on_child_up,
    on_child_crashed, on_child_stopped, on_child_start_failed, on_child_failed, on_child_removed,
};

/* ---- kinds of children ---- */

static int spawn_process(struct child_process *c, struct process **out, struct failure *why)
{
    struct supervisor_event e = {.ss = of(c->child.parent), .kind = "spawn", .child = &c->child};

    c->child.last_error = (struct failure){0};
    if (!emit(&e) || e.process == NULL) {
        return fail(why, TITAN_E_SPAWN_FAILED, "could not be started");
    }
    *out = e.process;
    return TITAN_OK;
}

static void free_process(struct child_process *c)
{
    free(c);
}

static void free_supervisor(struct child_supervisor *c)
{
    free(c);
}

static void host_start(struct child *c)
{
    tell(c->parent, "start", c, 0);
}

static void host_stop(struct child *c, uint32_t timeout_ms)
{
    tell(c->parent, "stop", c, timeout_ms);
}

static void host_let_go(struct child *c)
{
    (void)c;
}

static void host_free(struct child *c)
{
    free(list_entry(c, struct host_child, child));
}

static const struct child_ops host_child_ops = {host_start, host_stop, host_let_go, host_free};

static struct child *new_process(lua_State *L)
{
    struct child_process *c = calloc(1, sizeof *c);

    if (c == NULL) {
        script_fail(L, "titan: out of memory");
    }
    child_process_init(c);
    c->spawn = spawn_process;
    c->freed = free_process;
    return &c->child;
}

/* The supervisor below is at index 4; the one above keeps it. */
static struct child *new_supervisor(lua_State *L)
{
    struct script_supervisor *inner = luaL_checkudata(L, 4, SUPERVISOR_TYPE);
    struct child_supervisor *c;

    lua_getiuservalue(L, 1, SUPERVISOR_INNER);
    lua_pushvalue(L, 4);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
    c = calloc(1, sizeof *c);
    if (c == NULL) {
        script_fail(L, "titan: out of memory");
    }
    c->inner = &inner->timed.supervisor;
    c->inner->as_child = &c->child;
    c->freed = free_supervisor;
    return &c->child;
}

static struct child *new_host_child(lua_State *L)
{
    struct host_child *c = calloc(1, sizeof *c);

    if (c == NULL) {
        script_fail(L, "titan: out of memory");
    }
    return &c->child;
}

/* ---- the functions ---- */

static struct script_supervisor *check_supervisor(lua_State *L)
{
    return luaL_checkudata(L, 1, SUPERVISOR_TYPE);
}

static struct child *check_child(lua_State *L, struct script_supervisor *ss)
{
    struct child *c = supervisor_child(&ss->timed.supervisor, luaL_checkstring(L, 2));

    if (c == NULL) {
        luaL_error(L, "titan: the supervisor has no child \"%s\"", lua_tostring(L, 2));
    }
    return c;
}

struct keeper *core_check_keeper(lua_State *L, int index, const char *name)
{
    struct script_supervisor *ss = luaL_checkudata(L, index, SUPERVISOR_TYPE);
    struct child *c = supervisor_child(&ss->timed.supervisor, name);

    if (c == NULL || c->ops != &child_process_ops) {
        luaL_error(L, "titan: the supervisor has no process \"%s\"", name);
    }
    return &list_entry(c, struct child_process, child)->keeper;
}

static int supervisor_gc(lua_State *L);

/* The supervisors of this state, made on first use. */
static void push_supervisors(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &supervisors_key) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_createtable(L, 0, 1);
        lua_pushstring(L, "v");
        lua_setfield(L, -2, "__mode");
        lua_setmetatable(L, -2);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &supervisors_key);
    }
}

/* supervisor_new(manager, strategy, decides, on_event) -> supervisor */
static int supervisor_new_lua(lua_State *L)
{
    static const luaL_Reg metamethods[] = {{"__gc", supervisor_gc}, {NULL, NULL}};
    static const char *const strategies[] = {"one_for_one", "one_for_all", "rest_for_one",
                                             "simple_one_for_one", NULL};
    struct script_manager *sm = core_check_manager(L);
    enum supervisor_strategy strategy =
        (enum supervisor_strategy)luaL_checkoption(L, 2, NULL, strategies);
    struct script_supervisor *ss;

    luaL_checktype(L, 4, LUA_TFUNCTION);
    ss = lua_newuserdatauv(L, sizeof *ss, 2);
    memset(ss, 0, sizeof *ss);
    ss->sm = sm;
    supervisor_init(&ss->timed.supervisor, strategy, lua_toboolean(L, 3), &sm->manager.random,
                    &supervisor_reactor_clock, &supervisor_events);
    timed_supervisor_init(&ss->timed, sm->manager.reactor);
    core_set_type(L, SUPERVISOR_TYPE, metamethods);
    lua_pushvalue(L, 4);
    lua_setiuservalue(L, -2, SUPERVISOR_EVENT_FN);
    lua_newtable(L);
    lua_setiuservalue(L, -2, SUPERVISOR_INNER);
    push_supervisors(L);
    lua_pushvalue(L, -2);
    lua_rawsetp(L, -2, ss);
    lua_pop(L, 1);
    return 1;
}

static struct child_spec check_spec(lua_State *L, int index)
{
    static const char *const restarts[] = {"permanent", "transient", "temporary", NULL};
    struct child_spec spec = {.shutdown_timeout_ms = core_field_uint(L, index, "shutdown_timeout"),
                              .critical = core_field_flag(L, index, "critical"),
                              .optional = core_field_flag(L, index, "optional")};

    lua_getfield(L, index, "restart");
    spec.restart = (enum child_restart)luaL_checkoption(L, -1, NULL, restarts);
    lua_getfield(L, index, "policy");
    spec.policy = core_check_policy(L, lua_gettop(L));
    lua_pop(L, 2);
    lua_getfield(L, index, "name"); /* stays on the stack, for as long as the string is used */
    spec.name = luaL_checkstring(L, -1);
    return spec;
}

/* supervisor_add(supervisor, kind, spec, inner): kind "process", "supervisor" or "host" */
static int supervisor_add_lua(lua_State *L)
{
    static const char *const kinds[] = {"process", "supervisor", "host", NULL};
    static const struct child_ops *const ops[] = {&child_process_ops, &child_supervisor_ops,
                                                  &host_child_ops};
    static struct child *(*const make[])(lua_State *) = {new_process, new_supervisor,
                                                         new_host_child};
    struct script_supervisor *ss = check_supervisor(L);
    int kind = luaL_checkoption(L, 2, NULL, kinds);
    struct child_spec spec = check_spec(L, 3);

    supervisor_add(&ss->timed.supervisor, make[kind](L), ops[kind], &spec);
    return 0;
}

/* supervisor_start(supervisor), supervisor_stop(supervisor): told of their end by an event */
static int supervisor_start_lua(lua_State *L)
{
    supervisor_start(&check_supervisor(L)->timed.supervisor);
    return 0;
}

static int supervisor_stop_lua(lua_State *L)
{
    supervisor_stop(&check_supervisor(L)->timed.supervisor);
    return 0;
}

/* supervisor_state(supervisor) -> "stopped", "starting", "running" or "stopping" */
static int supervisor_state_lua(lua_State *L)
{
    static const char *const names[] = {
        [SUPERVISOR_STOPPED] = "stopped",
        [SUPERVISOR_STARTING] = "starting",
        [SUPERVISOR_RUNNING] = "running",
        [SUPERVISOR_STOPPING] = "stopping",
    };

    lua_pushstring(L, names[check_supervisor(L)->timed.supervisor.state]);
    return 1;
}

/* supervisor_remove(supervisor, name), supervisor_restart(supervisor, name) */
static int supervisor_remove_lua(lua_State *L)
{
    struct script_supervisor *ss = check_supervisor(L);

    supervisor_remove(&ss->timed.supervisor, check_child(L, ss));
    return 0;
}

static int supervisor_restart_lua(lua_State *L)
{
    struct script_supervisor *ss = check_supervisor(L);

    supervisor_restart(&ss->timed.supervisor, check_child(L, ss));
    return 0;
}

/* supervisor_decide(supervisor, name, decision, why): after "child_asks"; a child that is gone, or
 * waits for no decision, is left alone */
static int supervisor_decide_lua(lua_State *L)
{
    static const char *const decisions[] = {"restart", "ignore", "escalate", "shutdown", NULL};
    struct script_supervisor *ss = check_supervisor(L);
    struct child *c = supervisor_child(&ss->timed.supervisor, luaL_checkstring(L, 2));
    int decision = luaL_checkoption(L, 3, NULL, decisions);

    if (c != NULL) {
        supervisor_decide(&ss->timed.supervisor, c, (enum crash_decision)decision,
                          luaL_checkstring(L, 4));
    }
    return 0;
}

/* supervisor_report(supervisor, name, what, message): of a child of kind "host": "up", "down",
 * "withdrawn", "crashed" or "start_failed" */
static int supervisor_report_lua(lua_State *L)
{
    static const char *const reports[] = {"up",      "down",         "withdrawn",
                                          "crashed", "start_failed", NULL};
    struct script_supervisor *ss = check_supervisor(L);
    struct child *c = supervisor_child(&ss->timed.supervisor, luaL_checkstring(L, 2));
    int report = luaL_checkoption(L, 3, NULL, reports);
    struct failure why;

    fail(&why, TITAN_E_WORKER_LOST, "%s", luaL_optstring(L, 4, ""));
    if (c == NULL) {
        return 0;
    }
    switch (report) {
    case 0:
        child_up(c);
        break;
    case 1:
        child_down(c);
        break;
    case 2:
        child_withdrawn(c);
        break;
    case 3:
        child_crashed(c, &why);
        break;
    default:
        child_start_failed(c, &why);
        break;
    }
    return 0;
}

static void push_child(lua_State *L, const struct child *c)
{
    lua_createtable(L, 0, 4);
    lua_pushstring(L, c->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, child_state_name(c));
    lua_setfield(L, -2, "status");
    lua_pushinteger(L, c->restarts);
    lua_setfield(L, -2, "restarts");
    if (c->last_error.code != TITAN_OK) {
        lua_pushstring(L, c->last_error.message);
        lua_setfield(L, -2, "last_error");
    }
}

/* supervisor_children(supervisor) -> list of { name, status, restarts, last_error }, left to right
 */
static int supervisor_children_lua(lua_State *L)
{
    const struct supervisor *s = &check_supervisor(L)->timed.supervisor;
    lua_Integer count = 0;

    lua_newtable(L);
    for (const struct list *l = s->children.next; l != &s->children; l = l->next) {
        const struct child *c = list_entry(l, struct child, link);

        if (!c->removed) {
            push_child(L, c);
            lua_rawseti(L, -2, ++count);
        }
    }
    return 1;
}

/* Also supervisor_close(supervisor): nothing comes of it any more, and nothing is stopped. */
static int supervisor_gc(lua_State *L)
{
    struct script_supervisor *ss = check_supervisor(L);

    timed_supervisor_close(&ss->timed);
    supervisor_drop_children(&ss->timed.supervisor);
    ss->timed.supervisor.state = SUPERVISOR_STOPPED;
    return 0;
}

void core_add_supervisor(struct core_names *names)
{
    static const luaL_Reg functions[] = {
        {"supervisor_new", supervisor_new_lua},
        {"supervisor_add", supervisor_add_lua},
        {"supervisor_start", supervisor_start_lua},
        {"supervisor_stop", supervisor_stop_lua},
        {"supervisor_state", supervisor_state_lua},
        {"supervisor_remove", supervisor_remove_lua},
        {"supervisor_restart", supervisor_restart_lua},
        {"supervisor_decide", supervisor_decide_lua},
        {"supervisor_report", supervisor_report_lua},
        {"supervisor_children", supervisor_children_lua},
        {"supervisor_close", supervisor_gc},
        {NULL, NULL},
    };

    core_offer(names, functions);
}
