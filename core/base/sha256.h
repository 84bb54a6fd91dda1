/* SHA-256 (FIPS 180-4, Secure Hash Standard, 2015), of bytes that lie in one piece. */
#ifndef TITAN_BASE_SHA256_H
#define TITAN_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_LEN 32

void sha256(const void *bytes, size_t len, uint8_t digest[SHA256_LEN]);

#endif
