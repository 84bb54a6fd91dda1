/* The memory that states take and give back. */
#include "unit.h"

#include "script/chunks.h"

static void a_chunk_is_aligned_and_is_all_ours(void **state)
{
    void *chunks[5];

    (void)state;
    for (size_t i = 0; i < count_of(chunks); i++) {
        chunks[i] = chunk_take(NULL);
        assert_non_null(chunks[i]);
        assert_int_equal((uintptr_t)chunks[i] % CHUNK_LEN, 0);
        memset(chunks[i], 0xff, CHUNK_LEN);
    }
    for (size_t i = 0; i < count_of(chunks); i++) {
        chunk_give(NULL, chunks[i]);
    }
}

static void what_was_given_back_is_taken_again(void **state)
{
    struct chunks *c = chunks_new();
    void *chunk;

    (void)state;
    assert_non_null(c);
    chunk = chunk_take(c);
    chunk_give(c, chunk);
    assert_int_equal(chunks_kept(c), 1);
    assert_ptr_equal(chunk_take(c), chunk);
    assert_int_equal(chunks_kept(c), 0);
    chunk_give(c, chunk);
    chunks_free(c);
}

static void so_many_are_kept_and_half_of_them_when_it_is_quiet(void **state)
{
    struct chunks *c = chunks_new();
    void *chunks[CHUNKS_MOST + 2];

    (void)state;
    assert_non_null(c);
    for (size_t i = 0; i < count_of(chunks); i++) {
        chunks[i] = chunk_take(c);
        assert_non_null(chunks[i]);
    }
    for (size_t i = 0; i < count_of(chunks); i++) {
        chunk_give(c, chunks[i]);
    }
    assert_int_equal(chunks_kept(c), CHUNKS_MOST);
    chunks_tidy(c);
    assert_int_equal(chunks_kept(c), CHUNKS_MOST / 2);
    for (int i = 0; i < 10; i++) {
        chunks_tidy(c);
    }
    assert_int_equal(chunks_kept(c), 0);
    chunks_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chunk_is_aligned_and_is_all_ours),
        cmocka_unit_test(what_was_given_back_is_taken_again),
        cmocka_unit_test(so_many_are_kept_and_half_of_them_when_it_is_quiet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
