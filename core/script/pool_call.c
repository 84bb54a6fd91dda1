/*
 * A call through a pool, as the caller's coroutine sees it. The arguments stay on its stack while
 * it waits for a worker, and after that until the answer is there: so nothing is copied, and a call
 * that may be repeated can be sent again.
 */
#include <lauxlib.h>
#include <string.h>

#include "script/call.h"
#include "script/core_pool.h"
#include "script/stream.h"
#include "script/task.h"

/* The further upvalues of a method. */
enum { POOL_PRIORITY = CALL_UPVALUES + 1, POOL_KEY, POOL_INFO, POOL_UPVALUES = POOL_INFO };

/* ---- what keeps calls together ---- */

/* FNV-1a, 64 bits, and its bits mixed: it is weak in the low ones. */
static uint64_t hash_bytes(const char *bytes, size_t len)
{
    uint64_t h = 14695981039346656037u;

    for (size_t i = 0; i < len; i++) {
        h = (h ^ (unsigned char)bytes[i]) * 1099511628211u;
    }
    return random_mix(h);
}

/* 1 and 1.0 are the same key, as they are in a table. False when it can be none. */
static bool hash_of(lua_State *L, int index, uint64_t *hash)
{
    lua_Integer i;
    lua_Number n;
    size_t len;
    const char *s;
    int whole;

    switch (lua_type(L, index)) {
    case LUA_TSTRING:
        s = lua_tolstring(L, index, &len);
        *hash = hash_bytes(s, len);
        return true;
    case LUA_TNUMBER:
        i = lua_tointegerx(L, index, &whole);
        n = lua_tonumber(L, index);
        *hash = whole ? random_mix((uint64_t)i + 1) : hash_bytes((const char *)&n, sizeof n);
        return true;
    default:
        return false;
    }
}

/* The key of `with`, else the first argument; a call that has neither may go anywhere, and each of
 * them goes somewhere else. */
static uint64_t call_hash(lua_State *L, const struct pool *p)
{
    uint64_t hash;

    if (p->options.strategy != STRATEGY_CONSISTENT_HASH &&
        p->options.strategy != STRATEGY_IP_HASH) {
        return 0;
    }
    if (hash_of(L, lua_upvalueindex(POOL_KEY), &hash) || hash_of(L, 2, &hash)) {
        return hash;
    }
    return random_mix(p->order);
}

/* ---- one call ---- */

static int go_on(lua_State *L, struct task *t, int code, struct failure *why);

/* `why` is only valid now: so a task that is refused runs at once. One that is granted must not: it
 * would run in the middle of whatever has set the worker free. */
static void left_queue(struct pool_call *c, const struct failure *why)
{
    struct task *t = list_entry(c, struct task, pooled);

    t->refusal = why;
    if (why != NULL) {
        task_resume(t);
    } else {
        task_resume_soon(t);
    }
}

static int queue_left(lua_State *L, int status, lua_KContext ctx)
{
    struct task *t = task_resumed(L, ctx);
    const struct failure *refusal = t->refusal;
    struct failure why;

    (void)status;
    t->refusal = NULL;
    return refusal != NULL ? call_raise(L, refusal) : go_on(L, t, TITAN_OK, &why);
}

static bool is_idempotent(lua_State *L)
{
    bool is;

    lua_getfield(L, lua_upvalueindex(POOL_INFO), "idempotent");
    lua_pushvalue(L, lua_upvalueindex(CALL_METHOD));
    lua_rawget(L, -2);
    is = lua_toboolean(L, -1);
    lua_pop(L, 2);
    return is;
}

static int answer_came(lua_State *L, int status, lua_KContext ctx)
{
    struct task *t = task_resumed(L, ctx);
    const struct reply *reply = t->reply;

    (void)status;
    t->reply = NULL;
    if (reply == NULL) {
        return stream_push(L, t);
    }
    if (reply->code == TITAN_E_WORKER_LOST && is_idempotent(L)) {
        struct failure why = *reply->failure;

        return go_on(L, t, pool_take_again(&t->pooled, true, &why), &why);
    }
    pool_give_back(&t->pooled, reply->code);
    return call_results(L, reply);
}

/* To the worker that was granted, unless its end has come first. */
static int send_call(lua_State *L, struct task *t, struct failure *why)
{
    struct process *process = t->pooled.worker->process;
    int code;

    if (process == NULL || process->state != PROCESS_RUNNING) {
        return TITAN_E_WORKER_LOST;
    }
    code = call_begin(L, t, &process->data, NULL, pool_call_left_ms(&t->pooled), why);
    if (code == TITAN_OK) {
        t->call.timeout_ms = t->pooled.timeout_ms; /* what the error names is the whole of it */
    }
    return code;
}

/* `code` is what pool_take said. */
static int go_on(lua_State *L, struct task *t, int code, struct failure *why)
{
    while (code == TITAN_OK) {
        code = send_call(L, t, why);
        if (code == TITAN_OK) {
            return task_wait(t, TASK_WAITING, L, answer_came);
        }
        if (code != TITAN_E_WORKER_LOST) {
            pool_give_back(&t->pooled, code);
            break;
        }
        code = pool_take_again(&t->pooled, false, why);
    }
    if (code == POOL_QUEUED) {
        return task_wait(t, TASK_WAITING, L, queue_left);
    }
    return call_raise(L, why);
}

static int pooled_call(lua_State *L)
{
    struct script_pool *sp = lua_touserdata(L, lua_upvalueindex(CALL_TARGET));
    struct pool_call *c;
    struct task *t;
    struct failure why;

    call_check_self(L);
    t = task_current(L);
    c = &t->pooled;
    if (!scope_limit_ms(&t->scope, reactor_now_ms(runtime_reactor(t->runtime)),
                        (uint32_t)lua_tointeger(L, lua_upvalueindex(CALL_TIMEOUT)),
                        &c->timeout_ms)) {
        fail(&why, TITAN_E_TIMEOUT, "no time is left of the call that this one is part of");
        return call_raise(L, &why);
    }
    c->priority = (int32_t)lua_tointeger(L, lua_upvalueindex(POOL_PRIORITY));
    c->hash = call_hash(L, &sp->pool);
    c->left = left_queue;
    return go_on(L, t, pool_take(&sp->pool, c, &why), &why);
}

int core_pool_method(lua_State *L)
{
    (void)core_check_pool(L, 1);
    lua_settop(L, POOL_UPVALUES - 1);
    lua_pushnil(
        L); /* no number: workers of different versions may number their methods otherwise */
    lua_insert(L, CALL_METHOD_ID);
    lua_pushcclosure(L, pooled_call, POOL_UPVALUES);
    return 1;
}
