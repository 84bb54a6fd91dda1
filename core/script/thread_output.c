#include "script/thread_output.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/mp_write.h"

#define IO_OUTPUT "_IO_output"     /* where liolib.c keeps the default output */
#define QUEUED_LEN ((size_t)65536) /* what a method prints before its turn is over */

/* ---- to the manager ---- */

static void tell(struct guest *g, const char *stream, const char *text, size_t len)
{
    struct buf b = {0};
    struct peer *control = &g->worker.control;

    if (control->channel != NULL && mp_write_str(&b, text, len)) {
        /* Without memory for it the line is lost, as from a pipe that nobody reads. */
        (void)peer_notify(control, stream, (struct span){buf_front(&b), buf_len(&b)});
        if (buf_len(peer_out(control)) > QUEUED_LEN) {
            channel_finish(control->channel);
        }
    }
    buf_free(&b);
}

static ssize_t write_stdout(void *ctx, const char *text, size_t len)
{
    tell(ctx, "stdout", text, len);
    return (ssize_t)len;
}

static ssize_t write_stderr(void *ctx, const char *text, size_t len)
{
    tell(ctx, "stderr", text, len);
    return (ssize_t)len;
}

static void report(struct runtime *rt, const char *text, size_t len)
{
    tell(rt->owner, "stderr", text, len);
}

/* ---- as Lua sees it ---- */

/* Like lua.c's own standard files these cannot be closed by hand. */
static int keep_open(lua_State *L)
{
    luaL_Stream *s = luaL_checkudata(L, 1, LUA_FILEHANDLE);

    s->closef = keep_open;
    luaL_pushfail(L);
    lua_pushstring(L, "cannot close standard file");
    return 2;
}

/* Unbuffered: lines are put together at the manager. */
static void push_file(lua_State *L, struct guest *g, cookie_write_function_t *write)
{
    luaL_Stream *s = lua_newuserdatauv(L, sizeof *s, 0);

    s->closef = NULL;
    luaL_setmetatable(L, LUA_FILEHANDLE);
    s->f = fopencookie(g, "w", (cookie_io_functions_t){.write = write});
    if (s->f == NULL) {
        script_fail(L, "titan: out of memory");
    }
    setvbuf(s->f, NULL, _IONBF, 0);
    s->closef = keep_open;
}

static int print(lua_State *L)
{
    struct guest *g = guest_check(L);
    luaL_Buffer line;
    int count = lua_gettop(L);

    lua_settop(L, count);
    luaL_buffinit(L, &line);
    for (int i = 1; i <= count; i++) {
        if (i > 1) {
            luaL_addchar(&line, '\t');
        }
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&line);
    }
    luaL_addchar(&line, '\n');
    luaL_pushresult(&line);
    tell(g, "stdout", lua_tostring(L, -1), lua_rawlen(L, -1));
    return 0;
}

/* os.exit(code): as from a process, nothing of the worker's runs after it. */
static int exit_worker(lua_State *L)
{
    struct guest *g = guest_check(L);
    int code = lua_isboolean(L, 1) ? (lua_toboolean(L, 1) ? 0 : 1) : (int)luaL_optinteger(L, 1, 0);

    worker_exit(&g->worker, code);
    interrupt_request(g->runtime, INTERRUPT_DIE); /* no pcall stops it */
    interrupt_arm(&g->runtime->interrupt, L);
    return luaL_error(L, "titan: os.exit ends this worker");
}

static int open_output(lua_State *L)
{
    struct guest *g = lua_touserdata(L, 1);

    lua_getglobal(L, "io");
    push_file(L, g, write_stdout);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, IO_OUTPUT);
    lua_setfield(L, -2, "stdout");
    push_file(L, g, write_stderr);
    lua_setfield(L, -2, "stderr");
    lua_pushcfunction(L, print);
    lua_setglobal(L, "print");
    lua_getglobal(L, "os");
    lua_pushcfunction(L, exit_worker);
    lua_setfield(L, -2, "exit");
    return 0;
}

bool thread_output_open(struct guest *g)
{
    bool ok;

    g->runtime->report = report;
    lua_pushcfunction(g->L, open_output);
    lua_pushlightuserdata(g->L, g);
    ok = lua_pcall(g->L, 1, 0, 0) == LUA_OK;
    if (!ok) {
        lua_pop(g->L, 1);
    }
    return ok;
}
