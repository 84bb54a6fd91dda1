#include "script/pump.h"

#include <lauxlib.h>

#include "base/clock.h"
#include "script/guest.h"
#include "script/task.h"
#include "script/value.h"

/* While more than this waits to be sent nobody writes more: what is written later is still in the
 * processor's cache when it is sent, and an answer to another call is not far behind. */
#define AHEAD_LEN ((size_t)256 * 1024)

/* A turn ends after so many items, or when the kernel's tick has changed. */
#define TURN_ITEMS 512

/* The stack of stream_items. */
enum { ITERATOR = 1, STATE, CONTROL, CLOSING, FIRST };

/* ---- requests by their number ---- */

static uint64_t key_of(const struct caller *c, uint32_t id)
{
    return (uint64_t)c->number << 32 | id;
}

bool pumps_enter(struct pumps *p, struct task *t)
{
    t->streams = false;
    t->starved = false;
    t->cancelled = false;
    t->key = key_of(t->from, t->id);
    if (!map_insert(&p->requests, &t->by_id, (const char *)&t->key, sizeof t->key)) {
        return false;
    }
    list_push(&t->from->requests, &t->asked_by);
    return true;
}

void pumps_leave(struct pumps *p, struct task *t)
{
    map_remove(&p->requests, &t->by_id);
    list_remove(&t->asked_by);
}

static struct task *find_key(const struct pumps *p, uint64_t key)
{
    struct map_node *node = map_find(&p->requests, (const char *)&key, sizeof key);

    return node != NULL ? list_entry(node, struct task, by_id) : NULL;
}

struct task *pumps_find(const struct pumps *p, const struct caller *c, uint32_t id)
{
    return find_key(p, key_of(c, id));
}

/* ---- turns ---- */

static bool has_room(const struct caller *to)
{
    const struct channel *c = to->peer->channel;

    return c == NULL || buf_len(&c->out) < AHEAD_LEN;
}

static void ask_round(struct caller *to)
{
    struct channel *c = to->peer->channel;

    if (has_room(to)) {
        reactor_flush_later(to->peer->reactor, &to->round);
    } else {
        c->room_len = AHEAD_LEN;
        c->when_room = &to->round;
    }
}

static void wait_for_room(struct task *t)
{
    list_push(&t->from->waiting, &t->at);
    ask_round(t->from);
}

/* Each that waits now has a turn, while there is room; the others stay the first of the next. */
static void take_round(struct flusher *f)
{
    struct caller *to = list_entry(f, struct caller, round);
    struct list *waiting = &to->waiting;
    struct list now;

    list_take(&now, waiting);
    while (!list_empty(&now) && has_room(to) && !to->peer->reactor->paused) {
        struct task *t = list_entry(now.next, struct task, at);

        list_remove(&t->at);
        task_resume(t);
    }
    list_put_first(waiting, &now);
    if (!list_empty(waiting)) {
        ask_round(to);
    }
}

void pump_open(struct caller *c)
{
    list_init(&c->waiting);
    flusher_init(&c->round, take_round);
}

void pump_close(struct caller *c)
{
    flusher_cancel(&c->round);
}

void pumps_open(struct pumps *p)
{
    list_init(&p->starved);
}

void pumps_close(struct pumps *p)
{
    map_free(&p->requests);
}

void pumps_credit(struct caller *c, uint32_t id, uint32_t bytes)
{
    struct task *t = pumps_find(&c->guest->pumps, c, id);

    if (t == NULL) {
        return;
    }
    if (!t->streams || t->credit + bytes > STREAM_WINDOW) {
        peer_blame(c->peer, "more credit than there were items");
        return;
    }
    t->credit += bytes;
    if (t->credit > 0 && t->starved && !list_empty(&t->at)) {
        list_remove(&t->at);
        t->starved = false;
        wait_for_room(t);
    }
}

/* ---- the pump ---- */

static void begin_turn(struct task *t)
{
    t->turn_items = TURN_ITEMS;
    t->turn_tick = clock_ns(CLOCK_MONOTONIC_COARSE);
}

static bool turn_is_over(struct task *t)
{
    return t->turn_items == 0 || clock_ns(CLOCK_MONOTONIC_COARSE) != t->turn_tick;
}

static void send_item(lua_State *L, struct task *t)
{
    struct peer *peer = t->from->peer;
    struct failure why = {TITAN_E_WORKER_LOST, "the connection has ended"};
    struct draft d;
    uint32_t len = 0;
    int code = item_begin(peer, &d, t->id);

    if (code == TITAN_OK) {
        code = value_write_list(L, FIRST, lua_gettop(L) - CLOSING, "item value", peer, &why);
        if (code < 0) {
            answer_abort(peer, &d);
        } else if (item_end(peer, &d, &len) < 0) {
            code = fail(&why, TITAN_E_LIMIT_EXCEEDED,
                        "the item is larger than a frame may be (limits.frame = %u bytes)",
                        peer->limits.frame);
        }
    }
    if (code < 0) {
        script_raise(L, &why);
        return; /* not reached */
    }
    t->credit -= len;
    t->turn_items--;
}

/* What the iterator has returned lies at FIRST and above. False at its end. */
static bool take_made(lua_State *L, struct task *t)
{
    struct guest *g = t->owner;

    if (t->cancelled) { /* while it did not wait, or it went on all the same */
        lua_rawgeti(L, LUA_REGISTRYINDEX, g->cancelled);
        lua_error(L);
    }
    if (lua_isnoneornil(L, FIRST)) {
        return false;
    }
    send_item(L, t);
    lua_pushvalue(L, FIRST);
    lua_replace(L, CONTROL);
    lua_settop(L, CLOSING);
    return true;
}

static int pump(lua_State *L, struct task *t);

/* The iterator has waited itself, so the others have had their turn. */
static int made(lua_State *L, int status, lua_KContext ctx)
{
    struct task *t = (struct task *)ctx;

    (void)status;
    begin_turn(t);
    return take_made(L, t) ? pump(L, t) : 0;
}

static int resumed(lua_State *L, int status, lua_KContext ctx)
{
    struct task *t = task_of(L, L);

    (void)status;
    if (t != NULL) {
        t->starved = false;
    }
    t = task_resumed(L, ctx);
    begin_turn(t);
    return pump(L, t);
}

static int pump(lua_State *L, struct task *t)
{
    struct guest *g = t->owner;

    while (t->credit > 0 && has_room(t->from) && !turn_is_over(t)) {
        lua_pushvalue(L, ITERATOR);
        lua_pushvalue(L, STATE);
        lua_pushvalue(L, CONTROL);
        lua_callk(L, 2, LUA_MULTRET, (lua_KContext)t, made);
        if (!take_made(L, t)) {
            return 0;
        }
    }
    if (t->credit > 0) {
        wait_for_room(t);
    } else {
        t->starved = true;
        list_push(&g->pumps.starved, &t->at);
    }
    return task_wait(t, TASK_WAITING, L, resumed);
}

static void check_iterator(lua_State *L)
{
    bool callable = lua_isfunction(L, ITERATOR) || luaL_getmetafield(L, ITERATOR, "__call");

    if (!callable) {
        luaL_error(L,
                   "titan: a stream method returns an iterator, as a generic `for` takes it; "
                   "this one returned a %s",
                   luaL_typename(L, ITERATOR));
    }
}

int core_stream_items(lua_State *L)
{
    struct task *t = task_current(L);
    struct guest *g = guest_of(L);

    lua_settop(L, CLOSING);
    if (g == NULL || find_key(&g->pumps, t->key) != t) {
        return luaL_error(L, "titan: only a request can be answered with a stream");
    }
    if (t->streams) {
        return luaL_error(L, "titan: a request is answered with one stream, and this one is "
                             "already; it cannot be begun again");
    }
    lua_toclose(L, CLOSING);
    check_iterator(L);
    lua_settop(L, CLOSING);
    if (item_send(t->from->peer, t->id, (struct span){(const uint8_t *)"\x90", 1}, NULL) < 0) {
        script_fail(L, "titan: out of memory");
    }
    t->streams = true;
    t->credit = STREAM_WINDOW;
    scope_set_deadline(&t->scope, 0); /* the caller's time is that of an item, not of them all */
    begin_turn(t);
    return pump(L, t);
}
