#include "loop.h"

#include <errno.h>
#include <pthread.h>

#include "transport/channel.h"

/* The owner of a channel, and what it heard. */
struct owner {
    struct channel *channel;
    struct buf got;
    size_t frame; /* takes whole frames of this length alone; 0: takes everything */
    int heard;
    int lost;
    int error;
    bool close_when_heard;
    bool close_when_lost;
    int refill_fd; /* written to in each `bytes`, `refills` times */
    int refills;
};

static void refill(struct owner *o)
{
    static const uint8_t bytes[SCRATCH_LEN];

    if (o->refills > 0 && send(o->refill_fd, bytes, sizeof bytes, MSG_NOSIGNAL) > 0) {
        o->refills--;
    }
}

static size_t on_bytes(void *ctx, const uint8_t *bytes, size_t len)
{
    struct owner *o = ctx;
    size_t taken = o->frame ? len - len % o->frame : len;

    o->heard++;
    assert_int_equal(o->lost, 0);
    assert_true(buf_append(&o->got, bytes, taken));
    if (o->close_when_heard) {
        channel_close(&o->channel);
    }
    refill(o);
    return taken;
}

static void on_lost(void *ctx, int error)
{
    struct owner *o = ctx;

    o->lost++;
    o->error = error;
    if (o->close_when_lost) {
        channel_close(&o->channel);
    }
}

static const struct channel_events events = {on_bytes, on_lost};

/* The channel is on one end of a socket pair, the returned descriptor is the other. */
static int open_channel(struct fixture *f, struct owner *o, int type)
{
    int pair[2];

    socket_pair(type, pair);
    o->channel = channel_unix(&f->reactor, pair[0], &events, o);
    assert_non_null(o->channel);
    return pair[1];
}

static void close_both(struct owner *o, int fd)
{
    channel_close(&o->channel);
    buf_free(&o->got);
    close(fd);
}

static void put(struct owner *o, const char *text)
{
    assert_true(buf_append(&o->channel->out, text, strlen(text)));
    channel_written(o->channel);
}

/* Byte n of the pattern is n % 251. */
static void put_pattern(struct owner *o, size_t len)
{
    uint8_t *at = buf_room(&o->channel->out, len);

    for (size_t i = 0; i < len; i++) {
        at[i] = (uint8_t)(i % 251);
    }
    buf_wrote(&o->channel->out, len);
    channel_written(o->channel);
}

static void assert_pattern(const struct buf *b, size_t len)
{
    size_t right = 0;

    assert_int_equal(buf_len(b), len);
    while (right < len && buf_front(b)[right] == right % 251) {
        right++;
    }
    assert_int_equal(right, len);
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Takes what has arrived on the descriptor. */
static size_t take(int fd, struct buf *b)
{
    size_t before = buf_len(b);
    ssize_t got;

    do {
        uint8_t *at = buf_room(b, 65536);

        got = recv(fd, at, 65536, 0);
        buf_wrote(b, got > 0 ? (size_t)got : 0);
    } while (got > 0);
    return buf_len(b) - before;
}

static bool got_text(const struct owner *o, const char *text)
{
    return buf_len(&o->got) == strlen(text) && memcmp(buf_front(&o->got), text, strlen(text)) == 0;
}

/* Writes as much as the socket takes while nobody reads, and returns how much that was. */
static size_t fill_socket(int fd)
{
    static const char bytes[4096];
    size_t total = 0;
    ssize_t sent;

    while ((sent = send(fd, bytes, sizeof bytes, MSG_NOSIGNAL)) > 0) {
        total += (size_t)sent;
    }
    return total;
}

/* ---- sending ---- */

static void nothing_is_sent_before_the_end_of_the_turn(void **state)
{
    struct fixture *f = *state;
    struct owner o = {0};
    int fd = open_channel(f, &o, SOCK_STREAM);
    struct buf seen = {0};

    put(&o, "hello");
    assert_int_equal(take(fd, &seen), 0);
    run_idle(f);
    assert_int_equal(take(fd, &seen), 5);
    buf_free(&seen);
    close_both(&o, fd);
}

/* A packet socket keeps apart what was sent apart. */
static void what_one_turn_wrote_is_sent_at_once(void **state)
{
    struct fixture *f = *state;
    struct owner o = {0};
    int fd = open_channel(f, &o, SOCK_SEQPACKET);
    char text[100];

    put(&o, "one ");
    put(&o, "two ");
    put(&o, "three");
    run_idle(f);
    assert_int_equal(recv(fd, text, sizeof text, 0), 13);
    assert_memory_equal(text, "one two three", 13);
    close_both(&o, fd);
}

static void many_megabytes_go_out_in_parts(void **state)
{
    enum { LEN = 12 << 20 };
    struct fixture *f = *state;
    struct owner o = {0};
    int fd = open_channel(f, &o, SOCK_STREAM);
    struct buf seen = {0};

    put_pattern(&o, LEN);
    run_idle(f);
    assert_true(buf_len(&o.channel->out) > LEN / 2); /* the socket does not hold it all */
    while (buf_len(&seen) < LEN) {
        assert_true(take(fd, &seen) > 0);
        run_idle(f);
    }
    assert_int_equal(buf_len(&o.channel->out), 0);
    assert_pattern(&seen, LEN);
    buf_free(&seen);
    close_both(&o, fd);
}

static void two_channels_send_megabytes_to_each_other(void **state)
{
    enum { LEN = 8 << 20 };
    struct fixture *f = *state;
    struct owner a = {0};
    struct owner b = {0};
    int fd = open_channel(f, &a, SOCK_STREAM);

    b.channel = channel_unix(&f->reactor, fd, &events, &b);
    put_pattern(&a, LEN);
    put_pattern(&b, LEN);
    run_until(f, buf_len(&a.got) == LEN && buf_len(&b.got) == LEN);
    assert_pattern(&a.got, LEN);
    assert_pattern(&b.got, LEN);
    channel_close(&a.channel);
    channel_close(&b.channel);
    buf_free(&a.got);
    buf_free(&b.got);
}

static void closing_drops_what_was_not_sent(void **state)
{
    struct fixture *f = *state;
    struct owner o = {0};
    int fd = open_channel(f, &o, SOCK_STREAM);
    char byte;

    put(&o, "unsent");
    channel_close(&o.channel);
    assert_null(o.channel);
    channel_close(&o.channel);
    run_idle(f);
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
}

static void finishing_sends_everything_without_the_loop(void **state)
{
    struct fixture *f = *state;
    struct owner o = {0};
    int fd = open_channel(f, &o, SOCK_STREAM);
    struct buf seen = {0};

    put(&o, "last words");
    channel_finish(o.channel);
    assert_int_equal(take(fd, &seen), 10);
    buf_free(&seen);
    close_both(&o, fd);
}

static void *read_to_the_end(void *ctx)
{
    const int *fd = ctx;
    char bytes[4096];
    size_t len = 0;
    ssize_t got;

    while ((got = recv(*fd, bytes, sizeof bytes, 0)) > 0) {
        len += (size_t)got;
    }
    return (void *)(uintptr_t)len;
}

static void finishing_waits_for_a_reader_that_is_slow(void **state)
{
    enum { LEN = 8 << 20 };
    struct fixture *f = *state;
    struct owner o = {0};
    int fd = open_channel(f, &o, SOCK_STREAM);
    pthread_t reader;
    void *len;

    assert_int_equal(fcntl(fd, F_SETFL, 0), 0); /* the reader blocks */
    put_pattern(&o, LEN);
    assert_int_equal(pthread_create(&reader, NULL, read_to_the_end, &fd), 0);
    channel_finish(o.channel);
    assert_int_equal(buf_len(&o.channel->out), 0);
    channel_close(&o.channel);
    pthread_join(reader, &len);
    assert_int_equal((uintptr_t)len, LEN);
    close(fd);
}

static void finishing_gives_up_when_the_other_side_is_gone(void **state)
{
    struct fixture *f = *state;
    struct owner o = {0};
    int fd = open_channel(f, &o, SOCK_STREAM);

    put_pattern(&o, 1 << 20);
    close(fd);
    channel_finish(o.channel);
    assert_int_equal(buf_len(&o.channel->out), 0);
    channel_close(&o.channel);
}

/* ---- receiving ---- */

static void bytes_arrive_one_at_a_time_or_all_together(void **state)
{
    struct fixture *f = *state;
    struct owner o = {.frame = 4};
    int fd = open_channel(f, &o, SOCK_STREAM);

    for (const char *c = "abcdefg"; *c != '\0'; c++) {
        int heard = o.heard;

        assert_int_equal(send(fd, c, 1, 0), 1);
        run_until(f, o.heard > heard);
    }
    assert_true(got_text(&o, "abcd"));
    say(fd, "hijkl");
    run_until(f, buf_len(&o.got) == 12);
    assert_true(got_text(&o, "abcdefghijkl"));
    close_both(&o, fd);
}

static void what_is_not_taken_comes_again_with_more_behind_it(void **state)
{
    enum { LEN = 3 << 20 };
    struct fixture *f = *state;
    struct owner o = {.frame = LEN / 2};
    struct owner sender = {0};
    int fd = open_channel(f, &o, SOCK_STREAM);

    sender.channel = channel_unix(&f->reactor, fd, &events, &sender);
    put_pattern(&sender, LEN);
    run_until(f, buf_len(&o.got) == LEN);
    assert_pattern(&o.got, LEN);
    assert_int_equal(buf_len(&o.channel->in), 0);
    channel_close(&sender.channel);
    channel_close(&o.channel);
    buf_free(&o.got);
}

static void an_idle_channel_holds_no_memory_for_what_came(void **state)
{
    struct fixture *f = *state;
    struct owner o = {0};
    int fd = open_channel(f, &o, SOCK_STREAM);

    say(fd, "taken whole");
    run_until(f, o.heard);
    assert_null(o.channel->in.data);
    close_both(&o, fd);
}

static void nothing_is_read_while_too_much_waits_to_be_sent(void **state)
{
    struct fixture *f = *state;
    struct owner o = {0};
    int fd = open_channel(f, &o, SOCK_STREAM);
    struct buf seen = {0};

    o.channel->read_pause_len = 1000;
    put_pattern(&o, 4 << 20);
    run_idle(f);
    say(fd, "unheard");
    run_idle(f);
    assert_int_equal(o.heard, 0);
    while (buf_len(&seen) < 4 << 20) {
        take(fd, &seen);
        run_idle(f);
    }
    run_until(f, got_text(&o, "unheard"));
    buf_free(&seen);
    close_both(&o, fd);
}

static void without_a_pause_it_is_read_however_much_waits_to_be_sent(void **state)
{
    struct fixture *f = *state;
    struct owner o = {0};
    int fd = open_channel(f, &o, SOCK_STREAM);

    put_pattern(&o, 4 << 20);
    say(fd, "heard");
    run_until(f, got_text(&o, "heard"));
    assert_true(buf_len(&o.channel->out) > 0);
    close_both(&o, fd);
}

struct turn_taker {
    struct watch *watch;
    const struct owner *owner;
    int refills_left;
};

static void take_turn(void *ctx, int watched)
{
    struct turn_taker *t = ctx;

    (void)watched;
    t->refills_left = t->owner->refills;
    watch_close(&t->watch);
}

static void a_channel_that_is_never_empty_lets_others_have_their_turn(void **state)
{
    struct fixture *f = *state;
    struct owner o = {.refills = 100};
    int fd = open_channel(f, &o, SOCK_STREAM);
    int wide = 1 << 20;
    struct turn_taker t = {.owner = &o};
    int pair[2];

    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wide, sizeof wide);
    o.refill_fd = fd;
    refill(&o);
    socket_pair(SOCK_STREAM, pair);
    t.watch = watch_open(&f->reactor, pair[0], UV_WRITABLE, take_turn, &t);
    run_until(f, o.refills == 0);
    assert_true(t.refills_left > 80);
    close_both(&o, fd);
    close(pair[1]);
}

struct bell {
    struct timer timer;
    bool rang;
};

static void ring(struct timer *t)
{
    list_entry(t, struct bell, timer)->rang = true;
}

static void a_channel_with_nothing_to_do_lets_the_loop_sleep(void **state)
{
    struct fixture *f = *state;
    struct owner o = {0};
    int fd = open_channel(f, &o, SOCK_STREAM);
    struct bell bell = {.timer.fire = ring};
    int turns = 0;

    put(&o, "sent");
    say(fd, "heard");
    run_until(f, got_text(&o, "heard"));
    run_idle(f);
    assert_true(timer_arm(&f->reactor, &bell.timer, 10, true));
    while (!bell.rang) {
        uv_run(&f->loop, UV_RUN_ONCE);
        turns++;
    }
    assert_true(turns <= 5);
    close_both(&o, fd);
}

/* ---- closing in a callback ---- */

static void the_owner_may_close_when_bytes_come(void **state)
{
    struct fixture *f = *state;
    struct owner o = {.close_when_heard = true};
    int fd = open_channel(f, &o, SOCK_STREAM);

    say(fd, "the last");
    run_until(f, o.heard);
    run_idle(f);
    assert_null(o.channel);
    assert_int_equal(o.heard, 1);
    assert_int_equal(o.lost, 0);
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
    close_both(&o, fd);
}

static void the_owner_may_close_when_kept_bytes_come_again(void **state)
{
    struct fixture *f = *state;
    struct owner o = {.frame = 100};
    int fd = open_channel(f, &o, SOCK_STREAM);

    say(fd, "kept");
    run_until(f, o.heard);
    o.close_when_heard = true;
    say(fd, "and more");
    run_until(f, o.heard == 2);
    assert_null(o.channel);
    close_both(&o, fd);
}

static void the_owner_may_close_when_the_end_has_come(void **state)
{
    struct fixture *f = *state;
    struct owner o = {.close_when_lost = true};
    int fd = open_channel(f, &o, SOCK_STREAM);

    close(fd);
    run_until(f, o.lost);
    assert_null(o.channel);
}

static void the_owner_may_close_in_the_middle_of_draining(void **state)
{
    struct fixture *f = *state;
    struct owner o = {.close_when_heard = true};
    int fd = open_channel(f, &o, SOCK_STREAM);

    say(fd, "the last");
    channel_drain(o.channel);
    assert_null(o.channel);
    assert_int_equal(o.heard, 1);
    close_both(&o, fd);
}

/* ---- the end ---- */

static void the_end_of_the_stream_comes_once_and_after_the_bytes(void **state)
{
    struct fixture *f = *state;
    struct owner o = {0};
    int fd = open_channel(f, &o, SOCK_STREAM);

    say(fd, "goodbye");
    close(fd);
    run_until(f, o.lost);
    assert_true(got_text(&o, "goodbye"));
    assert_int_equal(o.error, 0);
    run_idle(f);
    assert_int_equal(o.lost, 1);
    channel_close(&o.channel);
    buf_free(&o.got);
}

/* It closes with something unread, which resets the connection. */
static void a_reset_comes_once_with_its_errno_and_after_the_bytes(void **state)
{
    struct fixture *f = *state;
    struct owner o = {0};
    int fd = open_channel(f, &o, SOCK_STREAM);

    put(&o, "unread");
    run_idle(f);
    say(fd, "goodbye");
    close(fd);
    run_until(f, o.lost);
    assert_true(got_text(&o, "goodbye"));
    assert_int_equal(o.error, ECONNRESET);
    run_idle(f);
    assert_int_equal(o.lost, 1);
    channel_close(&o.channel);
    buf_free(&o.got);
}

static void what_the_other_side_said_is_heard_though_it_takes_nothing_any_more(void **state)
{
    struct fixture *f = *state;
    struct owner o = {0};
    int fd = open_channel(f, &o, SOCK_STREAM);

    say(fd, "goodbye");
    close(fd);
    put(&o, "to nobody");
    run_until(f, o.lost);
    assert_true(got_text(&o, "goodbye"));
    assert_int_equal(buf_len(&o.channel->out), 0);
    channel_close(&o.channel);
    buf_free(&o.got);
}

static void what_waits_is_still_sent_to_a_side_that_only_stopped_writing(void **state)
{
    enum { LEN = 2 << 20 };
    struct fixture *f = *state;
    struct owner o = {0};
    int fd = open_channel(f, &o, SOCK_STREAM);
    struct buf seen = {0};

    put_pattern(&o, LEN);
    shutdown(fd, SHUT_WR);
    run_until(f, o.lost);
    while (buf_len(&seen) < LEN) {
        assert_true(take(fd, &seen) > 0);
        run_idle(f);
    }
    assert_pattern(&seen, LEN);
    assert_int_equal(o.lost, 1);
    buf_free(&seen);
    close_both(&o, fd);
}

static void the_end_comes_once_when_a_reset_follows_it(void **state)
{
    struct fixture *f = *state;
    struct owner o = {0};
    int fd = open_channel(f, &o, SOCK_STREAM);

    put_pattern(&o, 2 << 20);
    shutdown(fd, SHUT_WR);
    run_until(f, o.lost);
    close(fd);
    run_idle(f);
    assert_int_equal(o.lost, 1);
    assert_int_equal(o.error, 0);
    assert_int_equal(buf_len(&o.channel->out), 0);
    channel_close(&o.channel);
}

static void an_end_that_is_known_does_not_keep_the_loop_busy(void **state)
{
    struct fixture *f = *state;
    struct owner o = {0};
    int fd = open_channel(f, &o, SOCK_STREAM);

    put_pattern(&o, 2 << 20);
    shutdown(fd, SHUT_WR);
    run_until(f, o.lost);
    close(fd);
    run_idle(f);
    assert_false(uv_loop_alive(&f->loop));
    channel_close(&o.channel);
}

/* ---- draining ---- */

static void draining_hears_all_that_was_sent_before_the_end(void **state)
{
    struct fixture *f = *state;
    struct owner o = {.frame = 4096};
    int fd = open_channel(f, &o, SOCK_STREAM);
    int wide = 4 << 20;
    size_t len;

    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wide, sizeof wide);
    len = fill_socket(fd);
    assert_true(len > SCRATCH_LEN); /* more than one read takes */
    close(fd);
    channel_drain(o.channel);
    assert_int_equal(buf_len(&o.got), len - len % o.frame);
    assert_int_equal(o.lost, 1);
    assert_int_equal(o.error, 0);
    channel_drain(o.channel);
    assert_int_equal(o.lost, 1);
    channel_close(&o.channel);
    buf_free(&o.got);
}

static void draining_does_not_wait_for_what_has_not_come(void **state)
{
    struct fixture *f = *state;
    struct owner o = {0};
    int fd = open_channel(f, &o, SOCK_STREAM);

    channel_drain(o.channel);
    assert_int_equal(o.heard, 0);
    say(fd, "here");
    channel_drain(o.channel);
    assert_true(got_text(&o, "here"));
    assert_int_equal(o.lost, 0);
    close_both(&o, fd);
}

static void draining_hears_what_comes_while_it_drains(void **state)
{
    struct fixture *f = *state;
    struct owner o = {.refills = 20};
    int fd = open_channel(f, &o, SOCK_STREAM);

    o.refill_fd = fd;
    say(fd, "the first");
    channel_drain(o.channel);
    assert_int_equal(o.refills, 0);
    assert_true(buf_len(&o.got) > 20 * (SCRATCH_LEN / 2));
    close_both(&o, fd);
}

/* ---- opening ---- */

static void a_descriptor_that_cannot_be_watched_stays_the_callers(void **state)
{
    struct fixture *f = *state;
    struct owner o = {0};
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    assert_null(channel_unix(&f->reactor, fd, &events, &o));
    assert_true(is_open(fd));
    close(fd);
}

static void closing_closes_the_descriptor(void **state)
{
    struct fixture *f = *state;
    struct owner o = {0};
    int pair[2];

    socket_pair(SOCK_STREAM, pair);
    o.channel = channel_unix(&f->reactor, pair[0], &events, &o);
    channel_close(&o.channel);
    assert_false(is_open(pair[0]));
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        loop_test(nothing_is_sent_before_the_end_of_the_turn),
        loop_test(what_one_turn_wrote_is_sent_at_once),
        loop_test(many_megabytes_go_out_in_parts),
        loop_test(two_channels_send_megabytes_to_each_other),
        loop_test(closing_drops_what_was_not_sent),
        loop_test(finishing_sends_everything_without_the_loop),
        loop_test(finishing_waits_for_a_reader_that_is_slow),
        loop_test(finishing_gives_up_when_the_other_side_is_gone),
        loop_test(bytes_arrive_one_at_a_time_or_all_together),
        loop_test(what_is_not_taken_comes_again_with_more_behind_it),
        loop_test(an_idle_channel_holds_no_memory_for_what_came),
        loop_test(nothing_is_read_while_too_much_waits_to_be_sent),
        loop_test(without_a_pause_it_is_read_however_much_waits_to_be_sent),
        loop_test(a_channel_that_is_never_empty_lets_others_have_their_turn),
        loop_test(a_channel_with_nothing_to_do_lets_the_loop_sleep),
        loop_test(the_owner_may_close_when_bytes_come),
        loop_test(the_owner_may_close_when_kept_bytes_come_again),
        loop_test(the_owner_may_close_when_the_end_has_come),
        loop_test(the_owner_may_close_in_the_middle_of_draining),
        loop_test(the_end_of_the_stream_comes_once_and_after_the_bytes),
        loop_test(a_reset_comes_once_with_its_errno_and_after_the_bytes),
        loop_test(what_the_other_side_said_is_heard_though_it_takes_nothing_any_more),
        loop_test(what_waits_is_still_sent_to_a_side_that_only_stopped_writing),
        loop_test(the_end_comes_once_when_a_reset_follows_it),
        loop_test(an_end_that_is_known_does_not_keep_the_loop_busy),
        loop_test(draining_hears_all_that_was_sent_before_the_end),
        loop_test(draining_does_not_wait_for_what_has_not_come),
        loop_test(draining_hears_what_comes_while_it_drains),
        loop_test(a_descriptor_that_cannot_be_watched_stays_the_callers),
        loop_test(closing_closes_the_descriptor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
