/* Requests from one worker to another service: passed on as they are, the answers too. */
#include <stdlib.h>

#include "manager/manager.h"
#include "wire/mp_read.h"

struct relay {
    struct call call; /* to the service */
    struct list link; /* in from->relays */
    struct process *from;
    uint32_t id; /* of the request */
};

/* Bytes that are passed on must be well-formed, or the receiver would blame the manager. The list
 * around the values does not count. */
static bool well_formed(struct span payload, unsigned nesting)
{
    struct mp_reader r = {payload.at, payload.at + payload.len};

    return mp_skip(&r, nesting + 1) == NULL && r.at == r.end;
}

static void relay_free(struct relay *r)
{
    list_remove(&r->link);
    free(r);
}

static void pass_on(struct peer *to, uint32_t id, struct span payload, bool is_error)
{
    struct draft d;

    if (answer_begin(to, &d, id, is_error) < 0) {
        return;
    }
    if (!buf_append(peer_out(to), payload.at, payload.len)) {
        answer_abort(to, &d);
        return;
    }
    (void)answer_end(to, &d, is_error);
}

static void answered(struct call *c, const struct reply *reply)
{
    struct relay *r = list_entry(c, struct relay, call);
    struct peer *to = &r->from->data;
    struct failure garbage;
    uint32_t id = r->id;

    relay_free(r);
    if (reply->code == TITAN_E_REMOTE_ERROR) {
        pass_on(to, id, reply->error, true);
    } else if (reply->code < 0) {
        answer_failure(to, id, reply->failure);
    } else if (well_formed(reply->results, to->limits.nesting)) {
        pass_on(to, id, reply->results, false);
    } else {
        fail(&garbage, TITAN_E_PROTOCOL_ERROR, "the service's answer is malformed");
        answer_failure(to, id, &garbage);
        peer_blame(reply->peer, "results that are malformed");
    }
}

static int find_service(const struct manager *m, struct span name, struct process **to,
                        struct failure *why)
{
    *to = name.at ? manager_find_name(m, (const char *)name.at, name.len) : NULL;
    if (*to == NULL) {
        return fail(why, TITAN_E_WORKER_LOST, "no service named \"%.*s\" is running",
                    (int)(name.len < PROCESS_NAME_MAX ? name.len : PROCESS_NAME_MAX),
                    name.at ? (const char *)name.at : "");
    }
    return process_callable(*to, why);
}

static int forward(struct relay *r, struct process *to, const struct message *m,
                   struct failure *why)
{
    struct draft d;
    int code = request_begin(&to->data, &d, 0, m->method, false, why);

    if (code < 0) {
        return code;
    }
    if (!buf_append(peer_out(&to->data), m->payload.at, m->payload.len)) {
        request_abort(&to->data, &d);
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    /* Its deadline is the caller's, who cancels. */
    return request_end(&to->data, &d, &r->call, 0, why);
}

void manager_relay(struct manager *m, struct process *from, const struct message *request)
{
    struct process *to;
    struct failure why;
    struct relay *r;

    if (request->method.at == NULL || !well_formed(request->payload, m->limits.nesting)) {
        peer_blame(&from->data, "a request whose params are malformed or that names no method");
        return;
    }
    if (find_service(m, header_get(request->header, HEADER_SERVICE), &to, &why) < 0) {
        answer_failure(&from->data, request->id, &why);
        return;
    }
    r = calloc(1, sizeof *r);
    if (r == NULL) {
        fail(&why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
        answer_failure(&from->data, request->id, &why);
        return;
    }
    r->from = from;
    r->id = request->id;
    r->call.done = answered;
    list_push(&from->relays, &r->link);
    if (forward(r, to, request, &why) < 0) {
        relay_free(r);
        answer_failure(&from->data, request->id, &why);
    }
}

void manager_relay_cancel(struct process *from, uint32_t id)
{
    for (struct list *l = from->relays.next; l != &from->relays; l = l->next) {
        struct relay *r = list_entry(l, struct relay, link);

        if (r->id == id) {
            struct failure why;

            fail(&why, TITAN_E_CANCELLED, "the caller cancelled");
            call_cancel(&r->call, &why);
            return;
        }
    }
}

void manager_relays_drop(struct process *from)
{
    while (!list_empty(&from->relays)) {
        struct relay *r = list_entry(from->relays.next, struct relay, link);

        call_forget(&r->call);
        relay_free(r);
    }
}
