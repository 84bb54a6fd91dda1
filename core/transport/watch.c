/* Descriptors that a reactor's loop watches. */
#include <stdlib.h>
#include <unistd.h>

#include "transport/reactor.h"

struct watch {
    uv_poll_t poll;
    struct reactor *reactor;
    watch_fn fn;
    void *ctx;
    int fd;
    int events;
};

static void watch_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;

    if (status < 0) {
        /* POLLERR: libuv has stopped the handle. The owner's read says what it was, and its next
         * watch_events starts the handle again. */
        w->events = 0;
        events = UV_READABLE;
    }
    w->fn(w->ctx, events);
}

static void watch_closed(uv_handle_t *handle)
{
    struct watch *w = handle->data;

    w->reactor->open--;
    free(w);
}

struct watch *watch_open(struct reactor *r, int fd, int events, watch_fn fn, void *ctx)
{
    struct watch *w = calloc(1, sizeof *w);

    if (w == NULL) {
        return NULL;
    }
    if (uv_poll_init(r->uv, &w->poll, fd) < 0) {
        free(w);
        return NULL;
    }
    w->poll.data = w;
    w->reactor = r;
    w->fn = fn;
    w->ctx = ctx;
    w->fd = fd;
    r->open++;
    if (watch_events(w, events) < 0) {
        uv_close((uv_handle_t *)&w->poll, watch_closed);
        return NULL;
    }
    return w;
}

int watch_fd(const struct watch *w)
{
    return w->fd;
}

int watch_events(struct watch *w, int events)
{
    if (w->events == events) {
        return 0;
    }
    w->events = events;
    return events ? uv_poll_start(&w->poll, events, watch_ready) : uv_poll_stop(&w->poll);
}

void watch_hold(struct watch *w, bool hold)
{
    if (hold) {
        uv_ref((uv_handle_t *)&w->poll);
    } else {
        uv_unref((uv_handle_t *)&w->poll);
    }
}

void watch_close(struct watch **w)
{
    struct watch *closing = *w;

    if (closing == NULL) {
        return;
    }
    *w = NULL;
    uv_close((uv_handle_t *)&closing->poll, watch_closed);
    close(closing->fd);
}
