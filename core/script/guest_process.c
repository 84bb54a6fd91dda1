/* A guest in a process of its own: made warm in the zygote, served in its children. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "script/guest.h"
#include "spawn/zygote_server.h"
#include "titan.h"

#define SPARE_STRINGS 1024

static int run_worker(void *ctx, const struct worker_fds *fds)
{
    struct guest *g = ctx;
    int code = 1;

    if (uv_loop_fork(g->runtime->uv) < 0) {
        fprintf(stderr, "titan: a worker could not make its loop: out of descriptors\n");
        return 1;
    }
    if (g->runtime->ids != NULL) {
        ids_forget(g->runtime->ids);
    }
    if (interrupt_install() < 0) {
        fprintf(stderr, "titan: a worker could not take over SIGURG: it cannot be interrupted\n");
    }
    guest_begin(g);
    if (runtime_open_reactor(g->runtime) == TITAN_OK &&
        worker_open_fds(&g->worker, &g->runtime->reactor, fds, &guest_handlers, g) == TITAN_OK) {
        interrupt_enter(g->runtime);
        code = worker_run(&g->worker);
        interrupt_leave(g->runtime);
    } else {
        fprintf(stderr, "titan: a worker could not set itself up: out of memory or descriptors\n");
    }
    guest_end(g);
    return code;
}

static int read_boot(int fd, uint8_t **bytes, size_t *len)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return -1;
    }
    *len = (size_t)st.st_size;
    *bytes = malloc(*len + 1);
    if (*bytes == NULL || pread(fd, *bytes, *len, 0) != (ssize_t)*len) {
        free(*bytes);
        return -1;
    }
    return 0;
}

/* Lua's table of short strings doubles when it is full, and writes to each string then: in a worker
 * that would make every page with a string a copy of its own. Doubled here, it stays so: a
 * collection halves it only when three quarters are empty. */
static void make_room_for_strings(lua_State *L)
{
    lua_createtable(L, SPARE_STRINGS, 0);
    for (int i = 1; i <= SPARE_STRINGS; i++) {
        lua_pushfstring(L, "spare %d", i);
        lua_rawseti(L, -2, i);
    }
    lua_pop(L, 1);
}

/* Everything that can be loaded before the fork is. */
static int warm_up(void *ctx, int boot_fd, struct failure *why)
{
    struct guest *g = ctx;
    struct span boot;
    uint8_t *bytes;
    int code;

    if (read_boot(boot_fd, &bytes, &boot.len) < 0) {
        return fail(why, TITAN_E_SPAWN_FAILED, "the boot data cannot be read");
    }
    boot.at = bytes;
    code = guest_prepare(g, "warm_up", boot, why);
    free(bytes);
    if (code < 0) {
        return code;
    }
    make_room_for_strings(g->L);
    lua_gc(g->L, LUA_GCCOLLECT);
    lua_gc(g->L, LUA_GCCOLLECT);
    state_seal(g->memory);
    return TITAN_OK;
}

int titan_zygote_main(int argc, char **argv)
{
    struct guest g;
    struct zygote_guest guest = {warm_up, run_worker, &g};
    struct failure why;
    int code = zygote_begin();

    (void)argc;
    (void)argv;
    if (code != 0) {
        return code;
    }
    code = guest_open(&g, NULL, &why);
    if (code == TITAN_OK) {
        code = guest_settle(&g, NULL, &why);
    }
    if (code < 0) {
        fprintf(stderr, "titan-zygote: %s\n", why.message);
        return 1;
    }
    code = zygote_serve(&guest);
    guest_close(&g);
    return code;
}
