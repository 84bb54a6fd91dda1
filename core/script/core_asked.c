/* What workers ask of the manager itself: each request is a task of its own in the manager, which
 * calls serve(process, service, method, ...) and may wait. */
#include <lauxlib.h>

#include "script/answer.h"
#include "script/core.h"
#include "script/core_manager.h"
#include "script/task.h"
#include "script/value.h"
#include "wire/header.h"

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

void core_asked(void *ctx, struct process *p, struct span service, const struct message *m)
{
    struct script_manager *sm = ctx;
    struct asking asking = {sm, p, service, m};

    if (!task_protected(sm->runtime, begin, &asking, "in a service of the manager")) {
        struct failure why;

        fail(&why, TITAN_E_LIMIT_EXCEEDED, "the manager is out of memory");
        (void)answer_failure(&p->data, m->id, &why);
    }
}
