#include "unit.h"

#include "base/traceparent.h"

#define GOOD "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static void it_is_taken_apart(void **state)
{
    struct traceparent t;

    (void)state;
    assert_true(traceparent_parse(GOOD, strlen(GOOD), &t));
    assert_memory_equal(t.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736", 32);
    assert_memory_equal(t.parent_id, "00f067aa0ba902b7", 16);
    assert_true(t.sampled);
}

/* Of exactly its length, so that a sanitizer sees a step beyond it. */
static bool parse_exact(const char *text, size_t len)
{
    struct traceparent t;
    char *copy = malloc(len + 1);
    bool ok;

    assert_non_null(copy);
    memcpy(copy + 1, text, len);
    ok = traceparent_parse(copy + 1, len, &t);
    free(copy);
    return ok;
}

static void none_is_shorter(void **state)
{
    (void)state;
    for (size_t len = 0; len < strlen(GOOD); len++) {
        assert_false(parse_exact(GOOD, len));
    }
    assert_true(parse_exact(GOOD, strlen(GOOD)));
}

static bool belongs(char c, char in_place_of)
{
    if (in_place_of == '-') {
        return c == '-';
    }
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static void each_character_counts(void **state)
{
    char text[] = GOOD;

    (void)state;
    for (size_t at = 0; at < strlen(GOOD); at++) {
        for (int c = 0; c < 256; c++) {
            text[at] = (char)c;
            assert_int_equal(parse_exact(text, strlen(GOOD)), belongs((char)c, GOOD[at]));
        }
        text[at] = GOOD[at];
    }
}

static void it_is_written_as_it_is_read(void **state)
{
    struct traceparent t;
    char text[TRACEPARENT_LEN];

    (void)state;
    assert_true(traceparent_parse(GOOD, strlen(GOOD), &t));
    traceparent_format(text, t.trace_id, t.parent_id, true);
    assert_memory_equal(text, GOOD, strlen(GOOD));
    traceparent_format(text, t.trace_id, t.parent_id, false);
    assert_true(traceparent_parse(text, sizeof text, &t));
    assert_false(t.sampled);
}

static bool is_sampled(const char *last, double share)
{
    char trace_id[33] = "ffffffffffffffff";

    memcpy(trace_id + 16, last, 16);
    return traceparent_is_sampled(trace_id, (int64_t)(share * 0x1p63));
}

static void the_last_eight_bytes_decide_as_in_opentelemetry(void **state)
{
    (void)state;
    assert_true(is_sampled("0000000000000001", 0.5));
    assert_true(is_sampled("7fffffffffffffff", 0.5));
    assert_false(is_sampled("8000000000000000", 0.5));
    assert_false(is_sampled("ffffffffffffffff", 0.999999));
    assert_true(is_sampled("19999999999999ff", 0.1));
    assert_false(is_sampled("1999999999999a00", 0.1));
}

static void all_and_none_are_sampled(void **state)
{
    (void)state;
    assert_false(is_sampled("0000000000000000", 0));
    assert_true(traceparent_is_sampled("ffffffffffffffffffffffffffffffff", TRACEPARENT_ALL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_taken_apart),
        cmocka_unit_test(none_is_shorter),
        cmocka_unit_test(each_character_counts),
        cmocka_unit_test(it_is_written_as_it_is_read),
        cmocka_unit_test(the_last_eight_bytes_decide_as_in_opentelemetry),
        cmocka_unit_test(all_and_none_are_sampled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
