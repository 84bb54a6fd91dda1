/* The userdata that Lua holds of a manager and of its processes, for the files that bind them. */
#ifndef TITAN_SCRIPT_CORE_MANAGER_H
#define TITAN_SCRIPT_CORE_MANAGER_H

#include <lua.h>

#include "manager/manager.h"
#include "ops/log.h"
#include "script/core.h"
#include "script/runtime.h"

#define MANAGER_TYPE "titan.core.manager"
#define PROCESS_TYPE "titan.core.process"

/* The user values of a manager: the function that hears its events, every process by its address,
 * the pools that are open by theirs, and the function that serves its own services. */
#define MANAGER_EVENT_FN 1
#define MANAGER_PROCESSES 2
#define MANAGER_POOLS 3
#define MANAGER_SERVE_FN 4

struct script_manager {
    struct manager manager;
    struct runtime *runtime;
    struct log_sink log;
    int anchor;         /* keeps the userdata while the manager is open; LUA_NOREF when it is not */
    struct map ledgers; /* by their space; see core_ledger.h */
};

/* What a Lua program holds of a process. */
struct script_process {
    struct process *process; /* NULL once forgotten */
};

/* The open manager at index 1; raises `destroyed` for one that is closed. */
struct script_manager *core_check_manager(lua_State *L);

/* The process of the userdata at `index`; NULL when it was forgotten. */
struct process *core_check_process(lua_State *L, int index);

/* Pushes the userdata of a process, made on first sight. */
void core_push_process(lua_State *L, struct script_manager *sm, struct process *p);

/* What is at `name` in the table at `table`; a number of the wrong type raises. */
uint32_t core_field_uint(lua_State *L, int table, const char *name);
double core_field_number(lua_State *L, int table, const char *name);
bool core_field_flag(lua_State *L, int table, const char *name);

/* The restart_policy of the config, complete and checked, in the table at `index`. */
struct restart_policy core_check_policy(lua_State *L, int index);

/* Its delay and backoff alone. */
struct restart_policy core_check_waits(lua_State *L, int index);

/* What Titan tells its own processes is not for the limits of the config to refuse. */
int core_encode_own(lua_State *L, int index, struct buf *b, struct failure *why);

/* The keeper of the process that is the child `name` of the supervisor at `index`. */
struct keeper *core_check_keeper(lua_State *L, int index, const char *name);

/* core_process.c, core_supervisor.c: each offers its functions. */
void core_add_process(struct core_names *names);
void core_add_supervisor(struct core_names *names);

/* core_health.c */
void core_add_health(struct core_names *names);

/* core_asked.c: manager_events.asked */
void core_asked(void *ctx, struct process *p, struct span service, const struct message *m);

#endif
