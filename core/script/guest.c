#include "script/guest.h"

#include <lauxlib.h>
#include <string.h>

#include "script/answer.h"
#include "script/core.h"
#include "script/task.h"
#include "script/value.h"
#include "transport/inproc.h"
#include "wire/header.h"

#define REST_MS 20

static const char registry_key; /* its address is the key */

void guest_register(lua_State *L, struct guest *g)
{
    lua_pushlightuserdata(L, g);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
}

struct guest *guest_of(lua_State *L)
{
    struct guest *g;

    lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key);
    g = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return g != NULL && g->is_worker ? g : NULL;
}

struct guest *guest_check(lua_State *L)
{
    struct guest *g = guest_of(L);

    if (g == NULL) {
        luaL_error(L, "titan: this is for the inside of a worker");
    }
    return g;
}

/* ---- answering ---- */

/* Who has ended the worker by hand gives no answer any more, nor what is killed. */
static bool is_over(const struct guest *g)
{
    return g->worker.state == WORKER_ENDED || (g->thread != NULL && thread_is_dying(g->thread));
}

static void request_ended(struct task *t, lua_State *L, int status, int first)
{
    struct guest *g = t->owner;
    struct worker *w = &g->worker;
    bool over = is_over(g);
    bool ok = !over && answer_with(t->from->peer, t->id, L, status, first);

    pumps_leave(&g->pumps, t);
    visitor_answered(t->from);
    if (!over) { /* else the page goes on telling what the worker died in */
        status_call_ended(w->status, t->number, t->method, t->started_ns, now_ns(), !ok);
    }
    status_store(w->status->lua_heap_len, (uint64_t)lua_gc(L, LUA_GCCOUNT) * 1024);
    worker_call_ended(w);
}

/* ---- requests ---- */

static int call_done(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return lua_gettop(L);
}

/* What came with the call besides a deadline, as its context. */
static void take_context(lua_State *L, struct task *t, const struct message *m)
{
    struct peer *from = t->from->peer;
    struct failure why;

    if (value_decode(L, m->header, from->limits.nesting, &why) < 0) {
        peer_blame(from, why.message);
        (void)script_raise(L, &why);
    }
    scope_set_context(L, &t->scope);
}

/* The first function of a request's task, with the message as its argument: decodes the arguments
 * inside the coroutine, where a Lua error is the request's alone, then becomes the method. */
static int run_request(lua_State *L)
{
    const struct message *m = lua_touserdata(L, 1);
    struct task *t = task_of(L, L);
    struct guest *g = t->owner;
    struct failure why;
    int count;

    lua_rawgeti(L, LUA_REGISTRYINDEX, g->methods);
    lua_rawgeti(L, -1, (lua_Integer)t->method + 1);
    lua_replace(L, 1);
    lua_pop(L, 1);
    if (t->wants_context) {
        take_context(L, t, m);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, g->self);
    count = value_read_list(L, m->payload, t->from->peer, &why);
    if (count < 0) {
        peer_blame(t->from->peer, why.message);
        return script_raise(L, &why);
    }
    lua_callk(L, count + 1, LUA_MULTRET, 0, call_done);
    return call_done(L, LUA_OK, 0);
}

/* A claim is for the method that was called: one that is not idempotent (any more) must not pass it
 * on to those that it calls. */
static bool is_keyed(struct guest *g, uint32_t method)
{
    bool is;

    lua_rawgeti(g->L, LUA_REGISTRYINDEX, g->keyed);
    lua_rawgeti(g->L, -1, (lua_Integer)method);
    is = lua_toboolean(g->L, -1);
    lua_pop(g->L, 2);
    return is;
}

static void start_request(struct caller *from, const struct message *m, uint32_t method)
{
    struct guest *g = from->guest;
    struct task *t = task_new(g->runtime, g->L);
    struct header header;

    header_read(m->header, &header);
    t->wants_context = header.has_more;
    t->claimed = header.claimed && from == &g->home && is_keyed(g, method);
    t->ended = request_ended;
    t->owner = g;
    t->from = from;
    t->id = m->id;
    if (!pumps_enter(&g->pumps, t)) {
        script_fail(g->L, "titan: out of memory");
    }
    t->method = method;
    t->started_ns = now_ns();
    if (header.deadline_ms > 0) {
        t->scope.deadline_ms = reactor_ms_at(g->worker.reactor, t->started_ns) + header.deadline_ms;
    }
    t->number = status_call_started(g->worker.status, method, t->started_ns);
    worker_call_started(&g->worker);
    lua_rawgeti(t->co, LUA_REGISTRYINDEX, g->handler);
    lua_pushcfunction(t->co, run_request);
    lua_pushlightuserdata(t->co, (void *)m);
    task_start(t, 1);
}

static uint32_t find_by_name(struct guest *g, struct span name)
{
    lua_State *L = g->L;
    uint32_t method = UINT32_MAX;

    lua_rawgeti(L, LUA_REGISTRYINDEX, g->by_name);
    lua_pushlstring(L, (const char *)name.at, name.len);
    if (lua_rawget(L, -2) == LUA_TNUMBER) {
        method = (uint32_t)lua_tointeger(L, -1);
    }
    lua_pop(L, 2);
    return method;
}

/* A task of its own that only raises: the answer is an error like any other. */
static int run_refusal(lua_State *L)
{
    const struct message *m = lua_touserdata(L, 1);
    struct guest *g = task_of(L, L)->owner;

    lua_rawgeti(L, LUA_REGISTRYINDEX, g->refuse);
    if (m->method.at != NULL) {
        lua_pushlstring(L, (const char *)m->method.at, m->method.len);
    } else {
        lua_pushinteger(L, m->method_id);
    }
    lua_call(L, 1, 1);
    return lua_error(L);
}

static void refuse_request(struct caller *from, const struct message *m)
{
    struct guest *g = from->guest;
    struct task *t = task_new(g->runtime, g->L);

    t->ended = request_ended;
    t->owner = g;
    t->from = from;
    t->id = m->id;
    t->method = STATUS_NO_METHOD;
    t->started_ns = now_ns();
    t->number = status_call_started(g->worker.status, STATUS_NO_METHOD, t->started_ns);
    worker_call_started(&g->worker);
    lua_rawgeti(t->co, LUA_REGISTRYINDEX, g->handler);
    lua_pushcfunction(t->co, run_refusal);
    lua_pushlightuserdata(t->co, (void *)m);
    task_start(t, 1);
}

/* Protected: making a task may raise a memory error. */
static int take_request(lua_State *L)
{
    struct caller *from = lua_touserdata(L, 1);
    const struct message *m = lua_touserdata(L, 2);
    struct guest *g = from->guest;
    uint32_t method = m->method.at ? find_by_name(g, m->method) : m->method_id;
    lua_Unsigned count;

    if (pumps_find(&g->pumps, from, m->id) != NULL) {
        peer_blame(from->peer, "a request with the number of one that is under way");
        return 0;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, g->methods);
    count = lua_rawlen(L, -1);
    lua_pop(L, 1);
    if (method < count) {
        start_request(from, m, method);
    } else {
        refuse_request(from, m);
    }
    return 0;
}

void guest_request(struct caller *from, const struct message *m)
{
    struct guest *g = from->guest;

    lua_pushcfunction(g->L, take_request);
    lua_pushlightuserdata(g->L, from);
    lua_pushlightuserdata(g->L, (void *)m);
    if (lua_pcall(g->L, 2, 0, 0) != LUA_OK) {
        struct failure why;

        lua_pop(g->L, 1);
        fail(&why, TITAN_E_LIMIT_EXCEEDED, "the worker is out of memory");
        (void)answer_failure(from->peer, m->id, &why);
    }
}

void guest_cancel(struct caller *from, uint32_t id)
{
    struct guest *g = from->guest;
    struct task *t = pumps_find(&g->pumps, from, id);

    if (t != NULL) {
        t->cancelled = true;
        lua_rawgeti(g->L, LUA_REGISTRYINDEX, g->cancelled);
        /* Not waiting: its answer is on the way already. A stream is closed before what its caller
         * asks next. */
        if (task_interrupt(t, g->L) && t->streams) {
            list_remove(&t->ready);
            task_resume(t);
        }
    }
}

static void on_request(void *ctx, const struct message *m)
{
    guest_request(&((struct guest *)ctx)->home, m);
}

static void on_cancel(void *ctx, uint32_t id)
{
    guest_cancel(&((struct guest *)ctx)->home, id);
}

static void on_credit(void *ctx, uint32_t id, uint32_t bytes)
{
    pumps_credit(&((struct guest *)ctx)->home, id, bytes);
}

/* ---- the Lua part ---- */

/* What happens once is not kept: it is in titan.worker.starting. */
static void push_main(lua_State *L, const struct guest *g, const char *name)
{
    if (strcmp(name, "prepare") == 0 || strcmp(name, "start") == 0) {
        core_push_used(L, "titan.worker.starting");
    } else {
        lua_rawgeti(L, LUA_REGISTRYINDEX, g->lua_main);
    }
    lua_getfield(L, -1, name);
}

/* The function of titan.worker of that name (decoded payload, if there is one) */
static int call_main(lua_State *L)
{
    struct guest *g = lua_touserdata(L, 1);
    const char *name = lua_touserdata(L, 2);
    const struct span *payload = lua_touserdata(L, 3);
    enum state_span before;
    struct failure why;

    push_main(L, g, name);
    before = state_make(g->memory, STATE_BRIEF);
    if (payload != NULL && value_decode_one_with(L, *payload, g->worker.control.limits.nesting,
                                                 g->worker.control.arrived, &why) < 0) {
        return luaL_error(L, "%s", why.message);
    }
    (void)state_make(g->memory, before);
    lua_call(L, payload ? 1 : 0, 0);
    return 0;
}

/* LUA_OK, or an error's status with the error on the stack. */
static int protected_main(struct guest *g, const char *name, const struct span *payload)
{
    int status;

    lua_pushcfunction(g->L, script_traceback);
    lua_pushcfunction(g->L, call_main);
    lua_pushlightuserdata(g->L, g);
    lua_pushlightuserdata(g->L, (void *)name);
    lua_pushlightuserdata(g->L, (void *)payload);
    status = lua_pcall(g->L, 3, 0, -5);
    lua_remove(g->L, status == LUA_OK ? -1 : -2);
    return status;
}

/* An error here is one that the Lua part could not make an answer of. */
static void tell_main(struct guest *g, const char *name, const struct span *payload)
{
    if (protected_main(g, name, payload) != LUA_OK) {
        task_uncaught(g->runtime, g->L, -1, name);
        lua_pop(g->L, 1);
    }
}

static void on_limber(void *ctx)
{
    tell_main(ctx, "limber", NULL);
}

static void on_start(void *ctx, struct span spec)
{
    tell_main(ctx, "start", &spec);
}

static void on_proceed(void *ctx, struct span payload)
{
    tell_main(ctx, "proceed", &payload);
}

/* Who is killed at once runs no hooks, though the shutdown may come before the end does. */
static void on_shutdown(void *ctx)
{
    const struct guest *g = ctx;

    if (g->thread == NULL || !thread_is_dying(g->thread)) {
        tell_main(ctx, "shutdown", NULL);
    }
}

/* ---- life ---- */

const struct worker_guest guest_handlers = {on_limber, on_start,  on_proceed, on_request,
                                            on_cancel, on_credit, on_shutdown};

static void worker_uncaught(struct runtime *rt)
{
    worker_exit(&((struct guest *)rt->owner)->worker, 1);
}

void guest_begin(struct guest *g)
{
    g->is_worker = true;
    pumps_open(&g->pumps);
    caller_init(&g->home, g, &g->worker.data, 0);
    visitors_open(&g->visitors);
    routes_open(&g->routes);
    g->runtime->owner = g;
    g->runtime->uncaught = worker_uncaught;
}

static void tidy_channel(struct peer *p)
{
    if (p->channel != NULL) {
        inproc_tidy(p->channel);
    }
}

/* On a thread: its channels are in memory. */
static void come_to_rest(struct timer *t)
{
    struct guest *g = list_entry(t, struct guest, rest);

    if (g->worker.state == WORKER_STARTING) {
        guest_rest_later(g);
        return;
    }
    tasks_rest(g->runtime);
    tidy_channel(&g->worker.control);
    tidy_channel(&g->worker.data);
    lua_gc(g->L, LUA_GCCOLLECT);
    state_rest(g->memory);
}

void guest_rest_later(struct guest *g)
{
    g->rest.fire = come_to_rest;
    (void)timer_arm(&g->runtime->reactor, &g->rest, REST_MS, false);
}

void guest_end(struct guest *g)
{
    timer_disarm(&g->runtime->reactor, &g->rest);
    tasks_close(g->runtime);
    routes_close(&g->routes);
    visitors_close(&g->visitors);
    pump_close(&g->home);
    pumps_close(&g->pumps);
    g->runtime->status = NULL;
    worker_close(&g->worker);
}

int guest_prepare(struct guest *g, const char *how, struct span boot, struct failure *why)
{
    g->worker.control.limits = WIRE_LIMITS_DEFAULT;
    if (protected_main(g, how, &boot) != LUA_OK) {
        fail(why, TITAN_E_SPAWN_FAILED, "%s", luaL_tolstring(g->L, -1, NULL));
        lua_pop(g->L, 2);
        return why->code;
    }
    return TITAN_OK;
}
