/*
 * A request of a worker to the manager itself: to a service whose name begins with ":". It lives
 * inside whoever serves it, from manager_events.asked until own_request_ended.
 */
#ifndef TITAN_MANAGER_OWN_REQUEST_H
#define TITAN_MANAGER_OWN_REQUEST_H

#include "base/list.h"
#include "rpc/peer.h"

struct process;

/* Zeroed memory with initialised links is a request that is not under way. */
struct own_request {
    struct list link;     /* in from->asked */
    struct process *from; /* NULL when it has ended: nobody waits for an answer */
    uint32_t id;
    /* Nobody wants the answer any more. The request still has to end. */
    void (*unwanted)(struct own_request *r);
};

/* In manager_events.asked: it will be served. */
void own_request_begin(struct own_request *r, struct process *from, uint32_t id,
                       void (*unwanted)(struct own_request *r));

/* Where its answer goes; NULL when nobody waits for one. To be called once, for the last word. */
struct peer *own_request_end(struct own_request *r);

/* For relay.c and process_end.c. */
void own_request_cancel(struct process *from, uint32_t id);
void own_requests_drop(struct process *from);

#endif
