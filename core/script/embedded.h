/* The Lua side, lua/titan/, as the build put it into the library. */
#ifndef TITAN_SCRIPT_EMBEDDED_H
#define TITAN_SCRIPT_EMBEDDED_H

#include <stddef.h>

struct embedded_module {
    const char *name; /* as require wants it: "titan.config" */
    const unsigned char *source;
    size_t len;
};

extern const struct embedded_module embedded_modules[];
extern const size_t embedded_module_count;

#endif
