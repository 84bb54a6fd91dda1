/* Time. Monotonic for durations and deadlines, wall time for what people read. */
#ifndef TITAN_BASE_CLOCK_H
#define TITAN_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static inline uint64_t wall_ms(void)
{
    return clock_ns(CLOCK_REALTIME) / 1000000u;
}

/* In a loop that waits for another thread: the other half of the processor may have the rest. */
static inline void spin_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
