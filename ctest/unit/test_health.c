/* What the checks of a worker's health mean, over a clock that the test turns. */
#include "manager/health_rules.h"
#include "unit.h"

static const struct health_options usual = {
    .enabled = true,
    .restart_hung = true,
    .interval_ms = 1000,
    .timeout_ms = 100,
    .failures = 3,
    .hang_after_ms = 5000,
};

#define OLD_FAILURES 2u

static void every_finding_in_every_verdict(void **state)
{
    /* After OLD_FAILURES failures of 3, and with all of them. */
    static const struct {
        enum health_finding found;
        enum health_verdict becomes[HEALTH_VERDICTS];
        uint32_t failures;
    } table[] = {
        {FOUND_HEALTHY, {HEALTH_HEALTHY, HEALTH_HEALTHY, HEALTH_HEALTHY, HEALTH_HEALTHY}, 0},
        {FOUND_DEGRADED, {HEALTH_DEGRADED, HEALTH_DEGRADED, HEALTH_DEGRADED, HEALTH_DEGRADED}, 0},
        {FOUND_BUSY,
         {HEALTH_UNKNOWN, HEALTH_HEALTHY, HEALTH_DEGRADED, HEALTH_UNHEALTHY},
         OLD_FAILURES},
        {FOUND_FAILED,
         {HEALTH_UNHEALTHY, HEALTH_UNHEALTHY, HEALTH_UNHEALTHY, HEALTH_UNHEALTHY},
         OLD_FAILURES + 1},
        {FOUND_SILENT,
         {HEALTH_UNHEALTHY, HEALTH_UNHEALTHY, HEALTH_UNHEALTHY, HEALTH_UNHEALTHY},
         OLD_FAILURES + 1},
        {FOUND_HANGING,
         {HEALTH_UNHEALTHY, HEALTH_UNHEALTHY, HEALTH_UNHEALTHY, HEALTH_UNHEALTHY},
         OLD_FAILURES + 1},
    };

    (void)state;
    assert_int_equal(count_of(table), HEALTH_FINDINGS);
    for (size_t i = 0; i < count_of(table); i++) {
        for (int v = 0; v < HEALTH_VERDICTS; v++) {
            struct health_record h = {.verdict = (enum health_verdict)v,
                                      .failures = OLD_FAILURES,
                                      .critical = v == HEALTH_UNHEALTHY};
            unsigned todo = health_decide(&h, &usual, table[i].found);

            assert_int_equal(h.verdict, table[i].becomes[v]);
            assert_int_equal(h.failures, table[i].failures);
            assert_int_equal((todo & HEALTH_CHANGED) != 0, (int)h.verdict != v);
            if (todo & HEALTH_CHANGED) {
                assert_int_equal(h.previous, v);
            }
            assert_int_equal((todo & HEALTH_CRITICAL) != 0,
                             h.verdict == HEALTH_UNHEALTHY && v != HEALTH_UNHEALTHY);
        }
    }
}

static void so_many_failures_in_a_row_are_needed(void **state)
{
    struct health_record h = {0};

    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(health_decide(&h, &usual, FOUND_FAILED), 0);
        assert_int_equal(health_decide(&h, &usual, FOUND_FAILED), 0);
        assert_false(health_decide(&h, &usual, i % 2 ? FOUND_HEALTHY : FOUND_DEGRADED) &
                     HEALTH_CRITICAL);
    }
    assert_int_not_equal(h.verdict, HEALTH_UNHEALTHY);
    health_decide(&h, &usual, FOUND_FAILED);
    health_decide(&h, &usual, FOUND_FAILED);
    assert_int_equal(health_decide(&h, &usual, FOUND_FAILED), HEALTH_CHANGED | HEALTH_CRITICAL);
    assert_int_equal(health_decide(&h, &usual, FOUND_FAILED), 0);
    assert_int_equal(h.failures, 4);
}

static void critical_is_latched_until_healthy(void **state)
{
    struct health_options once = usual;
    struct health_record h = {0};

    (void)state;
    once.failures = 1;
    assert_int_equal(health_decide(&h, &once, FOUND_FAILED), HEALTH_CHANGED | HEALTH_CRITICAL);
    assert_int_equal(health_decide(&h, &once, FOUND_DEGRADED), HEALTH_CHANGED);
    assert_int_equal(health_decide(&h, &once, FOUND_FAILED), HEALTH_CHANGED);
    assert_int_equal(health_decide(&h, &once, FOUND_HEALTHY), HEALTH_CHANGED);
    assert_int_equal(health_decide(&h, &once, FOUND_FAILED), HEALTH_CHANGED | HEALTH_CRITICAL);
}

/* It works: what its silence had counted does not count, what it has said does. */
static void work_takes_back_what_silence_counted(void **state)
{
    struct health_record h = {0};

    (void)state;
    health_decide(&h, &usual, FOUND_FAILED);
    health_decide(&h, &usual, FOUND_SILENT);
    assert_int_equal(h.failures, 2);
    assert_int_equal(health_decide(&h, &usual, FOUND_BUSY), 0);
    assert_int_equal(h.failures, 1);
    health_decide(&h, &usual, FOUND_BUSY);
    assert_int_equal(h.failures, 1);
    health_decide(&h, &usual, FOUND_FAILED);
    assert_int_equal(health_decide(&h, &usual, FOUND_FAILED), HEALTH_CHANGED | HEALTH_CRITICAL);
}

static void only_a_hang_is_killed(void **state)
{
    struct health_options kept = usual;
    struct health_record h = {0};

    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_false(health_decide(&h, &usual, FOUND_FAILED) & HEALTH_HUNG);
    }
    assert_false(health_decide(&h, &usual, FOUND_HANGING) & HEALTH_HUNG);
    assert_false(health_decide(&h, &usual, FOUND_SILENT) & HEALTH_HUNG);
    assert_int_equal(health_decide(&h, &usual, FOUND_HANGING), HEALTH_HUNG);
    assert_false(health_decide(&h, &usual, FOUND_SILENT) & HEALTH_HUNG);

    h = (struct health_record){0};
    health_decide(&h, &usual, FOUND_SILENT);
    health_decide(&h, &usual, FOUND_SILENT);
    assert_int_equal(health_decide(&h, &usual, FOUND_HANGING),
                     HEALTH_HUNG | HEALTH_CHANGED | HEALTH_CRITICAL);

    kept.restart_hung = false;
    assert_int_equal(health_decide(&h, &kept, FOUND_HANGING), 0);
}

/* ---- silence ---- */

static enum health_finding silence(struct health_life *l, const struct health_sight *seen,
                                   uint64_t now_ms)
{
    return health_silence(l, seen, usual.hang_after_ms, now_ms);
}

static void code_that_runs_is_busy_until_hang_after(void **state)
{
    struct health_life l = {0};
    struct health_sight idle = {.calls = 7, .ended = 7, .started_ns = 1};
    struct health_sight seen = {.calls = 8, .ended = 7, .started_ns = 2, .in_method = true};

    (void)state;
    health_alive(&l, &idle, 1000);
    assert_int_equal(silence(&l, &seen, 9000), FOUND_BUSY); /* it began since */
    assert_int_equal(silence(&l, &seen, 13999), FOUND_BUSY);
    assert_int_equal(silence(&l, &seen, 14000), FOUND_HANGING);
    assert_int_equal(silence(&l, &seen, 99000), FOUND_HANGING);
    seen.ended = 8;
    assert_int_equal(silence(&l, &seen, 100000), FOUND_BUSY);
    assert_int_equal(silence(&l, &seen, 104999), FOUND_BUSY);
    assert_int_equal(silence(&l, &seen, 105000), FOUND_HANGING);
}

static void any_progress_counts(void **state)
{
    struct health_sight seen = {.calls = 8, .ended = 7, .started_ns = 2, .in_method = true};
    struct health_life l = {0};
    uint64_t now_ms = 0;

    (void)state;
    health_alive(&l, &seen, now_ms);
    for (int i = 0; i < 30; i++) {
        now_ms += 10000;
        seen.calls += i % 3 == 0;
        seen.ended += i % 3 == 1;
        seen.started_ns += i % 3 == 2;
        seen.in_method = i % 2 == 0; /* between two of its calls */
        assert_int_equal(silence(&l, &seen, now_ms), FOUND_BUSY);
    }
}

static void a_loop_that_does_not_turn_is_silent(void **state)
{
    struct health_sight seen = {.calls = 8, .ended = 8, .started_ns = 2};
    struct health_life l = {0};

    (void)state;
    health_alive(&l, &seen, 1000);
    assert_int_equal(silence(&l, &seen, 2000), FOUND_SILENT);
    assert_int_equal(silence(&l, &seen, 5999), FOUND_SILENT);
    assert_int_equal(silence(&l, &seen, 6000), FOUND_HANGING);
}

/* The loop turns, so the worker does not hang, however long a health_check method takes. */
static void a_late_method_has_failed(void **state)
{
    struct health_sight seen = {.calls = 8, .ended = 7, .started_ns = 2, .loop_turns = true};
    struct health_life l = {0};

    (void)state;
    for (uint64_t now_ms = 1000; now_ms < 100000; now_ms += 1000) {
        assert_int_equal(silence(&l, &seen, now_ms), FOUND_FAILED);
    }
    seen.loop_turns = false;
    assert_int_equal(silence(&l, &seen, 103999), FOUND_SILENT);
    assert_int_equal(silence(&l, &seen, 104000), FOUND_HANGING);
}

/* The ping was answered, then a long call began that the method has to wait for. */
static void a_method_behind_a_long_call_is_busy(void **state)
{
    struct health_sight seen = {
        .calls = 8, .ended = 7, .started_ns = 2, .in_method = true, .loop_turns = true};
    struct health_life l = {0};

    (void)state;
    assert_int_equal(silence(&l, &seen, 50000), FOUND_BUSY);
}

static void a_stopped_one_is_not_busy(void **state)
{
    struct health_sight seen = {
        .calls = 8, .ended = 7, .started_ns = 2, .in_method = true, .stopped = true};
    struct health_life l = {0};

    (void)state;
    assert_int_equal(silence(&l, &seen, 1000), FOUND_SILENT); /* although it has moved */
    assert_int_equal(silence(&l, &seen, 5999), FOUND_SILENT);
    assert_int_equal(silence(&l, &seen, 6000), FOUND_HANGING);
}

static void one_in_a_debugger_is_never_a_hang(void **state)
{
    struct health_sight seen = {.in_method = true, .traced = true};
    struct health_life l = {0};

    (void)state;
    for (uint64_t now_ms = 1000; now_ms < 100000; now_ms += 1000) {
        assert_int_equal(silence(&l, &seen, now_ms), FOUND_SILENT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_finding_in_every_verdict),
        cmocka_unit_test(so_many_failures_in_a_row_are_needed),
        cmocka_unit_test(critical_is_latched_until_healthy),
        cmocka_unit_test(work_takes_back_what_silence_counted),
        cmocka_unit_test(only_a_hang_is_killed),
        cmocka_unit_test(code_that_runs_is_busy_until_hang_after),
        cmocka_unit_test(any_progress_counts),
        cmocka_unit_test(a_loop_that_does_not_turn_is_silent),
        cmocka_unit_test(a_late_method_has_failed),
        cmocka_unit_test(a_method_behind_a_long_call_is_busy),
        cmocka_unit_test(a_stopped_one_is_not_busy),
        cmocka_unit_test(one_in_a_debugger_is_never_a_hang),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
