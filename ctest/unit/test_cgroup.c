#include "unit.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawn/cgroup.h"

/* A tree that looks like the kernel's. What the kernel makes by itself when a group is made, its
 * files, the test makes before. */
struct tree {
    char root[64];
};

static void put(const struct tree *t, const char *path, const char *text)
{
    char full[PATH_MAX];
    FILE *f;

    snprintf(full, sizeof full, "%s%s", t->root, path);
    for (char *slash = full + strlen(t->root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(full, 0755);
        *slash = '/';
    }
    f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void put_dir(const struct tree *t, const char *path)
{
    char file[PATH_MAX];

    snprintf(file, sizeof file, "%s/x", path);
    put(t, file, "");
    snprintf(file, sizeof file, "%s%s/x", t->root, path);
    assert_int_equal(unlink(file), 0);
}

static const char *got(const struct tree *t, const char *path)
{
    static char text[256];
    char full[PATH_MAX];
    size_t len;
    FILE *f;

    snprintf(full, sizeof full, "%s%s", t->root, path);
    f = fopen(full, "r");
    assert_non_null(f);
    len = fread(text, 1, sizeof text - 1, f);
    text[len] = '\0';
    fclose(f);
    return text;
}

static bool is_there(const struct tree *t, const char *path)
{
    char full[PATH_MAX];

    snprintf(full, sizeof full, "%s%s", t->root, path);
    return access(full, F_OK) == 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static int open_tree(void **state)
{
    static struct tree t;

    snprintf(t.root, sizeof t.root, "/tmp/titan-cgroup-XXXXXX");
    *state = &t;
    return mkdtemp(t.root) == NULL;
}

static int close_tree(void **state)
{
    const struct tree *t = *state;

    return nftw(t->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define V1_MOUNTS                                                                                  \
    "30 22 0:27 / /cg rw - tmpfs tmpfs rw\n"                                                       \
    "31 30 0:28 / /cg/cpu rw,relatime shared:5 - cgroup cgroup rw,cpuacct,cpu\n"                   \
    "34 30 0:31 /docker/abc /cg/memory rw,relatime - cgroup cgroup rw,memory\n"                    \
    "40 30 0:37 / /cg/unified rw - cgroup2 cgroup2 rw\n"

static void put_v1(const struct tree *t)
{
    put(t, "/proc/self/cgroup",
        "8:cpuset:/x\n4:memory:/docker/abc/job\n1:cpuacct,cpu:/\n0::/job\n");
    put(t, "/proc/self/mountinfo", V1_MOUNTS);
    put_dir(t, "/cg/memory/job");
    put_dir(t, "/cg/cpu");
    put(t, "/cg/unified/job/cgroup.controllers", "");
}

static void put_v2(const struct tree *t, const char *controllers)
{
    put(t, "/proc/self/cgroup", "0::/user/app\n");
    put(t, "/proc/self/mountinfo", "40 30 0:37 / /cg rw - cgroup2 cgroup2 rw,nsdelegate\n");
    put(t, "/cg/user/app/cgroup.controllers", controllers);
    put(t, "/cg/user/app/cgroup.subtree_control", "");
    put(t, "/cg/user/app/cgroup.procs", "");
}

static void v1_is_found_where_v2_has_no_controllers(void **state)
{
    const struct tree *t = *state;
    struct cgroups c;
    char path[PATH_MAX], expected[PATH_MAX];

    put_v1(t);
    cgroups_find(&c, t->root);
    assert_int_equal(c.places[CGROUP_MEMORY].version, CGROUP_V1);
    assert_int_equal(c.places[CGROUP_CPU].version, CGROUP_V1);
    snprintf(expected, sizeof expected, "%s/cg/memory/job", t->root);
    assert_string_equal(c.places[CGROUP_MEMORY].own, expected);
    snprintf(expected, sizeof expected, "%s/cg/cpu", t->root);
    assert_string_equal(c.places[CGROUP_CPU].own, expected);
    cgroups_open(&c, t->root, 77);
    assert_true(cgroup_join_path(&c, CGROUP_CPU, "w3", path));
    snprintf(expected, sizeof expected, "%s/cg/cpu/titan-77-0/w3/cgroup.procs", t->root);
    assert_string_equal(path, expected);
    assert_int_equal(cgroup_join(path), -ENOENT);
}

static void limits_are_written_to_v1(void **state)
{
    const struct tree *t = *state;
    struct cgroups c;
    char path[PATH_MAX];

    put_v1(t);
    cgroups_open(&c, t->root, 77);
    put(t, "/cg/memory/job/titan-77-0/w1/memory.limit_in_bytes", "");
    put(t, "/cg/memory/job/titan-77-0/w1/memory.memsw.limit_in_bytes", "");
    put(t, "/cg/memory/job/titan-77-0/w1/cgroup.procs", "");
    put(t, "/cg/memory/job/titan-77-0/w1/memory.oom_control",
        "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
    put(t, "/cg/cpu/titan-77-0/w1/cpu.cfs_period_us", "");
    put(t, "/cg/cpu/titan-77-0/w1/cpu.cfs_quota_us", "");
    assert_int_equal(cgroup_make(&c, "w1", &(struct cgroup_limits){64u << 20, 0.25}), 0);
    assert_string_equal(got(t, "/cg/memory/job/titan-77-0/w1/memory.limit_in_bytes"), "67108864");
    assert_string_equal(got(t, "/cg/memory/job/titan-77-0/w1/memory.memsw.limit_in_bytes"),
                        "67108864");
    assert_string_equal(got(t, "/cg/cpu/titan-77-0/w1/cpu.cfs_period_us"), "100000");
    assert_string_equal(got(t, "/cg/cpu/titan-77-0/w1/cpu.cfs_quota_us"), "25000");
    assert_int_equal(cgroup_oom_kills(&c, "w1"), 2);
    assert_int_equal(cgroup_oom_kills(&c, "w2"), 0);
    assert_true(cgroup_join_path(&c, CGROUP_MEMORY, "w1", path));
    assert_int_equal(cgroup_join(path), 0);
    assert_string_equal(got(t, "/cg/memory/job/titan-77-0/w1/cgroup.procs"), "0");
}

static void swap_that_is_not_counted_is_no_reason_to_fail(void **state)
{
    const struct tree *t = *state;
    struct cgroups c;

    put_v1(t);
    cgroups_open(&c, t->root, 77);
    put(t, "/cg/memory/job/titan-77-0/w1/memory.limit_in_bytes", "");
    assert_int_equal(cgroup_make(&c, "w1", &(struct cgroup_limits){64u << 20, 0}), 0);
    assert_false(is_there(t, "/cg/cpu/titan-77-0/w1")); /* nothing is wanted of the CPU */
    assert_int_equal(cgroup_make(&c, "w2", &(struct cgroup_limits){64u << 20, 0}), -ENOENT);
}

static void limits_are_written_to_v2(void **state)
{
    const struct tree *t = *state;
    struct cgroups c;
    char path[PATH_MAX];

    put_v2(t, "cpuset cpu io memory pids\n");
    put(t, "/cg/user/app/titan-77-0/cgroup.subtree_control", "");
    cgroups_open(&c, t->root, 77);
    assert_string_equal(c.name, "titan-77-1"); /* the other is there already */
    assert_int_equal(c.places[CGROUP_MEMORY].version, CGROUP_NONE);
    assert_string_not_equal(c.why, ""); /* the tree has no file to hand the controllers on with */
    snprintf(c.name, sizeof c.name, "titan-77-0");
    c.places[CGROUP_MEMORY].version = CGROUP_V2;
    c.places[CGROUP_CPU].version = CGROUP_V2;
    put(t, "/cg/user/app/titan-77-0/w1/memory.max", "");
    put(t, "/cg/user/app/titan-77-0/w1/memory.swap.max", "");
    put(t, "/cg/user/app/titan-77-0/w1/memory.oom.group", "");
    put(t, "/cg/user/app/titan-77-0/w1/memory.events", "low 0\noom 3\noom_kill 1\n");
    put(t, "/cg/user/app/titan-77-0/w1/cpu.max", "");
    assert_int_equal(cgroup_make(&c, "w1", &(struct cgroup_limits){64u << 20, 1.5}), 0);
    assert_string_equal(got(t, "/cg/user/app/titan-77-0/w1/memory.max"), "67108864");
    assert_string_equal(got(t, "/cg/user/app/titan-77-0/w1/memory.swap.max"), "0");
    assert_string_equal(got(t, "/cg/user/app/titan-77-0/w1/memory.oom.group"), "1");
    assert_string_equal(got(t, "/cg/user/app/titan-77-0/w1/cpu.max"), "150000 100000");
    assert_int_equal(cgroup_oom_kills(&c, "w1"), 1);
    assert_true(cgroup_join_path(&c, CGROUP_MEMORY, "w1", path));
    assert_false(cgroup_join_path(&c, CGROUP_CPU, "w1", path)); /* it is the same group */
}

static void what_v2_does_not_offer_is_not_there(void **state)
{
    const struct tree *t = *state;
    struct cgroups c;

    put_v2(t, "cpu pids\n");
    cgroups_find(&c, t->root);
    assert_int_equal(c.places[CGROUP_MEMORY].version, CGROUP_NONE);
    assert_int_equal(c.places[CGROUP_CPU].version, CGROUP_V2);
    assert_non_null(strstr(c.why, "\"memory\""));
}

static void a_leaf_that_a_manager_moved_to_is_not_the_place(void **state)
{
    const struct tree *t = *state;
    struct cgroups c;
    char expected[PATH_MAX];

    put_v2(t, "cpu memory\n");
    put(t, "/proc/self/cgroup", "0::/user/app/titan-leaf-55\n");
    cgroups_find(&c, t->root);
    snprintf(expected, sizeof expected, "%s/cg/user/app", t->root);
    assert_string_equal(c.places[CGROUP_CPU].own, expected);
    assert_int_equal(c.places[CGROUP_CPU].version, CGROUP_V2);
}

static void nothing_is_found_where_nothing_is(void **state)
{
    const struct tree *t = *state;
    struct cgroups c;

    cgroups_open(&c, t->root, 77);
    assert_int_equal(c.places[CGROUP_MEMORY].version, CGROUP_NONE);
    assert_int_equal(c.places[CGROUP_CPU].version, CGROUP_NONE);
    assert_string_not_equal(c.why, "");
    assert_int_equal(cgroup_remove(&c, "w1"), 0);
    assert_int_equal(cgroups_remove(&c, NULL, NULL), 0);
    put(t, "/proc/self/cgroup", "garbage\n::\n4:memory\n4:memory:\n");
    put(t, "/proc/self/mountinfo", "garbage\n - cgroup\n1 2 3 4 5 - cgroup\n");
    cgroups_find(&c, t->root);
    assert_int_equal(c.places[CGROUP_MEMORY].version, CGROUP_NONE);
}

static void one_that_cannot_be_written_to_is_none(void **state)
{
    const struct tree *t = *state;
    struct cgroups c;

    put_v1(t);
    put(t, "/cg/memory/none", "");
    put(t, "/proc/self/cgroup", "4:memory:/docker/abc/none\n1:cpuacct,cpu:/\n");
    cgroups_open(&c, t->root, 77);
    assert_int_equal(c.places[CGROUP_MEMORY].version, CGROUP_NONE);
    assert_int_equal(c.places[CGROUP_CPU].version, CGROUP_V1);
    assert_non_null(strstr(c.why, "Not a directory"));
}

static bool keeps_w2(void *ctx, const char *id)
{
    (void)ctx;
    return strcmp(id, "w2") == 0;
}

static void groups_are_removed(void **state)
{
    const struct tree *t = *state;
    struct cgroups c;

    put_v1(t);
    cgroups_open(&c, t->root, 77);
    put_dir(t, "/cg/memory/job/titan-77-0/w1");
    put_dir(t, "/cg/memory/job/titan-77-0/w2");
    put_dir(t, "/cg/memory/job/titan-77-0/w3");
    put_dir(t, "/cg/cpu/titan-77-0/w3");
    assert_int_equal(cgroup_remove(&c, "w1"), 0);
    assert_false(is_there(t, "/cg/memory/job/titan-77-0/w1"));
    assert_int_equal(cgroups_remove(&c, keeps_w2, NULL), 0);
    assert_false(is_there(t, "/cg/memory/job/titan-77-0/w3"));
    assert_false(is_there(t, "/cg/cpu/titan-77-0/w3"));
    assert_true(is_there(t, "/cg/memory/job/titan-77-0/w2"));
    put(t, "/cg/memory/job/titan-77-0/w2/busy", ""); /* what is in it keeps it, and all above */
    assert_int_equal(cgroups_remove(&c, NULL, NULL), -EBUSY);
    assert_true(is_there(t, "/cg/memory/job/titan-77-0/w2/busy"));
}

static pid_t dead_pid(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    return pid;
}

static void those_of_dead_managers_are_swept(void **state)
{
    const struct tree *t = *state;
    struct cgroups c;
    char dead[64], inside[80], leaf[64], living[64];
    pid_t pid = dead_pid();

    put_v1(t);
    snprintf(dead, sizeof dead, "/cg/memory/job/titan-%d-4", (int)pid);
    snprintf(leaf, sizeof leaf, "/cg/memory/job/titan-leaf-%d", (int)pid);
    snprintf(living, sizeof living, "/cg/memory/job/titan-%d-4", (int)getpid());
    put_dir(t, dead);
    put_dir(t, leaf);
    put_dir(t, living);
    put_dir(t, "/cg/memory/job/titan-x");
    put_dir(t, "/cg/memory/job/other");
    snprintf(inside, sizeof inside, "%s/w9", dead);
    put_dir(t, inside);
    cgroups_open(&c, t->root, getpid());
    assert_false(is_there(t, dead));
    assert_false(is_there(t, leaf));
    assert_true(is_there(t, living));
    assert_true(is_there(t, "/cg/memory/job/titan-x"));
    assert_true(is_there(t, "/cg/memory/job/other"));
}

static void a_zygote_clears_what_its_manager_had(void **state)
{
    const struct tree *t = *state;
    struct cgroups c;

    put_v1(t);
    cgroups_open(&c, t->root, 77);
    put_dir(t, "/cg/cpu/titan-77-0/w1");
    cgroups_clear_of(t->root, 77, 0);
    assert_false(is_there(t, "/cg/cpu/titan-77-0"));
    assert_false(is_there(t, "/cg/memory/job/titan-77-0"));
}

#define test(f) cmocka_unit_test_setup_teardown(f, open_tree, close_tree)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(v1_is_found_where_v2_has_no_controllers),
        test(limits_are_written_to_v1),
        test(swap_that_is_not_counted_is_no_reason_to_fail),
        test(limits_are_written_to_v2),
        test(what_v2_does_not_offer_is_not_there),
        test(a_leaf_that_a_manager_moved_to_is_not_the_place),
        test(nothing_is_found_where_nothing_is),
        test(one_that_cannot_be_written_to_is_none),
        test(groups_are_removed),
        test(those_of_dead_managers_are_swept),
        test(a_zygote_clears_what_its_manager_had),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
