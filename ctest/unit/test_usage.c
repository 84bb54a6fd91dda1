#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "manager/usage.h"

#define LEN ((size_t)64 << 20)

static struct usage read_own(void)
{
    struct usage u;

    assert_int_equal(usage_read(getpid(), &u), 0);
    return u;
}

static uint64_t own_pss(void)
{
    uint64_t len = 0;

    assert_int_equal(usage_pss(getpid(), &len), 0);
    return len;
}

static void memory_that_is_touched_is_seen(void **state)
{
    struct usage before = read_own();
    uint64_t pss_before = own_pss();
    char *memory = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct usage after;
    uint64_t pss_after;

    (void)state;
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_true(read_own().rss_len < before.rss_len + LEN / 2);
    memset(memory, 1, LEN);
    after = read_own();
    pss_after = own_pss();
    munmap(memory, LEN);
    /* The kernel counts pages a processor at a time, not to the last one, and a sanitizer has
     * memory of its own: an eighth of it, or (that for threads) four times as much, which stays. */
    assert_in_range(after.rss_len, before.rss_len + LEN / 10 * 9, before.rss_len + LEN * 6);
    assert_in_range(pss_after, pss_before + LEN / 10 * 9, pss_before + LEN * 6);
    assert_true(read_own().rss_len + LEN / 2 < after.rss_len);
}

/* User time until there is 100 ms more of it, and system time with it. */
static void time_on_a_processor_is_seen(void **state)
{
    const uint64_t more_ns = 100000000;
    struct usage before = read_own();
    struct timespec cpu;
    uint64_t used_ns;
    struct usage after;

    (void)state;
    do {
        for (volatile int i = 0; i < 100000; i++) {
        }
        after = read_own();
    } while (after.user_ns < before.user_ns + more_ns);
    assert_true(after.system_ns >= before.system_ns);
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu), 0);
    used_ns = (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec;
    /* Two counts of the same thing, one of them in whole ticks. */
    assert_in_range(after.user_ns + after.system_ns, used_ns / 2, used_ns * 2);
}

static void this_process_has_a_thread(void **state)
{
    (void)state;
    assert_in_range(read_own().threads, 1, 8);
}

/* What the name ends like is what the fields after it begin like. */
static void a_name_may_look_like_anything(void **state)
{
    static const char *const names[] = {"x) (y", ") S 1 2 3 (", ")))", "a b\nc", ""};
    char name[16];

    (void)state;
    assert_int_equal(prctl(PR_GET_NAME, name), 0);
    for (size_t i = 0; i < count_of(names); i++) {
        struct usage u;

        assert_int_equal(prctl(PR_SET_NAME, names[i]), 0);
        assert_int_equal(usage_read(getpid(), &u), 0);
        assert_in_range(u.threads, 1, 8);
        assert_in_range(u.rss_len, 100000, (uint64_t)1 << 40);
        assert_true(own_pss() > 0);
    }
    assert_int_equal(prctl(PR_SET_NAME, name), 0);
}

static void a_process_that_is_gone_is_an_error(void **state)
{
    struct usage u;
    uint64_t len;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        _exit(0);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(usage_read(pid, &u), -ESRCH);
    assert_int_equal(usage_pss(pid, &len), -ESRCH);
}

static void what_is_no_pid_is_an_error(void **state)
{
    struct usage u;
    uint64_t len;

    (void)state;
    assert_int_equal(usage_read(0, &u), -ESRCH);
    assert_int_equal(usage_read(-1, &u), -ESRCH);
    assert_int_equal(usage_pss(0, &len), -ESRCH);
}

static void a_zombie_has_its_times_and_no_memory(void **state)
{
    siginfo_t info;
    struct usage u;
    uint64_t len;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        _exit(0);
    }
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(usage_read(pid, &u), 0);
    assert_int_equal(u.rss_len, 0);
    assert_int_equal(usage_pss(pid, &len), -ESRCH);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_is_touched_is_seen),
        cmocka_unit_test(time_on_a_processor_is_seen),
        cmocka_unit_test(this_process_has_a_thread),
        cmocka_unit_test(a_name_may_look_like_anything),
        cmocka_unit_test(a_process_that_is_gone_is_an_error),
        cmocka_unit_test(what_is_no_pid_is_an_error),
        cmocka_unit_test(a_zombie_has_its_times_and_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
