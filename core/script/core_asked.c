/* What workers ask of the manager itself: each request is a task of its own in the manager, which
 * calls serve(process, service, method, ...) and may wait. A claim that can be answered at once,
 * and its end, need no Lua: a ledger does the same as lua/titan/store/memory.lua. */
#include <lauxlib.h>

#include "script/answer.h"
#include "script/core.h"
#include "script/core_ledger.h"
#include "script/task.h"
#include "script/value.h"
#include "wire/header.h"
#include "wire/mp_read.h"
#include "wire/mp_write.h"

/* ---- in a task ---- */

struct asking {
    struct script_manager *sm;
    struct process *from;
    struct span service;
    const struct message *m;
};

static void ended(struct task *t, lua_State *L, int status, int first)
{
    uint32_t id = t->asked.id;
    struct peer *peer = own_request_end(&t->asked);

    if (peer != NULL) {
        (void)answer_with(peer, id, L, status, first);
    }
}

static int interrupt(lua_State *L)
{
    struct task *t = lua_touserdata(L, 1);

    script_push_error(L, TITAN_E_CANCELLED, "the caller no longer waits", NULL, NULL);
    (void)task_interrupt(t, L);
    return 0;
}

/* Where it waits it is ended; where it does not, it ends by itself. */
static void unwanted(struct own_request *r)
{
    struct task *t = list_entry(r, struct task, asked);

    (void)task_protected(t->runtime, interrupt, t, "while a request was cancelled");
}

static int serve_done(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return lua_gettop(L);
}

/* The first function of the task: decodes inside the coroutine, then becomes `serve`. */
static int run_serve(lua_State *L)
{
    const struct asking *a = lua_touserdata(L, 1);
    struct failure why;
    int count;

    lua_settop(L, 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, a->sm->anchor);
    lua_getiuservalue(L, -1, MANAGER_SERVE_FN);
    lua_remove(L, 1);
    core_push_process(L, a->sm, a->from);
    lua_pushlstring(L, (const char *)a->service.at, a->service.len);
    lua_pushlstring(L, (const char *)a->m->method.at, a->m->method.len);
    count = value_read_list(L, a->m->payload, &a->from->data, &why);
    if (count < 0) {
        peer_blame(&a->from->data, why.message);
        return script_raise(L, &why);
    }
    lua_callk(L, count + 3, LUA_MULTRET, 0, serve_done);
    return serve_done(L, LUA_OK, 0);
}

static int begin(lua_State *L)
{
    const struct asking *a = lua_touserdata(L, 1);
    struct task *t = task_new(a->sm->runtime, L);
    struct header header;

    header_read(a->m->header, &header);
    if (header.deadline_ms > 0) {
        t->scope.deadline_ms = reactor_now_ms(a->sm->manager.reactor) + header.deadline_ms;
    }
    t->ended = ended;
    own_request_begin(&t->asked, a->from, a->m->id, unwanted);
    core_require(t->co, "titan.remote_error");
    lua_getfield(t->co, -1, "pack");
    lua_replace(t->co, 1);
    lua_settop(t->co, 1);
    lua_pushcfunction(t->co, run_serve);
    lua_pushlightuserdata(t->co, (void *)a);
    task_start(t, 1);
    return 0;
}

/* ---- without Lua ---- */

#define VALUE_MAX 4096 /* of what is answered from here; what is longer may go beside the bytes */

/* The arguments of both: kind, space, max_entries, key, token; a claim's time to wait, or a
 * settle's value and ttl. */
struct asked {
    struct ledger *ledger;
    struct span key;
    int64_t token;
    struct mp_reader rest;
    uint32_t rest_len;
};

static bool next_is(struct mp_reader *r, enum mp_type type, struct mp_token *t)
{
    return mp_next(r, t) == NULL && t->type == type;
}

static bool next_span(struct mp_reader *r, struct span *s)
{
    struct mp_token t;
    bool is = next_is(r, MP_STR, &t);

    if (is) {
        *s = (struct span){t.bytes, t.n};
    }
    return is;
}

/* One that need not be there. False for anything that is no whole time, or none. */
static bool next_time(struct asked *a, uint32_t left, double *ms)
{
    struct mp_token t = {.type = MP_NIL};

    if (left > 0 && mp_next(&a->rest, &t) != NULL) {
        return false;
    }
    *ms = t.type == MP_INT ? (double)t.i : LEDGER_FOREVER;
    return (t.type == MP_INT || t.type == MP_NIL) && *ms > 0;
}

/* False: it is for Lua to say what is wrong, if anything is. */
static bool read_asked(const struct script_manager *sm, struct span params, struct asked *a)
{
    struct span kind, space;
    struct mp_token t;

    a->rest = (struct mp_reader){params.at, params.at + params.len};
    if (!next_is(&a->rest, MP_ARRAY, &t) || t.n < 5 || !next_span(&a->rest, &kind) ||
        !span_is(kind, "manager") || !next_span(&a->rest, &space)) {
        return false;
    }
    a->rest_len = t.n - 5;
    a->ledger = core_ledger_find(sm, space);
    if (a->ledger == NULL || mp_next(&a->rest, &t) != NULL ||
        (t.type != MP_INT && t.type != MP_NIL) || !next_span(&a->rest, &a->key) ||
        !next_is(&a->rest, MP_INT, &t)) {
        return false;
    }
    a->token = t.i;
    return true;
}

static bool answer_state(struct peer *peer, uint32_t id, const char *state,
                         const struct span *value)
{
    struct draft d;

    if (answer_begin(peer, &d, id, false) < 0) {
        return false;
    }
    if (!mp_write_array(peer_out(peer), value != NULL ? 2 : 1) ||
        !mp_write_str(peer_out(peer), state, strlen(state)) ||
        (value != NULL && !mp_write_str(peer_out(peer), value->at, value->len))) {
        answer_abort(peer, &d);
        return false;
    }
    return answer_end(peer, &d, false) == TITAN_OK;
}

static bool claim(const struct script_manager *sm, struct process *from, struct asked *a,
                  uint32_t id)
{
    struct span value;
    double wait_ms; /* matters to those alone who wait */

    if (a->rest_len > 1 || !next_time(a, a->rest_len, &wait_ms)) {
        return false;
    }
    switch (ledger_claim(a->ledger, a->key, core_ledger_now_ms(sm), from, a->token, &value)) {
    case LEDGER_MINE:
        if (!answer_state(&from->data, id, "mine", NULL)) {
            ledger_release(a->ledger, a->key, from);
            return false;
        }
        return true;
    case LEDGER_DONE:
        return value.len <= VALUE_MAX && answer_state(&from->data, id, "done", &value);
    default:
        return false;
    }
}

static bool settle(const struct script_manager *sm, struct process *from, struct asked *a,
                   uint32_t id)
{
    struct span value;
    struct draft d;
    double ttl_ms;

    if (a->rest_len < 1 || a->rest_len > 2 || !next_span(&a->rest, &value) ||
        !next_time(a, a->rest_len - 1, &ttl_ms) ||
        !ledger_settle(a->ledger, a->key, from, a->token, value, core_ledger_now_ms(sm) + ttl_ms)) {
        return false;
    }
    if (answer_begin(&from->data, &d, id, false) == TITAN_OK) {
        if (mp_write_array(peer_out(&from->data), 0)) {
            (void)answer_end(&from->data, &d, false);
        } else {
            answer_abort(&from->data, &d);
        }
    }
    return true;
}

/* False: nothing has happened, and a task of Lua's is to serve it. */
static bool serve_at_once(const struct script_manager *sm, struct process *from,
                          struct span service, const struct message *m)
{
    bool is_claim = m->method.at != NULL && span_is(m->method, "claim");
    struct asked a;

    if ((!is_claim && (m->method.at == NULL || !span_is(m->method, "settle"))) ||
        !span_is(service, ":store") || !read_asked(sm, m->payload, &a)) {
        return false;
    }
    return is_claim ? claim(sm, from, &a, m->id) : settle(sm, from, &a, m->id);
}

void core_asked(void *ctx, struct process *p, struct span service, const struct message *m)
{
    struct script_manager *sm = ctx;
    struct asking asking = {sm, p, service, m};

    if (serve_at_once(sm, p, service, m)) {
        return;
    }
    if (!task_protected(sm->runtime, begin, &asking, "in a service of the manager")) {
        struct failure why;

        fail(&why, TITAN_E_LIMIT_EXCEEDED, "the manager is out of memory");
        (void)answer_failure(&p->data, m->id, &why);
    }
}
