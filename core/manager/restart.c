#include "manager/restart.h"

#include <stdlib.h>
#include <string.h>

void restart_history_free(struct restart_history *h)
{
    free(h->at_ms);
    *h = (struct restart_history){0};
}

size_t restart_count(const struct restart_policy *policy, struct restart_history *h,
                     uint64_t now_ms)
{
    size_t gone = 0;

    while (gone < h->len && now_ms - h->at_ms[gone] >= policy->window_ms) {
        gone++;
    }
    if (gone > 0) {
        h->len -= gone;
        memmove(h->at_ms, h->at_ms + gone, h->len * sizeof *h->at_ms);
    }
    return h->len;
}

/* Without memory the oldest is forgotten: one restart too many is better than one too few. */
static void note(struct restart_history *h, uint64_t now_ms)
{
    if (h->len == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : 4;
        uint64_t *grown = realloc(h->at_ms, cap * sizeof *grown);

        if (grown != NULL) {
            h->at_ms = grown;
            h->cap = cap;
        } else if (h->len == 0) {
            return;
        } else {
            h->len--;
            memmove(h->at_ms, h->at_ms + 1, h->len * sizeof *h->at_ms);
        }
    }
    h->at_ms[h->len++] = now_ms;
}

static double backoff_ms(const struct restart_policy *policy, size_t nth)
{
    double ms = policy->initial_ms;

    switch (policy->backoff) {
    case BACKOFF_EXPONENTIAL:
        for (size_t i = 1; i < nth && ms < policy->max_ms && policy->factor > 1; i++) {
            ms *= policy->factor;
        }
        break;
    case BACKOFF_LINEAR:
        ms *= (double)nth;
        break;
    case BACKOFF_FIXED:
        break;
    }
    return ms < policy->max_ms ? ms : policy->max_ms;
}

int64_t restart_wait_ms(const struct restart_policy *policy, size_t before, struct random *random)
{
    double ms = before == 0 ? policy->delay_ms : backoff_ms(policy, before);

    ms *= 1 + policy->jitter * (2 * random_unit(random) - 1);
    return (int64_t)(ms + 0.5);
}

int64_t restart_decide(const struct restart_policy *policy, struct restart_history *h,
                       uint64_t now_ms, struct random *random)
{
    size_t before = restart_count(policy, h, now_ms);

    if (!policy->enabled || before >= policy->max_restarts) {
        return RESTART_NEVER;
    }
    note(h, now_ms);
    return restart_wait_ms(policy, before, random);
}
