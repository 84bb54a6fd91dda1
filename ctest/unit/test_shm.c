#include "unit.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/copy.h"
#include "transport/shm.h"

#define MIB ((size_t)1 << 20)
#define KIB ((size_t)1 << 10)

/* How many KiB of it there are, whoever touched them. */
static size_t resident_kib(struct shm *s)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char pages[4096];
    size_t count = 0;

    assert_true(s->len / page <= sizeof pages);
    assert_int_equal(mincore(shm_at(s), s->len, pages), 0);
    for (size_t i = 0; i < s->len / page; i++) {
        count += pages[i] & 1u;
    }
    return count * page / KIB;
}

static struct shm *shm_of(size_t len)
{
    struct shm *s = shm_new("test", len);

    assert_non_null(s);
    assert_non_null(shm_at(s));
    shm_prefault(s, 0, 64 * KIB);
    if (resident_kib(s) == 0) {
        shm_unref(&s);
        print_message("this kernel does not populate\n");
        skip();
    }
    return s;
}

static void a_part_gets_its_pages_at_once_and_no_others(void **state)
{
    struct shm *s = shm_of(4 * MIB);

    (void)state;
    assert_int_equal(resident_kib(s), 64);
    shm_prefault(s, 0, MIB);
    assert_int_equal(resident_kib(s), 1024);
    shm_prefault(s, 512 * KIB, MIB);
    assert_int_equal(resident_kib(s), 1536);
    shm_prefault(s, 0, 4 * MIB);
    assert_int_equal(resident_kib(s), 4096);
    shm_unref(&s);
}

static void little_and_what_does_not_follow_is_left_to_faults(void **state)
{
    struct shm *s = shm_of(4 * MIB);

    (void)state;
    shm_prefault(s, 64 * KIB, 32 * KIB);
    shm_prefault(s, 2 * MIB, MIB);
    assert_int_equal(resident_kib(s), 64);
    shm_unref(&s);
}

static void what_was_cleared_gets_pages_again(void **state)
{
    struct shm *s = shm_of(2 * MIB);

    (void)state;
    shm_prefault(s, 0, 2 * MIB);
    shm_clear(s, MIB);
    assert_int_equal(resident_kib(s), 1024);
    shm_prefault(s, 0, 2 * MIB);
    assert_int_equal(resident_kib(s), 2048);
    shm_unref(&s);
}

static void an_end_within_a_page_is_reached_too(void **state)
{
    struct shm *s = shm_of(128 * KIB + 1);

    (void)state;
    shm_prefault(s, 0, s->len);
    shm_prefault(s, 0, s->len);
    shm_at(s)[s->len - 1] = 7;
    assert_int_equal(shm_at(s)[s->len - 1], 7);
    assert_true(resident_kib(s) >= 128);
    shm_unref(&s);
}

static void much_is_copied_as_little_is(void **state)
{
    static const size_t lens[] = {0, 1, COPY_PIECE, COPY_PIECE + 1, 3 * COPY_PIECE, MIB + 77};
    uint8_t *from = malloc(2 * MIB);
    uint8_t *to = malloc(2 * MIB);

    (void)state;
    for (size_t i = 0; i < 2 * MIB; i++) {
        from[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    for (size_t i = 0; i < count_of(lens); i++) {
        memset(to, 0xee, 2 * MIB);
        copy_much(to + 3, from + 5, lens[i]);
        assert_memory_equal(to + 3, from + 5, lens[i]);
        assert_int_equal(to[2], 0xee);
        assert_int_equal(to[3 + lens[i]], 0xee);
    }
    free(from);
    free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_gets_its_pages_at_once_and_no_others),
        cmocka_unit_test(little_and_what_does_not_follow_is_left_to_faults),
        cmocka_unit_test(what_was_cleared_gets_pages_again),
        cmocka_unit_test(an_end_within_a_page_is_reached_too),
        cmocka_unit_test(much_is_copied_as_little_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
