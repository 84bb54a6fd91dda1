/* What a process has done and what it uses, as a Lua table: for get_metrics. Everything is read
 * from the status page and from /proc: the process is not asked and need not be able to answer. */
#ifndef TITAN_SCRIPT_PROCESS_METRICS_H
#define TITAN_SCRIPT_PROCESS_METRICS_H

#include <lua.h>
#include <stdbool.h>

#include "manager/process.h"

/*
 * Pushes a table: calls, errors, in_flight, latency (count; mean, p50, p75, p90, p95, p99, max in
 * ms), cpu (user_ms, system_ms, percent of one processor over the life of the process), memory
 * (rss, pss, lua_heap in bytes), uptime (ms), methods (by the name of each that was called: calls,
 * errors, in_flight, latency; those without a name of their own under "(others)").
 *
 * Without cpu, rss and pss when the process has not begun or has ended, without pss when the kernel
 * does not tell; without latencies unless they are asked for.
 */
void process_metrics_push(lua_State *L, const struct process *p, bool with_latencies);

/* The cheap part of it: calls, errors, in_flight, latency (p50, p99). */
void process_metrics_push_summary(lua_State *L, const struct process *p, bool with_latencies);

/* Sets `latency` of the table at the top: count; mean, p50, p75, p90, p95, p99, max in ms. */
void process_metrics_set_latency(lua_State *L, const struct histogram_sum *sum);

#endif
