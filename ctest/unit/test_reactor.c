#include "loop.h"

/* ---- timers ---- */

struct clock {
    struct timer timer;
    struct fixture *fixture;
    int fired;
    int order;  /* the how-manieth of all clocks it was */
    int *count; /* of all clocks */
    int again;  /* how often it still arms itself anew */
    struct clock *other;
};

static void strike(struct timer *t)
{
    struct clock *c = list_entry(t, struct clock, timer);

    c->fired++;
    c->order = ++*c->count;
    if (c->again > 0) {
        c->again--;
        timer_arm(&c->fixture->reactor, t, 1, true);
    }
    if (c->other != NULL) {
        timer_disarm(&c->fixture->reactor, &c->other->timer);
    }
}

static struct clock clock_of(struct fixture *f, int *count)
{
    return (struct clock){.timer.fire = strike, .fixture = f, .count = count};
}

static void arm(struct clock *c, uint64_t ms)
{
    assert_true(timer_arm(&c->fixture->reactor, &c->timer, ms, true));
}

static void timers_fire_in_the_order_of_their_times(void **state)
{
    struct fixture *f = *state;
    int count = 0;
    struct clock late = clock_of(f, &count);
    struct clock early = clock_of(f, &count);
    struct clock middle = clock_of(f, &count);

    arm(&late, 6);
    arm(&early, 2);
    arm(&middle, 4);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(early.order, 1);
    assert_int_equal(middle.order, 2);
    assert_int_equal(late.order, 3);
}

static void a_timer_fires_once_and_not_before_its_time(void **state)
{
    struct fixture *f = *state;
    int count = 0;
    struct clock c = clock_of(f, &count);
    uint64_t start = reactor_now_ms(&f->reactor);

    arm(&c, 5);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(c.fired, 1);
    assert_true(reactor_now_ms(&f->reactor) - start >= 5);
}

static void arming_again_moves_a_timer_to_an_earlier_or_a_later_time(void **state)
{
    struct fixture *f = *state;
    int count = 0;
    struct clock fixed = clock_of(f, &count);
    struct clock earlier = clock_of(f, &count);
    struct clock later = clock_of(f, &count);

    arm(&fixed, 4);
    arm(&earlier, 100000);
    arm(&earlier, 1);
    arm(&later, 1);
    arm(&later, 8);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(earlier.order, 1);
    assert_int_equal(fixed.order, 2);
    assert_int_equal(later.order, 3);
    assert_int_equal(count, 3);
}

static void a_disarmed_timer_does_not_fire_and_the_others_do(void **state)
{
    struct fixture *f = *state;
    int count = 0;
    struct clock off = clock_of(f, &count);
    struct clock on = clock_of(f, &count);

    arm(&off, 1);
    arm(&on, 3);
    timer_disarm(&f->reactor, &off.timer);
    timer_disarm(&f->reactor, &off.timer);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(off.fired, 0);
    assert_int_equal(on.fired, 1);
}

static void a_timer_can_be_disarmed_by_one_that_fires_in_the_same_turn(void **state)
{
    struct fixture *f = *state;
    int count = 0;
    struct clock first = clock_of(f, &count);
    struct clock second = clock_of(f, &count);

    first.other = &second;
    arm(&first, 1);
    arm(&second, 2);
    while (reactor_now_ms(&f->reactor) < first.timer.node.key + 2) {
        uv_update_time(&f->loop); /* both are due */
    }
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(first.fired, 1);
    assert_int_equal(second.fired, 0);
}

static void a_timer_can_arm_itself_again_when_it_fires(void **state)
{
    struct fixture *f = *state;
    int count = 0;
    struct clock c = clock_of(f, &count);

    c.again = 3;
    arm(&c, 1);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(c.fired, 4);
}

static void many_timers_fire_each_once(void **state)
{
    enum { CLOCKS = 2000 };
    struct fixture *f = *state;
    struct clock *clocks = calloc(CLOCKS, sizeof *clocks);
    uint32_t random = 5;
    int count = 0;

    for (int i = 0; i < CLOCKS; i++) {
        clocks[i] = clock_of(f, &count);
        arm(&clocks[i], next_random(&random) % 20);
    }
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(count, CLOCKS);
    for (int i = 0; i < CLOCKS; i++) {
        assert_int_equal(clocks[i].fired, 1);
    }
    free(clocks);
}

static void only_a_timer_that_holds_keeps_the_loop_alive(void **state)
{
    struct fixture *f = *state;
    int count = 0;
    struct clock holds = clock_of(f, &count);
    struct clock does_not = clock_of(f, &count);

    assert_true(timer_arm(&f->reactor, &does_not.timer, 3600000, false));
    arm(&holds, 2);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(holds.fired, 1);
    assert_int_equal(does_not.fired, 0);
    timer_disarm(&f->reactor, &does_not.timer);
}

static void a_timer_that_does_not_hold_fires_while_others_keep_the_loop_alive(void **state)
{
    struct fixture *f = *state;
    int count = 0;
    struct clock holds = clock_of(f, &count);
    struct clock does_not = clock_of(f, &count);

    assert_true(timer_arm(&f->reactor, &does_not.timer, 1, false));
    arm(&holds, 4);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(does_not.order, 1);
}

static void a_timer_lets_the_loop_go_when_disarmed_or_armed_without_holding(void **state)
{
    struct fixture *f = *state;
    int count = 0;
    struct clock disarmed = clock_of(f, &count);
    struct clock rearmed = clock_of(f, &count);

    arm(&disarmed, 3600000);
    arm(&rearmed, 3600000);
    timer_disarm(&f->reactor, &disarmed.timer);
    assert_true(timer_arm(&f->reactor, &rearmed.timer, 3600000, false));
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(count, 0);
    timer_disarm(&f->reactor, &rearmed.timer);
}

static void the_time_left_is_known_and_without_end_when_off(void **state)
{
    struct fixture *f = *state;
    int count = 0;
    struct clock c = clock_of(f, &count);

    assert_true(timer_left_ms(&f->reactor, &c.timer) == UINT64_MAX);
    arm(&c, 1000);
    assert_int_equal(timer_left_ms(&f->reactor, &c.timer), 1000);
    timer_disarm(&f->reactor, &c.timer);
    assert_true(timer_left_ms(&f->reactor, &c.timer) == UINT64_MAX);
}

static void a_time_beyond_all_ends_does_not_come_around(void **state)
{
    struct fixture *f = *state;
    int count = 0;
    struct clock never = clock_of(f, &count);
    struct clock soon = clock_of(f, &count);

    assert_true(timer_arm(&f->reactor, &never.timer, UINT64_MAX, false));
    arm(&soon, 1);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(soon.fired, 1);
    assert_int_equal(never.fired, 0);
    timer_disarm(&f->reactor, &never.timer);
}

/* ---- the end of a turn ---- */

struct pen {
    struct flusher flusher;
    struct fixture *fixture;
    int flushed;
    bool again; /* asks for the next flush in each */
    struct pen *ask;
    struct pen *cancel;
};

static void write_out(struct flusher *flusher)
{
    struct pen *p = list_entry(flusher, struct pen, flusher);

    p->flushed++;
    if (p->again) {
        reactor_flush_later(&p->fixture->reactor, flusher);
    }
    if (p->ask != NULL) {
        reactor_flush_later(&p->fixture->reactor, &p->ask->flusher);
    }
    if (p->cancel != NULL) {
        flusher_cancel(&p->cancel->flusher);
    }
}

static void pen_init(struct pen *p, struct fixture *f)
{
    memset(p, 0, sizeof *p);
    p->fixture = f;
    flusher_init(&p->flusher, write_out);
}

static void a_flush_comes_once_however_often_it_was_asked_for(void **state)
{
    struct fixture *f = *state;
    struct pen p;

    pen_init(&p, f);
    for (int i = 0; i < 3; i++) {
        reactor_flush_later(&f->reactor, &p.flusher);
    }
    assert_int_equal(p.flushed, 0);
    run_idle(f);
    assert_int_equal(p.flushed, 1);
}

static void a_flush_wakes_the_loop_and_lets_it_end(void **state)
{
    struct fixture *f = *state;
    struct pen p;

    pen_init(&p, f);
    reactor_flush_later(&f->reactor, &p.flusher);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(p.flushed, 1);
}

static void a_cancelled_flush_does_not_come(void **state)
{
    struct fixture *f = *state;
    struct pen p;

    pen_init(&p, f);
    reactor_flush_later(&f->reactor, &p.flusher);
    flusher_cancel(&p.flusher);
    flusher_cancel(&p.flusher);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(p.flushed, 0);
}

static void a_flush_can_be_cancelled_by_another_in_the_same_turn(void **state)
{
    struct fixture *f = *state;
    struct pen first;
    struct pen second;

    pen_init(&first, f);
    pen_init(&second, f);
    first.cancel = &second;
    reactor_flush_later(&f->reactor, &first.flusher);
    reactor_flush_later(&f->reactor, &second.flusher);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(first.flushed, 1);
    assert_int_equal(second.flushed, 0);
}

static void what_a_flush_asks_for_comes_in_the_same_turn(void **state)
{
    struct fixture *f = *state;
    struct pen first;
    struct pen second;

    pen_init(&first, f);
    pen_init(&second, f);
    first.ask = &second;
    reactor_flush_later(&f->reactor, &first.flusher);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(second.flushed, 1);
}

static void a_flush_that_asks_for_itself_again_keeps_the_loop_from_nothing(void **state)
{
    struct fixture *f = *state;
    struct pen p;
    int count = 0;
    struct clock c = clock_of(f, &count);

    pen_init(&p, f);
    p.again = true;
    reactor_flush_later(&f->reactor, &p.flusher);
    arm(&c, 2);
    run_until(f, c.fired && p.flushed > 10);
    flusher_cancel(&p.flusher);
}

/* ---- a clock under somebody's hand ---- */

static void a_held_clock_stands_still_and_nothing_later_fires(void **state)
{
    struct fixture *f = *state;
    int count = 0;
    struct clock c = clock_of(f, &count);
    uint64_t at;

    reactor_hold_clock(&f->reactor);
    at = reactor_now_ms(&f->reactor);
    arm(&c, 1);
    while (uv_now(&f->loop) < at + 3) {
        uv_run(&f->loop, UV_RUN_NOWAIT);
        uv_update_time(&f->loop);
    }
    run_idle(f);
    assert_int_equal(c.fired, 0);
    assert_int_equal(reactor_now_ms(&f->reactor), at);
    assert_int_equal(timer_left_ms(&f->reactor, &c.timer), 1);
    timer_disarm(&f->reactor, &c.timer);
}

static void a_moved_clock_fires_what_is_due_then_and_no_more(void **state)
{
    struct fixture *f = *state;
    int count = 0;
    struct clock near = clock_of(f, &count);
    struct clock far = clock_of(f, &count);
    uint64_t at;

    reactor_hold_clock(&f->reactor);
    at = reactor_now_ms(&f->reactor);
    arm(&far, 3600000);
    arm(&near, 1000);
    assert_int_equal(reactor_next_ms(&f->reactor), at + 1000);
    reactor_move_clock(&f->reactor, at + 999);
    run_idle(f);
    assert_int_equal(count, 0);
    reactor_move_clock(&f->reactor, at + 1000);
    run_until(f, count == 1);
    assert_int_equal(near.fired, 1);
    reactor_move_clock(&f->reactor, at);
    assert_int_equal(reactor_now_ms(&f->reactor), at + 1000);
    reactor_move_clock(&f->reactor, at + 3600000);
    run_until(f, count == 2);
    assert_int_equal(reactor_next_ms(&f->reactor), UINT64_MAX);
}

static void what_is_armed_for_now_fires_while_the_clock_is_held(void **state)
{
    struct fixture *f = *state;
    int count = 0;
    struct clock c = clock_of(f, &count);

    reactor_hold_clock(&f->reactor);
    c.again = 1; /* in 1 ms: not now */
    arm(&c, 0);
    run_until(f, c.fired == 1);
    assert_false(uv_loop_alive(&f->loop)); /* it holds the loop, but its time never comes */
    reactor_move_clock(&f->reactor, reactor_now_ms(&f->reactor) + 1);
    run_until(f, c.fired == 2);
}

static void a_released_clock_goes_on_from_where_it_stood(void **state)
{
    struct fixture *f = *state;
    int count = 0;
    struct clock c = clock_of(f, &count);
    uint64_t at;

    arm(&c, 3600000);
    reactor_hold_clock(&f->reactor);
    at = c.timer.node.key - 5;
    reactor_move_clock(&f->reactor, at);
    reactor_release_clock(&f->reactor);
    assert_int_equal(reactor_now_ms(&f->reactor), at);
    run_until(f, c.fired);
    assert_true(reactor_now_ms(&f->reactor) >= at + 5);
    assert_true(reactor_now_ms(&f->reactor) < at + 3600000);
    arm(&c, 1);
    run_until(f, c.fired == 2);
}

static void quiet_comes_when_nothing_is_left_to_do(void **state)
{
    struct fixture *f = *state;
    int count = 0;
    struct clock c = clock_of(f, &count);
    struct pen busy, last;

    pen_init(&busy, f);
    pen_init(&last, f);
    reactor_hold_clock(&f->reactor);
    busy.again = true;
    reactor_flush_later(&f->reactor, &busy.flusher);
    arm(&c, 0);
    reactor_when_quiet(&f->reactor, &last.flusher);
    run_until(f, c.fired && busy.flushed > 10);
    assert_int_equal(last.flushed, 0);
    busy.again = false;
    run_until(f, last.flushed);
    run_idle(f);
    assert_int_equal(last.flushed, 1);
    assert_false(uv_loop_alive(&f->loop));
}

/* ---- descriptors ---- */

struct door {
    struct watch *watch;
    int heard;
    int events;
    bool close;
    bool take;
};

static void knocked(void *ctx, int events)
{
    struct door *d = ctx;
    char byte;

    d->heard++;
    d->events = events;
    if (d->take) {
        assert_int_equal(read(watch_fd(d->watch), &byte, 1), 1);
    }
    if (d->close) {
        watch_close(&d->watch);
    }
}

static void open_door(struct fixture *f, struct door *d, int pair[2], int events)
{
    socket_pair(SOCK_STREAM, pair);
    d->watch = watch_open(&f->reactor, pair[0], events, knocked, d);
    assert_non_null(d->watch);
    assert_int_equal(watch_fd(d->watch), pair[0]);
}

static void a_watch_hears_what_it_waits_for(void **state)
{
    struct fixture *f = *state;
    struct door d = {.take = true};
    int pair[2];

    open_door(f, &d, pair, UV_READABLE);
    run_idle(f);
    assert_int_equal(d.heard, 0);
    assert_int_equal(write(pair[1], "x", 1), 1);
    run_until(f, d.heard);
    assert_int_equal(d.events, UV_READABLE);
    d.take = false;
    assert_int_equal(watch_events(d.watch, UV_WRITABLE), 0);
    run_until(f, d.events == UV_WRITABLE);
    watch_close(&d.watch);
    close(pair[1]);
}

static void a_paused_watch_hears_nothing_until_it_goes_on(void **state)
{
    struct fixture *f = *state;
    struct door d = {.take = true};
    int pair[2];

    open_door(f, &d, pair, UV_READABLE);
    assert_int_equal(write(pair[1], "x", 1), 1);
    assert_int_equal(watch_events(d.watch, 0), 0);
    run_idle(f);
    assert_int_equal(d.heard, 0);
    assert_int_equal(watch_events(d.watch, UV_READABLE), 0);
    run_until(f, d.heard);
    watch_close(&d.watch);
    close(pair[1]);
}

static void a_watch_can_be_closed_from_its_own_callback(void **state)
{
    struct fixture *f = *state;
    struct door d = {.close = true};
    int pair[2];

    open_door(f, &d, pair, UV_READABLE | UV_WRITABLE);
    assert_int_equal(write(pair[1], "x", 1), 1);
    run_until(f, d.heard);
    run_idle(f);
    assert_null(d.watch);
    assert_int_equal(d.heard, 1);
    close(pair[1]);
}

static void closing_a_watch_closes_its_descriptor_and_silences_it(void **state)
{
    struct fixture *f = *state;
    struct door d = {0};
    int pair[2];

    open_door(f, &d, pair, UV_READABLE);
    assert_int_equal(write(pair[1], "x", 1), 1);
    watch_close(&d.watch);
    assert_null(d.watch);
    assert_false(is_open(pair[0]));
    watch_close(&d.watch);
    run_idle(f);
    assert_int_equal(d.heard, 0);
    close(pair[1]);
}

static void a_watch_that_is_not_held_lets_the_loop_end(void **state)
{
    struct fixture *f = *state;
    struct door d = {0};
    int pair[2];

    open_door(f, &d, pair, UV_READABLE);
    assert_true(uv_loop_alive(&f->loop));
    watch_hold(d.watch, false);
    assert_false(uv_loop_alive(&f->loop));
    watch_hold(d.watch, true);
    assert_true(uv_loop_alive(&f->loop));
    watch_close(&d.watch);
    close(pair[1]);
}

static void a_hang_up_is_heard_as_something_to_read(void **state)
{
    struct fixture *f = *state;
    struct door d = {.close = true};
    int pair[2];

    open_door(f, &d, pair, UV_READABLE);
    assert_int_equal(write(pair[0], "unread", 6), 6);
    close(pair[1]);
    run_until(f, d.heard);
    assert_true(d.events & UV_READABLE);
}

static void a_descriptor_that_cannot_be_watched_stays_the_callers(void **state)
{
    struct fixture *f = *state;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_null(watch_open(&f->reactor, fd, UV_READABLE, knocked, NULL));
    assert_true(is_open(fd));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        loop_test(timers_fire_in_the_order_of_their_times),
        loop_test(a_timer_fires_once_and_not_before_its_time),
        loop_test(arming_again_moves_a_timer_to_an_earlier_or_a_later_time),
        loop_test(a_disarmed_timer_does_not_fire_and_the_others_do),
        loop_test(a_timer_can_be_disarmed_by_one_that_fires_in_the_same_turn),
        loop_test(a_timer_can_arm_itself_again_when_it_fires),
        loop_test(many_timers_fire_each_once),
        loop_test(only_a_timer_that_holds_keeps_the_loop_alive),
        loop_test(a_timer_that_does_not_hold_fires_while_others_keep_the_loop_alive),
        loop_test(a_timer_lets_the_loop_go_when_disarmed_or_armed_without_holding),
        loop_test(the_time_left_is_known_and_without_end_when_off),
        loop_test(a_time_beyond_all_ends_does_not_come_around),
        loop_test(a_flush_comes_once_however_often_it_was_asked_for),
        loop_test(a_flush_wakes_the_loop_and_lets_it_end),
        loop_test(a_cancelled_flush_does_not_come),
        loop_test(a_flush_can_be_cancelled_by_another_in_the_same_turn),
        loop_test(what_a_flush_asks_for_comes_in_the_same_turn),
        loop_test(a_flush_that_asks_for_itself_again_keeps_the_loop_from_nothing),
        loop_test(a_held_clock_stands_still_and_nothing_later_fires),
        loop_test(a_moved_clock_fires_what_is_due_then_and_no_more),
        loop_test(what_is_armed_for_now_fires_while_the_clock_is_held),
        loop_test(a_released_clock_goes_on_from_where_it_stood),
        loop_test(quiet_comes_when_nothing_is_left_to_do),
        loop_test(a_watch_hears_what_it_waits_for),
        loop_test(a_paused_watch_hears_nothing_until_it_goes_on),
        loop_test(a_watch_can_be_closed_from_its_own_callback),
        loop_test(closing_a_watch_closes_its_descriptor_and_silences_it),
        loop_test(a_watch_that_is_not_held_lets_the_loop_end),
        loop_test(a_hang_up_is_heard_as_something_to_read),
        loop_test(a_descriptor_that_cannot_be_watched_stays_the_callers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
