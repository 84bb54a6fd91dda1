#include "unit.h"

#include <limits.h>
#include <stdio.h>

#include "base/errors.h"

#define LAST_CODE TITAN_E_DESTROYED

/* By -code: the names are what users compare with. */
static const char *const names[] = {
    "ok",
    "invalid_config",
    "spawn_failed",
    "startup_timeout",
    "method_not_found",
    "not_public",
    "validation_failed",
    "timeout",
    "cancelled",
    "worker_lost",
    "overloaded",
    "rate_limited",
    "circuit_open",
    "limit_exceeded",
    "remote_error",
    "protocol_error",
    "unauthorized",
    "shutting_down",
    "destroyed",
};

static void every_code_has_its_name(void **state)
{
    (void)state;
    assert_int_equal(count_of(names), 1 - LAST_CODE);
    for (int code = 0; code >= LAST_CODE; code--) {
        assert_string_equal(titan_error_name(code), names[-code]);
    }
}

static void every_code_has_a_sentence_of_its_own(void **state)
{
    (void)state;
    for (int code = 0; code >= LAST_CODE; code--) {
        assert_true(strlen(titan_strerror(code)) > 10);
        for (int other = 0; other > code; other--) {
            assert_string_not_equal(titan_strerror(code), titan_strerror(other));
        }
    }
}

static void any_other_number_is_unknown(void **state)
{
    static const int others[] = {1, LAST_CODE - 1, INT_MIN, INT_MAX};

    (void)state;
    for (size_t i = 0; i < count_of(others); i++) {
        assert_string_equal(titan_error_name(others[i]), "unknown");
        assert_string_equal(titan_strerror(others[i]), "an unknown error code");
    }
}

static void failing_returns_the_code_and_keeps_the_message(void **state)
{
    struct failure why;

    (void)state;
    assert_int_equal(fail(&why, TITAN_E_TIMEOUT, "after %d ms", 7), TITAN_E_TIMEOUT);
    assert_int_equal(why.code, TITAN_E_TIMEOUT);
    assert_string_equal(why.message, "after 7 ms");
}

static void failing_without_anyone_to_tell_returns_the_code(void **state)
{
    (void)state;
    assert_int_equal(fail(NULL, TITAN_E_CANCELLED, "%s", "unheard"), TITAN_E_CANCELLED);
}

static void a_message_that_is_too_long_is_cut(void **state)
{
    struct failure why;
    char text[2 * sizeof why.message];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    fail(&why, TITAN_E_REMOTE_ERROR, "%s", text);
    assert_int_equal(strlen(why.message), sizeof why.message - 1);
    assert_memory_equal(why.message, text, sizeof why.message - 1);
}

static void the_version_is_made_of_its_numbers(void **state)
{
    char version[32];

    (void)state;
    snprintf(version, sizeof version, "%d.%d.%d", TITAN_VERSION_MAJOR, TITAN_VERSION_MINOR,
             TITAN_VERSION_PATCH);
    assert_string_equal(titan_version(), version);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_name),
        cmocka_unit_test(every_code_has_a_sentence_of_its_own),
        cmocka_unit_test(any_other_number_is_unknown),
        cmocka_unit_test(failing_returns_the_code_and_keeps_the_message),
        cmocka_unit_test(failing_without_anyone_to_tell_returns_the_code),
        cmocka_unit_test(a_message_that_is_too_long_is_cut),
        cmocka_unit_test(the_version_is_made_of_its_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
