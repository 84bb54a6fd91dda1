#include "spawn/landlock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- the kernel's interface ---- */

#define CREATE_VERSION 1U
#define RULE_PATH_BENEATH 1

#define FS_EXECUTE (1ULL << 0)
#define FS_WRITE_FILE (1ULL << 1)
#define FS_READ_FILE (1ULL << 2)
#define FS_READ_DIR (1ULL << 3)
#define FS_REFER (1ULL << 13)
#define FS_TRUNCATE (1ULL << 14)
#define FS_IOCTL_DEV (1ULL << 15)
#define FS_OF_ABI_1 ((1ULL << 13) - 1)

#define NET_BIND_TCP (1ULL << 0)
#define NET_CONNECT_TCP (1ULL << 1)

#define SCOPE_ABSTRACT_UNIX (1ULL << 0)
#define SCOPE_SIGNAL (1ULL << 1)

/* An older kernel takes a longer one when what it does not know is zero. */
struct ruleset {
    uint64_t fs, net, scoped;
};

struct path_rule {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));

int landlock_abi(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);

    return version < 0 ? 0 : (int)version;
}

/* ---- what is restricted ---- */

static uint64_t files_of(int abi)
{
    uint64_t all = FS_OF_ABI_1;

    all |= abi >= LANDLOCK_ABI_ANY ? FS_REFER : 0;
    all |= abi >= LANDLOCK_ABI_FILES ? FS_TRUNCATE : 0;
    all |= abi >= LANDLOCK_ABI_IOCTL ? FS_IOCTL_DEV : 0;
    return all;
}

static struct ruleset ruleset_of(const struct sandbox_options *o, int abi)
{
    struct ruleset set = {0};

    if (o->filesystem != SANDBOX_READ_WRITE) {
        set.fs = files_of(abi);
    } else if (abi >= LANDLOCK_ABI_ANY) {
        set.fs = FS_WRITE_FILE | FS_REFER; /* for /proc; without REFER renames would be refused */
    }
    if (abi >= LANDLOCK_ABI_TCP && !o->network) {
        set.net = NET_BIND_TCP | NET_CONNECT_TCP;
    }
    if (abi >= LANDLOCK_ABI_SIGNALS) {
        set.scoped = SCOPE_SIGNAL | (o->network ? 0 : SCOPE_ABSTRACT_UNIX);
    }
    return set;
}

/* ---- what is allowed ---- */

#define FOR_FILES (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

/* A path that is not there, or not for this user, could not be opened anyway. */
static int allow(int ruleset, const char *path, uint64_t rights, struct failure *why)
{
    struct path_rule rule = {rights, open(path, O_PATH | O_CLOEXEC)};
    struct stat st;
    int code = TITAN_OK;

    if (rule.parent_fd < 0) {
        return TITAN_OK;
    }
    if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode)) {
        rule.allowed &= FOR_FILES;
    }
    /* A kernel's own file, such as a pipe below /proc/self/fd, needs no rule (EBADFD). */
    if (rule.allowed != 0 &&
        syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0 &&
        errno != EBADFD) {
        code = fail(why, TITAN_E_SPAWN_FAILED, "the sandbox: Landlock does not take %s: %s", path,
                    strerror(errno));
    }
    close(rule.parent_fd);
    return code;
}

static int allow_devices(int ruleset, struct failure *why)
{
    static const char *const readable[] = {"/dev/zero", "/dev/random", "/dev/urandom"};
    int code = allow(ruleset, "/dev/null", FS_READ_FILE | FS_WRITE_FILE, why);

    for (size_t i = 0; code == TITAN_OK && i < sizeof readable / sizeof readable[0]; i++) {
        code = allow(ruleset, readable[i], FS_READ_FILE, why);
    }
    return code;
}

/* Libraries and the clock's zone: what loading a module and os.date take, whatever the class. */
static int allow_loading(int ruleset, const struct sandbox_options *o, struct failure *why)
{
    static const char *const system[] = {
        "/lib",
        "/lib32",
        "/lib64",
        "/usr/lib",
        "/usr/lib32",
        "/usr/lib64",
        "/usr/local/lib",
        "/etc/ld.so.cache",
        "/etc/ld.so.preload",
        "/etc/localtime",
        "/usr/share/zoneinfo",
    };
    int code = TITAN_OK;

    for (size_t i = 0; code == TITAN_OK && i < sizeof system / sizeof system[0]; i++) {
        code = allow(ruleset, system[i], FS_READ_FILE, why);
    }
    for (size_t i = 0; code == TITAN_OK && i < o->readable_count; i++) {
        code = allow(ruleset, o->readable[i], FS_READ_FILE, why);
    }
    return code;
}

static bool is_one_of(const char *name, const char *const *names)
{
    while (*names != NULL && strcmp(name, *names) != 0) {
        names++;
    }
    return *names != NULL;
}

/* Rules only allow: that /proc is not to be written is said by allowing what lies beside it. */
static int allow_all_but_proc(int ruleset, struct failure *why)
{
    static const char *const left_out[] = {".", "..", "proc", NULL};
    DIR *root = opendir("/");
    int code = allow(ruleset, "/", FS_REFER, why);
    struct dirent *entry;

    if (root == NULL) {
        return fail(why, TITAN_E_SPAWN_FAILED, "the sandbox: cannot read /: %s", strerror(errno));
    }
    while (code == TITAN_OK && (entry = readdir(root)) != NULL) {
        char path[sizeof entry->d_name + 1];

        if (!is_one_of(entry->d_name, left_out)) {
            snprintf(path, sizeof path, "/%s", entry->d_name);
            code = allow(ruleset, path, FS_WRITE_FILE, why);
        }
    }
    closedir(root);
    return code;
}

static int allow_files(int ruleset, const struct sandbox_options *o, uint64_t handled,
                       struct failure *why)
{
    uint64_t reading = FS_READ_FILE | FS_READ_DIR | (o->spawn ? FS_EXECUTE : 0);
    int code;

    if (handled == 0) {
        return TITAN_OK;
    }
    if (o->filesystem == SANDBOX_READ_WRITE) {
        return allow_all_but_proc(ruleset, why);
    }
    code = o->filesystem == SANDBOX_READ_ONLY ? allow(ruleset, "/", reading, why)
                                              : allow_loading(ruleset, o, why);
    return code == TITAN_OK ? allow_devices(ruleset, why) : code;
}

int landlock_restrict(const struct sandbox_options *o, int abi, struct failure *why)
{
    struct ruleset set = ruleset_of(o, abi);
    int ruleset, code;

    if (set.fs == 0 && set.net == 0 && set.scoped == 0) {
        return TITAN_OK; /* the kernel takes none that restricts nothing */
    }
    ruleset = (int)syscall(SYS_landlock_create_ruleset, &set, sizeof set, 0);
    if (ruleset < 0) {
        return fail(why, TITAN_E_SPAWN_FAILED, "the sandbox: Landlock: %s", strerror(errno));
    }
    code = allow_files(ruleset, o, set.fs, why);
    if (code == TITAN_OK && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0) {
        code = fail(why, TITAN_E_SPAWN_FAILED, "the sandbox: Landlock: %s", strerror(errno));
    }
    close(ruleset);
    return code;
}
