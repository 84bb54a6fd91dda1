/* One supervisor, children that know nothing of each other: start, stop, crashes, decisions. */
#include "children.h"

/* ---- start ---- */

static void children_start_left_to_right_each_when_the_one_before_is_up(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add_all(h, "abc", SLOW_START);
    start(h);
    expect_did(h->world, "start a");
    up(h, "a");
    expect_did(h->world, "start b");
    up(h, "b");
    expect_did(h->world, "start c");
    expect_heard(h->world, "a up, b up");
    assert_int_equal(h->supervisor.state, SUPERVISOR_STARTING);
    up(h, "c");
    expect_heard(h->world, "c up, started");
    assert_int_equal(h->supervisor.state, SUPERVISOR_RUNNING);
    expect_rest(h);
}

static void without_children_it_is_started_at_once(void **state)
{
    struct house *h = first(*state, ONE_FOR_ALL, "");

    start(h);
    expect_heard(h->world, "started");
    stop(h);
    expect_heard(h->world, "stopped");
}

static void nobody_waits_for_an_optional_child(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    add(h, "o", OPTIONAL | SLOW_START);
    add_all(h, "b", PLAIN);
    start(h);
    expect_did(h->world, "start a, start o, start b");
    expect_heard(h->world, "a up, b up, started");
    up(h, "o");
    expect_heard(h->world, "o up");
}

static void an_optional_child_waits_for_those_before_it(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add(h, "a", SLOW_START);
    add(h, "o", OPTIONAL);
    start(h);
    expect_did(h->world, "start a");
    up(h, "a");
    expect_did(h->world, "start o");
    expect_heard(h->world, "a up, o up, started");
}

static void a_child_that_does_not_start_is_reported_and_the_rest_comes_up(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    add(h, "b", NO_START);
    add_all(h, "c", PLAIN);
    start(h);
    expect_did(h->world, "start a, start b, start c");
    expect_heard(h->world, "a up, b start-failed, c up, started");
    assert_int_equal(at(h, "b")->child.state, CHILD_FAILED);
    assert_int_equal(at(h, "b")->let_go > 0, true);
    expect_rest(h);
}

static void a_critical_child_that_does_not_start_takes_everything_down(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "ab");

    add(h, "c", CRITICAL | SLOW_START);
    add_all(h, "d", PLAIN);
    start(h);
    forget(h->world);
    child_start_failed(&at(h, "c")->child, broken());
    pump(h->world);
    expect_did(h->world, "stop b, stop a");
    expect_heard(h->world, "c start-failed, b stopped, a stopped, start-failed");
    assert_int_equal(h->supervisor.failure.code, TITAN_E_WORKER_LOST);
    assert_string_equal(h->supervisor.failure.message,
                        "child \"c\" is critical and did not start: it broke");
    assert_int_equal(h->supervisor.state, SUPERVISOR_STOPPED);
    expect_rest(h);
    at(h, "c")->starts = AT_ONCE;
    start(h);
    expect_heard(h->world, "a up, b up, c up, d up, started");
    assert_int_equal(h->supervisor.failure.code, TITAN_OK);
}

static void a_critical_child_that_does_not_start_at_once_stops_what_follows(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    add(h, "b", CRITICAL | NO_START);
    add(h, "o", OPTIONAL);
    add_all(h, "c", PLAIN);
    start(h);
    expect_did(h->world, "start a, start b, stop a");
}

static void started_twice_is_one_start(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add(h, "a", SLOW_START);
    start(h);
    start(h);
    up(h, "a");
    start(h);
    expect_did(h->world, "start a");
    expect_heard(h->world, "a up, started");
}

static void a_crash_while_starting_keeps_the_next_ones_waiting(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add_all(h, "ab", SLOW_START);
    start(h);
    crash(h, "a");
    expect_did(h->world, "start a");
    advance(h->world, 50);
    expect_did(h->world, "start a");
    up(h, "a");
    expect_did(h->world, "start b");
    expect_heard(h->world, "a crashed, a up");
}

/* ---- stop ---- */

static void children_stop_right_to_left_one_after_the_other(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add_all(h, "abc", SLOW_STOP);
    at(h, "b")->child.spec.shutdown_timeout_ms = 0;
    start_quietly(h);
    stop(h);
    expect_did(h->world, "stop c");
    pump(h->world);
    down(h, "c");
    expect_did(h->world, "stop b");
    down(h, "b");
    expect_did(h->world, "stop a");
    expect_heard(h->world, "c stopped, b stopped");
    assert_int_equal(at(h, "c")->told_timeout_ms, SHUTDOWN_MS);
    assert_int_equal(at(h, "b")->told_timeout_ms, 0);
    down(h, "a");
    expect_heard(h->world, "a stopped, stopped");
    assert_true(at(h, "a")->let_go > 0);
    expect_rest(h);
}

static void those_of_a_simple_one_for_one_stop_together(void **state)
{
    struct house *h = first(*state, SIMPLE_ONE_FOR_ONE, "");

    add_all(h, "abc", SLOW_STOP);
    start_quietly(h);
    stop(h);
    expect_did(h->world, "stop c, stop b, stop a");
    down(h, "a");
    down(h, "c");
    expect_heard(h->world, "a stopped, c stopped");
    down(h, "b");
    expect_heard(h->world, "b stopped, stopped");
}

static void stop_during_start_ends_both(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    add(h, "b", SLOW_START | SLOW_STOP);
    add_all(h, "c", PLAIN);
    start(h);
    forget(h->world);
    stop(h);
    expect_did(h->world, "stop b");
    up(h, "b"); /* too late */
    down(h, "b");
    expect_did(h->world, "stop a");
    expect_heard(h->world, "b stopped, a stopped, start-failed, stopped");
    assert_int_equal(h->supervisor.failure.code, TITAN_OK);
    expect_rest(h);
}

static void look_at_failure(struct world *w, struct child *c)
{
    (void)c;
    assert_int_equal(w->houses[0].supervisor.failure.code, TITAN_E_SHUTTING_DOWN);
    note(w->heard, "looked");
}

static void a_start_that_was_stopped_says_so(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add(h, "a", SLOW_START);
    start(h);
    h->world->on = "start-failed";
    h->world->react = look_at_failure;
    stop(h);
    expect_heard(h->world, "a stopped, start-failed, looked, stopped");
}

static void stop_asked_for_in_the_same_turn_starts_nothing(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "ab");

    supervisor_start(&h->supervisor);
    stop(h);
    expect_did(h->world, "");
    expect_heard(h->world, "start-failed, stopped");
}

static void stop_during_a_failing_start_ends_both(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add(h, "a", SLOW_STOP);
    add(h, "b", CRITICAL | NO_START);
    start(h);
    forget(h->world);
    stop(h);
    down(h, "a");
    expect_did(h->world, "");
    expect_heard(h->world, "a stopped, start-failed, stopped");
}

static void stop_it(struct world *w, struct child *c)
{
    (void)c;
    supervisor_stop(&w->houses[0].supervisor);
}

static void stop_in_an_event_of_the_start_starts_nothing_more(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "abc");

    h->world->on = "b up";
    h->world->react = stop_it;
    start(h);
    expect_did(h->world, "start a, start b, stop b, stop a");
    expect_heard(h->world, "a up, b up, b stopped, a stopped, start-failed, stopped");
}

static void stop_when_it_has_just_started(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    h->world->on = "started";
    h->world->react = stop_it;
    start(h);
    expect_heard(h->world, "a up, started, a stopped, stopped");
}

static void start_during_stop_does_nothing(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add(h, "a", SLOW_STOP);
    start_quietly(h);
    stop(h);
    start(h);
    stop(h);
    down(h, "a");
    expect_did(h->world, "stop a");
    expect_heard(h->world, "a stopped, stopped");
    stop(h);
    expect_rest(h);
}

static void a_stop_does_not_wait_for_a_backoff_nor_does_it_outlive_it(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "ab");

    start_quietly(h);
    crash(h, "a");
    assert_int_equal(h->alarm_ms, h->world->now_ms + 50);
    stop(h);
    expect_did(h->world, "stop b");
    expect_heard(h->world, "a crashed, b stopped, stopped");
    assert_int_equal(at(h, "a")->child.state, CHILD_STOPPED);
    expect_rest(h);
    advance(h->world, 100000);
    expect_did(h->world, "");
}

static void a_backoff_that_ends_during_a_stop_starts_nothing(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    add(h, "b", SLOW_STOP);
    start_quietly(h);
    crash(h, "a");
    stop(h);
    advance(h->world, 1000);
    expect_did(h->world, "stop b");
    down(h, "b");
    expect_rest(h);
}

static void a_crash_during_a_stop_restarts_nobody(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    add(h, "b", SLOW_STOP);
    start_quietly(h);
    stop(h);
    crash(h, "a");
    crash(h, "b");
    expect_heard(h->world, "a stopped, b stopped, stopped");
    expect_did(h->world, "stop b");
    assert_int_equal(at(h, "a")->child.restarts, 0);
    expect_rest(h);
}

/* ---- restart types ---- */

static void a_permanent_child_comes_back_after_every_end(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "ab");

    start_quietly(h);
    down(h, "a");
    assert_int_equal(at(h, "a")->child.state, CHILD_CRASHED);
    advance(h->world, 49);
    expect_did(h->world, "");
    advance(h->world, 1);
    expect_did(h->world, "start a");
    crash(h, "a");
    expect_heard(h->world, "a up, a crashed");
    advance(h->world, 1000);
    expect_did(h->world, "start a");
    assert_int_equal(at(h, "a")->child.restarts, 2);
}

static void a_transient_child_comes_back_after_a_crash_alone(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add(h, "t", TRANSIENT);
    start_quietly(h);
    crash(h, "t");
    advance(h->world, 50);
    expect_did(h->world, "start t");
    expect_heard(h->world, "t crashed, t up");
    down(h, "t");
    expect_heard(h->world, "t stopped");
    assert_int_equal(at(h, "t")->child.state, CHILD_STOPPED);
    expect_rest(h);
}

static void a_temporary_child_never_comes_back(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add(h, "s", TEMPORARY);
    add(h, "t", TEMPORARY | CRITICAL);
    start_quietly(h);
    down(h, "s");
    crash(h, "t");
    expect_heard(h->world, "s stopped, t crashed");
    assert_true(at(h, "t")->let_go > 0);
    assert_int_equal(at(h, "t")->child.state, CHILD_STOPPED);
    expect_rest(h);
}

static void what_somebody_stopped_stays_down(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "p");

    add(h, "t", TRANSIENT);
    add(h, "c", CRITICAL);
    start_quietly(h);
    child_withdrawn(&at(h, "p")->child);
    child_withdrawn(&at(h, "t")->child);
    child_withdrawn(&at(h, "c")->child);
    pump(h->world);
    expect_heard(h->world, "p stopped, t stopped, c stopped");
    expect_rest(h);
    up(h, "p"); /* and comes back when somebody brings it back */
    expect_heard(h->world, "p up");
    crash(h, "p");
    advance(h->world, 50);
    expect_did(h->world, "start p");
}

static void what_somebody_stops_while_it_waits_stays_down(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    start_quietly(h);
    crash(h, "a");
    child_withdrawn(&at(h, "a")->child);
    pump(h->world);
    expect_heard(h->world, "a crashed, a stopped");
    expect_rest(h);
}

/* ... and the crash needs no restart of the supervisor's. */
static void what_somebody_brings_back_while_it_waits_is_up(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    start_quietly(h);
    crash(h, "a");
    up(h, "a");
    assert_int_equal(at(h, "a")->child.state, CHILD_UP);
    expect_heard(h->world, "a crashed, a up");
    expect_rest(h);
}

static void a_child_stopped_while_starting_holds_nobody_up(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add(h, "a", SLOW_START);
    add_all(h, "b", PLAIN);
    start(h);
    child_withdrawn(&at(h, "a")->child);
    pump(h->world);
    expect_heard(h->world, "a stopped, b up, started");
}

/* ---- backoff and its end ---- */

static void backoff_counts_the_restarts_of_the_window_alone(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");
    static const uint64_t waits_ms[] = {50, 1000, 2000};

    start_quietly(h);
    for (int window = 0; window < 3; window++) {
        for (size_t i = 0; i < count_of(waits_ms); i++) {
            crash(h, "a");
            assert_int_equal(h->alarm_ms - h->world->now_ms, waits_ms[i]);
            advance(h->world, waits_ms[i]);
            expect_did(h->world, "start a");
        }
        advance(h->world, 10000);
    }
    assert_int_equal(at(h, "a")->child.restarts, 9);
}

static void a_restart_that_does_not_start_is_a_crash(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    start_quietly(h);
    at(h, "a")->starts = FAILS;
    crash(h, "a");
    advance(h->world, 50 + 1000 + 2000 - 1);
    expect_did(h->world, "start a, start a");
    advance(h->world, 1);
    expect_did(h->world, "start a");
    expect_heard(h->world, "a crashed, a crashed, a crashed, a crashed, a failed");
    expect_rest(h);
}

static void jitter_brings_a_herd_back_at_different_times(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "abcd");
    static const char *const names[] = {"a", "b", "c", "d"};
    uint64_t least_ms = UINT64_MAX, most_ms = 0;

    start_quietly(h);
    for (size_t i = 0; i < count_of(names); i++) {
        struct child *c = &at(h, names[i])->child;

        c->spec.policy.delay_ms = 1000;
        c->spec.policy.jitter = 0.5;
        child_crashed(c, broken());
        least_ms = c->due_ms < least_ms ? c->due_ms : least_ms;
        most_ms = c->due_ms > most_ms ? c->due_ms : most_ms;
    }
    assert_true(most_ms - least_ms > 100);
    assert_in_range(least_ms - h->world->now_ms, 500, 1500);
    assert_in_range(most_ms - h->world->now_ms, 500, 1500);
    advance(h->world, most_ms - h->world->now_ms - 1);
    assert_int_equal(h->alarm_ms, most_ms);
    advance(h->world, 1);
    expect_rest(h);
}

static void too_many_restarts_leave_a_child_failed_and_the_others_alone(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "abc");

    at(h, "b")->child.spec.policy.max_restarts = 1;
    start_quietly(h);
    crash(h, "b");
    advance(h->world, 50);
    expect_did(h->world, "start b");
    forget(h->world);
    crash(h, "b");
    expect_did(h->world, "");
    expect_heard(h->world, "b crashed, b failed");
    assert_int_equal(at(h, "b")->child.state, CHILD_FAILED);
    assert_true(at(h, "b")->let_go > 0);
    assert_int_equal(h->supervisor.state, SUPERVISOR_RUNNING);
    expect_rest(h);
}

static void too_many_restarts_of_a_critical_child_stop_everything(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    add(h, "b", CRITICAL);
    add_all(h, "c", PLAIN);
    at(h, "b")->child.spec.policy.max_restarts = 0;
    start_quietly(h);
    crash(h, "b");
    expect_did(h->world, "stop c, stop a");
    expect_heard(h->world, "b crashed, b failed, c stopped, a stopped, gave-up");
    assert_int_equal(h->supervisor.state, SUPERVISOR_STOPPED);
    assert_non_null(strstr(h->supervisor.failure.message, "\"b\""));
    assert_non_null(strstr(h->supervisor.failure.message, "it broke"));
    expect_rest(h);
    start(h);
    expect_did(h->world, "start a, start b, start c");
    assert_int_equal(h->supervisor.failure.code, TITAN_OK);
}

static void stop_while_it_gives_up_is_a_stop(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add(h, "a", CRITICAL);
    add(h, "b", SLOW_STOP);
    at(h, "a")->child.spec.policy.enabled = false;
    start_quietly(h);
    crash(h, "a");
    stop(h);
    down(h, "b");
    expect_heard(h->world, "a crashed, a failed, b stopped, stopped");
}

static void stop_in_the_event_that_a_critical_child_failed_is_a_stop(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add(h, "a", CRITICAL);
    add(h, "b", SLOW_START);
    at(h, "a")->child.spec.policy.enabled = false;
    start(h);
    forget(h->world);
    h->world->on = "a failed";
    h->world->react = stop_it;
    crash(h, "a");
    expect_heard(h->world, "a crashed, a failed, b stopped, start-failed, stopped");
}

static void out_of_memory_for_its_alarm_it_gives_up(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    add(h, "b", SLOW_START);
    start(h);
    forget(h->world);
    h->no_memory = true;
    up(h, "b");
    expect_did(h->world, "stop b, stop a");
    expect_heard(h->world, "b up, b stopped, a stopped, start-failed");
}

static void out_of_memory_during_a_stop_is_still_that_stop(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "ab");

    h->world->on = "a up";
    h->world->react = stop_it;
    h->no_memory = true;
    start(h);
    expect_heard(h->world, "a up, a stopped, start-failed, stopped");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(children_start_left_to_right_each_when_the_one_before_is_up),
        world_test(without_children_it_is_started_at_once),
        world_test(nobody_waits_for_an_optional_child),
        world_test(an_optional_child_waits_for_those_before_it),
        world_test(a_child_that_does_not_start_is_reported_and_the_rest_comes_up),
        world_test(a_critical_child_that_does_not_start_takes_everything_down),
        world_test(a_critical_child_that_does_not_start_at_once_stops_what_follows),
        world_test(started_twice_is_one_start),
        world_test(a_crash_while_starting_keeps_the_next_ones_waiting),
        world_test(children_stop_right_to_left_one_after_the_other),
        world_test(those_of_a_simple_one_for_one_stop_together),
        world_test(stop_during_start_ends_both),
        world_test(a_start_that_was_stopped_says_so),
        world_test(stop_asked_for_in_the_same_turn_starts_nothing),
        world_test(stop_during_a_failing_start_ends_both),
        world_test(stop_in_an_event_of_the_start_starts_nothing_more),
        world_test(stop_when_it_has_just_started),
        world_test(start_during_stop_does_nothing),
        world_test(a_stop_does_not_wait_for_a_backoff_nor_does_it_outlive_it),
        world_test(a_backoff_that_ends_during_a_stop_starts_nothing),
        world_test(a_crash_during_a_stop_restarts_nobody),
        world_test(a_permanent_child_comes_back_after_every_end),
        world_test(a_transient_child_comes_back_after_a_crash_alone),
        world_test(a_temporary_child_never_comes_back),
        world_test(what_somebody_stopped_stays_down),
        world_test(what_somebody_stops_while_it_waits_stays_down),
        world_test(what_somebody_brings_back_while_it_waits_is_up),
        world_test(a_child_stopped_while_starting_holds_nobody_up),
        world_test(backoff_counts_the_restarts_of_the_window_alone),
        world_test(a_restart_that_does_not_start_is_a_crash),
        world_test(jitter_brings_a_herd_back_at_different_times),
        world_test(too_many_restarts_leave_a_child_failed_and_the_others_alone),
        world_test(too_many_restarts_of_a_critical_child_stop_everything),
        world_test(stop_while_it_gives_up_is_a_stop),
        world_test(stop_in_the_event_that_a_critical_child_failed_is_a_stop),
        world_test(out_of_memory_for_its_alarm_it_gives_up),
        world_test(out_of_memory_during_a_stop_is_still_that_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
