/* What an owner does to a supervisor and its children while they live: additions, removals,
 * restarts. */
#include "children.h"

static void remove_child(struct house *h, const char *name)
{
    supervisor_remove(&h->supervisor, &at(h, name)->child);
    pump(h->world);
}

static void restart_child(struct house *h, const char *name)
{
    supervisor_restart(&h->supervisor, &at(h, name)->child);
    pump(h->world);
}

/* ---- add ---- */

static void added_to_a_running_supervisor_it_starts_at_once(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    start_quietly(h);
    add(h, "b", PLAIN);
    pump(h->world);
    expect_did(h->world, "start b");
    expect_heard(h->world, "b up");
    crash(h, "b");
    advance(h->world, 50);
    expect_did(h->world, "start b");
}

static void added_to_one_that_starts_it_is_the_last(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add(h, "a", SLOW_START);
    start(h);
    add(h, "b", PLAIN);
    pump(h->world);
    expect_did(h->world, "start a");
    up(h, "a");
    expect_did(h->world, "start b");
    expect_heard(h->world, "a up, b up, started");
}

static void added_to_one_that_stops_it_starts_with_the_next_start(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add(h, "a", SLOW_STOP);
    start_quietly(h);
    stop(h);
    add(h, "b", PLAIN);
    down(h, "a");
    expect_did(h->world, "stop a");
    expect_rest(h);
    start(h);
    expect_did(h->world, "start a, start b");
}

static void a_critical_child_added_later_that_does_not_start_is_only_reported(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    start_quietly(h);
    add(h, "b", CRITICAL | NO_START);
    pump(h->world);
    expect_heard(h->world, "b start-failed");
    assert_int_equal(h->supervisor.state, SUPERVISOR_RUNNING);
}

/* ---- remove ---- */

static void a_removed_child_is_stopped_then_freed(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");
    struct fake *b = add(h, "b", SLOW_STOP);

    start_quietly(h);
    remove_child(h, "b");
    expect_did(h->world, "stop b");
    assert_null(supervisor_child(&h->supervisor, "b"));
    child_down(&b->child);
    pump(h->world);
    expect_did(h->world, "free b");
    expect_heard(h->world, "b stopped, b removed");
    expect_rest(h);
}

static void a_removed_child_that_crashes_is_gone(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");
    struct child *c = &at(h, "a")->child;

    c->spec.critical = true;
    start_quietly(h);
    supervisor_remove(&h->supervisor, c);
    child_crashed(c, broken());
    pump(h->world);
    expect_did(h->world, "free a");
    expect_heard(h->world, "a stopped, a removed");
    assert_int_equal(h->supervisor.state, SUPERVISOR_RUNNING);
}

static void a_child_removed_in_its_backoff_is_gone(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    start_quietly(h);
    crash(h, "a");
    remove_child(h, "a");
    expect_did(h->world, "free a");
    expect_rest(h);
}

static void a_child_removed_while_it_starts_is_stopped(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add(h, "a", SLOW_START);
    add(h, "b", PLAIN);
    start(h);
    remove_child(h, "a");
    expect_did(h->world, "start a, stop a, free a, start b");
    expect_heard(h->world, "a stopped, a removed, b up, started");
}

static void a_child_removed_before_its_turn_never_starts(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add(h, "a", SLOW_START);
    add(h, "b", PLAIN);
    start(h);
    remove_child(h, "b");
    up(h, "a");
    expect_did(h->world, "start a, free b");
    expect_heard(h->world, "b removed, a up, started");
}

static void a_removed_child_is_not_started_with_the_others(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "ab");

    supervisor_remove(&h->supervisor, &at(h, "a")->child);
    supervisor_start(&h->supervisor);
    pump(h->world);
    expect_did(h->world, "free a, start b");
    expect_heard(h->world, "a removed, b up, started");
}

static void a_removed_child_is_not_restarted(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "ab");
    struct child *a = &at(h, "a")->child;

    start_quietly(h);
    supervisor_remove(&h->supervisor, a);
    supervisor_restart(&h->supervisor, a);
    pump(h->world);
    expect_did(h->world, "stop a, free a");
}

static void a_child_removed_while_everything_stops_is_gone(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    add(h, "b", SLOW_STOP);
    start_quietly(h);
    stop(h);
    remove_child(h, "a");
    down(h, "b");
    expect_did(h->world, "stop b, stop a, free a");
    expect_heard(h->world, "b stopped, a stopped, a removed, stopped");
    remove_child(h, "b"); /* and when all is stopped */
    expect_did(h->world, "free b");
}

static void a_name_is_free_while_its_child_goes(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");
    struct fake *old = add(h, "a", SLOW_STOP);

    start_quietly(h);
    remove_child(h, "a");
    assert_ptr_not_equal(add(h, "a", PLAIN), old);
    pump(h->world);
    expect_did(h->world, "stop a, start a");
    child_down(&old->child);
    pump(h->world);
    expect_did(h->world, "free a");
    assert_int_equal(at(h, "a")->child.state, CHILD_UP);
}

static void remove_it(struct world *w, struct child *c)
{
    supervisor_remove(&w->houses[0].supervisor, c);
}

static void children_may_be_removed_in_every_event(void **state)
{
    static const char *const events[] = {"a up", "a crashed", "a failed", "a stopped",
                                         "b start-failed"};
    struct world *w = *state;

    for (size_t i = 0; i < count_of(events); i++) {
        struct house *h = first(w, ONE_FOR_ALL, "za");

        add(h, "b", NO_START);
        at(h, "a")->child.spec.policy.max_restarts = i == 2 ? 0 : 1;
        w->on = events[i];
        w->react = remove_it;
        start(h);
        if (supervisor_child(&h->supervisor, "a") != NULL) {
            crash(h, i == 3 ? "z" : "a");
        }
        advance(w, 1000);
        assert_null(w->on); /* it was heard */
        assert_null(supervisor_child(&h->supervisor, i == 4 ? "b" : "a"));
        assert_int_equal(at(h, "z")->child.state, CHILD_UP);
        stop(h);
        supervisor_drop_children(&h->supervisor);
        forget(w);
    }
}

static void remove_all(struct world *w, struct child *c)
{
    struct list *children = &w->houses[0].supervisor.children;

    (void)c;
    for (struct list *l = children->next; l != children; l = l->next) {
        supervisor_remove(&w->houses[0].supervisor, list_entry(l, struct child, link));
    }
}

static void all_children_may_be_removed_while_one_is(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "abcd");

    start_quietly(h);
    h->world->on = "b removed";
    h->world->react = remove_all;
    remove_child(h, "b");
    assert_true(list_empty(&h->supervisor.children));
    stop(h);
    expect_heard(h->world, "b stopped, b removed, d stopped, c stopped, a stopped, a removed, "
                           "c removed, d removed, stopped");
}

/* ---- restart ---- */

static void a_restart_stops_then_starts(void **state)
{
    struct house *h = first(*state, ONE_FOR_ALL, "a");

    add(h, "b", SLOW_STOP);
    start_quietly(h);
    restart_child(h, "b");
    expect_did(h->world, "stop b");
    restart_child(h, "b"); /* is one restart */
    expect_did(h->world, "");
    down(h, "b");
    expect_did(h->world, "start b");
    expect_heard(h->world, "b stopped, b up");
    assert_int_equal(at(h, "b")->told_timeout_ms, SHUTDOWN_MS);
    expect_rest(h);
}

static void a_restart_starts_what_is_down(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "ab");

    start_quietly(h);
    child_withdrawn(&at(h, "a")->child);
    at(h, "b")->child.spec.policy.delay_ms = 5000;
    crash(h, "b");
    restart_child(h, "b"); /* does not wait for its backoff */
    restart_child(h, "a");
    expect_did(h->world, "start b, start a");
    expect_rest(h);
}

static void restart_it(struct world *w, struct child *c)
{
    supervisor_restart(&w->houses[0].supervisor, c);
}

static void a_restart_in_the_event_of_the_crash_does_not_wait(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    start_quietly(h);
    h->world->on = "a crashed";
    h->world->react = restart_it;
    crash(h, "a");
    expect_did(h->world, "start a");
    assert_int_equal(at(h, "a")->child.restarts, 0);
}

static void a_restart_forgets_the_restarts_before(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    at(h, "a")->child.spec.policy.max_restarts = 1;
    start_quietly(h);
    for (int i = 0; i < 3; i++) {
        crash(h, "a");
        advance(h->world, 50);
        expect_did(h->world, "start a");
        crash(h, "a");
        assert_int_equal(at(h, "a")->child.state, CHILD_FAILED);
        restart_child(h, "a");
        expect_did(h->world, "start a");
        assert_int_equal(at(h, "a")->child.state, CHILD_UP);
    }
}

static void a_restart_by_hand_that_does_not_start_is_reported(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    start_quietly(h);
    at(h, "a")->starts = FAILS;
    restart_child(h, "a");
    expect_heard(h->world, "a stopped, a start-failed");
    expect_rest(h);
}

static void a_restart_while_it_stops_or_is_stopped_does_nothing(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    restart_child(h, "a");
    expect_did(h->world, "");
    add(h, "b", SLOW_STOP);
    start_quietly(h);
    stop(h);
    restart_child(h, "a");
    restart_child(h, "b");
    down(h, "b");
    expect_did(h->world, "stop b, stop a");
    assert_true(at(h, "a")->let_go > 0); /* nor is it kept for one */
    expect_rest(h);
}

static void a_restart_while_it_starts_overtakes_nobody(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add_all(h, "ab", SLOW_START);
    add_all(h, "c", PLAIN);
    start(h);
    restart_child(h, "c");
    restart_child(h, "a");
    expect_did(h->world, "start a, stop a, start a");
    up(h, "a");
    expect_did(h->world, "start b");
    up(h, "b");
    expect_did(h->world, "start c");
    expect_heard(h->world, "a stopped, a up, b up, c up, started");
}

static void stop_while_one_is_restarted_starts_nothing(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add(h, "a", SLOW_STOP);
    start_quietly(h);
    restart_child(h, "a");
    stop(h);
    down(h, "a");
    expect_did(h->world, "stop a");
    expect_heard(h->world, "a stopped, stopped");
    expect_rest(h);
}

static void a_slow_restart_by_hand_holds_up_nobody_elses(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "a");

    add(h, "b", SLOW_STOP);
    start_quietly(h);
    restart_child(h, "b");
    crash(h, "a");
    advance(h->world, 50);
    expect_did(h->world, "stop b, start a");
}

static void a_failed_child_restarted_while_it_starts_is_waited_for(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");

    add(h, "a", NO_START);
    add(h, "b", SLOW_START);
    start(h);
    at(h, "a")->starts = LATER;
    restart_child(h, "a");
    up(h, "b");
    expect_heard(h->world, "a start-failed, b up");
    up(h, "a");
    expect_heard(h->world, "a up, started");
}

static void a_child_that_comes_up_as_it_is_removed_is_stopped(void **state)
{
    struct house *h = first(*state, ONE_FOR_ONE, "");
    struct fake *a = add(h, "a", SLOW_START);

    start(h);
    supervisor_remove(&h->supervisor, &a->child);
    child_up(&a->child);
    pump(h->world);
    expect_did(h->world, "start a, stop a, free a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(added_to_a_running_supervisor_it_starts_at_once),
        world_test(added_to_one_that_starts_it_is_the_last),
        world_test(added_to_one_that_stops_it_starts_with_the_next_start),
        world_test(a_critical_child_added_later_that_does_not_start_is_only_reported),
        world_test(a_removed_child_is_stopped_then_freed),
        world_test(a_removed_child_that_crashes_is_gone),
        world_test(a_child_removed_in_its_backoff_is_gone),
        world_test(a_child_removed_while_it_starts_is_stopped),
        world_test(a_child_removed_before_its_turn_never_starts),
        world_test(a_removed_child_is_not_started_with_the_others),
        world_test(a_removed_child_is_not_restarted),
        world_test(a_child_removed_while_everything_stops_is_gone),
        world_test(a_name_is_free_while_its_child_goes),
        world_test(children_may_be_removed_in_every_event),
        world_test(all_children_may_be_removed_while_one_is),
        world_test(a_restart_stops_then_starts),
        world_test(a_restart_starts_what_is_down),
        world_test(a_restart_in_the_event_of_the_crash_does_not_wait),
        world_test(a_restart_forgets_the_restarts_before),
        world_test(a_restart_by_hand_that_does_not_start_is_reported),
        world_test(a_restart_while_it_stops_or_is_stopped_does_nothing),
        world_test(a_restart_while_it_starts_overtakes_nobody),
        world_test(stop_while_one_is_restarted_starts_nothing),
        world_test(a_slow_restart_by_hand_holds_up_nobody_elses),
        world_test(a_failed_child_restarted_while_it_starts_is_waited_for),
        world_test(a_child_that_comes_up_as_it_is_removed_is_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
