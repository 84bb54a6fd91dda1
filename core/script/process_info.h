/* What is known of a process, as a Lua table: for get_process_info and for crash reports alike. */
#ifndef TITAN_SCRIPT_PROCESS_INFO_H
#define TITAN_SCRIPT_PROCESS_INFO_H

#include <lua.h>

#include "manager/process.h"

/*
 * Pushes a table: id, name, pid, status, isolation, transport, start_time, end_time (ms of the wall
 * clock), uptime (ms), restart_count, exit_code, exit_signal, exit (text), last_error
 * ({code=, message=}), stdout_tail, stderr_tail, and activity, from the status page: calls, errors,
 * in_flight, lua_heap, running ({method, for_ms}), last_calls (newest first: {method, ago_ms,
 * took_ms, failed}).
 */
void process_info_push(lua_State *L, const struct process *p);

#endif
