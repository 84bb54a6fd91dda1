#include "worker/worker.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "wire/mp_write.h"

#define READ_PAUSE_LEN ((size_t)8 << 20)

/* The first reason counts. */
static void end(struct worker *w, int exit_code)
{
    if (w->state == WORKER_ENDED) {
        return;
    }
    w->state = WORKER_ENDED;
    w->exit_code = exit_code;
    if (w->reactor->uv != NULL) {
        uv_stop(w->reactor->uv);
    }
}

/* In WORKER_STOPPING, whenever one of the conditions may have come true. */
static void end_if_done(struct worker *w)
{
    if (w->state == WORKER_STOPPING && w->hooks_done && w->drained && w->in_flight == 0) {
        end(w, 0);
    }
}

void worker_call_ended(struct worker *w)
{
    w->in_flight--;
    end_if_done(w);
}

void worker_hooks_done(struct worker *w)
{
    w->hooks_done = true;
    end_if_done(w);
}

void worker_exit(struct worker *w, int exit_code)
{
    end(w, exit_code);
}

void worker_declared(struct worker *w, struct span payload)
{
    if (peer_notify(&w->control, "declared", payload) < 0) {
        end(w, 1);
    }
}

void worker_ready(struct worker *w, struct span payload)
{
    if (w->state == WORKER_STARTING) {
        w->state = WORKER_SERVING;
    }
    if (peer_notify(&w->control, "ready", payload) < 0) {
        end(w, 1);
    }
}

/* Who has ended by hand, as by os.exit, has failed by that. */
void worker_failed(struct worker *w, struct span payload)
{
    if (w->state != WORKER_ENDED) {
        peer_notify(&w->control, "failed", payload);
        end(w, 1);
    }
}

/* ---- what the manager says ---- */

static void on_request(void *ctx, const struct message *m)
{
    struct worker *w = ctx;

    if (w->state != WORKER_ENDED) { /* else it came together with what has ended it */
        w->guest->request(w->ctx, m);
    }
}

static void on_cancel(void *ctx, uint32_t id)
{
    struct worker *w = ctx;

    w->guest->cancel(w->ctx, id);
}

static void on_credit(void *ctx, uint32_t id, uint32_t bytes)
{
    struct worker *w = ctx;

    w->guest->credit(w->ctx, id, bytes);
}

static void on_data_notification(void *ctx, const struct message *m)
{
    struct worker *w = ctx;

    if (!span_is(m->method, "drain")) {
        peer_blame(&w->data, "a notification other than drain");
        return;
    }
    w->drained = true;
    end_if_done(w);
}

static void on_control_notification(void *ctx, const struct message *m)
{
    struct worker *w = ctx;

    if (w->state == WORKER_ENDED) {
        return;
    }
    if (span_is(m->method, "start") && w->state == WORKER_STARTING) {
        w->guest->start(w->ctx, m->payload);
    } else if (span_is(m->method, "proceed") && w->state == WORKER_STARTING) {
        w->guest->proceed(w->ctx, m->payload);
    } else if (span_is(m->method, "shutdown") && w->state < WORKER_STOPPING) {
        w->state = WORKER_STOPPING;
        w->guest->shutdown(w->ctx);
    } else if (w->state != WORKER_ENDED) {
        peer_blame(&w->control, "a control message that makes no sense now");
    }
}

/* A ping is answered here, so that it says whether the loop turns, and nothing of the guest's. */
static void on_control_request(void *ctx, const struct message *m)
{
    struct worker *w = ctx;
    struct draft d;

    if (!span_is(m->method, "ping")) {
        peer_blame(&w->control, "a request other than ping on the control connection");
        return;
    }
    if (answer_begin(&w->control, &d, m->id, false) < 0) {
        return;
    }
    if (!mp_write_array(peer_out(&w->control), 0)) {
        answer_abort(&w->control, &d);
        return;
    }
    (void)answer_end(&w->control, &d, false); /* who hears nothing asks again */
}

static void on_control_cancel(void *ctx, uint32_t id)
{
    (void)ctx; /* the answer is on its way already */
    (void)id;
}

/* Without a manager there is nobody to work for. */
static void on_lost(void *ctx, int code, const char *why)
{
    struct worker *w = ctx;

    if (code == TITAN_E_PROTOCOL_ERROR) {
        fprintf(stderr, "titan: protocol_error in what the manager sent: %s\n", why);
    }
    end(w, code == TITAN_E_PROTOCOL_ERROR ? EXIT_PROTOCOL : 1);
}

/* ---- life ---- */

static const struct peer_events data_events = {on_request, on_data_notification, on_cancel,
                                               on_credit, on_lost};
static const struct peer_events control_events = {on_control_request, on_control_notification,
                                                  on_control_cancel, NULL, on_lost};

static void say_hello(struct worker *w)
{
    struct buf b = {0};
    struct span payload;

    if (mp_write_map(&b, 2) && mp_write_str(&b, "pid", 3) && mp_write_int(&b, getpid()) &&
        mp_write_str(&b, "version", 7) && mp_write_str(&b, TITAN_VERSION, strlen(TITAN_VERSION))) {
        payload = (struct span){buf_front(&b), buf_len(&b)};
        peer_notify(&w->control, "hello", payload);
    }
    buf_free(&b);
}

/* A worker that is forked when it is needed finds its start in the connection; a spare does not. */
static bool is_spare(int control)
{
    struct pollfd readable = {.fd = control, .events = POLLIN};

    return poll(&readable, 1, 0) == 0;
}

/* A worker that cannot send all its answers reads no new requests. */
static void open_done(struct worker *w)
{
    w->data.channel->read_pause_len = READ_PAUSE_LEN;
    status_store(w->status->pid, (int32_t)getpid());
    say_hello(w);
}

static void init(struct worker *w, struct reactor *r, const struct worker_guest *guest, void *ctx)
{
    memset(w, 0, sizeof *w);
    w->reactor = r;
    w->guest = guest;
    w->ctx = ctx;
}

int worker_open_fds(struct worker *w, struct reactor *r, const struct worker_fds *fds,
                    const struct worker_guest *guest, void *ctx)
{
    struct wire_limits limits = WIRE_LIMITS_DEFAULT;
    int code;

    init(w, r, guest, ctx);
    code = status_map(&w->status, fds->status);
    close(fds->status);
    w->owns_status = code == 0;
    if (code == 0) {
        code = peer_open(&w->control, r, fds->control, &limits, &control_events, w);
    }
    if (code == TITAN_OK) {
        code = peer_open(&w->data, r, fds->data, &limits, &data_events, w);
    }
    if (code < 0) {
        return code;
    }
    open_done(w);
    if (is_spare(fds->control)) {
        w->guest->limber(w->ctx);
    }
    return TITAN_OK;
}

int worker_open_links(struct worker *w, struct reactor *r, const struct worker_links *links,
                      const struct worker_guest *guest, void *ctx)
{
    struct wire_limits limits = WIRE_LIMITS_DEFAULT;
    int code;

    init(w, r, guest, ctx);
    w->status = links->status;
    code = peer_open_inproc(&w->control, r, links->control, 1, &limits, &control_events, w);
    if (code < 0) {
        inproc_abandon(links->control, 1);
        inproc_abandon(links->data, 1);
        return code;
    }
    code = peer_open_inproc(&w->data, r, links->data, 1, &limits, &data_events, w);
    if (code < 0) {
        inproc_abandon(links->data, 1);
        return code;
    }
    open_done(w);
    return TITAN_OK;
}

int worker_run(struct worker *w)
{
    while (w->state != WORKER_ENDED) {
        uv_run(w->reactor->uv, UV_RUN_DEFAULT);
    }
    worker_finish(w);
    return w->exit_code;
}

void worker_finish(struct worker *w)
{
    channel_finish(w->data.channel);
    channel_finish(w->control.channel);
}

void worker_close(struct worker *w)
{
    static const struct failure over = {TITAN_E_WORKER_LOST, "the worker has ended"};

    peer_close(&w->data, &over);
    peer_close(&w->control, &over);
    if (w->owns_status) {
        status_unmap(&w->status);
    }
}
