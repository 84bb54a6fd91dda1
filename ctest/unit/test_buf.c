#include "unit.h"

#include "base/buf.h"

static void assert_holds(const struct buf *b, const char *text)
{
    assert_int_equal(buf_len(b), strlen(text));
    assert_memory_equal(buf_front(b), text, strlen(text));
}

static void bytes_come_out_in_the_order_they_went_in(void **state)
{
    struct buf b = {0};

    (void)state;
    assert_true(buf_append(&b, "one ", 4));
    assert_true(buf_append(&b, "two ", 4));
    assert_true(buf_append(&b, "three", 5));
    assert_holds(&b, "one two three");
    buf_consume(&b, 4);
    assert_holds(&b, "two three");
    buf_free(&b);
}

static void appending_nothing_needs_no_memory(void **state)
{
    struct buf b = {0};

    (void)state;
    assert_true(buf_append(&b, NULL, 0));
    assert_int_equal(buf_len(&b), 0);
    assert_null(b.data);
}

static void what_is_written_into_room_counts_once_it_is_said_to_be_there(void **state)
{
    struct buf b = {0};
    uint8_t *at = buf_room(&b, 3);

    (void)state;
    memset(at, 'a', 3);
    assert_int_equal(buf_len(&b), 0);
    buf_wrote(&b, 3);
    assert_holds(&b, "aaa");
    buf_free(&b);
}

static void a_consumed_small_buffer_starts_again_in_the_same_memory(void **state)
{
    struct buf b = {0};
    uint8_t *memory;

    (void)state;
    assert_true(buf_append(&b, "abc", 3));
    memory = b.data;
    buf_consume(&b, 3);
    assert_int_equal(b.start, 0);
    assert_int_equal(b.end, 0);
    assert_ptr_equal(b.data, memory);
    buf_free(&b);
}

static void a_consumed_large_buffer_gives_its_memory_back(void **state)
{
    struct buf b = {0};

    (void)state;
    assert_non_null(buf_room(&b, 100000));
    buf_wrote(&b, 100000);
    buf_consume(&b, 99999);
    assert_non_null(b.data);
    buf_consume(&b, 1);
    assert_null(b.data);
    assert_int_equal(b.cap, 0);
}

static void consumed_room_is_used_again_before_memory_is_asked_for(void **state)
{
    struct buf b = {0};
    uint8_t *memory = buf_room(&b, 1);
    size_t cap = b.cap;

    (void)state;
    buf_wrote(&b, cap - 4);
    assert_true(buf_append(&b, "last", 4));
    buf_consume(&b, cap - 4);
    assert_non_null(buf_room(&b, cap / 2));
    assert_ptr_equal(b.data, memory);
    assert_holds(&b, "last");
    buf_free(&b);
}

static void growing_keeps_what_is_not_consumed(void **state)
{
    struct buf b = {0};

    (void)state;
    assert_true(buf_append(&b, "gone, kept", 10));
    buf_consume(&b, 6);
    assert_true(buf_grow(&b, 10000));
    assert_holds(&b, "kept");
    assert_true(b.cap - b.end >= 10000);
    buf_free(&b);
}

static void truncating_takes_back_what_was_written_last(void **state)
{
    struct buf b = {0};

    (void)state;
    assert_true(buf_append(&b, "gone, kept, taken back", 22));
    buf_consume(&b, 6);
    buf_truncate(&b, 4);
    assert_holds(&b, "kept");
    buf_free(&b);
}

static void more_than_all_memory_is_refused_and_changes_nothing(void **state)
{
    struct buf b = {0};

    (void)state;
    assert_true(buf_append(&b, "kept", 4));
    assert_false(buf_grow(&b, SIZE_MAX));
    assert_false(buf_grow(&b, SIZE_MAX / 2));
    assert_null(buf_room(&b, SIZE_MAX));
    assert_holds(&b, "kept");
    buf_free(&b);
}

/* Byte n of the stream is n % 251, whatever the sizes of what goes in and out. */
static void a_long_stream_of_odd_sizes_arrives_as_it_was(void **state)
{
    struct buf b = {0};
    uint32_t random = 1;
    unsigned written = 0;
    unsigned read = 0;

    (void)state;
    for (int round = 0; round < 2000; round++) {
        size_t in = next_random(&random) % 700;
        uint8_t *at = buf_room(&b, in + 1);
        size_t out;

        for (size_t i = 0; i < in; i++) {
            at[i] = (uint8_t)(written++ % 251);
        }
        buf_wrote(&b, in);
        out = next_random(&random) % 700;
        out = out < buf_len(&b) ? out : buf_len(&b);
        for (size_t i = 0; i < out; i++) {
            assert_int_equal(buf_front(&b)[i], read++ % 251);
        }
        buf_consume(&b, out);
        assert_int_equal(buf_len(&b), written - read);
    }
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_out_in_the_order_they_went_in),
        cmocka_unit_test(appending_nothing_needs_no_memory),
        cmocka_unit_test(what_is_written_into_room_counts_once_it_is_said_to_be_there),
        cmocka_unit_test(a_consumed_small_buffer_starts_again_in_the_same_memory),
        cmocka_unit_test(a_consumed_large_buffer_gives_its_memory_back),
        cmocka_unit_test(consumed_room_is_used_again_before_memory_is_asked_for),
        cmocka_unit_test(growing_keeps_what_is_not_consumed),
        cmocka_unit_test(truncating_takes_back_what_was_written_last),
        cmocka_unit_test(more_than_all_memory_is_refused_and_changes_nothing),
        cmocka_unit_test(a_long_stream_of_odd_sizes_arrives_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
