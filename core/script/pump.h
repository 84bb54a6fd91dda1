/*
 * Streams as the worker sees them: the iterator that a method returned is pumped into the
 * connection by the task that answers the request, as long as the caller gives credit. It goes by
 * turns, so that control traffic, other calls and other streams are served in between, and never
 * far ahead of what the connection takes.
 *
 * Requests are found here by their number: to cancel them, and to give them credit.
 */
#ifndef TITAN_SCRIPT_PUMP_H
#define TITAN_SCRIPT_PUMP_H

#include <lua.h>

#include "base/map.h"
#include "transport/reactor.h"

struct guest;
struct task;

struct pumps {
    struct map requests;  /* tasks that answer requests */
    struct list waiting;  /* those that may send as soon as there is room, in turn */
    struct list starved;  /* those without credit */
    struct flusher round; /* lets the waiting ones send */
};

void pumps_open(struct pumps *p);
void pumps_close(struct pumps *p); /* after the tasks */

/* t->id is set. False when memory is out; none with this number may be under way. */
bool pumps_enter(struct pumps *p, struct task *t);
void pumps_leave(struct pumps *p, struct task *t);

/* The task that answers request `id`; NULL when it has been answered. */
struct task *pumps_find(const struct pumps *p, uint32_t id);

/* What the caller gives. Blames it when that is more than it can have. */
void pumps_credit(struct guest *g, uint32_t id, uint32_t bytes);

/* stream_items(iterator, state, control, closing): sends the items to the caller of the running
 * request, then returns nothing. */
int core_stream_items(lua_State *L);

#endif
