#include "base/bitset.h"

#include <stdlib.h>
#include <string.h>

#define WORD_BITS 64

static size_t words_for(size_t bits)
{
    return bits / WORD_BITS + (bits % WORD_BITS != 0);
}

bool bitset_reserve(struct bitset *b, size_t bound)
{
    struct bitset made = {0};
    size_t len = bound > 0 ? bound : 1;

    do {
        len = words_for(len);
        made.level_len[made.levels++] = len;
        made.words_len += len;
    } while (len > 1);
    made.words = calloc(made.words_len, sizeof(uint64_t));
    if (made.words == NULL) {
        return false;
    }
    len = 0;
    for (size_t l = 0; l < made.levels; l++) {
        made.level[l] = made.words + len;
        len += made.level_len[l];
    }
    free(b->words);
    *b = made;
    return true;
}

void bitset_clear(struct bitset *b)
{
    if (b->words != NULL) {
        memset(b->words, 0, b->words_len * sizeof(uint64_t));
    }
}

void bitset_add(struct bitset *b, size_t i)
{
    for (size_t l = 0; l < b->levels; l++) {
        uint64_t *word = &b->level[l][i / WORD_BITS];
        bool known_above = *word != 0;

        *word |= UINT64_C(1) << (i % WORD_BITS);
        if (known_above) {
            return;
        }
        i /= WORD_BITS;
    }
}

void bitset_remove(struct bitset *b, size_t i)
{
    for (size_t l = 0; l < b->levels; l++) {
        uint64_t *word = &b->level[l][i / WORD_BITS];

        *word &= ~(UINT64_C(1) << (i % WORD_BITS));
        if (*word != 0) {
            return;
        }
        i /= WORD_BITS;
    }
}

static size_t lowest(uint64_t word)
{
    return (size_t)__builtin_ctzll(word);
}

/* The least number under bit i of level l, which is set. */
static size_t descend(const struct bitset *b, size_t l, size_t i)
{
    while (l-- > 0) {
        i = i * WORD_BITS + lowest(b->level[l][i]);
    }
    return i;
}

size_t bitset_next(const struct bitset *b, size_t from)
{
    for (size_t l = 0; l < b->levels; l++) {
        size_t at = from / WORD_BITS;
        uint64_t rest;

        if (at >= b->level_len[l]) {
            return BITSET_NONE;
        }
        rest = b->level[l][at] & (UINT64_MAX << (from % WORD_BITS));
        if (rest != 0) {
            return descend(b, l, at * WORD_BITS + lowest(rest));
        }
        from = at + 1;
    }
    return BITSET_NONE;
}

void bitset_free(struct bitset *b)
{
    free(b->words);
    memset(b, 0, sizeof *b);
}
