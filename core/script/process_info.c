#include "script/process_info.h"

#include <lauxlib.h>
#include <signal.h>
#include <string.h>

static void set_integer(lua_State *L, const char *name, uint64_t v)
{
    lua_pushinteger(L, (lua_Integer)v);
    lua_setfield(L, -2, name);
}

static void set_string(lua_State *L, const char *name, const char *v)
{
    lua_pushstring(L, v);
    lua_setfield(L, -2, name);
}

static void set_ms(lua_State *L, const char *name, uint64_t from_ns, uint64_t to_ns)
{
    lua_pushnumber(L, to_ns > from_ns ? (lua_Number)(to_ns - from_ns) / 1e6 : 0.0);
    lua_setfield(L, -2, name);
}

static void push_call(lua_State *L, struct status_page *page, struct status_call *call,
                      uint64_t now)
{
    uint64_t started = status_load(call->started_ns);
    uint64_t ended = status_load(call->ended_ns);
    char name[STATUS_NAME];

    lua_createtable(L, 0, 4);
    set_string(L, "method", status_method_name(page, status_load(call->method), name));
    set_ms(L, "ago_ms", started, now);
    if (ended != 0) {
        set_ms(L, "took_ms", started, ended);
        lua_pushboolean(L, status_load(call->failed) != 0);
        lua_setfield(L, -2, "failed");
    }
}

static void push_last_calls(lua_State *L, struct status_page *page, uint64_t now)
{
    uint64_t calls = status_load(page->calls);

    lua_newtable(L);
    for (uint64_t i = 0; i < STATUS_RING && i < calls; i++) {
        push_call(L, page, &page->ring[(calls - 1 - i) % STATUS_RING], now);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static void push_activity(lua_State *L, struct status_page *page, uint64_t now)
{
    uint32_t running = status_load(page->running_method);
    uint64_t calls = status_load(page->calls);
    uint64_t ended = status_load(page->ended);
    char name[STATUS_NAME];

    lua_createtable(L, 0, 6);
    set_integer(L, "calls", calls);
    set_integer(L, "errors", status_load(page->errors));
    set_integer(L, "in_flight", calls > ended ? calls - ended : 0);
    set_integer(L, "lua_heap", status_load(page->lua_heap_len));
    if (running < STATUS_TASK) {
        lua_createtable(L, 0, 2);
        set_string(L, "method", status_method_name(page, running, name));
        set_ms(L, "for_ms", status_load(page->running_started_ns), now);
        lua_setfield(L, -2, "running");
    }
    push_last_calls(L, page, now);
    lua_setfield(L, -2, "last_calls");
}

static void set_exit(lua_State *L, const struct process *p)
{
    char how[96];

    process_describe_exit(p, how, sizeof how);
    set_string(L, "exit", how);
    if (p->exit_signal > 0) {
        lua_pushfstring(L, "SIG%s", sigabbrev_np(p->exit_signal));
        lua_setfield(L, -2, "exit_signal");
    } else if (p->exit_known) {
        set_integer(L, "exit_code", (uint64_t)p->exit_code);
    }
}

/* `f` may be NULL. */
static void set_last_error(lua_State *L, const struct failure *f)
{
    if (f != NULL && f->code != TITAN_OK) {
        lua_createtable(L, 0, 2);
        set_string(L, "code", titan_error_name(f->code));
        set_string(L, "message", f->message);
        lua_setfield(L, -2, "last_error");
    }
}

void process_info_push(lua_State *L, const struct process *p)
{
    uint64_t now = p->ended_ns > 0 ? p->ended_ns : now_ns();

    luaL_checkstack(L, 8, NULL);
    lua_createtable(L, 0, 20);
    set_string(L, "id", p->id);
    set_string(L, "name", p->name);
    if (p->pid > 0) {
        set_integer(L, "pid", (uint64_t)p->pid);
    }
    set_string(L, "status", process_status_name(p));
    set_string(L, "isolation", p->body->isolation);
    set_string(L, "transport", p->body->transport);
    set_integer(L, "start_time", p->start_wall_ms);
    if (p->end_wall_ms > 0) {
        set_integer(L, "end_time", p->end_wall_ms);
    }
    set_ms(L, "uptime", p->started_ns, now);
    set_integer(L, "restart_count", p->restart_count);
    if (p->ended_ns > 0) {
        set_exit(L, p);
    }
    set_last_error(L, p->last_error.code != TITAN_OK ? &p->last_error : p->last_life_error);
    lua_pushlstring(L, p->out.tail_len > 0 ? p->out.tail : "", p->out.tail_len);
    lua_setfield(L, -2, "stdout_tail");
    lua_pushlstring(L, p->err.tail_len > 0 ? p->err.tail : "", p->err.tail_len);
    lua_setfield(L, -2, "stderr_tail");
    if (p->status != NULL) {
        push_activity(L, p->status, now);
        lua_setfield(L, -2, "activity");
    }
}
