/* Crashes of children that know nothing of each other: who comes back, when, and who decides. */
#include "children.h"

static void stop_it(struct world *w, struct child *c)
{
    (void)c;
    supervisor_stop(&w->houses[0].supervisor);
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

static struct house *deciding(struct world *w, const char *letters)
{
    struct house *h = first(w, ONE_FOR_ONE, letters);

    h->supervisor.decides = true;
    return h;
}

static void decide(struct house *h, const char *name, enum crash_decision decision)
{
    supervisor_decide(&h->supervisor, &at(h, name)->child, decision, "the owner says so");
    pump(h->world);
}

/* ---- decisions ---- */

static void a_crash_waits_for_its_decision(void **state)
{
    struct house *h = deciding(*state, "ab");

    start_quietly(h);
    crash(h, "a");
    expect_heard(h->world, "a crashed?");
    assert_int_equal(at(h, "a")->child.state, CHILD_CRASHED);
    advance(h->world, 100000);
    expect_rest(h);
    decide(h, "a", DECIDE_RESTART);
    advance(h->world, 50);
    expect_did(h->world, "start a");
    expect_heard(h->world, "a up");
    assert_int_equal(at(h, "a")->child.restarts, 1);
    decide(h, "a", DECIDE_ESCALATE); /* is answered already */
    expect_rest(h);
}

static void ignored_it_stays_down(void **state)
{
    struct house *h = deciding(*state, "a");

    start_quietly(h);
    crash(h, "a");
    decide(h, "a", DECIDE_IGNORE);
    expect_heard(h->world, "a crashed?");
    assert_int_equal(at(h, "a")->child.state, CHILD_STOPPED);
    assert_true(at(h, "a")->let_go > 0);
    expect_rest(h);
}

static void escalated_the_supervisor_gives_up(void **state)
{
    struct house *h = deciding(*state, "abc");

    start_quietly(h);
    crash(h, "b");
    decide(h, "b", DECIDE_ESCALATE);
    expect_did(h->world, "stop c, stop a");
    expect_heard(h->world, "b crashed?, c stopped, a stopped, gave-up");
    assert_non_null(strstr(h->supervisor.failure.message, "the owner says so"));
    assert_int_equal(at(h, "b")->child.state, CHILD_FAILED);
    expect_rest(h);
}

static void shut_down_it_stops_in_order(void **state)
{
    struct house *h = deciding(*state, "abc");

    start_quietly(h);
    crash(h, "b");
    decide(h, "b", DECIDE_SHUTDOWN);
    expect_did(h->world, "stop c, stop a");
    expect_heard(h->world, "b crashed?, c stopped, a stopped, stopped");
    expect_rest(h);
}

static void restart_decided_is_still_limited(void **state)
{
    struct house *h = deciding(*state, "a");

    at(h, "a")->child.spec.policy.max_restarts = 0;
    start_quietly(h);
    crash(h, "a");
    decide(h, "a", DECIDE_RESTART);
    expect_heard(h->world, "a crashed?, a failed");
}

static void restart_decided_for_a_temporary_child_is_none(void **state)
{
    struct house *h = deciding(*state, "");

    add(h, "t", TEMPORARY);
    start_quietly(h);
    crash(h, "t");
    decide(h, "t", DECIDE_RESTART);
    expect_heard(h->world, "t crashed?");
    assert_int_equal(at(h, "t")->child.restarts, 0);
    expect_rest(h);
    supervisor_restart(&h->supervisor, &at(h, "t")->child);
    pump(h->world);
    crash(h, "t");
    decide(h, "t", DECIDE_ESCALATE); /* but this is one */
    expect_heard(h->world, "t up, t crashed?, gave-up");
}

static void decide_restart(struct world *w, struct child *c)
{
    supervisor_decide(&w->houses[0].supervisor, c, DECIDE_RESTART, "");
}

static void a_decision_in_the_event_itself_is_one_restart(void **state)
{
    struct house *h = deciding(*state, "a");

    start_quietly(h);
    h->world->on = "a crashed?";
    h->world->react = decide_restart;
    crash(h, "a");
    assert_int_equal(at(h, "a")->child.restarts, 1);
    advance(h->world, 50);
    expect_did(h->world, "start a");
}

static void a_decision_nobody_asked_for_is_none(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    start_quietly(h);
    decide(h, "a", DECIDE_SHUTDOWN);
    expect_rest(h);
    crash(h, "a");
    decide(h, "a", DECIDE_SHUTDOWN);
    advance(h->world, 50);
    expect_did(h->world, "start a");
}

static void a_decision_after_stop_is_too_late(void **state)
{
    struct house *h = deciding(*state, "a");

    add(h, "b", SLOW_STOP);
    start_quietly(h);
    crash(h, "a");
    stop(h);
    decide(h, "a", DECIDE_RESTART);
    decide(h, "a", DECIDE_ESCALATE);
    down(h, "b");
    decide(h, "a", DECIDE_RESTART);
    expect_did(h->world, "stop b");
    expect_heard(h->world, "a crashed?, b stopped, stopped");
    expect_rest(h);
}

static void a_decision_after_remove_is_too_late(void **state)
{
    struct house *h = deciding(*state, "a");
    struct child *c = &at(h, "a")->child;

    start_quietly(h);
    crash(h, "a");
    supervisor_remove(&h->supervisor, c);
    supervisor_decide(&h->supervisor, c, DECIDE_ESCALATE, "");
    pump(h->world);
    expect_did(h->world, "free a");
    expect_heard(h->world, "a crashed?, a removed");
    assert_int_equal(h->supervisor.state, SUPERVISOR_RUNNING);
}

static void a_decision_after_somebody_stopped_the_child_is_too_late(void **state)
{
    struct house *h = deciding(*state, "a");

    start_quietly(h);
    crash(h, "a");
    child_withdrawn(&at(h, "a")->child);
    pump(h->world);
    decide(h, "a", DECIDE_ESCALATE);
    assert_int_equal(h->supervisor.state, SUPERVISOR_RUNNING);
    expect_rest(h);
}

static void a_decision_after_somebody_brought_the_child_back_is_too_late(void **state)
{
    struct house *h = deciding(*state, "a");

    start_quietly(h);
    crash(h, "a");
    up(h, "a");
    decide(h, "a", DECIDE_ESCALATE);
    assert_int_equal(h->supervisor.state, SUPERVISOR_RUNNING);
    expect_rest(h);
}

static void a_group_waits_for_a_pending_decision(void **state)
{
    struct house *h = build(*state, 0, "", ONE_FOR_ALL);

    add_all(h, "abc", PLAIN);
    h->supervisor.decides = true;
    start_quietly(h);
    crash(h, "b");
    expect_did(h->world, "");
    crash(h, "a");
    decide(h, "a", DECIDE_RESTART);
    advance(h->world, 50);
    expect_did(h->world, "stop c, start a");
    decide(h, "b", DECIDE_IGNORE);
    expect_did(h->world, "start c");
    expect_rest(h);
}

static void a_pending_decision_does_not_outlive_a_stop(void **state)
{
    struct house *h = deciding(*state, "a");

    start_quietly(h);
    crash(h, "a");
    stop(h);
    decide(h, "a", DECIDE_ESCALATE);
    assert_int_equal(at(h, "a")->child.state, CHILD_STOPPED);
    crash(h, "a"); /* nor does a crash that is seen late */
    start(h);
    expect_did(h->world, "start a");
}

static void decide_shutdown(struct world *w, struct child *c)
{
    supervisor_decide(&w->houses[0].supervisor, c, DECIDE_SHUTDOWN, "");
}

static void a_decision_in_an_event_that_does_not_ask_is_none(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    start_quietly(h);
    h->world->on = "a crashed";
    h->world->react = decide_shutdown;
    crash(h, "a");
    advance(h->world, 50);
    expect_did(h->world, "start a");
}

static void up_twice_is_up_once(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    start_quietly(h);
    up(h, "a");
    expect_heard(h->world, "");
}

static void an_end_seen_again_after_somebody_stopped_it_restarts_nobody(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    start_quietly(h);
    child_withdrawn(&at(h, "a")->child);
    down(h, "a");
    assert_int_equal(at(h, "a")->child.restarts, 0);
    expect_rest(h);
}

static void each_comes_back_at_its_own_time(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "abc");

    start_quietly(h);
    at(h, "a")->child.spec.policy.delay_ms = 60;
    at(h, "c")->child.spec.policy.delay_ms = 5000;
    crash(h, "a");
    crash(h, "b");
    crash(h, "c");
    advance(h->world, 59);
    expect_did(h->world, "start b");
    advance(h->world, 1);
    expect_did(h->world, "start a");
    advance(h->world, 4940);
    expect_did(h->world, "start c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        world_test(a_crash_waits_for_its_decision),
        world_test(ignored_it_stays_down),
        world_test(escalated_the_supervisor_gives_up),
        world_test(shut_down_it_stops_in_order),
        world_test(restart_decided_is_still_limited),
        world_test(restart_decided_for_a_temporary_child_is_none),
        world_test(a_decision_in_the_event_itself_is_one_restart),
        world_test(a_decision_nobody_asked_for_is_none),
        world_test(a_decision_after_stop_is_too_late),
        world_test(a_decision_after_remove_is_too_late),
        world_test(a_decision_after_somebody_stopped_the_child_is_too_late),
        world_test(a_decision_after_somebody_brought_the_child_back_is_too_late),
        world_test(a_group_waits_for_a_pending_decision),
        world_test(a_pending_decision_does_not_outlive_a_stop),
        world_test(a_decision_in_an_event_that_does_not_ask_is_none),
        world_test(up_twice_is_up_once),
        world_test(an_end_seen_again_after_somebody_stopped_it_restarts_nobody),
        world_test(each_comes_back_at_its_own_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
