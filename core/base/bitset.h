/*
 * A set of numbers below a bound that finds the next member from any number on in O(log64 n): each
 * level has one bit for every word of the level below that is not zero, as in a van Emde Boas tree
 * (1975) of words.
 */
#ifndef TITAN_BASE_BITSET_H
#define TITAN_BASE_BITSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BITSET_LEVELS 11 /* 64 to that power passes any size_t */
#define BITSET_NONE SIZE_MAX

struct bitset {
    uint64_t *words; /* all levels in one piece */
    uint64_t *level[BITSET_LEVELS];
    size_t level_len[BITSET_LEVELS]; /* in words; the last level has one */
    size_t levels, words_len;
};

/* Makes room for the numbers below `bound` and empties the set. False when memory is out: it then
 * stays what it was. Starts from zeros or from an earlier call. */
bool bitset_reserve(struct bitset *b, size_t bound);

void bitset_clear(struct bitset *b);

/* `i` must be below the bound. */
void bitset_add(struct bitset *b, size_t i);
void bitset_remove(struct bitset *b, size_t i);

/* The least member that is not below `from`, or BITSET_NONE. */
size_t bitset_next(const struct bitset *b, size_t from);

void bitset_free(struct bitset *b);

#endif
