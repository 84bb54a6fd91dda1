#include "manager/health_rules.h"

/* ---- the verdict ---- */

static unsigned set_verdict(struct health_record *h, enum health_verdict v)
{
    unsigned todo = 0;

    if (h->verdict != v) {
        h->previous = h->verdict;
        h->verdict = v;
        todo = HEALTH_CHANGED;
    }
    if (v == HEALTH_HEALTHY) {
        h->critical = false;
    } else if (v == HEALTH_UNHEALTHY && !h->critical) {
        h->critical = true;
        todo |= HEALTH_CRITICAL;
    }
    return todo;
}

static unsigned answered(struct health_record *h, enum health_verdict v)
{
    h->failures = 0;
    h->silences = 0;
    return set_verdict(h, v);
}

static unsigned failed(struct health_record *h, const struct health_options *options)
{
    if (h->failures < UINT32_MAX) {
        h->failures++;
    }
    return h->failures >= options->failures ? set_verdict(h, HEALTH_UNHEALTHY) : 0;
}

static unsigned said_nothing(struct health_record *h, const struct health_options *options)
{
    if (h->silences < UINT32_MAX) {
        h->silences++;
    }
    return failed(h, options);
}

unsigned health_decide(struct health_record *h, const struct health_options *options,
                       enum health_finding found)
{
    unsigned todo = 0;

    switch (found) {
    case FOUND_HEALTHY:
        return answered(h, HEALTH_HEALTHY);
    case FOUND_DEGRADED:
        return answered(h, HEALTH_DEGRADED);
    case FOUND_FAILED:
        h->silences = 0;
        return failed(h, options);
    case FOUND_SILENT:
        return said_nothing(h, options);
    case FOUND_HANGING:
        todo = said_nothing(h, options);
        /* Killing costs the calls it has: only after as many silences as make it unhealthy. */
        return h->silences >= options->failures && options->restart_hung ? todo | HEALTH_HUNG
                                                                         : todo;
    default: /* FOUND_BUSY */
        h->failures -= h->silences < h->failures ? h->silences : h->failures;
        h->silences = 0;
        return todo;
    }
}

/* ---- silence ---- */

void health_alive(struct health_life *l, const struct health_sight *seen, uint64_t now_ms)
{
    l->alive_ms = now_ms;
    l->calls = seen->calls;
    l->ended = seen->ended;
    l->started_ns = seen->started_ns;
}

static bool has_moved(const struct health_life *l, const struct health_sight *seen)
{
    return l->calls != seen->calls || l->ended != seen->ended || l->started_ns != seen->started_ns;
}

enum health_finding health_silence(struct health_life *l, const struct health_sight *seen,
                                   uint32_t hang_after_ms, uint64_t now_ms)
{
    if (seen->loop_turns && !seen->in_method) {
        health_alive(l, seen, now_ms);
        return FOUND_FAILED; /* only the method that was asked is late */
    }
    if (seen->loop_turns || has_moved(l, seen)) {
        health_alive(l, seen, now_ms);
        return seen->stopped || seen->traced ? FOUND_SILENT : FOUND_BUSY;
    }
    if (seen->traced) {
        return FOUND_SILENT;
    }
    if (now_ms - l->alive_ms >= hang_after_ms) {
        return FOUND_HANGING;
    }
    return seen->in_method && !seen->stopped ? FOUND_BUSY : FOUND_SILENT;
}

const char *health_verdict_name(enum health_verdict v)
{
    static const char *const names[HEALTH_VERDICTS] = {
        [HEALTH_UNKNOWN] = "unknown",
        [HEALTH_HEALTHY] = "healthy",
        [HEALTH_DEGRADED] = "degraded",
        [HEALTH_UNHEALTHY] = "unhealthy",
    };

    return names[v];
}
