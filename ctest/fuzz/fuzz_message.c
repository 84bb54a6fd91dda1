/*
 * Any bytes as a frame and as a message: no span reaches outside of what it was taken from, and a
 * message that was understood is understood the same when it is written again.
 */
#include "fuzz.h"

#include "wire/header.h"
#include "wire/mp_read.h"

static const struct wire_limits limits = {.frame = 1 << 16, .nesting = 8, .outstanding = 1};

static bool is_inside(struct span s, struct span whole)
{
    return s.at == NULL || (s.at >= whole.at && s.len <= whole.len &&
                            (size_t)(s.at - whole.at) <= whole.len - s.len);
}

static bool is_same(struct span a, struct span b)
{
    if (a.at == NULL || b.at == NULL) {
        return a.at == b.at;
    }
    return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

static void append(struct buf *b, struct span s)
{
    must(buf_append(b, s.at, s.len));
}

static void write_again(struct buf *b, const struct message *m)
{
    switch (m->kind) {
    case MESSAGE_REQUEST:
        must(message_write_request(b, m->id, m->method_id, m->method, m->header.at != NULL));
        append(b, m->payload);
        append(b, m->header);
        break;
    case MESSAGE_RESPONSE:
        must(m->error.at ? message_write_error(b, m->id) : message_write_results(b, m->id));
        append(b, m->error);
        append(b, m->payload);
        break;
    case MESSAGE_NOTIFICATION: /* is written by name alone, which ends at a zero */
        break;
    case MESSAGE_CANCEL:
        must(message_write_cancel(b, m->id));
        break;
    case MESSAGE_ITEM:
        must(message_write_item(b, m->id));
        append(b, m->payload);
        break;
    case MESSAGE_CREDIT:
        must(m->credit > 0 && m->credit <= STREAM_WINDOW);
        must(message_write_credit(b, m->id, m->credit));
        break;
    case MESSAGE_CARGO:
        must(message_write_cargo(b));
        append(b, m->payload);
        break;
    case MESSAGE_ARENA:
        must(message_write_arena(b));
        break;
    case MESSAGE_RELEASE:
        must(message_write_release(b, m->block));
        break;
    }
}

static void must_come_back(const struct message *m)
{
    struct buf b = {0};
    struct message again;
    struct failure why;

    write_again(&b, m);
    if (buf_len(&b) > 0) {
        struct span body = {buf_front(&b), buf_len(&b)};

        must(message_parse(body, &limits, &again, &why) == TITAN_OK);
        must(again.kind == m->kind && again.id == m->id && again.method_id == m->method_id);
        must(again.credit == m->credit && again.block == m->block);
        must(is_same(again.method, m->method) && is_same(again.payload, m->payload));
        must(is_same(again.error, m->error) && is_same(again.header, m->header));
    }
    buf_free(&b);
}

/* What is passed on is what came, without what is not. */
static void try_header(struct span bytes)
{
    struct header h;
    struct header again;
    struct buf b = {0};

    header_read(bytes, &h);
    must(is_inside(h.service, bytes));
    must(header_pass_on(&b, bytes, h.deadline_ms));
    header_read((struct span){buf_front(&b), buf_len(&b)}, &again);
    must(again.service.at == NULL && again.deadline_ms == h.deadline_ms);
    must(h.has_more || !again.has_more);
    buf_free(&b);
}

static void try_message(struct span body)
{
    struct message m;
    struct failure why = {0};

    if (message_parse(body, &limits, &m, &why) < 0) {
        must(why.code == TITAN_E_PROTOCOL_ERROR && why.message[0] != '\0');
        return;
    }
    must(is_inside(m.method, body) && is_inside(m.payload, body));
    must(is_inside(m.error, body) && is_inside(m.header, body));
    try_header(m.header);
    must_come_back(&m);
}

static void try_frame(struct span bytes)
{
    struct failure why = {0};
    int64_t size = frame_find(bytes.at, bytes.len, limits.frame, &why);

    if (size > 0) {
        must((uint64_t)size <= bytes.len && size > FRAME_HEAD);
        must(size - FRAME_HEAD <= limits.frame);
        try_message((struct span){bytes.at + FRAME_HEAD, (size_t)size - FRAME_HEAD});
    } else if (size < 0) {
        must(size == TITAN_E_PROTOCOL_ERROR && why.code == TITAN_E_PROTOCOL_ERROR);
    }
}

static void try_value(struct span bytes)
{
    struct mp_reader r = {bytes.at, bytes.at + bytes.len};

    if (mp_skip(&r, limits.nesting) == NULL) {
        must(r.at > bytes.at && r.at <= r.end);
    }
    must(r.at <= r.end);
    try_header(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct span all = {bytes, len};

    if (len > 0) {
        try_frame(all);
        try_message(all);
        try_value(all);
    }
    return 0;
}
