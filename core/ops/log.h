/* How a worker's line is printed on the manager's stderr. */
#ifndef TITAN_OPS_LOG_H
#define TITAN_OPS_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum log_format { LOG_NONE, LOG_TEXT, LOG_JSON };

struct log_line {
    const char *name;
    int pid;
    bool is_stderr;
    const char *text;
    size_t len;
    unsigned long long time_ms; /* wall clock */
};

/* LOG_TEXT on a terminal, else LOG_JSON. */
enum log_format log_format_for(int fd);

/* Appends the line, as text or as one JSON object, with its newline. False when memory is out. */
bool log_format_line(struct buf *b, enum log_format format, const struct log_line *line);

/* Writes it whole to `fd`, waiting if it must. False when `fd` takes nothing any more. */
bool log_write(int fd, enum log_format format, const struct log_line *line);

#endif
