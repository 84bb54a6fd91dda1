/*
 * The transport between threads of one process: each direction is a pipe of buffers that are handed
 * over as they are, without a copy and without a lock.
 *
 * A pipe has one sender and one receiver. The sender pushes a turn's bytes as one segment and posts
 * the pipe in the receiver's mailbox unless it is posted already. At the most ROOM_LEN bytes wait
 * in a pipe (and one segment more): then the sender keeps what it writes, as if a kernel had no
 * room, and is told when there is room again, or that nobody reads any more.
 *
 * Each end belongs to the thread that opened its channel. What both see is in the link, which is
 * freed by the last of: two ends, posts that are still in a mailbox.
 */
#include <stdlib.h>
#include <string.h>

#include "titan.h"
#include "transport/inproc.h"

#define ROOM_LEN ((size_t)512 * 1024)
#define SPARE_LEN ((size_t)64 * 1024) /* the largest buffer kept for what is sent next */

struct segment {
    struct segment *next;
    struct buf bytes;
    struct buf memory; /* of struct shm *: what goes along with them, in order */
};

struct pipe {
    struct inproc_link *link;
    int sender;           /* its end */
    struct post arrived;  /* to the receiver */
    struct post has_room; /* to the sender */
    atomic_bool arrived_posted;
    atomic_bool room_posted;
    atomic_bool starved; /* the sender waits for room */
    atomic_bool ended;   /* the sender is gone: nothing follows the segments */
    atomic_bool refused; /* the receiver is gone */
    _Atomic(struct segment *) newest;
    _Atomic size_t waiting_len;
};

struct inproc_channel {
    struct channel base;
    struct inproc_link *link;
    int number; /* of this end */
    struct pipe *in, *out;
    struct mailbox *other;
    struct buf attached;   /* of struct shm *: along with what is written, */
    struct buf arrived;    /* and with what has come */
    struct segment *spare; /* for what is sent next */
    struct flusher look;   /* at what had come before this channel was opened, or waited paused */
    bool blocked;          /* waits for room */
    bool stopped;          /* the reactor was paused: there may be whole frames in base.in */
    bool lost;             /* the owner knows */
    bool closed;
    bool busy; /* in a callback of the owner: memory stays until it returns */
};

struct inproc_link {
    atomic_uint holders;
    struct pipe pipes[2];          /* [i] is what end i sends */
    struct mailbox *mail[2];       /* of the owner of end i */
    struct inproc_channel *end[2]; /* touched by their own threads alone */
};

static struct inproc_channel *inproc_of(struct channel *c)
{
    return list_entry(c, struct inproc_channel, base);
}

/* ---- the link ---- */

static void memory_free(struct buf *memory)
{
    while (buf_len(memory) > 0) {
        struct shm *s;

        memcpy((void *)&s, buf_front(memory), sizeof s); // NOLINT(bugprone-sizeof-expression)
        shm_unref(&s);
        buf_consume(memory, sizeof s); // NOLINT(bugprone-sizeof-expression)
    }
    buf_free(memory);
}

static void segments_free(struct segment *s)
{
    while (s != NULL) {
        struct segment *next = s->next;

        memory_free(&s->memory);
        buf_free(&s->bytes);
        free(s);
        s = next;
    }
}

static void link_release(struct inproc_link *l)
{
    if (atomic_fetch_sub_explicit(&l->holders, 1, memory_order_acq_rel) > 1) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        segments_free(atomic_load_explicit(&l->pipes[i].newest, memory_order_relaxed));
        mailbox_release(l->mail[i]);
    }
    free(l);
}

/* A post holds the link while it is in a mailbox. */
static void post(struct inproc_link *l, struct mailbox *to, struct post *p, atomic_bool *posted)
{
    if (!atomic_exchange_explicit(posted, true, memory_order_acq_rel)) {
        atomic_fetch_add_explicit(&l->holders, 1, memory_order_relaxed);
        if (!mailbox_post(to, p)) {
            /* Never the last: the caller's end holds it, too. */
            atomic_fetch_sub_explicit(&l->holders, 1, memory_order_release);
        }
    }
}

/* ---- sending ---- */

/* An empty segment, with memory if one was kept. */
static struct segment *take_spare(struct inproc_channel *c)
{
    struct segment *s = c->spare;

    c->spare = NULL;
    return s != NULL ? s : calloc(1, sizeof *s);
}

static void push(struct pipe *p, struct segment *s)
{
    struct segment *newest = atomic_load_explicit(&p->newest, memory_order_relaxed);

    atomic_fetch_add_explicit(&p->waiting_len, buf_len(&s->bytes), memory_order_relaxed);
    do {
        s->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&p->newest, &newest, s, memory_order_release,
                                                    memory_order_relaxed));
}

static bool has_room(struct pipe *p)
{
    return atomic_load(&p->waiting_len) < ROOM_LEN;
}

/* Sequentially consistent against `taken`: either there is room now, or the receiver sees that
 * somebody waits for it. */
static bool blocks(struct pipe *p)
{
    if (has_room(p)) {
        return false;
    }
    atomic_store(&p->starved, true);
    return !has_room(p);
}

/* The written buffer goes, an empty one takes its place. */
static bool hand_over(struct inproc_channel *c)
{
    struct segment *s = take_spare(c);
    struct buf empty;

    if (s == NULL) {
        return false;
    }
    empty = s->bytes;
    s->bytes = c->base.out;
    c->base.out = empty;
    s->memory = c->attached;
    c->attached = (struct buf){0};
    push(c->out, s);
    post(c->link, c->other, &c->out->arrived, &c->out->arrived_posted);
    return true;
}

static bool is_refused(const struct inproc_channel *c)
{
    return atomic_load_explicit(&c->out->refused, memory_order_relaxed);
}

static bool is_paused(const struct inproc_channel *c)
{
    return c->blocked && c->base.read_pause_len > 0 &&
           buf_len(&c->base.out) > c->base.read_pause_len;
}

/* Nobody posts when there is memory again: then the next turn tries. */
static bool sent_all(struct inproc_channel *c, bool at_any_price)
{
    if (!at_any_price && blocks(c->out)) {
        return false;
    }
    if (!hand_over(c)) {
        channel_written(&c->base);
        return false;
    }
    return true;
}

/* What came in during a pause was posted once: it is looked at when the pause is over. */
static void send_waiting(struct inproc_channel *c, bool at_any_price)
{
    struct buf *out = &c->base.out;
    bool was_paused = is_paused(c);

    if (is_refused(c)) {
        buf_free(out);
    }
    c->blocked = buf_len(out) > 0 && !sent_all(c, at_any_price);
    if (was_paused && !is_paused(c)) {
        reactor_flush_later(c->base.reactor, &c->look);
    }
    if (c->base.when_room != NULL && buf_len(out) < c->base.room_len) {
        reactor_flush_later(c->base.reactor, c->base.when_room);
        c->base.when_room = NULL;
    }
}

static void flush(struct flusher *f)
{
    send_waiting(inproc_of(list_entry(f, struct channel, flusher)), false);
}

/* ---- receiving ---- */

static struct segment *take_all(struct pipe *p)
{
    struct segment *newest = atomic_exchange_explicit(&p->newest, NULL, memory_order_acquire);
    struct segment *oldest = NULL;

    while (newest != NULL) {
        struct segment *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static void taken(struct inproc_channel *c, size_t len)
{
    atomic_fetch_sub(&c->in->waiting_len, len);
    if (atomic_load(&c->in->starved) && has_room(c->in) &&
        atomic_exchange(&c->in->starved, false)) {
        post(c->link, c->other, &c->in->has_room, &c->in->room_posted);
    }
}

/* What is sent next goes in the memory of what came last, if that is not large. */
static void keep_spare(struct inproc_channel *c, struct segment *s)
{
    s->next = NULL; /* it has a life of its own from here on */
    if (c->closed || c->spare != NULL || s->bytes.cap > SPARE_LEN) {
        segments_free(s);
        return;
    }
    s->bytes.start = 0;
    s->bytes.end = 0;
    c->spare = s;
}

static void tidy(struct buf *b)
{
    if (buf_len(b) == 0) {
        buf_free(b);
    }
}

void inproc_tidy(struct channel *channel)
{
    struct inproc_channel *c = inproc_of(channel);

    segments_free(c->spare);
    c->spare = NULL;
    tidy(&channel->in);
    tidy(&channel->out);
}

static void channel_free(struct inproc_channel *c)
{
    struct inproc_link *l = c->link;

    buf_free(&c->base.in);
    buf_free(&c->base.out);
    memory_free(&c->attached);
    memory_free(&c->arrived);
    segments_free(c->spare);
    free(c);
    link_release(l);
}

/* The owner may close the channel in either callback. */
static void lose(struct inproc_channel *c, int error)
{
    c->lost = true;
    reactor_unhold(c->base.reactor);
    c->base.events->lost(c->base.ctx, error);
}

static void deliver_kept(struct inproc_channel *c)
{
    struct buf *kept = &c->base.in;

    buf_consume(kept, c->base.events->bytes(c->base.ctx, buf_front(kept), buf_len(kept)));
}

/* The bytes of a segment; a frame whose rest is in the next one waits for it. */
static void deliver(struct inproc_channel *c, struct segment *s)
{
    struct buf *kept = &c->base.in;
    size_t len = buf_len(&s->bytes);

    if (buf_len(&s->memory) > 0) {
        if (!buf_append(&c->arrived, buf_front(&s->memory), buf_len(&s->memory))) {
            lose(c, ENOMEM);
            segments_free(s);
            return;
        }
        buf_free(&s->memory); /* the references have moved */
    }
    if (buf_len(kept) == 0) {
        buf_consume(&s->bytes, c->base.events->bytes(c->base.ctx, buf_front(&s->bytes), len));
    }
    if (!c->closed && buf_len(&s->bytes) > 0) {
        bool fresh = buf_len(kept) == 0;

        if (!buf_append(kept, buf_front(&s->bytes), buf_len(&s->bytes))) {
            lose(c, ENOMEM);
        } else if (!fresh) {
            deliver_kept(c);
        }
    }
    taken(c, len);
    keep_spare(c, s);
}

static void deliver_all(struct inproc_channel *c)
{
    bool ended = atomic_load_explicit(&c->in->ended, memory_order_acquire);
    struct segment *s = take_all(c->in);

    if (c->stopped) {
        c->stopped = false;
        deliver_kept(c);
    }
    while (s != NULL && !c->closed && !c->lost) {
        struct segment *next = s->next;

        deliver(c, s);
        s = next;
    }
    segments_free(s);
    if (ended && !c->closed && !c->lost && !c->base.reactor->paused) {
        lose(c, 0);
    }
}

/* Not in a callback of the owner: what came after the bytes he has would overtake them. */
static void receive(struct inproc_channel *c)
{
    if (c->busy || c->lost || is_paused(c)) {
        return;
    }
    c->busy = true;
    if (!c->base.reactor->paused) {
        deliver_all(c);
    }
    c->busy = false;
    if (c->closed) {
        channel_free(c);
    } else if (c->base.reactor->paused) {
        c->stopped = true;
        reactor_flush_later(c->base.reactor, &c->look);
    }
}

static void look(struct flusher *f)
{
    receive(list_entry(f, struct inproc_channel, look));
}

/* ---- the posts ---- */

/* First of all it may be posted again: what is pushed from here on is either seen below or posted.
 */
static void not_posted(atomic_bool *posted)
{
    (void)atomic_exchange_explicit(posted, false, memory_order_acq_rel);
}

static void deliver_arrived(struct post *post)
{
    struct pipe *p = list_entry(post, struct pipe, arrived);
    struct inproc_link *l = p->link;
    struct inproc_channel *c = l->end[1 - p->sender];

    not_posted(&p->arrived_posted);
    if (c != NULL) {
        if (c->blocked && is_refused(c)) {
            send_waiting(c, false); /* there will be no post about room */
        }
        receive(c);
    }
    link_release(l);
}

static void deliver_room(struct post *post)
{
    struct pipe *p = list_entry(post, struct pipe, has_room);
    struct inproc_link *l = p->link;
    struct inproc_channel *c = l->end[p->sender];

    not_posted(&p->room_posted);
    if (c != NULL) {
        send_waiting(c, false);
    }
    link_release(l);
}

/* ---- channel.h ---- */

static void inproc_drain(struct channel *c)
{
    receive(inproc_of(c));
}

static void inproc_finish(struct channel *c)
{
    flusher_cancel(&c->flusher);
    send_waiting(inproc_of(c), true);
}

/* The other end hears of it; what it sends from here on is dropped by itself. */
static void leave(struct inproc_link *l, int end)
{
    atomic_store_explicit(&l->pipes[1 - end].refused, true, memory_order_relaxed);
    atomic_store_explicit(&l->pipes[end].ended, true, memory_order_release);
    post(l, l->mail[1 - end], &l->pipes[end].arrived, &l->pipes[end].arrived_posted);
}

static void inproc_close(struct channel *base)
{
    struct inproc_channel *c = inproc_of(base);

    flusher_cancel(&base->flusher);
    flusher_cancel(&c->look);
    if (!c->lost) {
        reactor_unhold(base->reactor);
    }
    c->closed = true;
    c->link->end[c->number] = NULL;
    leave(c->link, c->number);
    if (!c->busy) {
        channel_free(c);
    }
}

/* A reference each: nothing is copied, and no descriptor is sent. */
static bool inproc_attach(struct channel *base, size_t at, struct shm *const *memory,
                          unsigned count)
{
    struct inproc_channel *c = inproc_of(base);
    size_t len = count * sizeof(void *);

    (void)at;
    if (!buf_append(&c->attached, memory, len)) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        (void)shm_ref(memory[i]);
    }
    return true;
}

static int inproc_detach(struct channel *base, struct shm **memory, unsigned count)
{
    struct inproc_channel *c = inproc_of(base);
    size_t len = count * sizeof(void *);

    if (buf_len(&c->arrived) < len) {
        return TITAN_E_PROTOCOL_ERROR;
    }
    memcpy(memory, buf_front(&c->arrived), len);
    buf_consume(&c->arrived, len);
    return TITAN_OK;
}

struct channel *channel_inproc(struct inproc_link *l, int end, struct reactor *r,
                               const struct channel_events *events, void *ctx)
{
    static const struct channel_ops ops = {"inproc",     inproc_drain,  inproc_finish,
                                           inproc_close, inproc_attach, inproc_detach};
    struct inproc_channel *c = calloc(1, sizeof *c);

    if (c == NULL) {
        return NULL;
    }
    c->base.ops = &ops;
    c->base.events = events;
    c->base.ctx = ctx;
    c->base.reactor = r;
    c->link = l;
    c->number = end;
    c->in = &l->pipes[1 - end];
    c->out = &l->pipes[end];
    c->other = l->mail[1 - end];
    flusher_init(&c->base.flusher, flush);
    flusher_init(&c->look, look);
    l->end[end] = c;
    reactor_hold(r);
    reactor_flush_later(r, &c->look);
    return &c->base;
}

bool inproc_has_room(const struct channel *c)
{
    const struct inproc_channel *i = list_entry(c, const struct inproc_channel, base);

    return is_refused(i) || has_room(i->out);
}

/* ---- life ---- */

struct inproc_link *inproc_new(struct mailbox *a, struct mailbox *b)
{
    struct inproc_link *l = calloc(1, sizeof *l);

    if (l == NULL) {
        return NULL;
    }
    atomic_init(&l->holders, 2);
    l->mail[0] = mailbox_hold(a);
    l->mail[1] = mailbox_hold(b);
    for (int i = 0; i < 2; i++) {
        l->pipes[i].link = l;
        l->pipes[i].sender = i;
        l->pipes[i].arrived.deliver = deliver_arrived;
        l->pipes[i].has_room.deliver = deliver_room;
    }
    return l;
}

void inproc_abandon(struct inproc_link *l, int end)
{
    leave(l, end);
    link_release(l);
}
