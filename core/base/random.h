/* Random numbers from a state that lives inside its owner: no global state, and a test that chooses
 * the seed knows what comes. SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
 * Generators, OOPSLA 2014). Not for secrets. */
#ifndef TITAN_BASE_RANDOM_H
#define TITAN_BASE_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state; /* the seed; any value will do */
};

/* Also a good hash of one number: mixes all bits of x into all bits of the result. */
static inline uint64_t random_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t random_next(struct random *r)
{
    r->state += 0x9e3779b97f4a7c15u;
    return random_mix(r->state);
}

/* One of 0 .. n-1; n must not be 0. Lemire, Fast Random Integer Generation in an Interval (2019),
 * without its correction: the bias is below n / 2^32. */
static inline uint32_t random_below(struct random *r, uint32_t n)
{
    return (uint32_t)(((random_next(r) >> 32) * n) >> 32);
}

/* From 0 up to, and without, 1. */
static inline double random_unit(struct random *r)
{
    return (double)(random_next(r) >> 11) * 0x1p-53;
}

#endif
