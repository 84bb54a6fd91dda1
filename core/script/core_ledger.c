/* Values and claims in the manager's memory, as Lua functions: what lua/titan/store/memory.lua has
 * in the place of a titan.Shelf. A claim is a process's, which core_asked.c made it, or Lua's. */
#include "script/core_ledger.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define LEDGER_TYPE "titan.core.ledger"

struct script_ledger {
    struct ledger ledger;
    struct runtime *runtime;
    struct script_manager *sm; /* NULL once closed */
    struct map_node by_space;  /* in sm->ledgers */
    char *space;
};

/* Who has a claim that Lua keeps the order of. */
#define LUA_OWNER NULL

static double now_ms(const struct runtime *rt)
{
    return (double)runtime_now_ns(rt) / 1e6;
}

double core_ledger_now_ms(const struct script_manager *sm)
{
    return now_ms(sm->runtime);
}

struct ledger *core_ledger_find(const struct script_manager *sm, struct span space)
{
    struct map_node *node = map_find(&sm->ledgers, (const char *)space.at, space.len);

    return node != NULL ? &list_entry(node, struct script_ledger, by_space)->ledger : NULL;
}

static void part(struct script_ledger *l)
{
    if (l->sm != NULL) {
        map_remove(&l->sm->ledgers, &l->by_space);
        l->sm = NULL;
    }
}

void core_ledgers_part(struct script_manager *sm)
{
    struct map_node *node;

    while ((node = map_first(&sm->ledgers)) != NULL) {
        part(list_entry(node, struct script_ledger, by_space));
    }
    map_free(&sm->ledgers);
}

static struct script_ledger *check(lua_State *L)
{
    return luaL_checkudata(L, 1, LEDGER_TYPE);
}

static struct span check_span(lua_State *L, int index)
{
    struct span s;

    s.at = (const uint8_t *)luaL_checklstring(L, index, &s.len);
    return s;
}

static void push_span(lua_State *L, struct span s)
{
    lua_pushlstring(L, (const char *)s.at, s.len);
}

static int out_of_memory(lua_State *L)
{
    return luaL_error(L, "titan: out of memory");
}

/* ---- values, as titan.Shelf has them ---- */

/* ledger:get(key, now) -> value or nil */
static int get(lua_State *L)
{
    struct span value;

    if (ledger_get(&check(L)->ledger, check_span(L, 2), luaL_checknumber(L, 3), &value)) {
        push_span(L, value);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

/* ledger:has(key) -> boolean */
static int has(lua_State *L)
{
    lua_pushboolean(L, ledger_has(&check(L)->ledger, check_span(L, 2)));
    return 1;
}

/* ledger:put(key, value, expires or nil) */
static int put(lua_State *L)
{
    double expires_ms = luaL_optnumber(L, 4, LEDGER_FOREVER);

    if (!ledger_put(&check(L)->ledger, check_span(L, 2), check_span(L, 3), expires_ms)) {
        return out_of_memory(L);
    }
    return 0;
}

/* ledger:remove(key) */
static int remove_value(lua_State *L)
{
    ledger_remove(&check(L)->ledger, check_span(L, 2));
    return 0;
}

/* ledger:remove_oldest() -> whether there was one */
static int remove_oldest(lua_State *L)
{
    lua_pushboolean(L, ledger_remove_oldest(&check(L)->ledger));
    return 1;
}

/* ledger:sweep(now, looks) -> how many had expired */
static int sweep(lua_State *L)
{
    size_t looks = (size_t)luaL_optinteger(L, 3, 2);

    lua_pushinteger(L, (lua_Integer)ledger_sweep(&check(L)->ledger, luaL_checknumber(L, 2), looks));
    return 1;
}

/* ledger:len() -> how many values and claims there are */
static int len(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)ledger_len(&check(L)->ledger));
    return 1;
}

/* ---- claims ---- */

/* ledger:claim(key) -> "mine"; "done", value; or nothing: it is not to be had at once */
static int claim(lua_State *L)
{
    struct script_ledger *l = check(L);
    struct span value;

    switch (ledger_claim(&l->ledger, check_span(L, 2), now_ms(l->runtime), LUA_OWNER, 0, &value)) {
    case LEDGER_MINE:
        lua_pushliteral(L, "mine");
        return 1;
    case LEDGER_DONE:
        lua_pushliteral(L, "done");
        push_span(L, value);
        return 2;
    case LEDGER_NO_MEMORY:
        return out_of_memory(L);
    default:
        return 0;
    }
}

/* ledger:hold(key): claims what has no claim, whatever there is of room and values */
static int hold(lua_State *L)
{
    if (!ledger_hold(&check(L)->ledger, check_span(L, 2), LUA_OWNER, 0)) {
        return out_of_memory(L);
    }
    return 0;
}

/* ledger:let_go(key): the claim, if it is Lua's */
static int let_go(lua_State *L)
{
    ledger_release(&check(L)->ledger, check_span(L, 2), LUA_OWNER);
    return 0;
}

/* ledger:take_over(key) -> whose claim it was, and the token; nothing where no process has it. It
 * is Lua's from now on. */
static int take_over(lua_State *L)
{
    struct script_ledger *l = check(L);
    const void *before;
    int64_t token;

    if (!ledger_take_over(&l->ledger, check_span(L, 2), LUA_OWNER, &before, &token)) {
        return 0;
    }
    if (l->sm == NULL) {
        lua_pushnil(L);
    } else {
        core_push_process(L, l->sm, (struct process *)before);
    }
    lua_pushinteger(L, (lua_Integer)token);
    return 2;
}

/* ledger:drop(process): all claims that it made and that are not Lua's by now */
static int drop(lua_State *L)
{
    struct script_ledger *l = check(L);
    const struct process *p = core_check_process(L, 2);

    if (p != NULL) {
        ledger_drop(&l->ledger, p);
    }
    return 0;
}

/* ledger:set_beside(count): so many entries more count */
static int set_beside(lua_State *L)
{
    check(L)->ledger.beside = (size_t)luaL_checkinteger(L, 2);
    return 0;
}

/* ---- life ---- */

/* ledger:close(): forgets everything; no worker finds it any more */
static int close_ledger(lua_State *L)
{
    struct script_ledger *l = check(L);

    part(l);
    ledger_clear(&l->ledger);
    return 0;
}

static int ledger_gc(lua_State *L)
{
    struct script_ledger *l = check(L);

    part(l);
    ledger_clear(&l->ledger);
    free(l->space);
    l->space = NULL;
    return 0;
}

static void set_type(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"get", get},
        {"has", has},
        {"put", put},
        {"remove", remove_value},
        {"sweep", sweep},
        {"remove_oldest", remove_oldest},
        {"len", len},
        {"claim", claim},
        {"hold", hold},
        {"let_go", let_go},
        {"drop", drop},
        {"take_over", take_over},
        {"close", close_ledger},
        {"set_beside", set_beside},
        {"__gc", ledger_gc},
        {NULL, NULL},
    };

    core_set_type(L, LEDGER_TYPE, functions);
    lua_getmetatable(L, -1);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

static uint32_t secret(struct script_manager *sm)
{
    uint32_t seed;

    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed) {
        seed = (uint32_t)random_next(&sm->manager.random);
    }
    return seed;
}

/* ledger_open(manager, space, max_entries or nil) -> the ledger in which its workers find the
 * space; there must be none yet */
static int ledger_open(lua_State *L)
{
    struct script_manager *sm = core_check_manager(L);
    struct span space = check_span(L, 2);
    lua_Integer entries_max = luaL_optinteger(L, 3, LUA_MAXINTEGER);
    struct script_ledger *l;

    luaL_argcheck(L, entries_max >= 0, 3, "a count is not negative");
    luaL_argcheck(L, core_ledger_find(sm, space) == NULL, 2, "there is one of that space");
    l = lua_newuserdatauv(L, sizeof *l, 0);
    memset(l, 0, sizeof *l);
    l->runtime = sm->runtime;
    ledger_init(&l->ledger, (size_t)entries_max, secret(sm));
    set_type(L);
    l->space = malloc(space.len + 1);
    if (l->space == NULL) {
        return out_of_memory(L);
    }
    memcpy(l->space, space.at, space.len + 1);
    if (!map_insert(&sm->ledgers, &l->by_space, l->space, space.len)) {
        return out_of_memory(L);
    }
    l->sm = sm;
    return 1;
}

void core_add_ledger(struct core_names *names)
{
    static const luaL_Reg functions[] = {{"ledger_open", ledger_open}, {NULL, NULL}};

    core_offer(names, functions);
}
