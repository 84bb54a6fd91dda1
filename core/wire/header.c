#include "wire/header.h"

#include <string.h>

#include "wire/mp_read.h"
#include "wire/mp_write.h"

/* What most headers are: a map of one pair. */
static const char only_deadline[] = "\x81\xa8"
                                    "deadline";
#define ONLY_DEADLINE_LEN (sizeof only_deadline - 1)

/* ---- reading ---- */

struct pair {
    struct span key;
    struct span value; /* as it is encoded */
};

/* The pairs of a map one after the other; false at the end, and where it is malformed. */
struct pairs {
    struct mp_reader r;
    uint32_t left;
};

static struct pairs pairs_of(struct span bytes)
{
    struct pairs p = {{NULL, NULL}, 0};
    struct mp_token map;

    if (bytes.at != NULL) {
        p.r = (struct mp_reader){bytes.at, bytes.at + bytes.len};
        p.left = !mp_next(&p.r, &map) && map.type == MP_MAP ? map.n : 0;
    }
    return p;
}

static bool pairs_next(struct pairs *p, struct pair *pair)
{
    struct mp_token key;

    if (p->left == 0 || mp_next(&p->r, &key) || key.type != MP_STR) {
        return false;
    }
    pair->key = (struct span){key.bytes, key.n};
    pair->value.at = p->r.at;
    if (mp_skip(&p->r, MP_DEPTH_MAX)) {
        return false;
    }
    pair->value.len = (size_t)(p->r.at - pair->value.at);
    p->left--;
    return true;
}

static uint32_t as_deadline(struct span value)
{
    struct mp_reader r = {value.at, value.at + value.len};
    struct mp_token t;

    if (mp_next(&r, &t) || t.type != MP_INT || t.i < 0 || t.i > UINT32_MAX) {
        return 0;
    }
    return t.i == 0 ? 1 : (uint32_t)t.i; /* no time left is not "no deadline" */
}

static bool as_flag(struct span value)
{
    return value.len == 1 && *value.at == 0xc3;
}

static struct span as_text(struct span value)
{
    struct mp_reader r = {value.at, value.at + value.len};
    struct mp_token t;

    if (mp_next(&r, &t) || t.type != MP_STR) {
        return (struct span){NULL, 0};
    }
    return (struct span){t.bytes, t.n};
}

void header_read(struct span bytes, struct header *h)
{
    struct pairs pairs;
    struct pair pair;

    *h = (struct header){.service = {NULL, 0}};
    if (bytes.len > ONLY_DEADLINE_LEN && memcmp(bytes.at, only_deadline, ONLY_DEADLINE_LEN) == 0) {
        h->deadline_ms =
            as_deadline((struct span){bytes.at + ONLY_DEADLINE_LEN, bytes.len - ONLY_DEADLINE_LEN});
        return;
    }
    pairs = pairs_of(bytes);
    while (pairs_next(&pairs, &pair)) {
        if (span_is(pair.key, HEADER_SERVICE)) {
            h->service = as_text(pair.value);
        } else if (span_is(pair.key, HEADER_DEADLINE)) {
            h->deadline_ms = as_deadline(pair.value);
        } else if (span_is(pair.key, HEADER_CLAIMED)) {
            h->claimed = as_flag(pair.value);
        } else {
            h->has_more = true;
        }
    }
}

/* ---- writing ---- */

bool header_begin(struct buf *b, const char *service, uint32_t deadline_ms, uint32_t more_pairs)
{
    uint32_t pairs = more_pairs + (service != NULL) + (deadline_ms > 0);

    if (!mp_write_map(b, pairs)) {
        return false;
    }
    if (deadline_ms > 0 && !(mp_write_str(b, HEADER_DEADLINE, strlen(HEADER_DEADLINE)) &&
                             mp_write_int(b, deadline_ms))) {
        return false;
    }
    return service == NULL || (mp_write_str(b, HEADER_SERVICE, strlen(HEADER_SERVICE)) &&
                               mp_write_str(b, service, strlen(service)));
}

bool header_write_key(struct buf *b, struct span key, bool claimed)
{
    if (claimed &&
        !(mp_write_str(b, HEADER_CLAIMED, strlen(HEADER_CLAIMED)) && mp_write_bool(b, true))) {
        return false;
    }
    return mp_write_str(b, HEADER_KEY, strlen(HEADER_KEY)) && mp_write_str(b, key.at, key.len);
}

static bool is_passed_on(struct span key)
{
    return !span_is(key, HEADER_SERVICE) && !span_is(key, HEADER_DEADLINE) &&
           !span_is(key, HEADER_CLAIMED);
}

static uint32_t count_passed_on(struct span bytes)
{
    struct pairs pairs = pairs_of(bytes);
    struct pair pair;
    uint32_t count = 0;

    while (pairs_next(&pairs, &pair)) {
        count += is_passed_on(pair.key);
    }
    return count;
}

bool header_is_needed(struct span bytes, uint32_t deadline_ms)
{
    return deadline_ms > 0 || count_passed_on(bytes) > 0;
}

bool header_pass_on(struct buf *b, struct span bytes, uint32_t deadline_ms)
{
    struct pairs pairs = pairs_of(bytes);
    struct pair pair;

    if (!header_begin(b, NULL, deadline_ms, count_passed_on(bytes))) {
        return false;
    }
    while (pairs_next(&pairs, &pair)) {
        if (is_passed_on(pair.key) && !(mp_write_str(b, pair.key.at, pair.key.len) &&
                                        buf_append(b, pair.value.at, pair.value.len))) {
            return false;
        }
    }
    return true;
}
