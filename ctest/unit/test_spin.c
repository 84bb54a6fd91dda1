#include "unit.h"

#include "base/spin.h"

#define LIMIT 64000

static struct spin spin_of(uint64_t limit_ns)
{
    struct spin s;

    spin_init(&s, limit_ns, 2);
    return s;
}

/* How many sleeps begin at once before the next spin, whose length must be the limit. */
static unsigned rests(struct spin *s)
{
    unsigned count = 0;
    uint64_t length;

    while ((length = spin_length_ns(s)) == 0) {
        count++;
        assert_true(count < 100000);
    }
    assert_int_equal(length, LIMIT);
    return count;
}

/* From the limit, until it leaves it. */
static void fail_until_it_rests(struct spin *s)
{
    for (uint64_t length = LIMIT; length > LIMIT / 8; length /= 2) {
        assert_int_equal(spin_length_ns(s), length);
        spin_ended(s, false);
    }
}

static void without_a_limit_it_never_spins(void **state)
{
    struct spin zeroed = {0};
    struct spin none = spin_of(0);

    (void)state;
    assert_int_equal(spin_length_ns(&zeroed), 0);
    assert_int_equal(spin_length_ns(&none), 0);
}

static void with_one_processor_it_never_spins(void **state)
{
    struct spin s;

    (void)state;
    spin_init(&s, LIMIT, 1);
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(spin_length_ns(&s), 0);
    }
}

static void while_it_finds_something_it_keeps_the_limit(void **state)
{
    struct spin s = spin_of(LIMIT);

    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(spin_length_ns(&s), LIMIT);
        spin_ended(&s, true);
    }
}

static void one_in_vain_halves_it_and_one_that_is_not_doubles_it(void **state)
{
    struct spin s = spin_of(LIMIT);

    (void)state;
    spin_ended(&s, false);
    assert_int_equal(spin_length_ns(&s), LIMIT / 2);
    spin_ended(&s, false);
    assert_int_equal(spin_length_ns(&s), LIMIT / 4);
    spin_ended(&s, true);
    assert_int_equal(spin_length_ns(&s), LIMIT / 2);
    spin_ended(&s, true);
    assert_int_equal(spin_length_ns(&s), LIMIT);
    spin_ended(&s, true);
    assert_int_equal(spin_length_ns(&s), LIMIT);
}

static void many_in_vain_leave_it_and_it_is_tried_ever_more_seldom(void **state)
{
    struct spin s = spin_of(LIMIT);
    unsigned expected = 8;

    (void)state;
    fail_until_it_rests(&s);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(rests(&s), expected);
        spin_ended(&s, false);
        expected = expected < 1024 ? expected * 2 : 1024;
    }
}

static void a_try_that_finds_something_brings_it_back(void **state)
{
    struct spin s = spin_of(LIMIT);

    (void)state;
    fail_until_it_rests(&s);
    rests(&s);
    spin_ended(&s, false);
    rests(&s);
    spin_ended(&s, true);
    fail_until_it_rests(&s); /* at once with its whole length, and again in steps */
    assert_int_equal(rests(&s), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_limit_it_never_spins),
        cmocka_unit_test(with_one_processor_it_never_spins),
        cmocka_unit_test(while_it_finds_something_it_keeps_the_limit),
        cmocka_unit_test(one_in_vain_halves_it_and_one_that_is_not_doubles_it),
        cmocka_unit_test(many_in_vain_leave_it_and_it_is_tried_ever_more_seldom),
        cmocka_unit_test(a_try_that_finds_something_brings_it_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
