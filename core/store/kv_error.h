/* What SQLite complains of, as a failure. */
#ifndef TITAN_STORE_KV_ERROR_H
#define TITAN_STORE_KV_ERROR_H

#include "store/sqlite.h"

/* The last error of `db`, which may be NULL when memory is out. `doing`: a verb, as in "cannot
 * write". Returns its code, which is below zero. */
int kv_error(const struct sqlite *sqlite, sqlite3 *db, const char *path, const char *doing,
             struct failure *why);

#endif
