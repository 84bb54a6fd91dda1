#include "rpc/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/mp_write.h"

#define FIRST_CALLS 16
#define QUEUED_MAX ((size_t)256 << 20) /* bytes that wait to be sent before calls are refused */

/* Stands in the table for a call nobody waits for any more, until the other side has answered. */
static struct call abandoned;

/* Completes the frame opened at `at` and puts its cargo before it. */
static bool close_frame(struct peer *p, size_t at)
{
    size_t limit = p->limits.frame;

    if (p->loading.len == 0) {
        return frame_close(peer_out(p), at, p->limits.frame);
    }
    if (p->loading.bytes > limit || !frame_close(peer_out(p), at, limit - p->loading.bytes)) {
        buf_truncate(peer_out(p), at);
        cargo_clear(&p->loading);
        return false;
    }
    return cargo_send(&p->loading, at);
}

static void take_back(struct peer *p, size_t frame_at)
{
    buf_truncate(peer_out(p), frame_at);
    cargo_clear(&p->loading);
}

/* ---- the numbers of calls ---- */

static bool ids_grow(struct peer *p)
{
    uint32_t cap = p->calls_cap ? p->calls_cap * 2 : FIRST_CALLS;
    struct call **calls = realloc(p->calls, cap * sizeof(struct call *));
    uint32_t *free_ids;

    if (calls == NULL) {
        return false;
    }
    p->calls = calls;
    free_ids = realloc(p->free_ids, cap * sizeof(uint32_t));
    if (free_ids == NULL) {
        return false;
    }
    p->free_ids = free_ids;
    for (uint32_t id = cap; id-- > p->calls_cap;) {
        p->calls[id] = NULL;
        p->free_ids[p->free_len++] = id;
    }
    p->calls_cap = cap;
    return true;
}

/* Of a call that was detached. */
static void id_release(struct peer *p, uint32_t id)
{
    p->calls[id] = NULL;
    p->free_ids[p->free_len++] = id;
    p->outstanding--;
    p->given_up--;
}

/* ---- calls ---- */

/* Takes the call out of its table and off the clock; the number stays taken until the answer. */
static void detach(struct call *c)
{
    struct peer *p = c->peer;

    timer_disarm(p->reactor, &c->deadline);
    p->calls[c->id] = &abandoned;
    p->given_up++;
    c->peer = NULL;
}

bool peer_gave_up(const struct peer *p, uint32_t id)
{
    return id < p->calls_cap && p->calls[id] == &abandoned;
}

static void send_cancel(struct peer *p, uint32_t id)
{
    size_t at;

    /* Without memory for it the other side merely works on for nobody. */
    if (p->channel == NULL || !frame_open(peer_out(p), &at)) {
        return;
    }
    if (!message_write_cancel(peer_out(p), id) || !frame_close(peer_out(p), at, p->limits.frame)) {
        buf_truncate(peer_out(p), at);
        return;
    }
    channel_written(p->channel);
}

static bool send_credit(struct peer *p, uint32_t id, uint32_t bytes)
{
    size_t at;

    if (p->channel == NULL || !frame_open(peer_out(p), &at)) {
        return false;
    }
    if (!message_write_credit(peer_out(p), id, bytes) ||
        !frame_close(peer_out(p), at, p->limits.frame)) {
        buf_truncate(peer_out(p), at);
        return false;
    }
    channel_written(p->channel);
    return true;
}

void call_forget(struct call *c)
{
    struct peer *p = c->peer;

    if (p != NULL) {
        detach(c);
        send_cancel(p, c->id);
        if (p->gave_up != NULL) {
            p->gave_up(p, c->id);
        }
    }
}

void call_withdraw(struct call *c)
{
    if (c->peer != NULL) {
        send_cancel(c->peer, c->id);
    }
}

void call_cancel(struct call *c, const struct failure *failure)
{
    if (c->peer != NULL) {
        call_forget(c);
        c->done(c, &(struct reply){.code = failure->code, .failure = failure});
    }
}

static void deadline_passed(struct timer *t)
{
    struct call *c = list_entry(t, struct call, deadline);
    struct failure why;

    fail(&why, TITAN_E_TIMEOUT, c->streams ? "no item within %u ms" : "no answer within %u ms",
         c->timeout_ms);
    call_cancel(c, &why);
}

int request_begin(struct peer *p, struct draft *d, uint32_t method_id, struct span method,
                  bool has_header, struct failure *why)
{
    struct buf *out;

    if (p->channel == NULL || p->lost) {
        return fail(why, TITAN_E_WORKER_LOST, "the connection has ended");
    }
    out = peer_out(p);
    if (p->outstanding >= p->limits.outstanding) {
        return fail(why, TITAN_E_OVERLOADED,
                    "%u calls have no answer yet, which is the limit (limits.outstanding)",
                    p->outstanding);
    }
    if (buf_len(out) > QUEUED_MAX) {
        return fail(why, TITAN_E_OVERLOADED,
                    "%zu MB wait to be sent: the other side reads too slowly", buf_len(out) >> 20);
    }
    if (p->free_len == 0 && !ids_grow(p)) {
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    d->id = p->free_ids[p->free_len - 1];
    if (!frame_open(out, &d->frame_at)) {
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    if (!message_write_request(out, d->id, method_id, method, has_header)) {
        request_abort(p, d);
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    return TITAN_OK;
}

void request_abort(struct peer *p, struct draft *d)
{
    take_back(p, d->frame_at);
}

int request_end(struct peer *p, struct draft *d, struct call *c, uint32_t timeout_ms,
                struct failure *why)
{
    if (c != NULL) {
        c->deadline.fire = deadline_passed;
    }
    if (c != NULL && timeout_ms > 0 && !timer_arm(p->reactor, &c->deadline, timeout_ms, false)) {
        request_abort(p, d);
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    if (!close_frame(p, d->frame_at)) {
        if (c != NULL) {
            timer_disarm(p->reactor, &c->deadline);
        }
        return fail(why, TITAN_E_LIMIT_EXCEEDED,
                    "the message is larger than a frame may be (limits.frame = %u bytes)",
                    p->limits.frame);
    }
    if (c != NULL) {
        c->peer = p;
        c->id = d->id;
        c->timeout_ms = timeout_ms;
        c->streams = false;
    }
    p->free_len--;
    p->outstanding++;
    p->calls[d->id] = c ? c : &abandoned;
    channel_written(p->channel);
    return TITAN_OK;
}

/* ---- calls that stream ---- */

void call_move(struct call *from, struct call *to)
{
    struct peer *p = from->peer;

    timer_disarm(p->reactor, &from->deadline);
    from->peer = NULL;
    to->deadline.fire = deadline_passed;
    to->peer = p;
    to->id = from->id;
    to->timeout_ms = from->timeout_ms;
    to->streams = from->streams;
    to->credit = from->credit;
    p->calls[to->id] = to;
}

bool call_await_item(struct call *c)
{
    return c->timeout_ms == 0 || timer_arm(c->peer->reactor, &c->deadline, c->timeout_ms, false);
}

void call_await_nothing(struct call *c)
{
    if (c->peer != NULL) {
        timer_disarm(c->peer->reactor, &c->deadline);
    }
}

/* When there is no memory to say so the stream stands still, until the caller's time is over. */
bool call_give_credit(struct call *c, uint32_t bytes)
{
    if (!c->streams || c->credit + bytes > STREAM_WINDOW) {
        return false;
    }
    c->credit += bytes;
    while (bytes > 0) { /* an item may be larger than the window, a credit cannot */
        uint32_t part = bytes < STREAM_WINDOW ? bytes : STREAM_WINDOW;

        (void)send_credit(c->peer, c->id, part);
        bytes -= part;
    }
    return true;
}

void peer_fail_calls(struct peer *p, const struct failure *failure)
{
    reactor_begin_whole(p->reactor);
    for (uint32_t id = 0; id < p->calls_cap; id++) {
        struct call *c = p->calls[id];

        if (c != NULL && c != &abandoned) {
            detach(c);
            c->done(c, &(struct reply){.code = failure->code, .failure = failure});
        }
    }
    reactor_end_whole(p->reactor);
}

/* ---- what comes in ---- */

static const struct failure cargo_missing = {
    TITAN_E_LIMIT_EXCEEDED,
    "a buffer or a large string that came along could not be received: the receiver is out of "
    "descriptors (raise `ulimit -n`) or of memory",
};

static void lose(struct peer *p, int code, const char *why)
{
    if (!p->lost) {
        p->lost = true;
        p->events->lost(p->ctx, code, why);
    }
}

static void blame_if(struct peer *p, const char *wrong)
{
    if (wrong != NULL) {
        peer_blame(p, wrong);
    }
}

static bool is_missing(const struct peer *p)
{
    return p->arrived != NULL && p->arrived->missing;
}

/* An answer to a number that is not under way is the other side's mistake. */
static void take_response(struct peer *p, const struct message *m)
{
    struct call *c = m->id < p->calls_cap ? p->calls[m->id] : NULL;
    struct reply reply = {.results = m->payload, .error = m->error, .peer = p};

    if (c == NULL) {
        peer_blame(p, "an answer to a call that was not made");
        return;
    }
    if (c == &abandoned) {
        id_release(p, m->id);
        return;
    }
    detach(c);
    id_release(p, m->id);
    reply.code = m->error.at ? TITAN_E_REMOTE_ERROR : TITAN_OK;
    if (is_missing(p)) {
        reply.code = cargo_missing.code;
        reply.failure = &cargo_missing;
    }
    c->done(c, &reply);
}

static const char *take_item_of(struct call *c, struct span values)
{
    bool is_begin = values.len == 1 && *values.at == 0x90;

    if (c->item == NULL) {
        return "an item of a call that takes no stream";
    }
    if (is_begin == c->streams) {
        return is_begin ? "an item without values" : "an item of a stream that has not begun";
    }
    if (is_begin) {
        c->streams = true;
        c->credit = STREAM_WINDOW;
    } else if (c->credit <= 0) {
        return "an item for which there is no credit";
    } else {
        c->credit -= (int64_t)(values.len + cargo_weight(c->peer->arrived));
    }
    timer_disarm(c->peer->reactor, &c->deadline);
    if (is_missing(c->peer)) {
        call_cancel(c, &cargo_missing);
        return NULL;
    }
    c->item(c, values);
    return NULL;
}

static void take_item(struct peer *p, const struct message *m)
{
    struct call *c = m->id < p->calls_cap ? p->calls[m->id] : NULL;
    const char *wrong = NULL;

    if (c == NULL) {
        wrong = "an item of a call that was not made";
    } else if (c != &abandoned) {
        wrong = take_item_of(c, m->payload);
    }
    blame_if(p, wrong);
}

static void take_request(struct peer *p, const struct message *m)
{
    if (is_missing(p)) {
        (void)answer_failure(p, m->id, &cargo_missing);
    } else {
        p->events->request(p->ctx, m);
    }
}

/* Nobody waits for an answer: without what it says the conversation makes no sense. */
static void take_notification(struct peer *p, const struct message *m)
{
    if (is_missing(p)) {
        lose(p, cargo_missing.code, cargo_missing.message);
    } else {
        p->events->notification(p->ctx, m);
    }
}

static void take_message(struct peer *p, const struct message *m)
{
    switch (m->kind) {
    case MESSAGE_REQUEST:
        take_request(p, m);
        break;
    case MESSAGE_RESPONSE:
        take_response(p, m);
        break;
    case MESSAGE_NOTIFICATION:
        take_notification(p, m);
        break;
    case MESSAGE_CANCEL:
        p->events->cancel(p->ctx, m->id);
        break;
    case MESSAGE_ITEM:
        take_item(p, m);
        break;
    case MESSAGE_CREDIT:
        if (p->events->credit == NULL) {
            peer_blame(p, "a credit where nothing streams");
        } else {
            p->events->credit(p->ctx, m->id, m->credit);
        }
        break;
    case MESSAGE_CARGO:
        peer_blame(p, "a cargo of a cargo");
        break;
    case MESSAGE_ARENA:
        blame_if(p, lane_hear_arena(&p->lane));
        break;
    case MESSAGE_RELEASE:
        blame_if(p, lane_hear_release(&p->lane, m->block));
        break;
    }
}

void peer_blame(struct peer *p, const char *why)
{
    lose(p, TITAN_E_PROTOCOL_ERROR, why);
}

/* The message at the front of the bytes. Returns the size of its frame; 0 when more bytes are
 * needed, TITAN_E_PROTOCOL_ERROR when it is none. */
static int64_t parse(const struct peer *p, const uint8_t *bytes, size_t len, struct message *m,
                     struct failure *why)
{
    int64_t size = frame_find(bytes, len, p->limits.frame, why);
    struct span body = {bytes + FRAME_HEAD, (size_t)size - FRAME_HEAD};

    return size > 0 && message_parse(body, &p->limits, m, why) < 0 ? TITAN_E_PROTOCOL_ERROR : size;
}

static int take_with_cargo(struct peer *p, struct span pieces, const struct message *m,
                           size_t bytes_max, struct failure *why)
{
    struct cargo cargo = {.lane = &p->lane};
    struct cargo *before = p->arrived;
    int code = cargo_read(&cargo, pieces, bytes_max, why);

    if (code == TITAN_OK) {
        p->arrived = &cargo;
        take_message(p, m);
        p->arrived = before;
    }
    cargo_free(&cargo);
    return code;
}

/* One message, with its cargo, which waits for it. Returns as parse does. */
static int64_t take_one(struct peer *p, const uint8_t *bytes, size_t len, struct failure *why)
{
    struct message m, next;
    int64_t size = parse(p, bytes, len, &m, why);
    int64_t next_size;

    if (size <= 0) {
        return size;
    }
    if (m.kind != MESSAGE_CARGO) {
        p->arrived = NULL;
        take_message(p, &m);
        return size;
    }
    next_size = parse(p, bytes + size, len - (size_t)size, &next, why);
    if (next_size <= 0) {
        return next_size;
    }
    if (next.kind > MESSAGE_NOTIFICATION && next.kind != MESSAGE_ITEM) {
        return fail(why, TITAN_E_PROTOCOL_ERROR, "a cargo of a message that has none");
    }
    if (take_with_cargo(p, m.payload, &next, p->limits.frame - ((size_t)next_size - FRAME_HEAD),
                        why) < 0) {
        return TITAN_E_PROTOCOL_ERROR;
    }
    return size + next_size;
}

static size_t take_bytes(void *ctx, const uint8_t *bytes, size_t len)
{
    struct peer *p = ctx;
    size_t taken = 0;

    while (p->channel != NULL && !p->lost && !p->reactor->paused) {
        struct failure why;
        int64_t size = take_one(p, bytes + taken, len - taken, &why);

        if (size == 0) {
            return taken;
        }
        if (size < 0) {
            peer_blame(p, why.message);
            break;
        }
        taken += (size_t)size;
    }
    return p->channel != NULL && !p->lost ? taken : len; /* or nobody wants the rest */
}

/* A frame without its end is no garbage: who dies while it sends cannot finish it. */
static void channel_ended(void *ctx, int error)
{
    struct peer *p = ctx;
    bool in_frame = p->channel != NULL && buf_len(&p->channel->in) > 0;

    if (error == EPROTO) {
        lose(p, TITAN_E_PROTOCOL_ERROR, "a descriptor that belongs to no message");
    } else if (error != 0) {
        lose(p, TITAN_E_WORKER_LOST, strerror(error));
    } else if (in_frame) {
        lose(p, TITAN_E_WORKER_LOST, "the stream ended in the middle of a frame");
    } else {
        lose(p, TITAN_OK, "the other side closed the connection");
    }
}

/* ---- answers and notifications ---- */

int answer_begin(struct peer *p, struct draft *d, uint32_t id, bool is_error)
{
    struct buf *out;

    if (p->channel == NULL) {
        return TITAN_E_WORKER_LOST;
    }
    out = peer_out(p);
    d->id = id;
    if (!frame_open(out, &d->frame_at)) {
        return TITAN_E_LIMIT_EXCEEDED;
    }
    if (is_error ? message_write_error(out, id) : message_write_results(out, id)) {
        return TITAN_OK;
    }
    answer_abort(p, d);
    return TITAN_E_LIMIT_EXCEEDED;
}

int answer_end(struct peer *p, struct draft *d, bool is_error)
{
    if (is_error && !message_write_error_end(peer_out(p))) {
        answer_abort(p, d);
        return TITAN_E_LIMIT_EXCEEDED;
    }
    if (!close_frame(p, d->frame_at)) {
        return TITAN_E_LIMIT_EXCEEDED;
    }
    channel_written(p->channel);
    return TITAN_OK;
}

void answer_abort(struct peer *p, struct draft *d)
{
    take_back(p, d->frame_at);
}

int item_begin(struct peer *p, struct draft *d, uint32_t id)
{
    struct buf *out;

    if (p->channel == NULL) {
        return TITAN_E_WORKER_LOST;
    }
    out = peer_out(p);
    d->id = id;
    if (!frame_open(out, &d->frame_at)) {
        return TITAN_E_LIMIT_EXCEEDED;
    }
    if (!message_write_item(out, id)) {
        answer_abort(p, d);
        return TITAN_E_LIMIT_EXCEEDED;
    }
    d->values_at = buf_len(out);
    return TITAN_OK;
}

int item_end(struct peer *p, struct draft *d, uint32_t *weight)
{
    size_t values_len = buf_len(peer_out(p)) - d->values_at + cargo_weight(&p->loading);

    if (!close_frame(p, d->frame_at)) {
        return TITAN_E_LIMIT_EXCEEDED;
    }
    *weight = (uint32_t)values_len;
    channel_written(p->channel);
    return TITAN_OK;
}

int item_send(struct peer *p, uint32_t id, struct span values, const struct cargo *cargo)
{
    struct draft d;
    uint32_t weight;
    int code = item_begin(p, &d, id);

    if (code < 0) {
        return code;
    }
    if (!buf_append(peer_out(p), values.at, values.len) ||
        cargo_load_all(&p->loading, cargo, NULL) < 0) {
        answer_abort(p, &d);
        return TITAN_E_LIMIT_EXCEEDED;
    }
    return item_end(p, &d, &weight);
}

static bool write_pair(struct buf *b, const char *key, const char *value)
{
    return mp_write_str(b, key, strlen(key)) && mp_write_str(b, value, strlen(value));
}

bool failure_write(struct buf *b, const struct failure *failure)
{
    return mp_write_map(b, 2) && write_pair(b, "code", titan_error_name(failure->code)) &&
           write_pair(b, "message", failure->message);
}

int answer_failure(struct peer *p, uint32_t id, const struct failure *failure)
{
    struct draft d;
    int code = answer_begin(p, &d, id, true);

    if (code < 0) {
        return code;
    }
    if (!failure_write(peer_out(p), failure)) {
        answer_abort(p, &d);
        return TITAN_E_LIMIT_EXCEEDED;
    }
    return answer_end(p, &d, true);
}

int peer_notify(struct peer *p, const char *method, struct span params)
{
    return peer_notify_with(p, method, params, NULL);
}

int peer_notify_with(struct peer *p, const char *method, struct span params,
                     const struct cargo *cargo)
{
    size_t at;

    if (p->channel == NULL) {
        return TITAN_E_WORKER_LOST;
    }
    if (!frame_open(peer_out(p), &at)) {
        return TITAN_E_LIMIT_EXCEEDED;
    }
    if (!message_write_notification(peer_out(p), method) ||
        !buf_append(peer_out(p), params.at, params.len) ||
        cargo_load_all(&p->loading, cargo, NULL) < 0 || !close_frame(p, at)) {
        take_back(p, at);
        return TITAN_E_LIMIT_EXCEEDED;
    }
    channel_written(p->channel);
    return TITAN_OK;
}

/* ---- life ---- */

static const struct channel_events channel_events = {take_bytes, channel_ended};

static void init(struct peer *p, struct reactor *r, const struct wire_limits *limits,
                 const struct peer_events *events, void *ctx)
{
    memset(p, 0, sizeof *p);
    p->reactor = r;
    p->events = events;
    p->ctx = ctx;
    p->limits = *limits;
}

static int opened(struct peer *p, struct channel *c)
{
    p->channel = c;
    p->lane.channel = c;
    p->lane.reactor = p->reactor;
    p->loading.lane = &p->lane;
    return c != NULL ? TITAN_OK : TITAN_E_LIMIT_EXCEEDED;
}

int peer_open(struct peer *p, struct reactor *r, int fd, const struct wire_limits *limits,
              const struct peer_events *events, void *ctx)
{
    init(p, r, limits, events, ctx);
    return opened(p, channel_unix(r, fd, &channel_events, p));
}

int peer_open_inproc(struct peer *p, struct reactor *r, struct inproc_link *link, int end,
                     const struct wire_limits *limits, const struct peer_events *events, void *ctx)
{
    init(p, r, limits, events, ctx);
    return opened(p, channel_inproc(link, end, r, &channel_events, p));
}

void peer_close(struct peer *p, const struct failure *failure)
{
    if (p->channel == NULL) {
        return;
    }
    p->lost = true;
    cargo_free(&p->loading);
    lane_close(&p->lane);
    channel_close(&p->channel);
    peer_fail_calls(p, failure);
    free(p->calls);
    free(p->free_ids);
    p->calls = NULL;
    p->free_ids = NULL;
    p->calls_cap = 0;
    p->free_len = 0;
    p->given_up = 0;
}
