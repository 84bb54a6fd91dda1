#include "base/ids.h"

#include <string.h>
#include <unistd.h>

static bool refill(struct ids *ids)
{
    if (getentropy(ids->bytes, sizeof ids->bytes) < 0) {
        return false;
    }
    ids->left = sizeof ids->bytes;
    return true;
}

/* Whether one of the bytes is not zero. */
static bool write_hex(char *hex, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t any = 0;

    for (size_t i = 0; i < len; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
        any |= bytes[i];
    }
    return any != 0;
}

bool ids_take(struct ids *ids, char *hex, size_t len)
{
    const uint8_t *taken;

    do {
        if (ids->left < len && !refill(ids)) {
            return false;
        }
        taken = ids->bytes + sizeof ids->bytes - ids->left;
        ids->left -= len;
    } while (!write_hex(hex, taken, len));
    return true;
}

void ids_forget(struct ids *ids)
{
    memset(ids, 0, sizeof *ids);
}
