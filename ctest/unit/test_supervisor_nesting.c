/* Supervisors under supervisors: what gives up below is a crash above. */
#include "children.h"

static void put_out(struct child_supervisor *c)
{
    struct house *h = list_entry(c, struct house, as_child);

    note(h->world->did, "free %s", c->child.name);
}

static void nest(struct house *outer, struct house *inner, const char *name, unsigned traits)
{
    struct child_spec spec = spec_of(name, traits);

    inner->as_child.inner = &inner->supervisor;
    inner->as_child.freed = put_out;
    inner->supervisor.as_child = &inner->as_child.child;
    supervisor_add(&outer->supervisor, &inner->as_child.child, &child_supervisor_ops, &spec);
}

/* Three of them: a, then `middle` (b, then `inner` (x and y), then c), then d. */
struct tower {
    struct house *root, *middle, *inner;
};

static struct tower tower(struct world *w, enum supervisor_strategy strategy, unsigned traits)
{
    struct tower t = {build(w, 0, "", strategy), build(w, 1, "middle ", strategy),
                      build(w, 2, "inner ", strategy)};

    add_all(t.root, "a", PLAIN);
    nest(t.root, t.middle, "m", traits);
    add_all(t.root, "d", PLAIN);
    add_all(t.middle, "b", PLAIN);
    nest(t.middle, t.inner, "i", traits);
    add_all(t.middle, "c", PLAIN);
    add(t.inner, "x", CRITICAL);
    add_all(t.inner, "y", PLAIN);
    at(t.inner, "x")->child.spec.policy.max_restarts = 0;
    return t;
}

static struct child *as_child(struct house *h)
{
    return &h->as_child.child;
}

static void the_tree_starts_left_to_right_and_stops_right_to_left(void **state)
{
    struct tower t = tower(*state, ONE_FOR_ONE, PLAIN);

    start(t.root);
    expect_did(t.root->world, "start a, start b, start x, start y, start c, start d");
    expect_heard(t.root->world, "a up, b up, x up, y up, inner started, i up, c up, "
                                "middle started, m up, d up, started");
    stop(t.root);
    expect_did(t.root->world, "stop d, stop c, stop y, stop x, stop b, stop a");
    expect_heard(t.root->world,
                 "d stopped, c stopped, y stopped, x stopped, inner stopped, i stopped, "
                 "b stopped, middle stopped, m stopped, a stopped, stopped");
    expect_rest(t.root);
    start(t.root);
    expect_did(t.root->world, "start a, start b, start x, start y, start c, start d");
}

static void stop_of_a_tree_that_starts_starts_nothing_more(void **state)
{
    struct tower t = tower(*state, ONE_FOR_ONE, PLAIN);

    at(t.inner, "x")->starts = LATER;
    start(t.root);
    forget(t.root->world);
    stop(t.root);
    expect_did(t.root->world, "stop x, stop b, stop a");
    expect_heard(
        t.root->world,
        "x stopped, inner start-failed, inner stopped, i stopped, b stopped, "
        "middle start-failed, middle stopped, m stopped, a stopped, start-failed, stopped");
    expect_rest(t.root);
}

static void one_that_gives_up_is_restarted_with_fresh_histories(void **state)
{
    struct tower t = tower(*state, ONE_FOR_ONE, PLAIN);

    at(t.inner, "y")->child.spec.policy.max_restarts = 1;
    start_quietly(t.root);
    crash(t.inner, "y");
    advance(t.root->world, 50);
    assert_int_equal(at(t.inner, "y")->child.history.len, 1);
    forget(t.root->world);
    crash(t.inner, "x");
    expect_did(t.root->world, "stop y");
    expect_heard(t.root->world, "x crashed, x failed, y stopped, inner gave-up, i crashed");
    assert_non_null(strstr(as_child(t.inner)->last_error.message, "\"x\""));
    advance(t.root->world, 50);
    expect_did(t.root->world, "start x, start y");
    expect_heard(t.root->world, "x up, y up, inner started, i up");
    crash(t.inner, "y"); /* once more is not too often for a supervisor that began anew */
    advance(t.root->world, 50);
    expect_did(t.root->world, "start y");
    assert_int_equal(t.root->supervisor.state, SUPERVISOR_RUNNING);
    assert_int_equal(t.middle->supervisor.state, SUPERVISOR_RUNNING);
}

static void given_up_too_often_it_is_failed_and_its_siblings_live(void **state)
{
    struct tower t = tower(*state, ONE_FOR_ONE, PLAIN);

    as_child(t.inner)->spec.policy.max_restarts = 0;
    start_quietly(t.root);
    crash(t.inner, "x");
    expect_did(t.root->world, "stop y");
    expect_heard(t.root->world,
                 "x crashed, x failed, y stopped, inner gave-up, i crashed, i failed");
    assert_int_equal(as_child(t.inner)->state, CHILD_FAILED);
    expect_rest(t.root);
    supervisor_restart(&t.middle->supervisor, as_child(t.inner));
    pump(t.root->world);
    expect_heard(t.root->world, "x up, y up, inner started, i up");
}

static void critical_all_the_way_it_escalates_to_the_root(void **state)
{
    struct tower t = tower(*state, ONE_FOR_ONE, CRITICAL);

    as_child(t.inner)->spec.policy.max_restarts = 0;
    as_child(t.middle)->spec.policy.max_restarts = 0;
    start_quietly(t.root);
    crash(t.inner, "x");
    expect_did(t.root->world, "stop y, stop c, stop b, stop d, stop a");
    expect_heard(t.root->world,
                 "x crashed, x failed, y stopped, inner gave-up, i crashed, i failed, "
                 "c stopped, b stopped, middle gave-up, m crashed, m failed, "
                 "d stopped, a stopped, gave-up");
    assert_non_null(strstr(t.root->supervisor.failure.message, "it broke")); /* the first cause */
    expect_rest(t.root);
}

static void its_group_above_goes_down_and_up_with_it(void **state)
{
    struct tower t = tower(*state, REST_FOR_ONE, PLAIN);

    as_child(t.inner)->spec.critical = true;
    as_child(t.inner)->spec.policy.max_restarts = 0;
    start_quietly(t.root);
    crash(t.inner, "x");
    advance(t.root->world, 50);
    expect_did(t.root->world,
               "stop y, stop c, stop b, stop d, start b, start x, start y, start c, start d");
    expect_rest(t.root);
}

static void a_group_takes_a_supervisor_down_and_up_again(void **state)
{
    struct tower t = tower(*state, REST_FOR_ONE, PLAIN);

    start_quietly(t.root);
    crash(t.middle, "b");
    advance(t.root->world, 50);
    expect_did(t.root->world, "stop c, stop y, stop x, start b, start x, start y, start c");
    assert_int_equal(as_child(t.inner)->restarts, 0);
    expect_rest(t.root);
}

static void a_start_that_fails_on_the_way_back_is_repeated(void **state)
{
    struct tower t = tower(*state, REST_FOR_ONE, PLAIN);

    start_quietly(t.root);
    at(t.inner, "y")->starts = FAILS;
    crash(t.middle, "b");
    advance(t.root->world, 50);
    expect_did(t.root->world, "stop c, stop y, stop x, start b, start x, start y");
    at(t.inner, "y")->starts = AT_ONCE;
    advance(t.root->world, 50);
    expect_did(t.root->world, "start y, start c");
    expect_rest(t.root);
}

static void stopped_on_purpose_it_is_not_restarted(void **state)
{
    struct tower t = tower(*state, ONE_FOR_ONE, CRITICAL);

    start_quietly(t.root);
    stop(t.inner);
    expect_heard(t.root->world, "y stopped, x stopped, inner stopped, i stopped");
    assert_int_equal(as_child(t.inner)->state, CHILD_STOPPED);
    expect_rest(t.root);
    start(t.inner); /* its owner brings it back, and it is kept again */
    expect_heard(t.root->world, "x up, y up, inner started, i up");
    crash(t.inner, "x");
    advance(t.root->world, 50);
    expect_did(t.root->world, "start x, start y, stop y, start x, start y");
}

static void a_start_that_fails_below_is_a_start_that_fails_above(void **state)
{
    struct tower t = tower(*state, ONE_FOR_ONE, PLAIN);

    at(t.inner, "x")->starts = FAILS;
    t.inner->as_child.child.spec.critical = true;
    start(t.root);
    expect_did(t.root->world, "start a, start b, start x, stop b, start d");
    assert_int_equal(t.root->supervisor.state, SUPERVISOR_RUNNING);
    assert_int_equal(as_child(t.inner)->state, CHILD_FAILED);
    assert_int_equal(as_child(t.middle)->state, CHILD_FAILED);
    assert_non_null(strstr(as_child(t.middle)->last_error.message, "it broke"));
    expect_rest(t.root);
}

static void stop_while_one_below_gives_up_is_a_stop(void **state)
{
    struct tower t = tower(*state, ONE_FOR_ONE, CRITICAL);

    at(t.inner, "y")->stops = LATER;
    as_child(t.inner)->spec.policy.max_restarts = 0;
    start_quietly(t.root);
    crash(t.inner, "x");
    forget(t.root->world);
    stop(t.root);
    down(t.inner, "y");
    expect_did(t.root->world, "stop d, stop c, stop b, stop a");
    expect_heard(t.root->world, "d stopped, c stopped, y stopped, inner stopped, i stopped, "
                                "b stopped, middle stopped, m stopped, a stopped, stopped");
    expect_rest(t.root);
}

static void stop_during_its_backoff_starts_nothing(void **state)
{
    struct tower t = tower(*state, ONE_FOR_ONE, PLAIN);

    start_quietly(t.root);
    crash(t.inner, "x");
    stop(t.root);
    expect_rest(t.root);
    advance(t.root->world, 100000);
    expect_rest(t.root);
}

static void brought_back_during_its_backoff_it_is_up(void **state)
{
    struct tower t = tower(*state, ONE_FOR_ONE, PLAIN);

    start_quietly(t.root);
    crash(t.inner, "x");
    forget(t.root->world);
    start(t.inner);
    expect_heard(t.root->world, "x up, y up, inner started, i up");
    assert_int_equal(as_child(t.inner)->state, CHILD_UP);
    expect_rest(t.root);
}

static void one_that_runs_already_is_up_at_once(void **state)
{
    struct house *outer = first(*state, ONE_FOR_ONE, "a");
    struct house *inner = build(*state, 1, "inner ", ONE_FOR_ONE);

    start(inner);
    start(outer);
    forget(outer->world);
    nest(outer, inner, "i", PLAIN);
    pump(outer->world);
    expect_heard(outer->world, "i up");
    stop(outer);
    expect_heard(outer->world, "inner stopped, i stopped, a stopped, stopped");
}

/* ... it has nothing to keep, and does not wake up for it. */
static void one_that_is_started_under_a_stopped_supervisor_is_not_its_business(void **state)
{
    struct tower t = tower(*state, ONE_FOR_ONE, CRITICAL);

    as_child(t.inner)->spec.policy.max_restarts = 0;
    start(t.inner);
    forget(t.root->world);
    crash(t.inner, "x");
    expect_heard(t.root->world, "x crashed, x failed, y stopped, inner gave-up, i stopped");
    assert_int_equal(t.middle->supervisor.state, SUPERVISOR_STOPPED);
    expect_rest(t.root);
    start(t.inner);
    start_quietly(t.root);
    crash(t.inner, "x");
    expect_did(t.root->world, "stop y, stop c, stop b");
}

static void removed_it_is_stopped_and_lives_on_without_its_supervisor(void **state)
{
    struct tower t = tower(*state, ONE_FOR_ONE, PLAIN);

    start_quietly(t.root);
    supervisor_remove(&t.middle->supervisor, as_child(t.inner));
    pump(t.root->world);
    expect_did(t.root->world, "stop y, stop x, free i");
    expect_heard(t.root->world, "y stopped, x stopped, inner stopped, i stopped, i removed");
    assert_null(t.inner->supervisor.as_child);
    start(t.inner);
    crash(t.inner, "x");
    expect_heard(t.root->world, "x up, y up, inner started, x crashed, x failed, y stopped, "
                                "inner gave-up");
    expect_rest(t.root);
}

static void restarted_by_hand_it_stops_in_order_and_starts(void **state)
{
    struct tower t = tower(*state, ONE_FOR_ONE, PLAIN);

    start_quietly(t.root);
    supervisor_restart(&t.middle->supervisor, as_child(t.inner));
    pump(t.root->world);
    expect_did(t.root->world, "stop y, stop x, start x, start y");
    expect_rest(t.root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(the_tree_starts_left_to_right_and_stops_right_to_left),
        world_test(stop_of_a_tree_that_starts_starts_nothing_more),
        world_test(one_that_gives_up_is_restarted_with_fresh_histories),
        world_test(given_up_too_often_it_is_failed_and_its_siblings_live),
        world_test(critical_all_the_way_it_escalates_to_the_root),
        world_test(its_group_above_goes_down_and_up_with_it),
        world_test(a_group_takes_a_supervisor_down_and_up_again),
        world_test(a_start_that_fails_on_the_way_back_is_repeated),
        world_test(stopped_on_purpose_it_is_not_restarted),
        world_test(a_start_that_fails_below_is_a_start_that_fails_above),
        world_test(stop_while_one_below_gives_up_is_a_stop),
        world_test(stop_during_its_backoff_starts_nothing),
        world_test(brought_back_during_its_backoff_it_is_up),
        world_test(one_that_runs_already_is_up_at_once),
        world_test(one_that_is_started_under_a_stopped_supervisor_is_not_its_business),
        world_test(removed_it_is_stopped_and_lives_on_without_its_supervisor),
        world_test(restarted_by_hand_it_stops_in_order_and_starts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
