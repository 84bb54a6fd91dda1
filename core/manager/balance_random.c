/* random, power_of_two and latency: b->seats has the open seats in front, so that one of them is
 * drawn in O(1). */
#include "manager/balance_parts.h"

static void put(struct balancer *b, uint32_t slot, struct seat *s)
{
    b->seats[slot] = s;
    s->slot = slot;
}

/* Swaps the seat with the one at the border between open and closed. */
static void to_border(struct balancer *b, struct seat *s)
{
    struct seat *other = b->seats[b->open];

    put(b, s->slot, other);
    put(b, b->open, s);
}

static struct seat *random_pick(struct balancer *b, uint64_t key)
{
    (void)key;
    return b->seats[random_below(b->random, b->open)];
}

/* Of two different ones; of equals the first, which is as random as the second. */
static struct seat *cheaper_pick(struct balancer *b, uint64_t key)
{
    uint32_t i = random_below(b->random, b->open);
    uint32_t j;

    (void)key;
    if (b->open == 1) {
        return b->seats[0];
    }
    j = random_below(b->random, b->open - 1);
    j += j >= i;
    return b->kind->cost(b, b->seats[j]) < b->kind->cost(b, b->seats[i]) ? b->seats[j]
                                                                         : b->seats[i];
}

static double in_flight(const struct balancer *b, const struct seat *s)
{
    (void)b;
    return s->in_flight;
}

const struct balance_kind balance_random = {
    .name = "random",
    .opened = to_border,
    .closed = to_border,
    .pick = random_pick,
};

const struct balance_kind balance_power_of_two = {
    .name = "power_of_two",
    .opened = to_border,
    .closed = to_border,
    .pick = cheaper_pick,
    .cost = in_flight,
};

const struct balance_kind balance_latency = {
    .name = "latency",
    .opened = to_border,
    .closed = to_border,
    .pick = cheaper_pick,
    .cost = balance_response_ns,
    .by_latency = true,
    .by_peak = true,
};
