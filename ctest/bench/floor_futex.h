/*
 * Two sides that wait for each other over memory that they share. Each has a word: who says
 * something to it adds one and wakes it.
 */
#ifndef TITAN_BENCH_FLOOR_FUTEX_H
#define TITAN_BENCH_FLOOR_FUTEX_H

#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "floor.h"

#define SPINS 4096 /* looks before the CPU is offered to others: the other side may need it */

/* On a cache line of its own. Zero at first. */
struct word {
    _Alignas(64) _Atomic(uint32_t) said;
};

enum waiting {
    WAIT_ASLEEP,
    WAIT_SPINNING, /* both sides: nobody is woken */
};

static inline void word_say(struct word *w, enum waiting how)
{
    atomic_fetch_add_explicit(&w->said, 1, memory_order_release);
    if (how == WAIT_ASLEEP) {
        syscall(SYS_futex, &w->said, FUTEX_WAKE, 1, NULL, NULL, 0);
    }
}

/* Returns when more than `heard` was said; how much. */
static inline uint32_t word_await(struct word *w, uint32_t heard, enum waiting how)
{
    uint32_t said;

    for (unsigned looks = 1;; looks++) {
        said = atomic_load_explicit(&w->said, memory_order_acquire);
        if (said != heard) {
            return said;
        }
        if (how == WAIT_ASLEEP) {
            syscall(SYS_futex, &w->said, FUTEX_WAIT, heard, NULL, NULL, 0);
        } else if (looks % SPINS == 0) {
            sched_yield();
        }
    }
}

#endif
