#include "loop.h"

#include <stdio.h>

#include "rpc/peer.h"

/*
 * Most tests have two peers that talk to each other: `client` calls, `server` answers at once, or
 * holds requests until the test answers them. Some have bytes written by hand in place of the
 * server.
 */
struct side {
    struct peer peer;
    bool hold; /* keep requests instead of answering */
    uint32_t held[16];
    int requests, notifications, cancels;
    uint32_t cancelled; /* the last id */
    uint32_t method_id; /* of the last request or notification */
    char method[32];
    char payload[32]; /* its bytes, in hexadecimal */
    char header[32];
    int lost;
    int code;
    char why[128];
    bool close_on_request, close_on_notification, close_on_cancel, close_on_lost;
};

struct pair {
    struct side client, server;
};

static const struct failure closed = {TITAN_E_DESTROYED, "closed by the test"};

static void to_hex(struct span s, char *text, size_t room)
{
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;

    for (size_t i = 0; i < s.len && at + 2 < room; i++) {
        text[at++] = digits[s.at[i] >> 4];
        text[at++] = digits[s.at[i] & 15];
    }
    text[at] = '\0';
}

static void close_side(struct side *s)
{
    peer_close(&s->peer, &closed);
}

/* ---- answering ---- */

static void answer(struct side *s, uint32_t id, const char *results)
{
    struct draft d;

    assert_int_equal(answer_begin(&s->peer, &d, id, false), TITAN_OK);
    assert_true(buf_append(peer_out(&s->peer), results, strlen(results)));
    assert_int_equal(answer_end(&s->peer, &d, false), TITAN_OK);
}

static void on_request(void *ctx, const struct message *m)
{
    struct side *s = ctx;

    s->method_id = m->method_id;
    if (m->method.at != NULL) {
        memcpy(s->method, m->method.at, m->method.len);
    }
    to_hex(m->payload, s->payload, sizeof s->payload);
    to_hex(m->header, s->header, sizeof s->header);
    if (s->hold) {
        s->held[s->requests % count_of(s->held)] = m->id;
    } else {
        answer(s, m->id, "\x91\x2a");
    }
    s->requests++;
    if (s->close_on_request) {
        close_side(s);
    }
}

static void on_notification(void *ctx, const struct message *m)
{
    struct side *s = ctx;

    s->notifications++;
    memcpy(s->method, m->method.at, m->method.len);
    to_hex(m->payload, s->payload, sizeof s->payload);
    if (s->close_on_notification) {
        close_side(s);
    }
}

static void on_cancel(void *ctx, uint32_t id)
{
    struct side *s = ctx;

    s->cancels++;
    s->cancelled = id;
    if (s->close_on_cancel) {
        close_side(s);
    }
}

static void on_credit(void *ctx, uint32_t id, uint32_t bytes)
{
    (void)ctx;
    (void)id;
    (void)bytes;
}

static void on_lost(void *ctx, int code, const char *why)
{
    struct side *s = ctx;

    s->lost++;
    s->code = code;
    snprintf(s->why, sizeof s->why, "%s", why);
    if (s->close_on_lost) {
        close_side(s);
    }
}

static const struct peer_events events = {on_request, on_notification, on_cancel, on_credit,
                                          on_lost};

/* ---- calling ---- */

struct caller {
    struct call call;
    struct side *side;
    int done;
    int code;
    char results[64]; /* in hexadecimal */
    char error[256];
    struct failure failure; /* when there was one */
    bool close_when_done;
    bool blame_when_done;
    struct caller *next; /* is called when this is done */
};

static void begin_call(struct caller *c, uint32_t timeout_ms);

static void on_done(struct call *call, const struct reply *reply)
{
    struct caller *c = list_entry(call, struct caller, call);

    c->done++;
    c->code = reply->code;
    to_hex(reply->results, c->results, sizeof c->results);
    to_hex(reply->error, c->error, sizeof c->error);
    if (reply->failure != NULL) {
        c->failure = *reply->failure;
    }
    if (c->blame_when_done) {
        peer_blame(reply->peer, "results that are malformed");
    }
    if (c->close_when_done) {
        close_side(c->side);
    }
    if (c->next != NULL) {
        begin_call(c->next, 0);
    }
}

static void prepare(struct caller *c, struct side *side)
{
    memset(c, 0, sizeof *c);
    c->side = side;
    c->call.done = on_done;
}

static int try_call(struct caller *c, uint32_t timeout_ms, struct failure *why)
{
    struct peer *p = &c->side->peer;
    struct draft d;
    int code = request_begin(p, &d, 7, (struct span){NULL, 0}, false, why);

    if (code == TITAN_OK) {
        assert_true(buf_append(peer_out(p), "\x91\x01", 2));
        code = request_end(p, &d, &c->call, timeout_ms, why);
    }
    return code;
}

static void begin_call(struct caller *c, uint32_t timeout_ms)
{
    struct failure why;

    assert_int_equal(try_call(c, timeout_ms, &why), TITAN_OK);
}

static void start_call(struct caller *c, struct side *side, uint32_t timeout_ms)
{
    prepare(c, side);
    begin_call(c, timeout_ms);
}

/* ---- opening ---- */

static void open_side(struct fixture *f, struct side *s, int fd, const struct wire_limits *limits)
{
    memset(s, 0, sizeof *s);
    assert_int_equal(peer_open(&s->peer, &f->reactor, fd, limits, &events, s), TITAN_OK);
}

static void open_pair(struct fixture *f, struct pair *p, const struct wire_limits *limits)
{
    int fds[2];

    socket_pair(SOCK_STREAM, fds);
    open_side(f, &p->client, fds[0], limits);
    open_side(f, &p->server, fds[1], limits);
}

static void close_pair(struct pair *p)
{
    close_side(&p->client);
    close_side(&p->server);
}

/* A client alone; the other end of its socket. */
static int open_client(struct fixture *f, struct side *s)
{
    int fds[2];

    socket_pair(SOCK_STREAM, fds);
    open_side(f, s, fds[0], &WIRE_LIMITS_DEFAULT);
    return fds[1];
}

static void say(int fd, const void *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

/* ---- answers ---- */

static void a_call_ends_with_its_results(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller c;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    start_call(&c, &p.client, 0);
    run_until(f, c.done);
    assert_int_equal(c.code, TITAN_OK);
    assert_string_equal(c.results, "912a");
    assert_int_equal(p.server.method_id, 7);
    assert_string_equal(p.server.payload, "9101");
    assert_string_equal(p.server.header, "");
    assert_null(c.call.peer);
    close_pair(&p);
}

static void a_request_brings_its_method_name_and_header(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller c;
    struct draft d;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    prepare(&c, &p.client);
    assert_int_equal(request_begin(&p.client.peer, &d, 0, span_of("resize"), true, NULL), TITAN_OK);
    assert_true(buf_append(peer_out(&p.client.peer), "\x90\x81\x01\x02", 4));
    assert_int_equal(request_end(&p.client.peer, &d, &c.call, 0, NULL), TITAN_OK);
    run_until(f, c.done);
    assert_string_equal(p.server.method, "resize");
    assert_string_equal(p.server.payload, "90");
    assert_string_equal(p.server.header, "810102");
    close_pair(&p);
}

static void a_call_ends_with_the_error_that_was_answered(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller c;
    struct draft d;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    p.server.hold = true;
    start_call(&c, &p.client, 0);
    run_until(f, p.server.requests);
    assert_int_equal(answer_begin(&p.server.peer, &d, p.server.held[0], true), TITAN_OK);
    assert_true(buf_append(peer_out(&p.server.peer), "\x81\x01\x02", 3));
    assert_int_equal(answer_end(&p.server.peer, &d, true), TITAN_OK);
    run_until(f, c.done);
    assert_int_equal(c.code, TITAN_E_REMOTE_ERROR);
    assert_string_equal(c.error, "810102");
    close_pair(&p);
}

static void a_failure_is_answered_as_a_map_of_code_and_message(void **state)
{
    static const char map[] = "\x82\xa4"
                              "code\xa7timeout\xa7message\xa3why";
    struct fixture *f = *state;
    struct pair p;
    struct caller c;
    char expected[128];

    to_hex(span_of(map), expected, sizeof expected);
    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    p.server.hold = true;
    start_call(&c, &p.client, 0);
    run_until(f, p.server.requests);
    assert_int_equal(
        answer_failure(&p.server.peer, p.server.held[0], &(struct failure){TITAN_E_TIMEOUT, "why"}),
        TITAN_OK);
    run_until(f, c.done);
    assert_int_equal(c.code, TITAN_E_REMOTE_ERROR);
    assert_string_equal(c.error, expected);
    close_pair(&p);
}

static void answers_find_their_calls_in_any_order(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller first;
    struct caller second;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    p.server.hold = true;
    start_call(&first, &p.client, 0);
    start_call(&second, &p.client, 0);
    run_until(f, p.server.requests == 2);
    answer(&p.server, p.server.held[1], "\x91\x02");
    answer(&p.server, p.server.held[0], "\x91\x01");
    run_until(f, first.done);
    assert_string_equal(first.results, "9101");
    assert_string_equal(second.results, "9102");
    close_pair(&p);
}

static void ten_thousand_calls_under_way_are_all_answered_once(void **state)
{
    enum { CALLS = 10000 };
    struct fixture *f = *state;
    struct caller *callers = calloc(CALLS, sizeof *callers);
    struct pair p;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    for (int i = 0; i < CALLS; i++) {
        start_call(&callers[i], &p.client, 60000);
    }
    assert_int_equal(p.client.peer.outstanding, CALLS);
    run_until(f, p.client.peer.outstanding == 0);
    for (int i = 0; i < CALLS; i++) {
        assert_int_equal(callers[i].done, 1);
        assert_string_equal(callers[i].results, "912a");
    }
    assert_int_equal(p.server.requests, CALLS);
    close_pair(&p);
    free(callers);
}

static void both_sides_may_call_at_the_same_time(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller there;
    struct caller back;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    start_call(&there, &p.client, 0);
    start_call(&back, &p.server, 0);
    run_until(f, there.done && back.done);
    assert_int_equal(there.code, TITAN_OK);
    assert_int_equal(back.code, TITAN_OK);
    close_pair(&p);
}

static void a_call_may_be_begun_when_another_ends(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller first;
    struct caller second;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    prepare(&second, &p.client);
    prepare(&first, &p.client);
    first.next = &second;
    begin_call(&first, 0);
    run_until(f, second.done);
    assert_int_equal(second.code, TITAN_OK);
    close_pair(&p);
}

/* ---- deadlines and cancelling ---- */

static void a_call_without_an_answer_ends_at_its_deadline_and_is_cancelled_there(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller c;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    p.server.hold = true;
    start_call(&c, &p.client, 3);
    run_until(f, c.done);
    assert_int_equal(c.code, TITAN_E_TIMEOUT);
    assert_string_equal(c.failure.message, "no answer within 3 ms");
    run_until(f, p.server.cancels);
    assert_int_equal(p.server.cancelled, p.server.held[0]);
    close_pair(&p);
}

static void an_answered_call_has_no_deadline_any_more(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller c;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    start_call(&c, &p.client, 60000);
    run_until(f, c.done);
    assert_true(timer_left_ms(&f->reactor, &c.call.deadline) == UINT64_MAX);
    close_pair(&p);
}

static void the_number_of_a_call_that_was_given_up_is_not_used_before_its_answer(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller late;
    struct caller next;
    struct caller after;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    p.server.hold = true;
    start_call(&late, &p.client, 1);
    run_until(f, late.done);
    start_call(&next, &p.client, 0);
    assert_int_not_equal(next.call.id, late.call.id);
    run_until(f, p.server.requests == 2);
    answer(&p.server, late.call.id, "\x91\x01");
    run_until(f, p.client.peer.outstanding == 1);
    assert_int_equal(late.done, 1);
    assert_int_equal(next.done, 0);
    assert_int_equal(p.client.lost, 0);
    start_call(&after, &p.client, 0);
    assert_int_equal(after.call.id, late.call.id);
    answer(&p.server, next.call.id, "\x91\x02");
    run_until(f, next.done);
    assert_string_equal(next.results, "9102");
    close_pair(&p);
}

static void the_answer_to_a_call_without_a_caller_is_nobodys_and_frees_its_number(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller next;
    struct failure why;
    struct draft d;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    p.server.hold = true;
    assert_int_equal(request_begin(&p.client.peer, &d, 7, (struct span){NULL, 0}, false, &why),
                     TITAN_OK);
    assert_true(buf_append(peer_out(&p.client.peer), "\x91\x01", 2));
    assert_int_equal(request_end(&p.client.peer, &d, NULL, 0, &why), TITAN_OK);
    run_until(f, p.server.requests == 1);
    assert_string_equal(p.server.payload, "9101");
    assert_int_equal(p.client.peer.outstanding, 1);
    answer(&p.server, p.server.held[0], "\x91\x02");
    run_until(f, p.client.peer.outstanding == 0);
    assert_int_equal(p.client.lost, 0);
    start_call(&next, &p.client, 0);
    assert_int_equal(next.call.id, d.id);
    run_until(f, p.server.requests == 2);
    answer(&p.server, next.call.id, "\x91\x03");
    run_until(f, next.done);
    assert_string_equal(next.results, "9103");
    close_pair(&p);
}

static void a_cancelled_call_ends_with_the_failure_and_the_other_side_hears(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller c;
    struct failure why = {TITAN_E_CANCELLED, "no longer wanted"};

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    p.server.hold = true;
    start_call(&c, &p.client, 1000);
    run_until(f, p.server.requests);
    call_cancel(&c.call, &why);
    assert_int_equal(c.done, 1);
    assert_int_equal(c.code, TITAN_E_CANCELLED);
    assert_string_equal(c.failure.message, "no longer wanted");
    run_until(f, p.server.cancels);
    assert_int_equal(p.server.cancelled, p.server.held[0]);
    call_cancel(&c.call, &why);
    assert_int_equal(c.done, 1);
    close_pair(&p);
}

static void a_forgotten_call_is_cancelled_there_and_never_done(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller c;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    p.server.hold = true;
    start_call(&c, &p.client, 1000);
    call_forget(&c.call);
    call_forget(&c.call);
    run_until(f, p.server.cancels);
    answer(&p.server, p.server.held[0], "\x90");
    run_until(f, p.client.peer.outstanding == 0);
    close_pair(&p);
    assert_int_equal(c.done, 0);
}

static void a_withdrawn_call_is_cancelled_there_and_done_with_its_answer(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller c;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    p.server.hold = true;
    start_call(&c, &p.client, 0);
    call_withdraw(&c.call);
    run_until(f, p.server.cancels);
    assert_int_equal(p.server.cancelled, p.server.held[0]);
    assert_int_equal(c.done, 0);
    answer(&p.server, p.server.held[0], "\x91\x05");
    run_until(f, c.done);
    assert_int_equal(c.code, TITAN_OK);
    assert_string_equal(c.results, "9105");
    call_withdraw(&c.call); /* it has ended: nothing is said */
    assert_int_equal(buf_len(peer_out(&p.client.peer)), 0);
    close_pair(&p);
    assert_int_equal(c.done, 1);
}

/* ---- limits ---- */

static void more_calls_than_the_limit_are_refused_until_one_is_answered(void **state)
{
    const struct wire_limits limits = {.frame = 1000, .nesting = 8, .outstanding = 3};
    struct fixture *f = *state;
    struct pair p;
    struct caller callers[4];
    struct failure why;

    open_pair(f, &p, &limits);
    p.server.hold = true;
    for (int i = 0; i < 3; i++) {
        start_call(&callers[i], &p.client, 0);
    }
    prepare(&callers[3], &p.client);
    assert_int_equal(try_call(&callers[3], 0, &why), TITAN_E_OVERLOADED);
    assert_string_equal(why.message,
                        "3 calls have no answer yet, which is the limit (limits.outstanding)");
    assert_int_equal(callers[3].done, 0);
    call_forget(&callers[0].call); /* the other side may still work on it */
    assert_int_equal(try_call(&callers[3], 0, &why), TITAN_E_OVERLOADED);
    run_until(f, p.server.requests == 3);
    answer(&p.server, callers[0].call.id, "\x90");
    run_until(f, p.client.peer.outstanding == 2);
    assert_int_equal(try_call(&callers[3], 0, &why), TITAN_OK);
    close_pair(&p);
}

static void calls_are_refused_while_too_much_waits_to_be_sent(void **state)
{
    enum { LEN = 257 << 20 };
    struct fixture *f = *state;
    struct pair p;
    struct caller c;
    struct failure why;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    prepare(&c, &p.client);
    assert_non_null(buf_room(peer_out(&p.client.peer), LEN));
    buf_wrote(peer_out(&p.client.peer), LEN);
    assert_int_equal(try_call(&c, 0, &why), TITAN_E_OVERLOADED);
    assert_string_equal(why.message, "257 MB wait to be sent: the other side reads too slowly");
    buf_truncate(peer_out(&p.client.peer), 0);
    begin_call(&c, 0);
    run_until(f, c.done);
    close_pair(&p);
}

static void a_request_larger_than_a_frame_is_refused_and_taken_back(void **state)
{
    const struct wire_limits limits = {.frame = 20, .nesting = 8, .outstanding = 10};
    struct fixture *f = *state;
    struct pair p;
    struct caller before;
    struct caller large;
    struct failure why;
    struct draft d;
    size_t len;

    open_pair(f, &p, &limits);
    start_call(&before, &p.client, 0);
    prepare(&large, &p.client);
    len = buf_len(peer_out(&p.client.peer));
    assert_int_equal(request_begin(&p.client.peer, &d, 7, (struct span){NULL, 0}, false, &why),
                     TITAN_OK);
    assert_true(buf_append(peer_out(&p.client.peer), "\x91\xb0more than fits in", 18));
    assert_int_equal(request_end(&p.client.peer, &d, &large.call, 1000, &why),
                     TITAN_E_LIMIT_EXCEEDED);
    assert_string_equal(why.message,
                        "the message is larger than a frame may be (limits.frame = 20 bytes)");
    assert_int_equal(buf_len(peer_out(&p.client.peer)), len);
    assert_int_equal(p.client.peer.outstanding, 1);
    assert_null(large.call.peer);
    begin_call(&large, 0);
    run_until(f, before.done && large.done);
    assert_int_equal(large.code, TITAN_OK);
    close_pair(&p);
}

static void a_request_that_is_given_up_while_written_is_taken_back(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller c;
    struct draft d;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    assert_int_equal(request_begin(&p.client.peer, &d, 7, (struct span){NULL, 0}, false, NULL),
                     TITAN_OK);
    request_abort(&p.client.peer, &d);
    assert_int_equal(buf_len(peer_out(&p.client.peer)), 0);
    start_call(&c, &p.client, 0);
    run_until(f, c.done);
    assert_int_equal(p.server.requests, 1);
    close_pair(&p);
}

static void an_answer_larger_than_a_frame_is_refused_and_taken_back(void **state)
{
    const struct wire_limits limits = {.frame = 20, .nesting = 8, .outstanding = 10};
    struct fixture *f = *state;
    struct pair p;
    struct caller c;
    struct draft d;

    open_pair(f, &p, &limits);
    p.server.hold = true;
    start_call(&c, &p.client, 0);
    run_until(f, p.server.requests);
    for (int is_error = 0; is_error < 2; is_error++) {
        assert_int_equal(answer_begin(&p.server.peer, &d, p.server.held[0], is_error), TITAN_OK);
        assert_true(buf_append(peer_out(&p.server.peer), "\x91\xb0more than fits in", 18));
        assert_int_equal(answer_end(&p.server.peer, &d, is_error), TITAN_E_LIMIT_EXCEEDED);
        assert_int_equal(buf_len(peer_out(&p.server.peer)), 0);
    }
    answer(&p.server, p.server.held[0], "\x90");
    run_until(f, c.done);
    assert_string_equal(c.results, "90");
    close_pair(&p);
}

static void a_notification_larger_than_a_frame_is_refused_and_taken_back(void **state)
{
    const struct wire_limits limits = {.frame = 8, .nesting = 8, .outstanding = 10};
    struct fixture *f = *state;
    struct pair p;

    open_pair(f, &p, &limits);
    assert_int_equal(peer_notify(&p.client.peer, "n", span_of("\xa7too long")),
                     TITAN_E_LIMIT_EXCEEDED);
    assert_int_equal(buf_len(peer_out(&p.client.peer)), 0);
    assert_int_equal(peer_notify(&p.client.peer, "n", span_of("\x07")), TITAN_OK);
    run_until(f, p.server.notifications);
    assert_string_equal(p.server.method, "n");
    assert_string_equal(p.server.payload, "07");
    close_pair(&p);
}

/* ---- the end ---- */

static void what_is_not_the_protocol_ends_the_conversation_once(void **state)
{
    struct fixture *f = *state;
    struct side client;
    struct caller c;
    struct failure why;
    int fd = open_client(f, &client);

    start_call(&c, &client, 0);
    say(fd, "\x01\0\0\0\xc0\x01\0\0\0\xc0", 10);
    run_until(f, client.lost);
    say(fd, "\x03\0\0\0\x92\x03\x01", 7);
    run_idle(f);
    close(fd);
    run_idle(f);
    assert_int_equal(client.lost, 1);
    assert_int_equal(client.code, TITAN_E_PROTOCOL_ERROR);
    assert_string_equal(client.why, "something other than an array");
    assert_int_equal(client.cancels, 0);
    assert_int_equal(c.done, 0); /* the owner says what has become of it */
    assert_int_equal(try_call(&c, 0, &why), TITAN_E_WORKER_LOST);
    close_side(&client);
    assert_int_equal(c.done, 1);
}

static void frames_before_the_garbage_count(void **state)
{
    struct fixture *f = *state;
    struct side client;
    int fd = open_client(f, &client);

    say(fd, "\x03\0\0\0\x92\x03\x05\0\0\0\0\x03\0\0\0\x92\x03\x06", 18);
    run_until(f, client.lost);
    assert_int_equal(client.cancels, 1);
    assert_int_equal(client.cancelled, 5);
    assert_string_equal(client.why, "an empty frame");
    close_side(&client);
    close(fd);
}

static void a_frame_that_claims_more_than_the_limit_ends_the_conversation(void **state)
{
    struct fixture *f = *state;
    struct side client;
    int fd = open_client(f, &client);

    say(fd, "\x01\0\0\x04", 4);
    run_until(f, client.lost);
    assert_int_equal(client.code, TITAN_E_PROTOCOL_ERROR);
    assert_string_equal(client.why,
                        "a frame of 67108865 bytes, the limit is 67108864 (limits.frame)");
    close_side(&client);
    close(fd);
}

static void an_answer_to_a_call_that_was_not_made_ends_the_conversation(void **state)
{
    static const char *const answers[] = {"\x05\0\0\0\x94\x01\x05\xc0\x90",  /* within the table */
                                          "\x05\0\0\0\x94\x01\x7f\xc0\x90"}; /* beyond it */
    struct fixture *f = *state;

    for (size_t i = 0; i < count_of(answers); i++) {
        struct side client;
        struct caller c;
        int fd = open_client(f, &client);

        start_call(&c, &client, 0);
        say(fd, answers[i], 9);
        run_until(f, client.lost);
        assert_int_equal(client.code, TITAN_E_PROTOCOL_ERROR);
        assert_string_equal(client.why, "an answer to a call that was not made");
        close_side(&client);
        close(fd);
    }
}

static void a_second_answer_to_a_call_ends_the_conversation(void **state)
{
    struct fixture *f = *state;
    struct side client;
    struct caller c;
    int fd = open_client(f, &client);

    start_call(&c, &client, 0);
    say(fd, "\x05\0\0\0\x94\x01\x00\xc0\x90\x05\0\0\0\x94\x01\x00\xc0\x90", 18);
    run_until(f, client.lost);
    assert_int_equal(c.done, 1);
    assert_string_equal(c.results, "90");
    assert_string_equal(client.why, "an answer to a call that was not made");
    close_side(&client);
    close(fd);
}

static void the_end_of_the_stream_is_orderly_between_frames(void **state)
{
    struct fixture *f = *state;
    struct pair p;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    close_side(&p.server);
    run_until(f, p.client.lost);
    assert_int_equal(p.client.code, TITAN_OK);
    assert_string_equal(p.client.why, "the other side closed the connection");
    close_pair(&p);
}

static void the_end_of_the_stream_in_a_frame_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct side client;
    int fd = open_client(f, &client);

    say(fd, "\x03\0\0\0\x92", 5);
    close(fd);
    run_until(f, client.lost);
    assert_int_equal(client.code, TITAN_E_WORKER_LOST);
    assert_string_equal(client.why, "the stream ended in the middle of a frame");
    close_side(&client);
}

static void a_reset_is_a_lost_connection(void **state)
{
    struct fixture *f = *state;
    struct side client;
    struct caller c;
    int fd = open_client(f, &client);

    start_call(&c, &client, 0);
    run_idle(f);
    close(fd); /* with the request unread */
    run_until(f, client.lost);
    assert_int_equal(client.code, TITAN_E_WORKER_LOST);
    close_side(&client);
    assert_int_equal(c.done, 1);
}

static void failing_calls_ends_each_once_and_the_conversation_goes_on(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller callers[3];
    struct caller after;
    struct failure why = {TITAN_E_WORKER_LOST, "gone"};

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    p.server.hold = true;
    for (int i = 0; i < 3; i++) {
        start_call(&callers[i], &p.client, 60000);
    }
    run_until(f, p.server.requests == 3);
    peer_fail_calls(&p.client.peer, &why);
    peer_fail_calls(&p.client.peer, &why);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(callers[i].done, 1);
        assert_int_equal(callers[i].code, TITAN_E_WORKER_LOST);
        assert_string_equal(callers[i].failure.message, "gone");
        assert_true(timer_left_ms(&f->reactor, &callers[i].call.deadline) == UINT64_MAX);
        answer(&p.server, p.server.held[i], "\x90");
    }
    p.server.hold = false;
    start_call(&after, &p.client, 0);
    run_until(f, after.done);
    assert_int_equal(after.code, TITAN_OK);
    assert_int_equal(callers[0].done, 1);
    close_pair(&p);
}

static void closing_ends_the_calls_under_way_and_refuses_new_ones(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller callers[20];
    struct failure why;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    for (int i = 0; i < 20; i++) {
        start_call(&callers[i], &p.client, 1000);
    }
    close_side(&p.client);
    close_side(&p.client);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(callers[i].done, 1);
        assert_int_equal(callers[i].code, TITAN_E_DESTROYED);
    }
    assert_int_equal(try_call(&callers[0], 0, &why), TITAN_E_WORKER_LOST);
    assert_int_equal(peer_notify(&p.client.peer, "n", span_of("\xc0")), TITAN_E_WORKER_LOST);
    assert_int_equal(answer_failure(&p.client.peer, 1, &why), TITAN_E_WORKER_LOST);
    close_pair(&p);
}

static void the_side_that_is_left_hears_the_end_once_and_its_calls_are_failed_once(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller c;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    p.server.hold = true;
    p.client.close_on_lost = true;
    start_call(&c, &p.client, 1000);
    run_until(f, p.server.requests);
    close_side(&p.server);
    run_until(f, p.client.lost);
    run_idle(f);
    assert_int_equal(p.client.lost, 1);
    assert_int_equal(c.done, 1);
    assert_int_equal(c.code, TITAN_E_DESTROYED);
    close_pair(&p);
}

/* ---- closing in a callback ---- */

static void a_peer_may_be_closed_when_a_call_is_done(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller first;
    struct caller second;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    start_call(&first, &p.client, 0);
    start_call(&second, &p.client, 0);
    first.close_when_done = true;
    run_until(f, first.done);
    assert_int_equal(first.code, TITAN_OK);
    assert_int_equal(second.done, 1);
    assert_int_equal(second.code, TITAN_E_DESTROYED);
    run_idle(f);
    assert_int_equal(p.client.lost, 0);
    close_pair(&p);
}

static void a_peer_may_be_closed_when_a_call_is_failed(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller callers[3];
    struct failure why = {TITAN_E_WORKER_LOST, "gone"};

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    for (int i = 0; i < 3; i++) {
        start_call(&callers[i], &p.client, 0);
        callers[i].close_when_done = true;
    }
    peer_fail_calls(&p.client.peer, &why);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(callers[i].done, 1);
    }
    close_pair(&p);
}

static void a_peer_may_be_closed_at_a_deadline(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller late;
    struct caller other;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    p.server.hold = true;
    start_call(&late, &p.client, 1);
    start_call(&other, &p.client, 1);
    late.close_when_done = true;
    run_until(f, late.done);
    assert_int_equal(late.code, TITAN_E_TIMEOUT);
    assert_int_equal(other.code, TITAN_E_DESTROYED);
    run_idle(f);
    assert_int_equal(other.done, 1);
    close_pair(&p);
}

static void a_peer_may_be_closed_when_a_request_comes(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller first;
    struct caller second;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    p.server.hold = true;
    p.server.close_on_request = true;
    start_call(&first, &p.client, 0);
    start_call(&second, &p.client, 0);
    run_until(f, p.client.lost);
    assert_int_equal(p.server.requests, 1);
    assert_int_equal(p.server.lost, 0);
    close_pair(&p);
}

static void a_peer_may_be_closed_when_a_notification_comes(void **state)
{
    struct fixture *f = *state;
    struct pair p;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    p.server.close_on_notification = true;
    assert_int_equal(peer_notify(&p.client.peer, "n", span_of("\xc0")), TITAN_OK);
    assert_int_equal(peer_notify(&p.client.peer, "n", span_of("\xc0")), TITAN_OK);
    run_until(f, p.client.lost);
    assert_int_equal(p.server.notifications, 1);
    close_pair(&p);
}

static void a_peer_may_be_closed_when_a_cancel_comes(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller callers[2];

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    p.server.hold = true;
    p.server.close_on_cancel = true;
    for (int i = 0; i < 2; i++) {
        start_call(&callers[i], &p.client, 0);
        call_forget(&callers[i].call);
    }
    run_until(f, p.client.lost);
    assert_int_equal(p.server.cancels, 1);
    close_pair(&p);
}

static void a_peer_may_be_closed_when_garbage_ends_it(void **state)
{
    struct fixture *f = *state;
    struct side client;
    struct caller c;
    int fd = open_client(f, &client);

    client.close_on_lost = true;
    start_call(&c, &client, 0);
    say(fd, "\x01\0\0\0\xc0", 5);
    run_until(f, client.lost);
    assert_int_equal(c.done, 1);
    run_idle(f);
    assert_int_equal(client.lost, 1);
    close(fd);
}

static void results_that_turn_out_malformed_are_blamed_on_the_other_side(void **state)
{
    struct fixture *f = *state;
    struct pair p;
    struct caller c;
    struct caller next;

    open_pair(f, &p, &WIRE_LIMITS_DEFAULT);
    start_call(&c, &p.client, 0);
    c.blame_when_done = true;
    start_call(&next, &p.client, 0);
    run_until(f, c.done);
    assert_int_equal(p.client.lost, 1);
    assert_int_equal(p.client.code, TITAN_E_PROTOCOL_ERROR);
    assert_string_equal(p.client.why, "results that are malformed");
    assert_int_equal(next.done, 0); /* its answer came behind, and is not heard */
    close_pair(&p);
    assert_int_equal(next.done, 1);
}

/* ---- delivery ---- */

static void messages_arrive_byte_by_byte(void **state)
{
    static const char bytes[] = "\x05\0\0\0\x94\x01\x00\xc0\x90"      /* an answer */
                                "\x07\0\0\0\x94\x00\x09\xa1m\x91\x03" /* a request */
                                "\x05\0\0\0\x93\x02\xa1n\xc0"         /* a notification */
                                "\x03\0\0\0\x92\x03\x09";             /* a cancel */
    struct fixture *f = *state;
    struct side client;
    struct caller c;
    int fd = open_client(f, &client);

    start_call(&c, &client, 0);
    assert_int_equal(c.call.id, 0);
    for (size_t i = 0; i < sizeof bytes - 1; i++) {
        say(fd, bytes + i, 1);
        run_idle(f);
    }
    assert_int_equal(c.done, 1);
    assert_string_equal(c.results, "90");
    assert_int_equal(client.requests, 1);
    assert_int_equal(client.notifications, 1);
    assert_int_equal(client.cancels, 1);
    assert_int_equal(client.lost, 0);
    close_side(&client);
    close(fd);
}

static void a_descriptor_that_cannot_be_watched_stays_the_callers(void **state)
{
    struct fixture *f = *state;
    struct side s = {0};
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    assert_int_equal(peer_open(&s.peer, &f->reactor, fd, &WIRE_LIMITS_DEFAULT, &events, &s),
                     TITAN_E_LIMIT_EXCEEDED);
    assert_true(is_open(fd));
    close_side(&s);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        loop_test(a_call_ends_with_its_results),
        loop_test(a_request_brings_its_method_name_and_header),
        loop_test(a_call_ends_with_the_error_that_was_answered),
        loop_test(a_failure_is_answered_as_a_map_of_code_and_message),
        loop_test(answers_find_their_calls_in_any_order),
        loop_test(ten_thousand_calls_under_way_are_all_answered_once),
        loop_test(both_sides_may_call_at_the_same_time),
        loop_test(a_call_may_be_begun_when_another_ends),
        loop_test(a_call_without_an_answer_ends_at_its_deadline_and_is_cancelled_there),
        loop_test(an_answered_call_has_no_deadline_any_more),
        loop_test(the_number_of_a_call_that_was_given_up_is_not_used_before_its_answer),
        loop_test(the_answer_to_a_call_without_a_caller_is_nobodys_and_frees_its_number),
        loop_test(a_cancelled_call_ends_with_the_failure_and_the_other_side_hears),
        loop_test(a_forgotten_call_is_cancelled_there_and_never_done),
        loop_test(a_withdrawn_call_is_cancelled_there_and_done_with_its_answer),
        loop_test(more_calls_than_the_limit_are_refused_until_one_is_answered),
        loop_test(calls_are_refused_while_too_much_waits_to_be_sent),
        loop_test(a_request_larger_than_a_frame_is_refused_and_taken_back),
        loop_test(a_request_that_is_given_up_while_written_is_taken_back),
        loop_test(an_answer_larger_than_a_frame_is_refused_and_taken_back),
        loop_test(a_notification_larger_than_a_frame_is_refused_and_taken_back),
        loop_test(what_is_not_the_protocol_ends_the_conversation_once),
        loop_test(frames_before_the_garbage_count),
        loop_test(a_frame_that_claims_more_than_the_limit_ends_the_conversation),
        loop_test(an_answer_to_a_call_that_was_not_made_ends_the_conversation),
        loop_test(a_second_answer_to_a_call_ends_the_conversation),
        loop_test(the_end_of_the_stream_is_orderly_between_frames),
        loop_test(the_end_of_the_stream_in_a_frame_is_an_error),
        loop_test(a_reset_is_a_lost_connection),
        loop_test(failing_calls_ends_each_once_and_the_conversation_goes_on),
        loop_test(closing_ends_the_calls_under_way_and_refuses_new_ones),
        loop_test(the_side_that_is_left_hears_the_end_once_and_its_calls_are_failed_once),
        loop_test(a_peer_may_be_closed_when_a_call_is_done),
        loop_test(a_peer_may_be_closed_when_a_call_is_failed),
        loop_test(a_peer_may_be_closed_at_a_deadline),
        loop_test(a_peer_may_be_closed_when_a_request_comes),
        loop_test(a_peer_may_be_closed_when_a_notification_comes),
        loop_test(a_peer_may_be_closed_when_a_cancel_comes),
        loop_test(a_peer_may_be_closed_when_garbage_ends_it),
        loop_test(results_that_turn_out_malformed_are_blamed_on_the_other_side),
        loop_test(messages_arrive_byte_by_byte),
        loop_test(a_descriptor_that_cannot_be_watched_stays_the_callers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
