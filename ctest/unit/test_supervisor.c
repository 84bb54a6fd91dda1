/* One supervisor, children that know nothing of each other: start and stop. */
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
        world_test(out_of_memory_for_its_alarm_it_gives_up),
        world_test(out_of_memory_during_a_stop_is_still_that_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
