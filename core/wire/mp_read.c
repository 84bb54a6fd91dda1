#include "wire/mp_read.h"

#include <string.h>

static const char truncated[] = "truncated value";

static uint64_t read_be(const uint8_t *at, size_t len)
{
    uint64_t v = 0;

    for (size_t i = 0; i < len; i++) {
        v = v << 8 | at[i];
    }
    return v;
}

/* Takes `len` bytes of a big-endian number; false when they are not all there. */
static bool take_be(struct mp_reader *r, size_t len, uint64_t *v)
{
    if ((size_t)(r->end - r->at) < len) {
        return false;
    }
    *v = read_be(r->at, len);
    r->at += len;
    return true;
}

static const char *take_bytes(struct mp_reader *r, struct mp_token *t, enum mp_type type,
                              uint64_t len)
{
    if ((uint64_t)(r->end - r->at) < len) {
        return truncated;
    }
    t->type = type;
    t->n = (uint32_t)len;
    t->bytes = r->at;
    r->at += len;
    return NULL;
}

static const char *take_count(struct mp_reader *r, struct mp_token *t, enum mp_type type,
                              uint64_t n)
{
    uint64_t least = type == MP_MAP ? n * 2 : n; /* bytes that so many entries need at the least */

    if ((uint64_t)(r->end - r->at) < least) {
        return truncated;
    }
    t->type = type;
    t->n = (uint32_t)n;
    return NULL;
}

static const char *take_ext(struct mp_reader *r, struct mp_token *t, uint64_t len)
{
    uint64_t type;

    if (!take_be(r, 1, &type)) {
        return truncated;
    }
    t->i = (int8_t)type;
    return take_bytes(r, t, MP_EXT, len);
}

static const char *take_uint(struct mp_reader *r, struct mp_token *t, size_t width)
{
    uint64_t v;

    if (!take_be(r, width, &v)) {
        return truncated;
    }
    if (v > INT64_MAX) {
        t->type = MP_UINT;
        t->u = v;
    } else {
        t->type = MP_INT;
        t->i = (int64_t)v;
    }
    return NULL;
}

static const char *take_int(struct mp_reader *r, struct mp_token *t, size_t width)
{
    uint64_t v;
    unsigned shift = (unsigned)(64 - 8 * width);

    if (!take_be(r, width, &v)) {
        return truncated;
    }
    t->type = MP_INT;
    t->i = (int64_t)(v << shift) >> shift;
    return NULL;
}

static const char *take_float(struct mp_reader *r, struct mp_token *t, size_t width)
{
    uint64_t v;

    if (!take_be(r, width, &v)) {
        return truncated;
    }
    t->type = MP_DOUBLE;
    if (width == 4) {
        uint32_t bits = (uint32_t)v;
        float f;

        memcpy(&f, &bits, sizeof f);
        t->d = (double)f;
    } else {
        memcpy(&t->d, &v, sizeof t->d);
    }
    return NULL;
}

/* The tags whose length or count comes in the next `width` bytes. */
static const char *take_sized(struct mp_reader *r, struct mp_token *t, uint8_t tag)
{
    uint64_t n;
    size_t width;

    switch (tag) {
    case 0xc4: /* bin 8, 16, 32 */
    case 0xc5:
    case 0xc6:
        width = (size_t)1 << (tag - 0xc4);
        return take_be(r, width, &n) ? take_bytes(r, t, MP_STR, n) : truncated;
    case 0xc7: /* ext 8, 16, 32 */
    case 0xc8:
    case 0xc9:
        width = (size_t)1 << (tag - 0xc7);
        return take_be(r, width, &n) ? take_ext(r, t, n) : truncated;
    case 0xd9: /* str 8, 16, 32 */
    case 0xda:
    case 0xdb:
        width = (size_t)1 << (tag - 0xd9);
        return take_be(r, width, &n) ? take_bytes(r, t, MP_STR, n) : truncated;
    case 0xdc: /* array 16, 32 */
    case 0xdd:
        width = (size_t)2 << (tag - 0xdc);
        return take_be(r, width, &n) ? take_count(r, t, MP_ARRAY, n) : truncated;
    default: /* map 16, 32 */
        width = (size_t)2 << (tag - 0xde);
        return take_be(r, width, &n) ? take_count(r, t, MP_MAP, n) : truncated;
    }
}

/* The tags from 0xc0 to 0xdf. */
static const char *take_tagged(struct mp_reader *r, struct mp_token *t, uint8_t tag)
{
    switch (tag) {
    case 0xc0:
        t->type = MP_NIL;
        return NULL;
    case 0xc1:
        return "the tag 0xc1, which MessagePack never uses";
    case 0xc2:
    case 0xc3:
        t->type = MP_BOOL;
        t->i = tag & 1;
        return NULL;
    case 0xca:
    case 0xcb:
        return take_float(r, t, tag == 0xca ? 4 : 8);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return take_uint(r, t, (size_t)1 << (tag - 0xcc));
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return take_int(r, t, (size_t)1 << (tag - 0xd0));
    case 0xd4: /* fixext 1, 2, 4, 8, 16 */
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return take_ext(r, t, (uint64_t)1 << (tag - 0xd4));
    default:
        return take_sized(r, t, tag);
    }
}

const char *mp_next(struct mp_reader *r, struct mp_token *t)
{
    uint8_t tag;

    if (r->at == r->end) {
        return truncated;
    }
    tag = *r->at++;
    if (tag < 0x80) {
        t->type = MP_INT;
        t->i = tag;
        return NULL;
    }
    if (tag < 0x90) {
        return take_count(r, t, MP_MAP, tag & 0x0f);
    }
    if (tag < 0xa0) {
        return take_count(r, t, MP_ARRAY, tag & 0x0f);
    }
    if (tag < 0xc0) {
        return take_bytes(r, t, MP_STR, tag & 0x1f);
    }
    if (tag < 0xe0) {
        return take_tagged(r, t, tag);
    }
    t->type = MP_INT;
    t->i = (int8_t)tag;
    return NULL;
}

static bool any_ext(void *ctx, const struct mp_token *ext)
{
    (void)ctx;
    (void)ext;
    return true;
}

const char *mp_skip(struct mp_reader *r, unsigned depth)
{
    return mp_check(r, depth, any_ext, NULL);
}

const char *mp_check(struct mp_reader *r, unsigned depth,
                     bool (*is_known)(void *ctx, const struct mp_token *ext), void *ctx)
{
    uint64_t left[MP_DEPTH_MAX + 1]; /* values still to come at each level */
    unsigned level = 0;

    if (depth > MP_DEPTH_MAX) {
        depth = MP_DEPTH_MAX;
    }
    left[0] = 1;
    for (;;) {
        struct mp_token t;
        const char *wrong;

        while (left[level] == 0) {
            if (level == 0) {
                return NULL;
            }
            level--;
        }
        left[level]--;
        wrong = mp_next(r, &t);
        if (wrong) {
            return wrong;
        }
        if (t.type == MP_EXT && (is_known == NULL || !is_known(ctx, &t))) {
            return "an extension type that this version does not know";
        }
        if (t.type == MP_ARRAY || t.type == MP_MAP) {
            if (level == depth) {
                return "nested too deeply";
            }
            left[++level] = t.type == MP_MAP ? (uint64_t)t.n * 2 : t.n;
        }
    }
}
