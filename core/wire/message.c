#include "wire/message.h"

#include <string.h>

#include "wire/mp_read.h"
#include "wire/mp_write.h"

bool span_is(struct span s, const char *text)
{
    return s.at != NULL && s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

static uint32_t get_le32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put_le32(uint8_t *at, uint32_t v)
{
    at[0] = (uint8_t)v;
    at[1] = (uint8_t)(v >> 8);
    at[2] = (uint8_t)(v >> 16);
    at[3] = (uint8_t)(v >> 24);
}

int64_t frame_find(const uint8_t *bytes, size_t len, uint32_t limit, struct failure *why)
{
    uint32_t body;

    if (len < FRAME_HEAD) {
        return 0;
    }
    body = get_le32(bytes);
    if (body == 0) {
        return fail(why, TITAN_E_PROTOCOL_ERROR, "an empty frame");
    }
    if (body > limit) {
        return fail(why, TITAN_E_PROTOCOL_ERROR,
                    "a frame of %u bytes, the limit is %u (limits.frame)", body, limit);
    }
    return len - FRAME_HEAD < body ? 0 : (int64_t)body + FRAME_HEAD;
}

bool frame_open(struct buf *b, size_t *at)
{
    if (buf_room(b, FRAME_HEAD) == NULL) {
        return false;
    }
    *at = buf_len(b);
    buf_wrote(b, FRAME_HEAD);
    return true;
}

bool frame_close(struct buf *b, size_t at, uint32_t limit)
{
    size_t body = buf_len(b) - at - FRAME_HEAD;

    if (body > limit) {
        buf_truncate(b, at);
        return false;
    }
    put_le32(buf_front(b) + at, (uint32_t)body);
    return true;
}

/* ---- reading ---- */

static const char *read_id(struct mp_reader *r, uint32_t *id)
{
    struct mp_token t;
    const char *wrong = mp_next(r, &t);

    if (wrong) {
        return wrong;
    }
    if (t.type != MP_INT || t.i < 0 || t.i > UINT32_MAX) {
        return "a message id that is not an unsigned 32-bit integer";
    }
    *id = (uint32_t)t.i;
    return NULL;
}

static const char *read_method(struct mp_reader *r, struct message *m)
{
    struct mp_token t;
    const char *wrong = mp_next(r, &t);

    if (wrong) {
        return wrong;
    }
    if (t.type == MP_STR) {
        m->method = (struct span){t.bytes, t.n};
        return NULL;
    }
    if (t.type != MP_INT || t.i < 0 || t.i > UINT32_MAX) {
        return "a method that is neither a name nor a number";
    }
    m->method_id = (uint32_t)t.i;
    return NULL;
}

/* One value as bytes. The last value of a frame simply is the rest of it: whoever turns the payload
 * into values finds out whether it is well-formed, and no byte is looked at twice. */
static const char *read_span(struct mp_reader *r, unsigned nesting, bool last, struct span *out)
{
    const uint8_t *from = r->at;
    const char *wrong = NULL;

    if (r->at == r->end) {
        return "truncated value";
    }
    if (last) {
        r->at = r->end;
    } else {
        wrong = mp_skip(r, nesting);
    }
    *out = (struct span){from, (size_t)(r->at - from)};
    return wrong;
}

static const char *read_request(struct mp_reader *r, unsigned nesting, uint32_t fields,
                                struct message *m)
{
    const char *wrong;

    if (fields != 4 && fields != 5) {
        return "a request that has neither four nor five fields";
    }
    wrong = read_id(r, &m->id);
    if (!wrong) {
        wrong = read_method(r, m);
    }
    if (!wrong) {
        wrong = read_span(r, nesting + 1, fields == 4, &m->payload); /* a list of values */
    }
    if (!wrong && fields == 5) {
        wrong = read_span(r, nesting, false, &m->header);
    }
    return wrong;
}

static const char *read_response(struct mp_reader *r, unsigned nesting, uint32_t fields,
                                 struct message *m)
{
    const char *wrong;
    struct span error;

    if (fields != 4) {
        return "a response that has not four fields";
    }
    wrong = read_id(r, &m->id);
    if (!wrong) {
        wrong = read_span(r, nesting, false, &error);
    }
    if (!wrong) {
        wrong = read_span(r, nesting, true, &m->payload);
    }
    if (!wrong && *error.at != 0xc0) {
        m->error = error;
    }
    return wrong;
}

static const char *read_notification(struct mp_reader *r, unsigned nesting, uint32_t fields,
                                     struct message *m)
{
    const char *wrong;

    if (fields != 3) {
        return "a notification that has not three fields";
    }
    wrong = read_method(r, m);
    return wrong ? wrong : read_span(r, nesting, true, &m->payload);
}

static const char *read_cancel(struct mp_reader *r, unsigned nesting, uint32_t fields,
                               struct message *m)
{
    (void)nesting;
    return fields == 2 ? read_id(r, &m->id) : "a cancel that has not two fields";
}

static const char *read_item(struct mp_reader *r, unsigned nesting, uint32_t fields,
                             struct message *m)
{
    const char *wrong;

    if (fields != 3) {
        return "an item that has not three fields";
    }
    wrong = read_id(r, &m->id);
    return wrong ? wrong : read_span(r, nesting, true, &m->payload);
}

static const char *read_credit(struct mp_reader *r, unsigned nesting, uint32_t fields,
                               struct message *m)
{
    struct mp_token t;
    const char *wrong;

    (void)nesting;
    if (fields != 3) {
        return "a credit that has not three fields";
    }
    wrong = read_id(r, &m->id);
    if (!wrong) {
        wrong = mp_next(r, &t);
    }
    if (wrong) {
        return wrong;
    }
    if (t.type != MP_INT || t.i < 1 || t.i > STREAM_WINDOW) {
        return "a credit that is not a number of bytes of a stream's window";
    }
    m->credit = (uint32_t)t.i;
    return NULL;
}

static const char *read_cargo(struct mp_reader *r, unsigned nesting, uint32_t fields,
                              struct message *m)
{
    return fields == 2 ? read_span(r, nesting, true, &m->payload)
                       : "a cargo that has not two fields";
}

static const char *read_arena(struct mp_reader *r, unsigned nesting, uint32_t fields,
                              struct message *m)
{
    (void)r;
    (void)nesting;
    (void)m;
    return fields == 1 ? NULL : "an arena that has more than one field";
}

static const char *read_release(struct mp_reader *r, unsigned nesting, uint32_t fields,
                                struct message *m)
{
    struct mp_token t;
    const char *wrong;

    (void)nesting;
    if (fields != 2) {
        return "a release that has not two fields";
    }
    wrong = mp_next(r, &t);
    if (wrong) {
        return wrong;
    }
    if (t.type != MP_NIL && (t.type != MP_INT || t.i < 0 || t.i > UINT32_MAX)) {
        return "a release of what is no block";
    }
    m->block = t.type == MP_NIL ? -1 : t.i;
    return NULL;
}

int message_parse(struct span body, const struct wire_limits *limits, struct message *m,
                  struct failure *why)
{
    static const char *(*const read_kind[])(struct mp_reader *, unsigned, uint32_t,
                                            struct message *) = {
        [MESSAGE_REQUEST] = read_request,
        [MESSAGE_RESPONSE] = read_response,
        [MESSAGE_NOTIFICATION] = read_notification,
        [MESSAGE_CANCEL] = read_cancel,
        [MESSAGE_ITEM] = read_item,
        [MESSAGE_CREDIT] = read_credit,
        [MESSAGE_CARGO] = read_cargo,
        [MESSAGE_ARENA] = read_arena,
        [MESSAGE_RELEASE] = read_release,
    };
    struct mp_reader r = {body.at, body.at + body.len};
    struct mp_token array;
    struct mp_token kind;
    const char *wrong;

    memset(m, 0, sizeof *m);
    wrong = mp_next(&r, &array);
    if (!wrong && (array.type != MP_ARRAY || array.n == 0)) {
        wrong = "something other than an array";
    }
    if (!wrong) {
        wrong = mp_next(&r, &kind);
    }
    if (!wrong && (kind.type != MP_INT || kind.i < 0 ||
                   kind.i >= (int64_t)(sizeof read_kind / sizeof read_kind[0]))) {
        wrong = "a message of an unknown kind";
    }
    if (!wrong) {
        m->kind = (enum message_kind)kind.i;
        wrong = read_kind[kind.i](&r, limits->nesting, array.n, m);
    }
    if (!wrong && r.at != r.end) {
        wrong = "bytes after the end of the message";
    }
    return wrong ? fail(why, TITAN_E_PROTOCOL_ERROR, "%s", wrong) : TITAN_OK;
}

/* ---- writing ---- */

bool message_write_request(struct buf *b, uint32_t id, uint32_t method_id, struct span method,
                           bool has_header)
{
    uint8_t *from = buf_room(b, 2 + 2 * MP_HEAD_MAX + method.len);
    uint8_t *at = from;

    if (from == NULL) {
        return false;
    }
    *at++ = has_header ? 0x95 : 0x94;
    *at++ = MESSAGE_REQUEST;
    at = mp_put_uint(at, id);
    if (method.at == NULL) {
        at = mp_put_uint(at, method_id);
    } else {
        at = mp_put_str_head(at, (uint32_t)method.len);
        memcpy(at, method.at, method.len);
        at += method.len;
    }
    buf_wrote(b, (size_t)(at - from));
    return true;
}

static bool write_response_head(struct buf *b, uint32_t id, bool error_is_nil)
{
    uint8_t *from = buf_room(b, 3 + MP_HEAD_MAX);
    uint8_t *at = from;

    if (from == NULL) {
        return false;
    }
    *at++ = 0x94;
    *at++ = MESSAGE_RESPONSE;
    at = mp_put_uint(at, id);
    if (error_is_nil) {
        *at++ = 0xc0;
    }
    buf_wrote(b, (size_t)(at - from));
    return true;
}

bool message_write_results(struct buf *b, uint32_t id)
{
    return write_response_head(b, id, true);
}

bool message_write_error(struct buf *b, uint32_t id)
{
    return write_response_head(b, id, false);
}

bool message_write_error_end(struct buf *b)
{
    return mp_write_nil(b);
}

bool message_write_notification(struct buf *b, const char *method)
{
    return mp_write_byte(b, 0x93) && mp_write_byte(b, MESSAGE_NOTIFICATION) &&
           mp_write_str(b, method, strlen(method));
}

bool message_write_cancel(struct buf *b, uint32_t id)
{
    return mp_write_byte(b, 0x92) && mp_write_byte(b, MESSAGE_CANCEL) && mp_write_int(b, id);
}

bool message_write_item(struct buf *b, uint32_t id)
{
    uint8_t *from = buf_room(b, 2 + MP_HEAD_MAX);
    uint8_t *at = from;

    if (from == NULL) {
        return false;
    }
    *at++ = 0x93;
    *at++ = MESSAGE_ITEM;
    at = mp_put_uint(at, id);
    buf_wrote(b, (size_t)(at - from));
    return true;
}

bool message_write_credit(struct buf *b, uint32_t id, uint32_t bytes)
{
    return mp_write_byte(b, 0x93) && mp_write_byte(b, MESSAGE_CREDIT) && mp_write_int(b, id) &&
           mp_write_int(b, bytes);
}

bool message_write_cargo(struct buf *b)
{
    return mp_write_byte(b, 0x92) && mp_write_byte(b, MESSAGE_CARGO);
}

bool message_write_arena(struct buf *b)
{
    return mp_write_byte(b, 0x91) && mp_write_byte(b, MESSAGE_ARENA);
}

bool message_write_release(struct buf *b, int64_t block)
{
    return mp_write_byte(b, 0x92) && mp_write_byte(b, MESSAGE_RELEASE) &&
           (block < 0 ? mp_write_nil(b) : mp_write_int(b, block));
}
