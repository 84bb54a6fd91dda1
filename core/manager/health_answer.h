/* What a health_check method says: bytes of another process, which nobody trusts. */
#ifndef TITAN_MANAGER_HEALTH_ANSWER_H
#define TITAN_MANAGER_HEALTH_ANSWER_H

#include "manager/health_rules.h"
#include "wire/message.h"

#define HEALTH_REASON_LEN 256

struct health_answer {
    enum health_finding found;
    struct span details; /* the map it answered with; absent when it was none */
    char reason[HEALTH_REASON_LEN];
};

/*
 * Reads the results (one MessagePack array):
 *
 *     true, nil or nothing                  healthy
 *     false, or nil and a string            failed; a string behind it is the reason
 *     {status = "healthy", ...}             what it says: healthy, degraded or unhealthy (failed);
 *                                           the reason is its `reason` or its `message`
 *     anything else                         failed
 *
 * NULL, or what is malformed (static text).
 */
const char *health_read_results(struct span results, unsigned nesting, struct health_answer *a);

/* The same for the error map of a method that raised: failed, for the reason in its `message`. */
const char *health_read_error(struct span error, unsigned nesting, struct health_answer *a);

#endif
