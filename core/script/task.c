#include "script/task.h"

#include <lauxlib.h>
#include <stdlib.h>

#define IDLE_MAX 1024 /* coroutines kept */

/* The stack of a task's coroutine: the message handler at 1, then what its function returned. */
#define HANDLER 1
#define FIRST 2

/* ---- coroutines, new and used ---- */

static void free_task(struct task *t, lua_State *L)
{
    scope_leave(L, &t->scope);
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, t->co);
    luaL_unref(L, LUA_REGISTRYINDEX, t->anchor);
    list_remove(&t->link);
    list_remove(&t->ready);
    list_remove(&t->at);
    list_remove(&t->asked_by);
    free(t);
}

struct task *task_of(lua_State *L, lua_State *co)
{
    struct task *t;

    lua_rawgetp(L, LUA_REGISTRYINDEX, co);
    t = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return t;
}

struct task *task_new(struct runtime *rt, lua_State *L)
{
    struct task *t;

    if (!list_empty(&rt->idle)) {
        t = list_entry(rt->idle.prev, struct task, link);
        list_remove(&t->link);
        list_push(&rt->tasks, &t->link);
        rt->idle_len--;
        return t;
    }
    lua_newthread(L);
    t = calloc(1, sizeof *t);
    if (t == NULL) {
        script_fail(L, "titan: out of memory");
    }
    t->runtime = rt;
    t->co = lua_tothread(L, -1);
    t->method = STATUS_NO_METHOD;
    list_init(&t->link);
    list_init(&t->ready);
    list_init(&t->asked.link);
    list_init(&t->at);
    list_init(&t->asked_by);
    t->anchor = LUA_NOREF;
    list_push(&rt->tasks, &t->link);
    t->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushlightuserdata(L, t);
    lua_rawsetp(L, LUA_REGISTRYINDEX, t->co);
    return t;
}

/* The coroutine has returned to us: it can serve again. */
static void recycle(struct task *t)
{
    struct runtime *rt = t->runtime;

    lua_settop(t->co, 0);
    t->state = TASK_IDLE;
    t->method = STATUS_NO_METHOD;
    t->claimed = false;
    if (!scope_is_empty(&t->scope)) {
        scope_leave(rt->L, &t->scope);
    }
    list_remove(&t->link);
    if (rt->idle_len >= IDLE_MAX) {
        free_task(t, rt->L);
        return;
    }
    list_push(&rt->idle, &t->link);
    rt->idle_len++;
}

/* ---- running ---- */

/* After the function, in the coroutine. */
static int body_done(lua_State *L, int status, lua_KContext ctx)
{
    struct runtime *rt = (struct runtime *)ctx;
    struct task *t = task_of(L, L);

    if (t == NULL) {
        return 0; /* given up while it waited; somebody resumed it all the same */
    }
    t->ended(t, L, status == LUA_YIELD ? LUA_OK : status, FIRST);
    lua_settop(L, 0);
    if (rt->running != t) {
        free_task(t, L); /* the user's code resumed it: the coroutine is theirs to see end */
    }
    return 0;
}

/* The stack: handler, the user's function, its arguments. */
static int body(lua_State *L)
{
    struct runtime *rt = runtime_of(L);
    int status =
        lua_pcallk(L, lua_gettop(L) - FIRST, LUA_MULTRET, HANDLER, (lua_KContext)rt, body_done);

    return body_done(L, status, (lua_KContext)rt);
}

static void resume(struct task *t, int nargs)
{
    struct runtime *rt = t->runtime;
    struct task *outer = rt->running;
    int results;
    int status;

    rt->running = t;
    t->state = TASK_RUNNING;
    if (rt->status != NULL) {
        status_running(rt->status, t->method, t->started_ns);
    }
    status = lua_resume(t->co, rt->L, nargs, &results);
    rt->running = outer;
    if (rt->status != NULL) {
        status_idle(rt->status);
    }
    if (status == LUA_YIELD) {
        lua_pop(t->co, results);
        if (t->state == TASK_RUNNING) {
            t->state = TASK_FOREIGN;
        }
    } else if (status == LUA_OK) {
        recycle(t);
    } else {
        task_uncaught(rt, t->co, -1, "while a task ended");
        lua_resetthread(t->co);
        recycle(t);
    }
}

void task_start(struct task *t, int nargs)
{
    lua_pushcfunction(t->co, body);
    lua_insert(t->co, HANDLER);
    resume(t, nargs + 2);
}

/* ---- waiting ---- */

static const char cannot_wait_here[] = "titan: this function waits, and cannot inside a "
                                       "metamethod, a sort comparator, a gsub callback "
                                       "or another C function";
static const char not_a_task[] =
    "titan: this function waits, so it must be called from a task: inside titan.run(function() ... "
    "end) or titan.go(function() ... end), not from a coroutine of your own or a callback";

struct task *task_current(lua_State *L)
{
    struct runtime *rt = runtime_of(L);
    struct task *t = rt->running;

    if (t == NULL || t->co != L) {
        t = task_of(L, L);
    }
    if (t == NULL || !lua_isyieldable(L)) {
        script_fail(L, t ? cannot_wait_here : not_a_task);
    }
    return t;
}

int task_wait(struct task *t, enum task_state state, lua_State *L, lua_KFunction k)
{
    t->state = state;
    return lua_yieldk(L, 0, (lua_KContext)t->runtime, k);
}

/* Somebody else has resumed it: what it waited for must not do so again. */
static void stop_waiting(struct task *t)
{
    call_forget(&t->call);
    pool_call_forget(&t->pooled);
    kv_forget(&t->stored);
    timer_disarm(runtime_reactor(t->runtime), &t->timer);
    list_remove(&t->ready);
    list_remove(&t->at);
    t->interrupted = false;
    t->state = TASK_FOREIGN;
}

struct task *task_resumed(lua_State *L, lua_KContext ctx)
{
    struct runtime *rt = (struct runtime *)ctx;
    struct task *t = rt->running;

    if (t == NULL || t->co != L) {
        t = task_of(L, L);
        if (t != NULL) {
            stop_waiting(t);
        }
        script_fail(L,
                    "titan: this coroutine waits for an answer or a time; it must not be resumed "
                    "by hand");
    }
    if (t->interrupted) {
        t->interrupted = false;
        lua_error(L);
    }
    return t;
}

void task_resume(struct task *t)
{
    resume(t, t->interrupted ? 1 : 0);
}

static void make_ready(struct task *t)
{
    struct runtime *rt = t->runtime;

    timer_disarm(runtime_reactor(rt), &t->timer);
    t->state = TASK_READY;
    list_push(&rt->ready, &t->ready);
    reactor_flush_later(runtime_reactor(rt), &rt->resume);
}

void task_resume_soon(struct task *t)
{
    make_ready(t);
}

void task_unpark(struct task *t)
{
    if (t->state == TASK_PARKED) {
        make_ready(t);
    }
}

bool task_interrupt(struct task *t, lua_State *L)
{
    bool waits = t->state == TASK_WAITING || t->state == TASK_PARKED || t->state == TASK_READY;

    if (!waits || t->interrupted || !lua_checkstack(t->co, 2)) {
        lua_pop(L, 1);
        return false;
    }
    call_forget(&t->call);
    pool_call_forget(&t->pooled);
    kv_forget(&t->stored);
    list_remove(&t->at);
    lua_xmove(L, t->co, 1);
    t->interrupted = true;
    if (t->state != TASK_READY) {
        make_ready(t);
    }
    return true;
}

bool task_sees_to(const struct task *t, uint64_t now_ms, uint32_t left_ms)
{
    for (const struct time_limit *l = t->limit; l != NULL; l = l->outer) {
        if (l->deadline_ms <= now_ms + left_ms) {
            return true;
        }
    }
    return false;
}

/* Mostly the innermost: to-be-closed variables are closed in their order. */
void task_limit_remove(struct task *t, struct time_limit *limit)
{
    struct time_limit **at = &t->limit;

    while (*at != NULL && *at != limit) {
        at = &(*at)->outer;
    }
    if (*at != NULL) {
        *at = limit->outer;
    }
}

/* Only those that are ready now: what they make ready comes with the next flush. */
static void resume_ready(struct flusher *f)
{
    struct runtime *rt = list_entry(f, struct runtime, resume);
    struct list now;

    list_init(&now);
    while (!list_empty(&rt->ready)) {
        struct list *node = rt->ready.next;

        list_remove(node);
        list_push(&now, node);
    }
    while (!list_empty(&now)) {
        struct task *t = list_entry(now.next, struct task, ready);

        list_remove(&t->ready);
        task_resume(t);
    }
}

void tasks_open(struct runtime *rt)
{
    list_init(&rt->tasks);
    list_init(&rt->idle);
    list_init(&rt->ready);
    flusher_init(&rt->resume, resume_ready);
}

/* Gives a task up: what it holds is closed, and nothing resumes it any more. */
static void discard(struct task *t)
{
    struct runtime *rt = t->runtime;

    (void)own_request_end(&t->asked);
    call_forget(&t->call);
    pool_call_forget(&t->pooled);
    kv_forget(&t->stored);
    timer_disarm(&rt->reactor, &t->timer);
    list_remove(&t->at);
    if (t->state != TASK_IDLE) {
        lua_resetthread(t->co);
    }
    free_task(t, rt->L);
}

static void discard_all(struct list *head)
{
    while (!list_empty(head)) {
        discard(list_entry(head->next, struct task, link));
    }
}

void tasks_discard(struct runtime *rt)
{
    flusher_cancel(&rt->resume);
    discard_all(&rt->tasks);
}

void tasks_close(struct runtime *rt)
{
    tasks_discard(rt);
    discard_all(&rt->idle);
    rt->idle_len = 0;
}

void task_uncaught(struct runtime *rt, lua_State *L, int index, const char *where)
{
    script_report(L, index, where);
    if (rt->uncaught != NULL) {
        rt->uncaught(rt);
    }
}

bool task_protected(struct runtime *rt, lua_CFunction fn, void *arg, const char *where)
{
    lua_State *L = rt->L;
    int status;

    lua_pushcfunction(L, script_traceback);
    lua_pushcfunction(L, fn);
    lua_pushlightuserdata(L, arg);
    status = lua_pcall(L, 1, 0, -3);
    if (status != LUA_OK) {
        task_uncaught(rt, L, -1, where);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return status == LUA_OK;
}
