#include "unit.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/ids.h"

static void an_id_is_lower_case_hex_of_its_length(void **state)
{
    struct ids ids = {0};
    char hex[33] = {0};

    (void)state;
    for (int i = 0; i < 1000; i++) {
        size_t len = i % 2 == 0 ? 16 : 8;

        memset(hex, 0, sizeof hex);
        assert_true(ids_take(&ids, hex, len));
        assert_int_equal(strspn(hex, "0123456789abcdef"), 2 * len);
    }
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

static void none_comes_twice(void **state)
{
    enum { COUNT = 20000 };
    struct ids ids = {0};
    char(*all)[16] = malloc(COUNT * sizeof *all);

    (void)state;
    assert_non_null(all);
    for (int i = 0; i < COUNT; i++) {
        assert_true(ids_take(&ids, all[i], 8));
    }
    qsort(all, COUNT, sizeof *all, compare);
    for (int i = 1; i < COUNT; i++) {
        assert_memory_not_equal(all[i - 1], all[i], 16);
    }
    free(all);
}

static void one_of_zeros_alone_is_passed_over(void **state)
{
    struct ids ids = {.left = 16};
    char hex[16];

    (void)state;
    ids.bytes[IDS_BATCH - 1] = 0xa5;
    assert_true(ids_take(&ids, hex, 8));
    assert_memory_equal(hex, "00000000000000a5", 16);
}

static void a_forked_process_that_forgets_goes_its_own_way(void **state)
{
    struct ids ids = {0};
    char mine[16], theirs[16];
    int ends[2], status;
    pid_t pid;

    (void)state;
    assert_true(ids_take(&ids, mine, 8));
    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        ids_forget(&ids);
        _exit(ids_take(&ids, theirs, 8) && write(ends[1], theirs, 16) == 16 ? 0 : 1);
    }
    assert_true(pid > 0);
    assert_true(ids_take(&ids, mine, 8));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], theirs, 16), 16);
    assert_memory_not_equal(mine, theirs, 16);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_lower_case_hex_of_its_length),
        cmocka_unit_test(none_comes_twice),
        cmocka_unit_test(one_of_zeros_alone_is_passed_over),
        cmocka_unit_test(a_forked_process_that_forgets_goes_its_own_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
