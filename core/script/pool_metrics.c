/* What a pool has done and what its workers do, as a Lua table. */
#include <lauxlib.h>

#include "script/core_pool.h"

static void set_integer(lua_State *L, const char *name, uint64_t v)
{
    lua_pushinteger(L, (lua_Integer)v);
    lua_setfield(L, -2, name);
}

static void set_string(lua_State *L, const char *name, const char *v)
{
    lua_pushstring(L, v);
    lua_setfield(L, -2, name);
}

static void set_ms(lua_State *L, const char *name, double ns)
{
    lua_pushnumber(L, ns / 1e6);
    lua_setfield(L, -2, name);
}

static void push_latency(lua_State *L, const struct histogram *h)
{
    struct histogram_sum sum = {0};

    histogram_add(&sum, h);
    lua_createtable(L, 0, 8);
    set_integer(L, "count", histogram_count(&sum));
    set_ms(L, "mean", histogram_mean(&sum));
    set_ms(L, "p50", histogram_quantile(&sum, 0.5));
    set_ms(L, "p75", histogram_quantile(&sum, 0.75));
    set_ms(L, "p90", histogram_quantile(&sum, 0.9));
    set_ms(L, "p95", histogram_quantile(&sum, 0.95));
    set_ms(L, "p99", histogram_quantile(&sum, 0.99));
    set_ms(L, "max", histogram_quantile(&sum, 1));
}

static void push_worker(lua_State *L, const struct pool_worker *w, uint64_t now_ms)
{
    bool lives = w->state == POOL_WORKER_UP || w->state == POOL_WORKER_RETIRING;

    lua_createtable(L, 0, 10);
    set_integer(L, "index", w->slot);
    set_string(L, "state", pool_worker_state_name(w));
    set_integer(L, "calls", w->calls);
    set_integer(L, "in_flight", w->active);
    set_integer(L, "age", lives && w->was_up ? now_ms - w->born_ms : 0);
    if (w->memory_len > 0) {
        set_integer(L, "memory", w->memory_len);
    }
    if (w->due != NULL) {
        set_string(L, "due", w->due);
    }
    if (w->process != NULL) {
        set_string(L, "id", w->process->id);
        set_string(L, "name", w->process->name);
        set_integer(L, "restarts", w->process->restart_count);
        if (w->process->pid > 0) {
            set_integer(L, "pid", (uint64_t)w->process->pid);
        }
    }
}

static void push_workers(lua_State *L, const struct pool *p)
{
    uint64_t now_ms = p->manager ? reactor_now_ms(p->manager->reactor) : 0;

    lua_newtable(L);
    for (const struct list *l = p->workers.next; l != &p->workers; l = l->next) {
        const struct pool_worker *w = list_entry(l, struct pool_worker, link);

        if (w->state != POOL_WORKER_GONE) {
            push_worker(L, w, now_ms);
            lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
        }
    }
}

int core_pool_metrics(lua_State *L)
{
    struct pool *p = &core_check_pool(L, 1)->pool;
    uint32_t size = pool_size(p);
    uint32_t busy = pool_busy(p);

    lua_createtable(L, 0, 14);
    set_string(L, "state", pool_state_name(p));
    set_integer(L, "size", size);
    set_integer(L, "active", busy);
    set_integer(L, "idle", size - busy);
    set_integer(L, "pending", p->queue.len);
    set_integer(L, "in_flight", p->active);
    set_integer(L, "calls", p->calls);
    set_integer(L, "errors", p->errors);
    set_integer(L, "retries", p->retries);
    set_integer(L, "rejected", p->rejected);
    if (p->options.has_breaker && p->manager != NULL) {
        set_string(
            L, "circuit",
            breaker_state_name(breaker_state(&p->breaker, reactor_now_ms(p->manager->reactor))));
    }
    push_latency(L, &p->latency);
    lua_setfield(L, -2, "latency");
    push_workers(L, p);
    lua_setfield(L, -2, "workers");
    return 1;
}
