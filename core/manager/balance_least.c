/*
 * The strategies that look for the least of something: a tree of winners (Knuth, The Art of
 * Computer Programming 3, 5.4.1). Its leaves are the slots, empty where a seat is closed; each
 * inner node names the better of its two children, so that the root is the seat to pick. Against a
 * heap: the order has three parts, and a seat that changes costs one comparison a level.
 */
#include <stdlib.h>
#include <string.h>

#include "manager/balance_parts.h"

#define STRIDE_OF_ONE (1u << 20) /* the stride of weight 1 */
#define PENALTY 10.0             /* what failing always costs, in additional latencies */

/* Also right when passes have wrapped around: those of open seats are close to each other. */
static bool before(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) < 0;
}

/* Costs are not negative, so their bits are ordered as they are, and before() can tell them. */
static uint64_t rank_of(double cost)
{
    uint64_t bits;

    memcpy(&bits, &cost, sizeof bits);
    return bits;
}

static struct seat *better(struct seat *a, struct seat *b)
{
    if (a == NULL || b == NULL) {
        return a != NULL ? a : b;
    }
    if (a->rank != b->rank) {
        return before(a->rank, b->rank) ? a : b;
    }
    if (a->in_flight != b->in_flight) {
        return a->in_flight < b->in_flight ? a : b;
    }
    return a->picked <= b->picked ? a : b;
}

/* ---- the tree: winners[1] is the root, winners[cap + slot] a leaf ---- */

static void replay(struct seat **winners, size_t node)
{
    for (; node > 0; node /= 2) {
        winners[node] = better(winners[2 * node], winners[2 * node + 1]);
    }
}

static void set_leaf(struct balancer *b, uint32_t slot, struct seat *s)
{
    size_t leaf = (size_t)b->cap + slot;

    b->of.winners[leaf] = s;
    replay(b->of.winners, leaf / 2);
}

static bool least_grow(struct balancer *b, uint32_t cap)
{
    struct seat **winners = calloc(2 * (size_t)cap, sizeof(struct seat *));

    if (winners == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < b->len; i++) {
        winners[cap + i] = b->of.winners[b->cap + i];
    }
    for (size_t node = cap - 1; node > 0; node--) {
        winners[node] = better(winners[2 * node], winners[2 * node + 1]);
    }
    free(b->of.winners);
    b->of.winners = winners;
    return true;
}

static void least_free(struct balancer *b)
{
    free(b->of.winners);
}

static void least_moved(struct balancer *b, struct seat *s, uint32_t from)
{
    set_leaf(b, from, NULL);
    set_leaf(b, s->slot, s->open ? s : NULL);
}

static void rank(const struct balancer *b, struct seat *s)
{
    if (b->kind->cost != NULL) {
        s->rank = rank_of(b->kind->cost(b, s));
    }
}

static void least_opened(struct balancer *b, struct seat *s)
{
    rank(b, s);
    set_leaf(b, s->slot, s);
}

static void least_closed(struct balancer *b, struct seat *s)
{
    set_leaf(b, s->slot, NULL);
}

static void least_changed(struct balancer *b, struct seat *s)
{
    if (s->open) {
        least_opened(b, s);
    }
}

static struct seat *least_pick(struct balancer *b, uint64_t key)
{
    (void)key;
    return b->of.winners[1];
}

/* ---- costs ---- */

static double connections(const struct balancer *b, const struct seat *s)
{
    (void)b;
    return s->in_flight;
}

static double work(const struct balancer *b, const struct seat *s)
{
    return balance_expected_ns(b, s) * s->in_flight;
}

static double adapted(const struct balancer *b, const struct seat *s)
{
    return balance_response_ns(b, s) * (1 + PENALTY * s->failing) / s->weight;
}

/* ---- strides ---- */

static void stride_opened(struct balancer *b, struct seat *s)
{
    if (before(s->rank, b->pass)) {
        s->rank = b->pass;
    }
    set_leaf(b, s->slot, s);
}

static void stride_changed(struct balancer *b, struct seat *s)
{
    if (s->open) {
        set_leaf(b, s->slot, s);
    }
}

static struct seat *stride_pick(struct balancer *b, uint64_t key)
{
    struct seat *s = b->of.winners[1];
    uint32_t weight = s->weight < STRIDE_OF_ONE ? s->weight : STRIDE_OF_ONE;

    (void)key;
    b->pass = s->rank;
    s->rank += (STRIDE_OF_ONE + weight / 2) / weight;
    return s;
}

/* ---- the kinds ---- */

#define A_TREE_OF_WINNERS                                                                          \
    .grow = least_grow, .free = least_free, .moved = least_moved, .closed = least_closed

const struct balance_kind balance_least_connections = {
    .name = "least_connections",
    A_TREE_OF_WINNERS,
    .opened = least_opened,
    .changed = least_changed,
    .pick = least_pick,
    .cost = connections,
};

const struct balance_kind balance_least_loaded = {
    .name = "least_loaded",
    A_TREE_OF_WINNERS,
    .opened = least_opened,
    .changed = least_changed,
    .pick = least_pick,
    .cost = work,
};

const struct balance_kind balance_least_response_time = {
    .name = "least_response_time",
    A_TREE_OF_WINNERS,
    .opened = least_opened,
    .changed = least_changed,
    .pick = least_pick,
    .cost = balance_response_ns,
    .by_latency = true,
};

const struct balance_kind balance_adaptive = {
    .name = "adaptive",
    A_TREE_OF_WINNERS,
    .opened = least_opened,
    .changed = least_changed,
    .pick = least_pick,
    .cost = adapted,
    .by_latency = true,
};

const struct balance_kind balance_weighted_round_robin = {
    .name = "weighted_round_robin",
    A_TREE_OF_WINNERS,
    .opened = stride_opened,
    .changed = stride_changed,
    .pick = stride_pick,
};
