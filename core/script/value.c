#include "script/value.h"

#include <lauxlib.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script/buffer.h"
#include "wire/mp_read.h"
#include "wire/mp_write.h"

/* ---- encoding ---- */

struct encoder {
    lua_State *L;
    struct buf *b;
    unsigned nesting;
    size_t size_max;
    size_t from; /* where it begins in the buffer */
    struct failure *why;
    struct cargo *cargo;                /* NULL: everything is in the bytes */
    struct buf *entries;                /* NULL: maps as they come; else sorted, with its help */
    char path[160];                     /* to the value that cannot travel, built from its end */
    bool path_full;                     /* its beginning is missing */
    unsigned path_steps;                /* the path ends after so many, where a cycle closes */
    const void *open[MP_DEPTH_MAX + 1]; /* the tables around the current value */
};

static int encode_value(struct encoder *e, int index, unsigned depth);

static int out_of_memory(struct encoder *e)
{
    return fail(e->why, TITAN_E_LIMIT_EXCEEDED, "out of memory");
}

/* Puts a step before the path: ".name" or "[3]". A path that gets too long keeps its end, with
 * "..." before it. */
static void prepend(struct encoder *e, const char *step)
{
    size_t len = strlen(step);
    size_t old = strlen(e->path);

    if (e->path_full) {
        return;
    }
    if (len + old + strlen("...") >= sizeof e->path) {
        e->path_full = true;
        step = "...";
        len = strlen(step);
    }
    memmove(e->path + len, e->path, old + 1);
    memcpy(e->path, step, len);
}

/* The key at stack index `index`, in a table at that depth, as a step of the path. */
static void prepend_key(struct encoder *e, int index, unsigned depth)
{
    char step[64];

    if (depth >= e->path_steps) {
        return;
    }
    switch (lua_type(e->L, index)) {
    case LUA_TSTRING:
        snprintf(step, sizeof step, ".%.48s", lua_tostring(e->L, index));
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(e->L, index)) {
            snprintf(step, sizeof step, "[%lld]", (long long)lua_tointeger(e->L, index));
        } else {
            snprintf(step, sizeof step, "[%g]", (double)lua_tonumber(e->L, index));
        }
        break;
    default:
        snprintf(step, sizeof step, "[%s]", luaL_typename(e->L, index));
        break;
    }
    prepend(e, step);
}

/* Asked at every string and table: one that is referred to often is written as often, and a few
 * that refer to each other can make more than any memory holds. */
static int check_size(struct encoder *e)
{
    size_t beside = e->cargo != NULL ? e->cargo->bytes : 0;

    if (buf_len(e->b) - e->from + beside <= e->size_max) {
        return TITAN_OK;
    }
    return fail(e->why, TITAN_E_LIMIT_EXCEEDED,
                "up to here the message is larger than a frame may be (limits.frame = %zu bytes)",
                e->size_max);
}

static int encode_string(struct encoder *e, int index)
{
    size_t len;
    const char *bytes = lua_tolstring(e->L, index, &len);

    if (check_size(e) < 0) {
        return TITAN_E_LIMIT_EXCEEDED;
    }
    if (len > e->size_max) {
        return fail(e->why, TITAN_E_LIMIT_EXCEEDED,
                    "a string of %zu bytes, a message may have %zu (limits.frame)", len,
                    e->size_max);
    }
    if (len >= CARGO_STRING_MIN && e->cargo != NULL) {
        uint32_t number;

        if (cargo_load_string(e->cargo, bytes, len, &number)) {
            uint8_t ext[CARGO_REFERENCE_MAX];

            len = cargo_refer(ext, number);
            return mp_write_ext(e->b, WIRE_STRING, ext, len) ? TITAN_OK : out_of_memory(e);
        }
    }
    return mp_write_str(e->b, bytes, len) ? TITAN_OK : out_of_memory(e);
}

static int cannot_travel(struct encoder *e, int index)
{
    return fail(e->why, TITAN_E_VALIDATION_FAILED,
                "a %s cannot travel: only nil, booleans, numbers, strings, buffers and tables of "
                "these can",
                luaL_typename(e->L, index));
}

static int encode_buffer(struct encoder *e, const struct buffer *buffer)
{
    uint8_t ext[CARGO_REFERENCE_MAX];
    uint32_t number;
    size_t len;
    int code;

    if (buffer->memory == NULL) {
        return fail(e->why, TITAN_E_VALIDATION_FAILED, "a titan.buffer that has been released");
    }
    if (e->cargo == NULL) {
        return fail(e->why, TITAN_E_VALIDATION_FAILED,
                    "a titan.buffer is shared, not kept: take its bytes with buffer:read()");
    }
    code = cargo_load_memory(e->cargo, buffer->memory, &number, e->why);
    if (code < 0) {
        return code;
    }
    len = cargo_refer_part(ext, number, buffer->offset, buffer->len);
    return mp_write_ext(e->b, WIRE_MEMORY, ext, len) ? TITAN_OK : out_of_memory(e);
}

static int encode_number(struct encoder *e, int index)
{
    double d;

    if (lua_isinteger(e->L, index)) {
        return mp_write_int(e->b, (int64_t)lua_tointeger(e->L, index)) ? TITAN_OK
                                                                       : out_of_memory(e);
    }
    d = (double)lua_tonumber(e->L, index);
    if (e->entries != NULL && isnan(d)) {
        d = NAN; /* of which there are many */
    }
    return mp_write_double(e->b, d) ? TITAN_OK : out_of_memory(e);
}

static bool is_open(const struct encoder *e, const void *table, unsigned depth)
{
    for (unsigned i = 0; i < depth; i++) {
        if (e->open[i] == table) {
            return true;
        }
    }
    return false;
}

static int too_deep(struct encoder *e, const void *table, unsigned depth)
{
    e->open[depth] = table;
    for (unsigned i = 1; i <= depth; i++) {
        if (is_open(e, e->open[i], i)) {
            e->path_steps = i;
            return fail(e->why, TITAN_E_VALIDATION_FAILED,
                        "a table that contains itself: cycles cannot travel");
        }
    }
    return fail(e->why, TITAN_E_VALIDATION_FAILED,
                "tables nested more than %u deep (limits.nesting)", e->nesting);
}

struct shape {
    lua_Unsigned pairs;
    bool is_array;
};

/* Counts the pairs and finds out whether the keys are exactly 1..n. Looking first keeps the work
 * linear: to begin an array and to start anew as a map would double it at each level. */
static struct shape shape_of(lua_State *L, int table)
{
    lua_Unsigned n = lua_rawlen(L, table);
    struct shape s = {0, true};

    lua_pushnil(L);
    while (lua_next(L, table)) {
        lua_pop(L, 1);
        s.pairs++;
        if (s.is_array && (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1 ||
                           (lua_Unsigned)lua_tointeger(L, -1) > n)) {
            s.is_array = false;
        }
    }
    s.is_array = s.is_array && s.pairs == n;
    return s;
}

static int encode_array(struct encoder *e, int table, uint32_t n, unsigned depth)
{
    if (!mp_write_array(e->b, n)) {
        return out_of_memory(e);
    }
    for (uint32_t i = 1; i <= n; i++) {
        int code;

        lua_rawgeti(e->L, table, i);
        code = encode_value(e, lua_gettop(e->L), depth + 1);
        if (code < 0) {
            lua_pop(e->L, 1);
            lua_pushinteger(e->L, i);
            prepend_key(e, -1, depth);
        }
        lua_pop(e->L, 1);
        if (code < 0) {
            return code;
        }
    }
    return TITAN_OK;
}

static int encode_key(struct encoder *e, int index)
{
    switch (lua_type(e->L, index)) {
    case LUA_TSTRING:
        return encode_string(e, index);
    case LUA_TNUMBER:
        return encode_number(e, index);
    case LUA_TBOOLEAN:
        return mp_write_bool(e->b, lua_toboolean(e->L, index)) ? TITAN_OK : out_of_memory(e);
    default:
        return fail(e->why, TITAN_E_VALIDATION_FAILED, "a %s as a key cannot travel",
                    luaL_typename(e->L, index));
    }
}

/* Of a map that is to be sorted: where a key with its value begins, from the front of the buffer,
 * and how long they are. */
struct entry {
    size_t at, key_len, len;
};

/* No encoded key is the beginning of another, so the shorter length decides nothing. */
static int compare_entries(const void *left, const void *right, void *ctx)
{
    const struct entry *a = left;
    const struct entry *b = right;
    const uint8_t *bytes = ctx;

    return memcmp(bytes + a->at, bytes + b->at, a->key_len < b->key_len ? a->key_len : b->key_len);
}

/* Brings the last `n` entries into the order of their keys' bytes, and forgets them. */
static int sort_entries(struct encoder *e, uint32_t n)
{
    size_t left = buf_len(e->entries) - n * sizeof(struct entry);
    struct entry *entries = (struct entry *)(void *)(buf_front(e->entries) + left);
    size_t from = n > 0 ? entries[0].at : 0;
    size_t len = n > 0 ? buf_len(e->b) - from : 0;
    uint8_t *at;

    if (n > 1) {
        at = buf_room(e->b, len);
        if (at == NULL) {
            return out_of_memory(e);
        }
        memcpy(at, buf_front(e->b) + from, len);
        qsort_r(entries, n, sizeof *entries, compare_entries, buf_front(e->b));
        at = buf_front(e->b) + from;
        for (uint32_t i = 0; i < n; i++) {
            memcpy(at, buf_front(e->b) + entries[i].at + len, entries[i].len);
            at += entries[i].len;
        }
    }
    buf_truncate(e->entries, left);
    return TITAN_OK;
}

static int begin_entry(struct encoder *e)
{
    struct entry entry = {.at = buf_len(e->b)};

    return buf_append(e->entries, &entry, sizeof entry) ? TITAN_OK : out_of_memory(e);
}

/* The last one: those of the maps inside are gone by then. Growing may have moved it. */
static struct entry *entry_begun(struct encoder *e)
{
    return (struct entry *)(void *)(buf_front(e->entries) + buf_len(e->entries)) - 1;
}

static int encode_entry(struct encoder *e, int key, unsigned depth)
{
    int code;

    if (e->entries == NULL) {
        code = encode_key(e, key);
        return code == TITAN_OK ? encode_value(e, key + 1, depth + 1) : code;
    }
    code = begin_entry(e);
    if (code == TITAN_OK) {
        code = encode_key(e, key);
    }
    if (code == TITAN_OK) {
        entry_begun(e)->key_len = buf_len(e->b) - entry_begun(e)->at;
        code = encode_value(e, key + 1, depth + 1);
    }
    if (code == TITAN_OK) {
        entry_begun(e)->len = buf_len(e->b) - entry_begun(e)->at;
    }
    return code;
}

static int encode_map(struct encoder *e, int table, uint32_t n, unsigned depth)
{
    if (!mp_write_map(e->b, n)) {
        return out_of_memory(e);
    }
    lua_pushnil(e->L);
    while (lua_next(e->L, table)) {
        int value = lua_gettop(e->L);
        int code = encode_entry(e, value - 1, depth);

        if (code < 0) {
            prepend_key(e, value - 1, depth);
            lua_settop(e->L, value - 2);
            return code;
        }
        lua_settop(e->L, value - 1);
    }
    return e->entries != NULL ? sort_entries(e, n) : TITAN_OK;
}

static int encode_table(struct encoder *e, int index, unsigned depth)
{
    struct shape s;

    if (check_size(e) < 0) {
        return TITAN_E_LIMIT_EXCEEDED;
    }
    if (depth >= e->nesting) {
        return too_deep(e, lua_topointer(e->L, index), depth);
    }
    e->open[depth] = lua_topointer(e->L, index);
    if (!lua_checkstack(e->L, 4)) {
        return out_of_memory(e);
    }
    s = shape_of(e->L, index);
    if (s.pairs > e->size_max) {
        return fail(e->why, TITAN_E_LIMIT_EXCEEDED, "a table of %llu entries (limits.frame)",
                    (unsigned long long)s.pairs);
    }
    return s.is_array ? encode_array(e, index, (uint32_t)s.pairs, depth)
                      : encode_map(e, index, (uint32_t)s.pairs, depth);
}

static int encode_value(struct encoder *e, int index, unsigned depth)
{
    bool ok;

    switch (lua_type(e->L, index)) {
    case LUA_TNIL:
        ok = mp_write_nil(e->b);
        break;
    case LUA_TBOOLEAN:
        ok = mp_write_bool(e->b, lua_toboolean(e->L, index));
        break;
    case LUA_TNUMBER:
        return encode_number(e, index);
    case LUA_TSTRING:
        return encode_string(e, index);
    case LUA_TTABLE:
        return encode_table(e, index, depth);
    case LUA_TUSERDATA:
        if (buffer_test(e->L, index) != NULL) {
            return encode_buffer(e, buffer_test(e->L, index));
        }
        return cannot_travel(e, index);
    default:
        return cannot_travel(e, index);
    }
    return ok ? TITAN_OK : out_of_memory(e);
}

static void name_path(struct encoder *e, const char *what)
{
    char message[sizeof e->why->message];

    if (e->why != NULL) {
        snprintf(message, sizeof message, "%.60s%.160s: %.280s", what, e->path, e->why->message);
        memcpy(e->why->message, message, sizeof message);
    }
}

/* Without the parts that are only written when used: this runs for every message. */
static inline void encoder_init(struct encoder *e, lua_State *L, const struct wire_limits *limits,
                                struct buf *b, struct failure *why)
{
    e->L = L;
    e->b = b;
    e->nesting = limits->nesting;
    e->size_max = limits->frame;
    e->from = buf_len(b);
    e->why = why;
    e->cargo = NULL;
    e->entries = NULL;
    e->path[0] = '\0';
    e->path_full = false;
    e->path_steps = UINT_MAX;
}

static int encode_list(struct encoder *e, int first, int count, const char *what)
{
    if (!mp_write_array(e->b, (uint32_t)count)) {
        return out_of_memory(e);
    }
    for (int i = 0; i < count; i++) {
        int code = encode_value(e, first + i, 0);

        if (code < 0) {
            char name[64];

            snprintf(name, sizeof name, "%s %d", what, i + 1);
            name_path(e, name);
            return code;
        }
    }
    return TITAN_OK;
}

int value_encode_list(lua_State *L, int first, int count, const char *what,
                      const struct wire_limits *limits, struct buf *b, struct failure *why)
{
    struct encoder e;

    encoder_init(&e, L, limits, b, why);
    return encode_list(&e, first, count, what);
}

int value_encode_with(lua_State *L, int first, int count, const char *what,
                      const struct wire_limits *limits, struct buf *b, struct cargo *cargo,
                      struct failure *why)
{
    struct encoder e;

    encoder_init(&e, L, limits, b, why);
    e.cargo = cargo;
    return encode_list(&e, first, count, what);
}

int value_write_list(lua_State *L, int first, int count, const char *what, struct peer *peer,
                     struct failure *why)
{
    return value_encode_with(L, first, count, what, &peer->limits, peer_out(peer), &peer->loading,
                             why);
}

int value_encode_canonical(lua_State *L, int first, int count, const char *what,
                           const struct wire_limits *limits, struct buf *b, struct failure *why)
{
    struct buf entries = {0};
    struct encoder e;
    int code;

    encoder_init(&e, L, limits, b, why);
    e.entries = &entries;
    code = encode_list(&e, first, count, what);
    buf_free(&entries);
    return code;
}

int value_encode(lua_State *L, int index, const struct wire_limits *limits, struct buf *b,
                 struct failure *why)
{
    return value_encode_one_with(L, index, limits, b, NULL, why);
}

int value_encode_one_with(lua_State *L, int index, const struct wire_limits *limits, struct buf *b,
                          struct cargo *cargo, struct failure *why)
{
    struct encoder e;
    int code;

    encoder_init(&e, L, limits, b, why);
    e.cargo = cargo;
    code = encode_value(&e, lua_absindex(L, index), 0);
    if (code < 0) {
        name_path(&e, "value");
    }
    return code;
}

/* ---- decoding ---- */

#define PREALLOCATE_MAX 4096 /* a table grows to what really comes */

struct decoder {
    lua_State *L;
    struct mp_reader r;
    unsigned nesting;
    struct cargo *cargo; /* or NULL */
};

static const char *decode_value(struct decoder *d, unsigned depth);

static int preallocate(uint32_t n)
{
    return (int)(n < PREALLOCATE_MAX ? n : PREALLOCATE_MAX);
}

static const char *decode_array(struct decoder *d, uint32_t n, unsigned depth)
{
    bool holes = false;

    lua_createtable(d->L, preallocate(n), 0);
    for (uint32_t i = 1; i <= n; i++) {
        const char *wrong = decode_value(d, depth + 1);

        if (wrong) {
            return wrong;
        }
        holes = holes || lua_isnil(d->L, -1);
        lua_rawseti(d->L, -2, i);
    }
    if (holes) {
        lua_pushinteger(d->L, n);
        lua_setfield(d->L, -2, "n");
    }
    return NULL;
}

/* What a table may have as a key and encode_key may send. */
static bool is_key(lua_State *L, int index)
{
    switch (lua_type(L, index)) {
    case LUA_TNUMBER:
        return lua_isinteger(L, index) || !isnan(lua_tonumber(L, index));
    case LUA_TSTRING:
    case LUA_TBOOLEAN:
        return true;
    default:
        return false;
    }
}

static const char *decode_map(struct decoder *d, uint32_t n, unsigned depth)
{
    lua_createtable(d->L, 0, preallocate(n));
    for (uint32_t i = 0; i < n; i++) {
        const char *wrong = decode_value(d, depth + 1);

        if (wrong) {
            return wrong;
        }
        if (!is_key(d->L, -1)) {
            return "a map with a key that is nil, not a number, an array or a map";
        }
        wrong = decode_value(d, depth + 1);
        if (wrong) {
            return wrong;
        }
        lua_rawset(d->L, -3);
    }
    return NULL;
}

/* Copied once, straight from where it lies. */
static const char *decode_ext(struct decoder *d, const struct mp_token *t)
{
    struct span ext = {t->bytes, t->n};
    struct memory_part part;
    struct span string;
    const char *wrong;

    switch (t->i) {
    case WIRE_STRING:
        wrong = cargo_string(d->cargo, ext, &string);
        if (!wrong) {
            lua_pushlstring(d->L, (const char *)string.at, string.len);
        }
        return wrong;
    case WIRE_MEMORY:
        wrong = cargo_memory(d->cargo, ext, &part);
        if (!wrong) {
            luaL_checkstack(d->L, 4, "a buffer");
            buffer_push(d->L, part.memory, part.offset, part.len);
        }
        return wrong;
    default:
        return "an extension type that this version does not know";
    }
}

static const char *decode_value(struct decoder *d, unsigned depth)
{
    struct mp_token t;
    const char *wrong = mp_next(&d->r, &t);

    if (wrong) {
        return wrong;
    }
    switch (t.type) {
    case MP_NIL:
        lua_pushnil(d->L);
        return NULL;
    case MP_BOOL:
        lua_pushboolean(d->L, (int)t.i);
        return NULL;
    case MP_INT:
        lua_pushinteger(d->L, (lua_Integer)t.i);
        return NULL;
    case MP_UINT: /* Lua's integers end at 2^63 - 1 */
        lua_pushnumber(d->L, (lua_Number)t.u);
        return NULL;
    case MP_DOUBLE:
        lua_pushnumber(d->L, (lua_Number)t.d);
        return NULL;
    case MP_STR:
        lua_pushlstring(d->L, (const char *)t.bytes, t.n);
        return NULL;
    case MP_EXT:
        return decode_ext(d, &t);
    default:
        break;
    }
    if (depth >= d->nesting) {
        return "nested too deeply";
    }
    luaL_checkstack(d->L, 4, "a deeply nested value");
    return t.type == MP_ARRAY ? decode_array(d, t.n, depth) : decode_map(d, t.n, depth);
}

static int malformed(lua_State *L, int top, struct failure *why, const char *wrong)
{
    lua_settop(L, top);
    fail(why, TITAN_E_PROTOCOL_ERROR, "%s", wrong);
    return -1;
}

int value_decode_list(lua_State *L, struct span payload, unsigned nesting, struct failure *why)
{
    return value_decode_with(L, payload, nesting, NULL, why);
}

int value_read_list(lua_State *L, struct span payload, const struct peer *peer, struct failure *why)
{
    return value_decode_with(L, payload, peer->limits.nesting, peer->arrived, why);
}

int value_decode_with(lua_State *L, struct span payload, unsigned nesting, struct cargo *cargo,
                      struct failure *why)
{
    struct decoder d = {L, {payload.at, payload.at + payload.len}, nesting, cargo};
    int top = lua_gettop(L);
    struct mp_token t;
    const char *wrong = mp_next(&d.r, &t);

    if (!wrong && t.type != MP_ARRAY) {
        wrong = "something other than an array of values";
    }
    if (!wrong && (t.n > INT32_MAX || !lua_checkstack(L, (int)t.n + 4))) {
        wrong = "more values than a function can take";
    }
    for (uint32_t i = 0; !wrong && i < t.n; i++) {
        wrong = decode_value(&d, 0);
    }
    if (!wrong && d.r.at != d.r.end) {
        wrong = "bytes after the end of the values";
    }
    return wrong ? malformed(L, top, why, wrong) : (int)t.n;
}

int value_decode(lua_State *L, struct span payload, unsigned nesting, struct failure *why)
{
    return value_decode_one_with(L, payload, nesting, NULL, why);
}

int value_decode_one_with(lua_State *L, struct span payload, unsigned nesting, struct cargo *cargo,
                          struct failure *why)
{
    struct decoder d = {L, {payload.at, payload.at + payload.len}, nesting, cargo};
    int top = lua_gettop(L);
    const char *wrong = decode_value(&d, 0);

    if (!wrong && d.r.at != d.r.end) {
        wrong = "bytes after the end of the value";
    }
    return wrong ? malformed(L, top, why, wrong) : TITAN_OK;
}
