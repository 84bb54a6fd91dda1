#include "unit.h"

#include "base/breaker.h"

static const struct breaker_policy policy = {
    .failure_threshold = 3,
    .timeout_ms = 1000,
    .half_open_requests = 2,
};

static struct breaker new_breaker(const struct breaker_policy *with)
{
    struct breaker b;

    memset(&b, 0xff, sizeof b);
    breaker_init(&b, with);
    return b;
}

static uint64_t admitted(struct breaker *b, uint64_t now_ms)
{
    uint32_t retry_in_ms = 77;
    uint64_t ticket = breaker_ask(b, now_ms, &retry_in_ms);

    assert_true(ticket != 0);
    assert_int_equal(retry_in_ms, 0);
    return ticket;
}

static void assert_refused(struct breaker *b, uint64_t now_ms, uint32_t expected_retry_ms)
{
    uint32_t retry_in_ms = 77;

    assert_true(breaker_ask(b, now_ms, &retry_in_ms) == 0);
    assert_int_equal(retry_in_ms, expected_retry_ms);
}

static void fail_once(struct breaker *b, uint64_t now_ms)
{
    breaker_failure(b, admitted(b, now_ms), now_ms);
}

static void succeed_once(struct breaker *b, uint64_t now_ms)
{
    breaker_success(b, admitted(b, now_ms), now_ms);
}

static struct breaker opened_at(uint64_t now_ms)
{
    struct breaker b = new_breaker(&policy);

    for (uint32_t i = 0; i < policy.failure_threshold; i++) {
        fail_once(&b, now_ms);
    }
    assert_int_equal(breaker_state(&b, now_ms), BREAKER_OPEN);
    return b;
}

/* ---- closed ---- */

static void a_new_breaker_is_closed_and_admits_any_number_of_calls(void **state)
{
    struct breaker b = new_breaker(&policy);

    (void)state;
    assert_int_equal(breaker_state(&b, 0), BREAKER_CLOSED);
    for (int i = 0; i < 100; i++) {
        admitted(&b, 0);
    }
    assert_int_equal(breaker_state(&b, UINT64_MAX), BREAKER_CLOSED);
}

static void it_opens_at_the_threshold_and_not_before(void **state)
{
    struct breaker b = new_breaker(&policy);

    (void)state;
    fail_once(&b, 5);
    fail_once(&b, 5);
    assert_int_equal(breaker_state(&b, 5), BREAKER_CLOSED);
    fail_once(&b, 5);
    assert_int_equal(breaker_state(&b, 5), BREAKER_OPEN);
    assert_refused(&b, 5, 1000);
}

static void a_success_begins_the_count_of_failures_anew(void **state)
{
    struct breaker b = new_breaker(&policy);

    (void)state;
    for (int round = 0; round < 10; round++) {
        fail_once(&b, 5);
        fail_once(&b, 5);
        succeed_once(&b, 5);
    }
    assert_int_equal(breaker_state(&b, 5), BREAKER_CLOSED);
    fail_once(&b, 5);
    fail_once(&b, 5);
    assert_int_equal(breaker_state(&b, 5), BREAKER_CLOSED);
    fail_once(&b, 5);
    assert_int_equal(breaker_state(&b, 5), BREAKER_OPEN);
}

static void an_abandoned_call_neither_counts_nor_begins_the_count_anew(void **state)
{
    struct breaker b = new_breaker(&policy);

    (void)state;
    fail_once(&b, 5);
    fail_once(&b, 5);
    for (int i = 0; i < 10; i++) {
        breaker_abandon(&b, admitted(&b, 5));
    }
    assert_int_equal(breaker_state(&b, 5), BREAKER_CLOSED);
    fail_once(&b, 5);
    assert_int_equal(breaker_state(&b, 5), BREAKER_OPEN);
}

/* ---- open ---- */

static void it_stays_open_to_the_last_millisecond(void **state)
{
    struct breaker b = opened_at(5000);

    (void)state;
    assert_refused(&b, 5000, 1000);
    assert_refused(&b, 5001, 999);
    assert_refused(&b, 5999, 1);
    assert_int_equal(breaker_state(&b, 5999), BREAKER_OPEN);
    assert_int_equal(breaker_state(&b, 6000), BREAKER_HALF_OPEN);
    admitted(&b, 6000);
    assert_int_equal(breaker_state(&b, 6000), BREAKER_HALF_OPEN);
}

static void the_timeout_counts_from_the_answer_that_opened_it_not_from_its_call(void **state)
{
    struct breaker b = new_breaker(&policy);
    uint64_t slow;

    (void)state;
    fail_once(&b, 0);
    fail_once(&b, 0);
    slow = admitted(&b, 0);
    breaker_failure(&b, slow, 700);
    assert_refused(&b, 1699, 1);
    admitted(&b, 1700);
}

static void late_answers_do_not_move_an_open_breaker(void **state)
{
    struct breaker b = new_breaker(&policy);
    uint64_t late[3];

    (void)state;
    for (size_t i = 0; i < count_of(late); i++) {
        late[i] = admitted(&b, 0);
    }
    for (uint32_t i = 0; i < policy.failure_threshold; i++) {
        fail_once(&b, 0);
    }
    breaker_success(&b, late[0], 500);
    breaker_failure(&b, late[1], 500);
    breaker_abandon(&b, late[2]);
    assert_refused(&b, 500, 500);
    assert_refused(&b, 999, 1);
    admitted(&b, 1000);
}

static void asking_for_the_state_changes_nothing(void **state)
{
    struct breaker b = opened_at(0);
    uint64_t generation = b.generation;

    (void)state;
    assert_int_equal(breaker_state(&b, 1000), BREAKER_HALF_OPEN);
    assert_true(b.generation == generation);
    assert_refused(&b, 999, 1);
}

/* ---- half open ---- */

static void only_so_many_probes_are_under_way_at_once(void **state)
{
    struct breaker b = opened_at(0);
    uint64_t probe;

    (void)state;
    probe = admitted(&b, 1000);
    admitted(&b, 1000);
    assert_refused(&b, 1000, 0);
    assert_refused(&b, 1000000, 0);
    breaker_success(&b, probe, 1000000);
    admitted(&b, 1000000);
    assert_refused(&b, 1000000, 0);
}

static void so_many_successes_close_it(void **state)
{
    struct breaker b = opened_at(0);

    (void)state;
    succeed_once(&b, 1000);
    assert_int_equal(breaker_state(&b, 1000), BREAKER_HALF_OPEN);
    succeed_once(&b, 1000);
    assert_int_equal(breaker_state(&b, 1000), BREAKER_CLOSED);
    for (int i = 0; i < 10; i++) {
        admitted(&b, 1000);
    }
}

static void a_breaker_that_closed_counts_failures_from_none(void **state)
{
    struct breaker b = opened_at(0);

    (void)state;
    succeed_once(&b, 1000);
    succeed_once(&b, 1000);
    fail_once(&b, 1000);
    fail_once(&b, 1000);
    assert_int_equal(breaker_state(&b, 1000), BREAKER_CLOSED);
    fail_once(&b, 1000);
    assert_int_equal(breaker_state(&b, 1000), BREAKER_OPEN);
}

static void a_failed_probe_opens_it_for_another_whole_timeout(void **state)
{
    struct breaker b = opened_at(0);
    uint64_t probe = admitted(&b, 1500);

    (void)state;
    breaker_failure(&b, probe, 1800);
    assert_refused(&b, 1800, 1000);
    assert_refused(&b, 2799, 1);
    admitted(&b, 2800);
}

static void successes_before_a_failure_are_forgotten(void **state)
{
    struct breaker b = opened_at(0);

    (void)state;
    succeed_once(&b, 1000);
    fail_once(&b, 1000);
    succeed_once(&b, 2000);
    assert_int_equal(breaker_state(&b, 2000), BREAKER_HALF_OPEN);
    succeed_once(&b, 2000);
    assert_int_equal(breaker_state(&b, 2000), BREAKER_CLOSED);
}

static void an_abandoned_probe_makes_room_and_says_nothing(void **state)
{
    struct breaker b = opened_at(0);

    (void)state;
    for (int i = 0; i < 10; i++) {
        uint64_t first = admitted(&b, 1000);
        uint64_t second = admitted(&b, 1000);

        assert_refused(&b, 1000, 0);
        breaker_abandon(&b, first);
        breaker_abandon(&b, second);
        assert_int_equal(breaker_state(&b, 1000), BREAKER_HALF_OPEN);
    }
    succeed_once(&b, 1000);
    breaker_abandon(&b, admitted(&b, 1000));
    succeed_once(&b, 1000);
    assert_int_equal(breaker_state(&b, 1000), BREAKER_CLOSED);
}

static void late_answers_of_calls_from_before_do_not_move_a_half_open_breaker(void **state)
{
    struct breaker b = new_breaker(&policy);
    uint64_t late[8];

    (void)state;
    for (size_t i = 0; i < count_of(late); i++) {
        late[i] = admitted(&b, 0);
    }
    for (uint32_t i = 0; i < policy.failure_threshold; i++) {
        fail_once(&b, 0);
    }
    admitted(&b, 1000);
    admitted(&b, 1000);
    for (size_t i = 0; i < 4; i++) {
        breaker_success(&b, late[i], 1000);
    }
    breaker_abandon(&b, late[4]);
    breaker_failure(&b, late[5], 1000);
    assert_int_equal(breaker_state(&b, 1000), BREAKER_HALF_OPEN);
    assert_refused(&b, 1000, 0);
}

/* Both probes are of the same stay; the first failure ends it for the second as well. */
static void the_other_probe_of_a_reopened_breaker_is_late(void **state)
{
    struct breaker b = opened_at(0);
    uint64_t first = admitted(&b, 1000);
    uint64_t second = admitted(&b, 1000);

    (void)state;
    breaker_failure(&b, first, 1000);
    breaker_failure(&b, second, 1900);
    assert_refused(&b, 1999, 1);
    succeed_once(&b, 2000);
    breaker_success(&b, second, 2000);
    assert_int_equal(breaker_state(&b, 2000), BREAKER_HALF_OPEN);
}

static void a_probe_that_answers_after_it_closed_says_nothing(void **state)
{
    static const struct breaker_policy one_failure = {1, 1000, 2};
    struct breaker b = new_breaker(&one_failure);
    uint64_t slow;

    (void)state;
    fail_once(&b, 0);
    slow = admitted(&b, 1000);
    succeed_once(&b, 1000);
    succeed_once(&b, 1000);
    assert_int_equal(breaker_state(&b, 1000), BREAKER_CLOSED);
    breaker_failure(&b, slow, 1000);
    assert_int_equal(breaker_state(&b, 1000), BREAKER_CLOSED);
}

static void a_ticket_given_back_twice_counts_once(void **state)
{
    struct breaker b = opened_at(0);
    uint64_t probe = admitted(&b, 1000);

    (void)state;
    breaker_success(&b, probe, 1000);
    breaker_success(&b, probe, 1000);
    breaker_abandon(&b, probe);
    breaker_failure(&b, probe, 1000);
    assert_int_equal(breaker_state(&b, 1000), BREAKER_HALF_OPEN);
    admitted(&b, 1000);
    admitted(&b, 1000);
    assert_refused(&b, 1000, 0);
}

static void no_ticket_is_no_ticket_in_any_state(void **state)
{
    struct breaker b = new_breaker(&policy);

    (void)state;
    for (int i = 0; i < 10; i++) {
        breaker_failure(&b, 0, 0);
    }
    assert_int_equal(breaker_state(&b, 0), BREAKER_CLOSED);
}

/* ---- clocks and policies ---- */

static void it_works_at_both_ends_of_the_clock(void **state)
{
    struct breaker b = opened_at(0);

    (void)state;
    assert_refused(&b, 0, 1000);
    fail_once(&b, UINT64_MAX - 10);
    assert_refused(&b, UINT64_MAX - 10, 1000);
    assert_refused(&b, UINT64_MAX, 990);
}

static void a_jump_far_beyond_the_timeout_ends_it_once(void **state)
{
    struct breaker b = opened_at(7);

    (void)state;
    admitted(&b, (uint64_t)1 << 40);
    admitted(&b, (uint64_t)1 << 41);
    assert_refused(&b, (uint64_t)1 << 42, 0);
}

static void a_clock_that_goes_back_stands(void **state)
{
    struct breaker b = opened_at(5000);

    (void)state;
    assert_refused(&b, 4000, 1000);
    assert_refused(&b, 0, 1000);
    admitted(&b, 6000);
}

static void the_longest_timeout_is_kept(void **state)
{
    static const struct breaker_policy longest = {1, UINT32_MAX, 1};
    struct breaker b = new_breaker(&longest);

    (void)state;
    fail_once(&b, 10);
    assert_refused(&b, 10, UINT32_MAX);
    assert_refused(&b, 10 + (uint64_t)UINT32_MAX - 1, 1);
    admitted(&b, 10 + (uint64_t)UINT32_MAX);
}

static void a_policy_of_zeros_opens_at_the_first_failure_and_probes_at_once(void **state)
{
    static const struct breaker_policy zeros = {0, 0, 0};
    struct breaker b = new_breaker(&zeros);
    uint64_t probe;

    (void)state;
    fail_once(&b, 0);
    assert_int_equal(breaker_state(&b, 0), BREAKER_HALF_OPEN);
    probe = admitted(&b, 0);
    assert_refused(&b, 0, 0);
    breaker_success(&b, probe, 0);
    assert_int_equal(breaker_state(&b, 0), BREAKER_CLOSED);
}

static void states_have_the_names_that_people_read(void **state)
{
    (void)state;
    assert_string_equal(breaker_state_name(BREAKER_CLOSED), "closed");
    assert_string_equal(breaker_state_name(BREAKER_OPEN), "open");
    assert_string_equal(breaker_state_name(BREAKER_HALF_OPEN), "half_open");
}

/* So that an owner can tell that the state has changed, even there and back. */
static void every_change_of_state_is_a_generation(void **state)
{
    struct breaker b = new_breaker(&policy);

    (void)state;
    for (uint64_t round = 0; round < 3; round++) {
        uint64_t now_ms = round * 1000;

        fail_once(&b, now_ms);
        fail_once(&b, now_ms);
        assert_int_equal(b.generation, 3 * round + 1);
        fail_once(&b, now_ms);
        assert_int_equal(b.generation, 3 * round + 2);
        succeed_once(&b, now_ms + 1000);
        assert_int_equal(b.generation, 3 * round + 3);
        succeed_once(&b, now_ms + 1000);
        assert_int_equal(b.generation, 3 * round + 4);
    }
}

/* ---- all of it at once ---- */

#define CALLS 64

/* Whatever comes in whatever order: what is promised of any stay holds at every step. */
static void random_histories_keep_the_promises(void **state)
{
    struct breaker b = new_breaker(&policy);
    uint64_t tickets[CALLS] = {0};
    uint64_t now_ms = 0;
    uint32_t random = 11;
    int visits[BREAKER_STATES] = {0};

    (void)state;
    for (int round = 0; round < 50000; round++) {
        uint32_t i = next_random(&random) % CALLS;
        uint32_t under_way = 0;
        uint64_t generation = b.generation;
        uint64_t ticket = tickets[i];
        uint32_t retry_in_ms;

        now_ms += next_random(&random) % 40;
        if (ticket == 0) {
            tickets[i] = breaker_ask(&b, now_ms, &retry_in_ms);
            assert_true(tickets[i] == 0 || tickets[i] == b.generation);
            assert_true(retry_in_ms <= policy.timeout_ms);
        } else {
            switch (next_random(&random) % 4) {
            case 0:
                breaker_abandon(&b, ticket);
                break;
            case 1:
                breaker_success(&b, ticket, now_ms);
                break;
            default:
                breaker_failure(&b, ticket, now_ms);
            }
            tickets[i] = 0;
            assert_true(ticket == generation || b.generation == generation);
        }
        for (size_t k = 0; k < CALLS; k++) {
            under_way += tickets[k] == b.generation;
        }
        if (b.state == BREAKER_HALF_OPEN) {
            assert_int_equal(under_way, b.probes);
            assert_true(under_way <= policy.half_open_requests);
        }
        if (b.state == BREAKER_OPEN) {
            assert_int_equal(under_way, 0);
        }
        visits[b.state]++;
    }
    for (size_t i = 0; i < count_of(visits); i++) {
        assert_true(visits[i] > 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_breaker_is_closed_and_admits_any_number_of_calls),
        cmocka_unit_test(it_opens_at_the_threshold_and_not_before),
        cmocka_unit_test(a_success_begins_the_count_of_failures_anew),
        cmocka_unit_test(an_abandoned_call_neither_counts_nor_begins_the_count_anew),
        cmocka_unit_test(it_stays_open_to_the_last_millisecond),
        cmocka_unit_test(the_timeout_counts_from_the_answer_that_opened_it_not_from_its_call),
        cmocka_unit_test(late_answers_do_not_move_an_open_breaker),
        cmocka_unit_test(asking_for_the_state_changes_nothing),
        cmocka_unit_test(only_so_many_probes_are_under_way_at_once),
        cmocka_unit_test(so_many_successes_close_it),
        cmocka_unit_test(a_breaker_that_closed_counts_failures_from_none),
        cmocka_unit_test(a_failed_probe_opens_it_for_another_whole_timeout),
        cmocka_unit_test(successes_before_a_failure_are_forgotten),
        cmocka_unit_test(an_abandoned_probe_makes_room_and_says_nothing),
        cmocka_unit_test(late_answers_of_calls_from_before_do_not_move_a_half_open_breaker),
        cmocka_unit_test(the_other_probe_of_a_reopened_breaker_is_late),
        cmocka_unit_test(a_probe_that_answers_after_it_closed_says_nothing),
        cmocka_unit_test(a_ticket_given_back_twice_counts_once),
        cmocka_unit_test(no_ticket_is_no_ticket_in_any_state),
        cmocka_unit_test(it_works_at_both_ends_of_the_clock),
        cmocka_unit_test(a_jump_far_beyond_the_timeout_ends_it_once),
        cmocka_unit_test(a_clock_that_goes_back_stands),
        cmocka_unit_test(the_longest_timeout_is_kept),
        cmocka_unit_test(a_policy_of_zeros_opens_at_the_first_failure_and_probes_at_once),
        cmocka_unit_test(states_have_the_names_that_people_read),
        cmocka_unit_test(every_change_of_state_is_a_generation),
        cmocka_unit_test(random_histories_keep_the_promises),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
