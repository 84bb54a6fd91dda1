/* A guest on a thread: a lua_State of its own, made and served there. */
#include "script/guest_thread.h"

#include <stdlib.h>

#include "base/list.h"
#include "script/chunks.h"
#include "script/guest.h"
#include "script/thread_output.h"
#include "titan.h"

#define LIBRARIES "_CLIBS" /* where loadlib.c keeps what it has loaded */

/* What is wrong before the class is looked at: the manager hears it as a failed start. */
static void fail_start(struct guest *g, const struct failure *why)
{
    struct buf b = {0};

    if (failure_write(&b, why)) {
        worker_failed(&g->worker, (struct span){buf_front(&b), buf_len(&b)});
    } else {
        worker_exit(&g->worker, 1);
    }
    buf_free(&b);
}

/* False when memory or descriptors are out; then the links' ends are given up. */
static bool open_worker(struct guest *g, struct thread *t)
{
    struct runtime *rt = g->runtime;

    g->thread = t;
    rt->dying = &t->is_dying;
    rt->overdue = t->by_turns ? &t->is_overdue : NULL;
    guest_begin(g);
    if (runtime_open_reactor(rt) < 0 ||
        (!t->by_turns && reactor_take_mail(&rt->reactor, t->mail) < 0)) {
        inproc_abandon(t->links.data, 1);
        inproc_abandon(t->links.control, 1);
        return false;
    }
    if (!t->by_turns) {
        reactor_spin(&rt->reactor, (uint64_t)t->spin_us * 1000u);
    }
    if (worker_open_links(&g->worker, &rt->reactor, &t->links, &guest_handlers, g) < 0) {
        return false;
    }
    thread_output_begin(g);
    t->worker = &g->worker;
    t->state = g;
    return true;
}

static void prepare(struct guest *g, struct thread *t)
{
    struct span boot = {buf_front(&t->boot), buf_len(&t->boot)};
    struct failure why;

    if (guest_prepare(g, "prepare", boot, &why) < 0) {
        fail_start(g, &why);
    }
    buf_free(&t->boot); /* there is no other start */
}

static struct guest *guest_new(struct chunks *chunks)
{
    struct guest *g = malloc(sizeof *g);
    struct failure why;

    if (g != NULL && guest_open(g, chunks, &why) < 0) {
        free(g);
        return NULL;
    }
    if (g != NULL) {
        guest_stand_by(g);
    }
    return g;
}

static void guest_free(struct guest *g)
{
    guest_close(g);
    free(g);
}

/* One that stands by, if there is one. NULL when memory or descriptors are out. */
static struct guest *guest_take(struct thread *t)
{
    struct stock_item *ready = stock_take(t->stock);
    struct guest *g =
        ready != NULL ? list_entry(ready, struct guest, item) : guest_new(stock_common(t->stock));
    struct failure why;

    if (g != NULL && guest_settle(g, t->by_turns ? t->mail : NULL, &why) < 0) {
        guest_free(g);
        return NULL;
    }
    return g;
}

/* NULL when there is none. */
static struct guest *begin(struct thread *t)
{
    struct guest *g = guest_take(t);

    if (g == NULL) {
        inproc_abandon(t->links.data, 1);
        inproc_abandon(t->links.control, 1);
        return NULL;
    }
    if (!open_worker(g, t)) {
        guest_end(g);
        guest_close(g);
        thread_output_close(g);
        free(g);
        return NULL;
    }
    interrupt_enter(g->runtime);
    if (thread_is_dying(t)) { /* the signal may have come too early for what runs here */
        interrupt_request(g->runtime, INTERRUPT_DIE);
        interrupt_arm(&g->runtime->interrupt, g->L);
    }
    prepare(g, t);
    guest_rest_later(g);
    return g;
}

static int count_libraries(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, LIBRARIES);
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, -1));
    return 1;
}

/* Only C code of others, or luv, can change the native thread, or keep something there: its
 * affinity, priority, signals, what a library has for each thread. */
static bool is_traceless(struct guest *g)
{
    bool none;

    lua_pushcfunction(g->L, count_libraries);
    none = lua_pcall(g->L, 0, 1, 0) == LUA_OK && lua_tointeger(g->L, -1) == 0;
    lua_pop(g->L, 1);
    return none && !g->runtime->has_luv;
}

static int end(struct guest *g, struct thread *t)
{
    int code = g->worker.exit_code;
    int parting = worker_was_orderly(&g->worker) ? PARTING_ORDERLY : code;

    t->worker = NULL;
    atomic_store_explicit(&t->parting, parting, memory_order_relaxed);
    visitors_finish(g);
    guest_end(g);
    t->is_traceless = is_traceless(g);
    interrupt_leave(g->runtime);
    guest_close(g);
    thread_output_close(g);
    free(g);
    return code;
}

/* ---- spawn/thread.h ---- */

static int run(struct thread *t)
{
    struct guest *g = begin(t);

    if (g == NULL) {
        return 1;
    }
    (void)worker_run(&g->worker);
    thread_output_flush(g);
    worker_finish(&g->worker);
    return end(g, t);
}

static uint64_t turn(struct thread *t, struct sched_thread *on)
{
    struct guest *g = t->state;
    uint64_t due_ms = 0;

    if (g != NULL) {
        interrupt_enter(g->runtime);
    } else {
        g = begin(t);
    }
    if (g != NULL && g->worker.state != WORKER_ENDED) {
        due_ms = runtime_turn(g->runtime, &t->unit, on);
    }
    if (g != NULL && g->worker.state != WORKER_ENDED) {
        interrupt_leave(g->runtime);
        return due_ms;
    }
    t->exit_code = 1;
    if (g != NULL) {
        thread_output_flush(g);
        worker_finish(&g->worker);
        t->exit_code = end(g, t);
    }
    return THREAD_ENDED;
}

static void visited(struct thread *t, struct inproc_link *link)
{
    if (t->worker != NULL && t->worker->state != WORKER_ENDED) {
        visitors_take(t->state, link);
    } else {
        inproc_abandon(link, 1);
    }
}

/* ---- spawn/stock.h: guests that wait for a thread to begin on ---- */

static void *open_common(void)
{
    return chunks_new();
}

static void close_common(void *chunks)
{
    chunks_free(chunks);
}

static struct stock_item *make(void *chunks)
{
    struct guest *g = guest_new(chunks);

    return g != NULL ? &g->item : NULL;
}

static void discard(struct stock_item *item)
{
    guest_free(list_entry(item, struct guest, item));
}

static void tidy(void *chunks)
{
    chunks_tidy(chunks);
}

static const struct stock_ops stock = {open_common, close_common, make, discard, tidy};

const struct thread_guest guest_on_thread = {run, turn, visited, &stock};
