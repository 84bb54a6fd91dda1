/*
 * A thread with a Lua state of its own, libraries and all, that answers a call.
 *
 *   spawn    the thread's creation to the first answer
 *   memory   resident memory of an idle one after its first call
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>

#include "floor_futex.h"

#define WARM_UP 50
#define SPAWNS 1000
#define IDLE 200 /* threads, of which the memory is */

struct worker {
    struct word asked, answered;
    int argument, result;
    int over; /* read by the worker after it was told something */
    pthread_t thread;
};

static lua_State *open_lua(void)
{
    lua_State *L = luaL_newstate();

    if (L == NULL) {
        die("luaL_newstate");
    }
    luaL_openlibs(L);
    if (luaL_dostring(L, "function add(a, b) return a + b end") != LUA_OK) {
        die(lua_tostring(L, -1));
    }
    return L;
}

static void *serve(void *arg)
{
    struct worker *w = arg;
    lua_State *L = open_lua();
    uint32_t heard = 0;

    for (;;) {
        heard = word_await(&w->asked, heard, WAIT_ASLEEP);
        if (w->over) {
            lua_close(L);
            return NULL;
        }
        lua_getglobal(L, "add");
        lua_pushinteger(L, w->argument);
        lua_pushinteger(L, 1);
        lua_call(L, 2, 1);
        w->result = (int)lua_tointeger(L, -1);
        lua_pop(L, 1);
        word_say(&w->answered, WAIT_ASLEEP);
    }
}

/* Starts and calls it at once; returns when it has answered. */
static void start_and_call(struct worker *w)
{
    *w = (struct worker){.argument = 1};
    if (pthread_create(&w->thread, NULL, serve, w) != 0) {
        die("pthread_create");
    }
    word_say(&w->asked, WAIT_ASLEEP);
    word_await(&w->answered, 0, WAIT_ASLEEP);
    if (w->result != 2) {
        die("wrong answer");
    }
}

static void stop(struct worker *w)
{
    w->over = 1;
    word_say(&w->asked, WAIT_ASLEEP);
    pthread_join(w->thread, NULL);
}

static void measure_spawn(void)
{
    static double samples[SPAWNS];
    int spawns = repeats(SPAWNS);

    for (int i = -WARM_UP; i < spawns; i++) {
        double start = now_us();
        struct worker w;

        start_and_call(&w);
        if (i >= 0) {
            samples[i] = now_us() - start;
        }
        stop(&w);
    }
    print_latency("thread", "spawn", samples, spawns);
}

static long resident_kib(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    char line[256], *pages; /* all that are mapped, and those that are resident */

    if (file == NULL || fgets(line, sizeof line, file) == NULL ||
        (pages = strchr(line, ' ')) == NULL) {
        die("/proc/self/statm");
    }
    fclose(file);
    return strtol(pages, NULL, 10) * (sysconf(_SC_PAGESIZE) / 1024);
}

static void measure_memory(void)
{
    static struct worker workers[IDLE];
    long before;

    memset(workers, 0, sizeof workers); /* its pages are not the threads' */
    before = resident_kib();
    for (int i = 0; i < IDLE; i++) {
        start_and_call(&workers[i]);
    }
    printf("{\"floor\":\"thread\",\"mode\":\"memory\",\"count\":%d,\"rss_kib\":%.1f}\n", IDLE,
           (double)(resident_kib() - before) / IDLE);
    for (int i = 0; i < IDLE; i++) {
        stop(&workers[i]);
    }
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (wanted(argc, argv, "memory")) { /* first: freed memory stays with the process */
        measure_memory();
    }
    if (wanted(argc, argv, "spawn")) {
        measure_spawn();
    }
    return 0;
}
