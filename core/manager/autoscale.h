/*
 * How many workers should a pool have? Decides only: no I/O, no timer, no allocation. The owner
 * takes a sample every so often and gives the pool the size that comes back.
 *
 * The algorithm is that of the Kubernetes Horizontal Pod Autoscaler ("Algorithm details" of its
 * documentation), made smaller:
 *
 *   - Each target that is set and measured gives a ratio, measured / target. The highest one
 *     counts: the pool needs ceil(workers * ratio) workers. Within a tenth of 1 it is on target.
 *     A pool with no call waiting or under way is idle, whatever else could not be measured. If
 *     nothing was measured, the pool stays as it is.
 *   - Up: at once to what it needs, but at most to the double, and not before up_cooldown_ms have
 *     passed since the last growth. The cooldown has to outlast the start of a worker and the
 *     sample's window, or the same load is answered twice.
 *   - Down: by one, when the pool was larger than needed in every sample of the last
 *     down_cooldown_ms. That is the HPA's stabilization (the highest recommendation of a window
 *     counts) for steps of one; each step, and anybody else's growth of the pool, begins the window
 *     anew. Load that comes and goes within a window thus never makes the size come and go.
 *   - Never below what the calls under way need (`busy`, with its default if it is not set): an
 *     empty queue in front of workers that are all busy is no reason to let one go.
 *   - memory_len is a ceiling, not a target. More workers make none of them smaller, so a ratio
 *     would grow without end. max * memory_len is what the pool may have altogether: it does not
 *     grow to a size at which workers as large as those it has would exceed that. It does not
 * shrink for memory either: that is for a worker's own memory_limit.
 *
 * Latency is proportional to the number of workers only while calls wait for one another. If a
 * method is slow by itself, a latency target ends at max; set it together with max, and with busy
 * or cpu, which keep a pool that has become fast from shrinking until it is slow again.
 */
#ifndef TITAN_MANAGER_AUTOSCALE_H
#define TITAN_MANAGER_AUTOSCALE_H

#include <stdbool.h>
#include <stdint.h>

#define AUTOSCALE_BUSY 0.8 /* the default of busy; holds a pool's size, never grows it */

/* Targets: 0 is not set. */
struct autoscale_policy {
    uint32_t min, max;        /* min 0 is taken for 1, a max below min for min */
    uint32_t max_concurrency; /* calls a worker takes at once; 0: unlimited, busy says nothing */
    double queue;             /* calls waiting, per worker */
    double busy;              /* calls under way, as a share of what max_concurrency allows */
    double cpu;               /* mean share of a processor per worker, 0 to 1 */
    double latency_ms;        /* the 95th percentile */
    uint64_t memory_len;      /* bytes of PSS per worker: the ceiling is max times that */
    uint32_t up_cooldown_ms, down_cooldown_ms;
};

/* What was measured since the last sample, or just now. */
struct autoscale_sample {
    uint64_t now_ms;
    uint32_t workers;    /* those that start count, those that are on their way out do not */
    uint32_t queued;     /* calls that wait for a worker */
    uint32_t in_flight;  /* calls that a worker has */
    double cpu;          /* mean per worker; NAN: not measured, 0: measured, and idle */
    double p95_ms;       /* NAN or 0: not measured */
    uint64_t memory_len; /* mean PSS per worker; 0: not measured */
};

/* Zeroed memory is a pool about which nothing has been decided. */
struct autoscale {
    uint64_t grown_ms;
    uint64_t larger_since_ms;
    uint32_t size; /* the last decision */
    bool has_grown;
    bool larger; /* than needed, in every sample since larger_since_ms */
};

/*
 * `reason` is a constant, never NULL. If the size changes, what changed it: "queue", "busy", "cpu"
 * or "latency" for growth, "idle" for shrinking, "min" or "max" when the pool was beyond them
 * (which is put right at once, without regard to cooldowns and without starting one). If it does
 * not, what keeps it: "steady", "cooldown", "memory", "min" or "max".
 */
struct autoscale_decision {
    uint32_t size; /* min <= size <= max */
    const char *reason;
};

struct autoscale_decision autoscale_decide(const struct autoscale_policy *p, struct autoscale *a,
                                           const struct autoscale_sample *s);

#endif
