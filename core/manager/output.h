/*
 * What a worker prints: read from a pipe, handed on a whole line at a time, its end kept for the
 * report of a crash.
 */
#ifndef TITAN_MANAGER_OUTPUT_H
#define TITAN_MANAGER_OUTPUT_H

#include "base/buf.h"
#include "transport/reactor.h"

#define OUTPUT_LINE_MAX ((size_t)64 * 1024) /* a longer line is handed on in pieces */
#define OUTPUT_TAIL_LEN 2048

struct output {
    struct watch *pipe; /* NULL: closed, or fed */
    struct reactor *reactor;
    struct buf partial; /* the beginning of a line whose end has not come */
    char *tail;         /* the last lines, each with its newline; NULL: there was none */
    size_t tail_len;
    void (*line)(void *ctx, struct output *o, const char *text, size_t len);
    void *ctx;
};

/* All zeros, or closed. Takes the pipe's reading end over from success on. */
int output_open(struct output *o, struct reactor *r, int fd,
                void (*line)(void *ctx, struct output *o, const char *text, size_t len), void *ctx);

/* One without a pipe: it is fed. */
void output_open_fed(struct output *o, struct reactor *r,
                     void (*line)(void *ctx, struct output *o, const char *text, size_t len),
                     void *ctx);
void output_feed(struct output *o, const uint8_t *bytes, size_t len);

/* Hands on all that is in the pipe now, an unfinished last line too, and closes it. */
void output_finish(struct output *o);

/* Closes without reading. The tail stays until it is opened again or freed. */
void output_close(struct output *o);
void output_free(struct output *o);

#endif
