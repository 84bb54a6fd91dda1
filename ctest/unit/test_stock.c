/* What is made ahead for threads, and what is kept of those that have ended. */
#include "unit.h"

#include <sched.h>
#include <stdlib.h>

#include "spawn/stock.h"

/* ---- things that count themselves ---- */

struct thing {
    struct stock_item item;
    int *common;
};

static int common;             /* 1 while it is open */
static atomic_int alive, most; /* things, now and at the most */
static atomic_int tries, tidied;
static atomic_bool fails;

static void *open_common(void)
{
    common++;
    return &common;
}

static void close_common(void *opened)
{
    assert_ptr_equal(opened, &common);
    assert_int_equal(atomic_load(&alive), 0);
    common--;
}

static struct stock_item *make(void *opened)
{
    struct thing *t = atomic_load(&fails) ? NULL : malloc(sizeof *t);
    int now;

    if (t != NULL) {
        t->common = opened;
        now = atomic_fetch_add(&alive, 1) + 1;
        if (now > atomic_load(&most)) {
            atomic_store(&most, now);
        }
    }
    atomic_fetch_add(&tries, 1);
    return t != NULL ? &t->item : NULL;
}

static void discard(struct stock_item *item)
{
    free(item); /* the first member */
    atomic_fetch_sub(&alive, 1);
}

static void tidy(void *opened)
{
    assert_ptr_equal(opened, &common);
    atomic_fetch_add(&tidied, 1);
}

static const struct stock_ops ops = {open_common, close_common, make, discard, tidy};

static struct stock *begin(unsigned tidy_ms)
{
    struct stock *s;

    atomic_store(&most, 0);
    atomic_store(&tries, 0);
    atomic_store(&tidied, 0);
    atomic_store(&fails, false);
    s = stock_new(&(struct stock_options){.ops = &ops, .tidy_ms = tidy_ms});
    assert_non_null(s);
    assert_int_equal(common, 1);
    return s;
}

static void end(struct stock *s)
{
    stock_close(s);
    assert_int_equal(atomic_load(&alive), 0);
    stock_release(&s);
    assert_null(s);
    assert_int_equal(common, 0);
}

static struct stock_stats stats_of(struct stock *s)
{
    struct stock_stats stats;

    stock_stats(s, &stats);
    return stats;
}

/* The lock may be taken for a moment: then nothing was asked. */
static struct stock_item *take(struct stock *s)
{
    for (;;) {
        struct stock_stats before = stats_of(s);
        struct stock_item *item = stock_take(s);

        if (item != NULL || stats_of(s).missed > before.missed) {
            return item;
        }
    }
}

static void await_ready(struct stock *s, unsigned count)
{
    while (stats_of(s).ready < count) {
        sched_yield();
    }
}

/* Asks in vain until there are to be as many as there may be. */
static void want_most(struct stock *s)
{
    while (stats_of(s).wanted < STOCK_MOST) {
        struct stock_item *item = take(s);

        if (item != NULL) {
            discard(item);
        }
    }
}

/* ---- tests ---- */

static void nothing_is_made_before_somebody_asks(void **state)
{
    struct stock *s = begin(0);
    struct stock_item *item;

    (void)state;
    assert_int_equal(stats_of(s).wanted, 0);
    assert_null(take(s));
    await_ready(s, STOCK_FIRST);
    item = take(s);
    assert_non_null(item);
    assert_ptr_equal(((struct thing *)(void *)item)->common, stock_common(s));
    assert_int_equal(stats_of(s).taken, 1);
    discard(item);
    end(s);
}

static void there_are_never_too_many(void **state)
{
    struct stock *s = begin(0);

    (void)state;
    want_most(s);
    await_ready(s, STOCK_MOST);
    assert_int_equal(stats_of(s).wanted, STOCK_MOST);
    assert_int_equal(stats_of(s).ready, STOCK_MOST);
    assert_in_range(atomic_load(&most), STOCK_MOST, STOCK_MOST + 1); /* and one in our hands */
    end(s);
}

static void there_are_fewer_when_nobody_asks(void **state)
{
    struct stock *s = begin(1);

    (void)state;
    want_most(s);
    while (stats_of(s).wanted > STOCK_FIRST || stats_of(s).ready > STOCK_FIRST ||
           atomic_load(&alive) > STOCK_FIRST) {
        sched_yield();
    }
    await_ready(s, STOCK_FIRST);
    assert_in_range(atomic_load(&tidied), 1, 1000);
    end(s);
}

static void what_cannot_be_made_is_tried_when_asked_again(void **state)
{
    struct stock *s = begin(0);

    (void)state;
    atomic_store(&fails, true);
    assert_null(take(s));
    while (atomic_load(&tries) == 0) {
        sched_yield();
    }
    atomic_store(&fails, false);
    while (stats_of(s).made == 0) { /* the failure may be noted after the first of these */
        struct stock_item *item = take(s);

        if (item != NULL) {
            discard(item);
        }
        sched_yield();
    }
    end(s);
}

static void a_closed_one_has_nothing_and_keeps_nothing(void **state)
{
    struct stock *s = begin(0);
    struct stock *other = stock_hold(s);
    struct status_page *page;

    (void)state;
    assert_null(take(s));
    stock_close(s);
    assert_int_equal(atomic_load(&alive), 0);
    assert_null(stock_take(s));
    assert_int_equal(stock_take_status(s, &page), 0);
    stock_give_status(s, &page);
    assert_null(page);
    assert_int_equal(stats_of(s).pages, 0);
    stock_release(&s);
    assert_int_equal(common, 1); /* a thread that was given up still uses it */
    stock_release(&other);
    assert_int_equal(common, 0);
}

static void a_page_is_kept_and_is_as_if_fresh(void **state)
{
    struct stock *s = begin(0);
    struct status_page *page, *again, *fresh;
    uint64_t number;

    (void)state;
    assert_int_equal(status_make(&fresh), 0);
    assert_int_equal(stock_take_status(s, &page), 0);
    status_name_method(page, 2, "add");
    number = status_call_started(page, 2, 1);
    status_call_ended(page, number, 2, 1, 1000, 1);
    number = status_call_started(page, STATUS_METHODS + 7, 1);
    status_call_ended(page, number, STATUS_METHODS + 7, 1, 1000, 0);
    assert_int_equal(
        series_slot(&page->series, &page->series_used, SERIES_HISTOGRAM, "took", 4, false), 0);
    series_record(&page->series, 0, 5000);
    series_add(&page->series, 0, 1);
    again = page;
    stock_give_status(s, &page);
    assert_null(page);
    assert_int_equal(stats_of(s).pages, 1);
    assert_int_equal(stock_take_status(s, &page), 0);
    assert_ptr_equal(page, again);
    assert_memory_equal(page, fresh, sizeof *page);
    status_unmap(&page);
    status_unmap(&fresh);
    end(s);
}

static void pages_are_kept_up_to_a_number(void **state)
{
    struct stock *s = begin(0);
    struct status_page *pages[STOCK_MOST + 3];

    (void)state;
    for (size_t i = 0; i < count_of(pages); i++) {
        assert_int_equal(stock_take_status(s, &pages[i]), 0);
    }
    for (size_t i = 0; i < count_of(pages); i++) {
        stock_give_status(s, &pages[i]);
    }
    assert_int_equal(stats_of(s).pages, STOCK_MOST);
    end(s);
}

static void without_one_pages_are_made_and_unmapped(void **state)
{
    struct status_page *page;

    (void)state;
    assert_int_equal(stock_take_status(NULL, &page), 0);
    assert_int_equal(page->version, STATUS_VERSION);
    stock_give_status(NULL, &page);
    assert_null(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_made_before_somebody_asks),
        cmocka_unit_test(there_are_never_too_many),
        cmocka_unit_test(there_are_fewer_when_nobody_asks),
        cmocka_unit_test(what_cannot_be_made_is_tried_when_asked_again),
        cmocka_unit_test(a_closed_one_has_nothing_and_keeps_nothing),
        cmocka_unit_test(a_page_is_kept_and_is_as_if_fresh),
        cmocka_unit_test(pages_are_kept_up_to_a_number),
        cmocka_unit_test(without_one_pages_are_made_and_unmapped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
