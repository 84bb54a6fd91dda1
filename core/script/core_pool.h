/* The userdata that Lua holds of a pool, for the files that bind it. */
#ifndef TITAN_SCRIPT_CORE_POOL_H
#define TITAN_SCRIPT_CORE_POOL_H

#include <lua.h>

#include "manager/pool.h"
#include "script/core_manager.h"

#define POOL_TYPE "titan.core.pool"

/* Kept by its manager's userdata until it is closed, then by whoever has it, tasks that call
 * through it among them. */
struct script_pool {
    struct pool pool;
    struct runtime *runtime;
    struct script_manager *manager; /* while the pool is open */
    uint32_t *weights;
    char name[PROCESS_NAME_MAX + 1];
};

struct script_pool *core_check_pool(lua_State *L, int index);

/* pool_call.c: pool_method(pool, proxy, method, pool_name, timeout_ms, header, priority, key,
 * info) -> function. `header` and `key` may be nil; info.idempotent is a set of names. */
int core_pool_method(lua_State *L);

/* pool_metrics.c: pool_metrics(pool) -> a table */
int core_pool_metrics(lua_State *L);

void core_add_pool(struct core_names *names);

#endif
