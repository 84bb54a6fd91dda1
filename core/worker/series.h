/*
 * What the methods of a class count and measure under names of their own: a part of the status page
 * (worker/status.h), so that the manager reads it without asking, also after the worker's death.
 *
 * A series is one name with one set of labels. Its key is text, in canonical form so that it can be
 * compared: `images.resized{format="png",region="eu"}`, labels sorted; who makes and reads it is
 * lua/titan/metric/key.lua, here it is bytes. Slots are handed out in order and never given back.
 *
 * One writer, the worker's thread. A slot is written before `used` tells of it, and only its
 * numbers change after that.
 */
#ifndef TITAN_WORKER_SERIES_H
#define TITAN_WORKER_SERIES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/histogram.h"

#define SERIES_SLOTS 256
#define SERIES_RESERVED 64 /* of them for series that take in what has no slot of its own */
#define SERIES_KEY 240     /* bytes of a key, with its end */
#define SERIES_NONE (-1)

enum series_kind { SERIES_COUNTER = 1, SERIES_HISTOGRAM = 2 };

struct series {
    _Atomic uint64_t count; /* counted, or recorded in the histogram */
    _Atomic uint32_t kind;
    uint32_t key_len;
    char key[SERIES_KEY];
};

/* Memory is there once it has been touched (worker/status.h): that of a slot when it is handed out,
 * that of its histogram when something is recorded. A reader looks no further than `used` and the
 * counts allow. */
struct series_area {
    struct series slots[SERIES_SLOTS];
    struct histogram histograms[SERIES_SLOTS]; /* by slot, in ns */
};

/* ---- for the worker ---- */

/* The slot of this kind and key, a fresh one if there is none yet. SERIES_NONE when the key is
 * empty or too long, or the slots are used up; those that are reserved are for `reserved` alone.
 * Looks through all slots: whoever asks remembers the answer. */
int series_slot(struct series_area *area, _Atomic uint32_t *used, enum series_kind kind,
                const char *key, size_t key_len, bool reserved);

/* Only the worker writes, so a load and a store make a sum. `slot` is below SERIES_SLOTS. */
static inline void series_add(struct series_area *area, uint32_t slot, uint64_t n)
{
    _Atomic uint64_t *count = &area->slots[slot].count;
    uint64_t before = atomic_load_explicit(count, memory_order_relaxed);

    atomic_store_explicit(count, before + n, memory_order_relaxed);
}

static inline void series_record(struct series_area *area, uint32_t slot, uint64_t ns)
{
    histogram_record(&area->histograms[slot], ns);
    series_add(area, slot, 1);
}

/* ---- for readers: the worker may have written anything ---- */

/* How many slots there are to look at, at most SERIES_SLOTS. */
uint32_t series_used(const _Atomic uint32_t *used);

/* A series as it was a moment ago. */
struct series_view {
    enum series_kind kind;
    uint64_t count;
    size_t key_len;
    char key[SERIES_KEY]; /* any bytes, with an end */
};

/* False for a slot that makes no sense. */
bool series_read(const struct series_area *area, uint32_t slot, struct series_view *view);

/* Adds what was recorded there to `sum`, if anything was. */
void series_add_recorded(const struct series_area *area, uint32_t slot, struct histogram_sum *sum);

#endif
