/* Sizes in words for people. */
#ifndef TITAN_BASE_SIZE_TEXT_H
#define TITAN_BASE_SIZE_TEXT_H

#include <stdint.h>

#define SIZE_TEXT 24 /* bytes of the longest, with its end */

/* "512 B", "1.5 MB", "64 MB": powers of 1024, a fraction below ten of a unit. Returns `text`. */
const char *size_text(uint64_t len, char text[SIZE_TEXT]);

#endif
