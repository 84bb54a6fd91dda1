/* Requests from one worker to another service, which may be a pool: passed on as they are, the
 * answers too, and the items of those that stream. What waits here of a stream is bounded by its
 * credit, which is the caller's to give. */
#include <stdlib.h>
#include <string.h>

#include "manager/own_request.h"
#include "manager/pool.h"
#include "wire/header.h"
#include "wire/mp_read.h"

struct relay {
    struct call call;        /* to the service */
    struct pool_call pooled; /* when that is a pool */
    struct list link;        /* in from->relays */
    struct process *from;
    struct map_node by_id; /* in from->relay_ids */
    uint32_t id;           /* of the request */
    uint64_t deadline_ms;  /* by the loop's clock; 0: none */
    struct buf held;       /* what is passed on while it waits for a worker of the pool */
    size_t method_len, params_len;
    struct cargo held_cargo;
};

/* What is passed on of a request. */
struct passed {
    struct span method, params, header;
    struct cargo *cargo; /* of the params, or NULL */
};

/* What `from` sends just now is passed on with its cargo, and must be well-formed, or the receiver
 * would blame the manager. The list around the values does not count. */
static bool well_formed(const struct peer *from, struct span payload, unsigned nesting)
{
    return cargo_fits(from->arrived, payload, nesting + 1);
}

/* The values of an item: a list of which the first is not nil, or nothing, where a stream begins.
 */
static bool item_well_formed(const struct peer *from, struct span values)
{
    struct mp_reader r = {values.at, values.at + values.len};
    struct mp_token list;

    if (mp_next(&r, &list) != NULL || list.type != MP_ARRAY) {
        return false;
    }
    return values.len == 1 ||
           (r.at < r.end && *r.at != 0xc0 && well_formed(from, values, from->limits.nesting));
}

static void relay_free(struct relay *r)
{
    map_remove(&r->from->relay_ids, &r->by_id);
    list_remove(&r->link);
    buf_free(&r->held);
    cargo_free(&r->held_cargo);
    free(r);
}

static void pass_on(struct peer *to, uint32_t id, struct span payload, const struct cargo *cargo,
                    bool is_error)
{
    struct draft d;

    if (answer_begin(to, &d, id, is_error) < 0) {
        return;
    }
    if (!buf_append(peer_out(to), payload.at, payload.len) ||
        cargo_load_all(&to->loading, cargo, NULL) < 0) {
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

    pool_give_back(&r->pooled, reply->code);
    relay_free(r);
    if (reply->code == TITAN_E_REMOTE_ERROR) {
        pass_on(to, id, reply->error, NULL, true);
    } else if (reply->code < 0) {
        answer_failure(to, id, reply->failure);
    } else if (well_formed(reply->peer, reply->results, to->limits.nesting)) {
        pass_on(to, id, reply->results, reply->peer->arrived, false);
    } else {
        fail(&garbage, TITAN_E_PROTOCOL_ERROR, "the service's answer is malformed");
        answer_failure(to, id, &garbage);
        peer_blame(reply->peer, "results that are malformed");
    }
}

/* What is left of its time goes along; the caller, whose deadline it is, cancels. */
static uint32_t left_ms(const struct relay *r)
{
    uint64_t now_ms = reactor_now_ms(r->from->manager->reactor);

    if (r->deadline_ms == 0) {
        return 0;
    }
    return r->deadline_ms > now_ms ? (uint32_t)(r->deadline_ms - now_ms) : 1;
}

static void item_came(struct call *c, struct span values)
{
    struct relay *r = list_entry(c, struct relay, call);
    struct peer *service = c->peer;
    struct failure why;

    if (!item_well_formed(service, values)) {
        fail(&why, TITAN_E_PROTOCOL_ERROR, "the service's stream is malformed");
        call_cancel(c, &why);
        peer_blame(service, "an item that is malformed");
    } else if (item_send(&r->from->data, r->id, values, service->arrived) < 0) {
        fail(&why, TITAN_E_LIMIT_EXCEEDED, "no memory to pass an item on");
        call_cancel(c, &why);
    }
}

static int forward(struct relay *r, struct process *to, const struct passed *passed,
                   struct failure *why)
{
    uint32_t deadline_ms = left_ms(r);
    bool has_header = header_is_needed(passed->header, deadline_ms);
    struct draft d;
    int code = process_callable(to, why);

    if (code == TITAN_OK) {
        code = request_begin(&to->data, &d, 0, passed->method, has_header, why);
    }
    if (code < 0) {
        return code;
    }
    if (!buf_append(peer_out(&to->data), passed->params.at, passed->params.len) ||
        (has_header && !header_pass_on(peer_out(&to->data), passed->header, deadline_ms))) {
        request_abort(&to->data, &d);
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    code = cargo_load_all(&to->data.loading, passed->cargo, why);
    if (code < 0) {
        request_abort(&to->data, &d);
        return code;
    }
    return request_end(&to->data, &d, &r->call, 0, why);
}

/* ---- to a pool ---- */

static bool hold(struct relay *r, const struct passed *passed)
{
    r->method_len = passed->method.len;
    r->params_len = passed->params.len;
    return buf_append(&r->held, passed->method.at, passed->method.len) &&
           buf_append(&r->held, passed->params.at, passed->params.len) &&
           (passed->header.len == 0 ||
            buf_append(&r->held, passed->header.at, passed->header.len)) &&
           (passed->cargo == NULL || cargo_keep(passed->cargo, &r->held_cargo));
}

static struct passed held(struct relay *r)
{
    const uint8_t *at = buf_front(&r->held);
    size_t header_at = r->method_len + r->params_len;
    struct passed passed = {
        {at, r->method_len}, {at + r->method_len, r->params_len}, {NULL, 0}, &r->held_cargo};

    if (buf_len(&r->held) > header_at) {
        passed.header = (struct span){at + header_at, buf_len(&r->held) - header_at};
    }
    return passed;
}

/* `code` is what the pool said. Negative: the relay is to be answered with `why`. */
static int go_on(struct relay *r, int code, const struct passed *passed, struct failure *why)
{
    while (code == TITAN_OK) {
        struct process *to = r->pooled.worker->process;

        if (to != NULL && to->state == PROCESS_RUNNING) {
            code = forward(r, to, passed, why);
            if (code < 0) {
                pool_give_back(&r->pooled, code);
            }
            return code;
        }
        code = pool_take_again(&r->pooled, false, why);
    }
    return code;
}

static void left_queue(struct pool_call *c, const struct failure *refusal)
{
    struct relay *r = list_entry(c, struct relay, pooled);
    struct passed passed = held(r);
    struct failure why;
    int code = TITAN_OK;

    if (refusal != NULL) {
        why = *refusal;
        code = refusal->code;
    } else {
        code = go_on(r, TITAN_OK, &passed, &why);
    }
    if (code == TITAN_OK) {
        cargo_free(&r->held_cargo);
    }
    if (code >= 0) {
        return;
    }
    answer_failure(&r->from->data, r->id, &why);
    relay_free(r);
}

/* Calls between workers have no key: each may go anywhere. */
static int through_pool(struct relay *r, struct pool *p, const struct passed *passed,
                        struct failure *why)
{
    int code;

    r->pooled.hash = random_next(&p->manager->random);
    r->pooled.left = left_queue;
    code = go_on(r, pool_take(p, &r->pooled, why), passed, why);
    if (code == POOL_QUEUED && !hold(r, passed)) {
        pool_call_forget(&r->pooled);
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    return code;
}

/* ---- to whoever has the name ---- */

static int send_on(struct relay *r, struct manager *m, struct span service,
                   const struct passed *passed, struct failure *why)
{
    const char *text = service.at ? (const char *)service.at : "";
    struct pool *pool = manager_find_pool(m, text, service.len);
    struct process *to = pool ? NULL : manager_find_name(m, text, service.len);

    if (pool != NULL) {
        return through_pool(r, pool, passed, why);
    }
    if (to == NULL) {
        return fail(why, TITAN_E_WORKER_LOST, "no service named \"%.*s\" is running",
                    (int)(service.len < PROCESS_NAME_MAX ? service.len : PROCESS_NAME_MAX), text);
    }
    return forward(r, to, passed, why);
}

static struct relay *find(const struct process *from, uint32_t id)
{
    struct map_node *node = map_find(&from->relay_ids, (const char *)&id, sizeof id);

    return node != NULL ? list_entry(node, struct relay, by_id) : NULL;
}

static struct relay *relay_new(struct process *from, uint32_t id)
{
    struct relay *r = calloc(1, sizeof *r);

    if (r == NULL) {
        return NULL;
    }
    r->from = from;
    r->id = id;
    if (!map_insert(&from->relay_ids, &r->by_id, (const char *)&r->id, sizeof r->id)) {
        free(r);
        return NULL;
    }
    r->call.done = answered;
    r->call.item = item_came;
    list_push(&from->relays, &r->link);
    return r;
}

static void relay(struct manager *m, struct process *from, const struct message *request,
                  const struct header *header)
{
    struct passed passed = {request->method, request->payload, {NULL, 0}, from->data.arrived};
    struct relay *r = relay_new(from, request->id);
    struct failure why;

    if (r == NULL) {
        fail(&why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
        answer_failure(&from->data, request->id, &why);
        return;
    }
    if (header->has_more) {
        passed.header = request->header;
    }
    if (header->deadline_ms > 0) {
        r->deadline_ms = reactor_now_ms(m->reactor) + header->deadline_ms;
    }
    if (send_on(r, m, header->service, &passed, &why) < 0) {
        relay_free(r);
        answer_failure(&from->data, request->id, &why);
    }
}

void manager_relay(struct manager *m, struct process *from, const struct message *request)
{
    struct header header;
    bool is_own;

    header_read(request->header, &header);
    is_own = header.service.len > 0 && header.service.at[0] == ':';
    /* Who serves an own one reads its params, and sees for itself whether they are well-formed. */
    if (request->method.at == NULL ||
        (!is_own && !well_formed(&from->data, request->payload, m->limits.nesting))) {
        peer_blame(&from->data, "a request whose params are malformed or that names no method");
        return;
    }
    if (find(from, request->id) != NULL) {
        peer_blame(&from->data, "a request with the number of one that is under way");
        return;
    }
    if (is_own) {
        m->events->asked(m->ctx, from, header.service, request);
    } else {
        relay(m, from, request, &header);
    }
}

static void cancel(struct relay *r)
{
    struct failure why;

    fail(&why, TITAN_E_CANCELLED, "the caller cancelled");
    if (r->call.peer != NULL) {
        call_cancel(&r->call, &why);
        return;
    }
    pool_call_forget(&r->pooled);
    answer_failure(&r->from->data, r->id, &why);
    relay_free(r);
}

void manager_relay_cancel(struct process *from, uint32_t id)
{
    struct relay *r = find(from, id);

    if (r != NULL) {
        cancel(r);
    } else {
        own_request_cancel(from, id);
    }
}

/* One whose answer is on its way already is no longer here. */
void manager_relay_credit(struct process *from, uint32_t id, uint32_t bytes)
{
    struct relay *r = find(from, id);

    if (r != NULL && (r->call.peer == NULL || !call_give_credit(&r->call, bytes))) {
        peer_blame(&from->data, "more credit than there were items");
    }
}

void manager_relays_drop(struct process *from)
{
    while (!list_empty(&from->relays)) {
        struct relay *r = list_entry(from->relays.next, struct relay, link);

        call_forget(&r->call);
        pool_call_forget(&r->pooled);
        relay_free(r);
    }
}
