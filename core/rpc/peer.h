/*
 * One end of a conversation: calls going out, requests coming in, over one channel.
 *
 * Promises:
 *  - a call that was begun ends exactly once: with its answer, at its deadline, by call_cancel or
 *    when the peer is lost (`done` is called), or by call_forget (and `done` is not called);
 *  - the number of a call is not used again before the other side has answered it, so an answer
 *    that comes after the deadline can never be taken for another call's;
 *  - a call that is answered by a stream hears its items, from its beginning on, until it ends; the
 *    other side cannot send more of them than it was given credit for;
 *  - a message whose cargo could not be received, for want of descriptors or memory, fails alone: a
 *    request is answered, a call ends with TITAN_E_LIMIT_EXCEEDED;
 *  - bytes that are not the protocol end this conversation (`lost` with TITAN_E_PROTOCOL_ERROR)
 *    and nothing else.
 */
#ifndef TITAN_RPC_PEER_H
#define TITAN_RPC_PEER_H

#include "rpc/cargo.h"
#include "transport/inproc.h"

struct peer;
struct call;

/* How a call ended. */
struct reply {
    int code;            /* TITAN_OK: `results`; TITAN_E_REMOTE_ERROR: `error`; else `failure` */
    struct span results; /* a MessagePack array; valid during `done` */
    struct span error;   /* a MessagePack map; valid during `done` */
    const struct failure *failure;
    struct peer *peer; /* whom to blame for results that turn out malformed; NULL when lost */
};

/* Lives inside its owner. Zeroed memory is a call that is not under way. */
struct call {
    struct timer deadline;
    struct peer *peer; /* NULL when not under way */
    uint32_t id;
    uint32_t timeout_ms;
    bool streams;   /* its stream has begun */
    int64_t credit; /* what the other side may still send of it, in bytes */
    void (*done)(struct call *c, const struct reply *reply);
    /* The stream begins (values without an element), or has another item: a MessagePack array with
     * one element at least, unless it is malformed; valid during this. The deadline is off from
     * then on. NULL: the call takes no stream. */
    void (*item)(struct call *c, struct span values);
};

struct peer_events {
    void (*request)(void *ctx, const struct message *m);
    void (*notification)(void *ctx, const struct message *m);
    void (*cancel)(void *ctx, uint32_t id);
    /* For request id, which may have been answered meanwhile. NULL: nothing here streams. */
    void (*credit)(void *ctx, uint32_t id, uint32_t bytes);
    /* Once; nothing comes after it. TITAN_OK for an orderly end of the stream. The calls under way
     * are still there: the owner says with peer_fail_calls what has become of them. */
    void (*lost)(void *ctx, int code, const char *why);
};

struct peer {
    struct channel *channel; /* NULL once closed */
    struct reactor *reactor;
    const struct peer_events *events;
    void *ctx;
    struct wire_limits limits;
    struct call **calls; /* by id; abandoned ones point to a mark */
    uint32_t calls_cap;
    uint32_t *free_ids; /* a stack */
    uint32_t free_len;
    uint32_t outstanding;
    uint32_t given_up; /* of these, those that nobody waits for any more */
    bool lost;
    /* NULL, or: this call of ours has been given up, and the other side has not answered it. */
    void (*gave_up)(struct peer *p, uint32_t id);
    struct lane lane;
    struct cargo loading; /* of the message that is being written */
    /* Of the message that is being heard; NULL: it has none. Its strings lie in memory that the
     * other side can write to: copied once, they are what they are. */
    struct cargo *arrived;
};

/* Takes the descriptor over from success on. */
int peer_open(struct peer *p, struct reactor *r, int fd, const struct wire_limits *limits,
              const struct peer_events *events, void *ctx);

/* The same over one end of a link (inproc.h), which is taken over from success on. */
int peer_open_inproc(struct peer *p, struct reactor *r, struct inproc_link *link, int end,
                     const struct wire_limits *limits, const struct peer_events *events, void *ctx);

/* Ends the calls under way with `failure`, then closes. Safe to call twice, and from any event. */
void peer_close(struct peer *p, const struct failure *failure);

/* Ends the calls under way; the conversation itself goes on. */
void peer_fail_calls(struct peer *p, const struct failure *failure);

/* Declares what came from the other side malformed: as if it had been found on the wire. */
void peer_blame(struct peer *p, const char *why);

static inline struct buf *peer_out(struct peer *p)
{
    return &p->channel->out;
}

/*
 * Writing a request: begin, then append the params (one MessagePack array) to peer_out(), then, if
 * has_header, the header; then end. abort instead of end takes all of it back. What the params
 * refer to is loaded into p->loading meanwhile. The same goes for all that is begun and ended
 * below. method.at == NULL: by method_id. begin fails with TITAN_E_OVERLOADED when too much is
 * outstanding.
 */
struct draft {
    size_t frame_at;
    size_t values_at; /* of an item */
    uint32_t id;
};

int request_begin(struct peer *p, struct draft *d, uint32_t method_id, struct span method,
                  bool has_header, struct failure *why);
void request_abort(struct peer *p, struct draft *d);

/* From success on the call is under way. timeout_ms 0: no deadline. c == NULL: what the answer is
 * nobody wants to know, and there is no deadline. */
int request_end(struct peer *p, struct draft *d, struct call *c, uint32_t timeout_ms,
                struct failure *why);

/*
 * A call that streams.
 *
 * call_move: `to`, zeroed but for what it does when, takes its place; the stream has begun.
 * call_await_item: an item is waited for now, for timeout_ms at the most; then the call ends. False
 * when memory is out. call_give_credit: what came of the stream has been consumed; false, and
 * nothing happens, when it is more than that.
 */
void call_move(struct call *from, struct call *to);
bool call_await_item(struct call *c);
void call_await_nothing(struct call *c);
bool call_give_credit(struct call *c, uint32_t bytes);

/* Gives up waiting and tells the other side so. `done` is not called. */
void call_forget(struct call *c);

/* Tells the other side that the answer is no longer wanted, and goes on waiting for it. */
void call_withdraw(struct call *c);

/* Like call_forget, for a call whose owner wants to hear: `done` is called with `failure`. */
void call_cancel(struct call *c, const struct failure *failure);

/* Whether the call of this number was given up and is still not answered. */
bool peer_gave_up(const struct peer *p, uint32_t id);

/* Answers: begin, append the results array (or the error map) to peer_out(), end. */
int answer_begin(struct peer *p, struct draft *d, uint32_t id, bool is_error);
int answer_end(struct peer *p, struct draft *d, bool is_error);
void answer_abort(struct peer *p, struct draft *d);

/* An item: begin, append the values to peer_out(), end, which says how much credit they take.
 * answer_abort takes it back. An item without values begins the stream. item_send: with the cargo
 * that they came with, or NULL. */
int item_begin(struct peer *p, struct draft *d, uint32_t id);
int item_end(struct peer *p, struct draft *d, uint32_t *weight);
int item_send(struct peer *p, uint32_t id, struct span values, const struct cargo *cargo);

/* An error of Titan's own as it travels: {code=, message=}. False when memory is out. */
bool failure_write(struct buf *b, const struct failure *failure);

/* An answer that is one. */
int answer_failure(struct peer *p, uint32_t id, const struct failure *failure);

/* `params` is one whole MessagePack value, `cargo` what it refers to, or NULL. */
int peer_notify(struct peer *p, const char *method, struct span params);
int peer_notify_with(struct peer *p, const char *method, struct span params,
                     const struct cargo *cargo);

#endif
