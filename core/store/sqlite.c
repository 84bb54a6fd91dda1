#include "store/sqlite.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

#define LIBRARY "libsqlite3.so.0"

/* A pointer to a function does not fit a void pointer by ISO C; by POSIX it does. */
static bool find(void *library, const char *name, void *place)
{
    void *found = dlsym(library, name);

    memcpy(place, &found, sizeof found);
    return found != NULL;
}

int sqlite_load(struct sqlite *sqlite, const char *path, struct failure *why)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    bool all = library != NULL;

    if (!all) {
        return fail(why, TITAN_E_INVALID_CONFIG,
                    "the store %s needs SQLite: %s; install it (Debian: libsqlite3-0)", path,
                    dlerror());
    }
#define FIND(name) all = find(library, "sqlite3_" #name, &sqlite->name) && all;
    SQLITE_FUNCTIONS(FIND)
#undef FIND
    dlclose(library);
    if (!all) {
        return fail(why, TITAN_E_INVALID_CONFIG,
                    "the store %s needs a newer SQLite than the " LIBRARY " that is installed",
                    path);
    }
    return TITAN_OK;
}
