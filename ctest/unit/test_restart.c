/* When what has crashed is started again. */
#include "manager/restart.h"
#include "unit.h"

static struct restart_policy policy(enum backoff backoff)
{
    return (struct restart_policy){.enabled = true,
                                   .max_restarts = 5,
                                   .window_ms = 60000,
                                   .delay_ms = 50,
                                   .backoff = backoff,
                                   .initial_ms = 1000,
                                   .max_ms = 3500,
                                   .factor = 2};
}

static void expect_waits(enum backoff backoff, const int64_t *waits, size_t count)
{
    struct restart_policy p = policy(backoff);
    struct restart_history h = {0};
    struct random r = {1};

    for (size_t i = 0; i < count; i++) {
        assert_int_equal(restart_decide(&p, &h, 100 + i, &r), waits[i]);
    }
    restart_history_free(&h);
}

static void exponential_doubles_up_to_its_maximum(void **state)
{
    (void)state;
    expect_waits(BACKOFF_EXPONENTIAL, (int64_t[]){50, 1000, 2000, 3500, 3500, RESTART_NEVER}, 6);
}

static void linear_grows_by_its_beginning(void **state)
{
    (void)state;
    expect_waits(BACKOFF_LINEAR, (int64_t[]){50, 1000, 2000, 3000, 3500, RESTART_NEVER}, 6);
}

static void fixed_stays(void **state)
{
    (void)state;
    expect_waits(BACKOFF_FIXED, (int64_t[]){50, 1000, 1000, 1000, 1000, RESTART_NEVER}, 6);
}

static void disabled_is_never(void **state)
{
    struct restart_policy p = policy(BACKOFF_FIXED);
    struct restart_history h = {0};
    struct random r = {1};

    (void)state;
    p.enabled = false;
    assert_int_equal(restart_decide(&p, &h, 0, &r), RESTART_NEVER);
    assert_int_equal(h.len, 0);
}

static void the_window_slides(void **state)
{
    struct restart_policy p = policy(BACKOFF_FIXED);
    struct restart_history h = {0};
    struct random r = {1};

    (void)state;
    p.max_restarts = 2;
    assert_int_equal(restart_decide(&p, &h, 1000, &r), 50);
    assert_int_equal(restart_decide(&p, &h, 31000, &r), 1000);
    assert_int_equal(restart_decide(&p, &h, 60999, &r), RESTART_NEVER);
    assert_int_equal(restart_count(&p, &h, 60999), 2);
    assert_int_equal(restart_decide(&p, &h, 61000, &r), 1000); /* the first is a minute ago */
    assert_int_equal(restart_count(&p, &h, 61000 + 60000), 0);
    assert_int_equal(restart_decide(&p, &h, 61000 + 60000, &r), 50);
    restart_history_free(&h);
}

static void a_wait_alone_knows_no_end_of_them(void **state)
{
    struct restart_policy p = policy(BACKOFF_LINEAR);
    struct random r = {1};

    (void)state;
    p.enabled = false;
    assert_int_equal(restart_wait_ms(&p, 0, &r), 50);
    assert_int_equal(restart_wait_ms(&p, 2, &r), 2000);
    assert_int_equal(restart_wait_ms(&p, 1000, &r), 3500);
}

static void a_refusal_is_not_counted(void **state)
{
    struct restart_policy p = policy(BACKOFF_FIXED);
    struct restart_history h = {0};
    struct random r = {1};

    (void)state;
    p.max_restarts = 1;
    assert_int_equal(restart_decide(&p, &h, 0, &r), 50);
    for (uint64_t now = 1; now < 60000; now += 1000) {
        assert_int_equal(restart_decide(&p, &h, now, &r), RESTART_NEVER);
    }
    assert_int_equal(restart_decide(&p, &h, 60000, &r), 50);
    restart_history_free(&h);
}

static void jitter_spreads_a_herd(void **state)
{
    struct restart_policy p = policy(BACKOFF_FIXED);
    struct random r = {7};
    int64_t least = INT64_MAX, most = 0, sum = 0;

    (void)state;
    p.delay_ms = 1000;
    p.jitter = 0.2;
    for (int i = 0; i < 1000; i++) {
        struct restart_history h = {0};
        int64_t wait = restart_decide(&p, &h, 0, &r);

        least = wait < least ? wait : least;
        most = wait > most ? wait : most;
        sum += wait;
        restart_history_free(&h);
    }
    assert_in_range(least, 800, 820);
    assert_in_range(most, 1180, 1200);
    assert_in_range(sum / 1000, 980, 1020);
}

static void thousands_of_restarts_are_counted_exactly(void **state)
{
    struct restart_policy p = policy(BACKOFF_EXPONENTIAL);
    struct restart_history h = {0};
    struct random r = {1};

    (void)state;
    p.max_restarts = 5000;
    for (uint64_t i = 0; i < 5000; i++) {
        assert_true(restart_decide(&p, &h, i, &r) >= 0);
    }
    assert_int_equal(restart_decide(&p, &h, 5000, &r), RESTART_NEVER);
    assert_int_equal(restart_count(&p, &h, 60000), 4999);
    restart_history_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponential_doubles_up_to_its_maximum),
        cmocka_unit_test(linear_grows_by_its_beginning),
        cmocka_unit_test(fixed_stays),
        cmocka_unit_test(disabled_is_never),
        cmocka_unit_test(the_window_slides),
        cmocka_unit_test(a_wait_alone_knows_no_end_of_them),
        cmocka_unit_test(a_refusal_is_not_counted),
        cmocka_unit_test(jitter_spreads_a_herd),
        cmocka_unit_test(thousands_of_restarts_are_counted_exactly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
