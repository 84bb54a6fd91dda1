#include "unit.h"

#include <math.h>

#include "manager/autoscale.h"

#define UP_MS UINT64_C(1000)
#define DOWN_MS UINT64_C(5000)
#define MB ((uint64_t)1000000)

static const struct autoscale_policy by_cpu = {
    .min = 2,
    .max = 20,
    .cpu = 0.5,
    .up_cooldown_ms = UP_MS,
    .down_cooldown_ms = DOWN_MS,
};

/* Calls under way, so that it is not idle, and nothing else measured. */
static struct autoscale_sample nothing_measured(uint32_t workers, uint64_t now_ms)
{
    return (struct autoscale_sample){
        .now_ms = now_ms, .workers = workers, .in_flight = 1, .cpu = NAN, .p95_ms = NAN};
}

static struct autoscale_sample with_cpu(uint32_t workers, double cpu, uint64_t now_ms)
{
    struct autoscale_sample s = nothing_measured(workers, now_ms);

    s.cpu = cpu;
    return s;
}

static void assert_decides(const struct autoscale_policy *p, struct autoscale *a,
                           struct autoscale_sample s, uint32_t size, const char *reason)
{
    struct autoscale_decision d = autoscale_decide(p, a, &s);

    assert_int_equal(d.size, size);
    assert_string_equal(d.reason, reason);
}

/* The first decision about a pool, which no cooldown holds. */
static void assert_first(const struct autoscale_policy *p, struct autoscale_sample s, uint32_t size,
                         const char *reason)
{
    struct autoscale a = {0};

    assert_decides(p, &a, s, size, reason);
}

/* ---- bounds ---- */

static void a_pool_beyond_its_bounds_is_put_right_at_once(void **state)
{
    (void)state;
    assert_first(&by_cpu, with_cpu(0, NAN, 0), 2, "min");
    assert_first(&by_cpu, with_cpu(1, 0.9, 0), 2, "min");
    assert_first(&by_cpu, with_cpu(25, 0.9, 0), 20, "max");
    assert_first(&by_cpu, with_cpu(25, 0, 0), 20, "max");
}

static void the_bounds_neither_wait_for_a_cooldown_nor_start_one(void **state)
{
    struct autoscale a = {0};

    (void)state;
    assert_decides(&by_cpu, &a, with_cpu(1, NAN, 0), 2, "min");
    assert_decides(&by_cpu, &a, with_cpu(2, 1, 0), 4, "cpu");
    assert_decides(&by_cpu, &a, with_cpu(1, 1, 1), 2, "min");
    assert_decides(&by_cpu, &a, with_cpu(21, 0, 2), 20, "max");
}

static void it_does_not_grow_beyond_max(void **state)
{
    (void)state;
    assert_first(&by_cpu, with_cpu(15, 1, 0), 20, "cpu");
    assert_first(&by_cpu, with_cpu(20, 1, 0), 20, "max");
}

static void it_does_not_shrink_below_min(void **state)
{
    struct autoscale a = {0};

    (void)state;
    assert_decides(&by_cpu, &a, with_cpu(2, 0, 0), 2, "min");
    assert_decides(&by_cpu, &a, with_cpu(2, 0, 10 * DOWN_MS), 2, "min");
}

static void the_time_at_min_does_not_count_for_the_next_step_down(void **state)
{
    struct autoscale_policy p = by_cpu;
    struct autoscale a = {0};

    (void)state;
    assert_decides(&p, &a, with_cpu(3, 0, 0), 3, "cooldown");
    p.min = 3;
    assert_decides(&p, &a, with_cpu(3, 0, DOWN_MS - 1), 3, "min");
    p.min = 1;
    assert_decides(&p, &a, with_cpu(3, 0, DOWN_MS), 3, "cooldown");
    assert_decides(&p, &a, with_cpu(3, 0, DOWN_MS * 2 - 1), 3, "cooldown");
    assert_decides(&p, &a, with_cpu(3, 0, DOWN_MS * 2), 2, "idle");
}

static void bounds_without_sense_are_given_one(void **state)
{
    static const struct autoscale_policy zeros = {.cpu = 0.5};
    static const struct autoscale_policy crossed = {.min = 4, .max = 2, .cpu = 0.5};

    (void)state;
    assert_first(&zeros, with_cpu(0, NAN, 0), 1, "min");
    assert_first(&zeros, with_cpu(1, 1, 0), 1, "max");
    assert_first(&zeros, with_cpu(1, 0, 0), 1, "min");
    assert_first(&crossed, with_cpu(3, 0, 0), 4, "min");
    assert_first(&crossed, with_cpu(5, 1, 0), 4, "max");
}

/* ---- each target ---- */

static void cpu_above_its_target_asks_for_the_share_that_is_missing(void **state)
{
    (void)state;
    assert_first(&by_cpu, with_cpu(4, 0.75, 0), 6, "cpu");
    assert_first(&by_cpu, with_cpu(4, 0.76, 0), 7, "cpu");
    assert_first(&by_cpu, with_cpu(4, 0.5, 0), 4, "steady");
}

static void within_a_tenth_it_is_on_target(void **state)
{
    struct autoscale_policy p = by_cpu;

    (void)state;
    assert_first(&p, with_cpu(10, 0.55, 0), 10, "steady");
    assert_first(&p, with_cpu(10, 0.551, 0), 12, "cpu");
    p.down_cooldown_ms = 0;
    assert_first(&p, with_cpu(10, 0.45, 0), 10, "steady");
    assert_first(&p, with_cpu(10, 0.449, 0), 9, "idle");
}

/* 9 * (0.4 / 0.3) is 12.000000000000002. */
static void a_rounding_error_is_not_a_worker(void **state)
{
    struct autoscale_policy p = by_cpu;

    (void)state;
    p.cpu = 0.3;
    assert_first(&p, with_cpu(9, 0.4, 0), 12, "cpu");
}

static void the_queue_counts_per_worker(void **state)
{
    static const struct autoscale_policy p = {.min = 1, .max = 20, .queue = 2};
    struct autoscale_sample s = nothing_measured(4, 0);

    (void)state;
    s.queued = 8;
    assert_first(&p, s, 4, "steady");
    s.queued = 9;
    assert_first(&p, s, 5, "queue");
    s.queued = 12;
    assert_first(&p, s, 6, "queue");
    s.queued = 6;
    assert_first(&p, s, 3, "idle");
}

static void latency_above_its_target_grows_the_pool(void **state)
{
    static const struct autoscale_policy p = {.min = 1, .max = 20, .latency_ms = 100};
    struct autoscale_sample s = nothing_measured(4, 0);

    (void)state;
    s.p95_ms = 150;
    assert_first(&p, s, 6, "latency");
    s.p95_ms = 100;
    assert_first(&p, s, 4, "steady");
    s.p95_ms = 50;
    assert_first(&p, s, 3, "idle");
}

static void calls_under_way_count_against_what_all_workers_may_take(void **state)
{
    static const struct autoscale_policy p = {
        .min = 1, .max = 20, .busy = 0.5, .max_concurrency = 10};
    struct autoscale_sample s = nothing_measured(4, 0);

    (void)state;
    s.in_flight = 20;
    assert_first(&p, s, 4, "steady");
    s.in_flight = 30;
    assert_first(&p, s, 6, "busy");
    s.in_flight = 10;
    assert_first(&p, s, 3, "idle");
}

static void without_a_limit_of_calls_nobody_is_busy(void **state)
{
    static const struct autoscale_policy p = {.min = 1, .max = 20, .busy = 0.5};
    struct autoscale_sample s = nothing_measured(4, 0);

    (void)state;
    s.in_flight = 1000;
    assert_first(&p, s, 4, "steady");
}

static void busy_that_is_not_set_keeps_the_workers_that_are_needed_and_asks_for_none(void **state)
{
    static const struct autoscale_policy p = {
        .min = 1, .max = 20, .max_concurrency = 10, .queue = 1};
    struct autoscale_sample s = nothing_measured(4, 0);

    (void)state;
    s.in_flight = 40;
    assert_first(&p, s, 4, "steady");
    s.in_flight = 25; /* three workers at 0.8 take 24 */
    assert_first(&p, s, 4, "steady");
    s.in_flight = 24;
    assert_first(&p, s, 3, "idle");
}

static void the_highest_of_all_targets_counts(void **state)
{
    static const struct autoscale_policy p = {.min = 1,
                                              .max = 100,
                                              .max_concurrency = 10,
                                              .queue = 10,
                                              .busy = 0.5,
                                              .cpu = 0.5,
                                              .latency_ms = 100};
    static const struct {
        uint32_t queued, in_flight;
        double cpu, p95_ms;
        uint32_t size;
        const char *reason;
    } cases[] = {
        {150, 60, 0.6, 120, 15, "queue"},
        {120, 75, 0.6, 120, 15, "busy"},
        {120, 60, 0.75, 120, 15, "cpu"},
        {120, 60, 0.6, 150, 15, "latency"},
        {0, 0, 0.75, 0, 15, "cpu"},
        {150, 0, 0, 1, 15, "queue"},
        {100, 20, 0.1, 10, 10, "steady"},
        {20, 50, 0.1, 10, 10, "steady"},
        {20, 20, 0.5, 10, 10, "steady"},
        {20, 20, 0.1, 100, 10, "steady"},
        {20, 20, 0.1, 10, 9, "idle"},
        {150, 60, NAN, NAN, 15, "queue"},
        {0, 10, 0.1, INFINITY, 20, "latency"},
    };

    (void)state;
    for (size_t i = 0; i < count_of(cases); i++) {
        struct autoscale_sample s = {.workers = 10,
                                     .queued = cases[i].queued,
                                     .in_flight = cases[i].in_flight,
                                     .cpu = cases[i].cpu,
                                     .p95_ms = cases[i].p95_ms};

        assert_first(&p, s, cases[i].size, cases[i].reason);
    }
}

static void targets_that_are_not_set_are_not_looked_at(void **state)
{
    static const struct autoscale_policy none = {.min = 1, .max = 20};
    struct autoscale_sample s = with_cpu(4, 1, 0);

    (void)state;
    s.queued = 1000;
    s.p95_ms = 100000;
    s.memory_len = 1000 * MB;
    assert_first(&none, s, 4, "steady");
}

/* ---- what is not measured ---- */

static void what_is_not_measured_says_nothing(void **state)
{
    static const struct autoscale_policy p = {.min = 1, .max = 20, .cpu = 0.5, .latency_ms = 100};
    struct autoscale_sample s = nothing_measured(4, 0);

    (void)state;
    assert_first(&p, s, 4, "steady");
    s.p95_ms = 0;
    assert_first(&p, s, 4, "steady");
    s.p95_ms = 200;
    assert_first(&p, s, 8, "latency");
    s.p95_ms = NAN;
    s.cpu = -1;
    assert_first(&p, s, 4, "steady");
    s.cpu = -0.1;
    assert_first(&p, s, 4, "steady");
    s.cpu = 0;
    assert_first(&p, s, 3, "idle");
}

static void a_pool_without_calls_is_idle_whatever_is_not_measured(void **state)
{
    static const struct autoscale_policy p = {.min = 1, .max = 20, .latency_ms = 100};
    struct autoscale_sample s = nothing_measured(4, 0);

    (void)state;
    s.in_flight = 0;
    assert_first(&p, s, 3, "idle");
    s.queued = 1;
    assert_first(&p, s, 4, "steady");
}

static void a_sample_that_says_nothing_begins_the_way_down_anew(void **state)
{
    struct autoscale a = {0};

    (void)state;
    assert_decides(&by_cpu, &a, with_cpu(4, 0.1, 0), 4, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(4, NAN, DOWN_MS - 1), 4, "steady");
    assert_decides(&by_cpu, &a, with_cpu(4, 0.1, DOWN_MS), 4, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(4, 0.1, 2 * DOWN_MS), 3, "idle");
}

/* ---- steps and cooldowns ---- */

static void a_step_up_at_most_doubles(void **state)
{
    struct autoscale_policy p = by_cpu;

    (void)state;
    p.cpu = 0.01;
    p.min = 1;
    assert_first(&p, with_cpu(1, 1, 0), 2, "cpu");
    assert_first(&p, with_cpu(3, 1, 0), 6, "cpu");
    assert_first(&p, with_cpu(3, INFINITY, 0), 6, "cpu");
    p.max = UINT32_MAX;
    assert_first(&p, with_cpu(UINT32_MAX - 1, 1, 0), UINT32_MAX, "cpu");
}

static void growth_waits_for_its_cooldown_to_the_millisecond(void **state)
{
    struct autoscale a = {0};

    (void)state;
    assert_decides(&by_cpu, &a, with_cpu(2, 1, 0), 4, "cpu");
    assert_decides(&by_cpu, &a, with_cpu(4, 1, 0), 4, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(4, 1, UP_MS - 1), 4, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(4, 1, UP_MS), 8, "cpu");
    assert_decides(&by_cpu, &a, with_cpu(8, 1, UP_MS + 1), 8, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(8, 1, 2 * UP_MS - 1), 8, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(8, 1, 2 * UP_MS), 16, "cpu");
}

static void shrinking_goes_one_at_a_time_and_waits_each_time(void **state)
{
    struct autoscale a = {0};

    (void)state;
    assert_decides(&by_cpu, &a, with_cpu(10, 0, 0), 10, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(10, 0, DOWN_MS - 1), 10, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(10, 0, DOWN_MS), 9, "idle");
    assert_decides(&by_cpu, &a, with_cpu(9, 0, DOWN_MS), 9, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(9, 0, 2 * DOWN_MS - 1), 9, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(9, 0, 2 * DOWN_MS), 8, "idle");
}

static void one_sample_that_needs_the_size_begins_the_way_down_anew(void **state)
{
    struct autoscale a = {0};

    (void)state;
    assert_decides(&by_cpu, &a, with_cpu(10, 0.1, 0), 10, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(10, 0.5, DOWN_MS - 1), 10, "steady");
    assert_decides(&by_cpu, &a, with_cpu(10, 0.1, DOWN_MS), 10, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(10, 0.1, 2 * DOWN_MS - 1), 10, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(10, 0.1, 2 * DOWN_MS), 9, "idle");
}

/* Also one that asks for growth and does not get it. */
static void growth_begins_the_way_down_anew(void **state)
{
    struct autoscale a = {0};

    (void)state;
    assert_decides(&by_cpu, &a, with_cpu(4, 1, 0), 8, "cpu");
    assert_decides(&by_cpu, &a, with_cpu(8, 0.1, 1), 8, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(8, 1, 2), 8, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(8, 0.1, 3), 8, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(8, 0.1, DOWN_MS + 2), 8, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(8, 0.1, DOWN_MS + 3), 7, "idle");
}

static void shrinking_does_not_hold_growth(void **state)
{
    struct autoscale a = {0};

    (void)state;
    assert_decides(&by_cpu, &a, with_cpu(4, 0, 0), 4, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(4, 0, DOWN_MS), 3, "idle");
    assert_decides(&by_cpu, &a, with_cpu(3, 1, DOWN_MS + 1), 6, "cpu");
}

static void what_somebody_else_added_stays_for_a_whole_cooldown(void **state)
{
    struct autoscale a = {0};

    (void)state;
    assert_decides(&by_cpu, &a, with_cpu(4, 0, 0), 4, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(9, 0, DOWN_MS - 1), 9, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(9, 0, 2 * DOWN_MS - 2), 9, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(9, 0, 2 * DOWN_MS - 1), 8, "idle");
}

static void a_correction_to_the_bounds_begins_the_way_down_anew(void **state)
{
    struct autoscale a = {0};

    (void)state;
    assert_decides(&by_cpu, &a, with_cpu(20, 0, 0), 20, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(21, 0, DOWN_MS - 1), 20, "max");
    assert_decides(&by_cpu, &a, with_cpu(20, 0, DOWN_MS), 20, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(20, 0, 2 * DOWN_MS), 19, "idle");
}

static void cooldowns_of_zero_hold_nothing(void **state)
{
    static const struct autoscale_policy p = {.min = 1, .max = 20, .cpu = 0.5};
    struct autoscale a = {0};

    (void)state;
    assert_decides(&p, &a, with_cpu(4, 0, 0), 3, "idle");
    assert_decides(&p, &a, with_cpu(3, 0, 0), 2, "idle");
    assert_decides(&p, &a, with_cpu(2, 1, 0), 4, "cpu");
    assert_decides(&p, &a, with_cpu(4, 1, 0), 8, "cpu");
}

/* ---- clocks ---- */

static void a_jump_of_the_clock_is_one_step(void **state)
{
    struct autoscale a = {0};

    (void)state;
    assert_decides(&by_cpu, &a, with_cpu(10, 0, 0), 10, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(10, 0, UINT64_MAX), 9, "idle");
    assert_decides(&by_cpu, &a, with_cpu(9, 0, UINT64_MAX), 9, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(9, 1, UINT64_MAX), 18, "cpu");
    assert_decides(&by_cpu, &a, with_cpu(18, 1, UINT64_MAX), 18, "cooldown");
}

static void a_clock_that_goes_back_stands(void **state)
{
    struct autoscale a = {0};

    (void)state;
    assert_decides(&by_cpu, &a, with_cpu(4, 1, 9000), 8, "cpu");
    assert_decides(&by_cpu, &a, with_cpu(8, 1, 0), 8, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(8, 0, 9000), 8, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(8, 0, 0), 8, "cooldown");
    assert_decides(&by_cpu, &a, with_cpu(8, 0, 9000 + DOWN_MS), 7, "idle");
}

/* ---- memory ---- */

static const struct autoscale_policy with_ceiling = {
    .min = 1,
    .max = 10,
    .cpu = 0.5,
    .memory_len = 100 * MB, /* 1000 MB altogether */
    .up_cooldown_ms = UP_MS,
};

static struct autoscale_sample with_memory(uint32_t workers, double cpu, uint64_t memory_len,
                                           uint64_t now_ms)
{
    struct autoscale_sample s = with_cpu(workers, cpu, now_ms);

    s.memory_len = memory_len;
    return s;
}

static void memory_forbids_the_growth_that_would_exceed_it(void **state)
{
    (void)state;
    assert_first(&with_ceiling, with_memory(4, 1, 100 * MB, 0), 8, "cpu");
    assert_first(&with_ceiling, with_memory(4, 1, 200 * MB, 0), 5, "cpu");
    assert_first(&with_ceiling, with_memory(4, 1, 200 * MB + 1, 0), 4, "memory");
    assert_first(&with_ceiling, with_memory(4, 1, UINT64_MAX, 0), 4, "memory");
    assert_first(&with_ceiling, with_memory(4, 1, 1, 0), 8, "cpu");
    assert_first(&with_ceiling, with_memory(4, 1, 0, 0), 8, "cpu");
}

static void without_a_ceiling_memory_forbids_nothing(void **state)
{
    (void)state;
    assert_first(&by_cpu, with_memory(4, 1, 500 * MB, 0), 8, "cpu");
}

static void memory_alone_neither_grows_nor_shrinks_a_pool(void **state)
{
    (void)state;
    assert_first(&with_ceiling, with_memory(8, 0.5, 500 * MB, 0), 8, "steady");
    assert_first(&with_ceiling, with_memory(8, NAN, 500 * MB, 0), 8, "steady");
    assert_first(&with_ceiling, with_memory(8, NAN, 1 * MB, 0), 8, "steady");
    assert_first(&with_ceiling, with_memory(8, 1, 500 * MB, 0), 8, "memory");
}

static void growth_that_memory_forbade_starts_no_cooldown(void **state)
{
    struct autoscale a = {0};

    (void)state;
    assert_decides(&with_ceiling, &a, with_memory(4, 1, 500 * MB, 0), 4, "memory");
    assert_decides(&with_ceiling, &a, with_memory(4, 1, 50 * MB, 1), 8, "cpu");
    assert_decides(&with_ceiling, &a, with_memory(8, 1, 50 * MB, 2), 8, "cooldown");
}

static void a_pool_with_too_much_memory_may_still_shrink(void **state)
{
    (void)state;
    assert_first(&with_ceiling, with_memory(8, 0.1, 500 * MB, 0), 7, "idle");
}

/* ---- it does not flap ---- */

/* Load that comes and goes faster than the cooldown: the pool keeps what its peaks need. */
static void load_that_comes_and_goes_does_not_make_the_size_come_and_go(void **state)
{
    struct autoscale a = {0};
    uint32_t workers = 2;
    int changes = 0;

    (void)state;
    for (uint64_t now_ms = 0; now_ms < 100 * DOWN_MS; now_ms += 100) {
        bool peak = now_ms / 100 % 40 == 0; /* every 4 s */
        struct autoscale_sample s = with_cpu(workers, (peak ? 4.0 : 0.2) / workers, now_ms);
        struct autoscale_decision d = autoscale_decide(&by_cpu, &a, &s);

        assert_true(d.size >= workers);
        changes += d.size != workers;
        workers = d.size;
    }
    assert_int_equal(workers, 8);
    assert_int_equal(changes, 2);
}

/* Load that stays is answered with one size, from whatever side it is reached: a step down is taken
 * only to a size that needs no step up. Cooldowns of zero, so that nothing else prevents it. */
static void load_that_stays_is_answered_with_a_size_that_stays(void **state)
{
    static const struct autoscale_policy p = {.min = 1, .max = 20, .cpu = 0.7};

    (void)state;
    for (int load = 0; load <= 200; load++) {
        for (uint32_t start = 1; start <= 20; start++) {
            struct autoscale a = {0};
            uint32_t workers = start;
            bool has_grown = false;
            bool has_shrunk = false;

            for (uint64_t now_ms = 0; now_ms < 40; now_ms++) {
                struct autoscale_sample s = with_cpu(workers, load / 10.0 / workers, now_ms);
                struct autoscale_decision d = autoscale_decide(&p, &a, &s);

                has_grown |= d.size > workers;
                has_shrunk |= d.size < workers;
                assert_true(now_ms < 20 || d.size == workers);
                workers = d.size;
            }
            assert_false(has_grown && has_shrunk);
            assert_true(workers == 20 || load / 10.0 / workers <= 0.7 * 1.1 + 1e-9);
        }
    }
}

/* ---- all of it at once ---- */

static double anything(uint32_t *random)
{
    static const double odd[] = {NAN, INFINITY, -INFINITY, -1, 0, 1e-300, 1e300};
    uint32_t i = next_random(random) % (2 * count_of(odd));

    return i < count_of(odd) ? odd[i] : next_random(random) % 1000 / 500.0;
}

static void random_samples_keep_the_promises(void **state)
{
    uint32_t random = 3;

    (void)state;
    for (int pool = 0; pool < 300; pool++) {
        uint32_t min = 1 + next_random(&random) % 5;
        struct autoscale_policy p = {.min = min,
                                     .max = min + next_random(&random) % 30,
                                     .max_concurrency = next_random(&random) % 5,
                                     .queue = anything(&random),
                                     .busy = anything(&random),
                                     .cpu = anything(&random),
                                     .latency_ms = anything(&random),
                                     .memory_len = next_random(&random) % 3 * MB,
                                     .up_cooldown_ms = next_random(&random) % 200,
                                     .down_cooldown_ms = next_random(&random) % 200};
        struct autoscale a = {0};
        uint32_t workers = min;
        uint64_t now_ms = 0;
        uint64_t changed_ms[2] = {0}; /* down, up */
        bool has_changed[2] = {false};

        for (int round = 0; round < 300; round++) {
            struct autoscale_sample s = {.now_ms = now_ms,
                                         .workers = workers,
                                         .queued = next_random(&random) % 4 * workers,
                                         .in_flight = next_random(&random) % 4 * workers,
                                         .cpu = anything(&random),
                                         .p95_ms = anything(&random),
                                         .memory_len = next_random(&random) % 3 * MB};
            struct autoscale_decision d = autoscale_decide(&p, &a, &s);
            bool up = d.size > workers;

            assert_true(d.size >= p.min && d.size <= p.max);
            assert_true(d.size <= 2 * workers && d.size + 1 >= workers);
            if (d.size != workers) {
                uint32_t cooldown_ms = up ? p.up_cooldown_ms : p.down_cooldown_ms;

                assert_true(!has_changed[up] || now_ms - changed_ms[up] >= cooldown_ms);
                has_changed[up] = true;
                changed_ms[up] = now_ms;
            }
            workers = d.size;
            now_ms += next_random(&random) % 50;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_beyond_its_bounds_is_put_right_at_once),
        cmocka_unit_test(the_bounds_neither_wait_for_a_cooldown_nor_start_one),
        cmocka_unit_test(it_does_not_grow_beyond_max),
        cmocka_unit_test(it_does_not_shrink_below_min),
        cmocka_unit_test(the_time_at_min_does_not_count_for_the_next_step_down),
        cmocka_unit_test(bounds_without_sense_are_given_one),
        cmocka_unit_test(cpu_above_its_target_asks_for_the_share_that_is_missing),
        cmocka_unit_test(within_a_tenth_it_is_on_target),
        cmocka_unit_test(a_rounding_error_is_not_a_worker),
        cmocka_unit_test(the_queue_counts_per_worker),
        cmocka_unit_test(latency_above_its_target_grows_the_pool),
        cmocka_unit_test(calls_under_way_count_against_what_all_workers_may_take),
        cmocka_unit_test(without_a_limit_of_calls_nobody_is_busy),
        cmocka_unit_test(busy_that_is_not_set_keeps_the_workers_that_are_needed_and_asks_for_none),
        cmocka_unit_test(the_highest_of_all_targets_counts),
        cmocka_unit_test(targets_that_are_not_set_are_not_looked_at),
        cmocka_unit_test(what_is_not_measured_says_nothing),
        cmocka_unit_test(a_pool_without_calls_is_idle_whatever_is_not_measured),
        cmocka_unit_test(a_sample_that_says_nothing_begins_the_way_down_anew),
        cmocka_unit_test(a_step_up_at_most_doubles),
        cmocka_unit_test(growth_waits_for_its_cooldown_to_the_millisecond),
        cmocka_unit_test(shrinking_goes_one_at_a_time_and_waits_each_time),
        cmocka_unit_test(one_sample_that_needs_the_size_begins_the_way_down_anew),
        cmocka_unit_test(growth_begins_the_way_down_anew),
        cmocka_unit_test(shrinking_does_not_hold_growth),
        cmocka_unit_test(what_somebody_else_added_stays_for_a_whole_cooldown),
        cmocka_unit_test(a_correction_to_the_bounds_begins_the_way_down_anew),
        cmocka_unit_test(cooldowns_of_zero_hold_nothing),
        cmocka_unit_test(a_jump_of_the_clock_is_one_step),
        cmocka_unit_test(a_clock_that_goes_back_stands),
        cmocka_unit_test(memory_forbids_the_growth_that_would_exceed_it),
        cmocka_unit_test(without_a_ceiling_memory_forbids_nothing),
        cmocka_unit_test(memory_alone_neither_grows_nor_shrinks_a_pool),
        cmocka_unit_test(growth_that_memory_forbade_starts_no_cooldown),
        cmocka_unit_test(a_pool_with_too_much_memory_may_still_shrink),
        cmocka_unit_test(load_that_comes_and_goes_does_not_make_the_size_come_and_go),
        cmocka_unit_test(load_that_stays_is_answered_with_a_size_that_stays),
        cmocka_unit_test(random_samples_keep_the_promises),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
