/* What kv_file.c, which works on an open file, and kv_file_open.c share. */
#ifndef TITAN_STORE_KV_FILE_PARTS_H
#define TITAN_STORE_KV_FILE_PARTS_H

#include "store/kv_error.h"
#include "store/kv_file.h"

enum kv_statement {
    KV_BEGIN,
    KV_COMMIT,
    KV_ROLLBACK,
    KV_GET,
    KV_PUT_OVER,
    KV_PUT_NEW,
    KV_REMOVE,
    KV_SWEEP,
    KV_STATEMENTS
};

struct kv_file {
    struct sqlite sqlite;
    sqlite3 *db;
    const char *path;
    sqlite3_stmt *statements[KV_STATEMENTS];
    sqlite3_stmt *lent; /* whose row the caller still reads */
    struct kv_clock clock;
    uint64_t opened_wall_ms, opened_elapsed_ms;
    int64_t now_ms; /* of the transaction */
};

static inline int kv_file_failed(struct kv_file *f, const char *doing, struct failure *why)
{
    return kv_error(&f->sqlite, f->db, f->path, doing, why);
}

#endif
