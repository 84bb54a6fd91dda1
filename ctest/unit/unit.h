/* What all unit tests stand on: cmocka and a little around it. Included before everything else. */
#ifndef TITAN_CTEST_UNIT_H
#define TITAN_CTEST_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#undef fail /* cmocka's; base/errors.h has a function of that name */

#define count_of(array) (sizeof(array) / sizeof((array)[0]))

/* Numbers that look random and are the same in every run (xorshift32, Marsaglia 2003). */
static inline uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

#endif
