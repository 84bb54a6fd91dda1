#include "worker/histogram.h"

uint64_t histogram_start_ns(uint32_t i)
{
    uint32_t doubling = i >> HISTOGRAM_STEP_BITS;
    uint64_t step = i & (HISTOGRAM_STEPS - 1);

    /* The first two doublings have buckets of one unit. */
    if (doubling == 0) {
        return step << HISTOGRAM_UNIT_BITS;
    }
    return (step + HISTOGRAM_STEPS) << (HISTOGRAM_UNIT_BITS + doubling - 1);
}

void histogram_add(struct histogram_sum *sum, const struct histogram *h)
{
    sum->sum_ns += atomic_load_explicit(&h->sum_ns, memory_order_relaxed);
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        sum->counts[i] += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
    }
}

uint64_t histogram_count(const struct histogram_sum *sum)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        count += sum->counts[i];
    }
    return count;
}

double histogram_mean(const struct histogram_sum *sum)
{
    uint64_t count = histogram_count(sum);

    return count > 0 ? (double)sum->sum_ns / (double)count : 0.0;
}

/* The time at which `rank` of the times of bucket `i` have gone by. */
static double inside(const struct histogram_sum *sum, uint32_t i, double rank)
{
    double start = (double)histogram_start_ns(i);
    double end = (double)histogram_start_ns(i + 1);
    double share = rank / (double)sum->counts[i];

    return start + (end - start) * (share < 1.0 ? share : 1.0);
}

double histogram_quantile(const struct histogram_sum *sum, double q)
{
    double rank = (double)histogram_count(sum) * (q > 0.0 ? q : 0.0);
    uint32_t last = HISTOGRAM_BUCKETS;

    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (sum->counts[i] == 0) {
            continue;
        }
        if (rank <= (double)sum->counts[i]) {
            return inside(sum, i, rank);
        }
        rank -= (double)sum->counts[i];
        last = i;
    }
    return last < HISTOGRAM_BUCKETS ? (double)histogram_start_ns(last + 1) : 0.0;
}
