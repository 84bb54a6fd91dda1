/* Suggestions for typing errors: optimal string alignment distance (Damerau 1964, restricted). */
#include <ctype.h>
#include <string.h>

#include "titan.h"

#define WORD_MAX 64

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;

    return m < c ? m : c;
}

static int same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* The distance of a and b, both shorter than WORD_MAX. Three rows of the table are enough. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][WORD_MAX + 1];

    for (size_t j = 0; j <= b_len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t *row = rows[i % 3];
        size_t *above = rows[(i + 2) % 3];
        size_t *above2 = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t cost = same(a[i - 1], b[j - 1]) ? 0 : 1;

            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + cost);
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]) &&
                above2[j - 2] + 1 < row[j]) {
                row[j] = above2[j - 2] + 1;
            }
        }
    }
    return rows[a_len % 3][b_len];
}

const char *titan_suggest(const char *word, const char *const *candidates, size_t count)
{
    size_t len = strlen(word);
    size_t best = len < 3 ? 2 : 2 + len / 4; /* one past the largest distance worth suggesting */
    const char *found = NULL;

    if (len == 0 || len > WORD_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        size_t candidate_len = strlen(candidates[i]);
        size_t d;

        if (candidate_len == 0 || candidate_len > WORD_MAX) {
            continue;
        }
        d = distance(word, len, candidates[i], candidate_len);
        if (d < best && d < len && d < candidate_len) {
            best = d;
            found = candidates[i];
        }
    }
    return found;
}
