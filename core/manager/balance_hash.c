/*
 * consistent_hash and ip_hash: points in the order of their hashes, and the set of those whose seat
 * is open, so that the next open one is found without a walk over closed ones. Opening or closing a
 * seat touches its points, a fixed number of bits.
 *
 * Joining and leaving only note that the points are out of date; the next pick puts them in order
 * in O(points). So a pool that starts or reloads pays once for many.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bitset.h"
#include "manager/balance_parts.h"

#define POINTS_EACH 128 /* the shares of seats then differ by about 1/sqrt(128) */
#define GOLDEN 0x9e3779b97f4a7c15u
#define NO_POINT UINT32_MAX

struct point {
    uint64_t at; /* on a ring of 2^64 */
    uint32_t slot;
    uint32_t next; /* another of the same seat, or NO_POINT */
};

struct balance_places {
    struct point *points;
    uint32_t *marks; /* consistent_hash: the first point of each of `len` equal arcs of the ring.
                        ip_hash: the first point of each identity */
    struct bitset open;
    uint32_t len, marks_len;
    bool stale; /* only seat.open is up to date */
};

static bool places_grow(struct balancer *b, uint32_t cap)
{
    struct balance_places *p = b->of.places;
    size_t len = (size_t)cap * b->kind->points;
    void *grown;

    if (len >= NO_POINT) {
        return false;
    }
    if (p == NULL && (p = b->of.places = calloc(1, sizeof *p)) == NULL) {
        return false;
    }
    if ((grown = realloc(p->points, len * sizeof *p->points)) == NULL) {
        return false;
    }
    p->points = grown;
    if ((grown = realloc(p->marks, len * sizeof *p->marks)) == NULL) {
        return false;
    }
    p->marks = grown;
    if (!bitset_reserve(&p->open, len)) {
        return false;
    }
    p->stale = true;
    return true;
}

static void places_free(struct balancer *b)
{
    struct balance_places *p = b->of.places;

    if (p != NULL) {
        free(p->points);
        free(p->marks);
        bitset_free(&p->open);
        free(p);
    }
}

static void places_members(struct balancer *b)
{
    b->of.places->stale = true;
}

/* ---- putting the points in order ---- */

/* The i-th hash of an identity. Different identities have different first ones. */
static uint64_t hash_of(uint64_t identity, uint32_t i)
{
    return random_mix(random_mix(identity) + (i + UINT64_C(1)) * GOLDEN);
}

/* Which of `len` equal arcs of the ring. */
static uint32_t arc_of(uint64_t at, uint32_t len)
{
    return (uint32_t)(((at >> 32) * len) >> 32);
}

/* Counts the points of each arc, then puts each into its arc's range: marks ends as the start of
 * the ranges. */
static void distribute(const struct balancer *b, struct balance_places *p)
{
    uint32_t sum = 0;

    memset(p->marks, 0, p->len * sizeof *p->marks);
    for (uint32_t slot = 0; slot < b->len; slot++) {
        for (uint32_t i = 0; i < b->kind->points; i++) {
            p->marks[arc_of(hash_of(b->seats[slot]->identity, i), p->len)]++;
        }
    }
    for (uint32_t arc = 0; arc < p->len; arc++) {
        p->marks[arc] = sum += p->marks[arc];
    }
    for (uint32_t slot = 0; slot < b->len; slot++) {
        for (uint32_t i = 0; i < b->kind->points; i++) {
            uint64_t at = hash_of(b->seats[slot]->identity, i);

            p->points[--p->marks[arc_of(at, p->len)]] = (struct point){.at = at, .slot = slot};
        }
    }
}

/* By insertion: hashes are spread evenly, so few have company in their arc. */
static void sort(struct balance_places *p)
{
    for (uint32_t i = 1; i < p->len; i++) {
        struct point moving = p->points[i];
        uint32_t to = i;

        for (; to > 0 && p->points[to - 1].at > moving.at; to--) {
            p->points[to] = p->points[to - 1];
        }
        p->points[to] = moving;
    }
}

static void link_points(const struct balancer *b, struct balance_places *p)
{
    bitset_clear(&p->open);
    for (uint32_t slot = 0; slot < b->len; slot++) {
        b->seats[slot]->point = NO_POINT;
    }
    for (uint32_t i = 0; i < p->len; i++) {
        struct seat *s = b->seats[p->points[i].slot];

        p->points[i].next = s->point;
        s->point = i;
        if (s->open) {
            bitset_add(&p->open, i);
        }
    }
}

/* Seats of the same identity stand side by side and share a mark. There is at least one seat. */
static void mark_identities(struct balance_places *p)
{
    p->marks[0] = 0;
    p->marks_len = 1;
    for (uint32_t i = 1; i < p->len; i++) {
        if (p->points[i].at != p->points[i - 1].at) {
            p->marks[p->marks_len++] = i;
        }
    }
}

static struct balance_places *in_order(struct balancer *b)
{
    struct balance_places *p = b->of.places;

    if (p->stale) {
        p->len = b->len * b->kind->points;
        p->marks_len = p->len;
        distribute(b, p);
        sort(p);
        link_points(b, p);
        if (b->kind == &balance_ip_hash) {
            mark_identities(p);
        }
        p->stale = false;
    }
    return p;
}

/* ---- opening, closing, picking ---- */

static void places_opened(struct balancer *b, struct seat *s)
{
    struct balance_places *p = b->of.places;

    for (uint32_t i = p->stale ? NO_POINT : s->point; i != NO_POINT; i = p->points[i].next) {
        bitset_add(&p->open, i);
    }
}

static void places_closed(struct balancer *b, struct seat *s)
{
    struct balance_places *p = b->of.places;

    for (uint32_t i = p->stale ? NO_POINT : s->point; i != NO_POINT; i = p->points[i].next) {
        bitset_remove(&p->open, i);
    }
}

static struct seat *open_from(const struct balancer *b, const struct balance_places *p,
                              uint32_t from)
{
    size_t i = bitset_next(&p->open, from);

    if (i == BITSET_NONE) {
        i = bitset_next(&p->open, 0);
    }
    return b->seats[p->points[i].slot];
}

static struct seat *consistent_pick(struct balancer *b, uint64_t key)
{
    const struct balance_places *p = in_order(b);
    uint64_t at = random_mix(key);
    uint32_t i = p->marks[arc_of(at, p->len)];

    while (i < p->len && p->points[i].at < at) {
        i++; /* ends with the arc at the latest */
    }
    return open_from(b, p, i);
}

static struct seat *modulo_pick(struct balancer *b, uint64_t key)
{
    const struct balance_places *p = in_order(b);

    return open_from(b, p, p->marks[random_mix(key) % p->marks_len]);
}

const struct balance_kind balance_consistent_hash = {
    .name = "consistent_hash",
    .grow = places_grow,
    .free = places_free,
    .members = places_members,
    .opened = places_opened,
    .closed = places_closed,
    .pick = consistent_pick,
    .points = POINTS_EACH,
};

const struct balance_kind balance_ip_hash = {
    .name = "ip_hash",
    .grow = places_grow,
    .free = places_free,
    .members = places_members,
    .opened = places_opened,
    .closed = places_closed,
    .pick = modulo_pick,
    .points = 1,
};
