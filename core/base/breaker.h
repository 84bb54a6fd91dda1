/*
 * A circuit breaker: stops calls to what fails, for a while, then lets a few through to see whether
 * it has recovered (Nygard, Release It!, 2007, "Circuit Breaker"). Decides only: no I/O, no timer,
 * no allocation.
 *
 *   CLOSED     calls go. failure_threshold failures in a row open it.
 *   OPEN       no call goes for timeout_ms. The first one asked for after that finds it HALF_OPEN.
 *   HALF_OPEN  half_open_requests probes at a time go. That many successes in a row close it, one
 *              failure opens it for another whole timeout_ms.
 *
 * Promises:
 *  - what a call says counts only in the stay in a state in which the call was admitted: an answer
 *    that comes late neither closes nor opens a later stay, nor does it prolong one;
 *  - no more than half_open_requests probes are under way at any time;
 *  - the clock may stand or jump: one that goes back counts as one that stands.
 */
#ifndef TITAN_BASE_BREAKER_H
#define TITAN_BASE_BREAKER_H

#include <stdint.h>

enum breaker_state {
    BREAKER_CLOSED,
    BREAKER_OPEN,
    BREAKER_HALF_OPEN,
    BREAKER_STATES,
};

/* 0 is taken for 1, but for timeout_ms: then the call after the failure is already a probe. */
struct breaker_policy {
    uint32_t failure_threshold;
    uint32_t timeout_ms;
    uint32_t half_open_requests;
};

/* Lives inside its owner and holds nothing that would have to be freed. */
struct breaker {
    struct breaker_policy policy;
    enum breaker_state state;
    uint64_t generation; /* of this stay in a state; from 1, one more at each change of state */
    uint64_t opened_ms;
    uint32_t failures;  /* CLOSED: in a row */
    uint32_t probes;    /* HALF_OPEN: under way */
    uint32_t successes; /* HALF_OPEN: in a row */
};

/* CLOSED. */
void breaker_init(struct breaker *b, const struct breaker_policy *policy);

/*
 * May a call go? Its ticket if it may, 0 if it may not. The owner of a ticket gives it back exactly
 * once, to one of the three functions below: a probe that never ends keeps its place for ever.
 * *retry_in_ms: in how many ms to ask again; 0 when the call may go, and when all probes are under
 * way, since only their end changes anything.
 */
uint64_t breaker_ask(struct breaker *b, uint64_t now_ms, uint32_t *retry_in_ms);

/* What became of the call. abandon: it ended and says nothing of the health of what it called
 * (it was cancelled, or its arguments were wrong); a probe then makes room for another. */
void breaker_success(struct breaker *b, uint64_t ticket, uint64_t now_ms);
void breaker_failure(struct breaker *b, uint64_t ticket, uint64_t now_ms);
void breaker_abandon(struct breaker *b, uint64_t ticket);

/* The state that a call would find now. Changes nothing. */
enum breaker_state breaker_state(const struct breaker *b, uint64_t now_ms);

/* "closed", "open", "half_open". */
const char *breaker_state_name(enum breaker_state state);

#endif
