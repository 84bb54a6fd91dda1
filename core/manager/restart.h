/*
 * When what has crashed is started again: after how long, and when never more.
 *
 * Restarts are counted over a sliding window, never over a lifetime. The first in a window waits
 * `delay_ms`, the n-th after it what the backoff says of n: initial x factor^(n-1) (exponential),
 * initial x n (linear) or initial (fixed), at most `max_ms`. Every wait is spread by +-jitter, a
 * share of itself, so that those that crashed together do not come back together. One that would
 * be more than `max_restarts` in the window is never.
 */
#ifndef TITAN_MANAGER_RESTART_H
#define TITAN_MANAGER_RESTART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"

#define RESTART_NEVER (-1)

enum backoff { BACKOFF_EXPONENTIAL, BACKOFF_LINEAR, BACKOFF_FIXED };

struct restart_policy {
    bool enabled;
    uint32_t max_restarts;
    uint32_t window_ms;
    uint32_t delay_ms;
    enum backoff backoff;
    uint32_t initial_ms;
    uint32_t max_ms;
    double factor; /* at least 1 */
    double jitter; /* 0 to 1 */
};

/* The restarts of the window. Zeroed memory is an empty one. */
struct restart_history {
    uint64_t *at_ms; /* oldest first */
    size_t len, cap;
};

void restart_history_free(struct restart_history *h);

/* How many restarts the window that ends now holds. */
size_t restart_count(const struct restart_policy *policy, struct restart_history *h,
                     uint64_t now_ms);

/* How long to wait, in ms, after as many as `before` others in a row; max_restarts does not count
 * here. */
int64_t restart_wait_ms(const struct restart_policy *policy, size_t before, struct random *random);

/* It crashed now: how long to wait, in ms, and the restart is noted; or RESTART_NEVER. */
int64_t restart_decide(const struct restart_policy *policy, struct restart_history *h,
                       uint64_t now_ms, struct random *random);

#endif
