/*
 * weighted: a tree of partial sums (Fenwick, A New Data Structure for Cumulative Frequency Tables,
 * 1994) of the open seats' weights by slot. sums[1..cap] cover all slots that there is room for, so
 * that joining and leaving change nothing in it; sums[cap] is the sum of all.
 */
#include <stdlib.h>
#include <string.h>

#include "manager/balance_parts.h"

/* Twice the room: the new half is empty, and the new last sum is the old one. */
static bool sums_grow(struct balancer *b, uint32_t cap)
{
    uint64_t *sums = realloc(b->of.sums, ((size_t)cap + 1) * sizeof(uint64_t));

    if (sums == NULL) {
        return false;
    }
    b->of.sums = sums;
    if (b->cap == 0) {
        memset(sums, 0, ((size_t)cap + 1) * sizeof(uint64_t));
    } else {
        memset(sums + b->cap + 1, 0, (size_t)(cap - b->cap) * sizeof(uint64_t));
        sums[cap] = sums[b->cap];
    }
    return true;
}

static void sums_free(struct balancer *b)
{
    free(b->of.sums);
}

/* What is subtracted is the complement: unsigned numbers wrap. */
static void add(struct balancer *b, uint32_t slot, uint64_t weight)
{
    for (uint64_t i = (uint64_t)slot + 1; i <= b->cap; i += i & (~i + 1)) {
        b->of.sums[i] += weight;
    }
}

static void sums_moved(struct balancer *b, struct seat *s, uint32_t from)
{
    if (s->open) {
        add(b, from, -(uint64_t)s->weight);
        add(b, s->slot, s->weight);
    }
}

static void sums_opened(struct balancer *b, struct seat *s)
{
    add(b, s->slot, s->weight);
}

static void sums_closed(struct balancer *b, struct seat *s)
{
    add(b, s->slot, -(uint64_t)s->weight);
}

/* The seat over which the point lies when the open ones are laid end to end, each as long as its
 * weight. */
static struct seat *at_point(const struct balancer *b, uint64_t point)
{
    uint32_t slot = 0;

    for (uint32_t step = b->cap / 2; step > 0; step /= 2) {
        if (b->of.sums[slot + step] <= point) {
            slot += step;
            point -= b->of.sums[slot];
        }
    }
    return b->seats[slot];
}

static struct seat *sums_pick(struct balancer *b, uint64_t key)
{
    (void)key;
    return at_point(b, random_next(b->random) % b->of.sums[b->cap]);
}

const struct balance_kind balance_weighted = {
    .name = "weighted",
    .grow = sums_grow,
    .free = sums_free,
    .moved = sums_moved,
    .opened = sums_opened,
    .closed = sums_closed,
    .pick = sums_pick,
};
