#include "loop.h"

#include <errno.h>
#include <pthread.h>

#include "transport/bell.h"
#include "transport/inproc.h"

/* ---- memory that is out ---- */

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

/* On this thread: so many calls from now on fail. */
static _Thread_local unsigned failing;

void *__wrap_calloc(size_t count, size_t size)
{
    if (failing > 0) {
        failing--;
        return NULL;
    }
    return __real_calloc(count, size);
}

/* ---- owners ---- */

/* The owner of an end, and what it heard. */
struct owner {
    struct channel *channel;
    struct buf got;
    size_t frame; /* takes whole frames of this length alone; 0: takes everything */
    int heard, lost, error;
    bool close_when_heard, close_when_lost, drain_when_heard;
    struct owner *other; /* says something more when this one hears, once */
};

static void put(struct owner *o, const char *text)
{
    assert_true(buf_append(&o->channel->out, text, strlen(text)));
    channel_written(o->channel);
}

static size_t on_bytes(void *ctx, const uint8_t *bytes, size_t len)
{
    struct owner *o = ctx;
    size_t taken = o->frame ? len - len % o->frame : len;

    o->heard++;
    assert_int_equal(o->lost, 0);
    if (o->other != NULL) {
        put(o->other, "later");
        channel_finish(o->other->channel);
        o->other = NULL;
    }
    if (o->drain_when_heard) {
        o->drain_when_heard = false;
        channel_drain(o->channel);
    }
    assert_true(buf_append(&o->got, bytes, taken));
    if (o->close_when_heard) {
        channel_close(&o->channel);
    }
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

/* Both ends on one loop. */
static struct inproc_link *new_link(struct fixture *f)
{
    struct inproc_link *l;

    assert_int_equal(reactor_open_mail(&f->reactor), 0);
    l = inproc_new(f->reactor.mail, f->reactor.mail);
    assert_non_null(l);
    return l;
}

static void open_end(struct fixture *f, struct inproc_link *l, int end, struct owner *o)
{
    o->channel = channel_inproc(l, end, &f->reactor, &events, o);
    assert_non_null(o->channel);
}

static void open_both(struct fixture *f, struct owner *a, struct owner *b)
{
    struct inproc_link *l = new_link(f);

    open_end(f, l, 0, a);
    open_end(f, l, 1, b);
}

static void close_both(struct owner *a, struct owner *b)
{
    channel_close(&a->channel);
    channel_close(&b->channel);
    buf_free(&a->got);
    buf_free(&b->got);
}

/* Byte n of the pattern is n % 251. */
static void put_pattern(struct owner *o, size_t len)
{
    uint8_t *at = buf_room(&o->channel->out, len);

    assert_non_null(at);
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

static bool got_text(const struct owner *o, const char *text)
{
    return buf_len(&o->got) == strlen(text) && memcmp(buf_front(&o->got), text, strlen(text)) == 0;
}

/* Fills what may wait for the other end, which does not look: it is drained by hand alone. */
static size_t fill(struct owner *o)
{
    size_t total = 0;

    do {
        put_pattern(o, 65536);
        o->channel->flusher.flush(&o->channel->flusher);
        flusher_cancel(&o->channel->flusher);
        total += 65536;
    } while (buf_len(&o->channel->out) == 0);
    return total;
}

/* ---- sending ---- */

static void nothing_is_sent_before_the_end_of_the_turn(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};

    open_both(f, &a, &b);
    put(&a, "hello");
    channel_drain(b.channel);
    assert_int_equal(b.heard, 0);
    run_until(f, got_text(&b, "hello"));
    close_both(&a, &b);
}

static void what_one_turn_wrote_comes_at_once(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};

    open_both(f, &a, &b);
    put(&a, "one ");
    put(&a, "two ");
    put(&a, "three");
    run_until(f, got_text(&b, "one two three"));
    assert_int_equal(b.heard, 1);
    close_both(&a, &b);
}

static void turns_come_in_their_order(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};

    open_both(f, &a, &b);
    for (const char *c = "0123456789"; *c != '\0'; c++) {
        put(&a, (char[]){*c, '\0'});
        channel_finish(a.channel); /* a segment of its own */
    }
    run_until(f, got_text(&b, "0123456789"));
    close_both(&a, &b);
}

static void two_ends_send_megabytes_to_each_other(void **state)
{
    enum { TURNS = 64, A_LEN = 251 * 500, B_LEN = 251 * 300 };
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};

    open_both(f, &a, &b);
    for (int i = 0; i < TURNS; i++) {
        put_pattern(&a, A_LEN);
        put_pattern(&b, B_LEN);
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    run_until(f,
              buf_len(&a.got) == (size_t)TURNS * B_LEN && buf_len(&b.got) == (size_t)TURNS * A_LEN);
    assert_pattern(&a.got, (size_t)TURNS * B_LEN);
    assert_pattern(&b.got, (size_t)TURNS * A_LEN);
    close_both(&a, &b);
}

static void closing_drops_what_was_not_sent(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};

    open_both(f, &a, &b);
    put(&a, "unsent");
    channel_close(&a.channel);
    assert_null(a.channel);
    channel_close(&a.channel);
    run_until(f, b.lost);
    assert_int_equal(b.heard, 0);
    close_both(&a, &b);
}

static void finishing_sends_everything_without_the_loop(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};

    open_both(f, &a, &b);
    put(&a, "last words");
    channel_finish(a.channel);
    channel_drain(b.channel);
    assert_true(got_text(&b, "last words"));
    close_both(&a, &b);
}

static void finishing_waits_for_no_room(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};
    size_t len;

    open_both(f, &a, &b);
    len = fill(&a);
    assert_true(buf_len(&a.channel->out) > 0);
    assert_false(inproc_has_room(a.channel));
    channel_finish(a.channel);
    assert_int_equal(buf_len(&a.channel->out), 0);
    channel_close(&a.channel);
    channel_drain(b.channel);
    assert_int_equal(buf_len(&b.got), len);
    assert_int_equal(b.lost, 1);
    close_both(&a, &b);
}

static void finishing_gives_up_when_the_other_side_is_gone(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};

    open_both(f, &a, &b);
    put_pattern(&a, 1 << 20);
    channel_close(&b.channel);
    channel_finish(a.channel);
    assert_int_equal(buf_len(&a.channel->out), 0);
    close_both(&a, &b);
}

static void a_turn_without_memory_sends_in_the_next(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};

    open_both(f, &a, &b);
    put(&a, "patient");
    failing = 1;
    run_until(f, got_text(&b, "patient"));
    assert_int_equal(failing, 0);
    close_both(&a, &b);
}

/* ---- room ---- */

static void a_reader_that_is_slow_is_not_flooded(void **state)
{
    enum { LEN = 12 << 20 };
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};
    size_t sent = 0;

    open_both(f, &a, &b);
    while (sent < LEN) {
        put_pattern(&a, 65536);
        a.channel->flusher.flush(&a.channel->flusher);
        sent += 65536;
    }
    assert_true(buf_len(&a.channel->out) > LEN / 2); /* the sender keeps it */
    run_until(f, buf_len(&b.got) == LEN);
    assert_int_equal(buf_len(&a.channel->out), 0);
    assert_true(inproc_has_room(a.channel));
    close_both(&a, &b);
}

struct refill {
    struct flusher flusher;
    struct owner *owner;
    int left;
};

static void more(struct flusher *flusher)
{
    struct refill *r = list_entry(flusher, struct refill, flusher);

    if (r->left-- > 0) {
        put_pattern(r->owner, (size_t)251 * 1000);
        r->owner->channel->when_room = flusher;
        r->owner->channel->room_len = 1;
    }
}

static void who_waits_for_room_is_told(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};
    struct refill refill = {.owner = &a, .left = 40};

    open_both(f, &a, &b);
    flusher_init(&refill.flusher, more);
    reactor_flush_later(&f->reactor, &refill.flusher);
    run_until(f, buf_len(&b.got) == (size_t)40 * (size_t)251 * 1000);
    assert_pattern(&b.got, (size_t)40 * (size_t)251 * 1000);
    run_until(f, refill.left < 0);
    close_both(&a, &b);
}

static void nothing_is_read_while_too_much_waits_to_be_sent(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};

    open_both(f, &a, &b);
    run_idle(f);
    a.channel->read_pause_len = 1000;
    fill(&a);
    put(&b, "unheard");
    channel_finish(b.channel);
    channel_drain(a.channel);
    assert_int_equal(a.heard, 0);
    run_until(f, got_text(&a, "unheard")); /* b has read, so a has room */
    close_both(&a, &b);
}

static void without_a_pause_it_is_read_however_much_waits_to_be_sent(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};

    open_both(f, &a, &b);
    fill(&a);
    put(&b, "heard");
    channel_finish(b.channel);
    channel_drain(a.channel);
    assert_true(got_text(&a, "heard"));
    close_both(&a, &b);
}

/* Who reads no more gives no room: waiting for it would be for ever. */
static void who_is_paused_hears_what_was_said_and_that_the_other_side_is_gone(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};

    open_both(f, &a, &b);
    run_idle(f);
    a.channel->read_pause_len = 1000;
    fill(&a);
    put(&b, "goodbye");
    channel_finish(b.channel);
    channel_close(&b.channel);
    run_until(f, a.lost);
    assert_true(got_text(&a, "goodbye"));
    assert_int_equal(buf_len(&a.channel->out), 0);
    assert_true(inproc_has_room(a.channel));
    close_both(&a, &b);
}

/* The same when a turn's own flush is the first to see it. */
static void what_waited_in_a_pause_is_heard_when_a_flush_ends_it(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};

    open_both(f, &a, &b);
    run_idle(f);
    a.channel->read_pause_len = 1000;
    fill(&a);
    put(&b, "goodbye");
    channel_finish(b.channel);
    mailbox_deliver(f->reactor.mail); /* a hears of it and does not look */
    assert_int_equal(a.heard, 0);
    channel_drain(b.channel);
    a.channel->flusher.flush(&a.channel->flusher);
    run_until(f, got_text(&a, "goodbye"));
    close_both(&a, &b);
}

/* ---- receiving ---- */

static void bytes_arrive_one_at_a_time_or_all_together(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {.frame = 4};

    open_both(f, &a, &b);
    for (const char *c = "abcdefg"; *c != '\0'; c++) {
        int heard = b.heard;

        put(&a, (char[]){*c, '\0'});
        run_until(f, b.heard > heard);
    }
    assert_true(got_text(&b, "abcd"));
    put(&a, "hijkl");
    run_until(f, buf_len(&b.got) == 12);
    assert_true(got_text(&b, "abcdefghijkl"));
    assert_int_equal(buf_len(&b.channel->in), 0);
    close_both(&a, &b);
}

static void what_is_not_taken_comes_again_with_more_behind_it(void **state)
{
    enum { LEN = 3 << 20 };
    struct fixture *f = *state;
    struct owner a = {0}, b = {.frame = LEN / 2};
    struct buf whole = {0};
    uint8_t *at = buf_room(&whole, LEN);

    open_both(f, &a, &b);
    for (size_t i = 0; i < LEN; i++) {
        at[i] = (uint8_t)(i % 251);
    }
    buf_wrote(&whole, LEN);
    while (buf_len(&whole) > 0) {
        size_t len = buf_len(&whole) < 100003 ? buf_len(&whole) : 100003;

        assert_true(buf_append(&a.channel->out, buf_front(&whole), len));
        buf_consume(&whole, len);
        channel_finish(a.channel);
    }
    run_until(f, buf_len(&b.got) == LEN);
    assert_pattern(&b.got, LEN);
    assert_int_equal(buf_len(&b.channel->in), 0);
    buf_free(&whole);
    close_both(&a, &b);
}

static void what_comes_while_an_owner_drains_does_not_overtake(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {.drain_when_heard = true, .other = &a};

    open_both(f, &a, &b);
    put(&a, "first ");
    channel_finish(a.channel);
    put(&a, "second ");
    channel_finish(a.channel);
    run_until(f, buf_len(&b.got) == 18);
    assert_true(got_text(&b, "first second later"));
    close_both(&a, &b);
}

static void an_idle_channel_lets_the_loop_sleep(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};

    open_both(f, &a, &b);
    put(&a, "sent");
    run_until(f, got_text(&b, "sent"));
    run_idle(f);
    assert_false(uv_is_active((uv_handle_t *)&f->reactor.in_loop->awake));
    assert_true(uv_loop_alive(&f->loop)); /* it waits for mail */
    channel_close(&a.channel);
    channel_close(&b.channel);
    assert_false(uv_loop_alive(&f->loop) && f->reactor.held_by > 0);
    close_both(&a, &b);
}

/* ---- closing in a callback ---- */

static void the_owner_may_close_when_bytes_come(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {.close_when_heard = true};

    open_both(f, &a, &b);
    put(&a, "the last");
    channel_finish(a.channel);
    put(&a, "unheard");
    channel_finish(a.channel);
    run_until(f, a.lost);
    assert_null(b.channel);
    assert_int_equal(b.heard, 1);
    assert_int_equal(b.lost, 0);
    close_both(&a, &b);
}

static void the_owner_may_close_when_kept_bytes_come_again(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {.frame = 100};

    open_both(f, &a, &b);
    put(&a, "kept");
    run_until(f, b.heard);
    b.close_when_heard = true;
    put(&a, "and more");
    run_until(f, b.heard == 2);
    assert_null(b.channel);
    close_both(&a, &b);
}

static void the_owner_may_close_when_the_end_has_come(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {.close_when_lost = true};

    open_both(f, &a, &b);
    channel_close(&a.channel);
    run_until(f, b.lost);
    assert_null(b.channel);
    close_both(&a, &b);
}

static void the_owner_may_close_in_the_middle_of_draining(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {.close_when_heard = true};

    open_both(f, &a, &b);
    put(&a, "the last");
    channel_finish(a.channel);
    channel_drain(b.channel);
    assert_null(b.channel);
    close_both(&a, &b);
}

/* ---- the end ---- */

static void the_end_comes_once_and_after_the_bytes(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};

    open_both(f, &a, &b);
    put(&a, "goodbye");
    channel_finish(a.channel);
    channel_close(&a.channel);
    run_until(f, b.lost);
    assert_true(got_text(&b, "goodbye"));
    assert_int_equal(b.error, 0);
    put(&b, "to nobody");
    run_idle(f);
    channel_drain(b.channel);
    assert_int_equal(b.lost, 1);
    assert_int_equal(buf_len(&b.channel->out), 0);
    close_both(&a, &b);
}

static void an_end_that_is_known_does_not_keep_the_loop(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};

    open_both(f, &a, &b);
    channel_close(&a.channel);
    run_until(f, b.lost);
    run_idle(f);
    assert_false(uv_loop_alive(&f->loop));
    close_both(&a, &b);
}

static void an_end_without_memory_is_not_opened(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};

    open_both(f, &a, &b);
    failing = 1;
    assert_null(channel_inproc(NULL, 0, &f->reactor, &events, &a));
    failing = 1;
    assert_null(inproc_new(f->reactor.mail, f->reactor.mail));
    close_both(&a, &b);
}

/* ---- before it is opened ---- */

static void what_was_sent_before_an_end_was_opened_is_heard(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};
    struct inproc_link *l = new_link(f);

    open_end(f, l, 0, &a);
    put(&a, "early");
    run_idle(f);
    open_end(f, l, 1, &b);
    run_until(f, got_text(&b, "early"));
    close_both(&a, &b);
}

static void an_end_that_is_abandoned_is_lost_to_the_other(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};
    struct inproc_link *l = new_link(f);

    open_end(f, l, 0, &a);
    put(&a, "to nobody");
    run_idle(f);
    inproc_abandon(l, 1);
    run_until(f, a.lost);
    assert_int_equal(a.error, 0);
    put(&a, "again");
    run_idle(f);
    assert_int_equal(buf_len(&a.channel->out), 0);
    close_both(&a, &b);
}

static void an_end_opened_after_the_other_was_abandoned_hears_it(void **state)
{
    struct fixture *f = *state;
    struct owner a = {0}, b = {0};
    struct inproc_link *l = new_link(f);

    inproc_abandon(l, 0);
    run_idle(f);
    open_end(f, l, 1, &b);
    run_until(f, b.lost);
    close_both(&a, &b);
}

static void both_may_be_abandoned(void **state)
{
    struct fixture *f = *state;
    struct inproc_link *l = new_link(f);

    inproc_abandon(l, 0);
    inproc_abandon(l, 1);
    run_idle(f);
}

/* What is posted to a mailbox that is closed already must not keep the link. */
static void ends_outlive_their_mailboxes(void **state)
{
    struct fixture *f = *state;
    struct mailbox *gone = bell_new();
    struct owner a = {0}, b = {0};
    struct inproc_link *l;

    assert_int_equal(reactor_open_mail(&f->reactor), 0);
    l = inproc_new(f->reactor.mail, gone);
    open_end(f, l, 0, &a);
    put(&a, "posted");
    run_idle(f);
    mailbox_close(gone);
    mailbox_release(gone);
    put(&a, "refused");
    run_idle(f);
    inproc_abandon(l, 1);
    run_until(f, a.lost);
    close_both(&a, &b);
}

/* ---- a reactor without a loop ---- */

static void a_bare_reactor_takes_part(void **state)
{
    struct fixture *f = *state;
    struct mailbox *m = bell_new();
    struct reactor bare;
    struct owner a = {0}, b = {0};
    struct inproc_link *l;

    assert_int_equal(reactor_open_mail(&f->reactor), 0);
    reactor_open_bare(&bare, m);
    l = inproc_new(f->reactor.mail, m);
    open_end(f, l, 0, &a);
    b.channel = channel_inproc(l, 1, &bare, &events, &b);
    put(&a, "ping");
    run_idle(f);
    assert_int_equal(b.heard, 0);
    assert_int_equal(reactor_turn(&bare), UINT64_MAX);
    assert_true(got_text(&b, "ping"));
    put(&b, "pong");
    assert_int_equal(reactor_turn(&bare), UINT64_MAX);
    run_until(f, got_text(&a, "pong"));
    channel_close(&b.channel);
    run_until(f, a.lost);
    reactor_close(&bare);
    mailbox_release(m);
    close_both(&a, &b);
}

/* ---- two threads ---- */

/* One side of a conversation: sends frames of random lengths, each byte of which is known from its
 * place in the stream, as long as it has some left; at `close_at` bytes heard it closes. */
struct side {
    struct mailbox *mail;
    struct inproc_link *link;
    int end;
    uint32_t random;
    size_t to_send, close_at, pause_len;
    size_t sent, heard, taken_from;
    bool lost, wrong;
    struct channel *channel;
    struct reactor reactor;
    uv_loop_t loop;
    struct flusher go_on;
};

static uint8_t byte_at(size_t place)
{
    return (uint8_t)(place * 7 + place / 251);
}

static size_t side_bytes(void *ctx, const uint8_t *bytes, size_t len)
{
    struct side *s = ctx;
    /* Sometimes it takes only a part, as if a frame were not whole: never nothing of much, or it
     * would wait for what does not come. */
    size_t taken = len > 1000 || next_random(&s->random) % 4 != 0 ? len : 0;

    for (size_t i = s->taken_from; i < len && !s->wrong; i++) {
        s->wrong = bytes[i] != byte_at(s->heard + i - s->taken_from);
    }
    s->heard += len - s->taken_from;
    s->taken_from = len - taken; /* checked already when it comes again */
    if (s->heard >= s->close_at) {
        channel_close(&s->channel);
    }
    return taken;
}

static void side_lost(void *ctx, int error)
{
    struct side *s = ctx;

    s->lost = true;
    s->wrong |= error != 0;
}

static void say_more(struct flusher *f)
{
    struct side *s = list_entry(f, struct side, go_on);
    size_t len = next_random(&s->random) % (next_random(&s->random) % 16 ? 3000 : 400000);
    uint8_t *at;

    if (s->channel == NULL) {
        return;
    }
    if (s->sent == s->to_send) {
        return;
    }
    len = len < s->to_send - s->sent ? len : s->to_send - s->sent;
    at = buf_room(&s->channel->out, len);
    /* Of nothing there may be no place; it goes on to its next turn all the same. */
    s->wrong |= at == NULL && len > 0;
    for (size_t i = 0; at != NULL && i < len; i++) {
        at[i] = byte_at(s->sent + i);
    }
    buf_wrote(&s->channel->out, len);
    channel_written(s->channel);
    s->sent += len;
    s->channel->when_room = f;
    s->channel->room_len = 1 + next_random(&s->random) % 100000;
}

static void *converse(void *arg)
{
    static const struct channel_events side_events = {side_bytes, side_lost};
    struct side *s = arg;

    s->wrong = uv_loop_init(&s->loop) < 0 || reactor_open(&s->reactor, &s->loop) < 0 ||
               reactor_take_mail(&s->reactor, s->mail) < 0;
    s->channel = channel_inproc(s->link, s->end, &s->reactor, &side_events, s);
    s->channel->read_pause_len = s->pause_len;
    flusher_init(&s->go_on, say_more);
    reactor_flush_later(&s->reactor, &s->go_on);
    /* Until all is said and heard, or it or the other one has closed. */
    while (
        s->channel != NULL && !s->lost &&
        !(s->sent == s->to_send && s->heard + 1 == s->close_at && buf_len(&s->channel->out) == 0)) {
        uv_run(&s->loop, UV_RUN_ONCE);
    }
    flusher_cancel(&s->go_on);
    channel_close(&s->channel);
    reactor_close(&s->reactor);
    s->wrong |= uv_loop_close(&s->loop) < 0;
    mailbox_close(s->mail);
    mailbox_release(s->mail);
    return NULL;
}

/* Each side's random numbers, how much it says, and where it closes. */
static void meet(uint32_t seed, const size_t to_send[2], const size_t close_at[2], size_t pause_len,
                 struct side sides[2])
{
    struct mailbox *mail[2] = {bell_new(), bell_new()};
    struct inproc_link *l = inproc_new(mail[0], mail[1]);
    pthread_t threads[2];

    assert_non_null(l);
    for (int i = 0; i < 2; i++) {
        sides[i] = (struct side){.mail = mail[i],
                                 .link = l,
                                 .end = i,
                                 .random = seed + (uint32_t)i,
                                 .to_send = to_send[i],
                                 .close_at = close_at[i],
                                 .pause_len = i == 0 ? pause_len : 0};
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, converse, &sides[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_false(sides[i].wrong);
    }
}

static void two_threads_say_and_hear_everything(void **state)
{
    enum { LEN = 6 << 20 };

    (void)state;
    alarm(PATIENCE_S * 2);
    for (uint32_t round = 1; round <= 4; round++) {
        struct side sides[2];
        size_t to_send[2] = {LEN, LEN / round};
        size_t close_at[2] = {LEN / round + 1, LEN + 1};

        meet(round * 77, to_send, close_at, round % 2 ? 100000 : 0, sides);
        assert_true(sides[0].heard == to_send[1] || sides[0].lost);
        assert_true(sides[1].heard == to_send[0] || sides[1].lost);
        /* Who left last had heard it all; and what was said before the end was heard. */
        assert_int_equal(sides[0].sent, to_send[0]);
        assert_int_equal(sides[1].sent, to_send[1]);
    }
    alarm(0);
}

/* Nothing hangs and nothing is freed twice, wherever either side closes. */
static void either_thread_may_close_at_any_time(void **state)
{
    uint32_t random = 4711;

    (void)state;
    alarm(PATIENCE_S * 2);
    for (int round = 0; round < 150; round++) {
        struct side sides[2];
        size_t to_send[2] = {next_random(&random) % 900000, next_random(&random) % 900000};
        size_t close_at[2] = {1 + next_random(&random) % 900000, 1 + next_random(&random) % 900000};

        close_at[0] = close_at[0] > to_send[1] ? to_send[1] + 1 : close_at[0];
        close_at[1] = close_at[1] > to_send[0] ? to_send[0] + 1 : close_at[1];
        meet(next_random(&random), to_send, close_at, round % 3 ? 50000 : 0, sides);
    }
    alarm(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        mail_test(nothing_is_sent_before_the_end_of_the_turn),
        mail_test(what_one_turn_wrote_comes_at_once),
        mail_test(turns_come_in_their_order),
        mail_test(two_ends_send_megabytes_to_each_other),
        mail_test(closing_drops_what_was_not_sent),
        mail_test(finishing_sends_everything_without_the_loop),
        mail_test(finishing_waits_for_no_room),
        mail_test(finishing_gives_up_when_the_other_side_is_gone),
        mail_test(a_turn_without_memory_sends_in_the_next),
        mail_test(a_reader_that_is_slow_is_not_flooded),
        mail_test(who_waits_for_room_is_told),
        mail_test(nothing_is_read_while_too_much_waits_to_be_sent),
        mail_test(without_a_pause_it_is_read_however_much_waits_to_be_sent),
        mail_test(who_is_paused_hears_what_was_said_and_that_the_other_side_is_gone),
        mail_test(what_waited_in_a_pause_is_heard_when_a_flush_ends_it),
        mail_test(bytes_arrive_one_at_a_time_or_all_together),
        mail_test(what_is_not_taken_comes_again_with_more_behind_it),
        mail_test(what_comes_while_an_owner_drains_does_not_overtake),
        mail_test(an_idle_channel_lets_the_loop_sleep),
        mail_test(the_owner_may_close_when_bytes_come),
        mail_test(the_owner_may_close_when_kept_bytes_come_again),
        mail_test(the_owner_may_close_when_the_end_has_come),
        mail_test(the_owner_may_close_in_the_middle_of_draining),
        mail_test(the_end_comes_once_and_after_the_bytes),
        mail_test(an_end_that_is_known_does_not_keep_the_loop),
        mail_test(an_end_without_memory_is_not_opened),
        mail_test(what_was_sent_before_an_end_was_opened_is_heard),
        mail_test(an_end_that_is_abandoned_is_lost_to_the_other),
        mail_test(an_end_opened_after_the_other_was_abandoned_hears_it),
        mail_test(both_may_be_abandoned),
        mail_test(ends_outlive_their_mailboxes),
        mail_test(a_bare_reactor_takes_part),
        cmocka_unit_test(two_threads_say_and_hear_everything),
        cmocka_unit_test(either_thread_may_close_at_any_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
