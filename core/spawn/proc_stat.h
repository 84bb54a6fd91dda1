/* What the kernel says of a process in one line: /proc/PID/stat, see proc_pid_stat(5). */
#ifndef TITAN_SPAWN_PROC_STAT_H
#define TITAN_SPAWN_PROC_STAT_H

#include <sys/types.h>

#define PROC_STAT_MAX 512 /* a line may be cut off there: the first fields are whole */

/* Reads the line; returns what follows the name, which may hold anything: " S 1 ...", the state and
 * the parent. NULL when it cannot be read. */
const char *proc_stat_read(pid_t pid, char line[PROC_STAT_MAX]);

#endif
