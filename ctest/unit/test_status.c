#include "pages.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static void a_fresh_page_says_that_nothing_happened(void **state)
{
    const struct pages *p = *state;

    assert_int_equal(p->read->version, STATUS_VERSION);
    assert_int_equal(status_load(p->read->pid), 0);
    assert_int_equal(status_load(p->read->calls), 0);
    assert_int_equal(status_load(p->read->ended), 0);
    assert_int_equal(status_load(p->read->errors), 0);
    assert_int_equal(status_load(p->read->running_method), STATUS_NO_METHOD);
    assert_string_equal(status_method_name(p->read, 0, (char[STATUS_NAME]){0}), "?");
}

static void what_one_side_writes_the_other_reads_even_when_the_writer_is_gone(void **state)
{
    struct pages *p = *state;

    status_store(p->written->pid, 123);
    status_name_method(p->written, 3, "resize");
    status_unmap(&p->written);
    assert_null(p->written);
    status_unmap(&p->written);
    assert_int_equal(status_load(p->read->pid), 123);
    assert_string_equal(status_method_name(p->read, 3, (char[STATUS_NAME]){0}), "resize");
}

static void a_call_is_noted_from_its_start_to_its_end(void **state)
{
    const struct pages *p = *state;
    const struct status_call *call = &p->read->ring[0];

    assert_int_equal(status_call_started(p->written, 5, 1000), 0);
    assert_int_equal(status_load(call->method), 5);
    assert_int_equal(status_load(call->started_ns), 1000);
    assert_int_equal(status_load(call->ended_ns), 0);
    assert_int_equal(status_load(p->read->calls), 1);
    assert_int_equal(status_load(p->read->ended), 0);
    status_call_ended(p->written, 0, 5, 1000, 1500, 1);
    assert_int_equal(status_load(call->ended_ns), 1500);
    assert_int_equal(status_load(call->failed), 1);
    assert_int_equal(status_load(p->read->ended), 1);
    assert_int_equal(status_load(p->read->errors), 1);
}

static void only_failed_calls_count_as_errors(void **state)
{
    const struct pages *p = *state;
    uint64_t number = status_call_started(p->written, 1, 10);

    status_call_ended(p->written, number, 1, 10, 20, 0);
    assert_int_equal(status_load(p->read->ended), 1);
    assert_int_equal(status_load(p->read->errors), 0);
    assert_int_equal(status_load(p->read->ring[0].failed), 0);
}

static void the_ring_keeps_the_last_calls(void **state)
{
    const struct pages *p = *state;

    for (uint32_t i = 0; i < 2 * STATUS_RING + 3; i++) {
        uint64_t at = (uint64_t)i * 10;
        uint64_t number = status_call_started(p->written, i, at);

        assert_int_equal(number, i);
        status_call_ended(p->written, number, i, at, at + 1, i % 2);
    }
    assert_int_equal(status_load(p->read->calls), 2 * STATUS_RING + 3);
    for (uint32_t i = STATUS_RING + 3; i < 2 * STATUS_RING + 3; i++) {
        const struct status_call *call = &p->read->ring[i % STATUS_RING];

        assert_int_equal(status_load(call->method), i);
        assert_int_equal(status_load(call->started_ns), i * 10);
        assert_int_equal(status_load(call->ended_ns), i * 10 + 1);
        assert_int_equal(status_load(call->failed), i % 2);
    }
}

/* Call 0 goes on while as many others begin as the ring has room for. */
static void a_call_whose_place_is_taken_ends_without_touching_it(void **state)
{
    const struct pages *p = *state;
    const struct status_call *place = &p->read->ring[0];

    for (uint32_t i = 0; i < STATUS_RING; i++) {
        status_call_started(p->written, i, 1);
    }
    status_call_started(p->written, 99, 2);
    status_call_ended(p->written, 0, 0, 1, 3, 1);
    assert_int_equal(status_load(place->method), 99);
    assert_int_equal(status_load(place->ended_ns), 0);
    assert_int_equal(status_load(place->failed), 0);
    assert_int_equal(status_load(p->read->ended), 1);
    assert_int_equal(status_load(p->read->errors), 1);
}

static void the_oldest_call_in_the_ring_still_has_its_place(void **state)
{
    const struct pages *p = *state;

    for (uint32_t i = 0; i < STATUS_RING; i++) {
        status_call_started(p->written, i, 1);
    }
    status_call_ended(p->written, 0, 0, 1, 3, 0);
    assert_int_equal(status_load(p->read->ring[0].ended_ns), 3);
}

static void the_place_of_a_new_call_shows_nothing_of_the_old_one(void **state)
{
    const struct pages *p = *state;

    for (uint32_t i = 0; i < STATUS_RING; i++) {
        status_call_ended(p->written, status_call_started(p->written, i, 1), i, 1, 2, 1);
    }
    status_call_started(p->written, 7, 5);
    assert_int_equal(status_load(p->read->ring[0].ended_ns), 0);
    assert_int_equal(status_load(p->read->ring[0].failed), 0);
}

static void what_runs_right_now_is_known(void **state)
{
    const struct pages *p = *state;

    status_running(p->written, 4, 777);
    assert_int_equal(status_load(p->read->running_method), 4);
    assert_int_equal(status_load(p->read->running_started_ns), 777);
    status_idle(p->written);
    assert_int_equal(status_load(p->read->running_method), STATUS_NO_METHOD);
}

static void names_are_cut_to_the_room_there_is(void **state)
{
    const struct pages *p = *state;
    char name[STATUS_NAME + 20];

    memset(name, 'm', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    status_name_method(p->written, 0, name);
    status_name_method(p->written, 1, "next");
    assert_int_equal(strlen(status_method_name(p->read, 0, (char[STATUS_NAME]){0})),
                     STATUS_NAME - 1);
    assert_string_equal(status_method_name(p->read, 1, (char[STATUS_NAME]){0}), "next");
}

static void methods_beyond_the_room_have_no_name(void **state)
{
    const struct pages *p = *state;

    status_name_method(p->written, STATUS_METHODS - 1, "last");
    status_name_method(p->written, STATUS_METHODS, "beyond");
    status_name_method(p->written, STATUS_NO_METHOD, "none");
    assert_string_equal(status_method_name(p->read, STATUS_METHODS - 1, (char[STATUS_NAME]){0}),
                        "last");
    assert_string_equal(status_method_name(p->read, STATUS_METHODS, (char[STATUS_NAME]){0}), "?");
    assert_string_equal(status_method_name(p->read, STATUS_NO_METHOD, (char[STATUS_NAME]){0}), "?");
}

static void a_descriptor_that_cannot_be_mapped_is_an_error(void **state)
{
    struct status_page *page = NULL;

    (void)state;
    assert_int_equal(status_map(&page, -1), -EBADF);
    assert_null(page);
}

/* A call of `took_ns` from its start to its end. */
static void one_call(const struct pages *p, uint32_t method, uint64_t took_ns, uint32_t failed)
{
    uint64_t number = status_call_started(p->written, method, 5000);

    status_call_ended(p->written, number, method, 5000, 5000 + took_ns, failed);
}

static void assert_tally(struct status_tally tally, uint64_t calls, uint64_t errors,
                         uint64_t in_flight)
{
    assert_int_equal(tally.calls, calls);
    assert_int_equal(tally.errors, errors);
    assert_int_equal(tally.in_flight, in_flight);
}

static void calls_are_counted_by_method(void **state)
{
    const struct pages *p = *state;

    one_call(p, 0, 1, 0);
    one_call(p, 2, 1, 1);
    one_call(p, 2, 1, 0);
    status_call_started(p->written, 2, 1);
    assert_tally(status_tally_slot(p->read, 0), 1, 0, 0);
    assert_tally(status_tally_slot(p->read, 1), 0, 0, 0);
    assert_tally(status_tally_slot(p->read, 2), 3, 1, 1);
    assert_tally(status_tally_all(p->read), 4, 1, 1);
}

static void methods_without_a_slot_of_their_own_share_one(void **state)
{
    const struct pages *p = *state;

    one_call(p, STATUS_METHODS - 1, 1, 0);
    one_call(p, STATUS_METHODS, 1, 0);
    one_call(p, STATUS_METHODS + 1000, 1, 1);
    one_call(p, STATUS_NO_METHOD, 1, 1);
    assert_tally(status_tally_slot(p->read, STATUS_METHODS - 1), 1, 0, 0);
    assert_tally(status_tally_slot(p->read, STATUS_OTHERS), 3, 2, 0);
}

static void how_long_calls_took_is_kept_by_method(void **state)
{
    const struct pages *p = *state;
    struct histogram_sum three = {0};
    struct histogram_sum four = {0};

    one_call(p, 3, 1000000, 0);
    one_call(p, 3, 3000000, 1);
    one_call(p, 4, 9000000, 0);
    status_call_started(p->written, 3, 1); /* has not ended: no latency */
    status_add_latencies(p->read, 3, &three);
    status_add_latencies(p->read, 4, &four);
    assert_int_equal(histogram_count(&three), 2);
    assert_int_equal((uint64_t)histogram_mean(&three), 2000000);
    assert_int_equal(histogram_count(&four), 1);
    assert_int_equal((uint64_t)histogram_mean(&four), 9000000);
}

static void latencies_can_be_done_without(void **state)
{
    const struct pages *p = *state;
    struct histogram_sum sum = {0};

    assert_int_equal(status_load(p->read->keeps_latencies), 1);
    status_store(p->written->keeps_latencies, 0);
    one_call(p, 3, 1000, 1);
    status_add_latencies(p->read, 3, &sum);
    assert_int_equal(histogram_count(&sum), 0);
    assert_tally(status_tally_slot(p->read, 3), 1, 1, 0);
}

/* The memory of the page: what was touched by either side. */
static size_t memory_pages(const struct pages *p)
{
    struct stat st;

    assert_int_equal(fstat(p->fd, &st), 0);
    return (size_t)st.st_blocks * 512 / (size_t)sysconf(_SC_PAGESIZE);
}

static void only_methods_that_are_called_take_memory(void **state)
{
    const struct pages *p = *state;
    struct histogram_sum sum = {0};
    size_t fresh = memory_pages(p);

    for (uint32_t i = 0; i < STATUS_METHODS; i++) {
        if (i < STATUS_NEAR) {
            status_name_method(p->written, i, "name");
        }
        assert_tally(status_tally_slot(p->read, i), 0, 0, 0);
        status_add_latencies(p->read, i, &sum);
    }
    assert_int_equal(memory_pages(p), fresh);
    one_call(p, 40, 1000, 0);
    status_add_latencies(p->read, 40, &sum);
    assert_int_equal(histogram_count(&sum), 1);
    assert_in_range(memory_pages(p), fresh + 2, fresh + 3); /* its counts, and its latencies */
}

/* A worker can write anything into its page. */
static void nonsense_in_a_page_is_only_a_wrong_number(void **state)
{
    const struct pages *p = *state;
    struct histogram_sum sum = {0};
    char name[STATUS_NAME];

    memset(p->written, 0xff, sizeof *p->written);
    for (uint32_t slot = 0; slot < STATUS_SLOTS + 5; slot++) {
        struct status_tally tally = status_tally_slot(p->read, slot);

        assert_true(tally.in_flight <= tally.calls);
        assert_true(strlen(status_method_name(p->read, slot, name)) < STATUS_NAME);
        status_add_latencies(p->read, slot, &sum);
    }
    status_add_latencies(p->read, STATUS_NO_METHOD, &sum);
    assert_int_equal(histogram_count(&sum),
                     (uint64_t)UINT32_MAX * count_of(sum.counts) * (uint64_t)STATUS_SLOTS);
    assert_true(histogram_quantile(&sum, 1) <= histogram_start_ns(HISTOGRAM_BUCKETS));
}

static void calls_that_ended_before_they_began_are_none_in_flight(void **state)
{
    const struct pages *p = *state;

    status_store(p->written->calls, 3);
    status_store(p->written->ended, 5);
    assert_tally(status_tally_all(p->read), 3, 0, 0);
}

#define status_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        status_test(a_fresh_page_says_that_nothing_happened),
        status_test(what_one_side_writes_the_other_reads_even_when_the_writer_is_gone),
        status_test(a_call_is_noted_from_its_start_to_its_end),
        status_test(only_failed_calls_count_as_errors),
        status_test(the_ring_keeps_the_last_calls),
        status_test(a_call_whose_place_is_taken_ends_without_touching_it),
        status_test(the_oldest_call_in_the_ring_still_has_its_place),
        status_test(the_place_of_a_new_call_shows_nothing_of_the_old_one),
        status_test(what_runs_right_now_is_known),
        status_test(names_are_cut_to_the_room_there_is),
        status_test(methods_beyond_the_room_have_no_name),
        status_test(calls_are_counted_by_method),
        status_test(methods_without_a_slot_of_their_own_share_one),
        status_test(how_long_calls_took_is_kept_by_method),
        status_test(latencies_can_be_done_without),
        status_test(only_methods_that_are_called_take_memory),
        status_test(nonsense_in_a_page_is_only_a_wrong_number),
        status_test(calls_that_ended_before_they_began_are_none_in_flight),
        cmocka_unit_test(a_descriptor_that_cannot_be_mapped_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
