/*
 * The C side of the Lua module: what lua/titan/ is built on, as `require "titan.core"`. A state has
 * of it what it has used: the table takes a function in when its name is asked for.
 */
#ifndef TITAN_SCRIPT_CORE_H
#define TITAN_SCRIPT_CORE_H

#include <lauxlib.h>
#include <lua.h>

/* A question that each file is asked: for the function of one name, or for all names. */
struct core_names;

/* Answers it with these functions, the last of which has no name. */
void core_offer(struct core_names *names, const luaL_Reg *functions);

/* Each offers its functions. */
void core_add_clock(struct core_names *names);
void core_add_tasks(struct core_names *names);
void core_add_scope(struct core_names *names);
void core_add_limits(struct core_names *names);
void core_add_manager(struct core_names *names);
void core_add_worker(struct core_names *names);
void core_add_sandbox(struct core_names *names);
void core_add_digest(struct core_names *names);
void core_add_resilience(struct core_names *names);
void core_add_series(struct core_names *names);
void core_add_store(struct core_names *names);
void core_add_trace(struct core_names *names);
void core_add_buffer(struct core_names *names);
void core_add_later(struct core_names *names);
void core_add_source(struct core_names *names);

/* Gives the userdata at the top the metatable of its type, which is made on first use.
 * `metamethods` may be NULL. */
void core_set_type(lua_State *L, const char *type, const luaL_Reg *metamethods);

/* Lets `require` find the embedded modules, luv and titan.core among them. */
void core_preload(lua_State *L);

/* Loads an embedded module and pushes what it returns, which is not kept. */
void core_load(lua_State *L, const char *name);

/* Loads what a start runs and nobody needs after it, for core.use to find until it is dropped,
 * which is to be called before, too: what it needs of the registry is there then. */
void core_stand_by(lua_State *L);
void core_drop_standing(lua_State *L);

/* Pushes an embedded module for this once: as core.use. */
void core_push_used(lua_State *L, const char *name);

/* Pushes an embedded module, loaded on first use, without a look at what the program has made of
 * `require`. */
void core_require(lua_State *L, const char *name);

#endif
