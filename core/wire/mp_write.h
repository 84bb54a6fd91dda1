/*
 * MessagePack, writing (https://github.com/msgpack/msgpack/blob/master/spec.md): each value in its
 * shortest form. Every function returns false when memory is out.
 */
#ifndef TITAN_WIRE_MP_WRITE_H
#define TITAN_WIRE_MP_WRITE_H

#include <string.h>

#include "base/buf.h"

#define MP_HEAD_MAX 9 /* the longest head: a tag and eight bytes */

static inline uint8_t *mp_put_be16(uint8_t *at, uint16_t v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
    return at + 2;
}

static inline uint8_t *mp_put_be32(uint8_t *at, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(at, &v, 4);
    return at + 4;
}

static inline uint8_t *mp_put_be64(uint8_t *at, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(at, &v, 8);
    return at + 8;
}

static inline uint8_t *mp_put_uint(uint8_t *at, uint64_t v)
{
    if (v < 0x80) {
        *at++ = (uint8_t)v;
    } else if (v <= UINT8_MAX) {
        *at++ = 0xcc;
        *at++ = (uint8_t)v;
    } else if (v <= UINT16_MAX) {
        *at++ = 0xcd;
        at = mp_put_be16(at, (uint16_t)v);
    } else if (v <= UINT32_MAX) {
        *at++ = 0xce;
        at = mp_put_be32(at, (uint32_t)v);
    } else {
        *at++ = 0xcf;
        at = mp_put_be64(at, v);
    }
    return at;
}

static inline uint8_t *mp_put_int(uint8_t *at, int64_t v)
{
    if (v >= 0) {
        return mp_put_uint(at, (uint64_t)v);
    }
    if (v >= -32) {
        *at++ = (uint8_t)v;
    } else if (v >= INT8_MIN) {
        *at++ = 0xd0;
        *at++ = (uint8_t)v;
    } else if (v >= INT16_MIN) {
        *at++ = 0xd1;
        at = mp_put_be16(at, (uint16_t)v);
    } else if (v >= INT32_MIN) {
        *at++ = 0xd2;
        at = mp_put_be32(at, (uint32_t)v);
    } else {
        *at++ = 0xd3;
        at = mp_put_be64(at, (uint64_t)v);
    }
    return at;
}

/* The head of an array (fix 0x90, wide 0xdc) or a map (fix 0x80, wide 0xde) of `n` entries. */
static inline uint8_t *mp_put_count(uint8_t *at, uint8_t fix, uint8_t wide, uint32_t n)
{
    if (n < 16) {
        *at++ = (uint8_t)(fix | n);
    } else if (n <= UINT16_MAX) {
        *at++ = wide;
        at = mp_put_be16(at, (uint16_t)n);
    } else {
        *at++ = (uint8_t)(wide + 1);
        at = mp_put_be32(at, n);
    }
    return at;
}

static inline uint8_t *mp_put_str_head(uint8_t *at, uint32_t len)
{
    if (len < 32) {
        *at++ = (uint8_t)(0xa0 | len);
    } else if (len <= UINT8_MAX) {
        *at++ = 0xd9;
        *at++ = (uint8_t)len;
    } else if (len <= UINT16_MAX) {
        *at++ = 0xda;
        at = mp_put_be16(at, (uint16_t)len);
    } else {
        *at++ = 0xdb;
        at = mp_put_be32(at, len);
    }
    return at;
}

static inline bool mp_write_byte(struct buf *b, uint8_t byte)
{
    uint8_t *at = buf_room(b, 1);

    if (at == NULL) {
        return false;
    }
    *at = byte;
    buf_wrote(b, 1);
    return true;
}

static inline bool mp_write_nil(struct buf *b)
{
    return mp_write_byte(b, 0xc0);
}

static inline bool mp_write_bool(struct buf *b, bool v)
{
    return mp_write_byte(b, v ? 0xc3 : 0xc2);
}

static inline bool mp_write_int(struct buf *b, int64_t v)
{
    uint8_t *at = buf_room(b, MP_HEAD_MAX);

    if (at == NULL) {
        return false;
    }
    buf_wrote(b, (size_t)(mp_put_int(at, v) - at));
    return true;
}

static inline bool mp_write_double(struct buf *b, double v)
{
    uint8_t *at = buf_room(b, MP_HEAD_MAX);
    uint64_t bits;

    if (at == NULL) {
        return false;
    }
    memcpy(&bits, &v, sizeof bits);
    *at = 0xcb;
    mp_put_be64(at + 1, bits);
    buf_wrote(b, MP_HEAD_MAX);
    return true;
}

/* `len` must be below 4 GiB. */
static inline bool mp_write_str(struct buf *b, const void *bytes, size_t len)
{
    uint8_t *at = buf_room(b, MP_HEAD_MAX + len);
    uint8_t *body;

    if (at == NULL) {
        return false;
    }
    body = mp_put_str_head(at, (uint32_t)len);
    if (len > 0) {
        memcpy(body, bytes, len);
    }
    buf_wrote(b, (size_t)(body - at) + len);
    return true;
}

/* `len` must be below 256. */
static inline bool mp_write_ext(struct buf *b, int8_t type, const void *bytes, size_t len)
{
    uint8_t *at = buf_room(b, 3 + len);

    if (at == NULL) {
        return false;
    }
    at[0] = 0xc7;
    at[1] = (uint8_t)len;
    at[2] = (uint8_t)type;
    memcpy(at + 3, bytes, len);
    buf_wrote(b, 3 + len);
    return true;
}

static inline bool mp_write_array(struct buf *b, uint32_t n)
{
    uint8_t *at = buf_room(b, MP_HEAD_MAX);

    if (at == NULL) {
        return false;
    }
    buf_wrote(b, (size_t)(mp_put_count(at, 0x90, 0xdc, n) - at));
    return true;
}

static inline bool mp_write_map(struct buf *b, uint32_t n)
{
    uint8_t *at = buf_room(b, MP_HEAD_MAX);

    if (at == NULL) {
        return false;
    }
    buf_wrote(b, (size_t)(mp_put_count(at, 0x80, 0xde, n) - at));
    return true;
}

#endif
