#include "base/size_text.h"

#include <inttypes.h>
#include <stdio.h>

const char *size_text(uint64_t len, char text[SIZE_TEXT])
{
    static const char units[] = " KMGTPE";
    unsigned unit = 0;
    uint64_t rest = 0; /* in 1/1024 of the unit */

    while (len >= 1024) {
        rest = len % 1024;
        len /= 1024;
        unit++;
    }
    if (unit == 0) {
        snprintf(text, SIZE_TEXT, "%" PRIu64 " B", len);
    } else if (len < 10 && rest * 10 / 1024 > 0) {
        snprintf(text, SIZE_TEXT, "%" PRIu64 ".%" PRIu64 " %cB", len, rest * 10 / 1024,
                 units[unit]);
    } else {
        snprintf(text, SIZE_TEXT, "%" PRIu64 " %cB", len, units[unit]);
    }
    return text;
}
