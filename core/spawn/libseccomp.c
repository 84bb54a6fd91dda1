#include "spawn/libseccomp.h"

#include <dlfcn.h>
#include <string.h>

/* A pointer to a function does not fit a void pointer by ISO C; by POSIX it does. */
static bool find(void *library, const char *name, void *place)
{
    void *found = dlsym(library, name);

    memcpy(place, &found, sizeof found);
    return found != NULL;
}

bool libseccomp_load(struct libseccomp *lib)
{
    void *library = dlopen("libseccomp.so.2", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    bool all = library != NULL;

    if (all) {
#define FIND(name) all = find(library, "seccomp_" #name, &lib->name) && all;
        LIBSECCOMP_FUNCTIONS(FIND)
#undef FIND
        dlclose(library);
    }
    return all;
}
