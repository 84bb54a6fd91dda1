#include "base/breaker.h"

#include <stdbool.h>

static uint32_t at_least_one(uint32_t n)
{
    return n > 0 ? n : 1;
}

void breaker_init(struct breaker *b, const struct breaker_policy *policy)
{
    *b = (struct breaker){.policy = *policy, .state = BREAKER_CLOSED, .generation = 1};
    b->policy.failure_threshold = at_least_one(policy->failure_threshold);
    b->policy.half_open_requests = at_least_one(policy->half_open_requests);
}

/* All counts are of one stay. The tickets of the one before are worthless from here on. */
static void enter(struct breaker *b, enum breaker_state state)
{
    b->state = state;
    b->generation++;
    b->failures = 0;
    b->probes = 0;
    b->successes = 0;
}

static void enter_open(struct breaker *b, uint64_t now_ms)
{
    enter(b, BREAKER_OPEN);
    b->opened_ms = now_ms;
}

/* How much of an OPEN breaker's time is left. */
static uint32_t left_ms(const struct breaker *b, uint64_t now_ms)
{
    uint64_t passed_ms = now_ms > b->opened_ms ? now_ms - b->opened_ms : 0;

    return passed_ms < b->policy.timeout_ms ? b->policy.timeout_ms - (uint32_t)passed_ms : 0;
}

enum breaker_state breaker_state(const struct breaker *b, uint64_t now_ms)
{
    bool over = b->state == BREAKER_OPEN && left_ms(b, now_ms) == 0;

    return over ? BREAKER_HALF_OPEN : b->state;
}

uint64_t breaker_ask(struct breaker *b, uint64_t now_ms, uint32_t *retry_in_ms)
{
    *retry_in_ms = 0;
    if (breaker_state(b, now_ms) != b->state) {
        enter(b, BREAKER_HALF_OPEN);
    }
    switch (b->state) {
    case BREAKER_OPEN:
        *retry_in_ms = left_ms(b, now_ms);
        return 0;
    case BREAKER_HALF_OPEN:
        if (b->probes == b->policy.half_open_requests) {
            return 0;
        }
        b->probes++;
        return b->generation;
    default:
        return b->generation;
    }
}

/* ---- how a call ended ---- */

enum ending {
    SUCCESS,
    FAILURE,
    ABANDONED,
    ENDINGS,
};

typedef void (*action)(struct breaker *b, uint64_t now_ms);

static void ignore(struct breaker *b, uint64_t now_ms)
{
    (void)b;
    (void)now_ms;
}

static void forget_failures(struct breaker *b, uint64_t now_ms)
{
    (void)now_ms;
    b->failures = 0;
}

static void count_failure(struct breaker *b, uint64_t now_ms)
{
    if (++b->failures == b->policy.failure_threshold) {
        enter_open(b, now_ms);
    }
}

static void probe_succeeded(struct breaker *b, uint64_t now_ms)
{
    (void)now_ms;
    b->probes--;
    if (++b->successes == b->policy.half_open_requests) {
        enter(b, BREAKER_CLOSED);
    }
}

static void probe_abandoned(struct breaker *b, uint64_t now_ms)
{
    (void)now_ms;
    b->probes--;
}

/* An OPEN breaker has given out no ticket. */
static const action endings[BREAKER_STATES][ENDINGS] = {
    [BREAKER_CLOSED] =
        {
            [SUCCESS] = forget_failures,
            [FAILURE] = count_failure,
            [ABANDONED] = ignore,
        },
    [BREAKER_OPEN] =
        {
            [SUCCESS] = ignore,
            [FAILURE] = ignore,
            [ABANDONED] = ignore,
        },
    [BREAKER_HALF_OPEN] =
        {
            [SUCCESS] = probe_succeeded,
            [FAILURE] = enter_open,
            [ABANDONED] = probe_abandoned,
        },
};

/* Without a probe under way the ticket has been given back before. */
static void ended(struct breaker *b, uint64_t ticket, enum ending ending, uint64_t now_ms)
{
    bool spent = b->state == BREAKER_HALF_OPEN && b->probes == 0;

    if (ticket == b->generation && !spent) {
        endings[b->state][ending](b, now_ms);
    }
}

void breaker_success(struct breaker *b, uint64_t ticket, uint64_t now_ms)
{
    ended(b, ticket, SUCCESS, now_ms);
}

void breaker_failure(struct breaker *b, uint64_t ticket, uint64_t now_ms)
{
    ended(b, ticket, FAILURE, now_ms);
}

void breaker_abandon(struct breaker *b, uint64_t ticket)
{
    ended(b, ticket, ABANDONED, 0);
}

const char *breaker_state_name(enum breaker_state state)
{
    static const char *const names[BREAKER_STATES] = {
        [BREAKER_CLOSED] = "closed",
        [BREAKER_OPEN] = "open",
        [BREAKER_HALF_OPEN] = "half_open",
    };

    return names[state];
}
