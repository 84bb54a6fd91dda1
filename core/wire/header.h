/*
 * The header map of a request: what goes along with a call besides its arguments.
 *
 *     service       the request is for this service, and passed on; one that begins with ":" is the
 *                   manager's own
 *     deadline      so many ms are left for it, from the moment it arrives
 *     claimed       the manager has seen to it that nobody else runs what has the same idempotency
 *                   key
 *     idempotency_key, traceparent, tracestate, headers
 *                   for the method's side, which gets them as they are
 */
#ifndef TITAN_WIRE_HEADER_H
#define TITAN_WIRE_HEADER_H

#include "wire/message.h"

#define HEADER_SERVICE "service"
#define HEADER_DEADLINE "deadline"
#define HEADER_CLAIMED "claimed"
#define HEADER_KEY "idempotency_key"

struct header {
    struct span service;
    uint32_t deadline_ms; /* 0: none */
    bool claimed;
    bool has_more; /* pairs beside these */
};

/* Of a request's header, which may be absent or anything. */
void header_read(struct span bytes, struct header *h);

/* The head of a header with so many pairs, and the first two of them. */
bool header_begin(struct buf *b, const char *service, uint32_t deadline_ms, uint32_t more_pairs);

/* The pairs of an idempotency key, and how many they are. */
bool header_write_key(struct buf *b, struct span key, bool claimed);
#define HEADER_KEY_PAIRS(claimed) ((claimed) ? 2u : 1u)

/* The header with which a request is passed on: without the service and without `claimed`, which is
 * the manager's to say. Writes nothing when nothing is left: has_header says which, beforehand. */
bool header_is_needed(struct span bytes, uint32_t deadline_ms);
bool header_pass_on(struct buf *b, struct span bytes, uint32_t deadline_ms);

#endif
