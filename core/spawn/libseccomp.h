/*
 * libseccomp, loaded when the first filter is made: a worker without a sandbox should not pay for
 * its relocations and mappings.
 */
#ifndef TITAN_SPAWN_LIBSECCOMP_H
#define TITAN_SPAWN_LIBSECCOMP_H

#include <seccomp.h>
#include <stdbool.h>

/* What is used of it, without the prefix seccomp_. */
#define LIBSECCOMP_FUNCTIONS(X)                                                                    \
    X(attr_set)                                                                                    \
    X(init)                                                                                        \
    X(load)                                                                                        \
    X(release)                                                                                     \
    X(rule_add_array)

#define LIBSECCOMP_POINTER(name) __typeof__ (&seccomp_##name)(name);

struct libseccomp {
    LIBSECCOMP_FUNCTIONS(LIBSECCOMP_POINTER)
};

#undef LIBSECCOMP_POINTER

/* Fills it in; false when it is not installed. The library stays loaded. Any thread. */
bool libseccomp_load(struct libseccomp *lib);

#endif
