#include "store/kv_error.h"

#include <errno.h>
#include <string.h>

struct complaint {
    int rc; /* a primary result code */
    int code;
    const char *advice;
};

/* The last row stands for all others. */
static const struct complaint complaints[] = {
    {SQLITE_BUSY, TITAN_E_OVERLOADED,
     "another program has it open: a store belongs to one manager at a time"},
    {SQLITE_LOCKED, TITAN_E_OVERLOADED, "it is in use: a store belongs to one manager at a time"},
    {SQLITE_FULL, TITAN_E_LIMIT_EXCEEDED, "make room on its disk"},
    {SQLITE_NOMEM, TITAN_E_LIMIT_EXCEEDED, "memory is out"},
    {SQLITE_TOOBIG, TITAN_E_LIMIT_EXCEEDED, "store less under one key"},
    {SQLITE_CORRUPT, TITAN_E_PROTOCOL_ERROR,
     "the file is damaged: move it away and restore it from a copy, or let a new one be made"},
    {SQLITE_NOTADB, TITAN_E_INVALID_CONFIG, "it is some other file: name another path"},
    {SQLITE_CANTOPEN, TITAN_E_INVALID_CONFIG,
     "its directory must be there, and this user must be allowed to write to both"},
    {SQLITE_READONLY, TITAN_E_INVALID_CONFIG,
     "this user must be allowed to write to it and to its directory"},
    {SQLITE_PERM, TITAN_E_INVALID_CONFIG,
     "this user must be allowed to write to it and to its directory"},
    {SQLITE_IOERR, TITAN_E_REMOTE_ERROR, "look after its disk"},
    {SQLITE_ERROR, TITAN_E_REMOTE_ERROR, "the file is not as Titan has made it"},
};

static const struct complaint no_room = {SQLITE_IOERR, TITAN_E_LIMIT_EXCEEDED,
                                         "make room on its disk, or raise the limit on file sizes"};
static const struct complaint no_memory = {SQLITE_IOERR, TITAN_E_LIMIT_EXCEEDED, "memory is out"};

/* `rc` with its extension; `error` is what the kernel said, or 0. */
static const struct complaint *complaint_of(int rc, int error)
{
    size_t last = sizeof complaints / sizeof complaints[0] - 1;
    size_t i = 0;

    if (rc == SQLITE_IOERR_NOMEM) {
        return &no_memory;
    }
    if ((rc & 0xff) == SQLITE_IOERR && (error == ENOSPC || error == EDQUOT || error == EFBIG)) {
        return &no_room;
    }
    while (i < last && complaints[i].rc != (rc & 0xff)) {
        i++;
    }
    return &complaints[i];
}

/* What the kernel said, as far as SQLite tells; else errno, which is as the failed call left it. */
static int error_behind(const struct sqlite *sqlite, sqlite3 *db, int rc, int last_errno)
{
    int error = sqlite->system_errno(db);

    if ((rc & 0xff) != SQLITE_IOERR && (rc & 0xff) != SQLITE_CANTOPEN) {
        return 0;
    }
    return error ? error : last_errno;
}

int kv_error(const struct sqlite *sqlite, sqlite3 *db, const char *path, const char *doing,
             struct failure *why)
{
    int last_errno = errno;
    int rc = sqlite->extended_errcode(db);
    int error = error_behind(sqlite, db, rc, last_errno);
    const struct complaint *c = complaint_of(rc, error);

    return fail(why, c->code, "the store %s: cannot %s: %s%s%s; %s", path, doing,
                sqlite->errmsg(db), error ? ": " : "", error ? strerror(error) : "", c->advice);
}
