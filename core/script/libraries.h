/*
 * Lua's standard libraries in a state on a thread, which should have no more than it uses: of some
 * there is only the table, until somebody looks into it, and then all of it. Until then `next`,
 * rawget and rawset see an empty table; pairs sees everything, and what was set by hand stays.
 */
#ifndef TITAN_SCRIPT_LIBRARIES_H
#define TITAN_SCRIPT_LIBRARIES_H

#include <lua.h>

/* All of them, as luaL_openlibs. May raise a Lua error. */
void libraries_open_lean(lua_State *L);

#endif
