#include "rpc/arena.h"

#include <stdlib.h>

struct arena *arena_new(void)
{
    struct arena *a = calloc(1, sizeof *a);

    if (a == NULL) {
        return NULL;
    }
    a->memory = shm_new("titan-arena", ARENA_LEN);
    a->at = a->memory != NULL ? shm_at(a->memory) : NULL;
    if (a->at == NULL) {
        arena_free(&a);
    }
    return a;
}

void arena_free(struct arena **a)
{
    struct arena *old = *a;

    *a = NULL;
    if (old != NULL) {
        shm_unref(&old->memory);
        free(old);
    }
}

/* How many units are free from `at` on, counted to `wanted` at the most. */
static unsigned free_run(const struct arena *a, unsigned at, unsigned wanted)
{
    unsigned n = 0;

    while (n < wanted && at + n < ARENA_UNITS && a->blocks[at + n] == 0) {
        n++;
    }
    return n;
}

int64_t arena_take(struct arena *a, size_t len)
{
    unsigned wanted, at = 0;

    if (len > ARENA_LEN) {
        return -1;
    }
    wanted = (unsigned)((len + ARENA_UNIT - 1) / ARENA_UNIT);
    while (at + wanted <= ARENA_UNITS) {
        unsigned n = free_run(a, at, wanted);

        if (n == wanted) {
            a->blocks[at] = (uint16_t)wanted;
            a->used += wanted;
            a->touched = at + wanted > a->touched ? at + wanted : a->touched;
            return (int64_t)(at * ARENA_UNIT);
        }
        at += n;
        at += at < ARENA_UNITS ? a->blocks[at] : 0;
    }
    return -1;
}

bool arena_give(struct arena *a, uint64_t offset)
{
    uint64_t at = offset / ARENA_UNIT;

    if (offset % ARENA_UNIT != 0 || at >= ARENA_UNITS || a->blocks[at] == 0) {
        return false;
    }
    a->used -= a->blocks[at];
    a->blocks[at] = 0;
    return true;
}

void arena_trim(struct arena *a)
{
    if (a->used == 0 && a->touched * ARENA_UNIT > ARENA_KEPT) {
        shm_clear(a->memory, ARENA_KEPT);
        a->touched = ARENA_KEPT / ARENA_UNIT;
    }
}
