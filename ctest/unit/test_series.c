#include "pages.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int slot_of(const struct pages *p, enum series_kind kind, const char *key, bool reserved)
{
    return series_slot(&p->written->series, &p->written->series_used, kind, key, strlen(key),
                       reserved);
}

/* Takes `n` slots more, whatever there is already. */
static void take(const struct pages *p, uint32_t n)
{
    char key[32];

    for (uint32_t i = 0; i < n; i++) {
        snprintf(key, sizeof key, "taken.%u", series_used(&p->read->series_used));
        assert_true(slot_of(p, SERIES_COUNTER, key, true) >= 0);
    }
}

static void a_fresh_page_has_no_series(void **state)
{
    const struct pages *p = *state;
    struct series_view view;

    assert_int_equal(series_used(&p->read->series_used), 0);
    assert_false(series_read(&p->read->series, 0, &view));
    assert_false(series_read(&p->read->series, SERIES_SLOTS, &view));
}

static void what_is_counted_is_read_even_when_the_writer_is_gone(void **state)
{
    struct pages *p = *state;
    struct series_view view;
    int slot = slot_of(p, SERIES_COUNTER, "images{format=\"png\"}", false);

    assert_int_equal(slot, 0);
    series_add(&p->written->series, 0, 1);
    series_add(&p->written->series, 0, 41);
    status_unmap(&p->written);
    assert_int_equal(series_used(&p->read->series_used), 1);
    assert_true(series_read(&p->read->series, 0, &view));
    assert_int_equal(view.kind, SERIES_COUNTER);
    assert_int_equal(view.count, 42);
    assert_string_equal(view.key, "images{format=\"png\"}");
    assert_int_equal(view.key_len, strlen(view.key));
}

static void what_is_recorded_is_read(void **state)
{
    const struct pages *p = *state;
    struct histogram_sum sum = {0};
    struct series_view view;
    int slot = slot_of(p, SERIES_HISTOGRAM, "took", false);

    series_add_recorded(&p->read->series, (uint32_t)slot, &sum);
    assert_int_equal(histogram_count(&sum), 0);
    series_record(&p->written->series, (uint32_t)slot, 1000000);
    series_record(&p->written->series, (uint32_t)slot, 3000000);
    assert_true(series_read(&p->read->series, (uint32_t)slot, &view));
    assert_int_equal(view.kind, SERIES_HISTOGRAM);
    assert_int_equal(view.count, 2);
    series_add_recorded(&p->read->series, (uint32_t)slot, &sum);
    assert_int_equal(histogram_count(&sum), 2);
    assert_int_equal((uint64_t)histogram_mean(&sum), 2000000);
}

static void the_same_key_has_the_same_slot_and_another_one_for_each_kind(void **state)
{
    const struct pages *p = *state;

    assert_int_equal(slot_of(p, SERIES_COUNTER, "a", false), 0);
    assert_int_equal(slot_of(p, SERIES_COUNTER, "ab", false), 1);
    assert_int_equal(slot_of(p, SERIES_HISTOGRAM, "a", false), 2);
    assert_int_equal(slot_of(p, SERIES_COUNTER, "a", false), 0);
    assert_int_equal(slot_of(p, SERIES_COUNTER, "ab", true), 1);
    assert_int_equal(slot_of(p, SERIES_HISTOGRAM, "a", false), 2);
    assert_int_equal(series_used(&p->read->series_used), 3);
}

static void a_key_must_fit(void **state)
{
    const struct pages *p = *state;
    struct series_view view;
    char key[SERIES_KEY + 1];

    memset(key, 'k', SERIES_KEY);
    key[SERIES_KEY] = '\0';
    assert_int_equal(slot_of(p, SERIES_COUNTER, key, false), SERIES_NONE);
    assert_int_equal(slot_of(p, SERIES_COUNTER, "", false), SERIES_NONE);
    assert_int_equal(slot_of(p, SERIES_COUNTER, key + 1, false), 0);
    assert_true(series_read(&p->read->series, 0, &view));
    assert_string_equal(view.key, key + 1);
}

static void the_last_slots_are_for_those_that_take_in_others(void **state)
{
    const struct pages *p = *state;

    take(p, SERIES_SLOTS - SERIES_RESERVED - 1);
    assert_true(slot_of(p, SERIES_COUNTER, "last", false) >= 0);
    assert_int_equal(slot_of(p, SERIES_COUNTER, "beyond", false), SERIES_NONE);
    assert_true(slot_of(p, SERIES_COUNTER, "last", false) >= 0);
    take(p, SERIES_RESERVED);
    assert_int_equal(slot_of(p, SERIES_COUNTER, "others", true), SERIES_NONE);
    assert_int_equal(series_used(&p->read->series_used), SERIES_SLOTS);
}

/* The memory of the page: what was touched by either side. */
static size_t memory_pages(const struct pages *p)
{
    struct stat st;

    assert_int_equal(fstat(p->fd, &st), 0);
    return (size_t)st.st_blocks * 512 / (size_t)sysconf(_SC_PAGESIZE);
}

static void only_what_is_used_takes_memory(void **state)
{
    const struct pages *p = *state;
    struct histogram_sum sum = {0};
    struct series_view view;
    size_t fresh = memory_pages(p);

    for (uint32_t slot = 0; slot < series_used(&p->read->series_used); slot++) {
        series_read(&p->read->series, slot, &view);
    }
    assert_int_equal(memory_pages(p), fresh);
    assert_int_equal(slot_of(p, SERIES_HISTOGRAM, "took", false), 0);
    series_add_recorded(&p->read->series, 0, &sum);
    assert_in_range(memory_pages(p), fresh, fresh + 2);
    series_record(&p->written->series, 0, 1);
    assert_in_range(memory_pages(p), fresh + 1, fresh + 4);
}

/* What every worker touches lies in one page of memory, however many series there may be. */
static void the_count_of_slots_is_in_the_first_page(void **state)
{
    (void)state;
    assert_true(offsetof(struct status_page, latencies) <= 4096);
}

/* A worker can write anything into its page. */
static void nonsense_in_a_page_is_only_a_wrong_number(void **state)
{
    const struct pages *p = *state;
    struct histogram_sum sum = {0};
    struct series_view view;

    memset(p->written, 0xff, sizeof *p->written);
    assert_int_equal(series_used(&p->read->series_used), SERIES_SLOTS);
    for (uint32_t slot = 0; slot < SERIES_SLOTS + 5; slot++) {
        assert_false(series_read(&p->read->series, slot, &view));
        series_add_recorded(&p->read->series, slot, &sum);
    }
    assert_int_equal(histogram_count(&sum),
                     (uint64_t)UINT32_MAX * count_of(sum.counts) * (uint64_t)SERIES_SLOTS);
}

static void a_key_without_an_end_gets_one(void **state)
{
    const struct pages *p = *state;
    struct series *s = &p->written->series.slots[0];
    struct series_view view;

    assert_int_equal(slot_of(p, SERIES_COUNTER, "a", false), 0);
    memset(s->key, 0xff, sizeof s->key);
    s->key_len = UINT32_MAX;
    assert_true(series_read(&p->read->series, 0, &view));
    assert_int_equal(view.key_len, SERIES_KEY - 1);
    assert_int_equal(strlen(view.key), SERIES_KEY - 1);
    s->key[0] = '\0';
    assert_false(series_read(&p->read->series, 0, &view));
    /* The worker itself, which spoilt it, is none the worse. */
    assert_int_equal(slot_of(p, SERIES_COUNTER, "a", false), 1);
}

#define series_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        series_test(a_fresh_page_has_no_series),
        series_test(what_is_counted_is_read_even_when_the_writer_is_gone),
        series_test(what_is_recorded_is_read),
        series_test(the_same_key_has_the_same_slot_and_another_one_for_each_kind),
        series_test(a_key_must_fit),
        series_test(the_last_slots_are_for_those_that_take_in_others),
        series_test(only_what_is_used_takes_memory),
        cmocka_unit_test(the_count_of_slots_is_in_the_first_page),
        series_test(nonsense_in_a_page_is_only_a_wrong_number),
        series_test(a_key_without_an_end_gets_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
