#include "unit.h"

#include "wire/message.h"
#include "wire/mp_write.h"

static const struct wire_limits limits = {.frame = 1000, .nesting = 4, .outstanding = 10};

static struct span body_of(const struct buf *b)
{
    return (struct span){buf_front(b), buf_len(b)};
}

static void assert_span(struct span s, const void *bytes, size_t len)
{
    assert_non_null(s.at);
    assert_int_equal(s.len, len);
    assert_memory_equal(s.at, bytes, len);
}

/* Parses a copy of exactly that size, so that a sanitizer sees a read past the end. */
static int parse(const void *bytes, size_t len, struct failure *why)
{
    uint8_t *copy = malloc(len + 1);
    struct message m;
    int code;

    memcpy(copy + 1, bytes, len);
    code = message_parse((struct span){copy + 1, len}, &limits, &m, why);
    free(copy);
    return code;
}

static void assert_malformed(const void *bytes, size_t len, const char *text)
{
    struct failure why;

    assert_int_equal(parse(bytes, len, &why), TITAN_E_PROTOCOL_ERROR);
    assert_int_equal(why.code, TITAN_E_PROTOCOL_ERROR);
    assert_string_equal(why.message, text);
}

/* ---- every shape, written and read ---- */

static void a_request_by_number_comes_back(void **state)
{
    struct buf b = {0};
    struct message m;

    (void)state;
    assert_true(message_write_request(&b, 70000, 300, (struct span){NULL, 0}, false));
    assert_true(buf_append(&b, "\x91\x07", 2));
    assert_int_equal(message_parse(body_of(&b), &limits, &m, NULL), TITAN_OK);
    assert_int_equal(m.kind, MESSAGE_REQUEST);
    assert_int_equal(m.id, 70000);
    assert_null(m.method.at);
    assert_int_equal(m.method_id, 300);
    assert_span(m.payload, "\x91\x07", 2);
    assert_null(m.header.at);
    buf_free(&b);
}

static void a_request_by_name_with_a_header_comes_back(void **state)
{
    struct buf b = {0};
    struct message m;

    (void)state;
    assert_true(message_write_request(&b, UINT32_MAX, 0, span_of("resize"), true));
    assert_true(buf_append(&b, "\x91\x07\x81\xa1k\xa1v", 7));
    assert_int_equal(message_parse(body_of(&b), &limits, &m, NULL), TITAN_OK);
    assert_int_equal(m.kind, MESSAGE_REQUEST);
    assert_int_equal(m.id, UINT32_MAX);
    assert_true(span_is(m.method, "resize"));
    assert_span(m.payload, "\x91\x07", 2);
    assert_span(m.header, "\x81\xa1k\xa1v", 5);
    buf_free(&b);
}

static void results_come_back(void **state)
{
    struct buf b = {0};
    struct message m;

    (void)state;
    assert_true(message_write_results(&b, 5));
    assert_true(buf_append(&b, "\x92\x01\x02", 3));
    assert_int_equal(message_parse(body_of(&b), &limits, &m, NULL), TITAN_OK);
    assert_int_equal(m.kind, MESSAGE_RESPONSE);
    assert_int_equal(m.id, 5);
    assert_null(m.error.at);
    assert_span(m.payload, "\x92\x01\x02", 3);
    buf_free(&b);
}

static void an_error_comes_back(void **state)
{
    struct buf b = {0};
    struct message m;

    (void)state;
    assert_true(message_write_error(&b, 6));
    assert_true(buf_append(&b, "\x81\x01\x02", 3));
    assert_true(message_write_error_end(&b));
    assert_int_equal(message_parse(body_of(&b), &limits, &m, NULL), TITAN_OK);
    assert_int_equal(m.kind, MESSAGE_RESPONSE);
    assert_int_equal(m.id, 6);
    assert_span(m.error, "\x81\x01\x02", 3);
    buf_free(&b);
}

static void a_notification_comes_back(void **state)
{
    struct buf b = {0};
    struct message m;

    (void)state;
    assert_true(message_write_notification(&b, "ready"));
    assert_true(buf_append(&b, "\x80", 1));
    assert_int_equal(message_parse(body_of(&b), &limits, &m, NULL), TITAN_OK);
    assert_int_equal(m.kind, MESSAGE_NOTIFICATION);
    assert_true(span_is(m.method, "ready"));
    assert_span(m.payload, "\x80", 1);
    buf_free(&b);
}

static void a_cancel_comes_back(void **state)
{
    struct buf b = {0};
    struct message m;

    (void)state;
    assert_true(message_write_cancel(&b, 0x12345));
    assert_int_equal(message_parse(body_of(&b), &limits, &m, NULL), TITAN_OK);
    assert_int_equal(m.kind, MESSAGE_CANCEL);
    assert_int_equal(m.id, 0x12345);
    buf_free(&b);
}

static void an_item_and_its_credit_come_back(void **state)
{
    struct buf item = {0};
    struct buf credit = {0};
    struct message m;

    (void)state;
    assert_true(message_write_item(&item, 0x12345));
    assert_true(buf_append(&item, "\x92\x07\xc0", 3));
    assert_int_equal(message_parse(body_of(&item), &limits, &m, NULL), TITAN_OK);
    assert_int_equal(m.kind, MESSAGE_ITEM);
    assert_int_equal(m.id, 0x12345);
    assert_span(m.payload, "\x92\x07\xc0", 3);
    assert_true(message_write_credit(&credit, 0x12345, STREAM_WINDOW));
    assert_int_equal(message_parse(body_of(&credit), &limits, &m, NULL), TITAN_OK);
    assert_int_equal(m.kind, MESSAGE_CREDIT);
    assert_int_equal(m.id, 0x12345);
    assert_int_equal(m.credit, STREAM_WINDOW);
    buf_free(&item);
    buf_free(&credit);
}

/* ---- what is malformed ---- */

static void what_is_no_array_is_malformed(void **state)
{
    (void)state;
    assert_malformed("", 0, "truncated value");
    assert_malformed("\xc0", 1, "something other than an array");
    assert_malformed("\x80", 1, "something other than an array");
    assert_malformed("\x90", 1, "something other than an array");
}

static void unknown_kinds_are_malformed(void **state)
{
    (void)state;
    assert_malformed("\x92\x09\x01", 3, "a message of an unknown kind");
    assert_malformed("\x92\xff\x01", 3, "a message of an unknown kind");
    assert_malformed("\x92\xc2\x01", 3, "a message of an unknown kind");
    assert_malformed("\x92\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11,
                     "a message of an unknown kind");
}

static void wrong_numbers_of_fields_are_malformed(void **state)
{
    const char *not_bytes = "a credit that is not a number of bytes of a stream's window";

    (void)state;
    assert_malformed("\x93\x00\x01\x02", 4, "a request that has neither four nor five fields");
    assert_malformed("\x96\x00\x01\x02\x90\x80\x80", 7,
                     "a request that has neither four nor five fields");
    assert_malformed("\x93\x01\x01\xc0", 4, "a response that has not four fields");
    assert_malformed("\x95\x01\x01\xc0\x90\x90", 6, "a response that has not four fields");
    assert_malformed("\x92\x02\xa1m", 4, "a notification that has not three fields");
    assert_malformed("\x94\x02\xa1m\x90\x90", 6, "a notification that has not three fields");
    assert_malformed("\x91\x03", 2, "a cancel that has not two fields");
    assert_malformed("\x93\x03\x01\x01", 4, "a cancel that has not two fields");
    assert_malformed("\x92\x04\x01", 3, "an item that has not three fields");
    assert_malformed("\x94\x04\x01\x90\x90", 5, "an item that has not three fields");
    assert_malformed("\x93\x04\x01", 3, "truncated value");
    assert_malformed("\x92\x05\x01", 3, "a credit that has not three fields");
    assert_malformed("\x93\x05\x01\x00", 4, not_bytes);
    assert_malformed("\x93\x05\x01\xff", 4, not_bytes);
    assert_malformed("\x93\x05\x01\xc0", 4, not_bytes);
    assert_malformed("\x93\x05\x01\xce\x00\x40\x00\x01", 8, not_bytes);
    assert_malformed("\x93\x05\x01\x01\x01", 5, "bytes after the end of the message");
}

static void ids_that_are_no_32_bit_numbers_are_malformed(void **state)
{
    const char *text = "a message id that is not an unsigned 32-bit integer";

    (void)state;
    assert_malformed("\x94\x00\xff\x01\x90", 5, text);
    assert_malformed("\x94\x00\xcf\x00\x00\x00\x01\x00\x00\x00\x00\x01\x90", 13, text);
    assert_malformed("\x94\x01\xa1x\xc0\x90", 6, text);
    assert_malformed("\x92\x03\xcb\x00\x00\x00\x00\x00\x00\x00\x00", 11, text);
    assert_malformed("\x92\x03\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 11, text);
}

static void methods_that_are_neither_name_nor_number_are_malformed(void **state)
{
    const char *text = "a method that is neither a name nor a number";

    (void)state;
    assert_malformed("\x94\x00\x01\xc0\x90", 5, text);
    assert_malformed("\x94\x00\x01\xff\x90", 5, text);
    assert_malformed("\x94\x00\x01\x90\x90", 5, text);
    assert_malformed("\x93\x02\xc3\x90", 4, text);
}

/* Where the last field is a payload, the bytes behind it are the payload's and seen when it is
 * decoded. */
static void bytes_after_the_end_are_malformed(void **state)
{
    const char *text = "bytes after the end of the message";

    (void)state;
    assert_malformed("\x92\x03\x01\x00", 4, text);
    assert_malformed("\x95\x00\x01\x02\x90\x80\x00", 7, text);
}

static void a_message_cut_at_any_byte_is_malformed(void **state)
{
    static const char request[] = "\x95\x00\xcd\x01\x00\xa3sum\x92\x01\x02\x81\xa1k\xa1v";
    struct failure why;

    (void)state;
    for (size_t len = 0; len < sizeof request - 1; len++) {
        assert_int_equal(parse(request, len, &why), TITAN_E_PROTOCOL_ERROR);
    }
    assert_int_equal(parse(request, sizeof request - 1, &why), TITAN_OK);
}

static void a_message_whose_payload_is_missing_is_malformed(void **state)
{
    (void)state;
    assert_malformed("\x94\x01\x01\xc0", 4, "truncated value");
    assert_malformed("\x93\x02\xa1m", 4, "truncated value");
}

static void what_has_to_be_stepped_over_is_nested_no_deeper_than_the_limit(void **state)
{
    struct failure why;

    (void)state;
    assert_int_equal(parse("\x94\x01\x01\x91\x91\x91\x91\xc0\xc0", 9, &why), TITAN_OK);
    assert_malformed("\x94\x01\x01\x91\x91\x91\x91\x91\xc0\xc0", 10, "nested too deeply");
}

/* The params of a request are a list, which is no part of the value that is nested in it. */
static void params_before_a_header_may_nest_to_the_limit_inside_their_list(void **state)
{
    struct failure why;

    (void)state;
    assert_int_equal(parse("\x95\x00\x01\x02\x91\x91\x91\x91\x91\xc0\x80", 11, &why), TITAN_OK);
    assert_malformed("\x95\x00\x01\x02\x91\x91\x91\x91\x91\x91\xc0\x80", 12, "nested too deeply");
}

static void spans_compare_with_text_by_all_their_bytes(void **state)
{
    (void)state;
    assert_true(span_is(span_of("abc"), "abc"));
    assert_false(span_is(span_of("abc"), "ab"));
    assert_false(span_is(span_of("abc"), "abd"));
    assert_false(span_is((struct span){NULL, 0}, ""));
    assert_true(span_is(span_of(""), ""));
}

/* ---- frames ---- */

static void a_frame_is_found_when_all_of_it_is_there(void **state)
{
    const uint8_t bytes[] = {3, 0, 0, 0, 'a', 'b', 'c', 9};

    (void)state;
    for (size_t len = 0; len < 7; len++) {
        assert_int_equal(frame_find(bytes, len, 100, NULL), 0);
    }
    assert_int_equal(frame_find(bytes, 7, 100, NULL), 7);
    assert_int_equal(frame_find(bytes, 8, 100, NULL), 7);
}

static void a_frame_length_is_little_endian(void **state)
{
    const uint8_t bytes[] = {4, 3, 2, 1};
    struct failure why;

    (void)state;
    assert_int_equal(frame_find(bytes, 4, 0x01020304, &why), 0);
    assert_int_equal(frame_find(bytes, 4, 0x01020303, &why), TITAN_E_PROTOCOL_ERROR);
    assert_string_equal(why.message,
                        "a frame of 16909060 bytes, the limit is 16909059 (limits.frame)");
}

static void an_empty_frame_is_malformed(void **state)
{
    const uint8_t bytes[5] = {0};
    struct failure why;

    (void)state;
    assert_int_equal(frame_find(bytes, 5, 100, &why), TITAN_E_PROTOCOL_ERROR);
    assert_string_equal(why.message, "an empty frame");
}

static void a_frame_is_written_behind_what_is_there_already(void **state)
{
    struct buf b = {0};
    size_t at;

    (void)state;
    assert_true(buf_append(&b, "gone, kept", 10));
    buf_consume(&b, 6);
    assert_true(frame_open(&b, &at));
    assert_true(buf_append(&b, "body", 4));
    assert_true(frame_close(&b, at, 4));
    assert_span(body_of(&b), "kept\4\0\0\0body", 12);
    buf_free(&b);
}

static void a_frame_over_the_limit_is_taken_back(void **state)
{
    struct buf b = {0};
    size_t at;

    (void)state;
    assert_true(buf_append(&b, "kept", 4));
    assert_true(frame_open(&b, &at));
    assert_true(buf_append(&b, "body", 4));
    assert_false(frame_close(&b, at, 3));
    assert_span(body_of(&b), "kept", 4);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_by_number_comes_back),
        cmocka_unit_test(a_request_by_name_with_a_header_comes_back),
        cmocka_unit_test(results_come_back),
        cmocka_unit_test(an_error_comes_back),
        cmocka_unit_test(a_notification_comes_back),
        cmocka_unit_test(a_cancel_comes_back),
        cmocka_unit_test(an_item_and_its_credit_come_back),
        cmocka_unit_test(what_is_no_array_is_malformed),
        cmocka_unit_test(unknown_kinds_are_malformed),
        cmocka_unit_test(wrong_numbers_of_fields_are_malformed),
        cmocka_unit_test(ids_that_are_no_32_bit_numbers_are_malformed),
        cmocka_unit_test(methods_that_are_neither_name_nor_number_are_malformed),
        cmocka_unit_test(bytes_after_the_end_are_malformed),
        cmocka_unit_test(a_message_cut_at_any_byte_is_malformed),
        cmocka_unit_test(a_message_whose_payload_is_missing_is_malformed),
        cmocka_unit_test(what_has_to_be_stepped_over_is_nested_no_deeper_than_the_limit),
        cmocka_unit_test(params_before_a_header_may_nest_to_the_limit_inside_their_list),
        cmocka_unit_test(spans_compare_with_text_by_all_their_bytes),
        cmocka_unit_test(a_frame_is_found_when_all_of_it_is_there),
        cmocka_unit_test(a_frame_length_is_little_endian),
        cmocka_unit_test(an_empty_frame_is_malformed),
        cmocka_unit_test(a_frame_is_written_behind_what_is_there_already),
        cmocka_unit_test(a_frame_over_the_limit_is_taken_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
