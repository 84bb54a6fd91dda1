#include "manager/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "titan.h"

#define READS_A_TURN 4
#define READS_AT_END 16 /* more than any pipe holds: a writer that goes on is not waited for */

/* Keeps the end of what was printed: when room is short the oldest whole lines go. */
static void keep_tail(struct output *o, const char *text, size_t len)
{
    const size_t room = OUTPUT_TAIL_LEN;

    if (o->tail == NULL) {
        o->tail = malloc(room);
    }
    if (o->tail == NULL) {
        return;
    }
    if (len > room - 1) {
        text += len - (room - 1);
        len = room - 1;
    }
    if (o->tail_len + len + 1 > room) {
        size_t drop = o->tail_len + len + 1 - room; /* bytes at the least; a line at the most */
        const char *end = memchr(o->tail + drop - 1, '\n', o->tail_len - drop + 1);

        drop = end ? (size_t)(end - o->tail) + 1 : o->tail_len;
        memmove(o->tail, o->tail + drop, o->tail_len - drop);
        o->tail_len -= drop;
    }
    memcpy(o->tail + o->tail_len, text, len);
    o->tail_len += len;
    o->tail[o->tail_len++] = '\n';
}

static void emit(struct output *o, const char *text, size_t len)
{
    keep_tail(o, text, len);
    o->line(o->ctx, o, text, len);
}

/* Hands on the whole lines in `bytes`, and long ones in pieces; returns how many bytes it took. */
static size_t emit_lines(struct output *o, const char *bytes, size_t len)
{
    size_t taken = 0;

    while (taken < len) {
        const char *from = bytes + taken;
        size_t left = len - taken;
        const char *end = memchr(from, '\n', left);

        if (end != NULL && (size_t)(end - from) <= OUTPUT_LINE_MAX) {
            emit(o, from, (size_t)(end - from));
            taken += (size_t)(end - from) + 1;
        } else if (left > OUTPUT_LINE_MAX) {
            emit(o, from, OUTPUT_LINE_MAX);
            taken += OUTPUT_LINE_MAX;
        } else {
            break;
        }
    }
    return taken;
}

void output_feed(struct output *o, const uint8_t *bytes, size_t len)
{
    if (!buf_append(&o->partial, bytes, len)) {
        /* Out of memory: better these lines late in pieces than none. */
        emit(o, (const char *)bytes, len);
        return;
    }
    buf_consume(&o->partial,
                emit_lines(o, (const char *)buf_front(&o->partial), buf_len(&o->partial)));
}

/* False at the end of the stream or when nothing is there. */
static bool read_once(struct output *o, bool *ended)
{
    ssize_t got = read(watch_fd(o->pipe), o->reactor->scratch, SCRATCH_LEN);

    *ended = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
    if (got <= 0) {
        return got < 0 && errno == EINTR;
    }
    output_feed(o, o->reactor->scratch, (size_t)got);
    return true;
}

static void readable(void *ctx, int events)
{
    struct output *o = ctx;
    bool ended = false;

    (void)events;
    for (int i = 0; i < READS_A_TURN && read_once(o, &ended); i++) {
    }
    if (ended) {
        output_finish(o);
    }
}

void output_open_fed(struct output *o, struct reactor *r,
                     void (*line)(void *ctx, struct output *o, const char *text, size_t len),
                     void *ctx)
{
    free(o->tail);
    memset(o, 0, sizeof *o);
    o->reactor = r;
    o->line = line;
    o->ctx = ctx;
}

int output_open(struct output *o, struct reactor *r, int fd,
                void (*line)(void *ctx, struct output *o, const char *text, size_t len), void *ctx)
{
    output_open_fed(o, r, line, ctx);
    o->pipe = watch_open(r, fd, UV_READABLE, readable, o);
    return o->pipe ? TITAN_OK : TITAN_E_LIMIT_EXCEEDED;
}

void output_finish(struct output *o)
{
    bool ended;

    for (int i = 0; o->pipe != NULL && i < READS_AT_END && read_once(o, &ended); i++) {
    }
    if (buf_len(&o->partial) > 0) {
        emit(o, (const char *)buf_front(&o->partial), buf_len(&o->partial));
    }
    output_close(o);
}

void output_close(struct output *o)
{
    watch_close(&o->pipe);
    buf_free(&o->partial);
}

void output_free(struct output *o)
{
    free(o->tail);
    o->tail = NULL;
    o->tail_len = 0;
}
