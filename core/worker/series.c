#include "worker/series.h"

#include <string.h>

static bool is_same(const struct series *s, enum series_kind kind, const char *key, size_t key_len)
{
    return atomic_load_explicit(&s->kind, memory_order_relaxed) == (uint32_t)kind &&
           s->key_len == key_len && memcmp(s->key, key, key_len) == 0;
}

static void fill(struct series *s, enum series_kind kind, const char *key, size_t key_len)
{
    atomic_store_explicit(&s->kind, (uint32_t)kind, memory_order_relaxed);
    s->key_len = (uint32_t)key_len;
    memcpy(s->key, key, key_len);
    s->key[key_len] = '\0';
}

int series_slot(struct series_area *area, _Atomic uint32_t *used, enum series_kind kind,
                const char *key, size_t key_len, bool reserved)
{
    uint32_t len = series_used(used);
    uint32_t room = reserved ? SERIES_SLOTS : SERIES_SLOTS - SERIES_RESERVED;

    if (key_len == 0 || key_len >= SERIES_KEY) {
        return SERIES_NONE;
    }
    for (uint32_t slot = 0; slot < len; slot++) {
        if (is_same(&area->slots[slot], kind, key, key_len)) {
            return (int)slot;
        }
    }
    if (len >= room) {
        return SERIES_NONE;
    }
    fill(&area->slots[len], kind, key, key_len);
    atomic_store_explicit(used, len + 1, memory_order_release);
    return (int)len;
}

uint32_t series_used(const _Atomic uint32_t *used)
{
    uint32_t len = atomic_load_explicit(used, memory_order_acquire);

    return len < SERIES_SLOTS ? len : SERIES_SLOTS;
}

bool series_read(const struct series_area *area, uint32_t slot, struct series_view *view)
{
    const struct series *s;
    uint32_t kind;

    if (slot >= SERIES_SLOTS) {
        return false;
    }
    s = &area->slots[slot];
    kind = atomic_load_explicit(&s->kind, memory_order_relaxed);
    if (kind != SERIES_COUNTER && kind != SERIES_HISTOGRAM) {
        return false;
    }
    view->kind = (enum series_kind)kind;
    view->count = atomic_load_explicit(&s->count, memory_order_relaxed);
    memcpy(view->key, s->key, SERIES_KEY);
    view->key[SERIES_KEY - 1] = '\0';
    view->key_len = strlen(view->key);
    return view->key_len > 0;
}

void series_add_recorded(const struct series_area *area, uint32_t slot, struct histogram_sum *sum)
{
    if (slot < SERIES_SLOTS &&
        atomic_load_explicit(&area->slots[slot].count, memory_order_relaxed) > 0) {
        histogram_add(sum, &area->histograms[slot]);
    }
}
