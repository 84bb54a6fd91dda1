#include "unit.h"

#include <stdio.h>

#include "store/ledger.h"

#define SPAN(text) span_of(text)

static const int worker = 1, other = 2;

static enum ledger_claimed claim(struct ledger *l, const char *key, double now_ms, const int *owner,
                                 int64_t token)
{
    struct span value;

    return ledger_claim(l, SPAN(key), now_ms, owner, token, &value);
}

static bool settle(struct ledger *l, const char *key, const int *owner, int64_t token,
                   const char *value, double expires_ms)
{
    return ledger_settle(l, SPAN(key), owner, token, SPAN(value), expires_ms);
}

static void assert_value(struct ledger *l, const char *key, double now_ms, const char *expected)
{
    struct span value = {NULL, 0};

    assert_true(ledger_get(l, SPAN(key), now_ms, &value));
    assert_true(span_is(value, expected));
}

static bool has_value(struct ledger *l, const char *key, double now_ms)
{
    struct span value;

    return ledger_get(l, SPAN(key), now_ms, &value);
}

static void a_key_is_claimed_by_one_and_its_value_is_for_all(void **state)
{
    struct ledger l;
    struct span value;

    (void)state;
    ledger_init(&l, 10, 12345);
    assert_int_equal(LEDGER_MINE, claim(&l, "k", 0, &worker, 1));
    assert_int_equal(LEDGER_HELD, claim(&l, "k", 0, &worker, 2));
    assert_int_equal(LEDGER_HELD, claim(&l, "k", 0, &other, 1));
    assert_int_equal(LEDGER_MINE, claim(&l, "j", 0, &other, 1));
    assert_true(settle(&l, "k", &worker, 1, "v", 100));
    assert_int_equal(LEDGER_DONE, ledger_claim(&l, SPAN("k"), 99, &other, 2, &value));
    assert_true(span_is(value, "v"));
    assert_int_equal(LEDGER_MINE, claim(&l, "k", 100, &other, 2));
    ledger_clear(&l);
}

static void only_who_has_a_claim_ends_it(void **state)
{
    struct ledger l;

    (void)state;
    ledger_init(&l, 10, 12345);
    assert_false(settle(&l, "k", &worker, 1, "v", 100));
    claim(&l, "k", 0, &worker, 1);
    assert_false(settle(&l, "k", &worker, 2, "v", 100));
    assert_false(settle(&l, "k", &other, 1, "v", 100));
    ledger_release(&l, SPAN("k"), &other);
    assert_int_equal(LEDGER_HELD, claim(&l, "k", 0, &other, 1));
    assert_false(has_value(&l, "k", 0));
    ledger_release(&l, SPAN("k"), &worker);
    assert_int_equal(LEDGER_MINE, claim(&l, "k", 0, &other, 1));
    ledger_clear(&l);
}

static void a_value_that_lives_for_no_time_is_not_kept(void **state)
{
    struct ledger l;

    (void)state;
    ledger_init(&l, 10, 12345);
    claim(&l, "k", 0, &worker, 1);
    assert_true(settle(&l, "k", &worker, 1, "v", 0));
    assert_int_equal(0, ledger_len(&l));
    assert_int_equal(LEDGER_MINE, claim(&l, "k", 0, &other, 1));
    ledger_clear(&l);
}

static void a_claim_is_taken_over_once(void **state)
{
    struct ledger l;
    const void *before = NULL;
    int64_t token = 0;

    (void)state;
    ledger_init(&l, 10, 12345);
    assert_false(ledger_take_over(&l, SPAN("k"), NULL, &before, &token));
    claim(&l, "k", 0, &worker, 7);
    assert_true(ledger_take_over(&l, SPAN("k"), NULL, &before, &token));
    assert_ptr_equal(&worker, before);
    assert_int_equal(7, token);
    assert_false(ledger_take_over(&l, SPAN("k"), NULL, &before, &token));
    assert_false(settle(&l, "k", &worker, 7, "v", 100));
    ledger_drop(&l, &worker);
    assert_int_equal(LEDGER_HELD, claim(&l, "k", 0, &other, 1));
    ledger_clear(&l);
}

static void the_claims_of_an_owner_that_is_gone_end_and_its_values_stay(void **state)
{
    struct ledger l;

    (void)state;
    ledger_init(&l, 10, 12345);
    claim(&l, "a", 0, &worker, 1);
    claim(&l, "b", 0, &other, 1);
    claim(&l, "c", 0, &worker, 2);
    claim(&l, "d", 0, &worker, 3);
    settle(&l, "d", &worker, 3, "v", LEDGER_FOREVER);
    ledger_drop(&l, &worker);
    assert_int_equal(2, ledger_len(&l));
    assert_int_equal(LEDGER_MINE, claim(&l, "a", 0, &other, 2));
    assert_int_equal(LEDGER_HELD, claim(&l, "b", 0, &worker, 4));
    assert_int_equal(LEDGER_MINE, claim(&l, "c", 0, &other, 3));
    assert_value(&l, "d", 0, "v");
    ledger_clear(&l);
}

static void the_value_not_used_for_the_longest_time_gives_way(void **state)
{
    struct ledger l;

    (void)state;
    ledger_init(&l, 2, 12345);
    assert_true(ledger_put(&l, SPAN("a"), SPAN("1"), LEDGER_FOREVER));
    assert_true(ledger_put(&l, SPAN("b"), SPAN("2"), LEDGER_FOREVER));
    assert_value(&l, "a", 0, "1");
    assert_int_equal(LEDGER_MINE, claim(&l, "c", 0, &worker, 1));
    assert_value(&l, "a", 0, "1");
    assert_false(ledger_has(&l, SPAN("b")));
    assert_int_equal(LEDGER_MINE, claim(&l, "d", 0, &worker, 2));
    assert_int_equal(LEDGER_FULL, claim(&l, "e", 0, &worker, 3));
    assert_true(settle(&l, "c", &worker, 1, "3", LEDGER_FOREVER));
    assert_int_equal(LEDGER_MINE, claim(&l, "e", 0, &worker, 3));
    ledger_clear(&l);
}

static void what_is_beside_counts_too(void **state)
{
    struct ledger l;

    (void)state;
    ledger_init(&l, 3, 12345);
    l.beside = 2;
    assert_int_equal(LEDGER_MINE, claim(&l, "a", 0, &worker, 1));
    assert_int_equal(LEDGER_FULL, claim(&l, "b", 0, &worker, 2));
    l.beside = 1;
    assert_int_equal(LEDGER_MINE, claim(&l, "b", 0, &worker, 2));
    ledger_clear(&l);
}

/* n claims look at 2n values: whatever has expired among n is gone then. */
static void what_has_expired_goes_without_being_asked_for(void **state)
{
    struct ledger l;
    char key[16];

    (void)state;
    ledger_init(&l, 1000, 12345);
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "old%d", i);
        assert_true(ledger_put(&l, SPAN(key), SPAN("v"), i % 2 ? 10 : LEDGER_FOREVER));
    }
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "new%d", i);
        assert_int_equal(LEDGER_MINE, claim(&l, key, 20, &worker, i));
    }
    assert_int_equal(50 + 100, ledger_len(&l));
    assert_false(ledger_has(&l, SPAN("old1")));
    assert_true(ledger_has(&l, SPAN("old2")));
    ledger_clear(&l);
}

static void a_sweep_goes_on_behind_a_value_that_was_removed(void **state)
{
    struct ledger l;

    (void)state;
    ledger_init(&l, 10, 12345);
    ledger_put(&l, SPAN("a"), SPAN("v"), LEDGER_FOREVER);
    ledger_put(&l, SPAN("b"), SPAN("v"), LEDGER_FOREVER);
    ledger_put(&l, SPAN("c"), SPAN("v"), 10);
    assert_int_equal(0, ledger_sweep(&l, 20, 1));
    ledger_remove(&l, SPAN("b"));
    assert_int_equal(1, ledger_sweep(&l, 20, 1));
    assert_int_equal(0, ledger_sweep(&l, 20, 5));
    assert_int_equal(1, ledger_len(&l));
    ledger_clear(&l);
}

static void a_value_and_a_claim_of_one_key_end_each_for_itself(void **state)
{
    struct ledger l;

    (void)state;
    ledger_init(&l, 10, 12345);
    claim(&l, "k", 0, &worker, 1);
    assert_true(ledger_put(&l, SPAN("k"), SPAN("put"), 50));
    assert_int_equal(2, ledger_len(&l));
    assert_int_equal(LEDGER_DONE, claim(&l, "k", 0, &other, 1));
    assert_int_equal(LEDGER_HELD, claim(&l, "k", 50, &other, 1));
    assert_true(ledger_put(&l, SPAN("k"), SPAN("again"), LEDGER_FOREVER));
    ledger_drop(&l, &worker);
    assert_value(&l, "k", 60, "again");
    ledger_clear(&l);
}

static void keys_and_values_are_bytes(void **state)
{
    struct ledger l;
    const struct span with_zero = {(const uint8_t *)"a\0b", 3};
    const struct span empty = {(const uint8_t *)"", 0};
    struct span value;

    (void)state;
    ledger_init(&l, 10, 12345);
    assert_true(ledger_put(&l, with_zero, empty, LEDGER_FOREVER));
    assert_true(ledger_put(&l, empty, with_zero, LEDGER_FOREVER));
    assert_false(ledger_has(&l, SPAN("a")));
    assert_true(ledger_get(&l, with_zero, 0, &value));
    assert_int_equal(0, value.len);
    assert_true(ledger_get(&l, empty, 0, &value));
    assert_int_equal(3, value.len);
    ledger_clear(&l);
    assert_int_equal(0, ledger_len(&l));
    assert_false(ledger_has(&l, empty));
    assert_int_equal(LEDGER_MINE, claim(&l, "k", 0, &worker, 1));
    ledger_clear(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_claimed_by_one_and_its_value_is_for_all),
        cmocka_unit_test(only_who_has_a_claim_ends_it),
        cmocka_unit_test(a_value_that_lives_for_no_time_is_not_kept),
        cmocka_unit_test(a_claim_is_taken_over_once),
        cmocka_unit_test(the_claims_of_an_owner_that_is_gone_end_and_its_values_stay),
        cmocka_unit_test(the_value_not_used_for_the_longest_time_gives_way),
        cmocka_unit_test(what_is_beside_counts_too),
        cmocka_unit_test(what_has_expired_goes_without_being_asked_for),
        cmocka_unit_test(a_sweep_goes_on_behind_a_value_that_was_removed),
        cmocka_unit_test(a_value_and_a_claim_of_one_key_end_each_for_itself),
        cmocka_unit_test(keys_and_values_are_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
