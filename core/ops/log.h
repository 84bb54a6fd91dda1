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

/* Writes it to `fd`, waiting for a reader, but not for ever. False when it could not be written
 * whole: nobody reads, or nobody ever will. */
bool log_write(int fd, enum log_format format, const struct log_line *line);

/* Where lines go, one after the other. A reader that does not read is waited for once, for a
 * second; from then on lines are dropped, and counted, until it does: it must not hold up
 * everything else. */
struct log_sink {
    int fd;
    enum log_format format;
    unsigned long long dropped; /* since the last line that was written; at first 0 */
};

void log_sink_write(struct log_sink *s, const struct log_line *line);

#endif
