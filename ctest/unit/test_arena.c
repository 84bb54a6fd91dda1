#include "unit.h"

#include <sys/stat.h>

#include "rpc/arena.h"

static size_t pages_of(const struct arena *a)
{
    struct stat st;

    assert_int_equal(fstat(a->memory->fd, &st), 0);
    return (size_t)st.st_blocks * 512;
}

static void the_lowest_room_is_taken(void **state)
{
    struct arena *a = arena_new();

    (void)state;
    assert_non_null(a);
    assert_int_equal(arena_take(a, 1), 0);
    assert_int_equal(arena_take(a, ARENA_UNIT + 1), ARENA_UNIT);
    assert_int_equal(arena_take(a, ARENA_UNIT), 3 * ARENA_UNIT);
    assert_true(arena_give(a, ARENA_UNIT));
    assert_int_equal(arena_take(a, 3 * ARENA_UNIT), 4 * ARENA_UNIT);
    assert_int_equal(arena_take(a, 2 * ARENA_UNIT), ARENA_UNIT);
    arena_free(&a);
    assert_null(a);
}

static void there_is_no_room_beyond_its_end(void **state)
{
    struct arena *a = arena_new();

    (void)state;
    assert_int_equal(arena_take(a, ARENA_LEN + 1), -1);
    assert_int_equal(arena_take(a, SIZE_MAX), -1);
    assert_int_equal(arena_take(a, ARENA_LEN), 0);
    assert_int_equal(arena_take(a, 1), -1);
    assert_true(arena_give(a, 0));
    assert_int_equal(arena_take(a, ARENA_LEN - ARENA_UNIT), 0);
    assert_int_equal(arena_take(a, ARENA_UNIT + 1), -1);
    assert_int_equal(arena_take(a, ARENA_UNIT), ARENA_LEN - ARENA_UNIT);
    arena_free(&a);
}

static void only_a_block_is_given_back_and_once(void **state)
{
    struct arena *a = arena_new();

    (void)state;
    assert_int_equal(arena_take(a, 2 * ARENA_UNIT), 0);
    assert_false(arena_give(a, 1));
    assert_false(arena_give(a, ARENA_UNIT));
    assert_false(arena_give(a, ARENA_LEN));
    assert_false(arena_give(a, UINT64_MAX - ARENA_UNIT + 1));
    assert_true(arena_give(a, 0));
    assert_false(arena_give(a, 0));
    assert_int_equal(a->used, 0);
    arena_free(&a);
}

static void blocks_never_overlap(void **state)
{
    struct arena *a = arena_new();
    int64_t blocks[64];
    uint32_t random = 1;

    (void)state;
    memset(blocks, -1, sizeof blocks);
    for (int i = 0; i < 4000; i++) {
        unsigned n = next_random(&random) % count_of(blocks);
        size_t len = 1 + next_random(&random) % (ARENA_LEN / 24);

        if (blocks[n] >= 0) {
            assert_int_equal(a->at[blocks[n]], n);
            assert_true(arena_give(a, (uint64_t)blocks[n]));
        }
        blocks[n] = arena_take(a, len);
        if (blocks[n] >= 0) {
            assert_true((size_t)blocks[n] + len <= ARENA_LEN);
            for (size_t at = 0; at < len; at += ARENA_UNIT) {
                a->at[(size_t)blocks[n] + at] = (uint8_t)n;
            }
        }
    }
    for (unsigned n = 0; n < count_of(blocks); n++) {
        assert_true(blocks[n] < 0 || arena_give(a, (uint64_t)blocks[n]));
    }
    assert_int_equal(a->used, 0);
    assert_int_equal(arena_take(a, ARENA_LEN), 0);
    arena_free(&a);
}

static void only_an_empty_one_gives_pages_back(void **state)
{
    struct arena *a = arena_new();

    (void)state;
    assert_int_equal(arena_take(a, ARENA_LEN), 0);
    memset(a->at, 1, ARENA_LEN);
    arena_trim(a);
    assert_int_equal(pages_of(a), ARENA_LEN);
    assert_true(arena_give(a, 0));
    arena_trim(a);
    assert_int_equal(pages_of(a), ARENA_KEPT);
    assert_int_equal(a->at[ARENA_LEN - 1], 0);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lowest_room_is_taken),
        cmocka_unit_test(there_is_no_room_beyond_its_end),
        cmocka_unit_test(only_a_block_is_given_back_and_once),
        cmocka_unit_test(blocks_never_overlap),
        cmocka_unit_test(only_an_empty_one_gives_pages_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
