#include "spawn/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "spawn/proc_stat.h"

#define PERIOD_US 100000 /* over which the CPU is measured out */
#define QUOTA_MIN_US 1000
#define CLEAR_TRIES 500 /* with CLEAR_WAIT_MS between them */
#define CLEAR_WAIT_MS 10

/* ---- files ---- */

/* The path to `path`, which has room for PATH_MAX bytes. False when it would be longer. */
__attribute__((format(printf, 2, 3))) static bool path_of(char *path, const char *format, ...)
{
    va_list args;
    int len;

    va_start(args, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it does not see va_start
    len = vsnprintf(path, PATH_MAX, format, args);
    va_end(args);
    return len > 0 && len < PATH_MAX;
}

/* 0 or -errno. */
static int write_text(const char *dir, const char *file, const char *text)
{
    char path[PATH_MAX];
    size_t len = strlen(text);
    ssize_t put;
    int fd;

    if (!path_of(path, "%s/%s", dir, file)) {
        return -ENAMETOOLONG;
    }
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    put = write(fd, text, len);
    if (put != (ssize_t)len) {
        put = put < 0 ? -errno : -EIO;
    }
    close(fd);
    return put < 0 ? (int)put : 0;
}

__attribute__((format(printf, 3, 4))) static int write_format(const char *dir, const char *file,
                                                              const char *format, ...)
{
    char text[64];
    va_list args;

    va_start(args, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it does not see va_start
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return write_text(dir, file, text);
}

/* Some controllers are not there, depending on how the kernel was built. */
static int unless_absent(int code)
{
    return code == -ENOENT || code == -EACCES ? 0 : code;
}

/* The number behind `word` at the beginning of a line; 0 when there is none. */
static unsigned read_counter(const char *dir, const char *file, const char *word)
{
    char path[PATH_MAX], line[256];
    size_t len = strlen(word);
    unsigned count = 0;
    FILE *f = path_of(path, "%s/%s", dir, file) ? fopen(path, "re") : NULL;

    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, word, len) == 0 && line[len] == ' ') {
            count = (unsigned)strtoul(line + len, NULL, 10);
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return count;
}

/* ---- places ---- */

/* In v2 one group is for both. */
static bool is_shared(const struct cgroups *c, enum cgroup_controller i)
{
    return i == CGROUP_CPU && c->places[i].version == CGROUP_V2 &&
           c->places[CGROUP_MEMORY].version == CGROUP_V2;
}

static bool is_own_place(const struct cgroups *c, enum cgroup_controller i)
{
    return c->places[i].version != CGROUP_NONE && !is_shared(c, i);
}

static bool group_path(const struct cgroups *c, enum cgroup_controller i, const char *id,
                       char path[PATH_MAX])
{
    return path_of(path, "%s/%s/%s", c->places[i].own, c->name, id);
}

static int make_dir(const char *path)
{
    return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* ---- v2: controllers that are to be handed on ---- */

/* The parent of a process, 0 when it cannot be told. */
static pid_t parent_of(pid_t pid)
{
    char line[PROC_STAT_MAX];
    const char *after = proc_stat_read(pid, line);

    return after != NULL && strlen(after) > 3 ? (pid_t)strtol(after + 3, NULL, 10) : 0;
}

/* Calls `fn` for each process of the group. 0, what `fn` returns if that is not 0, or -errno. */
static int for_each_pid(const char *dir, int (*fn)(pid_t pid, const char *arg), const char *arg)
{
    char path[PATH_MAX], line[32];
    FILE *f = path_of(path, "%s/cgroup.procs", dir) ? fopen(path, "re") : NULL;
    int code = 0;

    if (f == NULL) {
        return -errno;
    }
    while (code == 0 && fgets(line, sizeof line, f) != NULL) {
        pid_t pid = (pid_t)strtol(line, NULL, 10);

        code = pid > 0 ? fn(pid, arg) : 0;
    }
    fclose(f);
    return code;
}

static int refuse_stranger(pid_t pid, const char *arg)
{
    (void)arg;
    return pid == getpid() || parent_of(pid) == getpid() ? 0 : -EBUSY;
}

static int move_pid(pid_t pid, const char *dir)
{
    int code = write_format(dir, "cgroup.procs", "%d", (int)pid);

    return code == -ESRCH ? 0 : code;
}

static int hand_on(const struct cgroups *c, const char *dir)
{
    int code = 0;

    if (c->places[CGROUP_MEMORY].version == CGROUP_V2) {
        code = write_text(dir, "cgroup.subtree_control", "+memory");
    }
    if (code == 0 && c->places[CGROUP_CPU].version == CGROUP_V2) {
        code = write_text(dir, "cgroup.subtree_control", "+cpu");
    }
    return code;
}

/* Only processes that are this manager's may be moved by it. */
static int hand_on_from(const struct cgroups *c, const char *own, pid_t pid)
{
    char leaf[PATH_MAX];
    int code = hand_on(c, own);

    if (code != -EBUSY) {
        return code;
    }
    code = for_each_pid(own, refuse_stranger, NULL);
    if (code == 0 && !path_of(leaf, "%s/titan-leaf-%d", own, (int)pid)) {
        code = -ENAMETOOLONG;
    }
    code = code == 0 ? make_dir(leaf) : code;
    code = code == 0 ? for_each_pid(own, move_pid, leaf) : code;
    return code == 0 ? hand_on(c, own) : code;
}

/* ---- opening ---- */

static bool is_number(const char *text, long *v, char **end)
{
    *v = strtol(text, end, 10);
    return *end != text && *v > 0;
}

static int remove_below(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    char path[PATH_MAX];

    if (d == NULL) {
        return errno == ENOENT ? 0 : -errno;
    }
    while ((entry = readdir(d)) != NULL) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
            path_of(path, "%s/%s", dir, entry->d_name)) {
            (void)rmdir(path); /* what is not removed keeps the one above */
        }
    }
    closedir(d);
    return rmdir(dir) < 0 && errno != ENOENT ? -errno : 0;
}

/* Groups of managers that were killed together with their zygote. */
static void sweep(const char *own)
{
    DIR *d = opendir(own);
    struct dirent *entry;
    char path[PATH_MAX];
    char *end;
    long pid;

    while (d != NULL && (entry = readdir(d)) != NULL) {
        const char *rest = entry->d_name + 6;

        if (strncmp(entry->d_name, "titan-", 6) != 0) {
            continue;
        }
        rest += strncmp(rest, "leaf-", 5) == 0 ? 5 : 0;
        if (is_number(rest, &pid, &end) && (*end == '-' || *end == '\0') &&
            kill((pid_t)pid, 0) < 0 && errno == ESRCH &&
            path_of(path, "%s/%s", own, entry->d_name)) {
            (void)remove_below(path);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
}

static void give_up(struct cgroups *c, enum cgroup_controller i, int code)
{
    snprintf(c->why, sizeof c->why, "no groups can be made in %.120s: %s%s", c->places[i].own,
             strerror(-code),
             code == -EBUSY ? " (processes that are not the manager's are in it)" : "");
    if (c->places[i].version == CGROUP_V2 && c->places[CGROUP_MEMORY].version == CGROUP_V2) {
        c->places[CGROUP_MEMORY].version = CGROUP_NONE;
    }
    c->places[i].version = CGROUP_NONE;
}

/* The manager's group; `exclusive`: it must not be there yet. */
static int open_place(struct cgroups *c, enum cgroup_controller i, pid_t pid, bool exclusive)
{
    const struct cgroup_place *place = &c->places[i];
    char path[PATH_MAX];
    int code = place->version == CGROUP_V2 ? hand_on_from(c, place->own, pid) : 0;

    if (code == 0 && !path_of(path, "%s/%s", place->own, c->name)) {
        code = -ENAMETOOLONG;
    }
    if (code == 0) {
        code = mkdir(path, 0755) < 0 ? -errno : 0;
    }
    if (code == -EEXIST && !exclusive) {
        code = 0;
    }
    if (code == 0 && place->version == CGROUP_V2) {
        code = hand_on(c, path);
        if (code < 0) {
            (void)rmdir(path);
        }
    }
    return code;
}

void cgroups_open(struct cgroups *c, const char *root, pid_t pid)
{
    bool made = false;
    int code;

    cgroups_find(c, root);
    for (enum cgroup_controller i = 0; i < CGROUP_CONTROLLERS; i++) {
        if (!is_own_place(c, i)) {
            continue;
        }
        sweep(c->places[i].own);
        /* A program may have several managers, one after the other or at a time. */
        do {
            snprintf(c->name, sizeof c->name, "titan-%d-%u", (int)pid, c->number);
            code = open_place(c, i, pid, !made);
        } while (code == -EEXIST && c->number++ < UINT_MAX);
        made |= code == 0;
        if (code < 0) {
            give_up(c, i, code);
        }
    }
    if (is_shared(c, CGROUP_CPU) && c->places[CGROUP_MEMORY].version == CGROUP_NONE) {
        c->places[CGROUP_CPU].version = CGROUP_NONE;
    }
}

/* ---- the groups of workers ---- */

static int bound_memory(const struct cgroups *c, const char *dir, uint64_t len)
{
    int code;

    if (c->places[CGROUP_MEMORY].version == CGROUP_V1) {
        code = write_format(dir, "memory.limit_in_bytes", "%" PRIu64, len);
        if (code == 0) { /* with swap as without, where swap is counted */
            code = unless_absent(write_format(dir, "memory.memsw.limit_in_bytes", "%" PRIu64, len));
        }
        return code;
    }
    code = write_format(dir, "memory.max", "%" PRIu64, len);
    if (code == 0) {
        code = unless_absent(write_text(dir, "memory.swap.max", "0"));
    }
    return code == 0 ? unless_absent(write_text(dir, "memory.oom.group", "1")) : code;
}

static int bound_cpu(const struct cgroups *c, const char *dir, double cpus)
{
    long quota_us = (long)(cpus * PERIOD_US + 0.5);
    int code;

    if (quota_us < QUOTA_MIN_US) {
        quota_us = QUOTA_MIN_US;
    }
    if (c->places[CGROUP_CPU].version == CGROUP_V2) {
        return write_format(dir, "cpu.max", "%ld %d", quota_us, PERIOD_US);
    }
    code = write_format(dir, "cpu.cfs_period_us", "%d", PERIOD_US);
    return code == 0 ? write_format(dir, "cpu.cfs_quota_us", "%ld", quota_us) : code;
}

int cgroup_make(const struct cgroups *c, const char *id, const struct cgroup_limits *limits)
{
    bool wanted[CGROUP_CONTROLLERS] = {limits->memory_len > 0, limits->cpus > 0};
    char path[PATH_MAX];
    int code = 0;

    for (enum cgroup_controller i = 0; i < CGROUP_CONTROLLERS && code == 0; i++) {
        if (!wanted[i] || c->places[i].version == CGROUP_NONE) {
            continue;
        }
        code = group_path(c, i, id, path) ? make_dir(path) : -ENAMETOOLONG;
        if (code == 0) {
            code = i == CGROUP_MEMORY ? bound_memory(c, path, limits->memory_len)
                                      : bound_cpu(c, path, limits->cpus);
        }
    }
    return code;
}

bool cgroup_join_path(const struct cgroups *c, enum cgroup_controller i, const char *id,
                      char path[PATH_MAX])
{
    return is_own_place(c, i) &&
           path_of(path, "%s/%s/%s/cgroup.procs", c->places[i].own, c->name, id);
}

int cgroup_join(const char *path)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int code;

    if (fd < 0) {
        return -errno;
    }
    code = write(fd, "0", 1) == 1 ? 0 : -errno;
    close(fd);
    return code == -ENODEV ? -ENOENT : code; /* it was removed meanwhile */
}

unsigned cgroup_oom_kills(const struct cgroups *c, const char *id)
{
    char path[PATH_MAX];

    if (c->places[CGROUP_MEMORY].version == CGROUP_NONE ||
        !group_path(c, CGROUP_MEMORY, id, path)) {
        return 0;
    }
    return c->places[CGROUP_MEMORY].version == CGROUP_V2
               ? read_counter(path, "memory.events", "oom_kill")
               : read_counter(path, "memory.oom_control", "oom_kill");
}

/* ---- the end ---- */

static int kill_pid(pid_t pid, const char *arg)
{
    (void)arg;
    (void)kill(pid, SIGKILL);
    return 0;
}

static int remove_group(const char *path)
{
    if (rmdir(path) == 0 || errno == ENOENT) {
        return 0;
    }
    if (errno == EBUSY) { /* what has left the worker's process group is still in this one */
        (void)for_each_pid(path, kill_pid, NULL);
    }
    return -EBUSY;
}

int cgroup_remove(const struct cgroups *c, const char *id)
{
    char path[PATH_MAX];
    int code = 0;

    for (enum cgroup_controller i = 0; i < CGROUP_CONTROLLERS; i++) {
        if (is_own_place(c, i) && group_path(c, i, id, path) && remove_group(path) < 0) {
            code = -EBUSY;
        }
    }
    return code;
}

static int remove_all(const char *dir, bool (*keeps)(void *ctx, const char *id), void *ctx)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    char path[PATH_MAX];
    int code = 0;

    while (d != NULL && (entry = readdir(d)) != NULL) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
            (keeps == NULL || !keeps(ctx, entry->d_name)) &&
            (!path_of(path, "%s/%s", dir, entry->d_name) || remove_group(path) < 0)) {
            code = -EBUSY;
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    if (code == 0 && keeps == NULL && rmdir(dir) < 0 && errno != ENOENT) {
        code = -EBUSY;
    }
    return code;
}

int cgroups_remove(const struct cgroups *c, bool (*keeps)(void *ctx, const char *id), void *ctx)
{
    char path[PATH_MAX];
    int code = 0;

    for (enum cgroup_controller i = 0; i < CGROUP_CONTROLLERS; i++) {
        if (is_own_place(c, i) && path_of(path, "%s/%s", c->places[i].own, c->name) &&
            remove_all(path, keeps, ctx) < 0) {
            code = -EBUSY;
        }
    }
    return code;
}

void cgroups_clear(const struct cgroups *c)
{
    const struct timespec wait = {.tv_nsec = CLEAR_WAIT_MS * 1000000L};

    for (int tries = 0; tries < CLEAR_TRIES && cgroups_remove(c, NULL, NULL) < 0; tries++) {
        (void)nanosleep(&wait, NULL);
    }
}

void cgroups_clear_of(const char *root, pid_t pid, unsigned number)
{
    struct cgroups *c = malloc(sizeof *c);

    if (c != NULL) {
        cgroups_find(c, root);
        snprintf(c->name, sizeof c->name, "titan-%d-%u", (int)pid, number);
        cgroups_clear(c);
        free(c);
    }
}
