/*
 * Streams as the worker sees them: the iterator that a method returned is pumped into the
 * connection by the task that answers the request, as long as the caller gives credit. It goes by
 * turns, so that control traffic, other calls and other streams are served in between, and never
 * far ahead of what the connection takes.
 *
 * Requests are found here by their caller and their number: to cancel them, and to give them
 * credit.
 */
#ifndef TITAN_SCRIPT_PUMP_H
#define TITAN_SCRIPT_PUMP_H

#include <lua.h>

#include "base/map.h"
#include "transport/reactor.h"

struct caller;
struct task;

struct pumps {
    struct map requests; /* tasks that answer requests */
    struct list starved; /* those that stream and have no credit */
};

void pumps_open(struct pumps *p);
void pumps_close(struct pumps *p); /* after the tasks */

/* Its part of each caller. */
void pump_open(struct caller *c);
void pump_close(struct caller *c);

/* t->id and t->from are set. False when memory is out; none with this number of this caller may be
 * under way. */
bool pumps_enter(struct pumps *p, struct task *t);
void pumps_leave(struct pumps *p, struct task *t);

/* The task that answers the caller's request `id`; NULL when it has been answered. */
struct task *pumps_find(const struct pumps *p, const struct caller *c, uint32_t id);

/* What the caller gives. Blames it when that is more than it can have. */
void pumps_credit(struct caller *c, uint32_t id, uint32_t bytes);

/* stream_items(iterator, state, control, closing): sends the items to the caller of the running
 * request, then returns nothing. */
int core_stream_items(lua_State *L);

#endif
