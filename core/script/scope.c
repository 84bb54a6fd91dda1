#include "script/scope.h"

#include <lauxlib.h>
#include <stdatomic.h>
#include <stdlib.h>

/* ---- deadlines ---- */

uint64_t scope_deadline_ms(const struct scope *s)
{
    uint64_t soonest_ms = s->deadline_ms;

    for (const struct shared_deadline *at = s->outer; at != NULL; at = at->outer) {
        if (at->at_ms != 0 && (soonest_ms == 0 || at->at_ms < soonest_ms)) {
            soonest_ms = at->at_ms;
        }
    }
    return soonest_ms;
}

bool scope_limit_ms(const struct scope *s, uint64_t now_ms, uint32_t own_ms, uint32_t *left_ms)
{
    uint64_t deadline_ms = scope_deadline_ms(s);

    *left_ms = own_ms;
    if (deadline_ms == 0) {
        return true;
    }
    if (deadline_ms <= now_ms) {
        return false;
    }
    if (own_ms == 0 || deadline_ms - now_ms < own_ms) {
        *left_ms = (uint32_t)(deadline_ms - now_ms);
    }
    return true;
}

void scope_set_deadline(struct scope *s, uint64_t deadline_ms)
{
    s->deadline_ms = deadline_ms;
    if (s->shared != NULL) {
        s->shared->at_ms = deadline_ms;
    }
}

static void release(struct shared_deadline *d)
{
    while (d != NULL && --d->refs == 0) {
        struct shared_deadline *outer = d->outer;

        free(d);
        d = outer;
    }
}

static struct shared_deadline *hold(struct shared_deadline *d)
{
    if (d != NULL) {
        d->refs++;
    }
    return d;
}

/* What tasks begun inside are bound by. It is there even without a deadline: there may be one
 * later. */
static struct shared_deadline *shared_of(struct scope *s)
{
    if (s->shared == NULL) {
        s->shared = calloc(1, sizeof *s->shared);
        if (s->shared != NULL) {
            s->shared->refs = 1;
            s->shared->outer = hold(s->outer);
            s->shared->at_ms = s->deadline_ms;
        }
    }
    return s->shared;
}

/* ---- the context ---- */

void scope_push_context(lua_State *L, const struct scope *s)
{
    if (s->context != 0) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, s->context);
    } else {
        lua_pushnil(L);
    }
}

static void drop_context(lua_State *L, struct scope *s)
{
    if (s->context != 0) {
        luaL_unref(L, LUA_REGISTRYINDEX, s->context);
        s->context = 0;
    }
}

void scope_set_context(lua_State *L, struct scope *s)
{
    int context = 0;

    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
    } else {
        context = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    drop_context(L, s);
    s->context = context;
}

/* ---- tasks in tasks ---- */

bool scope_inherit(lua_State *L, struct scope *inside, struct scope *around)
{
    if (scope_is_empty(around)) {
        return true;
    }
    inside->outer = hold(shared_of(around));
    if (inside->outer == NULL) {
        return false;
    }
    if (around->context != 0) {
        scope_push_context(L, around);
        scope_set_context(L, inside);
    }
    return true;
}

/* A signal handler may ask for the deadlines of the task that runs: what it could see is freed only
 * once it cannot. */
void scope_leave(lua_State *L, struct scope *s)
{
    struct shared_deadline *outer = s->outer;

    if (s->shared != NULL) {
        s->shared->at_ms = 0;
        release(s->shared);
        s->shared = NULL;
    }
    s->outer = NULL;
    atomic_signal_fence(memory_order_seq_cst);
    release(outer);
    s->deadline_ms = 0;
    drop_context(L, s);
}
