#include "unit.h"

#include "titan.h"

static const char *const options[] = {"isolation", "transport",  "restart_policy",
                                      "resources", "monitoring", "testing",
                                      "store",     "tls",        ""};

static const char *suggest(const char *word)
{
    return titan_suggest(word, options, count_of(options));
}

static const char *suggest_one(const char *word, const char *candidate)
{
    return titan_suggest(word, &candidate, 1);
}

static void one_wrong_missing_or_extra_letter_is_forgiven(void **state)
{
    (void)state;
    assert_string_equal(suggest("isolatiom"), "isolation");
    assert_string_equal(suggest("isolaton"), "isolation");
    assert_string_equal(suggest("isoolation"), "isolation");
    assert_string_equal(suggest("stor"), "store");
}

static void two_swapped_letters_count_as_one_mistake(void **state)
{
    (void)state;
    assert_string_equal(suggest_one("tsl", "tls"), "tls");
    assert_string_equal(suggest_one("ab", "ba"), "ba");
    assert_null(suggest_one("ab", "cd"));
}

static void case_does_not_matter(void **state)
{
    (void)state;
    assert_string_equal(suggest("Isolation"), "isolation");
    assert_string_equal(suggest("TRANSPROT"), "transport");
}

static void the_nearest_wins_and_of_equals_the_first(void **state)
{
    static const char *const near[] = {"timeouts", "timeout", "timeoux"};

    (void)state;
    assert_string_equal(titan_suggest("timeout", near, 3), "timeout");
    assert_string_equal(titan_suggest("timeouy", near + 1, 2), "timeout");
}

/* Below three letters one mistake, then 1 + length / 4 of the word that was typed. */
static void how_many_mistakes_are_forgiven_grows_with_the_word(void **state)
{
    (void)state;
    assert_string_equal(suggest_one("ax", "ab"), "ab");
    assert_null(suggest_one("axy", "abc"));
    assert_string_equal(suggest_one("axyd", "abcd"), "abcd");
    assert_null(suggest_one("axyz", "abcd"));
    assert_string_equal(suggest_one("axyzefgh", "abcdefgh"), "abcdefgh");
    assert_null(suggest_one("axyzzfgh", "abcdefgh"));
}

static void nothing_alike_suggests_nothing(void **state)
{
    (void)state;
    assert_null(suggest("completely different"));
    assert_null(suggest(""));
    assert_null(titan_suggest("isolation", NULL, 0));
}

/* "b" is one letter away from "a", and so is every other letter. */
static void a_word_of_which_nothing_is_left_is_no_suggestion(void **state)
{
    (void)state;
    assert_null(suggest_one("a", "b"));
    assert_null(suggest_one("ab", "c"));
    assert_null(suggest_one("a", "ab"));
    assert_string_equal(suggest_one("A", "a"), "a");
}

static void words_are_compared_up_to_64_letters_and_not_beyond(void **state)
{
    char right[66];
    char wrong[66];

    (void)state;
    memset(right, 'a', 64);
    right[64] = '\0';
    memcpy(wrong, right, sizeof right);
    wrong[10] = 'b';
    assert_ptr_equal(suggest_one(wrong, right), right);
    wrong[64] = 'a';
    wrong[65] = '\0';
    assert_null(suggest_one(wrong, right));
    assert_null(suggest_one(right, wrong));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_wrong_missing_or_extra_letter_is_forgiven),
        cmocka_unit_test(two_swapped_letters_count_as_one_mistake),
        cmocka_unit_test(case_does_not_matter),
        cmocka_unit_test(the_nearest_wins_and_of_equals_the_first),
        cmocka_unit_test(how_many_mistakes_are_forgiven_grows_with_the_word),
        cmocka_unit_test(nothing_alike_suggests_nothing),
        cmocka_unit_test(a_word_of_which_nothing_is_left_is_no_suggestion),
        cmocka_unit_test(words_are_compared_up_to_64_letters_and_not_beyond),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
