#include "script/runtime.h"

#include <fcntl.h>
#include <lauxlib.h>
#include <luv/luv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "script/core.h"
#include "script/state.h"
#include "script/task.h"

static const char registry_key; /* its address is the key */

struct own_loop {
    uv_loop_t loop;
    uv_prepare_t keeper; /* of a bare one's: turns also for handles that do not keep it alive */
};

/* ---- errors ---- */

void script_push_error(lua_State *L, int code, const char *message, const char *process,
                       const char *method)
{
    core_require(L, "titan.errors");
    lua_getfield(L, -1, "new");
    lua_remove(L, -2);
    lua_pushstring(L, titan_error_name(code));
    lua_pushstring(L, message);
    lua_createtable(L, 0, 2);
    lua_pushstring(L, process);
    lua_setfield(L, -2, "process");
    lua_pushstring(L, method);
    lua_setfield(L, -2, "method");
    lua_call(L, 3, 1);
}

int script_raise(lua_State *L, const struct failure *why)
{
    script_push_error(L, why->code, why->message, NULL, NULL);
    return lua_error(L);
}

void script_fail(lua_State *L, const char *message)
{
    luaL_error(L, "%s", message);
    abort(); /* not reached */
}

/* (error, where) -> the line to print */
static int report_line(lua_State *L)
{
    lua_pushstring(L, "titan: ");
    lua_pushvalue(L, 2);
    lua_pushstring(L, ": ");
    luaL_tolstring(L, 1, NULL);
    lua_pushstring(L, "\n");
    lua_concat(L, 5);
    return 1;
}

void script_report(lua_State *L, int index, const char *where)
{
    struct runtime *rt = runtime_of(L);
    const char *text;
    size_t len;

    index = lua_absindex(L, index);
    lua_pushcfunction(L, report_line);
    lua_pushvalue(L, index);
    lua_pushstring(L, where);
    if (lua_pcall(L, 2, 1, 0) != LUA_OK || lua_type(L, -1) != LUA_TSTRING) {
        lua_pushfstring(L, "titan: %s: an error object that cannot be shown\n", where);
        lua_remove(L, -2);
    }
    text = lua_tolstring(L, -1, &len);
    if (rt->report != NULL) {
        rt->report(rt, text, len);
    } else {
        (void)fwrite(text, 1, len, stderr);
    }
    lua_pop(L, 1);
}

/* ---- callbacks of luv ---- */

int script_traceback(lua_State *L)
{
    luaL_tolstring(L, 1, NULL);
    luaL_traceback(L, L, lua_tostring(L, -1), 1);
    return 1;
}

/* luv's own answer to an error in a callback is exit(-1) in the middle of everything. Ours is to
 * end the program in order: the error is the script's, uncaught. */
static int luv_callback(lua_State *L, int nargs, int nresults, int flags)
{
    int base = lua_gettop(L) - nargs;
    struct runtime *rt = runtime_of(L);
    lua_State *outer = interrupt_switch(&rt->interrupt, L);
    bool bit = rt->memory != NULL && state_bite(rt->memory, true);
    int status;

    (void)flags;
    reactor_begin_whole(&rt->reactor); /* the next callback would not wait for it */
    lua_pushcfunction(L, script_traceback);
    lua_insert(L, base);
    status = lua_pcall(L, nargs, nresults, base);
    reactor_end_whole(&rt->reactor);
    interrupt_back(&rt->interrupt, outer);
    if (rt->memory != NULL) {
        (void)state_bite(rt->memory, bit);
    }
    lua_remove(L, base);
    if (status != LUA_OK) {
        task_uncaught(rt, L, -1, "in a callback");
        lua_pop(L, 1);
        return -status;
    }
    return lua_gettop(L) - base + 1;
}

/* ---- life ---- */

int runtime_open_reactor(struct runtime *rt)
{
    int code = TITAN_OK;

    if (!rt->reactor_open && rt->bare) {
        reactor_open_bare(&rt->reactor, rt->mail);
    } else if (!rt->reactor_open) {
        code = reactor_open(&rt->reactor, rt->uv);
    }
    rt->reactor_open = code == TITAN_OK;
    return code;
}

struct reactor *runtime_reactor(struct runtime *rt)
{
    if (runtime_open_reactor(rt) < 0) {
        luaL_error(rt->L, "titan: out of memory");
    }
    return &rt->reactor;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

static int runtime_gc(lua_State *L)
{
    struct runtime *rt = lua_touserdata(L, 1);

    tasks_close(rt);
    buffer_memory_close(rt);
    watch_close(&rt->inner);
    free(rt->ids);
    rt->ids = NULL;
    if (rt->reactor_open) {
        reactor_close(&rt->reactor);
        rt->reactor_open = false;
    }
    if (rt->own != NULL) {
        uv_walk(rt->uv, close_handle, NULL);
        while (uv_run(rt->uv, UV_RUN_NOWAIT) != 0) {
        }
        uv_loop_close(rt->uv);
        free(rt->own);
        rt->own = NULL;
    }
    return 0;
}

static void nothing(uv_prepare_t *keeper)
{
    (void)keeper;
}

static void make_loop(lua_State *L, struct runtime *rt)
{
    struct own_loop *own = malloc(sizeof *own);

    if (own == NULL || uv_loop_init(&own->loop) < 0) {
        free(own);
        script_fail(L, "titan: cannot make a loop: out of memory or descriptors");
    }
    rt->own = own;
    rt->uv = &own->loop;
    luv_set_loop(rt->L, rt->uv); /* not L: luv calls back on the thread that it is told first */
    luv_set_callback(rt->L, luv_callback);
    if (rt->bare) {
        uv_prepare_init(rt->uv, &own->keeper);
        uv_prepare_start(&own->keeper, nothing);
    }
}

/* (bare) -> the userdata */
static int runtime_new(lua_State *L)
{
    struct runtime *rt = lua_newuserdatauv(L, sizeof *rt, 0);

    memset(rt, 0, sizeof *rt);
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    rt->L = lua_tothread(L, -1);
    lua_pop(L, 1);
    interrupt_init(rt);
    rt->memory = state_memory_of(L);
    tasks_open(rt);
    clock_open(rt);
    buffer_memory_open(rt);
    rt->bare = lua_toboolean(L, 1);
    if (!rt->bare) {
        rt->uv = luv_loop(L);
        if (rt->uv == NULL) {
            make_loop(L, rt);
        }
        luv_set_callback(L, luv_callback);
    }
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, runtime_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    return 1;
}

static struct runtime *make(lua_State *L, bool bare)
{
    struct runtime *rt;

    lua_pushcfunction(L, runtime_new);
    lua_pushboolean(L, bare);
    lua_call(L, 1, 1);
    rt = lua_touserdata(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
    return rt;
}

struct runtime *runtime_of(lua_State *L)
{
    struct runtime *rt;

    lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key);
    rt = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return rt != NULL ? rt : make(L, false);
}

/* ---- by turns ---- */

struct runtime *runtime_bare(lua_State *L)
{
    return make(L, true);
}

void runtime_settle(lua_State *L, struct runtime *rt, struct mailbox *mail)
{
    rt->mail = mail;
    rt->bare = mail != NULL;
    if (!rt->bare) {
        make_loop(L, rt);
    }
}

uv_loop_t *runtime_loop(lua_State *L, struct runtime *rt)
{
    if (rt->uv == NULL) {
        make_loop(L, rt);
    }
    return rt->uv;
}

/* Its own loop has something to do: so has its unit. */
static void inner_ready(void *ctx, int events)
{
    struct runtime *rt = ctx;

    (void)events;
    rt->mail->wake(rt->mail);
}

/* A loop in a loop: it lies in that of one thread, where its state stays from now on. */
static void attach_loop(struct runtime *rt, struct unit *u, struct sched_thread *on)
{
    int fd = fcntl(uv_backend_fd(rt->uv), F_DUPFD_CLOEXEC, 0);

    unit_pin(u);
    if (fd >= 0) {
        rt->inner = watch_open(sched_thread_reactor(on), fd, UV_READABLE, inner_ready, rt);
    }
    if (rt->inner == NULL && fd >= 0) {
        close(fd);
    }
}

struct handles {
    const uv_handle_t *but;
    bool some;
};

static void note_handle(uv_handle_t *handle, void *arg)
{
    struct handles *found = arg;

    found->some = found->some || handle != found->but;
}

/* Besides the keeper. Who only asks libuv for the time stays free to run on any thread. */
static bool is_in_use(struct runtime *rt)
{
    uv_handle_t *keeper = (uv_handle_t *)&rt->own->keeper;
    struct handles found = {.but = keeper};

    uv_unref(keeper);
    found.some = uv_loop_alive(rt->uv) != 0; /* a request, perhaps */
    uv_ref(keeper);
    uv_walk(rt->uv, note_handle, &found);
    return found.some;
}

/* What its handles have to do, without waiting. Returns when they want to be looked at again. */
static uint64_t turn_loop(struct runtime *rt, struct unit *u, struct sched_thread *on)
{
    int timeout_ms;

    if (rt->inner == NULL) {
        if (!is_in_use(rt)) {
            return UINT64_MAX;
        }
        attach_loop(rt, u, on);
    }
    uv_run(rt->uv, UV_RUN_NOWAIT);
    timeout_ms = uv_backend_timeout(rt->uv);
    if (rt->inner == NULL) {
        return 0; /* without descriptors it is looked at again and again */
    }
    return timeout_ms < 0 ? UINT64_MAX : now_ns() / 1000000u + (uint64_t)timeout_ms;
}

/* The loop comes last: what Lua code has begun there is only looked at by a turn of its. */
uint64_t runtime_turn(struct runtime *rt, struct unit *u, struct sched_thread *on)
{
    uint64_t due_ms;
    uint64_t inner_ms;

    if (rt->reactor.paused) {
        tasks_go_on(rt);
    }
    if (rt->reactor.paused) {
        return 0;
    }
    if (rt->uv != NULL) {
        uv_update_time(rt->uv); /* timers count from here */
    }
    due_ms = reactor_turn(&rt->reactor);
    if (rt->reactor.paused) {
        return 0;
    }
    if (rt->uv == NULL) {
        return due_ms;
    }
    inner_ms = turn_loop(rt, u, on);
    due_ms = reactor_due_ms(&rt->reactor);
    return inner_ms < due_ms ? inner_ms : due_ms;
}
