#include "script/thread_output.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire/mp_write.h"

#define IO_OUTPUT "_IO_output"     /* where liolib.c keeps the default output */
#define QUEUED_LEN ((size_t)65536) /* what a method prints before its turn is over */

/* ---- to the manager ---- */

/* As a pipe does when nobody reads: who prints without end must wait, or the manager's memory would
 * be filled. It looks again and again, since it must not take its mail meanwhile. */
static void await_room(struct guest *g, struct channel *c)
{
    static const struct timespec moment = {0, 1000000};

    while (!inproc_has_room(c) && !thread_is_dying(g->thread)) {
        (void)nanosleep(&moment, NULL);
    }
}

static void tell(struct guest *g, const char *stream, const char *text, size_t len)
{
    struct buf b = {0};
    struct peer *control = &g->worker.control;

    if (control->channel != NULL && mp_write_str(&b, text, len)) {
        /* Without memory for it the line is lost, as from a pipe that nobody reads. */
        (void)peer_notify(control, stream, (struct span){buf_front(&b), buf_len(&b)});
        if (buf_len(peer_out(control)) > QUEUED_LEN) {
            await_room(g, control->channel);
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

static void close_file(FILE **file)
{
    if (*file != NULL) {
        (void)fclose(*file);
        *file = NULL;
    }
}

/* Unbuffered: lines are put together at the manager. */
static void push_file(lua_State *L, struct guest *g, FILE **file, cookie_write_function_t *write)
{
    luaL_Stream *s = lua_newuserdatauv(L, sizeof *s, 0);

    s->closef = NULL;
    luaL_setmetatable(L, LUA_FILEHANDLE);
    close_file(file); /* of an opening that has failed */
    *file = fopencookie(g, "w", (cookie_io_functions_t){.write = write});
    if (*file == NULL) {
        script_fail(L, "titan: out of memory");
    }
    setvbuf(*file, NULL, _IONBF, 0);
    s->f = *file;
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

    worker_exit(&g->worker, code & 0xff);         /* as much as the system keeps of a process's */
    interrupt_request(g->runtime, INTERRUPT_DIE); /* no pcall stops it */
    interrupt_arm(&g->runtime->interrupt, L);
    return luaL_error(L, "titan: os.exit ends this worker");
}

int thread_output_open_io(lua_State *L)
{
    struct guest *g = guest_check(L);

    luaopen_io(L);
    push_file(L, g, &g->out, write_stdout);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, IO_OUTPUT);
    lua_setfield(L, -2, "stdout");
    push_file(L, g, &g->err, write_stderr);
    lua_setfield(L, -2, "stderr");
    return 1;
}

int thread_output_open_os(lua_State *L)
{
    luaopen_os(L);
    lua_pushcfunction(L, exit_worker);
    lua_setfield(L, -2, "exit");
    return 1;
}

void thread_output_open_print(lua_State *L)
{
    lua_pushcfunction(L, print);
    lua_setglobal(L, "print");
}

/* ---- the two files ---- */

void thread_output_begin(struct guest *g)
{
    g->runtime->report = report;
}

static void flush_file(FILE *file)
{
    if (file != NULL) {
        (void)fflush(file);
    }
}

void thread_output_flush(struct guest *g)
{
    flush_file(g->out); /* buffered, if the worker has set it so */
    flush_file(g->err);
}

void thread_output_close(struct guest *g)
{
    close_file(&g->out);
    close_file(&g->err);
}
