/*
 * Any bytes, in any pieces, said to a peer that has calls under way and takes requests: every call
 * ends exactly once, the end is told once, and nothing is heard after it. Of a stream the beginning
 * is heard first and nothing after its end, and a call may move when it begins. What a message
 * refers to can be read, whatever came along, and no block of an arena is given back twice.
 *
 * The input is a script: an opcode (see enum step) in the low bits of a byte, a number in the rest.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc/peer.h"
#include "wire/mp_read.h"

#define CALLS 64
#define OWN_HANDLES 3 /* the reactor's */
#define MEMORY_LEN ((size_t)2 * CARGO_STRING_MIN)
#define LOAD_MAX 64

enum step {
    STEP_SAY,       /* the next n bytes as they are; none: see load */
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
    const int *memory;
    int load[LOAD_MAX]; /* descriptors that go along with what is said next */
    unsigned load_len;
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

/* Of some a large string. */
static void write_params(struct owner *o)
{
    static const char large[CARGO_STRING_MIN];
    uint32_t number;

    if (o->begun % 4 < 2 && cargo_load_string(&o->peer.loading, large, sizeof large, &number)) {
        must(number == 0 && buf_append(peer_out(&o->peer), "\x91\xd6\x01\0\0\0\0", 7));
    } else {
        must(buf_append(peer_out(&o->peer), "\x90", 1));
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
    write_params(o);
    c->owner = o;
    c->call.done = on_done;
    c->call.item = o->begun % 3 == 2 ? NULL : on_item;
    c->begun = 1;
    o->begun++;
    must(request_end(&o->peer, &d, &c->call, 0, &why) == TITAN_OK);
}

/* ---- what the owner hears ---- */

/* One reference after the other, until what is none. */
static void read_references(struct cargo *c, struct span values)
{
    struct mp_reader r = {values.at, values.at + values.len};
    struct mp_token t;

    while (r.at < r.end && mp_next(&r, &t) == NULL) {
        struct span ext = {t.bytes, t.n};
        struct memory_part part;
        struct span string;

        if (t.type == MP_EXT && cargo_string(c, ext, &string) == NULL && string.len > 0) {
            volatile uint8_t last = string.at[string.len - 1]; /* it is there */

            (void)last;
        } else if (t.type == MP_EXT && cargo_memory(c, ext, &part) == NULL) {
            must(part.memory->len == MEMORY_LEN && part.offset + part.len <= MEMORY_LEN);
            must(part.len == 0 || shm_at(part.memory)[part.offset + part.len - 1] == 0);
        }
    }
    (void)cargo_fits(c, values, 8);
}

static void on_request(void *ctx, const struct message *m)
{
    struct owner *o = ctx;

    must(!o->ended);
    must(m->payload.at != NULL);
    read_references(o->peer.arrived, m->payload);
    answer_failure(&o->peer, m->id, &cancelled);
    if (o->close_on_request) {
        close_peer(o);
    }
}

static void on_notification(void *ctx, const struct message *m)
{
    const struct owner *o = ctx;
    struct cargo kept = {0};

    must(!o->ended);
    must(m->payload.at != NULL);
    if (o->peer.arrived != NULL) {
        must(cargo_keep(o->peer.arrived, &kept));
        read_references(&kept, m->payload);
        cargo_free(&kept);
    }
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
    must(why != NULL && (code == TITAN_OK || code == TITAN_E_PROTOCOL_ERROR ||
                         code == TITAN_E_WORKER_LOST || code == TITAN_E_LIMIT_EXCEEDED));
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

static int other_memory(int seals)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    must(fd >= 0 && ftruncate(fd, (off_t)MEMORY_LEN) == 0);
    must(fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

/* How many, and of what: memory as it should be, or not, or none. */
static void load(struct owner *o, unsigned byte)
{
    static const uint8_t kinds[] = {0, 1, 2, 0};

    o->load_len = 1 + (byte >> 2);
    for (unsigned i = 0; i < o->load_len; i++) {
        o->load[i] = o->memory[kinds[byte & 3]];
    }
}

static void say(struct owner *o, const void *bytes, size_t len)
{
    char control[CMSG_SPACE(sizeof o->load)] = {0};
    struct iovec iov = {(void *)bytes, len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct cmsghdr *c;

    if (len == 0) {
        return;
    }
    if (o->load_len > 0) {
        msg.msg_control = control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * o->load_len);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * o->load_len);
        memcpy(CMSG_DATA(c), o->load, sizeof(int) * o->load_len);
        o->load_len = 0;
    }
    (void)!sendmsg(o->fd, &msg, MSG_NOSIGNAL);
}

static void say_frame(struct owner *o, const uint8_t *bytes, size_t len)
{
    uint8_t frame[FRAME_HEAD + 32] = {(uint8_t)len};

    memcpy(frame + FRAME_HEAD, bytes, len);
    say(o, frame, FRAME_HEAD + len);
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
        if (n == 0 && s->at < s->end) {
            load(o, *s->at++);
        }
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
    static const struct wire_limits limits = {
        .frame = 2 * MEMORY_LEN, .nesting = 8, .outstanding = CALLS};
    static uv_loop_t loop;
    static struct reactor reactor;
    static int memory[3];
    struct owner o = {.memory = memory};
    int pair[2];

    if (reactor.uv == NULL) {
        must(uv_loop_init(&loop) == 0 && reactor_open(&reactor, &loop) == TITAN_OK);
        memory[0] = other_memory(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
        memory[1] = other_memory(F_SEAL_GROW);
        memory[2] = open("/dev/zero", O_RDWR | O_CLOEXEC);
        must(memory[2] >= 0);
    }
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    must(peer_open(&o.peer, &reactor, pair[0], &limits, &events, &o) == TITAN_OK);
    o.fd = pair[1];
    play(&reactor, &o, (struct script){bytes, bytes + len});
    return 0;
}
