#include "script/process_metrics.h"

#include <lauxlib.h>

#include "manager/usage.h"

#define OTHERS_NAME "(others)"

static void set_integer(lua_State *L, const char *name, uint64_t v)
{
    lua_pushinteger(L, (lua_Integer)v);
    lua_setfield(L, -2, name);
}

static void set_number(lua_State *L, const char *name, double v)
{
    lua_pushnumber(L, v);
    lua_setfield(L, -2, name);
}

static void set_quantile(lua_State *L, const char *name, const struct histogram_sum *sum, double q)
{
    set_number(L, name, histogram_quantile(sum, q) / 1e6);
}

void process_metrics_set_latency(lua_State *L, const struct histogram_sum *sum)
{
    lua_createtable(L, 0, 8);
    set_integer(L, "count", histogram_count(sum));
    set_number(L, "mean", histogram_mean(sum) / 1e6);
    set_quantile(L, "p50", sum, 0.50);
    set_quantile(L, "p75", sum, 0.75);
    set_quantile(L, "p90", sum, 0.90);
    set_quantile(L, "p95", sum, 0.95);
    set_quantile(L, "p99", sum, 0.99);
    set_quantile(L, "max", sum, 1.0);
    lua_setfield(L, -2, "latency");
}

static void set_tally(lua_State *L, const struct status_tally *tally)
{
    set_integer(L, "calls", tally->calls);
    set_integer(L, "errors", tally->errors);
    set_integer(L, "in_flight", tally->in_flight);
}

/* ---- methods ---- */

/* Pushes the key of a method. Names that were cut may be the same, and a worker may write any into
 * its page: one that is taken gets its number. */
static void push_name(lua_State *L, const struct status_page *page, uint32_t slot, int methods)
{
    char name[STATUS_NAME];

    if (slot == STATUS_OTHERS) {
        lua_pushstring(L, OTHERS_NAME);
        return;
    }
    lua_pushstring(L, status_method_name(page, slot, name));
    lua_pushvalue(L, -1);
    if (lua_rawget(L, methods) != LUA_TNIL) {
        lua_pushfstring(L, "%s (%d)", name, (int)slot);
        lua_replace(L, -3);
    }
    lua_pop(L, 1);
}

/* Pushes what is known of one method, and adds its latencies to those of `all`. */
static void push_method(lua_State *L, const struct status_page *page, uint32_t slot,
                        const struct status_tally *tally, struct histogram_sum *all)
{
    struct histogram_sum one = {0};

    lua_createtable(L, 0, 4);
    set_tally(L, tally);
    if (all != NULL) {
        status_add_latencies(page, slot, &one);
        status_add_latencies(page, slot, all);
        process_metrics_set_latency(L, &one);
    }
}

/* Fills in `methods` of the table at the top, and sums up the latencies unless `all` is NULL. */
static void set_methods(lua_State *L, const struct status_page *page, struct histogram_sum *all)
{
    int methods;

    lua_newtable(L);
    methods = lua_gettop(L);
    for (uint32_t slot = 0; page != NULL && slot < STATUS_SLOTS; slot++) {
        struct status_tally tally = status_tally_slot(page, slot);

        if (tally.calls > 0) {
            push_name(L, page, slot, methods);
            push_method(L, page, slot, &tally, all);
            lua_rawset(L, methods);
        }
    }
    lua_setfield(L, -2, "methods");
}

/* ---- what the kernel says ---- */

/* Until it is reaped its pid is its own (manager/usage.h). */
static bool has_pid(const struct process *p)
{
    return p->pid > 0 && p->pidfd >= 0;
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part / (double)whole * 100.0 : 0.0;
}

static void set_cpu(lua_State *L, const struct usage *u, uint64_t life_ns)
{
    lua_createtable(L, 0, 3);
    set_number(L, "user_ms", (double)u->user_ns / 1e6);
    set_number(L, "system_ms", (double)u->system_ns / 1e6);
    set_number(L, "percent", percent(u->user_ns + u->system_ns, life_ns));
    lua_setfield(L, -2, "cpu");
}

static void set_usage(lua_State *L, const struct process *p, uint64_t life_ns)
{
    struct usage u;
    uint64_t pss_len;
    bool known = has_pid(p) && usage_read(p->pid, &u) == 0;

    if (known) {
        set_cpu(L, &u, life_ns);
    }
    lua_createtable(L, 0, 3);
    if (known) {
        set_integer(L, "rss", u.rss_len);
    }
    if (known && usage_pss(p->pid, &pss_len) == 0) {
        set_integer(L, "pss", pss_len);
    }
    set_integer(L, "lua_heap", p->status != NULL ? status_load(p->status->lua_heap_len) : 0);
    lua_setfield(L, -2, "memory");
}

/* ---- all of it ---- */

static uint64_t life_ns(const struct process *p)
{
    uint64_t now = p->state == PROCESS_ENDED ? p->ended_ns : now_ns();

    return now > p->started_ns ? now - p->started_ns : 0;
}

static struct status_tally tally_of(const struct process *p)
{
    return p->status != NULL ? status_tally_all(p->status) : (struct status_tally){0};
}

void process_metrics_push(lua_State *L, const struct process *p, bool with_latencies)
{
    struct status_tally tally = tally_of(p);
    struct histogram_sum all = {0};
    uint64_t life = life_ns(p);

    luaL_checkstack(L, 10, NULL);
    lua_createtable(L, 0, 9);
    set_tally(L, &tally);
    set_methods(L, p->status, with_latencies ? &all : NULL);
    if (with_latencies) {
        process_metrics_set_latency(L, &all);
    }
    set_usage(L, p, life);
    set_number(L, "uptime", (double)life / 1e6);
}

void process_metrics_push_summary(lua_State *L, const struct process *p, bool with_latencies)
{
    struct status_tally tally = tally_of(p);
    struct histogram_sum all = {0};

    luaL_checkstack(L, 6, NULL);
    lua_createtable(L, 0, 4);
    set_tally(L, &tally);
    if (with_latencies) {
        for (uint32_t slot = 0; p->status != NULL && slot < STATUS_SLOTS; slot++) {
            status_add_latencies(p->status, slot, &all);
        }
        lua_createtable(L, 0, 2);
        set_quantile(L, "p50", &all, 0.50);
        set_quantile(L, "p99", &all, 0.99);
        lua_setfield(L, -2, "latency");
    }
}
