#include "unit.h"

#include <errno.h>
#include <unistd.h>

#include "worker/status.h"

/* The page as the worker has it, and as the manager has it. */
struct pages {
    struct status_page *written;
    struct status_page *read;
    int fd;
};

static int set_up(void **state)
{
    struct pages *p = calloc(1, sizeof *p);

    *state = p;
    if (status_create(&p->written, &p->fd) < 0) {
        return -1;
    }
    return status_map(&p->read, p->fd);
}

static int tear_down(void **state)
{
    struct pages *p = *state;

    status_unmap(&p->written);
    status_unmap(&p->read);
    close(p->fd);
    free(p);
    return 0;
}

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
    status_call_ended(p->written, 0, 1500, 1);
    assert_int_equal(status_load(call->ended_ns), 1500);
    assert_int_equal(status_load(call->failed), 1);
    assert_int_equal(status_load(p->read->ended), 1);
    assert_int_equal(status_load(p->read->errors), 1);
}

static void only_failed_calls_count_as_errors(void **state)
{
    const struct pages *p = *state;
    uint64_t number = status_call_started(p->written, 1, 10);

    status_call_ended(p->written, number, 20, 0);
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
        status_call_ended(p->written, number, at + 1, i % 2);
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
    status_call_ended(p->written, 0, 3, 1);
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
    status_call_ended(p->written, 0, 3, 0);
    assert_int_equal(status_load(p->read->ring[0].ended_ns), 3);
}

static void the_place_of_a_new_call_shows_nothing_of_the_old_one(void **state)
{
    const struct pages *p = *state;

    for (uint32_t i = 0; i < STATUS_RING; i++) {
        status_call_ended(p->written, status_call_started(p->written, i, 1), 2, 1);
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
        cmocka_unit_test(a_descriptor_that_cannot_be_mapped_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
