#include "script/stream.h"

#include <lauxlib.h>
#include <string.h>

#include "script/call.h"
#include "script/core.h"
#include "script/task.h"
#include "script/value.h"

#define STREAM_TYPE "titan.core.stream"

/* The user value of a stream: what its call leads to, a pool perhaps, which must outlive it. */
#define STREAM_TARGET 1

/* An item this large goes to the coroutine that waits for it straight from where it was received;
 * of smaller ones a whole read is kept, and the coroutine is resumed once for all of them. */
#define DIRECT_MIN 2048

/* Credit goes back by such steps. */
#define CREDIT_STEP (STREAM_WINDOW / 4)

struct stream {
    struct call call;
    struct pool_call pooled;    /* its place in a pool, if it goes through one */
    struct list waiter;         /* of the one task that waits for an item */
    struct span direct;         /* the item it is resumed with, */
    struct cargo *direct_cargo; /* or NULL */
    struct buf kept;   /* items that nobody has taken yet: a struct kept, its cargo, the values */
    uint32_t consumed; /* bytes of items that were taken and not given back as credit */
    unsigned nesting;
    bool ended;    /* nothing more will come, and this is why: */
    int code;      /* TITAN_OK: it was whole; TITAN_E_REMOTE_ERROR: `error`; else `failure` */
    bool closed;   /* nobody wants the rest */
    bool decoding; /* `kept` must stay: what is decoded can run finalizers */
    struct failure failure;
    struct buf error; /* a MessagePack map */
};

struct kept {
    uint32_t len; /* of the values */
    uint32_t cargo_len;
};

static void wake(struct stream *s)
{
    if (!list_empty(&s->waiter)) {
        struct task *t = list_entry(s->waiter.next, struct task, at);

        list_remove(&t->at);
        task_resume_soon(t);
    }
}

/* ---- what comes ---- */

static void fail_for_memory(struct stream *s)
{
    static const struct failure why = {TITAN_E_LIMIT_EXCEEDED, "no memory for an item"};

    call_cancel(&s->call, &why);
}

static bool keep(struct stream *s, struct span values, struct cargo *cargo)
{
    struct kept head = {(uint32_t)values.len, cargo != NULL ? sizeof *cargo : 0};
    uint8_t *at = buf_room(&s->kept, sizeof head + head.cargo_len + values.len);
    struct cargo own;

    if (at == NULL || (cargo != NULL && !cargo_keep(cargo, &own))) {
        return false;
    }
    memcpy(at, &head, sizeof head);
    memcpy(at + sizeof head, &own, head.cargo_len);
    memcpy(at + sizeof head + head.cargo_len, values.at, values.len);
    buf_wrote(&s->kept, sizeof head + head.cargo_len + values.len);
    return true;
}

/* The first item that is kept; its cargo is a copy, to be freed once. */
static struct span first_kept(const struct stream *s, struct kept *head, struct cargo *cargo)
{
    const uint8_t *at = buf_front(&s->kept);

    memcpy(head, at, sizeof *head);
    memset(cargo, 0, sizeof *cargo);
    memcpy(cargo, at + sizeof *head, head->cargo_len);
    return (struct span){at + sizeof *head + head->cargo_len, head->len};
}

static void drop_first(struct stream *s, const struct kept *head, struct cargo *cargo)
{
    cargo_free(cargo);
    buf_consume(&s->kept, sizeof *head + head->cargo_len + head->len);
}

static void drop_kept(struct stream *s)
{
    while (buf_len(&s->kept) > 0) {
        struct kept head;
        struct cargo cargo;

        (void)first_kept(s, &head, &cargo);
        drop_first(s, &head, &cargo);
    }
    buf_free(&s->kept);
}

static void item_came(struct call *c, struct span values)
{
    struct stream *s = list_entry(c, struct stream, call);
    struct cargo *cargo = c->peer->arrived;

    if (values.len + cargo_weight(cargo) >= DIRECT_MIN && !list_empty(&s->waiter)) {
        struct task *t = list_entry(s->waiter.next, struct task, at);

        list_remove(&t->at);
        s->direct = values;
        s->direct_cargo = cargo;
        task_resume(t); /* the stream may be gone after that */
        return;
    }
    if (!keep(s, values, cargo)) {
        fail_for_memory(s);
        return;
    }
    wake(s);
}

static void ended(struct call *c, const struct reply *reply)
{
    struct stream *s = list_entry(c, struct stream, call);

    s->ended = true;
    s->code = reply->code;
    if (reply->code == TITAN_E_REMOTE_ERROR) {
        if (!buf_append(&s->error, reply->error.at, reply->error.len)) {
            s->code = fail(&s->failure, TITAN_E_LIMIT_EXCEEDED, "no memory for the error");
        }
    } else if (reply->code < 0) {
        s->failure = *reply->failure;
    }
    wake(s);
    pool_give_back(&s->pooled, reply->code);
}

/* ---- next ---- */

static int raise_malformed(lua_State *L, struct stream *s, const struct failure *why)
{
    struct peer *from = s->call.peer;

    if (from != NULL) {
        call_cancel(&s->call, why);
        peer_blame(from, why->message);
    }
    return call_raise(L, why);
}

static void consume(struct stream *s, size_t len)
{
    s->consumed += (uint32_t)len;
    if (s->consumed >= CREDIT_STEP && s->call.peer != NULL) {
        (void)call_give_credit(&s->call, s->consumed);
        s->consumed = 0;
    }
}

static int take(lua_State *L, struct stream *s, struct span values, struct cargo *cargo)
{
    struct failure why;
    int count;

    lua_settop(L, 0);
    s->decoding = true;
    count = value_decode_with(L, values, s->nesting, cargo, &why);
    s->decoding = false;
    if (count >= 0 && lua_isnoneornil(L, 1)) {
        count = fail(&why, TITAN_E_PROTOCOL_ERROR, "an item whose first value is nil");
    }
    if (count < 0) {
        return raise_malformed(L, s, &why);
    }
    consume(s, values.len + cargo_weight(cargo));
    return count;
}

/* An error in between leaves the item, and its cargo, to be dropped with the stream. */
static int take_kept(lua_State *L, struct stream *s)
{
    struct kept head;
    struct cargo cargo;
    struct span values = first_kept(s, &head, &cargo);
    int count = take(L, s, values, head.cargo_len > 0 ? &cargo : NULL);

    drop_first(s, &head, &cargo);
    return count;
}

static int at_end(lua_State *L, const struct stream *s)
{
    struct reply reply = {
        .code = s->code,
        .error = {buf_front(&s->error), buf_len(&s->error)},
        .failure = &s->failure,
    };

    if (s->code == TITAN_OK) {
        lua_pushnil(L);
        return 1;
    }
    return call_results(L, &reply);
}

static int resumed(lua_State *L, int status, lua_KContext ctx);

static int next(lua_State *L)
{
    struct stream *s = lua_touserdata(L, lua_upvalueindex(CALL_TARGET));
    struct task *t;

    if (!s->closed && buf_len(&s->kept) > 0) {
        return take_kept(L, s);
    }
    if (s->ended) {
        return at_end(L, s);
    }
    t = task_current(L);
    if (!list_empty(&s->waiter)) {
        script_fail(L, "titan: another task waits for the next item of this stream already");
    }
    if (!call_await_item(&s->call)) {
        script_fail(L, "titan: out of memory");
    }
    list_push(&s->waiter, &t->at);
    return task_wait(t, TASK_WAITING, L, resumed);
}

static int resumed(lua_State *L, int status, lua_KContext ctx)
{
    struct stream *s = lua_touserdata(L, lua_upvalueindex(CALL_TARGET));
    struct span direct = s->direct;
    struct cargo *cargo = s->direct_cargo;

    (void)status;
    s->direct = (struct span){NULL, 0};
    s->direct_cargo = NULL;
    call_await_nothing(&s->call);
    (void)task_resumed(L, ctx);
    return direct.at != NULL ? take(L, s, direct, cargo) : next(L);
}

/* ---- life ---- */

/* `code` is what its pool is told. */
static void end(struct stream *s, int code)
{
    call_forget(&s->call);
    pool_give_back(&s->pooled, code);
    s->closed = true;
    if (!s->ended) {
        s->ended = true;
        s->code = fail(&s->failure, TITAN_E_CANCELLED, "the stream has been closed");
    }
    if (!s->decoding) {
        drop_kept(s);
    }
    wake(s);
}

/* __close(stream, err). Who leaves the loop has seen enough: that is no failure of the worker's. */
static int stream_close(lua_State *L)
{
    end(luaL_checkudata(L, 1, STREAM_TYPE), lua_isnoneornil(L, 2) ? TITAN_OK : TITAN_E_CANCELLED);
    return 0;
}

static int stream_gc(lua_State *L)
{
    struct stream *s = lua_touserdata(L, 1);

    end(s, TITAN_E_CANCELLED);
    drop_kept(s);
    buf_free(&s->error);
    return 0;
}

void stream_began(struct call *c, struct span values)
{
    struct task *t = list_entry(c, struct task, call);

    (void)values;
    t->reply = NULL;
    task_resume(t);
}

/* (task, target, method, process) -> next, stream. Takes the call over once nothing can fail any
 * more. */
static int make(lua_State *L)
{
    static const luaL_Reg metamethods[] = {
        {"__close", stream_close}, {"__gc", stream_gc}, {NULL, NULL}};
    struct task *t = lua_touserdata(L, 1);
    struct stream *s = lua_newuserdatauv(L, sizeof *s, 1);

    memset(s, 0, sizeof *s);
    list_init(&s->waiter);
    core_set_type(L, STREAM_TYPE, metamethods);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, STREAM_TARGET);
    lua_pushvalue(L, -1);
    lua_pushnil(L);
    lua_pushvalue(L, 3);
    lua_pushvalue(L, 4);
    lua_pushcclosure(L, next, CALL_PROCESS);
    lua_insert(L, -2);
    s->nesting = t->call.peer->limits.nesting;
    s->call.done = ended;
    s->call.item = item_came;
    call_move(&t->call, &s->call);
    pool_call_move(&t->pooled, &s->pooled);
    return 2;
}

int stream_push(lua_State *L, struct task *t)
{
    lua_settop(L, 0);
    lua_pushcfunction(L, make);
    lua_pushlightuserdata(L, t);
    lua_pushvalue(L, lua_upvalueindex(CALL_TARGET));
    lua_pushvalue(L, lua_upvalueindex(CALL_METHOD));
    lua_pushvalue(L, lua_upvalueindex(CALL_PROCESS));
    if (lua_pcall(L, 4, 2, 0) != LUA_OK) {
        call_forget(&t->call);
        pool_call_forget(&t->pooled);
        return lua_error(L);
    }
    lua_pushnil(L);
    lua_pushnil(L);
    lua_rotate(L, 2, 2);
    return 4;
}
