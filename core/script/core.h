/* The C side of the Lua module: what lua/titan/ is built on, as `require "titan.core"`. */
#ifndef TITAN_SCRIPT_CORE_H
#define TITAN_SCRIPT_CORE_H

#include <lua.h>

/* Each adds its functions to the table at the top of the stack. */
void core_add_clock(lua_State *L);
void core_add_tasks(lua_State *L);
void core_add_scope(lua_State *L);
void core_add_manager(lua_State *L);
void core_add_worker(lua_State *L);
void core_add_digest(lua_State *L);
void core_add_resilience(lua_State *L);
void core_add_series(lua_State *L);
void core_add_store(lua_State *L);
void core_add_trace(lua_State *L);
void core_add_stream(lua_State *L);
void core_add_buffer(lua_State *L);

/* Registers the embedded modules with package.preload, luv and titan.core among them. */
void core_preload(lua_State *L);

#endif
