#include "script/process_series.h"

#include <lauxlib.h>

#include "script/process_metrics.h"

static void push_series(lua_State *L, const struct series_area *area, uint32_t slot,
                        const struct series_view *view)
{
    lua_createtable(L, 0, 4);
    lua_pushinteger(L, (lua_Integer)slot);
    lua_setfield(L, -2, "slot");
    lua_pushlstring(L, view->key, view->key_len);
    lua_setfield(L, -2, "key");
    lua_pushstring(L, view->kind == SERIES_COUNTER ? "counter" : "histogram");
    lua_setfield(L, -2, "kind");
    if (view->kind == SERIES_COUNTER) {
        lua_pushinteger(L, (lua_Integer)view->count);
        lua_setfield(L, -2, "value");
    } else {
        struct histogram_sum sum = {0};

        series_add_recorded(area, slot, &sum);
        process_metrics_set_latency(L, &sum);
    }
}

void process_series_push(lua_State *L, const struct process *p)
{
    lua_Integer n = 0;
    uint32_t used;

    luaL_checkstack(L, 6, NULL);
    lua_newtable(L);
    used = p->status != NULL ? series_used(&p->status->series_used) : 0;
    for (uint32_t slot = 0; slot < used; slot++) {
        struct series_view view;

        if (series_read(&p->status->series, slot, &view)) {
            push_series(L, &p->status->series, slot, &view);
            lua_rawseti(L, -2, ++n);
        }
    }
}

void process_series_set_sum(lua_State *L, const struct process *p, int slots)
{
    struct histogram_sum sum = {0};

    luaL_checkstack(L, 4, NULL);
    for (lua_Integer i = 1; i <= luaL_len(L, slots); i++) {
        lua_Integer slot;

        lua_geti(L, slots, i);
        slot = lua_tointeger(L, -1);
        lua_pop(L, 1);
        if (p->status != NULL && slot >= 0 && slot < SERIES_SLOTS) {
            series_add_recorded(&p->status->series, (uint32_t)slot, &sum);
        }
    }
    process_metrics_set_latency(L, &sum);
}
