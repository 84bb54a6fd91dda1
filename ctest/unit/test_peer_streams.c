#include "loop.h"

#include <stdio.h>

#include "rpc/peer.h"

/*
 * A peer that calls, with a stream for an answer. The other side is a socket: what it says is
 * written by hand.
 */
struct side {
    struct peer peer;
    int fd;
    int lost, credits;
    uint32_t credit_id, credit;
    char why[128];
};

struct caller {
    struct call call;
    struct call moved;
    int begun, items, done;
    int code;
    char item[64];          /* the last, in hexadecimal */
    struct failure failure; /* when there was one */
    bool forget;            /* at the next item */
};

static const struct failure closed = {TITAN_E_DESTROYED, "closed by the test"};

static void to_hex(struct span s, char *text, size_t room)
{
    size_t at = 0;

    for (size_t i = 0; i < s.len && at + 2 < room; i++) {
        at += (size_t)snprintf(text + at, room - at, "%02x", s.at[i]);
    }
    text[at] = '\0';
}

/* ---- what is heard ---- */

static void on_other(void *ctx, const struct message *m)
{
    (void)ctx;
    (void)m;
}

static void on_cancel(void *ctx, uint32_t id)
{
    (void)ctx;
    (void)id;
}

static void on_credit(void *ctx, uint32_t id, uint32_t bytes)
{
    struct side *s = ctx;

    s->credits++;
    s->credit_id = id;
    s->credit = bytes;
}

static void on_lost(void *ctx, int code, const char *why)
{
    struct side *s = ctx;

    (void)code;
    s->lost++;
    snprintf(s->why, sizeof s->why, "%s", why);
}

static void ended(struct caller *c, const struct reply *reply)
{
    c->done++;
    c->code = reply->code;
    if (reply->failure != NULL) {
        c->failure = *reply->failure;
    }
}

static void on_done(struct call *call, const struct reply *reply)
{
    ended(list_entry(call, struct caller, call), reply);
}

static void on_moved_done(struct call *call, const struct reply *reply)
{
    ended(list_entry(call, struct caller, moved), reply);
}

static void on_begin(struct call *call, struct span values)
{
    struct caller *c = list_entry(call, struct caller, call);

    assert_int_equal(values.len, 1);
    c->begun++;
    call_move(call, &c->moved);
}

static void on_item(struct call *call, struct span values)
{
    struct caller *c = list_entry(call, struct caller, moved);

    c->items++;
    to_hex(values, c->item, sizeof c->item);
    if (c->forget) {
        call_forget(call);
    }
}

/* ---- the two sides ---- */

static void open_side(struct fixture *f, struct side *s)
{
    static const struct peer_events events = {on_other, on_other, on_cancel, on_credit, on_lost};
    int fds[2];

    socket_pair(SOCK_STREAM, fds);
    memset(s, 0, sizeof *s);
    s->fd = fds[1];
    assert_int_equal(peer_open(&s->peer, &f->reactor, fds[0], &WIRE_LIMITS_DEFAULT, &events, s),
                     TITAN_OK);
}

static void close_side(struct side *s)
{
    peer_close(&s->peer, &closed);
    close(s->fd);
}

static void start_call(struct caller *c, struct side *s, uint32_t timeout_ms)
{
    struct draft d;

    memset(c, 0, sizeof *c);
    c->call.done = on_done;
    c->call.item = on_begin;
    c->moved.done = on_moved_done;
    c->moved.item = on_item;
    assert_int_equal(request_begin(&s->peer, &d, 7, (struct span){NULL, 0}, false, NULL), TITAN_OK);
    assert_true(buf_append(peer_out(&s->peer), "\x90", 1));
    assert_int_equal(request_end(&s->peer, &d, &c->call, timeout_ms, NULL), TITAN_OK);
}

static void say(struct side *s, const void *body, size_t len)
{
    const uint8_t head[FRAME_HEAD] = {(uint8_t)len};

    assert_int_equal(send(s->fd, head, sizeof head, MSG_NOSIGNAL), sizeof head);
    assert_int_equal(send(s->fd, body, len, MSG_NOSIGNAL), len);
}

#define say_text(s, text) say(s, text, sizeof(text) - 1)

#define BEGIN "\x93\x04\x00\x90"
#define ITEM "\x93\x04\x00\x91\x07"
#define END "\x94\x01\x00\xc0\x90"

static void start_stream(struct fixture *f, struct side *s, struct caller *c, uint32_t timeout_ms)
{
    open_side(f, s);
    start_call(c, s, timeout_ms);
    say_text(s, BEGIN);
    run_until(f, c->begun);
}

/* What the peer has written, in hexadecimal: the next frame's body. */
static void hear(struct fixture *f, struct side *s, char *text, size_t room)
{
    uint8_t bytes[64];
    ssize_t got;

    do {
        run_idle(f);
        got = recv(s->fd, bytes, FRAME_HEAD, 0);
    } while (got < 0);
    assert_int_equal(got, FRAME_HEAD);
    got = recv(s->fd, bytes, bytes[0], 0);
    to_hex((struct span){bytes, (size_t)got}, text, room);
}

static void blamed_for(struct fixture *f, const char *body, size_t len, const char *why)
{
    struct side s;
    struct caller c;

    open_side(f, &s);
    start_call(&c, &s, 0);
    say(&s, body, len);
    run_until(f, s.lost);
    assert_string_equal(s.why, why);
    close_side(&s);
    assert_int_equal(c.done, 1);
}

/* ---- streams ---- */

static void items_are_heard_in_order_until_the_answer(void **state)
{
    struct fixture *f = *state;
    struct side s;
    struct caller c;

    start_stream(f, &s, &c, 0);
    assert_null(c.call.peer);
    say_text(&s, ITEM);
    run_until(f, c.items == 1);
    assert_string_equal(c.item, "9107");
    say_text(&s, "\x93\x04\x00\x92\x08\xc0");
    run_until(f, c.items == 2);
    assert_string_equal(c.item, "9208c0");
    say_text(&s, END);
    run_until(f, c.done);
    assert_int_equal(c.code, TITAN_OK);
    assert_int_equal(s.peer.outstanding, 0);
    close_side(&s);
    assert_int_equal(c.done, 1);
}

static void a_stream_may_end_with_an_error(void **state)
{
    struct fixture *f = *state;
    struct side s;
    struct caller c;

    start_stream(f, &s, &c, 0);
    say_text(&s, ITEM);
    say_text(&s, "\x94\x01\x00\x81\x01\x02\xc0");
    run_until(f, c.done);
    assert_int_equal(c.items, 1);
    assert_int_equal(c.code, TITAN_E_REMOTE_ERROR);
    close_side(&s);
}

static void items_of_a_call_that_was_given_up_are_dropped_until_the_answer(void **state)
{
    struct fixture *f = *state;
    struct side s;
    struct caller c;
    struct caller next;

    start_stream(f, &s, &c, 0);
    c.forget = true;
    say_text(&s, ITEM);
    say_text(&s, ITEM);
    say_text(&s, BEGIN); /* nobody looks */
    run_until(f, c.items == 1);
    run_idle(f);
    assert_int_equal(s.lost, 0);
    assert_int_equal(s.peer.outstanding, 1);
    say_text(&s, END);
    run_until(f, s.peer.outstanding == 0);
    start_call(&next, &s, 0);
    assert_int_equal(next.call.id, 0);
    close_side(&s);
    assert_int_equal(c.items, 1);
    assert_int_equal(c.done, 0);
}

static void what_is_no_stream_is_blamed(void **state)
{
    struct fixture *f = *state;

    blamed_for(f, ITEM, 5, "an item of a stream that has not begun");
    blamed_for(f, "\x93\x04\x01\x90", 4, "an item of a call that was not made");
    blamed_for(f, "\x93\x04\x00", 3, "truncated value");
}

static void a_second_beginning_is_blamed(void **state)
{
    struct fixture *f = *state;
    struct side s;
    struct caller c;

    start_stream(f, &s, &c, 0);
    say_text(&s, BEGIN);
    run_until(f, s.lost);
    assert_string_equal(s.why, "an item without values");
    close_side(&s);
}

static void an_item_after_the_answer_is_blamed(void **state)
{
    struct fixture *f = *state;
    struct side s;
    struct caller c;

    start_stream(f, &s, &c, 0);
    say_text(&s, END);
    say_text(&s, ITEM);
    run_until(f, s.lost);
    assert_string_equal(s.why, "an item of a call that was not made");
    assert_int_equal(c.items, 0);
    close_side(&s);
}

static void a_call_that_takes_no_stream_is_not_answered_by_one(void **state)
{
    struct fixture *f = *state;
    struct side s;
    struct caller c;

    open_side(f, &s);
    start_call(&c, &s, 0);
    c.call.item = NULL;
    say_text(&s, BEGIN);
    run_until(f, s.lost);
    assert_string_equal(s.why, "an item of a call that takes no stream");
    close_side(&s);
}

/* ---- credit ---- */

static void credit_is_given_and_not_more_than_was_used(void **state)
{
    struct fixture *f = *state;
    struct side s;
    struct caller c;
    char text[64];

    start_stream(f, &s, &c, 0);
    hear(f, &s, text, sizeof text); /* the request */
    assert_int_equal(c.moved.credit, STREAM_WINDOW);
    assert_false(call_give_credit(&c.moved, 1));
    say_text(&s, ITEM);
    run_until(f, c.items);
    assert_int_equal(c.moved.credit, STREAM_WINDOW - 2);
    assert_false(call_give_credit(&c.moved, 3));
    assert_true(call_give_credit(&c.moved, 2));
    assert_int_equal(c.moved.credit, STREAM_WINDOW);
    hear(f, &s, text, sizeof text);
    assert_string_equal(text, "93050002");
    close_side(&s);
}

static void credit_is_heard(void **state)
{
    struct fixture *f = *state;
    struct side s;

    open_side(f, &s);
    say_text(&s, "\x93\x05\x09\xcd\x01\x00");
    run_until(f, s.credits);
    assert_int_equal(s.credit_id, 9);
    assert_int_equal(s.credit, 256);
    close_side(&s);
}

static void an_item_without_credit_is_blamed(void **state)
{
    enum { BIG = STREAM_WINDOW + 1 }; /* the last one may overshoot */
    struct fixture *f = *state;
    const struct peer_events events = {on_other, on_other, on_cancel, NULL, on_lost};
    struct side sender = {0};
    struct side s;
    struct caller c;
    uint8_t *values = calloc(1, BIG);
    int fd;

    start_stream(f, &s, &c, 0);
    fd = dup(s.fd);
    assert_int_equal(
        peer_open(&sender.peer, &f->reactor, fd, &WIRE_LIMITS_DEFAULT, &events, &sender), TITAN_OK);
    values[0] = 0x91;
    assert_int_equal(item_send(&sender.peer, 0, (struct span){values, BIG}, NULL), TITAN_OK);
    run_until(f, c.items == 1);
    assert_int_equal(c.moved.credit, -1);
    assert_int_equal(s.lost, 0);
    assert_int_equal(item_send(&sender.peer, 0, (struct span){values, 2}, NULL), TITAN_OK);
    run_until(f, s.lost);
    assert_string_equal(s.why, "an item for which there is no credit");
    assert_int_equal(c.items, 1);
    peer_close(&sender.peer, &closed);
    close_side(&s);
    free(values);
}

static void credit_where_nothing_streams_is_blamed(void **state)
{
    static const struct peer_events events = {on_other, on_other, on_cancel, NULL, on_lost};
    struct fixture *f = *state;
    struct side s = {0};
    int fds[2];

    socket_pair(SOCK_STREAM, fds);
    s.fd = fds[1];
    assert_int_equal(peer_open(&s.peer, &f->reactor, fds[0], &WIRE_LIMITS_DEFAULT, &events, &s),
                     TITAN_OK);
    say_text(&s, "\x93\x05\x00\x01");
    run_until(f, s.lost);
    assert_string_equal(s.why, "a credit where nothing streams");
    close_side(&s);
}

/* ---- time ---- */

static void a_stream_has_time_for_each_item_it_is_waited_for(void **state)
{
    struct fixture *f = *state;
    struct side s;
    struct caller c;

    start_stream(f, &s, &c, 5);
    assert_true(timer_left_ms(&f->reactor, &c.call.deadline) == UINT64_MAX);
    assert_true(timer_left_ms(&f->reactor, &c.moved.deadline) == UINT64_MAX);
    assert_true(call_await_item(&c.moved));
    assert_true(timer_left_ms(&f->reactor, &c.moved.deadline) != UINT64_MAX);
    say_text(&s, ITEM);
    run_until(f, c.items || c.done);
    assert_true(timer_left_ms(&f->reactor, &c.moved.deadline) == UINT64_MAX);
    if (!c.done) {
        assert_true(call_await_item(&c.moved));
        run_until(f, c.done);
    }
    assert_int_equal(c.code, TITAN_E_TIMEOUT);
    assert_string_equal(c.failure.message, "no item within 5 ms");
    close_side(&s);
}

static void a_stream_ends_when_the_conversation_does(void **state)
{
    struct fixture *f = *state;
    struct side s;
    struct caller c;

    start_stream(f, &s, &c, 1000);
    assert_true(call_await_item(&c.moved));
    close_side(&s);
    assert_int_equal(c.done, 1);
    assert_int_equal(c.code, TITAN_E_DESTROYED);
    assert_true(timer_left_ms(&f->reactor, &c.moved.deadline) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        loop_test(items_are_heard_in_order_until_the_answer),
        loop_test(a_stream_may_end_with_an_error),
        loop_test(items_of_a_call_that_was_given_up_are_dropped_until_the_answer),
        loop_test(what_is_no_stream_is_blamed),
        loop_test(a_second_beginning_is_blamed),
        loop_test(an_item_after_the_answer_is_blamed),
        loop_test(a_call_that_takes_no_stream_is_not_answered_by_one),
        loop_test(credit_is_given_and_not_more_than_was_used),
        loop_test(credit_is_heard),
        loop_test(an_item_without_credit_is_blamed),
        loop_test(credit_where_nothing_streams_is_blamed),
        loop_test(a_stream_has_time_for_each_item_it_is_waited_for),
        loop_test(a_stream_ends_when_the_conversation_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
