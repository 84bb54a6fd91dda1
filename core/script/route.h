/*
 * How a guest on a thread of the manager's process calls others there: by a link from state to
 * state (inproc.h), without the manager's thread. A route is made on the first call of a service
 * and kept as long as that stands in the directory under that name, up to ROUTES_MAX at a time.
 */
#ifndef TITAN_SCRIPT_ROUTE_H
#define TITAN_SCRIPT_ROUTE_H

#include "base/map.h"
#include "rpc/peer.h"

#define ROUTES_MAX 1024

struct guest;

struct routes {
    struct map by_name;
    struct list used;    /* the same, the one used last at its end */
    struct list retired; /* that lead nowhere any more, or have calls to end */
    unsigned len;        /* of by_name */
    struct flusher bury;
};

void routes_open(struct routes *r);
void routes_close(struct routes *r); /* after the tasks */

/* Whom to call for that service. NULL: the manager has to pass it on, and knows what is wrong. */
struct peer *route_to(struct guest *g, const char *service);

#endif
