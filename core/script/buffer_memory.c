#include "script/buffer_memory.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "script/runtime.h"

/* A userdata is small, what it holds is not: so many of them, or so many bytes, and a collection is
 * due, after which twice what has survived may come. */
#define FIRST_LIVE 128
#define FIRST_BYTES ((size_t)64 << 20)

/* Its address is a key of the registry: a table from inodes to what is held. */
static const char known_key;

static size_t twice(size_t now, size_t least)
{
    return now > least / 2 ? now * 2 : least;
}

static void make_room(lua_State *L, struct buffer_memory *m, size_t bytes)
{
    if (m->live < m->live_max && m->bytes + bytes <= m->bytes_max) {
        return;
    }
    lua_gc(L, LUA_GCCOLLECT);
    m->live_max = twice(m->live + 1, FIRST_LIVE);
    m->bytes_max = twice(m->bytes + bytes, FIRST_BYTES);
}

/* ---- by inode ---- */

static void push_known(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &known_key) == LUA_TTABLE) {
        return;
    }
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &known_key);
}

static void forget(lua_State *L, struct held_memory *h)
{
    if (h->known) {
        push_known(L);
        lua_pushnil(L);
        lua_rawseti(L, -2, (lua_Integer)h->memory->inode);
        lua_pop(L, 1);
    }
    shm_unref(&h->memory);
    free(h);
}

/* With the table at the top: makes its place before there is something to lose. */
static struct held_memory *make(lua_State *L, struct shm *memory, bool known)
{
    struct held_memory *h;

    if (known) {
        lua_pushboolean(L, 0);
        lua_rawseti(L, -2, (lua_Integer)memory->inode);
    }
    h = calloc(1, sizeof *h);
    if (h == NULL) {
        script_fail(L, "titan: out of memory");
    }
    list_init(&h->idle);
    h->memory = shm_ref(memory);
    h->known = known;
    if (known) {
        lua_pushlightuserdata(L, h);
        lua_rawseti(L, -2, (lua_Integer)memory->inode);
    }
    return h;
}

/* Another memory may have the same inode: it is not found again. */
static struct held_memory *find_or_make(lua_State *L, struct shm *memory)
{
    struct held_memory *h;

    push_known(L);
    lua_rawgeti(L, -1, (lua_Integer)memory->inode);
    h = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (h == NULL || !shm_is_same(h->memory, memory)) {
        h = make(L, memory, h == NULL);
    }
    lua_pop(L, 1);
    return h;
}

/* ---- what is idle ---- */

static void leave_idle(struct buffer_memory *m, struct held_memory *h)
{
    if (!list_empty(&h->idle)) {
        list_remove(&h->idle);
        m->idle_len--;
        m->idle_bytes -= h->memory->len;
    }
}

static void forget_oldest(lua_State *L, struct buffer_memory *m)
{
    struct held_memory *h = list_entry(m->idle.next, struct held_memory, idle);

    leave_idle(m, h);
    forget(L, h);
}

static bool is_worth_keeping(const struct runtime *rt, const struct shm *memory)
{
    return !rt->buffers.closed && rt->reactor_open && memory->len >= BUFFER_IDLE_MIN &&
           memory->len <= BUFFER_IDLE_BYTES && atomic_load(&memory->at) != NULL;
}

static void keep_idle(struct runtime *rt, lua_State *L, struct held_memory *h)
{
    struct buffer_memory *m = &rt->buffers;

    list_push(&m->idle, &h->idle);
    m->idle_len++;
    m->idle_bytes += h->memory->len;
    while (m->idle_len > BUFFER_IDLE || m->idle_bytes > BUFFER_IDLE_BYTES) {
        forget_oldest(L, m);
    }
    if (!timer_arm(&rt->reactor, &m->forget, BUFFER_IDLE_MS, false)) {
        buffer_memory_forget_idle(rt);
    }
}

void buffer_memory_forget_idle(struct runtime *rt)
{
    while (!list_empty(&rt->buffers.idle)) {
        forget_oldest(rt->L, &rt->buffers);
    }
}

/* ---- for buffers ---- */

struct held_memory *buffer_memory_hold(lua_State *L, struct shm *memory, size_t len)
{
    struct buffer_memory *m = &runtime_of(L)->buffers;
    struct held_memory *h;

    luaL_checkstack(L, 4, "a buffer");
    make_room(L, m, len);
    h = find_or_make(L, memory);
    leave_idle(m, h);
    h->buffers++;
    m->live++;
    m->bytes += len;
    return h;
}

void buffer_memory_let_go(lua_State *L, struct held_memory *h, size_t len, bool by_hand)
{
    struct runtime *rt = runtime_of(L);

    rt->buffers.live--;
    rt->buffers.bytes -= len;
    if (--h->buffers > 0) {
        return;
    }
    if (!by_hand && is_worth_keeping(rt, h->memory)) {
        keep_idle(rt, L, h);
    } else {
        forget(L, h);
    }
}

/* ---- life ---- */

static void time_over(struct timer *t)
{
    buffer_memory_forget_idle(list_entry(t, struct runtime, buffers.forget));
}

void buffer_memory_open(struct runtime *rt)
{
    list_init(&rt->buffers.idle);
    rt->buffers.live_max = FIRST_LIVE;
    rt->buffers.bytes_max = FIRST_BYTES;
    rt->buffers.forget.fire = time_over;
}

void buffer_memory_close(struct runtime *rt)
{
    rt->buffers.closed = true;
    buffer_memory_forget_idle(rt);
    if (rt->reactor_open) {
        timer_disarm(&rt->reactor, &rt->buffers.forget);
    }
}
