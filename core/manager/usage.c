#include "manager/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX 4096 /* stat and smaps_rollup are shorter */

/* Reads the whole of /proc/<pid>/<file> as a string. 0 or -errno. */
static int read_text(pid_t pid, const char *file, char text[TEXT_MAX])
{
    char path[64];
    size_t len = 0;
    ssize_t got;
    int code = 0;
    int fd;

    if (pid <= 0) {
        return -ESRCH;
    }
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? -ESRCH : -errno;
    }
    do {
        got = read(fd, text + len, TEXT_MAX - 1 - len);
        if (got > 0) {
            len += (size_t)got;
        } else if (got < 0 && errno != EINTR) {
            code = -errno;
        }
    } while (code == 0 && got != 0 && len < TEXT_MAX - 1);
    text[len] = '\0';
    close(fd);
    return code;
}

static uint64_t ticks_to_ns(uint64_t ticks)
{
    long per_second = sysconf(_SC_CLK_TCK);

    return ticks * (1000000000u / (uint64_t)(per_second > 0 ? per_second : 100));
}

/* A number that begins at `at`, perhaps after spaces. */
static bool read_number(const char *at, uint64_t *v)
{
    char *end;

    errno = 0;
    *v = strtoull(at, &end, 10);
    return errno == 0 && end != at && (*end == ' ' || *end == '\n');
}

/* Field `number` of a stat, counted as in proc_pid_stat(5). `after` is what follows the name, which
 * is the second. */
static bool stat_field(const char *after, int number, uint64_t *v)
{
    for (int i = 2; i < number; i++) {
        after = strchr(after, ' ');
        if (after == NULL) {
            return false;
        }
        after++;
    }
    return read_number(after, v);
}

int usage_read(pid_t pid, struct usage *u)
{
    char text[TEXT_MAX];
    const char *after;
    uint64_t user, system, threads, rss;
    int code = read_text(pid, "stat", text);

    if (code < 0) {
        return code;
    }
    /* The name is in parentheses and may hold any others; no later field has one. */
    after = strrchr(text, ')');
    if (after == NULL || !stat_field(after, 14, &user) || !stat_field(after, 15, &system) ||
        !stat_field(after, 20, &threads) || !stat_field(after, 24, &rss)) {
        return -EPROTO;
    }
    *u = (struct usage){
        .user_ns = ticks_to_ns(user),
        .system_ns = ticks_to_ns(system),
        .rss_len = rss * (uint64_t)sysconf(_SC_PAGESIZE),
        .threads = (uint32_t)threads,
    };
    return 0;
}

int usage_pss(pid_t pid, uint64_t *pss_len)
{
    static const char label[] = "\nPss:";
    char text[TEXT_MAX];
    const char *line;
    uint64_t kib;
    int code = read_text(pid, "smaps_rollup", text);

    if (code < 0) {
        return code;
    }
    line = strstr(text, label);
    if (line == NULL || !read_number(line + strlen(label), &kib)) {
        return -EPROTO;
    }
    *pss_len = kib * 1024;
    return 0;
}
