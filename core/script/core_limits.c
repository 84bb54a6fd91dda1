/* What bounds a worker, as Lua functions: for titan.manager, which decides, and for
 * titan.worker.limits, which applies in the worker what only that can. */
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "script/core.h"
#include "script/core_manager.h"
#include "script/runtime.h"
#include "script/state.h"

#define ADDRESSES_LEN                                                                              \
    ((uint64_t)512 << 20) /* of which no memory comes: reserves of malloc, stacks */

/* ---- in the worker ---- */

/* limit_memory(len): of this state, 0 for none. True, or nil and how much is in use already. */
static int limit_memory(lua_State *L)
{
    struct state_memory *memory = state_memory_of(L);
    lua_Integer len = luaL_checkinteger(L, 1);

    if (memory == NULL) {
        script_fail(L, "titan: this is for the inside of a worker");
    }
    if (len > 0 && (size_t)len < state_used(memory)) {
        lua_pushnil(L);
        lua_pushinteger(L, (lua_Integer)state_used(memory));
        return 2;
    }
    state_limit(memory, (size_t)len);
    lua_pushboolean(L, 1);
    return 1;
}

/* memory_refusal() -> the error of an allocation that the limit refused, or nil when the machine
 * had no more memory */
static int memory_refusal(lua_State *L)
{
    const struct state_memory *memory = state_memory_of(L);
    struct failure why;

    if (memory == NULL || !state_describe_refusal(memory, &why)) {
        lua_pushnil(L);
    } else {
        lua_pushstring(L, why.message);
    }
    return 1;
}

struct rlimit_name {
    const char *name;
    int resource;
};

static const struct rlimit_name rlimits[] = {
    {"nofile", RLIMIT_NOFILE}, {"nproc", RLIMIT_NPROC}, {"core", RLIMIT_CORE},
    {"fsize", RLIMIT_FSIZE},   {"stack", RLIMIT_STACK}, {"cpu", RLIMIT_CPU},
};

static int check_rlimit(lua_State *L, int index)
{
    const char *name = luaL_checkstring(L, index);

    for (size_t i = 0; i < sizeof rlimits / sizeof rlimits[0]; i++) {
        if (strcmp(rlimits[i].name, name) == 0) {
            return rlimits[i].resource;
        }
    }
    return luaL_argerror(L, index, "no such limit");
}

/* The kernel says SIGXCPU at the soft limit and kills at the hard one: in between is the time in
 * which a core is written. */
static struct rlimit rlimit_of(int resource, rlim_t value, rlim_t hard)
{
    struct rlimit limit = {value, value};

    if (resource == RLIMIT_CPU) {
        limit.rlim_max = hard == RLIM_INFINITY || hard > value + 5 ? value + 5 : hard;
        limit.rlim_max = limit.rlim_max < value ? value : limit.rlim_max;
    }
    return limit;
}

/* limit_rlimit(name, value): of this process, for good. True, or nil, why not, and the hard limit
 * that there is (nil for none). */
static int limit_rlimit(lua_State *L)
{
    int resource = check_rlimit(L, 1);
    rlim_t value = (rlim_t)luaL_checkinteger(L, 2);
    struct rlimit had, limit;

    if (getrlimit((__rlimit_resource_t)resource, &had) == 0) {
        limit = rlimit_of(resource, value, had.rlim_max);
        if (setrlimit((__rlimit_resource_t)resource, &limit) == 0) {
            lua_pushboolean(L, 1);
            return 1;
        }
    }
    lua_pushnil(L);
    lua_pushstring(L, strerror(errno));
    if (had.rlim_max == RLIM_INFINITY) {
        return 2;
    }
    lua_pushinteger(L, (lua_Integer)had.rlim_max);
    return 3;
}

static uint64_t address_space_len(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (f != NULL) {
        if (fscanf(f, "%llu", &pages) != 1) { // NOLINT(cert-err34-c): the kernel's own number
            pages = 0;
        }
        fclose(f);
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* limit_addresses(len): memory that is mapped and never used counts here, so there is much room
 * above `len`: it is what holds between two looks of the watch. */
static int limit_addresses(lua_State *L)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)address_space_len; /* the sanitizers map terabytes */
    lua_pushboolean(L, 0);
#else
    uint64_t now = address_space_len();
    rlim_t len = (rlim_t)luaL_checkinteger(L, 1) * 2 + ADDRESSES_LEN + now;
    struct rlimit limit = {len, len};

    lua_pushboolean(L, now > 0 && setrlimit(RLIMIT_AS, &limit) == 0);
#endif
    return 1;
}

/* join_group(path) -> true; false when there is no such group (any more), or nil and why not */
static int join_group(lua_State *L)
{
    int code = cgroup_join(luaL_checkstring(L, 1));

    if (code < 0 && code != -ENOENT) {
        lua_pushnil(L);
        lua_pushstring(L, strerror(-code));
        return 2;
    }
    lua_pushboolean(L, code == 0);
    return 1;
}

/* ---- in the manager ---- */

static void set_place(lua_State *L, const struct cgroups *c, enum cgroup_controller i,
                      const char *name)
{
    if (c->places[i].version != CGROUP_NONE) {
        lua_pushstring(L, cgroup_version_name(c->places[i].version));
        lua_setfield(L, -2, name);
    }
}

/* manager_groups(manager) -> { memory = "cgroup2", cpu = "cgroup1", why = }: what groups can bound,
 * and why not the rest. They are opened by it. */
static int manager_groups_lua(lua_State *L)
{
    const struct cgroups *c = manager_groups(&core_check_manager(L)->manager);

    lua_createtable(L, 0, 3);
    if (c != NULL) {
        set_place(L, c, CGROUP_MEMORY, "memory");
        set_place(L, c, CGROUP_CPU, "cpu");
        lua_pushstring(L, c->why);
        lua_setfield(L, -2, "why");
    }
    return 1;
}

static bool push_join_path(lua_State *L, const struct cgroups *c, enum cgroup_controller i,
                           const char *id)
{
    char path[PATH_MAX];

    if (!cgroup_join_path(c, i, id, path)) {
        return false;
    }
    lua_pushstring(L, path);
    return true;
}

/* manager_join_paths(manager, process or nil for the next that is spawned, memory, cpu) -> what the
 * worker is to join for what it is bounded in */
static int manager_join_paths(lua_State *L)
{
    struct script_manager *sm = core_check_manager(L);
    const struct cgroups *c = manager_groups(&sm->manager);
    struct process *p = lua_isnil(L, 2) ? NULL : core_check_process(L, 2);
    bool memory = lua_toboolean(L, 3);
    bool cpu = lua_toboolean(L, 4);
    char next[PROCESS_ID_MAX];
    const char *id;

    if (p == NULL) {
        process_next_id(&sm->manager, next);
    }
    id = p ? p->id : next;
    lua_newtable(L);
    if (c == NULL) {
        return 1;
    }
    /* Where both are in one group, it is found under memory. */
    if ((memory || (cpu && c->places[CGROUP_CPU].version == CGROUP_V2)) &&
        push_join_path(L, c, CGROUP_MEMORY, id)) {
        lua_rawseti(L, -2, 1);
    }
    if (cpu && push_join_path(L, c, CGROUP_CPU, id)) {
        lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    }
    return 1;
}

/* process_limit(process, memory or 0, processors or 0, whether somebody named the memory, and the
 * processors) */
static int process_limit_lua(lua_State *L)
{
    struct process *p = core_check_process(L, 1);

    if (p != NULL) {
        process_limit(
            p, &(struct process_bounds){.memory_len = (uint64_t)luaL_checkinteger(L, 2),
                                        .cpus = luaL_checknumber(L, 3),
                                        .named = {lua_toboolean(L, 4), lua_toboolean(L, 5)}});
    }
    return 0;
}

/* process_bounded_by(process) -> "cgroup1", "cgroup2" or nil for the memory; the same for the CPU
 */
static int process_bounded_by_lua(lua_State *L)
{
    const struct process *p = core_check_process(L, 1);

    for (enum cgroup_controller i = 0; i < CGROUP_CONTROLLERS; i++) {
        enum cgroup_version v = p ? process_bounded_by(p, i) : CGROUP_NONE;

        if (v == CGROUP_NONE) {
            lua_pushnil(L);
        } else {
            lua_pushstring(L, cgroup_version_name(v));
        }
    }
    return CGROUP_CONTROLLERS;
}

/* manager_log(manager, text): a line of the manager's own, where those of its workers go */
static int manager_log(lua_State *L)
{
    struct script_manager *sm = core_check_manager(L);
    struct log_line line = {.name = "titan", .pid = (int)getpid(), .is_stderr = true};

    line.text = luaL_checklstring(L, 2, &line.len);
    line.time_ms = wall_ms();
    log_sink_write(&sm->log, &line);
    return 0;
}

void core_add_limits(struct core_names *names)
{
    static const luaL_Reg functions[] = {
        {"limit_memory", limit_memory},
        {"memory_refusal", memory_refusal},
        {"limit_rlimit", limit_rlimit},
        {"limit_addresses", limit_addresses},
        {"join_group", join_group},
        {"manager_groups", manager_groups_lua},
        {"manager_join_paths", manager_join_paths},
        {"manager_log", manager_log},
        {"process_limit", process_limit_lua},
        {"process_bounded_by", process_bounded_by_lua},
        {NULL, NULL},
    };

    core_offer(names, functions);
}
