#include "wire/header.h"

#include "unit.h"

static struct header read_text(const char *bytes, size_t len)
{
    struct header h;

    header_read((struct span){(const uint8_t *)bytes, len}, &h);
    return h;
}

#define READ(text) read_text(text, sizeof(text) - 1)

static void a_header_says_the_service_and_the_deadline(void **state)
{
    struct header h = READ("\x83\xa1o\x92\x01\x81\x02\x03\xa7service\xa4mail\xa8"
                           "deadline\xcd\x01\x00");

    (void)state;
    assert_true(span_is(h.service, "mail"));
    assert_int_equal(h.deadline_ms, 256);
    assert_true(h.has_more);
}

static void a_header_of_a_deadline_alone_says_it(void **state)
{
    struct header h = READ("\x81\xa8"
                           "deadline\x07");

    (void)state;
    assert_null(h.service.at);
    assert_int_equal(h.deadline_ms, 7);
    assert_false(h.has_more);
}

static void a_deadline_that_has_passed_is_still_one(void **state)
{
    (void)state;
    assert_int_equal(READ("\x81\xa8"
                          "deadline\x00")
                         .deadline_ms,
                     1);
}

static void what_is_of_the_wrong_type_is_not_there(void **state)
{
    struct header h = READ("\x82\xa7service\x07\xa8"
                           "deadline\xa1x");

    (void)state;
    assert_null(h.service.at);
    assert_int_equal(h.deadline_ms, 0);
    assert_int_equal(READ("\x81\xa8"
                          "deadline\xff")
                         .deadline_ms,
                     0);
}

static void a_header_that_is_malformed_or_not_there_says_nothing(void **state)
{
    struct header h;

    (void)state;
    header_read((struct span){NULL, 0}, &h);
    assert_null(h.service.at);
    assert_null(READ("").service.at);
    assert_null(READ("\xc0").service.at);
    assert_null(READ("\x92\xa7service\xa1v").service.at);
    assert_null(READ("\x82\x07\xa1v\xa7service\xa1v").service.at);
    assert_null(READ("\x81\xa7service\xa2v").service.at);
    assert_null(READ("\x82\xa1j\xc1\xa7service\xa1v").service.at);
    assert_int_equal(READ("\x81\xa8"
                          "deadline")
                         .deadline_ms,
                     0);
}

static void what_is_written_is_read(void **state)
{
    struct buf b = {0};
    struct header h;

    (void)state;
    assert_true(header_begin(&b, "mail", 30000, 0));
    header_read((struct span){buf_front(&b), buf_len(&b)}, &h);
    assert_true(span_is(h.service, "mail"));
    assert_int_equal(h.deadline_ms, 30000);
    assert_false(h.has_more);
    buf_free(&b);
}

static void what_is_passed_on_has_no_service_and_no_claim(void **state)
{
    static const char given[] = "\x84\xa7service\xa4mail\xa7"
                                "claimed\xc3\xa1k\x92\x01\xa1v\xa8"
                                "deadline\x63";
    static const char wanted[] = "\x82\xa8"
                                 "deadline\x05\xa1k\x92\x01\xa1v";
    struct span bytes = {(const uint8_t *)given, sizeof given - 1};
    struct buf b = {0};

    (void)state;
    assert_true(header_is_needed(bytes, 0));
    assert_true(header_pass_on(&b, bytes, 5));
    assert_int_equal(buf_len(&b), sizeof wanted - 1);
    assert_memory_equal(buf_front(&b), wanted, sizeof wanted - 1);
    buf_free(&b);
}

static void nothing_is_passed_on_of_a_service_alone(void **state)
{
    static const char given[] = "\x81\xa7service\xa4mail";
    struct span bytes = {(const uint8_t *)given, sizeof given - 1};

    (void)state;
    assert_false(header_is_needed(bytes, 0));
    assert_true(header_is_needed(bytes, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_says_the_service_and_the_deadline),
        cmocka_unit_test(a_header_of_a_deadline_alone_says_it),
        cmocka_unit_test(a_deadline_that_has_passed_is_still_one),
        cmocka_unit_test(what_is_of_the_wrong_type_is_not_there),
        cmocka_unit_test(a_header_that_is_malformed_or_not_there_says_nothing),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_passed_on_has_no_service_and_no_claim),
        cmocka_unit_test(nothing_is_passed_on_of_a_service_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
