/* What a process has counted and measured under names of its user's own, as Lua tables: for
 * get_metrics. Read from the status page, in which the worker may have written anything. */
#ifndef TITAN_SCRIPT_PROCESS_SERIES_H
#define TITAN_SCRIPT_PROCESS_SERIES_H

#include <lua.h>

#include "manager/process.h"

/* Pushes a list, in the order in which they came up, of tables: slot, kind ("counter",
 * "histogram"), key (any bytes), and of a counter value, of a histogram latency as in
 * process_metrics.h. */
void process_series_push(lua_State *L, const struct process *p);

/* Sets `latency` of the table at the top to what was recorded in all slots of the list at `slots`.
 */
void process_series_set_sum(lua_State *L, const struct process *p, int slots);

#endif
