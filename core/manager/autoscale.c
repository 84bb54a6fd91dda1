#include "manager/autoscale.h"

#define TOLERANCE 0.1 /* the HPA's default */
#define ROUNDING 1e-6 /* a ratio is a quotient: 3.0000000001 workers are 3 */

static uint32_t least(uint64_t a, uint32_t b)
{
    return a < b ? (uint32_t)a : b;
}

static bool has_passed(uint64_t since_ms, uint64_t now_ms, uint32_t duration_ms)
{
    return now_ms >= since_ms && now_ms - since_ms >= duration_ms;
}

/* ---- what the pool needs ---- */

struct pressure {
    double ratio; /* below 0: nothing is known */
    const char *reason;
};

/* What is not measured is NAN, which is higher than nothing, or below 0. */
static void consider(struct pressure *highest, double measured, double target, const char *reason)
{
    if (target > 0 && measured / target > highest->ratio) {
        *highest = (struct pressure){measured / target, reason};
    }
}

static void consider_busy(struct pressure *highest, const struct autoscale_policy *p,
                          const struct autoscale_sample *s)
{
    bool is_set = p->busy > 0;
    double target = is_set ? p->busy : AUTOSCALE_BUSY;
    double measured;

    if (p->max_concurrency == 0) {
        return;
    }
    measured = s->in_flight / ((double)s->workers * p->max_concurrency);
    consider(highest, is_set || measured < target ? measured : target, target, "busy");
}

static struct pressure measure(const struct autoscale_policy *p, const struct autoscale_sample *s)
{
    struct pressure highest = {-1, "steady"};

    if (s->queued == 0 && s->in_flight == 0) {
        highest = (struct pressure){0, "idle"};
    }
    consider(&highest, (double)s->queued / s->workers, p->queue, "queue");
    consider_busy(&highest, p, s);
    consider(&highest, s->cpu, p->cpu, "cpu");
    if (s->p95_ms > 0) {
        consider(&highest, s->p95_ms, p->latency_ms, "latency");
    }
    return highest;
}

/* ceil(workers * ratio), at most twice the workers. */
static uint64_t needed(uint32_t workers, double ratio)
{
    double exact = workers * ratio - ROUNDING;
    uint64_t whole;

    if (ratio < 0 || (ratio >= 1 - TOLERANCE - ROUNDING && ratio <= 1 + TOLERANCE + ROUNDING)) {
        return workers;
    }
    if (ratio >= 2) {
        return (uint64_t)workers * 2;
    }
    if (exact <= 0) {
        return 0;
    }
    whole = (uint64_t)exact;
    return whole + (exact > (double)whole);
}

/* ---- what it gets ---- */

/* The largest size at which workers of the mean size stay below the ceiling. */
static uint32_t memory_cap(const struct autoscale_policy *p, const struct autoscale_sample *s)
{
    double cap;

    if (p->memory_len == 0 || s->memory_len == 0) {
        return p->max;
    }
    cap = (double)p->max * (double)p->memory_len / (double)s->memory_len;
    return cap < p->max ? (uint32_t)cap : p->max;
}

static struct autoscale_decision keep(const struct autoscale_sample *s, const char *reason)
{
    return (struct autoscale_decision){s->workers, reason};
}

static struct autoscale_decision grow(const struct autoscale_policy *p, struct autoscale *a,
                                      const struct autoscale_sample *s, uint64_t wanted,
                                      const char *reason)
{
    uint32_t size = least(wanted, memory_cap(p, s));

    a->larger = false;
    if (s->workers == p->max) {
        return keep(s, "max");
    }
    if (size <= s->workers) {
        return keep(s, "memory");
    }
    if (a->has_grown && !has_passed(a->grown_ms, s->now_ms, p->up_cooldown_ms)) {
        return keep(s, "cooldown");
    }
    a->has_grown = true;
    a->grown_ms = s->now_ms;
    return (struct autoscale_decision){size, reason};
}

static struct autoscale_decision shrink(const struct autoscale_policy *p, struct autoscale *a,
                                        const struct autoscale_sample *s)
{
    if (s->workers == p->min) {
        a->larger = false;
        return keep(s, "min");
    }
    if (!a->larger) {
        a->larger = true;
        a->larger_since_ms = s->now_ms;
    }
    if (!has_passed(a->larger_since_ms, s->now_ms, p->down_cooldown_ms)) {
        return keep(s, "cooldown");
    }
    a->larger_since_ms = s->now_ms;
    return (struct autoscale_decision){s->workers - 1, "idle"};
}

static struct autoscale_decision decide_within(const struct autoscale_policy *p,
                                               struct autoscale *a,
                                               const struct autoscale_sample *s)
{
    struct pressure pressure = measure(p, s);
    uint64_t wanted = needed(s->workers, pressure.ratio);

    if (s->workers > a->size) {
        a->larger = false;
    }
    if (wanted > s->workers) {
        return grow(p, a, s, wanted, pressure.reason);
    }
    if (wanted < s->workers) {
        return shrink(p, a, s);
    }
    a->larger = false;
    return keep(s, "steady");
}

struct autoscale_decision autoscale_decide(const struct autoscale_policy *p, struct autoscale *a,
                                           const struct autoscale_sample *s)
{
    struct autoscale_policy sane = *p;
    struct autoscale_decision d;

    sane.min = p->min > 0 ? p->min : 1;
    sane.max = p->max > sane.min ? p->max : sane.min;
    if (s->workers < sane.min || s->workers > sane.max) {
        a->larger = false;
        d = s->workers < sane.min ? (struct autoscale_decision){sane.min, "min"}
                                  : (struct autoscale_decision){sane.max, "max"};
    } else {
        d = decide_within(&sane, a, s);
    }
    a->size = d.size;
    return d;
}
