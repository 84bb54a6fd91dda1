#include "rpc/cargo.h"

#include <stdlib.h>
#include <string.h>

#include "wire/mp_read.h"
#include "wire/mp_write.h"

#define FIRST_PIECES 4

static void let_go(struct cargo *c, struct piece *p)
{
    switch (p->kind) {
    case PIECE_BYTES:
        if (p->owned) {
            free((void *)p->at);
        }
        break;
    case PIECE_PLACED:
        lane_take_back(c->lane, p->offset);
        break;
    case PIECE_BLOCK:
        view_release(p->view, p->offset);
        break;
    case PIECE_MEMORY:
        shm_unref(&p->memory);
        break;
    case PIECE_MISSING:
        break;
    }
}

static void forget(struct cargo *c)
{
    c->len = 0;
    c->descriptors = 0;
    c->bytes = 0;
    c->missing = false;
}

void cargo_clear(struct cargo *c)
{
    for (uint32_t i = 0; i < c->len; i++) {
        let_go(c, &c->pieces[i]);
    }
    forget(c);
}

void cargo_free(struct cargo *c)
{
    cargo_clear(c);
    free(c->pieces);
    c->pieces = NULL;
    c->cap = 0;
}

/* ---- loading ---- */

/* Another piece, all zero; NULL when there are too many or memory is out. */
static struct piece *add(struct cargo *c)
{
    if (c->len == CARGO_MAX) {
        return NULL;
    }
    if (c->len == c->cap) {
        uint32_t cap = c->cap ? c->cap * 2 : FIRST_PIECES;
        struct piece *pieces = realloc(c->pieces, cap * sizeof *pieces);

        if (pieces == NULL) {
            return NULL;
        }
        c->pieces = pieces;
        c->cap = cap;
    }
    memset(&c->pieces[c->len], 0, sizeof *c->pieces);
    return &c->pieces[c->len++];
}

/* Lays it into the arena if there is room. */
static bool place(struct cargo *c, struct piece *p, const void *bytes, size_t len)
{
    int64_t offset = lane_place(c->lane, bytes, len);

    if (offset < 0) {
        return false;
    }
    p->kind = PIECE_PLACED;
    p->offset = (uint32_t)offset;
    p->len = (uint32_t)len;
    return true;
}

bool cargo_load_string(struct cargo *c, const void *bytes, size_t len, uint32_t *number)
{
    struct piece *p;

    if (c->lane == NULL || len > ARENA_LEN) {
        return false;
    }
    p = add(c);
    if (p == NULL) {
        return false;
    }
    if (!place(c, p, bytes, len)) {
        c->len--;
        return false;
    }
    c->bytes += len;
    *number = c->len - 1;
    return true;
}

int cargo_load_memory(struct cargo *c, struct shm *memory, uint32_t *number, struct failure *why)
{
    struct piece *p;

    if (c->lane != NULL && (c->lane->channel == NULL || !channel_carries(c->lane->channel))) {
        return fail(why, TITAN_E_VALIDATION_FAILED,
                    "shared memory cannot travel over this connection");
    }
    for (uint32_t i = 0; i < c->len; i++) {
        if (c->pieces[i].memory == memory) {
            *number = i;
            return TITAN_OK;
        }
    }
    if (c->descriptors == CHANNEL_SHM_MAX) {
        return fail(why, TITAN_E_LIMIT_EXCEEDED,
                    "a message can have %u different buffers at the most; slices of one count once",
                    CHANNEL_SHM_MAX);
    }
    p = add(c);
    if (p == NULL) {
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
    }
    p->kind = PIECE_MEMORY;
    p->memory = shm_ref(memory);
    c->descriptors++;
    *number = c->len - 1;
    return TITAN_OK;
}

/* As bytes where the arena is full. */
static bool load_copy(struct cargo *c, const struct piece *from)
{
    struct piece *p = add(c);

    if (p == NULL) {
        return false;
    }
    if (from->kind == PIECE_MEMORY) {
        p->kind = PIECE_MEMORY;
        p->memory = shm_ref(from->memory);
        c->descriptors++;
        return true;
    }
    if (from->len < CARGO_STRING_MIN || !place(c, p, from->at, from->len)) {
        *p = (struct piece){.kind = PIECE_BYTES, .at = from->at, .len = from->len};
    }
    c->bytes += from->len;
    return true;
}

int cargo_load_all(struct cargo *c, const struct cargo *from, struct failure *why)
{
    if (from != NULL && from->descriptors > 0 && !channel_carries(c->lane->channel)) {
        return fail(why, TITAN_E_VALIDATION_FAILED,
                    "shared memory cannot travel over this connection");
    }
    for (uint32_t i = 0; from != NULL && i < from->len; i++) {
        if (!load_copy(c, &from->pieces[i])) {
            return fail(why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
        }
    }
    return TITAN_OK;
}

/* ---- sending ---- */

static bool write_piece(struct buf *b, const struct piece *p)
{
    switch (p->kind) {
    case PIECE_PLACED:
        return mp_write_array(b, 2) && mp_write_int(b, p->offset) && mp_write_int(b, p->len);
    case PIECE_BYTES:
        return mp_write_str(b, p->at, p->len);
    default:
        return mp_write_nil(b);
    }
}

static bool write_pieces(const struct cargo *c, struct buf *b)
{
    size_t at;

    if (!frame_open(b, &at) || !message_write_cargo(b) || !mp_write_array(b, c->len)) {
        return false;
    }
    for (uint32_t i = 0; i < c->len; i++) {
        if (!write_piece(b, &c->pieces[i])) {
            return false;
        }
    }
    return frame_close(b, at, UINT32_MAX);
}

static bool insert(struct buf *out, size_t at, const struct buf *head)
{
    size_t tail = buf_len(out) - at;
    uint8_t *from;

    if (buf_room(out, buf_len(head)) == NULL) {
        return false;
    }
    from = buf_front(out) + at;
    memmove(from + buf_len(head), from, tail);
    memcpy(from, buf_front(head), buf_len(head));
    buf_wrote(out, buf_len(head));
    return true;
}

static bool insert_arena(struct lane *l, size_t *frame_at)
{
    struct buf *out = &l->channel->out;
    struct buf head = {0};
    size_t at;
    bool ok = frame_open(&head, &at) && message_write_arena(&head) &&
              frame_close(&head, at, UINT32_MAX) &&
              channel_attach(l->channel, *frame_at, &l->ours->memory, 1);

    /* From here on it must be written, since its memory is on its way. */
    if (ok && !insert(out, *frame_at, &head)) {
        buf_truncate(out, *frame_at);
        ok = buf_append(out, buf_front(&head), buf_len(&head));
    }
    l->announced |= ok;
    *frame_at += ok ? buf_len(&head) : 0;
    buf_free(&head);
    return ok;
}

static bool attach_memory(const struct cargo *c, size_t at)
{
    struct shm *memory[CHANNEL_SHM_MAX];
    unsigned count = 0;

    for (uint32_t i = 0; i < c->len; i++) {
        if (c->pieces[i].kind == PIECE_MEMORY) {
            memory[count++] = c->pieces[i].memory;
        }
    }
    return count == 0 || channel_attach(c->lane->channel, at, memory, count);
}

static bool uses_arena(const struct cargo *c)
{
    for (uint32_t i = 0; i < c->len; i++) {
        if (c->pieces[i].kind == PIECE_PLACED) {
            return true;
        }
    }
    return false;
}

/* Its blocks are the receiver's now, and the channel holds the memory. */
static void forget_sent(struct cargo *c)
{
    for (uint32_t i = 0; i < c->len; i++) {
        shm_unref(&c->pieces[i].memory);
    }
    forget(c);
}

bool cargo_send(struct cargo *c, size_t frame_at)
{
    struct lane *l = c->lane;
    struct buf *out = &l->channel->out;
    struct buf head = {0};
    bool ok = l->announced || !uses_arena(c) || insert_arena(l, &frame_at);

    ok = ok && write_pieces(c, &head) && buf_room(out, buf_len(&head)) != NULL &&
         attach_memory(c, frame_at);
    if (ok) {
        (void)insert(out, frame_at, &head); /* for which there is room */
        forget_sent(c);
    } else {
        buf_truncate(out, frame_at);
        cargo_clear(c);
    }
    buf_free(&head);
    return ok;
}

/* ---- what has arrived ---- */

/* No short ones: Lua reads those twice, for their hash, and they may change in between. */
static const char *read_block(struct cargo *c, struct mp_reader *r, struct piece *p)
{
    struct mp_token offset, len;
    const struct view *v = c->lane->theirs;
    const char *wrong = mp_next(r, &offset);

    if (!wrong) {
        wrong = mp_next(r, &len);
    }
    if (wrong) {
        return wrong;
    }
    if (offset.type != MP_INT || len.type != MP_INT || offset.i < 0 || offset.i > UINT32_MAX ||
        len.i < (int64_t)CARGO_STRING_MIN || len.i > UINT32_MAX) {
        return "a block that is not an offset and a length, or is short";
    }
    p->len = (uint32_t)len.i;
    if (v == NULL) {
        p->kind = PIECE_MISSING;
        return c->lane->theirs_missing ? NULL : "a block where no arena is";
    }
    if ((uint64_t)offset.i + (uint64_t)len.i > v->memory->len) {
        return "a block outside of its arena";
    }
    p->offset = (uint32_t)offset.i;
    p->at = shm_at(v->memory) + p->offset;
    p->view = c->lane->theirs;
    p->view->refs++;
    p->kind = PIECE_BLOCK;
    return NULL;
}

static const char *read_piece(struct cargo *c, struct mp_reader *r)
{
    struct piece *p = add(c);
    struct mp_token t;
    const char *wrong;

    if (p == NULL) {
        return "a cargo of too many pieces";
    }
    p->kind = PIECE_MISSING;
    wrong = mp_next(r, &t);
    if (!wrong && t.type == MP_ARRAY && t.n == 2) {
        wrong = read_block(c, r, p);
    } else if (!wrong && t.type == MP_STR) {
        p->kind = PIECE_BYTES;
        p->at = t.bytes;
        p->len = t.n;
    } else if (!wrong && t.type == MP_NIL) {
        p->kind = PIECE_MEMORY;
        c->descriptors++;
    } else if (!wrong) {
        wrong = "a piece of cargo that is none";
    }
    c->bytes += p->len;
    c->missing |= p->kind == PIECE_MISSING;
    return wrong;
}

/* The memory that came along, in the order of the pieces. */
static const char *take_memory(struct cargo *c)
{
    struct shm *memory[CHANNEL_SHM_MAX];
    struct channel *channel = c->lane->channel;
    unsigned n = 0;

    if (c->descriptors == 0) {
        return NULL;
    }
    if (c->descriptors > CHANNEL_SHM_MAX || !channel_carries(channel) ||
        channel_detach(channel, memory, c->descriptors) < 0) {
        return "a descriptor that is no memory which can be shared";
    }
    for (uint32_t i = 0; i < c->len; i++) {
        struct piece *p = &c->pieces[i];

        if (p->kind == PIECE_MEMORY) {
            p->memory = memory[n++];
            p->kind = p->memory != NULL ? PIECE_MEMORY : PIECE_MISSING;
            c->missing |= p->memory == NULL;
        }
    }
    return NULL;
}

int cargo_read(struct cargo *c, struct span pieces, size_t bytes_max, struct failure *why)
{
    struct mp_reader r = {pieces.at, pieces.at + pieces.len};
    struct mp_token list;
    const char *wrong = mp_next(&r, &list);

    if (!wrong && list.type != MP_ARRAY) {
        wrong = "a cargo that is no list";
    }
    for (uint32_t i = 0; !wrong && i < list.n; i++) {
        wrong = read_piece(c, &r);
    }
    if (!wrong && r.at != r.end) {
        wrong = "bytes after the end of a cargo";
    }
    if (!wrong && c->bytes > bytes_max) {
        wrong = "a message with its cargo is larger than a frame may be (limits.frame)";
    }
    if (!wrong) {
        wrong = take_memory(c);
    }
    return wrong ? fail(why, TITAN_E_PROTOCOL_ERROR, "%s", wrong) : TITAN_OK;
}

/* ---- references ---- */

static uint64_t get_be(const uint8_t *at, size_t len)
{
    uint64_t v = 0;

    for (size_t i = 0; i < len; i++) {
        v = v << 8 | at[i];
    }
    return v;
}

size_t cargo_refer(uint8_t *ext, uint32_t number)
{
    return (size_t)(mp_put_be32(ext, number) - ext);
}

size_t cargo_refer_part(uint8_t *ext, uint32_t number, size_t offset, size_t len)
{
    return (size_t)(mp_put_be64(mp_put_be64(mp_put_be32(ext, number), offset), len) - ext);
}

static struct piece *piece_of(const struct cargo *c, struct span ext, size_t ext_len)
{
    uint64_t number = c != NULL && ext.len == ext_len ? get_be(ext.at, 4) : UINT64_MAX;

    return c != NULL && number < c->len ? &c->pieces[number] : NULL;
}

const char *cargo_string(struct cargo *c, struct span ext, struct span *string)
{
    struct piece *p = piece_of(c, ext, 4);

    if (p == NULL || (p->kind != PIECE_BYTES && p->kind != PIECE_BLOCK)) {
        return "a reference to a string that did not come along";
    }
    if (p->used) {
        return "a string that is referred to twice";
    }
    p->used = true;
    if (p->kind == PIECE_BLOCK) {
        shm_prefault(p->view->memory, p->offset, p->len);
    }
    *string = (struct span){p->at, p->len};
    return NULL;
}

const char *cargo_memory(const struct cargo *c, struct span ext, struct memory_part *part)
{
    const struct piece *p = piece_of(c, ext, CARGO_REFERENCE_MAX);
    uint64_t offset, len;

    if (p == NULL || p->kind != PIECE_MEMORY) {
        return "a reference to memory that did not come along";
    }
    offset = get_be(ext.at + 4, 8);
    len = get_be(ext.at + 12, 8);
    if (offset > p->memory->len || len > p->memory->len - offset) {
        return "a part outside of its memory";
    }
    *part = (struct memory_part){p->memory, (size_t)offset, (size_t)len};
    return NULL;
}

static bool is_reference(void *ctx, const struct mp_token *t)
{
    struct span ext = {t->bytes, t->n};
    struct span string;
    struct memory_part part;

    if (t->i == WIRE_STRING) {
        return cargo_string(ctx, ext, &string) == NULL;
    }
    return t->i == WIRE_MEMORY && cargo_memory(ctx, ext, &part) == NULL;
}

bool cargo_fits(struct cargo *c, struct span values, unsigned nesting)
{
    struct mp_reader r = {values.at, values.at + values.len};
    bool ok = mp_check(&r, nesting, is_reference, c) == NULL && r.at == r.end;

    for (uint32_t i = 0; c != NULL && i < c->len; i++) {
        c->pieces[i].used = false;
    }
    return ok;
}

/* ---- keeping ---- */

static bool own_bytes(struct cargo *c)
{
    for (uint32_t i = 0; i < c->len; i++) {
        struct piece *p = &c->pieces[i];
        uint8_t *copy;

        if (p->kind != PIECE_BYTES || p->owned) {
            continue;
        }
        copy = malloc(p->len + 1);
        if (copy == NULL) {
            return false;
        }
        memcpy(copy, p->at, p->len);
        p->at = copy;
        p->owned = true;
    }
    return true;
}

bool cargo_keep(struct cargo *from, struct cargo *to)
{
    if (!own_bytes(from)) {
        return false;
    }
    *to = *from;
    from->pieces = NULL;
    from->cap = 0;
    forget(from);
    return true;
}
