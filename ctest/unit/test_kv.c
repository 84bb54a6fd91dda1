#include "stores.h"

static void what_was_put_is_got_until_it_is_removed(void **state)
{
    struct store *s = *state;
    struct heard h;

    expect_opens(s);
    expect_entry(s, "a", NULL);
    assert_false(put(s, KV_REPLACE, "a", "1", KV_FOREVER).found);
    assert_false(put(s, KV_REPLACE, "a", "2", KV_FOREVER).found);
    expect_entry(s, "a", "2");
    kv_remove(s->kv, span_of("a"), hearing(&h), NULL);
    await(s, &h);
    assert_true(h.found);
    kv_remove(s->kv, span_of("a"), hearing(&h), NULL);
    await(s, &h);
    assert_false(h.found);
    expect_entry(s, "a", NULL);
}

static void keys_and_values_are_any_bytes(void **state)
{
    struct store *s = *state;
    struct span key = {(const uint8_t *)"k\0\xff", 3};
    struct span value = {(const uint8_t *)"\0v\0", 3};
    struct heard h;

    expect_opens(s);
    kv_put(s->kv, KV_REPLACE, key, value, KV_FOREVER, NULL, NULL);
    kv_get(s->kv, key, hearing(&h), NULL);
    await(s, &h);
    assert_int_equal(h.len, 3);
    assert_memory_equal(h.value, "\0v\0", 3);
    expect_entry(s, "k", NULL);
}

static void nothing_is_a_key_and_a_value_as_well(void **state)
{
    struct store *s = *state;
    struct span nothing = {NULL, 0};
    struct heard h;

    expect_opens(s);
    kv_put(s->kv, KV_INSERT, nothing, nothing, KV_FOREVER, NULL, NULL);
    kv_put(s->kv, KV_INSERT, nothing, span_of("x"), KV_FOREVER, hearing(&h), NULL);
    await(s, &h);
    assert_true(h.found);
    assert_int_equal(h.len, 0);
    expect_entry(s, "", "");
}

static void inserting_tells_and_keeps_what_is_there(void **state)
{
    struct store *s = *state;
    struct heard h;

    expect_opens(s);
    assert_false(put(s, KV_INSERT, "a", "first", KV_FOREVER).found);
    h = put(s, KV_INSERT, "a", "second", KV_FOREVER);
    assert_true(h.found);
    assert_int_equal(h.len, 5);
    assert_memory_equal(h.value, "first", 5);
    expect_entry(s, "a", "first");
}

static void of_those_that_insert_in_one_turn_the_first_wins(void **state)
{
    struct store *s = *state;
    struct heard h[3];

    expect_opens(s);
    for (int i = 0; i < 3; i++) {
        kv_put(s->kv, KV_INSERT, span_of("a"), span_of(i == 0 ? "x" : "y"), KV_FOREVER,
               hearing(&h[i]), NULL);
    }
    await(s, &h[2]);
    assert_false(h[0].found);
    assert_true(h[1].found && h[2].found);
    assert_memory_equal(h[2].value, "x", 1);
}

static void operations_of_one_turn_take_effect_in_their_order(void **state)
{
    struct store *s = *state;
    struct heard before, between, after;

    expect_opens(s);
    kv_get(s->kv, span_of("a"), hearing(&before), NULL);
    kv_put(s->kv, KV_REPLACE, span_of("a"), span_of("1"), KV_FOREVER, NULL, NULL);
    kv_get(s->kv, span_of("a"), hearing(&between), NULL);
    kv_remove(s->kv, span_of("a"), NULL, NULL);
    kv_get(s->kv, span_of("a"), hearing(&after), NULL);
    await(s, &after);
    assert_false(before.found);
    assert_true(between.found);
    assert_false(after.found);
}

static void what_is_asked_for_before_the_file_is_open_is_done_once_it_is(void **state)
{
    struct store *s = *state;
    struct heard h;

    kv_open(&s->kv, &s->loop->reactor, s->path, &s->options, NULL, NULL);
    kv_put(s->kv, KV_INSERT, span_of("a"), span_of("1"), KV_FOREVER, hearing(&h), NULL);
    await(s, &h);
    assert_int_equal(h.code, TITAN_OK);
    expect_entry(s, "a", "1");
}

/* ---- transactions ---- */

static void what_is_asked_for_in_one_turn_is_one_transaction(void **state)
{
    struct store *s = *state;
    struct heard h[50];
    unsigned before;
    char key[16];

    expect_opens(s);
    before = count_transactions(s);
    for (size_t i = 0; i < count_of(h); i++) {
        snprintf(key, sizeof key, "%zu", i);
        kv_put(s->kv, KV_REPLACE, span_of(key), span_of("v"), KV_FOREVER, hearing(&h[i]), NULL);
    }
    run_until(s->loop, h[0].answers > 0);
    assert_int_equal(h[49].answers, 1); /* of the same wake-up */
    assert_int_equal(count_transactions(s), before + 1);
    put(s, KV_REPLACE, "later", "v", KV_FOREVER);
    assert_int_equal(count_transactions(s), before + 2);
}

struct witness {
    struct kv_wait wait;
    struct store *store;
    unsigned transactions;
};

static void look_at_the_log(struct kv_wait *w, const struct kv_answer *answer)
{
    struct witness *witness = list_entry(w, struct witness, wait);

    (void)answer;
    witness->transactions = count_transactions(witness->store);
}

static void a_write_is_in_the_file_when_its_answer_comes(void **state)
{
    struct store *s = *state;
    struct witness witness = {.wait.fn = look_at_the_log, .store = s};
    unsigned before;

    expect_opens(s);
    before = count_transactions(s);
    kv_put(s->kv, KV_REPLACE, span_of("a"), span_of("1"), KV_FOREVER, &witness.wait, NULL);
    run_until(s->loop, witness.transactions > 0);
    assert_int_equal(witness.transactions, before + 1);
}

static void reading_writes_nothing(void **state)
{
    struct store *s = *state;
    unsigned before;

    expect_opens(s);
    put(s, KV_REPLACE, "a", "1", KV_FOREVER);
    before = count_transactions(s);
    expect_entry(s, "a", "1");
    expect_entry(s, "b", NULL);
    put(s, KV_INSERT, "a", "2", KV_FOREVER);
    assert_int_equal(count_transactions(s), before);
}

/* ---- time ---- */

static void an_entry_is_absent_from_the_end_of_its_time_on(void **state)
{
    struct store *s = *state;

    expect_opens(s);
    put(s, KV_REPLACE, "a", "1", 1000);
    s->elapsed_ms += 999;
    expect_entry(s, "a", "1");
    assert_true(put(s, KV_INSERT, "a", "2", 1000).found);
    s->elapsed_ms += 1;
    expect_entry(s, "a", NULL);
    assert_false(put(s, KV_INSERT, "a", "3", 1000).found);
    expect_entry(s, "a", "3");
}

static void what_has_expired_is_not_there_to_be_removed(void **state)
{
    struct store *s = *state;
    struct heard h;

    expect_opens(s);
    put(s, KV_REPLACE, "a", "1", 10);
    s->elapsed_ms += 10;
    kv_remove(s->kv, span_of("a"), hearing(&h), NULL);
    await(s, &h);
    assert_false(h.found);
}

static void putting_anew_begins_a_new_time(void **state)
{
    struct store *s = *state;

    expect_opens(s);
    put(s, KV_REPLACE, "a", "1", 10);
    put(s, KV_REPLACE, "a", "2", KV_FOREVER);
    put(s, KV_REPLACE, "b", "1", UINT64_MAX - 1);
    put(s, KV_REPLACE, "c", "1", 0);
    s->elapsed_ms += (uint64_t)1 << 50;
    expect_entry(s, "a", "2");
    expect_entry(s, "b", "1");
    expect_entry(s, "c", NULL);
}

static void a_wall_clock_that_jumps_while_the_file_is_open_changes_nothing(void **state)
{
    struct store *s = *state;

    expect_opens(s);
    put(s, KV_REPLACE, "a", "1", 1000);
    s->wall_ms += 3600000;
    expect_entry(s, "a", "1");
    put(s, KV_REPLACE, "b", "1", 1000); /* sweeps, too */
    s->wall_ms -= 3600000;
    s->elapsed_ms += 999;
    s->wall_ms += 999;
    expect_entry(s, "a", "1");
    close_store(s);
    expect_opens(s);
    expect_entry(s, "a", "1");
    expect_entry(s, "b", "1");
    s->elapsed_ms += 1;
    expect_entry(s, "a", NULL);
}

static void between_two_openings_the_wall_clock_counts(void **state)
{
    struct store *s = *state;

    expect_opens(s);
    put(s, KV_REPLACE, "a", "1", 1000);
    put(s, KV_REPLACE, "b", "1", 3000);
    close_store(s);
    s->wall_ms += 2000;
    expect_opens(s);
    expect_entry(s, "a", NULL);
    expect_entry(s, "b", "1");
    close_store(s);
    s->wall_ms -= 60000;
    expect_opens(s);
    expect_entry(s, "b", "1"); /* not early, then */
}

static void writing_sweeps_what_has_expired(void **state)
{
    struct store *s = *state;
    char key[16];

    expect_opens(s);
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "%d", i);
        kv_put(s->kv, KV_REPLACE, span_of(key), span_of("v"), 10, NULL, NULL);
    }
    put(s, KV_REPLACE, "forever", "v", KV_FOREVER);
    put(s, KV_REPLACE, "long", "v", 1000);
    s->elapsed_ms += 10;
    put(s, KV_REPLACE, "a", "v", 1000);
    close_store(s);
    assert_int_equal(query(s, "SELECT count(*) FROM entries"), 3);
}

static void an_idle_store_sweeps_what_has_expired(void **state)
{
    struct store *s = *state;
    unsigned before;

    s->options.sweep_ms = 1;
    expect_opens(s);
    put(s, KV_REPLACE, "a", "v", 10);
    put(s, KV_REPLACE, "b", "v", KV_FOREVER);
    before = count_transactions(s);
    s->elapsed_ms += 10;
    while (count_transactions(s) == before) {
        uv_sleep(1);
    }
    close_store(s);
    assert_int_equal(query(s, "SELECT count(*) FROM entries"), 1);
}

/* ---- the end ---- */

static void closing_finishes_what_is_under_way(void **state)
{
    struct store *s = *state;
    struct heard h[100], closed;
    char key[16];

    expect_opens(s);
    for (size_t i = 0; i < count_of(h); i++) {
        snprintf(key, sizeof key, "%zu", i);
        kv_put(s->kv, KV_REPLACE, span_of(key), span_of("v"), KV_FOREVER, hearing(&h[i]), NULL);
    }
    kv_close(&s->kv, hearing(&closed));
    assert_null(s->kv);
    kv_close(&s->kv, NULL);
    await(s, &closed);
    for (size_t i = 0; i < count_of(h); i++) {
        assert_int_equal(h[i].answers, 1);
        assert_int_equal(h[i].code, TITAN_OK);
    }
    assert_int_equal(query(s, "SELECT count(*) FROM entries"), 100);
}

static void closing_before_it_is_open_is_orderly(void **state)
{
    struct store *s = *state;
    struct heard opened, closed;

    kv_open(&s->kv, &s->loop->reactor, s->path, &s->options, hearing(&opened), NULL);
    kv_close(&s->kv, hearing(&closed));
    await(s, &closed);
    assert_int_equal(opened.answers, 1);
}

static void a_reactor_that_closes_waits_for_the_store(void **state)
{
    struct store *s = *state;

    expect_opens(s);
    kv_put(s->kv, KV_REPLACE, span_of("a"), span_of("1"), KV_FOREVER, NULL, NULL);
    kv_close(&s->kv, NULL);
    reactor_close(&s->loop->reactor);
    assert_int_equal(query(s, "SELECT count(*) FROM entries"), 1);
    reactor_open(&s->loop->reactor, &s->loop->loop);
}

static void who_is_forgotten_hears_nothing_and_it_is_done(void **state)
{
    struct store *s = *state;
    struct heard h;

    expect_opens(s);
    kv_put(s->kv, KV_REPLACE, span_of("a"), span_of("1"), KV_FOREVER, hearing(&h), NULL);
    kv_forget(&h.wait);
    kv_forget(&h.wait);
    expect_entry(s, "a", "1");
    assert_int_equal(h.answers, 0);
}

static void the_loop_is_kept_alive_by_what_is_under_way_and_by_nothing_else(void **state)
{
    struct store *s = *state;

    expect_opens(s);
    assert_false(uv_loop_alive(&s->loop->loop));
    kv_put(s->kv, KV_REPLACE, span_of("a"), span_of("1"), KV_FOREVER, NULL, NULL);
    assert_true(uv_loop_alive(&s->loop->loop));
    uv_run(&s->loop->loop, UV_RUN_DEFAULT);
    expect_entry(s, "a", "1");
}

static void close_in_the_answer(struct kv_wait *w, const struct kv_answer *answer)
{
    struct witness *witness = list_entry(w, struct witness, wait);

    (void)answer;
    kv_close(&witness->store->kv, NULL);
}

static void closing_in_an_answer_leaves_the_others_theirs(void **state)
{
    struct store *s = *state;
    struct witness witness = {.wait.fn = close_in_the_answer, .store = s};
    struct heard h;

    expect_opens(s);
    kv_get(s->kv, span_of("a"), &witness.wait, NULL);
    kv_get(s->kv, span_of("a"), hearing(&h), NULL);
    await(s, &h);
    uv_run(&s->loop->loop, UV_RUN_DEFAULT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(what_was_put_is_got_until_it_is_removed),
        store_test(keys_and_values_are_any_bytes),
        store_test(nothing_is_a_key_and_a_value_as_well),
        store_test(inserting_tells_and_keeps_what_is_there),
        store_test(of_those_that_insert_in_one_turn_the_first_wins),
        store_test(operations_of_one_turn_take_effect_in_their_order),
        store_test(what_is_asked_for_before_the_file_is_open_is_done_once_it_is),
        store_test(what_is_asked_for_in_one_turn_is_one_transaction),
        store_test(a_write_is_in_the_file_when_its_answer_comes),
        store_test(reading_writes_nothing),
        store_test(an_entry_is_absent_from_the_end_of_its_time_on),
        store_test(what_has_expired_is_not_there_to_be_removed),
        store_test(putting_anew_begins_a_new_time),
        store_test(a_wall_clock_that_jumps_while_the_file_is_open_changes_nothing),
        store_test(between_two_openings_the_wall_clock_counts),
        store_test(writing_sweeps_what_has_expired),
        store_test(an_idle_store_sweeps_what_has_expired),
        store_test(closing_finishes_what_is_under_way),
        store_test(closing_before_it_is_open_is_orderly),
        store_test(a_reactor_that_closes_waits_for_the_store),
        store_test(who_is_forgotten_hears_nothing_and_it_is_done),
        store_test(the_loop_is_kept_alive_by_what_is_under_way_and_by_nothing_else),
        store_test(closing_in_an_answer_leaves_the_others_theirs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
