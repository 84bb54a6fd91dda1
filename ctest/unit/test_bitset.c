#include "unit.h"

#include "base/bitset.h"

static void an_empty_set_has_no_next(void **state)
{
    struct bitset b = {0};

    (void)state;
    assert_int_equal(bitset_next(&b, 0), BITSET_NONE);
    assert_true(bitset_reserve(&b, 100000));
    assert_int_equal(bitset_next(&b, 0), BITSET_NONE);
    bitset_free(&b);
}

static void the_next_is_found_at_the_edges_of_words_and_levels(void **state)
{
    static const size_t edges[] = {0, 63, 64, 4095, 4096, 262143, 262144, 299999};
    struct bitset b = {0};
    size_t from = 0;

    (void)state;
    assert_true(bitset_reserve(&b, 300000));
    for (size_t i = 0; i < count_of(edges); i++) {
        bitset_add(&b, edges[i]);
    }
    for (size_t i = 0; i < count_of(edges); i++) {
        assert_int_equal(bitset_next(&b, from), edges[i]);
        assert_int_equal(bitset_next(&b, edges[i]), edges[i]);
        from = edges[i] + 1;
    }
    assert_int_equal(bitset_next(&b, 300000), BITSET_NONE);
    assert_int_equal(bitset_next(&b, SIZE_MAX), BITSET_NONE);
    bitset_clear(&b);
    assert_int_equal(bitset_next(&b, 0), BITSET_NONE);
    bitset_free(&b);
}

#define BOUND 9000

static size_t search(const bool *in, size_t from)
{
    while (from < BOUND && !in[from]) {
        from++;
    }
    return from < BOUND ? from : BITSET_NONE;
}

/* Removes more often than it adds, so that the set is sparse and whole words become empty. */
static void random_changes_agree_with_a_search(void **state)
{
    static bool in[BOUND];
    struct bitset b = {0};
    uint32_t random = 5;

    (void)state;
    assert_true(bitset_reserve(&b, BOUND));
    for (int round = 0; round < 20000; round++) {
        size_t i = next_random(&random) % BOUND;
        size_t from = next_random(&random) % BOUND;

        bitset_add(&b, i);
        in[i] = true;
        for (int k = 0; k < 2 && round % 50 != 0; k++) {
            i = bitset_next(&b, next_random(&random) % BOUND);
            if (i != BITSET_NONE) {
                bitset_remove(&b, i);
                in[i] = false;
            }
        }
        assert_int_equal(bitset_next(&b, from), search(in, from));
    }
    bitset_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_set_has_no_next),
        cmocka_unit_test(the_next_is_found_at_the_edges_of_words_and_levels),
        cmocka_unit_test(random_changes_agree_with_a_search),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
