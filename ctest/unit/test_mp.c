#include "unit.h"

#include <math.h>

#include "wire/mp_read.h"
#include "wire/mp_write.h"

/* A reader of bytes in memory of exactly their size, so that a sanitizer sees a read past the end.
 */
static struct mp_reader reader_of(const void *bytes, size_t len, uint8_t **memory)
{
    *memory = malloc(len + 1);
    memcpy(*memory + 1, bytes, len);
    return (struct mp_reader){*memory + 1, *memory + 1 + len};
}

/* What mp_next makes of the bytes; the token must be all of them. */
static struct mp_token token_of(const void *bytes, size_t len)
{
    uint8_t *memory;
    struct mp_reader r = reader_of(bytes, len, &memory);
    struct mp_token t;

    assert_null(mp_next(&r, &t));
    assert_ptr_equal(r.at, r.end);
    free(memory);
    return t;
}

static const char *wrong_with(const void *bytes, size_t len)
{
    uint8_t *memory;
    struct mp_reader r = reader_of(bytes, len, &memory);
    struct mp_token t;
    const char *wrong = mp_next(&r, &t);

    free(memory);
    return wrong;
}

static void assert_written(struct buf *b, const void *bytes, size_t len)
{
    assert_int_equal(buf_len(b), len);
    assert_memory_equal(buf_front(b), bytes, len);
}

/* ---- numbers ---- */

static const struct {
    int64_t value;
    const char *bytes;
    size_t len;
} integers[] = {
    {0, "\x00", 1},
    {1, "\x01", 1},
    {0x7f, "\x7f", 1},
    {0x80, "\xcc\x80", 2},
    {0xff, "\xcc\xff", 2},
    {0x100, "\xcd\x01\x00", 3},
    {0xffff, "\xcd\xff\xff", 3},
    {0x10000, "\xce\x00\x01\x00\x00", 5},
    {0xffffffff, "\xce\xff\xff\xff\xff", 5},
    {0x100000000, "\xcf\x00\x00\x00\x01\x00\x00\x00\x00", 9},
    {0x0123456789abcdef, "\xcf\x01\x23\x45\x67\x89\xab\xcd\xef", 9},
    {INT64_MAX, "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", 9},
    {-1, "\xff", 1},
    {-32, "\xe0", 1},
    {-33, "\xd0\xdf", 2},
    {-128, "\xd0\x80", 2},
    {-129, "\xd1\xff\x7f", 3},
    {-32768, "\xd1\x80\x00", 3},
    {-32769, "\xd2\xff\xff\x7f\xff", 5},
    {INT32_MIN, "\xd2\x80\x00\x00\x00", 5},
    {(int64_t)INT32_MIN - 1, "\xd3\xff\xff\xff\xff\x7f\xff\xff\xff", 9},
    {INT64_MIN, "\xd3\x80\x00\x00\x00\x00\x00\x00\x00", 9},
};

static void integers_are_written_in_their_shortest_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < count_of(integers); i++) {
        struct buf b = {0};

        assert_true(mp_write_int(&b, integers[i].value));
        assert_written(&b, integers[i].bytes, integers[i].len);
        buf_free(&b);
    }
}

static void integers_are_read_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < count_of(integers); i++) {
        struct mp_token t = token_of(integers[i].bytes, integers[i].len);

        assert_int_equal(t.type, MP_INT);
        assert_int_equal(t.i, integers[i].value);
    }
}

static void integers_in_longer_forms_than_needed_are_read(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        int64_t value;
    } forms[] = {
        {"\xcc\x05", 2, 5},
        {"\xcd\x00\x05", 3, 5},
        {"\xce\x00\x00\x00\x05", 5, 5},
        {"\xcf\x00\x00\x00\x00\x00\x00\x00\x05", 9, 5},
        {"\xd0\x05", 2, 5},
        {"\xd1\xff\xfb", 3, -5},
        {"\xd2\xff\xff\xff\xfb", 5, -5},
        {"\xd3\xff\xff\xff\xff\xff\xff\xff\xfb", 9, -5},
    };

    (void)state;
    for (size_t i = 0; i < count_of(forms); i++) {
        struct mp_token t = token_of(forms[i].bytes, forms[i].len);

        assert_int_equal(t.type, MP_INT);
        assert_int_equal(t.i, forms[i].value);
    }
}

static void integers_above_the_signed_ones_are_a_type_of_their_own(void **state)
{
    struct mp_token least = token_of("\xcf\x80\x00\x00\x00\x00\x00\x00\x00", 9);
    struct mp_token most = token_of("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9);
    uint8_t bytes[MP_HEAD_MAX];

    (void)state;
    assert_int_equal(least.type, MP_UINT);
    assert_true(least.u == (uint64_t)INT64_MAX + 1);
    assert_int_equal(most.type, MP_UINT);
    assert_true(most.u == UINT64_MAX);
    assert_ptr_equal(mp_put_uint(bytes, UINT64_MAX), bytes + 9);
    assert_memory_equal(bytes, "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9);
}

static void floats_go_both_ways_bit_for_bit(void **state)
{
    static const double values[] = {0.0, -0.0, 1.5, -1e308, 5e-324, INFINITY, NAN};

    (void)state;
    for (size_t i = 0; i < count_of(values); i++) {
        struct buf b = {0};
        struct mp_token t;

        assert_true(mp_write_double(&b, values[i]));
        t = token_of(buf_front(&b), buf_len(&b));
        assert_int_equal(t.type, MP_DOUBLE);
        assert_memory_equal(&t.d, &values[i], sizeof t.d);
        buf_free(&b);
    }
}

static void floats_are_written_big_endian(void **state)
{
    struct buf b = {0};

    (void)state;
    assert_true(mp_write_double(&b, 1.5));
    assert_written(&b, "\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", 9);
    buf_free(&b);
}

static void short_floats_are_read(void **state)
{
    struct mp_token t = token_of("\xca\xc0\x20\x00\x00", 5);

    (void)state;
    assert_int_equal(t.type, MP_DOUBLE);
    assert_true(t.d == -2.5);
}

/* ---- nil, booleans, bytes ---- */

static void nil_and_booleans_go_both_ways(void **state)
{
    struct buf b = {0};

    (void)state;
    assert_true(mp_write_nil(&b) && mp_write_bool(&b, false) && mp_write_bool(&b, true));
    assert_written(&b, "\xc0\xc2\xc3", 3);
    buf_free(&b);
    assert_int_equal(token_of("\xc0", 1).type, MP_NIL);
    assert_int_equal(token_of("\xc2", 1).type, MP_BOOL);
    assert_int_equal(token_of("\xc2", 1).i, 0);
    assert_int_equal(token_of("\xc3", 1).type, MP_BOOL);
    assert_int_equal(token_of("\xc3", 1).i, 1);
}

static const struct {
    uint32_t len;
    const char *head;
    size_t head_len;
} strings[] = {
    {0, "\xa0", 1},
    {31, "\xbf", 1},
    {32, "\xd9\x20", 2},
    {255, "\xd9\xff", 2},
    {256, "\xda\x01\x00", 3},
    {65535, "\xda\xff\xff", 3},
    {65536, "\xdb\x00\x01\x00\x00", 5},
};

static void strings_go_both_ways_in_their_shortest_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < count_of(strings); i++) {
        char *bytes = malloc(strings[i].len + 1);
        struct buf b = {0};
        struct mp_reader r;
        struct mp_token t;

        memset(bytes, 'x', strings[i].len);
        assert_true(mp_write_str(&b, bytes, strings[i].len));
        assert_int_equal(buf_len(&b), strings[i].head_len + strings[i].len);
        assert_memory_equal(buf_front(&b), strings[i].head, strings[i].head_len);
        r = (struct mp_reader){buf_front(&b), buf_front(&b) + buf_len(&b)};
        assert_null(mp_next(&r, &t));
        assert_int_equal(t.type, MP_STR);
        assert_int_equal(t.n, strings[i].len);
        assert_ptr_equal(t.bytes, buf_front(&b) + strings[i].head_len);
        assert_memory_equal(t.bytes, bytes, strings[i].len);
        assert_ptr_equal(r.at, r.end);
        buf_free(&b);
        free(bytes);
    }
}

static void bin_is_read_as_a_string(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } forms[] = {{"\xc4\x03"
                  "a\0b",
                  5},
                 {"\xc5\x00\x03"
                  "a\0b",
                  6},
                 {"\xc6\x00\x00\x00\x03"
                  "a\0b",
                  8}};

    (void)state;
    for (size_t i = 0; i < count_of(forms); i++) {
        struct mp_reader r = {(const uint8_t *)forms[i].bytes,
                              (const uint8_t *)forms[i].bytes + forms[i].len};
        struct mp_token t;

        assert_null(mp_next(&r, &t));
        assert_int_equal(t.type, MP_STR);
        assert_int_equal(t.n, 3);
        assert_memory_equal(t.bytes, "a\0b", 3);
        assert_ptr_equal(r.at, r.end);
    }
}

static void extensions_are_read_with_their_type(void **state)
{
    static const struct {
        const char *head;
        size_t head_len;
        uint32_t len;
    } forms[] = {
        {"\xd4\xff", 2, 1},         {"\xd5\xff", 2, 2},
        {"\xd6\xff", 2, 4},         {"\xd7\xff", 2, 8},
        {"\xd8\xff", 2, 16},        {"\xc7\x03\xff", 3, 3},
        {"\xc8\x00\x03\xff", 4, 3}, {"\xc9\x00\x00\x00\x03\xff", 6, 3},
    };

    (void)state;
    for (size_t i = 0; i < count_of(forms); i++) {
        uint8_t bytes[32] = {0};
        struct mp_token t;

        memcpy(bytes, forms[i].head, forms[i].head_len);
        t = token_of(bytes, forms[i].head_len + forms[i].len);
        assert_int_equal(t.type, MP_EXT);
        assert_int_equal(t.i, -1);
        assert_int_equal(t.n, forms[i].len);
    }
}

/* ---- arrays and maps ---- */

static const struct {
    uint32_t n;
    const char *array;
    const char *map;
    size_t len;
} counts[] = {
    {0, "\x90", "\x80", 1},
    {15, "\x9f", "\x8f", 1},
    {16, "\xdc\x00\x10", "\xde\x00\x10", 3},
    {65535, "\xdc\xff\xff", "\xde\xff\xff", 3},
    {65536, "\xdd\x00\x01\x00\x00", "\xdf\x00\x01\x00\x00", 5},
};

static void assert_count_read(const char *head, size_t head_len, enum mp_type type, uint32_t n)
{
    size_t least = type == MP_MAP ? 2 * (size_t)n : n;
    uint8_t *bytes = calloc(1, head_len + least);
    struct mp_reader r = {bytes, bytes + head_len + least};
    struct mp_token t;

    memcpy(bytes, head, head_len);
    assert_null(mp_next(&r, &t));
    assert_int_equal(t.type, type);
    assert_int_equal(t.n, n);
    assert_ptr_equal(r.at, bytes + head_len);
    free(bytes);
}

static void counts_go_both_ways_in_their_shortest_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < count_of(counts); i++) {
        struct buf b = {0};

        assert_true(mp_write_array(&b, counts[i].n));
        assert_written(&b, counts[i].array, counts[i].len);
        buf_truncate(&b, 0);
        assert_true(mp_write_map(&b, counts[i].n));
        assert_written(&b, counts[i].map, counts[i].len);
        buf_free(&b);
        assert_count_read(counts[i].array, counts[i].len, MP_ARRAY, counts[i].n);
        assert_count_read(counts[i].map, counts[i].len, MP_MAP, counts[i].n);
    }
}

static void a_count_of_more_than_the_bytes_left_is_malformed(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } claims[] = {
        {"\x91", 1},
        {"\x93\xc0\xc0", 3},
        {"\xdc\xff\xff\xc0", 4},
        {"\xdd\xff\xff\xff\xff\xc0", 6},
        {"\x81\xc0", 2},
        {"\x82\xc0\xc0\xc0", 4},
        {"\xde\xff\xff\xc0", 4},
        {"\xdf\xff\xff\xff\xff\xc0", 6},
        {"\xdf\x80\x00\x00\x01\xc0\xc0", 7}, /* twice that many is 2 in 32 bits */
    };

    (void)state;
    for (size_t i = 0; i < count_of(claims); i++) {
        assert_string_equal(wrong_with(claims[i].bytes, claims[i].len), "truncated value");
    }
}

static void a_length_of_more_than_the_bytes_left_is_malformed(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } claims[] = {
        {"\xa2x", 2},
        {"\xd9\x02x", 3},
        {"\xda\x00\x02x", 4},
        {"\xdb\xff\xff\xff\xffx", 6},
        {"\xc4\x02x", 3},
        {"\xc5\x00\x02x", 4},
        {"\xc6\xff\xff\xff\xffx", 6},
        {"\xd4\x01", 2},
        {"\xc7\x02\x01x", 4},
        {"\xc9\xff\xff\xff\xff\x01x", 7},
    };

    (void)state;
    for (size_t i = 0; i < count_of(claims); i++) {
        assert_string_equal(wrong_with(claims[i].bytes, claims[i].len), "truncated value");
    }
}

/* ---- malformed bytes ---- */

static void the_tag_that_is_never_used_is_malformed(void **state)
{
    (void)state;
    assert_string_equal(wrong_with("\xc1", 1), "the tag 0xc1, which MessagePack never uses");
}

/* One of each family, in an array of 19 values. */
static const char sample[] = "\xdc\x00\x13"
                             "\x00\xff\xc0\xc2\xc3"
                             "\xcc\x80\xcd\x01\x02\xce\x01\x02\x03\x04"
                             "\xcf\x01\x02\x03\x04\x05\x06\x07\x08"
                             "\xd0\x80\xd1\x80\x00\xd2\x80\x00\x00\x00"
                             "\xd3\x80\x00\x00\x00\x00\x00\x00\x00"
                             "\xca\x3f\x80\x00\x00\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00"
                             "\xa3yes\xc4\x02\x00\x01\xd6\x05\x01\x02\x03\x04"
                             "\x82\xa1k\x92\x01\x02\x05\x80";

static void a_value_cut_at_any_byte_is_truncated(void **state)
{
    size_t whole = sizeof sample - 1;

    (void)state;
    for (size_t len = 0; len <= whole; len++) {
        uint8_t *memory;
        struct mp_reader r = reader_of(sample, len, &memory);
        const char *wrong = mp_skip(&r, MP_DEPTH_MAX);

        if (len < whole) {
            assert_string_equal(wrong, "truncated value");
        } else {
            assert_null(wrong);
            assert_ptr_equal(r.at, r.end);
        }
        free(memory);
    }
}

/* ---- stepping over values ---- */

static const char *skip_nested(unsigned arrays, unsigned depth)
{
    uint8_t bytes[MP_DEPTH_MAX + 8];
    struct mp_reader r = {bytes, bytes + arrays + 1};

    memset(bytes, 0x91, arrays);
    bytes[arrays] = 0xc0;
    return mp_skip(&r, depth);
}

static void stepping_over_takes_one_value_and_leaves_the_next(void **state)
{
    static const uint8_t bytes[] = {0x92, 0x80, 0x81, 0x01, 0x90, 0x07};
    struct mp_reader r = {bytes, bytes + sizeof bytes};

    (void)state;
    assert_null(mp_skip(&r, 3));
    assert_ptr_equal(r.at, bytes + 5);
    assert_null(mp_skip(&r, 0));
    assert_ptr_equal(r.at, r.end);
    assert_string_equal(mp_skip(&r, 0), "truncated value");
}

static void stepping_over_goes_as_deep_as_allowed_and_no_deeper(void **state)
{
    (void)state;
    assert_null(skip_nested(0, 0));
    assert_string_equal(skip_nested(1, 0), "nested too deeply");
    assert_null(skip_nested(5, 5));
    assert_string_equal(skip_nested(6, 5), "nested too deeply");
}

static void no_depth_that_is_asked_for_exceeds_the_most_there_is(void **state)
{
    (void)state;
    assert_null(skip_nested(MP_DEPTH_MAX, 1000000));
    assert_string_equal(skip_nested(MP_DEPTH_MAX + 1, 1000000), "nested too deeply");
}

static void stepping_over_finds_what_is_malformed_inside(void **state)
{
    static const uint8_t bytes[] = {0x92, 0x91, 0xc1, 0xc0};
    struct mp_reader r = {bytes, bytes + sizeof bytes};

    (void)state;
    assert_string_equal(mp_skip(&r, 5), "the tag 0xc1, which MessagePack never uses");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_written_in_their_shortest_form),
        cmocka_unit_test(integers_are_read_back),
        cmocka_unit_test(integers_in_longer_forms_than_needed_are_read),
        cmocka_unit_test(integers_above_the_signed_ones_are_a_type_of_their_own),
        cmocka_unit_test(floats_go_both_ways_bit_for_bit),
        cmocka_unit_test(floats_are_written_big_endian),
        cmocka_unit_test(short_floats_are_read),
        cmocka_unit_test(nil_and_booleans_go_both_ways),
        cmocka_unit_test(strings_go_both_ways_in_their_shortest_form),
        cmocka_unit_test(bin_is_read_as_a_string),
        cmocka_unit_test(extensions_are_read_with_their_type),
        cmocka_unit_test(counts_go_both_ways_in_their_shortest_form),
        cmocka_unit_test(a_count_of_more_than_the_bytes_left_is_malformed),
        cmocka_unit_test(a_length_of_more_than_the_bytes_left_is_malformed),
        cmocka_unit_test(the_tag_that_is_never_used_is_malformed),
        cmocka_unit_test(a_value_cut_at_any_byte_is_truncated),
        cmocka_unit_test(stepping_over_takes_one_value_and_leaves_the_next),
        cmocka_unit_test(stepping_over_goes_as_deep_as_allowed_and_no_deeper),
        cmocka_unit_test(no_depth_that_is_asked_for_exceeds_the_most_there_is),
        cmocka_unit_test(stepping_over_finds_what_is_malformed_inside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
