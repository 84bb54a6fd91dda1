/*
 * How long things take: a log-linear histogram, as in HdrHistogram (Gil Tene, 2012,
 * https://hdrhistogram.org): each doubling of the time is cut into HISTOGRAM_STEPS buckets of the
 * same width, so that a bucket is narrow where times are short and recording is a few shifts.
 *
 * Times are taken in units of 128 ns. Below 8 units (1.024 us) a bucket is one unit wide; above, up
 * to 2^42 ns (73 minutes), a bucket is at most 1/8 as wide as the times in it. A longer time counts
 * as one of the last bucket. So a quantile is off by less than 128 ns or 1/8 (12.5 %) of the exact
 * one, whichever is more, and the mean is exact but for what was cut to 73 minutes.
 *
 * Two forms: `histogram` lies in a status page, has one writer, and may be read at any time: its
 * atomics are relaxed, so a reader may miss what is recorded at that moment, and whatever a broken
 * writer leaves there is only a wrong number. `histogram_sum` is a reader's own, and takes in as
 * many of those as it likes.
 */
#ifndef TITAN_WORKER_HISTOGRAM_H
#define TITAN_WORKER_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_STEP_BITS 3
#define HISTOGRAM_STEPS (1 << HISTOGRAM_STEP_BITS) /* buckets a doubling */
#define HISTOGRAM_UNIT_BITS 7                      /* a unit is 128 ns */
#define HISTOGRAM_TOP_BITS 42                      /* times end below 2^42 ns */
#define HISTOGRAM_BUCKETS                                                                          \
    ((HISTOGRAM_TOP_BITS - HISTOGRAM_UNIT_BITS - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS)

struct histogram {
    _Atomic uint64_t sum_ns;
    _Atomic uint32_t counts[HISTOGRAM_BUCKETS]; /* a full one stays at UINT32_MAX */
};

struct histogram_sum {
    uint64_t sum_ns;
    uint64_t counts[HISTOGRAM_BUCKETS];
};

/* A time, or the longest there is. */
static inline uint64_t histogram_cut(uint64_t ns)
{
    const uint64_t longest = ((uint64_t)1 << HISTOGRAM_TOP_BITS) - 1;

    return ns < longest ? ns : longest;
}

/* The bucket of a time: for one of a doubling the doubling's number and the three bits after its
 * first one; they follow each other without a gap. */
static inline uint32_t histogram_bucket(uint64_t ns)
{
    uint64_t units = histogram_cut(ns) >> HISTOGRAM_UNIT_BITS;
    uint32_t shift =
        63 - HISTOGRAM_STEP_BITS - (uint32_t)__builtin_clzll(units | (uint64_t)HISTOGRAM_STEPS);

    return (shift << HISTOGRAM_STEP_BITS) + (uint32_t)(units >> shift);
}

/* Where bucket number `i`, at most HISTOGRAM_BUCKETS, begins: where the one before it ends. */
uint64_t histogram_start_ns(uint32_t i);

/* For the one writer. */
static inline void histogram_record(struct histogram *h, uint64_t ns)
{
    _Atomic uint32_t *count = &h->counts[histogram_bucket(ns)];
    uint32_t before = atomic_load_explicit(count, memory_order_relaxed);
    uint64_t sum_ns = atomic_load_explicit(&h->sum_ns, memory_order_relaxed);

    atomic_store_explicit(count, before + (before != UINT32_MAX), memory_order_relaxed);
    atomic_store_explicit(&h->sum_ns, sum_ns + histogram_cut(ns), memory_order_relaxed);
}

/* ---- for readers ---- */

/* Adds what `h` has recorded so far to `sum`, which begins as all zeros. */
void histogram_add(struct histogram_sum *sum, const struct histogram *h);

uint64_t histogram_count(const struct histogram_sum *sum);

/* In ns; 0 when nothing was recorded. */
double histogram_mean(const struct histogram_sum *sum);

/* The time in ns that the share `q` (0 to 1) of all was not longer than, as if the times of a
 * bucket were spread over it evenly; never beyond the end of the last bucket with a time in it,
 * which is what q = 1 gives. 0 when nothing was recorded. */
double histogram_quantile(const struct histogram_sum *sum, double q);

#endif
