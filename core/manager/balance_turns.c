/* round_robin: the open seats in a ring. */
#include "manager/balance_parts.h"

/* The first call, from balancer_open; there is never anything to allocate. */
static bool turns_grow(struct balancer *b, uint32_t cap)
{
    (void)cap;
    if (b->len == 0) {
        list_init(&b->of.turns);
    }
    return true;
}

static void turns_opened(struct balancer *b, struct seat *s)
{
    list_push(&b->of.turns, &s->turn);
}

static void turns_closed(struct balancer *b, struct seat *s)
{
    (void)b;
    list_remove(&s->turn);
}

static struct seat *turns_pick(struct balancer *b, uint64_t key)
{
    struct seat *s = list_entry(b->of.turns.next, struct seat, turn);

    (void)key;
    list_remove(&s->turn);
    list_push(&b->of.turns, &s->turn);
    return s;
}

const struct balance_kind balance_round_robin = {
    .name = "round_robin",
    .grow = turns_grow,
    .opened = turns_opened,
    .closed = turns_closed,
    .pick = turns_pick,
};
