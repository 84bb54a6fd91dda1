/* What lua/titan/metric/ needs inside a worker to count and measure, as Lua functions. */
#include <lauxlib.h>

#include "script/core.h"
#include "script/guest.h"

static const char *const kinds[] = {"counter", "histogram", NULL};
static const enum series_kind kind_of[] = {SERIES_COUNTER, SERIES_HISTOGRAM};

/* The argument as a slot that was handed out. */
static uint32_t check_slot(lua_State *L, int arg, const struct status_page *page)
{
    lua_Integer slot = luaL_checkinteger(L, arg);

    luaL_argcheck(L, slot >= 0 && slot < (lua_Integer)series_used(&page->series_used), arg,
                  "not a slot");
    return (uint32_t)slot;
}

/* series(kind, key, reserved) -> slot, or nil when there is none left or the key is too long; the
 * reserved ones are for series that take in others */
static int core_series(lua_State *L)
{
    struct status_page *page = guest_check(L)->worker.status;
    enum series_kind kind = kind_of[luaL_checkoption(L, 1, NULL, kinds)];
    size_t len;
    const char *key = luaL_checklstring(L, 2, &len);
    int slot = series_slot(&page->series, &page->series_used, kind, key, len, lua_toboolean(L, 3));

    if (slot == SERIES_NONE) {
        lua_pushnil(L);
    } else {
        lua_pushinteger(L, slot);
    }
    return 1;
}

/* series_add(slot, n = 1) */
static int core_series_add(lua_State *L)
{
    struct status_page *page = guest_check(L)->worker.status;
    uint32_t slot = check_slot(L, 1, page);
    lua_Integer n = luaL_optinteger(L, 2, 1);

    luaL_argcheck(L, n >= 0, 2, "a counter only grows");
    series_add(&page->series, slot, (uint64_t)n);
    return 0;
}

/* The time in ns; none is below zero, and none is longer than a histogram takes. */
static uint64_t ns_of(double ms)
{
    const double longest = (double)((uint64_t)1 << HISTOGRAM_TOP_BITS);
    double ns = ms * 1e6;

    return ns > 0 ? (uint64_t)(ns < longest ? ns : longest) : 0;
}

/* series_record(slot, ms) */
static int core_series_record(lua_State *L)
{
    struct status_page *page = guest_check(L)->worker.status;

    series_record(&page->series, check_slot(L, 1, page), ns_of(luaL_checknumber(L, 2)));
    return 0;
}

/* series_took(slot, started_ms, counter or nil): records the time since then, and counts one more
 */
static int core_series_took(lua_State *L)
{
    struct status_page *page = guest_check(L)->worker.status;
    uint32_t slot = check_slot(L, 1, page);
    double ms = (double)runtime_now_ns(runtime_of(L)) / 1e6 - luaL_checknumber(L, 2);

    if (!lua_isnoneornil(L, 3)) {
        series_add(&page->series, check_slot(L, 3, page), 1);
    }
    series_record(&page->series, slot, ns_of(ms));
    return 0;
}

void core_add_series(struct core_names *names)
{
    static const luaL_Reg functions[] = {
        {"series", core_series},
        {"series_add", core_series_add},
        {"series_record", core_series_record},
        {"series_took", core_series_took},
        {NULL, NULL},
    };

    core_offer(names, functions);
}
