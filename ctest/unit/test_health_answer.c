/* What a health_check method says, read from bytes that nobody trusts. */
#include "manager/health_answer.h"
#include "unit.h"

#define NESTING 8

static struct span bytes(const char *b, size_t len)
{
    return (struct span){(const uint8_t *)b, len};
}

#define BYTES(literal) bytes(literal, sizeof(literal) - 1)

/* The shapes of MessagePack that the tests need, written out. */
#define MAP1 "\x81"
#define MAP2 "\x82"
#define STATUS "\xa6status"
#define HEALTHY "\xa7healthy"
#define DEGRADED                                                                                   \
    "\xa8"                                                                                         \
    "degraded"
#define UNHEALTHY "\xa9unhealthy"
#define LIST1 "\x91"
#define LIST2 "\x92"
#define NIL "\xc0"
#define NO "\xc2"
#define YES "\xc3"

static void every_shape(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *reason;
        enum health_finding found;
        bool has_details;
    } table[] = {
#define CASE(literal, found, reason, has_details)                                                  \
    {literal, sizeof(literal) - 1, reason, found, has_details}
        CASE("\x90", FOUND_HEALTHY, "", false),
        CASE(LIST1 NIL, FOUND_HEALTHY, "", false),
        CASE(LIST1 YES, FOUND_HEALTHY, "", false),
        CASE(LIST2 YES "\xa2ok", FOUND_HEALTHY, "", false),
        CASE(LIST1 NO, FOUND_FAILED, "it answered false", false),
        CASE(LIST2 NO "\xa3why", FOUND_FAILED, "why", false),
        CASE(LIST2 NIL "\xa3why", FOUND_FAILED, "why", false),
        CASE(LIST2 NIL NIL, FOUND_HEALTHY, "", false),
        CASE(LIST1 MAP1 STATUS HEALTHY, FOUND_HEALTHY, "", true),
        CASE(LIST1 MAP1 STATUS DEGRADED, FOUND_DEGRADED, "", true),
        CASE(LIST1 MAP1 STATUS UNHEALTHY, FOUND_FAILED, "it says so", true),
        CASE(LIST1 MAP2 "\xa6reason\xa3why" STATUS DEGRADED, FOUND_DEGRADED, "why", true),
        CASE(LIST1 MAP2 "\xa7message\xa3why" STATUS UNHEALTHY, FOUND_FAILED, "why", true),
        CASE(LIST1 MAP2 "\xa1x\x92\x81\x01\x02" NIL STATUS HEALTHY, FOUND_HEALTHY, "", true),
        CASE(LIST1 MAP2 "\x91\x01" NIL STATUS HEALTHY, FOUND_HEALTHY, "", true),
        CASE(LIST1 MAP1 STATUS "\x01", FOUND_FAILED,
             "its answer has no status (a string: healthy, degraded or unhealthy)", true),
        CASE(LIST1 MAP1 STATUS "\xa4 fit", FOUND_FAILED,
             "its status is none of healthy, degraded and unhealthy:  fit", true),
        CASE(LIST1 "\x80", FOUND_FAILED,
             "its answer has no status (a string: healthy, degraded or unhealthy)", true),
        CASE(LIST1 "\x07", FOUND_FAILED,
             "it answered neither true or false nor a table with a status", false),
        CASE(LIST1 "\x90", FOUND_FAILED,
             "it answered neither true or false nor a table with a status", false),
#undef CASE
    };

    (void)state;
    for (size_t i = 0; i < count_of(table); i++) {
        struct health_answer a;

        assert_null(health_read_results(bytes(table[i].bytes, table[i].len), NESTING, &a));
        assert_int_equal(a.found, table[i].found);
        assert_string_equal(a.reason, table[i].reason);
        assert_int_equal(a.details.at != NULL, table[i].has_details);
    }
}

static void details_are_the_map_and_nothing_else(void **state)
{
    static const char text[] = LIST2 MAP2 STATUS HEALTHY "\xa1n\x03" YES;
    struct health_answer a;

    (void)state;
    assert_null(health_read_results(BYTES(text), NESTING, &a));
    assert_ptr_equal(a.details.at, (const uint8_t *)text + 1);
    assert_int_equal(a.details.len, sizeof text - 3);
}

static void an_error_has_failed(void **state)
{
    struct health_answer a;

    (void)state;
    assert_null(health_read_error(BYTES(MAP2 "\xa4"
                                             "code\xa1x\xa7message\xa3why"),
                                  NESTING, &a));
    assert_int_equal(a.found, FOUND_FAILED);
    assert_string_equal(a.reason, "it raised: why");
    assert_null(health_read_error(BYTES(MAP1 "\xa7message\x05"), NESTING, &a));
    assert_int_equal(a.found, FOUND_FAILED);
    assert_string_equal(a.reason, "it raised an error");
    assert_non_null(health_read_error(BYTES("\xa3why"), NESTING, &a));
}

static void a_long_reason_is_cut(void **state)
{
    static const uint8_t head[] = {0x92, 0xc2, 0xda, 0x03, 0xe8}; /* false, 1000 bytes of text */
    uint8_t text[sizeof head + 1000];
    struct health_answer a;

    (void)state;
    memset(text, 'x', sizeof text);
    memcpy(text, head, sizeof head);
    assert_null(health_read_results((struct span){text, sizeof text}, NESTING, &a));
    assert_int_equal(strlen(a.reason), HEALTH_REASON_LEN - 1);
}

static void garbage_is_named(void **state)
{
    static const char whole[] = LIST1 MAP2 STATUS DEGRADED "\xa6reason\xa3why";
    struct health_answer a;

    (void)state;
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        char *copy = malloc(len + 1); /* so that a sanitizer sees each byte too many */

        assert_non_null(copy);
        memcpy(copy, whole, len);
        copy = realloc(copy, len ? len : 1);
        assert_non_null(health_read_results(bytes(copy, len), NESTING, &a));
        free(copy);
    }
    assert_non_null(health_read_results(BYTES(LIST1 NIL NIL), NESTING, &a));
    assert_non_null(health_read_results(BYTES(MAP1 STATUS HEALTHY), NESTING, &a));
    assert_non_null(
        health_read_results(BYTES("\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91" NIL), NESTING, &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shape),
        cmocka_unit_test(details_are_the_map_and_nothing_else),
        cmocka_unit_test(an_error_has_failed),
        cmocka_unit_test(a_long_reason_is_cut),
        cmocka_unit_test(garbage_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
