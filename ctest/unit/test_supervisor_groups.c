/* one_for_all and rest_for_one: who goes down and comes back with whom, and in which order. */
#include "children.h"

static void one_for_one_leaves_the_others_alone(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "abc");

    start_quietly(h);
    crash(h, "b");
    expect_did(h->world, "");
    advance(h->world, 50);
    expect_did(h->world, "start b");
    expect_heard(h->world, "b crashed, b up");
}

static void one_for_all_takes_all_down_and_up_again(void **state)
{
    struct house *h = first(*state, ONE_FOR_ALL, "abcd");

    start_quietly(h);
    crash(h, "b");
    expect_did(h->world, "stop d, stop c, stop a");
    expect_heard(h->world, "b crashed, d stopped, c stopped, a stopped");
    advance(h->world, 49);
    expect_did(h->world, "");
    advance(h->world, 1);
    expect_did(h->world, "start a, start b, start c, start d");
    expect_heard(h->world, "a up, b up, c up, d up");
    assert_int_equal(at(h, "a")->child.restarts, 0);
    assert_int_equal(at(h, "b")->child.restarts, 1);
    expect_rest(h);
}

static void rest_for_one_takes_down_what_follows(void **state)
{
    struct house *h = first(*state, REST_FOR_ONE, "abcd");

    start_quietly(h);
    crash(h, "b");
    expect_did(h->world, "stop d, stop c");
    advance(h->world, 50);
    expect_did(h->world, "start b, start c, start d");
    assert_int_equal(at(h, "d")->let_go, 0); /* it was kept for its restart */
    expect_rest(h);
}

static void simple_one_for_one_knows_no_group(void **state)
{
    struct house *h = first(*state, SIMPLE_ONE_FOR_ONE, "abc");

    start_quietly(h);
    crash(h, "a");
    advance(h->world, 50);
    expect_did(h->world, "start a");
}

static void a_group_waits_for_each_stop_and_each_start(void **state)
{
    struct house *h = first(*state, ONE_FOR_ALL, "");

    add_all(h, "abc", SLOW_STOP);
    start_quietly(h);
    at(h, "a")->starts = at(h, "b")->starts = LATER;
    crash(h, "a");
    expect_did(h->world, "stop c");
    advance(h->world, 1000); /* long after its backoff */
    expect_did(h->world, "");
    down(h, "c");
    expect_did(h->world, "stop b");
    down(h, "b");
    expect_did(h->world, "start a");
    up(h, "a");
    expect_did(h->world, "start b");
    up(h, "b");
    expect_did(h->world, "start c");
    expect_rest(h);
}

static void optional_children_are_in_no_group(void **state)
{
    struct house *h = first(*state, ONE_FOR_ALL, "a");

    add(h, "o", OPTIONAL);
    add_all(h, "b", PLAIN);
    start_quietly(h);
    crash(h, "o");
    expect_did(h->world, "");
    advance(h->world, 50);
    expect_did(h->world, "start o");
    crash(h, "a");
    expect_did(h->world, "stop b");
    advance(h->world, 50);
    expect_did(h->world, "start a, start b");
}

static void what_is_down_for_good_does_not_come_back_with_its_group(void **state)
{
    struct house *h = first(*state, ONE_FOR_ALL, "a");

    add(h, "f", NO_START);
    add_all(h, "w", PLAIN);
    add(h, "t", TRANSIENT);
    start_quietly(h);
    child_withdrawn(&at(h, "w")->child);
    down(h, "t");
    crash(h, "a");
    advance(h->world, 50);
    expect_did(h->world, "start a");
    assert_int_equal(at(h, "f")->child.state, CHILD_FAILED);
    expect_rest(h);
}

static void a_temporary_child_goes_down_with_its_group_and_stays_down(void **state)
{
    struct house *h = first(*state, ONE_FOR_ALL, "a");

    add(h, "t", TEMPORARY);
    add_all(h, "b", PLAIN);
    start_quietly(h);
    crash(h, "a");
    expect_did(h->world, "stop b, stop t");
    advance(h->world, 50);
    expect_did(h->world, "start a, start b");
    expect_rest(h);
}

static void a_temporary_child_that_has_yet_to_start_starts_with_its_group(void **state)
{
    struct house *h = first(*state, ONE_FOR_ALL, "a");

    add(h, "b", SLOW_START);
    add(h, "t", TEMPORARY);
    start(h);
    forget(h->world);
    crash(h, "a");
    expect_did(h->world, "stop b");
    at(h, "b")->starts = AT_ONCE;
    advance(h->world, 50);
    expect_did(h->world, "start a, start b, start t");
    expect_heard(h->world, "a crashed, b stopped, a up, b up, t up, started");
}

static void the_end_of_a_temporary_child_concerns_no_group(void **state)
{
    struct house *h = first(*state, ONE_FOR_ALL, "a");

    add(h, "t", TEMPORARY);
    start_quietly(h);
    crash(h, "t");
    expect_heard(h->world, "t crashed");
    expect_did(h->world, "");
    expect_rest(h);
}

static void a_second_crash_while_the_group_goes_down_joins_it(void **state)
{
    struct house *h = first(*state, ONE_FOR_ALL, "ab");

    add(h, "c", SLOW_STOP);
    start_quietly(h);
    crash(h, "b");
    expect_did(h->world, "stop c");
    crash(h, "a");
    expect_did(h->world, "");
    down(h, "c");
    advance(h->world, 50);
    expect_did(h->world, "start a, start b, start c");
    expect_heard(h->world, "b crashed, a crashed, c stopped, a up, b up, c up");
    expect_rest(h);
}

static void a_crash_of_what_is_being_stopped_counts_as_its_stop(void **state)
{
    struct house *h = first(*state, ONE_FOR_ALL, "a");

    add(h, "b", SLOW_STOP);
    start_quietly(h);
    crash(h, "a");
    crash(h, "b");
    expect_heard(h->world, "a crashed, b stopped");
    assert_int_equal(at(h, "b")->child.restarts, 0);
    advance(h->world, 50);
    expect_did(h->world, "stop b, start a, start b");
}

static void a_crash_while_the_group_comes_up_takes_it_down_again(void **state)
{
    struct house *h = first(*state, ONE_FOR_ALL, "abc");

    start_quietly(h);
    at(h, "c")->starts = LATER;
    crash(h, "a");
    advance(h->world, 50);
    forget(h->world);
    crash(h, "b");
    expect_did(h->world, "stop c, stop a");
    at(h, "c")->starts = AT_ONCE;
    advance(h->world, 50);
    expect_did(h->world, "start a, start b, start c");
    expect_rest(h);
}

static void the_longest_backoff_is_the_groups(void **state)
{
    struct house *h = first(*state, REST_FOR_ONE, "ab");

    start_quietly(h);
    at(h, "b")->child.spec.policy.delay_ms = 5000;
    crash(h, "b");
    advance(h->world, 1000);
    crash(h, "a");
    advance(h->world, 50);
    expect_did(h->world, "start a");
    advance(h->world, 3949);
    expect_did(h->world, "");
    advance(h->world, 1);
    expect_did(h->world, "start b");
    assert_int_equal(at(h, "b")->child.state, CHILD_UP);
}

static void those_after_one_in_backoff_wait_for_it(void **state)
{
    struct house *h = first(*state, REST_FOR_ONE, "ab");

    start_quietly(h);
    at(h, "a")->child.spec.policy.delay_ms = 5000;
    crash(h, "b");
    crash(h, "a");
    advance(h->world, 4999);
    expect_did(h->world, "");
    advance(h->world, 1);
    expect_did(h->world, "start a, start b");
}

static void a_child_that_comes_up_as_its_group_goes_down_keeps_its_turn(void **state)
{
    struct house *h = first(*state, ONE_FOR_ALL, "a");

    add(h, "b", SLOW_START);
    start(h);
    forget(h->world);
    at(h, "a")->starts = LATER;
    at(h, "b")->starts = AT_ONCE;
    child_crashed(&at(h, "a")->child, broken());
    up(h, "b"); /* in the same turn */
    expect_did(h->world, "stop b");
    advance(h->world, 50);
    expect_did(h->world, "start a");
    assert_int_equal(h->supervisor.state, SUPERVISOR_STARTING);
    up(h, "a");
    expect_did(h->world, "start b");
    expect_heard(h->world, "a crashed, b up, b stopped, a up, b up, started");
}

static void a_member_given_up_leaves_the_others_as_they_are(void **state)
{
    struct house *h = first(*state, ONE_FOR_ALL, "abc");

    at(h, "b")->child.spec.policy.max_restarts = 1;
    start_quietly(h);
    at(h, "b")->starts = FAILS;
    crash(h, "b");
    advance(h->world, 50);
    expect_did(h->world, "stop c, stop a, start a, start b, start c");
    expect_heard(h->world, "b crashed, c stopped, a stopped, a up, b crashed, b failed, c up");
    expect_rest(h);
}

static void stop_while_the_group_goes_down_starts_nothing(void **state)
{
    struct house *h = first(*state, ONE_FOR_ALL, "ab");

    add(h, "c", SLOW_STOP);
    start_quietly(h);
    crash(h, "b");
    stop(h);
    down(h, "c");
    expect_did(h->world, "stop c, stop a");
    expect_heard(h->world, "b crashed, c stopped, a stopped, stopped");
    advance(h->world, 100000);
    expect_rest(h);
}

static void stop_while_the_group_comes_up_starts_nothing_more(void **state)
{
    struct house *h = first(*state, ONE_FOR_ALL, "abc");

    start_quietly(h);
    at(h, "b")->starts = LATER;
    crash(h, "c");
    advance(h->world, 50);
    forget(h->world);
    stop(h);
    expect_did(h->world, "stop b, stop a");
    expect_heard(h->world, "b stopped, a stopped, stopped");
    expect_rest(h);
}

static void what_is_outside_of_the_group_need_not_wait_for_it(void **state)
{
    struct house *h = first(*state, REST_FOR_ONE, "a");

    add(h, "o", OPTIONAL);
    add(h, "b", SLOW_STOP);
    start_quietly(h);
    crash(h, "a");
    crash(h, "o");
    advance(h->world, 50);
    expect_did(h->world, "stop b, start o");
    down(h, "b");
    expect_did(h->world, "start a, start b");
}

static void a_member_restarted_by_hand_keeps_its_turn(void **state)
{
    struct house *h = first(*state, ONE_FOR_ALL, "abc");

    start_quietly(h);
    at(h, "a")->starts = LATER;
    crash(h, "a");
    supervisor_restart(&h->supervisor, &at(h, "c")->child);
    advance(h->world, 50);
    expect_did(h->world, "stop c, stop b, start a");
    up(h, "a");
    expect_did(h->world, "start b, start c");
}

static void a_member_removed_while_its_group_is_down_is_gone(void **state)
{
    struct house *h = first(*state, ONE_FOR_ALL, "abc");

    start_quietly(h);
    crash(h, "b");
    supervisor_remove(&h->supervisor, &at(h, "a")->child);
    advance(h->world, 50);
    expect_did(h->world, "stop c, stop a, free a, start b, start c");
}

static void a_group_is_restarted_without_the_child_whose_crash_it_was(void **state)
{
    struct house *h = first(*state, ONE_FOR_ALL, "ab");

    start_quietly(h);
    crash(h, "a");
    supervisor_remove(&h->supervisor, &at(h, "a")->child);
    advance(h->world, 50);
    expect_did(h->world, "stop b, free a, start b");
    expect_rest(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(one_for_one_leaves_the_others_alone),
        world_test(one_for_all_takes_all_down_and_up_again),
        world_test(rest_for_one_takes_down_what_follows),
        world_test(simple_one_for_one_knows_no_group),
        world_test(a_group_waits_for_each_stop_and_each_start),
        world_test(optional_children_are_in_no_group),
        world_test(what_is_down_for_good_does_not_come_back_with_its_group),
        world_test(a_temporary_child_goes_down_with_its_group_and_stays_down),
        world_test(a_temporary_child_that_has_yet_to_start_starts_with_its_group),
        world_test(the_end_of_a_temporary_child_concerns_no_group),
        world_test(a_second_crash_while_the_group_goes_down_joins_it),
        world_test(a_crash_of_what_is_being_stopped_counts_as_its_stop),
        world_test(a_crash_while_the_group_comes_up_takes_it_down_again),
        world_test(the_longest_backoff_is_the_groups),
        world_test(those_after_one_in_backoff_wait_for_it),
        world_test(a_child_that_comes_up_as_its_group_goes_down_keeps_its_turn),
        world_test(a_member_given_up_leaves_the_others_as_they_are),
        world_test(stop_while_the_group_goes_down_starts_nothing),
        world_test(stop_while_the_group_comes_up_starts_nothing_more),
        world_test(what_is_outside_of_the_group_need_not_wait_for_it),
        world_test(a_member_restarted_by_hand_keeps_its_turn),
        world_test(a_member_removed_while_its_group_is_down_is_gone),
        world_test(a_group_is_restarted_without_the_child_whose_crash_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
