#include "spawn/proc_stat.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *proc_stat_read(pid_t pid, char line[PROC_STAT_MAX])
{
    char path[64];
    const char *end;
    ssize_t len;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    len = read(fd, line, PROC_STAT_MAX - 1);
    close(fd);
    line[len > 0 ? len : 0] = '\0';
    end = strrchr(line, ')');
    return end != NULL ? end + 1 : NULL;
}
