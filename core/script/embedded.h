/* The Lua side, lua/titan/, as the build put it into the library: compiled, since a state of a few
 * tens of kilobytes should not spend more on its modules than they are worth. */
#ifndef TITAN_SCRIPT_EMBEDDED_H
#define TITAN_SCRIPT_EMBEDDED_H

#include <stddef.h>

struct embedded_module {
    const char *name; /* as require wants it: "titan.config" */
    const unsigned char *code;
    size_t len;
};

/* NULL when there is none of that name. */
const struct embedded_module *embedded_find(const char *name);

#endif
