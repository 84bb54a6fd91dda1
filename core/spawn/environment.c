#include "spawn/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where the kernel has put it at the start: the fields 50 and 51 of proc_pid_stat(5). */
static bool initial_area(uintptr_t *start, uintptr_t *end)
{
    enum { FIRST_AFTER_NAME = 3, START = 50 };
    char text[2048];
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    char *at;

    if (fd >= 0) {
        close(fd);
    }
    text[len > 0 ? len : 0] = '\0';
    at = strrchr(text, ')'); /* the name may have anything in it */
    for (int field = FIRST_AFTER_NAME; at != NULL && field <= START; field++) {
        at = strchr(at + 1, ' ');
    }
    if (at == NULL) {
        return false;
    }
    *start = (uintptr_t)strtoull(at, &at, 10);
    *end = (uintptr_t)strtoull(at, NULL, 10);
    return *start != 0 && *end >= *start;
}

static void free_all(char **values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(values[i]);
    }
    free((void *)values);
}

/* Copies: what they are taken from is overwritten. NULL for one that is not set. */
static char **copy_values(const char *const *names, size_t count)
{
    char **values = (char **)calloc(count + 1, sizeof *values);
    bool ok = values != NULL;

    for (size_t i = 0; ok && i < count; i++) {
        const char *value = getenv(names[i]);

        values[i] = value ? strdup(value) : NULL;
        ok = value == NULL || values[i] != NULL;
    }
    if (!ok && values != NULL) {
        free_all(values, count);
    }
    return ok ? values : NULL;
}

int environment_keep(const char *const *names, size_t count, struct failure *why)
{
    uintptr_t start, end;
    char **values;
    bool ok;

    if (!initial_area(&start, &end)) {
        return fail(why, TITAN_E_SPAWN_FAILED,
                    "the sandbox: the environment cannot be cleared: /proc/self/stat cannot be "
                    "read");
    }
    values = copy_values(names, count);
    ok = values != NULL && clearenv() == 0;
    for (size_t i = 0; ok && i < count; i++) {
        ok = values[i] == NULL || setenv(names[i], values[i], 1) == 0;
    }
    if (values != NULL) {
        free_all(values, count);
    }
    if (!ok) {
        return fail(why, TITAN_E_SPAWN_FAILED, "the sandbox: the environment: %s", strerror(errno));
    }
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel says it as a number
    explicit_bzero((void *)start, end - start);
    return TITAN_OK;
}
