/*
 * Any bytes, in any pieces, said to a peer that has calls under way and takes requests: every call
 * ends exactly once, the end is told once, and nothing is heard after it. Of a stream the beginning
 * is heard first and nothing after its end, and a call may move when it begins.
 *
 * The input is a script: an opcode (see enum step) in the low bits of a byte, a number in the rest.
 */
#include "fuzz.h"

#include <sys/socket.h>
#include <unistd.h>

#include "rpc/peer.h"

#define CALLS 64
#define OWN_HANDLES 3 /* the reactor's */

enum step {
    STEP_SAY,       /* the next n bytes as they are */
    STEP_SAY_FRAME, /* the next n bytes as a frame */
    STEP_ANSWER,    /* an answer to call n, the next byte its results */
    STEP_CALL,
    STEP_CANCEL, /* call n */
    STEP_FORGET, /* call n */
    STEP_TURN,   /* let the peer read and send */
    STEP_BEHAVE  /* n says what the owner does in its callbacks, see struct owner */
};

struct caller {
    struct call call;
    struct call moved; /* where it lives once it streams, if its number is odd */
    struct owner *owner;
    int begun, done, forgotten;
    bool streams;
};

struct owner {
    struct peer peer;
    int fd; /* the other side */
    struct caller callers[CALLS];
    unsigned begun;
    bool close_on_request, close_on_done, close_on_lost, blame_on_done, call_on_done;
    bool ended; /* lost, or closed by its owner */
};

static const struct failure closed = {TITAN_E_DESTROYED, "closed"};
static const struct failure cancelled = {TITAN_E_CANCELLED, "cancelled"};

static void close_peer(struct owner *o)
{
    o->ended = true;
    peer_close(&o->peer, &closed);
}

/* ---- calls ---- */

static void begin_call(struct owner *o);

static struct call *call_of(struct caller *c)
{
    return c->moved.peer != NULL ? &c->moved : &c->call;
}

static void ended(struct caller *c, const struct reply *reply)
{
    struct owner *o = c->owner;

    c->done++;
    must(c->done == 1 && !c->forgotten && c->call.peer == NULL && c->moved.peer == NULL);
    must((reply->code == TITAN_OK || reply->code == TITAN_E_REMOTE_ERROR) ==
         (reply->failure == NULL));
    if (o->blame_on_done && reply->peer != NULL) {
        peer_blame(reply->peer, "its results");
        must(o->ended);
    }
    if (o->close_on_done) {
        close_peer(o);
    }
    if (o->call_on_done) {
        begin_call(o);
    }
}

static void on_done(struct call *call, const struct reply *reply)
{
    ended(list_entry(call, struct caller, call), reply);
}

static void on_moved_done(struct call *call, const struct reply *reply)
{
    ended(list_entry(call, struct caller, moved), reply);
}

static void item_came(struct caller *c, struct call *call, struct span values)
{
    struct owner *o = c->owner;

    must(!o->ended && c->begun && !c->done && !c->forgotten && c->streams);
    must(values.at != NULL && values.len > 0 && call->credit < STREAM_WINDOW);
    must(call_give_credit(call, (uint32_t)(STREAM_WINDOW - call->credit)));
    must(!call_give_credit(call, 1));
    if (values.at[values.len - 1] == 0x01) {
        c->forgotten = 1;
        call_forget(call);
    } else if (values.at[values.len - 1] == 0x02) {
        peer_blame(&o->peer, "an item of this");
    } else if (values.at[values.len - 1] == 0x03) {
        close_peer(o);
    }
}

static void on_moved_item(struct call *call, struct span values)
{
    item_came(list_entry(call, struct caller, moved), call, values);
}

static void on_item(struct call *call, struct span values)
{
    struct caller *c = list_entry(call, struct caller, call);

    if (c->streams) {
        item_came(c, call, values);
        return;
    }
    must(values.len == 1 && *values.at == 0x90 && call->credit == STREAM_WINDOW);
    c->streams = true;
    if (call->id % 2 == 1) {
        c->moved.done = on_moved_done;
        c->moved.item = on_moved_item;
        call_move(call, &c->moved);
        must(call->peer == NULL && c->moved.peer == &c->owner->peer);
    }
}

static void begin_call(struct owner *o)
{
    struct caller *c = &o->callers[o->begun];
    struct draft d;
    struct failure why;

    if (o->begun == CALLS) {
        return;
    }
    if (request_begin(&o->peer, &d, 1, (struct span){NULL, 0}, false, &why) < 0) {
        must(o->ended);
        return;
    }
    must(!o->ended);
    must(buf_append(peer_out(&o->peer), "\x90", 1));
    c->owner = o;
    c->call.done = on_done;
    c->call.item = o->begun % 3 == 2 ? NULL : on_item;
    c->begun = 1;
    o->begun++;
    must(request_end(&o->peer, &d, &c->call, 0, &why) == TITAN_OK);
}

/* ---- what the owner hears ---- */

static void on_request(void *ctx, const struct message *m)
{
    struct owner *o = ctx;

    must(!o->ended);
    must(m->payload.at != NULL);
    answer_failure(&o->peer, m->id, &cancelled);
    if (o->close_on_request) {
        close_peer(o);
    }
}

static void on_notification(void *ctx, const struct message *m)
{
    const struct owner *o = ctx;

    must(!o->ended);
    must(m->payload.at != NULL);
}

static void on_cancel(void *ctx, uint32_t id)
{
    struct owner *o = ctx;

    must(!o->ended);
    if (id == 1) {
        peer_blame(&o->peer, "a cancel of this");
    }
}

static void on_credit(void *ctx, uint32_t id, uint32_t bytes)
{
    struct owner *o = ctx;

    must(!o->ended && bytes > 0 && bytes <= STREAM_WINDOW);
    if (id == 1) {
        peer_blame(&o->peer, "a credit for this");
    }
}

static void on_lost(void *ctx, int code, const char *why)
{
    struct owner *o = ctx;

    must(!o->ended);
    must(why != NULL &&
         (code == TITAN_OK || code == TITAN_E_PROTOCOL_ERROR || code == TITAN_E_WORKER_LOST));
    o->ended = true;
    if (o->close_on_lost) {
        close_peer(o);
    }
}

static const struct peer_events events = {on_request, on_notification, on_cancel, on_credit,
                                          on_lost};

/* ---- the script ---- */

struct script {
    const uint8_t *at, *end;
};

static size_t rest_of(const struct script *s, size_t wanted)
{
    size_t left = (size_t)(s->end - s->at);

    return wanted < left ? wanted : left;
}

static void say(const struct owner *o, const void *bytes, size_t len)
{
    if (len > 0) {
        (void)!send(o->fd, bytes, len, MSG_NOSIGNAL);
    }
}

static void say_frame(const struct owner *o, const uint8_t *bytes, size_t len)
{
    const uint8_t head[FRAME_HEAD] = {(uint8_t)len};

    say(o, head, sizeof head);
    say(o, bytes, len);
}

/* What the peer said is thrown away, so that it can say more. */
static void take_turn(struct reactor *r, const struct owner *o)
{
    char bytes[4096];

    uv_run(r->uv, UV_RUN_NOWAIT);
    while (recv(o->fd, bytes, sizeof bytes, 0) > 0) {
    }
}

static void behave(struct owner *o, unsigned how)
{
    o->close_on_request = how & 1;
    o->close_on_done = how & 2;
    o->close_on_lost = how & 4;
    o->blame_on_done = how & 8;
    o->call_on_done = how & 16;
}

static void take_step(struct reactor *r, struct owner *o, struct script *s)
{
    uint8_t byte = *s->at++;
    unsigned n = byte >> 3;
    struct caller *c = &o->callers[n];
    size_t len = rest_of(s, n);

    switch ((enum step)(byte & 7)) {
    case STEP_SAY:
        say(o, s->at, len);
        s->at += len;
        break;
    case STEP_SAY_FRAME:
        say_frame(o, s->at, len);
        s->at += len;
        break;
    case STEP_ANSWER:
        len = rest_of(s, 1);
        say_frame(o, (uint8_t[]){0x94, 1, (uint8_t)n, 0xc0, len ? *s->at : 0x90}, 5);
        s->at += len;
        break;
    case STEP_CALL:
        begin_call(o);
        break;
    case STEP_CANCEL:
        call_cancel(call_of(c), &cancelled);
        break;
    case STEP_FORGET:
        c->forgotten = c->forgotten || call_of(c)->peer != NULL;
        call_forget(call_of(c));
        break;
    case STEP_TURN:
        take_turn(r, o);
        break;
    case STEP_BEHAVE:
        behave(o, n);
        break;
    }
}

static void play(struct reactor *r, struct owner *o, struct script s)
{
    begin_call(o);
    begin_call(o);
    while (s.at < s.end) {
        take_step(r, o, &s);
    }
    take_turn(r, o);
    close(o->fd);
    while (!o->ended) {
        must(uv_loop_alive(r->uv));
        uv_run(r->uv, UV_RUN_ONCE);
    }
    for (int i = 0; i < 2; i++) { /* what would be heard after the end */
        uv_run(r->uv, UV_RUN_NOWAIT);
    }
    close_peer(o);
    for (unsigned i = 0; i < CALLS; i++) {
        must(o->callers[i].done + o->callers[i].forgotten == o->callers[i].begun);
    }
    while (r->open > OWN_HANDLES) {
        uv_run(r->uv, UV_RUN_NOWAIT);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const struct wire_limits limits = {.frame = 1000, .nesting = 8, .outstanding = CALLS};
    static uv_loop_t loop;
    static struct reactor reactor;
    struct owner o = {0};
    int pair[2];

    if (reactor.uv == NULL) {
        must(uv_loop_init(&loop) == 0 && reactor_open(&reactor, &loop) == TITAN_OK);
    }
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    must(peer_open(&o.peer, &reactor, pair[0], &limits, &events, &o) == TITAN_OK);
    o.fd = pair[1];
    play(&reactor, &o, (struct script){bytes, bytes + len});
    return 0;
}
