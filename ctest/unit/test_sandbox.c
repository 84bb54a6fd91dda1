#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawn/environment.h"
#include "spawn/identity.h"
#include "spawn/landlock.h"
#include "spawn/sandbox.h"

/* Everything is done in a child that ends with _exit: the sanitizers' ends need calls that are
 * refused. Its exit code is the number of the line that failed, 0 for none (lines end in 8 bits, so
 * that a failure might look like another one; never like none). */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            dprintf(STDERR_FILENO, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition,       \
                    errno);                                                                        \
            _exit(__LINE__ % 255 + 1);                                                             \
        }                                                                                          \
    } while (0)

/* Whether the raw call fails with this error. */
#define FAILS(error, ...) CHECK((errno = 0, syscall(__VA_ARGS__)) == -1 && errno == (error))

static const struct sandbox_options everything = {
    .filesystem = SANDBOX_READ_WRITE, .network = true, .spawn = true};
static const struct sandbox_options nothing = {.filesystem = SANDBOX_NONE};

static int status_of(void (*body)(const void *ctx), const void *ctx)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        body(ctx);
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void in_child(void (*body)(const void *ctx), const void *ctx)
{
    assert_int_equal(status_of(body, ctx), 0);
}

static void apply(const struct sandbox_options *o)
{
    struct sandbox_kernel kernel;
    struct sandbox_report report;
    struct failure why;

    sandbox_probe(&kernel);
    if (sandbox_apply(o, &kernel, &report, &why) < 0) {
        dprintf(STDERR_FILENO, "%s\n", why.message);
        _exit(255);
    }
    CHECK(report.seccomp && report.landlock_abi >= LANDLOCK_ABI_FILES);
}

static bool kernel_has_all(void)
{
    struct sandbox_kernel kernel;

    sandbox_probe(&kernel);
    return kernel.seccomp && kernel.landlock_abi >= LANDLOCK_ABI_FILES;
}

static void need_kernel(void)
{
    if (!kernel_has_all()) {
        skip();
    }
}

/* ---- system calls ---- */

static void try_always(const void *ctx)
{
    char other[8] = {0};
    struct iovec here = {other, sizeof other}, there = {(void *)(uintptr_t)ctx, sizeof other};
    char params[256] = {0};
    pid_t parent = getppid();

    apply(&everything);
    FAILS(EPERM, SYS_io_uring_setup, 1, params);
    FAILS(EPERM, SYS_io_uring_enter, 0, 0, 0, 0, NULL, 0);
    FAILS(EPERM, SYS_io_uring_register, 0, 0, NULL, 0);
    FAILS(EPERM, SYS_ptrace, 16 /* ATTACH */, parent, 0, 0);
    FAILS(EPERM, SYS_ptrace, 0 /* TRACEME */, 0, 0, 0);
    FAILS(EPERM, SYS_process_vm_readv, parent, &here, 1, &there, 1, 0);
    FAILS(EPERM, SYS_process_vm_writev, parent, &here, 1, &there, 1, 0);
    FAILS(EPERM, SYS_keyctl, 0, 0, 0, 0, 0);
    FAILS(EPERM, SYS_add_key, NULL, NULL, NULL, 0, 0);
    FAILS(EPERM, SYS_bpf, 0, params, sizeof params);
    FAILS(EPERM, SYS_perf_event_open, params, 0, -1, -1, 0);
    FAILS(EPERM, SYS_userfaultfd, 0);
    FAILS(EPERM, SYS_unshare, CLONE_NEWUSER);
    FAILS(EPERM, SYS_setns, 0, 0);
    FAILS(EPERM, SYS_mount, "none", "/", "tmpfs", 0, NULL);
    FAILS(EPERM, SYS_chroot, "/");
    FAILS(EPERM, SYS_kexec_load, 0, 0, NULL, 0);
    FAILS(EPERM, SYS_finit_module, -1, "", 0);
    FAILS(EPERM, SYS_personality, 0x0040000);
    FAILS(EPERM, SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, 0);
    FAILS(EPERM, SYS_open_by_handle_at, -1, params, 0);
    FAILS(EPERM, SYS_pidfd_getfd, 0, 0, 0);
    FAILS(EPERM, SYS_ioctl, STDIN_FILENO, TIOCSTI, "x");
    FAILS(EPERM, SYS_ioctl, STDIN_FILENO, 0x100000000 | TIOCSTI, "x"); /* the kernel reads an int */
    FAILS(EPERM, SYS_prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0);
    FAILS(EPERM, SYS_prctl, PR_SET_PTRACER, parent, 0, 0, 0);
    FAILS(EPERM, SYS_prlimit64, parent, RLIMIT_CPU, NULL, params);
    FAILS(EPERM, SYS_setpriority, PRIO_PROCESS, parent, 19);
    FAILS(EPERM, SYS_setpriority, PRIO_USER, 0, 19);
    FAILS(EPERM, SYS_sched_setaffinity, parent, sizeof params, params);
    FAILS(ENOSYS, SYS_clone3, params, sizeof(struct clone_args));
    FAILS(ENOSYS, 451, 0, NULL, NULL, 0); /* cachestat, newer than what was looked at */
    FAILS(ENOSYS, 469, 0, NULL, NULL, 0, 0);
    CHECK(syscall(SYS_personality, 0xFFFFFFFF) != -1);
    CHECK(syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0);
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    CHECK(prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == 0 || getuid() != 0);
}

static void try_processes(const void *ctx)
{
    static const char *const files[] = {"environ", "maps", "mem", "auxv"};
    pid_t parent = getppid();

    (void)ctx;
    apply(&everything);
    for (size_t i = 0; i < count_of(files); i++) {
        char path[64];

        snprintf(path, sizeof path, "/proc/%d/%s", (int)parent, files[i]);
        CHECK(open(path, O_RDONLY) == -1);
    }
    CHECK(open("/proc/self/environ", O_RDONLY) >= 0);
    CHECK(open("/proc/self/mem", O_RDWR) == -1 && errno == EACCES);
}

static void test_other_processes_are_out_of_reach(void **state)
{
    (void)state;
    need_kernel();
    in_child(try_processes, NULL);
}

static void test_some_calls_are_always_refused(void **state)
{
    static char secret[8];

    (void)state;
    need_kernel();
    in_child(try_always, secret);
}

static void try_free(const void *ctx)
{
    struct rlimit limit;

    (void)ctx;
    CHECK(syscall(SYS_personality, 0xFFFFFFFF) != -1);
    CHECK(syscall(SYS_ptrace, 0, 0, 0, 0) == 0);
    CHECK(syscall(SYS_prlimit64, getppid(), RLIMIT_CPU, NULL, &limit) == 0);
    CHECK(kill(getppid(), 0) == 0);
    CHECK(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
    CHECK(memfd_create("x", 0) >= 0);
    CHECK(open("/etc/passwd", O_RDONLY) >= 0);
    CHECK(open("/proc/self/mem", O_RDWR) >= 0);
}

static void test_they_work_without(void **state)
{
    (void)state;
    in_child(try_free, NULL);
}

static void *set_flag(void *flag)
{
    *(int *)flag = 1;
    return NULL;
}

static void try_spawn(const void *ctx)
{
    static char *const arguments[] = {"true", NULL};
    int memory = memfd_create("code", 0);
    pthread_t thread;
    int flag = 0;

    (void)ctx;
    CHECK(memory >= 0);
    apply(&nothing);
    CHECK(fork() == -1 && errno == EPERM);
#if defined(SYS_vfork)
    FAILS(EPERM, SYS_vfork);
#endif
    FAILS(EPERM, SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);
    FAILS(EPERM, SYS_execve, "/bin/true", arguments, NULL);
    FAILS(EPERM, SYS_execveat, memory, "", arguments, NULL, AT_EMPTY_PATH);
    CHECK(execv("/bin/true", arguments) == -1 && errno == EPERM);
    CHECK(pthread_create(&thread, NULL, set_flag, &flag) == 0);
    CHECK(pthread_join(thread, NULL) == 0 && flag == 1);
}

static void test_spawn_is_refused_and_threads_are_not(void **state)
{
    (void)state;
    need_kernel();
    in_child(try_spawn, NULL);
}

static void try_signals(const void *ctx)
{
    const struct sandbox_options *o = ctx;
    pid_t parent = getppid();

    signal(SIGUSR1, SIG_IGN);
    apply(o);
    FAILS(EPERM, SYS_kill, parent, 0);
    FAILS(EPERM, SYS_kill, parent, SIGKILL);
    FAILS(EPERM, SYS_tgkill, parent, parent, SIGKILL);
    FAILS(EPERM, SYS_tkill, parent, SIGKILL);
    CHECK(raise(SIGUSR1) == 0);
    CHECK(kill(getpid(), SIGUSR1) == 0);
    if (o->spawn) {
        int status;
        pid_t child = fork();

        if (child == 0) {
            pause();
            _exit(0);
        }
        CHECK(kill(child, SIGTERM) == 0);
        CHECK(waitpid(child, &status, 0) == child && WTERMSIG(status) == SIGTERM);
    }
}

static void test_signals_stay_inside(void **state)
{
    (void)state;
    need_kernel();
    if (landlock_abi() >= LANDLOCK_ABI_SIGNALS) {
        in_child(try_signals, &everything);
    }
    in_child(try_signals, &nothing);
}

static void try_network(const void *ctx)
{
    const struct sandbox_options o = {.filesystem = SANDBOX_READ_WRITE, .spawn = true};
    int pair[2];

    (void)ctx;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    apply(&o);
    for (int family = 0; family < AF_MAX; family++) {
        CHECK(socket(family, SOCK_STREAM, 0) == -1 && errno == EPERM);
        CHECK(socket(family, SOCK_DGRAM, 0) == -1 && errno == EPERM);
    }
    CHECK(bind(pair[0], NULL, 0) == -1 && errno == EPERM);
    CHECK(connect(pair[0], NULL, 0) == -1 && errno == EPERM);
    CHECK(listen(pair[0], 1) == -1 && errno == EPERM);
    CHECK(accept(pair[0], NULL, NULL) == -1 && errno == EPERM);
    CHECK(send(pair[0], "x", 1, 0) == 1); /* what is open goes on */
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == -1 && errno == EPERM);
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) == -1 && errno == EPERM);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
}

static void test_sockets_are_refused(void **state)
{
    (void)state;
    need_kernel();
    in_child(try_network, NULL);
}

#if defined(__x86_64__)
static void try_x32(const void *ctx)
{
    (void)ctx;
    apply(&everything);
    syscall(0x40000000 | SYS_getpid);
}

static void test_numbers_of_x32_kill(void **state)
{
    int status;

    (void)state;
    need_kernel();
    status = status_of(try_x32, NULL);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}
#endif

/* ---- files ---- */

static void try_files(const void *ctx)
{
    const char *const readable[] = {ctx, "/not/there"};
    struct sandbox_options o = nothing;
    int memory = memfd_create("x", 0);
    char path[64];

    o.readable = readable;
    o.readable_count = 2;
    apply(&o);
    CHECK(open(ctx, O_RDONLY) >= 0);
    CHECK(open(ctx, O_WRONLY) == -1 && errno == EACCES);
    CHECK(open(ctx, O_RDONLY | O_TRUNC) == -1 && errno == EACCES);
    CHECK(truncate(ctx, 0) == -1);
    CHECK(open("/etc/passwd", O_RDONLY) == -1 && errno == EACCES);
    CHECK(open("/proc/self/mem", O_RDWR) == -1 && errno == EACCES);
    CHECK(open("/tmp", O_RDONLY | O_DIRECTORY) == -1 && errno == EACCES);
    CHECK(open("/tmp", O_RDWR | O_TMPFILE, 0600) == -1 && errno == EACCES);
    CHECK(unlink(ctx) == -1 && errno == EACCES);
    CHECK(chmod(ctx, 0777) == -1 && errno == EPERM);
    CHECK(mknod("/tmp/titan-sandbox-node", S_IFIFO | 0600, 0) == -1 && errno == EACCES);
    FAILS(EPERM, SYS_shmget, 1, 4096, 01600);
    CHECK(ftruncate(memory, 10) == 0); /* memory of its own */
    snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
    CHECK(open(path, O_RDONLY) >= 0);
    CHECK(open("/dev/null", O_RDWR) >= 0);
}

static void test_files_are_refused(void **state)
{
    char path[] = "/tmp/titan-sandbox-XXXXXX";
    struct stat st;
    int fd;

    (void)state;
    need_kernel();
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "text", 4), 4);
    in_child(try_files, path);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 4);
    close(fd);
    unlink(path);
}

static void try_again(const void *ctx)
{
    struct sandbox_options o = everything;

    (void)ctx;
    apply(&o);
    CHECK(open("/etc/passwd", O_RDONLY) >= 0);
    o.filesystem = SANDBOX_READ_ONLY;
    apply(&o);
    CHECK(open("/etc/passwd", O_RDONLY) >= 0);
    CHECK(open("/dev/shm", O_RDWR | O_TMPFILE, 0600) == -1 && errno == EACCES);
    o = nothing;
    apply(&o);
    CHECK(open("/etc/passwd", O_RDONLY) == -1 && errno == EACCES);
}

static void test_a_second_sandbox_takes_more_away(void **state)
{
    (void)state;
    need_kernel();
    in_child(try_again, NULL);
}

/* ---- what a kernel lacks ---- */

struct lacking {
    struct sandbox_kernel kernel;
    enum sandbox_filesystem filesystem;
    const char *missing;
};

static void try_lacking(const void *ctx)
{
    const struct lacking *l = ctx;
    struct sandbox_options o = {.filesystem = l->filesystem};
    struct sandbox_report report;
    struct failure why;

    CHECK(sandbox_apply(&o, &l->kernel, &report, &why) == TITAN_E_SPAWN_FAILED);
    CHECK(strstr(why.message, l->missing) != NULL);
    CHECK(strstr(why.message, "security.best_effort = true") != NULL);
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
    CHECK(open("/etc/passwd", O_RDONLY) >= 0);
    o.best_effort = true;
    CHECK(sandbox_apply(&o, &l->kernel, &report, &why) == TITAN_OK);
    CHECK(strstr(report.missing, l->missing) != NULL);
    CHECK(report.seccomp == l->kernel.seccomp);
    CHECK(report.landlock_abi == l->kernel.landlock_abi);
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    errno = 0;
    CHECK((socket(AF_INET, SOCK_STREAM, 0) == -1) == l->kernel.seccomp);
    CHECK((open("/etc/passwd", O_RDONLY) == -1) ==
          (l->kernel.landlock_abi > 0 && l->filesystem == SANDBOX_NONE));
}

static void test_what_a_kernel_lacks_is_an_error_or_left_out(void **state)
{
    static const struct lacking cases[] = {
        {{0, false}, SANDBOX_NONE, "Landlock ABI 3"},
        {{0, false}, SANDBOX_NONE, "seccomp ("},
        {{0, true}, SANDBOX_NONE, "Landlock ABI 3 (of Linux 6.2; this kernel has 0)"},
        {{1, true}, SANDBOX_NONE, "Landlock ABI 3 (of Linux 6.2; this kernel has 1)"},
        {{2, true}, SANDBOX_NONE, "Landlock ABI 3 (of Linux 6.2; this kernel has 2)"},
        {{1, true}, SANDBOX_READ_WRITE, "Landlock ABI 2 (of Linux 5.19; this kernel has 1)"},
        {{3, false}, SANDBOX_NONE, "seccomp ("},
    };

    (void)state;
    need_kernel();
    for (size_t i = 0; i < count_of(cases); i++) {
        in_child(try_lacking, &cases[i]);
    }
}

/* What is there is used as far as the older kernel would. */
static void try_older(const void *ctx)
{
    const int *abi = ctx;
    const struct sandbox_kernel kernel = {*abi, true};
    const struct sandbox_options o = {.filesystem = SANDBOX_READ_ONLY, .spawn = true};
    struct sandbox_report report;
    struct failure why;
    pid_t child;
    int status;

    CHECK(sandbox_apply(&o, &kernel, &report, &why) == TITAN_OK);
    CHECK(report.missing[0] == '\0');
    CHECK(open("/etc/passwd", O_RDONLY) >= 0);
    CHECK(open("/dev/shm", O_RDWR | O_TMPFILE, 0600) == -1 && errno == EACCES);
    CHECK(kill(getppid(), 0) == -1 && errno == EPERM);
    child = fork();
    if (child == 0) {
        _exit(7);
    }
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
}

static void test_older_kernels(void **state)
{
    (void)state;
    need_kernel();
    for (int abi = LANDLOCK_ABI_FILES; abi <= landlock_abi(); abi++) {
        in_child(try_older, &abi);
    }
}

#if !defined(__SANITIZE_THREAD__)
static void *wait_for_ever(void *ctx)
{
    (void)ctx;
    pause();
    return NULL;
}

static void try_threads(const void *ctx)
{
    struct sandbox_kernel kernel;
    struct sandbox_report report;
    struct failure why;
    pthread_t thread;

    (void)ctx;
    sandbox_probe(&kernel);
    CHECK(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
    CHECK(sandbox_apply(&nothing, &kernel, &report, &why) == TITAN_E_SPAWN_FAILED);
    CHECK(strstr(why.message, "one thread") != NULL);
}

static void test_further_threads_are_refused(void **state)
{
    (void)state;
    need_kernel();
    in_child(try_threads, NULL);
}
#endif

/* ---- identity ---- */

static void try_identity(const void *ctx)
{
    struct failure why;
    int sig = 0;

    (void)ctx;
    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    CHECK(identity_take(NULL, NULL, &why) == TITAN_OK && getuid() == 0);
    CHECK(identity_take("nobody-there", NULL, &why) == TITAN_E_SPAWN_FAILED);
    CHECK(identity_take("4294967295", NULL, &why) == TITAN_E_SPAWN_FAILED);
    CHECK(identity_take("65000", "7", &why) == TITAN_OK);
    CHECK(getuid() == 65000 && geteuid() == 65000 && getgid() == 7 && getgroups(0, NULL) == 1);
    CHECK(setuid(0) == -1);
    CHECK(prctl(PR_GET_PDEATHSIG, &sig) == 0 && sig == SIGKILL);
    CHECK(identity_take("daemon", NULL, &why) == TITAN_E_SPAWN_FAILED);
    CHECK(strstr(why.message, "only root can become somebody else") != NULL);
}

static void test_identity(void **state)
{
    (void)state;
    if (getuid() != 0) {
        skip();
    }
    in_child(try_identity, NULL);
}

/* ---- environment ---- */

static bool has_value(const char *name, const char *value)
{
    const char *found = getenv(name);

    return found != NULL && strcmp(found, value) == 0;
}

static void try_environment(const void *ctx)
{
    const char *const kept[] = {"TITAN_A", "TITAN_NOT_SET", "PATH"};
    char path[1024];
    char initial[8192];
    struct failure why;
    ssize_t len;
    int fd;

    (void)ctx;
    CHECK(getenv("PATH") != NULL && getenv("TITAN_BUILD") != NULL);
    snprintf(path, sizeof path, "%s", getenv("PATH"));
    CHECK(setenv("TITAN_A", "kept", 1) == 0 && setenv("TITAN_B", "lost", 1) == 0);
    CHECK(environment_keep(kept, count_of(kept), &why) == TITAN_OK);
    CHECK(has_value("TITAN_A", "kept"));
    CHECK(has_value("PATH", path));
    CHECK(getenv("TITAN_B") == NULL && getenv("TITAN_BUILD") == NULL);
    CHECK(environ[0] != NULL && environ[1] != NULL && environ[2] == NULL);
    fd = open("/proc/self/environ", O_RDONLY);
    len = read(fd, initial, sizeof initial);
    CHECK(fd >= 0 && len >= 0 && memmem(initial, (size_t)len, "TITAN_BUILD", 11) == NULL);
    CHECK(environment_keep(NULL, 0, &why) == TITAN_OK);
    CHECK(environ == NULL || environ[0] == NULL);
}

static void test_environment(void **state)
{
    (void)state;
    setenv("TITAN_BUILD", "", 0);
    in_child(try_environment, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_some_calls_are_always_refused),
        cmocka_unit_test(test_they_work_without),
        cmocka_unit_test(test_other_processes_are_out_of_reach),
        cmocka_unit_test(test_spawn_is_refused_and_threads_are_not),
        cmocka_unit_test(test_signals_stay_inside),
        cmocka_unit_test(test_sockets_are_refused),
#if defined(__x86_64__)
        cmocka_unit_test(test_numbers_of_x32_kill),
#endif
        cmocka_unit_test(test_files_are_refused),
        cmocka_unit_test(test_a_second_sandbox_takes_more_away),
        cmocka_unit_test(test_what_a_kernel_lacks_is_an_error_or_left_out),
        cmocka_unit_test(test_older_kernels),
#if !defined(__SANITIZE_THREAD__)
        cmocka_unit_test(test_further_threads_are_refused),
#endif
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_environment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
