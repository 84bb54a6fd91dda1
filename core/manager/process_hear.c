/* What a process hears: from its worker over both connections, and line by line what it prints. */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "manager/manager.h"
#include "manager/process_parts.h"
#include "wire/mp_read.h"

static void on_request(void *ctx, const struct message *m)
{
    struct process *p = ctx;

    manager_relay(p->manager, p, m);
}

static void on_data_notification(void *ctx, const struct message *m)
{
    struct process *p = ctx;

    (void)m;
    peer_blame(&p->data, "a notification on the data connection");
}

static void on_cancel(void *ctx, uint32_t id)
{
    manager_relay_cancel(ctx, id);
}

static void on_credit(void *ctx, uint32_t id, uint32_t bytes)
{
    manager_relay_credit(ctx, id, bytes);
}

/* It exists, and was forked by a zygote that perhaps did not live to say so. */
static void hear_hello(struct process *p)
{
    pid_t pid = status_load(p->status->pid);
    int pidfd;

    if (p->state != PROCESS_FORKING && p->state != PROCESS_ABORTING) {
        return;
    }
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd >= 0 && process_has_exited(pidfd) < 0) {
        close(pidfd); /* not a child of ours */
        pidfd = -1;
    }
    process_forked(p, pid, pidfd, pidfd < 0 ? -errno : 0);
}

static void hear_declared(struct process *p, struct span payload)
{
    if (p->state == PROCESS_STARTING) {
        p->manager->events->declared(p->manager->ctx, p, payload);
    }
}

static void hear_ready(struct process *p, struct span payload)
{
    if (p->state == PROCESS_STARTING) {
        process_dispatch(p, EVENT_READY);
        spare_later(p->manager);
        p->manager->events->ready(p->manager->ctx, p, payload);
        p->was_ready = p->last_error.code != TITAN_E_PROTOCOL_ERROR; /* and so is believed */
        p->has_lived |= p->was_ready;
        if (p->keeper != NULL && p->was_ready) {
            p->keeper->up(p->keeper, p);
        }
    }
}

static void hear_failed(struct process *p, struct span payload)
{
    if (p->was_ready) {
        peer_blame(&p->control, "a failure to start after it was ready");
        return;
    }
    p->manager->events->start_failed(p->manager->ctx, p, payload);
    if (p->last_error.code == TITAN_OK) {
        fail(&p->last_error, TITAN_E_SPAWN_FAILED, "the worker could not load its module");
    }
    process_dispatch(p, EVENT_START_FAILED);
}

/* What it prints, when it has no pipe of its own: a string. */
static void hear_output(struct process *p, struct output *o, struct span payload)
{
    struct mp_reader r = {payload.at, payload.at + payload.len};
    struct mp_token t;

    if (mp_next(&r, &t) != NULL || t.type != MP_STR) {
        peer_blame(&p->control, "output that is not a string");
        return;
    }
    output_feed(o, t.bytes, t.n);
}

/* Of a call that it has made to another, which may not live any more. */
static void hear_given_up(struct process *p, struct span payload)
{
    struct mp_reader r = {payload.at, payload.at + payload.len};
    struct mp_token t;
    struct process *to;

    if (mp_next(&r, &t) != NULL || t.type != MP_STR) {
        peer_blame(&p->control, "the name of a service that is not a string");
        return;
    }
    to = manager_find_name(p->manager, (const char *)t.bytes, t.n);
    if (to != NULL) {
        watchdog_tell(to);
    }
}

static void on_control_notification(void *ctx, const struct message *m)
{
    struct process *p = ctx;

    if (span_is(m->method, "hello")) {
        hear_hello(p);
    } else if (span_is(m->method, "declared")) {
        hear_declared(p, m->payload);
    } else if (span_is(m->method, "ready")) {
        hear_ready(p, m->payload);
    } else if (span_is(m->method, "failed")) {
        hear_failed(p, m->payload);
    } else if (span_is(m->method, "stdout")) {
        hear_output(p, &p->out, m->payload);
    } else if (span_is(m->method, "stderr")) {
        hear_output(p, &p->err, m->payload);
    } else if (span_is(m->method, "given_up")) {
        hear_given_up(p, m->payload);
    } else {
        peer_blame(&p->control, "an unknown control message");
    }
}

static void on_control_request(void *ctx, const struct message *m)
{
    struct process *p = ctx;

    (void)m;
    peer_blame(&p->control, "a request on the control connection");
}

static void on_control_cancel(void *ctx, uint32_t id)
{
    struct process *p = ctx;

    (void)id;
    peer_blame(&p->control, "a cancel on the control connection");
}

static void on_lost(void *ctx, int code, const char *why)
{
    struct process *p = ctx;

    if (code == TITAN_E_PROTOCOL_ERROR) {
        fail(&p->last_error, code, "the worker sent bytes that are not the protocol: %s", why);
        process_dispatch(p, EVENT_GARBAGE);
    } else {
        process_dispatch(p, EVENT_LOST);
    }
}

void process_hear_line(void *ctx, struct output *o, const char *text, size_t len)
{
    struct process *p = ctx;

    p->manager->events->line(p->manager->ctx, p, o == &p->err, text, len);
}

const struct peer_events process_data_events = {on_request, on_data_notification, on_cancel,
                                                on_credit, on_lost};
const struct peer_events process_control_events = {on_control_request, on_control_notification,
                                                   on_control_cancel, NULL, on_lost};
