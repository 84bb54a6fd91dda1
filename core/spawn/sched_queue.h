/*
 * The two queues of a thread: the run queue, which its owner adds to, and the inbox, which everyone
 * adds to. From both everyone takes.
 */
#ifndef TITAN_SPAWN_SCHED_QUEUE_H
#define TITAN_SPAWN_SCHED_QUEUE_H

#include <stdalign.h>
#include <stdatomic.h>

#include "spawn/sched.h"

#define CACHE_LINE 64

/*
 * The deque of Chase and Lev (Dynamic Circular Work-Stealing Deque, 2005; for weak memory models:
 * Lê, Pop, Cohen, Nardelli, 2013), without its owner's end: the owner, too, takes from the top, so
 * that units come out in the order in which they went in. So nobody but the owner changes the
 * bottom, and whoever moves the top by compare-and-swap has what lay between. No fence is needed:
 * a slot is used again only once the top is beyond it, and then the swap of who had read it fails.
 */
struct run_ring {
    struct run_ring *smaller; /* kept, since somebody may still read it */
    uint64_t mask;
    _Atomic(struct unit *) slots[];
};

struct run_queue {
    alignas(CACHE_LINE) _Atomic(uint64_t) top;
    alignas(CACHE_LINE) _Atomic(uint64_t) bottom;
    _Atomic(struct run_ring *) ring;
};

bool run_queue_init(struct run_queue *q); /* false when memory is out */
void run_queue_free(struct run_queue *q);

/* The owner's. How many there are now; 0 when it is full and memory is out. An empty queue is not
 * full. */
uint64_t run_queue_push(struct run_queue *q, struct unit *u);

/* Takes the first ones, at most `max` and unless `half` is false half of all, rounded up. Returns
 * how many; -1 when somebody else was faster: what `units` then holds is not the caller's. */
int run_queue_take(struct run_queue *q, struct unit **units, unsigned max, bool half);

static inline uint64_t run_queue_len(const struct run_queue *q)
{
    uint64_t top = atomic_load_explicit(&q->top, memory_order_acquire);

    return atomic_load_explicit(&q->bottom, memory_order_acquire) - top;
}

/* A stack that is only ever taken as a whole (Treiber, 1986): nobody takes single ones, so none can
 * come back between a look and a swap. */
struct inbox {
    _Atomic(struct unit *) last;
};

/* Whether there was something in it. Sequentially consistent: who looks afterwards whether the
 * thread is asleep, while that one says so and then looks here, cannot both see nothing. */
bool inbox_push(struct inbox *box, struct unit *u);

/* All there is, linked by `next`, the first that came first. */
struct unit *inbox_take(struct inbox *box);

static inline bool inbox_empty(const struct inbox *box)
{
    return atomic_load_explicit(&box->last, memory_order_seq_cst) == NULL;
}

#endif
