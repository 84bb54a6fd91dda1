#include "spawn/sched_queue.h"

#include <stdlib.h>

#define FIRST_SLOTS 256 /* a power of two */

/* ---- the run queue ---- */

static struct run_ring *new_ring(uint64_t slots)
{
    struct run_ring *ring = malloc(sizeof *ring + slots * sizeof ring->slots[0]);

    if (ring == NULL) {
        return NULL;
    }
    ring->smaller = NULL;
    ring->mask = slots - 1;
    for (uint64_t i = 0; i < slots; i++) {
        atomic_init(&ring->slots[i], NULL);
    }
    return ring;
}

bool run_queue_init(struct run_queue *q)
{
    struct run_ring *ring = new_ring(FIRST_SLOTS);

    atomic_init(&q->top, 0);
    atomic_init(&q->bottom, 0);
    atomic_init(&q->ring, ring);
    return ring != NULL;
}

void run_queue_free(struct run_queue *q)
{
    struct run_ring *ring = atomic_load_explicit(&q->ring, memory_order_relaxed);

    while (ring != NULL) {
        struct run_ring *smaller = ring->smaller;

        free(ring);
        ring = smaller;
    }
}

static struct run_ring *grow(struct run_queue *q, struct run_ring *ring, uint64_t top,
                             uint64_t bottom)
{
    struct run_ring *wider = new_ring((ring->mask + 1) * 2);

    if (wider == NULL) {
        return NULL;
    }
    for (uint64_t i = top; i != bottom; i++) {
        struct unit *u = atomic_load_explicit(&ring->slots[i & ring->mask], memory_order_relaxed);

        atomic_store_explicit(&wider->slots[i & wider->mask], u, memory_order_relaxed);
    }
    wider->smaller = ring;
    atomic_store_explicit(&q->ring, wider, memory_order_release);
    return wider;
}

uint64_t run_queue_push(struct run_queue *q, struct unit *u)
{
    uint64_t bottom = atomic_load_explicit(&q->bottom, memory_order_relaxed);
    uint64_t top = atomic_load_explicit(&q->top, memory_order_acquire);
    struct run_ring *ring = atomic_load_explicit(&q->ring, memory_order_relaxed);

    if (bottom - top > ring->mask && (ring = grow(q, ring, top, bottom)) == NULL) {
        return 0;
    }
    atomic_store_explicit(&ring->slots[bottom & ring->mask], u, memory_order_relaxed);
    atomic_store_explicit(&q->bottom, bottom + 1, memory_order_release);
    return bottom + 1 - top;
}

/* The ring is looked up after the bottom: it then has room for everything up to there. */
int run_queue_take(struct run_queue *q, struct unit **units, unsigned max, bool half)
{
    uint64_t top = atomic_load_explicit(&q->top, memory_order_acquire);
    uint64_t len = atomic_load_explicit(&q->bottom, memory_order_acquire) - top;
    struct run_ring *ring = atomic_load_explicit(&q->ring, memory_order_acquire);
    uint64_t count = half ? len - len / 2 : len;

    if (count > max) {
        count = max;
    }
    if (count == 0) {
        return 0;
    }
    for (uint64_t i = 0; i < count; i++) {
        units[i] = atomic_load_explicit(&ring->slots[(top + i) & ring->mask], memory_order_relaxed);
    }
    return atomic_compare_exchange_strong_explicit(&q->top, &top, top + count, memory_order_acq_rel,
                                                   memory_order_relaxed)
               ? (int)count
               : -1;
}

/* ---- the inbox ---- */

bool inbox_push(struct inbox *box, struct unit *u)
{
    struct unit *last = atomic_load_explicit(&box->last, memory_order_relaxed);

    do {
        u->next = last;
    } while (!atomic_compare_exchange_weak_explicit(&box->last, &last, u, memory_order_seq_cst,
                                                    memory_order_relaxed));
    return last != NULL;
}

struct unit *inbox_take(struct inbox *box)
{
    struct unit *u = atomic_exchange_explicit(&box->last, NULL, memory_order_acq_rel);
    struct unit *first = NULL;

    while (u != NULL) {
        struct unit *before = u->next;

        u->next = first;
        first = u;
        u = before;
    }
    return first;
}
