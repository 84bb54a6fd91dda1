#include "script/task.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "script/state.h"

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

/* That of the start is let go when the state comes to rest. */
static void new_coroutine(struct runtime *rt, lua_State *L)
{
    enum state_span before;

    if (rt->memory == NULL) {
        lua_newthread(L);
        return;
    }
    before = state_make(rt->memory, STATE_BRIEF);
    lua_newthread(L);
    (void)state_make(rt->memory, before);
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
    new_coroutine(rt, L);
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

/* ---- running ---- */

/* The coroutine has returned to us: it can serve again. */
static void recycle(struct task *t)
{
    struct runtime *rt = t->runtime;

    lua_settop(t->co, 0);
    t->state = TASK_IDLE;
    t->method = STATUS_NO_METHOD;
    t->started_ns = 0;
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

/* Says in the status page who is on the CPU. */
static void note_running(struct runtime *rt)
{
    const struct task *t = rt->running;

    if (rt->status == NULL) {
        return;
    }
    if (t == NULL) {
        status_idle(rt->status);
    } else {
        status_running(rt->status, t->method != STATUS_NO_METHOD ? t->method : STATUS_TASK,
                       t->started_ns);
    }
}

/* Its slice is over: all that is done in this state waits until it has gone on, since its code
 * counts on nothing happening between two of its waits. */
static void set_preempted(struct task *t)
{
    struct runtime *rt = t->runtime;

    t->state = TASK_PREEMPTED;
    list_push(&rt->preempted, &t->ready);
    reactor_pause(&rt->reactor);
}

static void resume(struct task *t, int nargs)
{
    struct runtime *rt = t->runtime;
    struct task *outer = rt->running;
    lua_State *outer_co = interrupt_switch(&rt->interrupt, t->co);
    bool bit = rt->memory != NULL && state_bite(rt->memory, true);
    int results;
    int status;

    rt->running = t;
    t->state = TASK_RUNNING;
    note_running(rt);
    status = lua_resume(t->co, rt->L, nargs, &results);
    if (rt->memory != NULL) {
        (void)state_bite(rt->memory, bit);
    }
    rt->running = outer;
    interrupt_back(&rt->interrupt, outer_co);
    if (status == LUA_YIELD && rt->interrupt.preempted == t->co) {
        rt->interrupt.preempted = NULL;
        set_preempted(t); /* to all others it runs */
        return;
    }
    note_running(rt);
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
    if (rt->memory != NULL && state_take_pressure(rt->memory) && outer == NULL) {
        lua_gc(rt->L, LUA_GCCOLLECT);
    }
}

static void start(struct task *t, int nargs)
{
    lua_pushcfunction(t->co, body);
    lua_insert(t->co, HANDLER);
    resume(t, nargs + 2);
}

void task_start(struct task *t, int nargs)
{
    struct reactor *r = &t->runtime->reactor;
    bool is_inner = t->runtime->running != NULL; /* what runs would overtake it */

    r->whole += is_inner;
    start(t, nargs);
    r->whole -= is_inner;
}

int task_start_in(struct task *t, int nargs, lua_State *L, lua_KFunction k)
{
    struct runtime *rt = t->runtime;

    if (!lua_isyieldable(L)) {
        task_start(t, nargs);
    } else {
        start(t, nargs);
        if (rt->reactor.paused) {
            rt->interrupt.preempted = L;
            return lua_yieldk(L, 0, 0, k);
        }
    }
    return k(L, LUA_OK, 0);
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
        interrupt_be_patient(&rt->interrupt);
        lua_error(L);
    }
    return t;
}

void task_resume(struct task *t)
{
    struct reactor *r = &t->runtime->reactor;
    bool is_inner = t->runtime->running != NULL; /* what runs would overtake it */

    r->whole += is_inner;
    resume(t, t->interrupted ? 1 : 0);
    r->whole -= is_inner;
}

/* One may have begun in the middle of the next: that one comes after it. */
void tasks_go_on(struct runtime *rt)
{
    struct list now;

    reactor_resume(&rt->reactor);
    list_take(&now, &rt->preempted);
    while (!list_empty(&now) && !rt->reactor.paused) {
        struct task *t = list_entry(now.next, struct task, ready);

        list_remove(&t->ready);
        resume(t, 0);
    }
    list_put_first(&now, &rt->preempted);
    list_take(&rt->preempted, &now);
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

    list_take(&now, &rt->ready);
    while (!list_empty(&now) && !rt->reactor.paused) {
        struct task *t = list_entry(now.next, struct task, ready);

        list_remove(&t->ready);
        task_resume(t);
    }
    if (!list_empty(&now)) {
        list_put_first(&rt->ready, &now);
        reactor_flush_later(&rt->reactor, &rt->resume);
    }
}

void tasks_open(struct runtime *rt)
{
    list_init(&rt->tasks);
    list_init(&rt->idle);
    list_init(&rt->ready);
    list_init(&rt->preempted);
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
    reactor_resume(&rt->reactor);
    flusher_cancel(&rt->resume);
    discard_all(&rt->tasks);
}

void tasks_rest(struct runtime *rt)
{
    discard_all(&rt->idle);
    rt->idle_len = 0;
}

void tasks_close(struct runtime *rt)
{
    tasks_discard(rt);
    tasks_rest(rt);
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
