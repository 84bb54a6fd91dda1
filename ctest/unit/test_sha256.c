#include "unit.h"

#include <stdio.h>

#include "base/sha256.h"

static void assert_digest(const void *bytes, size_t len, const char *expected)
{
    uint8_t digest[SHA256_LEN];
    char text[2 * SHA256_LEN + 1];

    sha256(bytes, len, digest);
    for (size_t i = 0; i < SHA256_LEN; i++) {
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    }
    assert_string_equal(text, expected);
}

/* Of the examples that belong to FIPS 180-4 (NIST, SHA256.pdf, and the long one of RFC 6234). */
static void the_examples_of_the_standard_hold(void **state)
{
    enum { MILLION = 1000000 };
    static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    char *as = malloc(MILLION);

    (void)state;
    assert_digest("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_digest("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_digest(two_blocks, sizeof two_blocks - 1,
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    assert_non_null(as);
    memset(as, 'a', MILLION);
    assert_digest(as, MILLION, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(as);
}

/* Where the padding fills one block exactly, and where it needs another: as sha256sum says. */
static void lengths_around_the_end_of_a_block_are_padded_rightly(void **state)
{
    static const struct {
        size_t len;
        const char *digest;
    } cases[] = {
        {55, "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7"},
        {56, "d4817aa5497628e7c77e6b606107042bbba3130888c5f47a375e6179be789fbb"},
        {63, "c7723fa1e0127975e49e62e753db53924c1bd84b8ac1ac08df78d09270f3d971"},
        {64, "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b"},
        {119, "f616b0d54e78571a9611f343c9f8e022e859e920381ab0e4d3da01e193a7bd7e"},
        {120, "6edd9f6f9cc92cded36e6c4a580933f9c9f1b90562b46903b806f21902a1a54f"},
        {128, "38723a2e5e8a17aa7950dc008209944e898f69a7bd10a23c839d341e935fd5ca"},
    };
    uint8_t zeros[128] = {0};

    (void)state;
    for (size_t i = 0; i < count_of(cases); i++) {
        assert_digest(zeros, cases[i].len, cases[i].digest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_standard_hold),
        cmocka_unit_test(lengths_around_the_end_of_a_block_are_padded_rightly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
