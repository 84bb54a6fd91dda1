#include "unit.h"

#include <math.h>

#include "worker/histogram.h"

#define UNIT_NS ((uint64_t)1 << HISTOGRAM_UNIT_BITS)
#define TOP_NS ((uint64_t)1 << HISTOGRAM_TOP_BITS)

/* ---- buckets ---- */

static void buckets_follow_each_other_without_a_gap(void **state)
{
    (void)state;
    assert_int_equal(histogram_start_ns(0), 0);
    assert_int_equal(histogram_start_ns(HISTOGRAM_BUCKETS), TOP_NS);
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t start = histogram_start_ns(i);
        uint64_t end = histogram_start_ns(i + 1);

        assert_true(start < end);
        assert_int_equal(histogram_bucket(start), i);
        assert_int_equal(histogram_bucket(start + (end - start) / 2), i);
        assert_int_equal(histogram_bucket(end - 1), i);
    }
}

static void a_bucket_is_a_unit_or_an_eighth_of_its_times_wide(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t start = histogram_start_ns(i);
        uint64_t width = histogram_start_ns(i + 1) - start;

        assert_true(width == UNIT_NS || width * HISTOGRAM_STEPS <= start);
    }
}

static void from_a_microsecond_on_a_doubling_has_eight_buckets(void **state)
{
    (void)state;
    for (uint64_t ns = 1024; ns < TOP_NS / 2; ns *= 2) {
        assert_int_equal(histogram_bucket(2 * ns) - histogram_bucket(ns), HISTOGRAM_STEPS);
    }
}

static void a_longer_time_is_never_in_an_earlier_bucket(void **state)
{
    uint32_t seed = 7;

    (void)state;
    for (int i = 0; i < 100000; i++) {
        uint64_t a = (((uint64_t)next_random(&seed) << 32) | next_random(&seed)) >>
                     (next_random(&seed) % 64);
        uint64_t b = a + (next_random(&seed) >> (next_random(&seed) % 32));

        assert_true(b < a || histogram_bucket(a) <= histogram_bucket(b));
        assert_true(histogram_bucket(a) < HISTOGRAM_BUCKETS);
    }
}

static void an_hour_has_a_bucket_and_what_is_too_long_is_in_the_last(void **state)
{
    const uint64_t hour_ns = (uint64_t)3600 * 1000000000u;

    (void)state;
    assert_true(histogram_bucket(hour_ns) < HISTOGRAM_BUCKETS - 1);
    assert_int_equal(histogram_bucket(TOP_NS - 1), HISTOGRAM_BUCKETS - 1);
    assert_int_equal(histogram_bucket(TOP_NS), HISTOGRAM_BUCKETS - 1);
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

/* ---- recording and reading ---- */

static void nothing_recorded_is_zero(void **state)
{
    const struct histogram_sum sum = {0};

    (void)state;
    assert_int_equal(histogram_count(&sum), 0);
    assert_true(histogram_mean(&sum) == 0.0);
    assert_true(histogram_quantile(&sum, 0.5) == 0.0);
    assert_true(histogram_quantile(&sum, 1) == 0.0);
}

static void what_is_recorded_is_counted_in_its_bucket_and_in_the_mean(void **state)
{
    struct histogram h = {0};
    struct histogram_sum sum = {0};

    (void)state;
    histogram_record(&h, 0);
    histogram_record(&h, 5000000);
    histogram_record(&h, 5000001);
    histogram_add(&sum, &h);
    assert_int_equal(histogram_count(&sum), 3);
    assert_int_equal(sum.counts[0], 1);
    assert_int_equal(sum.counts[histogram_bucket(5000000)], 2);
    assert_int_equal((uint64_t)histogram_mean(&sum), 10000001 / 3);
}

static void quantiles_move_evenly_through_a_bucket(void **state)
{
    const double start = (double)histogram_start_ns(100);
    const double width = (double)histogram_start_ns(101) - start;
    struct histogram h = {0};
    struct histogram_sum sum = {0};

    (void)state;
    for (int i = 0; i < 4; i++) {
        histogram_record(&h, histogram_start_ns(100));
    }
    histogram_add(&sum, &h);
    assert_true(histogram_quantile(&sum, 0) == start);
    assert_true(histogram_quantile(&sum, 0.25) == start + width / 4);
    assert_true(histogram_quantile(&sum, 0.5) == start + width / 2);
    assert_true(histogram_quantile(&sum, 1) == start + width);
}

static void quantiles_skip_what_lies_between(void **state)
{
    struct histogram h = {0};
    struct histogram_sum sum = {0};

    (void)state;
    for (int i = 0; i < 90; i++) {
        histogram_record(&h, 2000);
    }
    for (int i = 0; i < 10; i++) {
        histogram_record(&h, 800000000);
    }
    histogram_add(&sum, &h);
    assert_int_equal(histogram_bucket((uint64_t)histogram_quantile(&sum, 0.89)),
                     histogram_bucket(2000));
    assert_int_equal(histogram_bucket((uint64_t)histogram_quantile(&sum, 0.91)),
                     histogram_bucket(800000000));
}

static void a_share_that_is_none_is_taken_to_the_nearest(void **state)
{
    struct histogram h = {0};
    struct histogram_sum sum = {0};

    (void)state;
    histogram_record(&h, 2000);
    histogram_add(&sum, &h);
    assert_true(histogram_quantile(&sum, -1) == histogram_quantile(&sum, 0));
    assert_true(histogram_quantile(&sum, 7) == histogram_quantile(&sum, 1));
    assert_true(histogram_quantile(&sum, (double)NAN) == histogram_quantile(&sum, 0));
}

static void what_is_too_long_counts_as_the_longest_time_there_is(void **state)
{
    struct histogram h = {0};
    struct histogram_sum sum = {0};

    (void)state;
    histogram_record(&h, UINT64_MAX);
    histogram_record(&h, UINT64_MAX);
    histogram_add(&sum, &h);
    assert_int_equal(sum.counts[HISTOGRAM_BUCKETS - 1], 2);
    assert_true(histogram_mean(&sum) == (double)(TOP_NS - 1));
    assert_true(histogram_quantile(&sum, 1) == (double)TOP_NS);
}

static void a_full_bucket_stays_full(void **state)
{
    struct histogram h = {0};
    struct histogram_sum sum = {0};

    (void)state;
    atomic_store(&h.counts[histogram_bucket(9000)], UINT32_MAX - 1);
    for (int i = 0; i < 3; i++) {
        histogram_record(&h, 9000);
    }
    histogram_add(&sum, &h);
    assert_int_equal(histogram_count(&sum), UINT32_MAX);
}

static void many_are_added_up(void **state)
{
    struct histogram parts[3] = {0};
    struct histogram whole = {0};
    struct histogram_sum sum = {0};
    struct histogram_sum expected = {0};
    uint32_t seed = 3;

    (void)state;
    for (int i = 0; i < 3000; i++) {
        uint64_t ns = next_random(&seed);

        histogram_record(&parts[i % 3], ns);
        histogram_record(&whole, ns);
    }
    for (size_t i = 0; i < count_of(parts); i++) {
        histogram_add(&sum, &parts[i]);
    }
    histogram_add(&expected, &whole);
    assert_memory_equal(&sum, &expected, sizeof sum);
    assert_int_equal(histogram_count(&sum), 3000);
}

/* ---- against the exact quantiles ---- */

#define SAMPLES 5000

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* From nanoseconds to an hour, each doubling as often as any other. */
static uint64_t random_time(uint32_t *seed)
{
    uint64_t ns = ((uint64_t)next_random(seed) << 32 | next_random(seed)) >> 22;

    return ns >> (next_random(seed) % 42);
}

static void quantiles_are_off_by_less_than_is_promised(void **state)
{
    static const double shares[] = {0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1};
    static uint64_t times[SAMPLES];
    uint32_t seed = 11;

    (void)state;
    for (int round = 0; round < 20; round++) {
        struct histogram h = {0};
        struct histogram_sum sum = {0};
        double last = 0;

        for (int i = 0; i < SAMPLES; i++) {
            times[i] = random_time(&seed);
            histogram_record(&h, times[i]);
        }
        qsort(times, SAMPLES, sizeof times[0], by_value);
        histogram_add(&sum, &h);
        for (size_t i = 0; i < count_of(shares); i++) {
            double exact = (double)times[(size_t)(shares[i] * SAMPLES) - 1];
            double found = histogram_quantile(&sum, shares[i]);
            double error = found > exact ? found - exact : exact - found;

            assert_true(error <= (double)UNIT_NS || error <= exact / HISTOGRAM_STEPS);
            assert_true(found >= last);
            last = found;
        }
    }
}

/* Whatever a broken writer leaves in its page. */
static void nonsense_is_only_a_wrong_number(void **state)
{
    struct histogram h;
    struct histogram_sum sum = {0};

    (void)state;
    memset(&h, 0xff, sizeof h);
    for (int i = 0; i < 1000; i++) {
        histogram_add(&sum, &h);
    }
    assert_true(histogram_mean(&sum) >= 0.0);
    for (int q = 0; q <= 100; q++) {
        double found = histogram_quantile(&sum, q / 100.0);

        assert_true(found >= 0.0 && found <= (double)TOP_NS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_follow_each_other_without_a_gap),
        cmocka_unit_test(a_bucket_is_a_unit_or_an_eighth_of_its_times_wide),
        cmocka_unit_test(from_a_microsecond_on_a_doubling_has_eight_buckets),
        cmocka_unit_test(a_longer_time_is_never_in_an_earlier_bucket),
        cmocka_unit_test(an_hour_has_a_bucket_and_what_is_too_long_is_in_the_last),
        cmocka_unit_test(nothing_recorded_is_zero),
        cmocka_unit_test(what_is_recorded_is_counted_in_its_bucket_and_in_the_mean),
        cmocka_unit_test(quantiles_move_evenly_through_a_bucket),
        cmocka_unit_test(quantiles_skip_what_lies_between),
        cmocka_unit_test(a_share_that_is_none_is_taken_to_the_nearest),
        cmocka_unit_test(what_is_too_long_counts_as_the_longest_time_there_is),
        cmocka_unit_test(a_full_bucket_stays_full),
        cmocka_unit_test(many_are_added_up),
        cmocka_unit_test(quantiles_are_off_by_less_than_is_promised),
        cmocka_unit_test(nonsense_is_only_a_wrong_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
