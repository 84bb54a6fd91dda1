/*
 * SQLite, loaded when the first store is opened: every worker and the zygote load libtitan, and
 * would pay for a library that they never use with its relocations at their start and with the
 * mappings that each fork copies.
 */
#ifndef TITAN_STORE_SQLITE_H
#define TITAN_STORE_SQLITE_H

#include <sqlite3.h>

#include "base/errors.h"

/* What is used of it, without the prefix sqlite3_. */
#define SQLITE_FUNCTIONS(X)                                                                        \
    X(bind_blob64)                                                                                 \
    X(bind_int64)                                                                                  \
    X(changes)                                                                                     \
    X(close)                                                                                       \
    X(column_blob)                                                                                 \
    X(column_bytes)                                                                                \
    X(column_int64)                                                                                \
    X(db_readonly)                                                                                 \
    X(errcode)                                                                                     \
    X(errmsg)                                                                                      \
    X(exec)                                                                                        \
    X(extended_errcode)                                                                            \
    X(extended_result_codes)                                                                       \
    X(finalize)                                                                                    \
    X(free)                                                                                        \
    X(get_autocommit)                                                                              \
    X(mprintf)                                                                                     \
    X(open_v2)                                                                                     \
    X(prepare_v3)                                                                                  \
    X(reset)                                                                                       \
    X(step)                                                                                        \
    X(system_errno)

#define SQLITE_POINTER(name) __typeof__ (&sqlite3_##name)(name);

struct sqlite {
    SQLITE_FUNCTIONS(SQLITE_POINTER)
};

#undef SQLITE_POINTER

/* Fills it in. The library stays loaded. TITAN_OK or INVALID_CONFIG: it is not installed. `path` is
 * the file that it is for. Any thread. */
int sqlite_load(struct sqlite *sqlite, const char *path, struct failure *why);

#endif
