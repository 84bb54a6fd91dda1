#include <errno.h>

#include "store/kv_file_parts.h"

/* ---- time ---- */

static void read_clock(struct kv_file *f)
{
    uint64_t passed_ms = f->clock.elapsed_ms(f->clock.ctx) - f->opened_elapsed_ms;

    f->now_ms = (int64_t)(f->opened_wall_ms + passed_ms);
}

static int64_t expiry(const struct kv_file *f, uint64_t ttl_ms)
{
    return ttl_ms < (uint64_t)(INT64_MAX - f->now_ms) ? f->now_ms + (int64_t)ttl_ms : INT64_MAX;
}

/* ---- statements ---- */

/* The caller has read the row. A reset repeats the error of the step, which has been told. */
static void take_back(struct kv_file *f)
{
    if (f->lent != NULL) {
        f->sqlite.reset(f->lent);
        f->lent = NULL;
    }
}

/* SQLITE_ROW, after which the row is lent; SQLITE_DONE; or an error, with `why`. */
static int step(struct kv_file *f, enum kv_statement which, const char *doing, struct failure *why)
{
    sqlite3_stmt *s = f->statements[which];
    int rc;

    errno = 0; /* SQLite does not keep that of a commit */
    rc = f->sqlite.step(s);
    if (rc == SQLITE_ROW) {
        f->lent = s;
        return rc;
    }
    if (rc != SQLITE_DONE) {
        rc = kv_file_failed(f, doing, why);
    }
    f->sqlite.reset(s);
    return rc;
}

static int run(struct kv_file *f, enum kv_statement which, const char *doing, struct failure *why)
{
    int rc = step(f, which, doing, why);

    return rc < 0 ? rc : TITAN_OK;
}

/* The bytes outlive the step. Zero of them are an empty blob, not NULL. */
static int bind_span(struct kv_file *f, sqlite3_stmt *s, int place, struct span bytes)
{
    return f->sqlite.bind_blob64(s, place, bytes.at ? (const void *)bytes.at : "", bytes.len,
                                 SQLITE_STATIC);
}

/* The key and the time, which every operation has in these places. */
static int bind_key(struct kv_file *f, enum kv_statement which, struct span key, const char *doing,
                    struct failure *why)
{
    sqlite3_stmt *s = f->statements[which];

    take_back(f);
    if (bind_span(f, s, 1, key) != SQLITE_OK ||
        f->sqlite.bind_int64(s, 2, f->now_ms) != SQLITE_OK) {
        return kv_file_failed(f, doing, why);
    }
    return TITAN_OK;
}

/* ---- operations ---- */

int kv_file_begin(struct kv_file *f, struct failure *why)
{
    read_clock(f);
    return run(f, KV_BEGIN, "begin", why);
}

int kv_file_commit(struct kv_file *f, struct failure *why)
{
    take_back(f);
    return run(f, KV_COMMIT, "write", why);
}

void kv_file_rollback(struct kv_file *f)
{
    take_back(f);
    if (!f->sqlite.get_autocommit(f->db)) { /* some errors have rolled back already */
        run(f, KV_ROLLBACK, "roll back", NULL);
    }
}

int kv_file_get(struct kv_file *f, struct span key, struct span *value, struct failure *why)
{
    sqlite3_stmt *s = f->statements[KV_GET];
    int code = bind_key(f, KV_GET, key, "read", why);

    *value = (struct span){NULL, 0};
    if (code == TITAN_OK) {
        code = step(f, KV_GET, "read", why);
    }
    if (code == SQLITE_ROW) {
        value->at = f->sqlite.column_blob(s, 0);
        value->len = (size_t)f->sqlite.column_bytes(s, 0);
        if (value->at == NULL && value->len == 0 && f->sqlite.errcode(f->db) != SQLITE_NOMEM) {
            value->at = (const uint8_t *)""; /* there, and empty */
        }
        if (value->at == NULL) {
            return kv_file_failed(f, "read", why);
        }
    }
    return code < 0 ? code : TITAN_OK;
}

int kv_file_put(struct kv_file *f, enum kv_mode mode, struct span key, struct span value,
                uint64_t ttl_ms, struct span *kept, struct failure *why)
{
    enum kv_statement which = mode == KV_INSERT ? KV_PUT_NEW : KV_PUT_OVER;
    sqlite3_stmt *s = f->statements[which];
    int code = bind_key(f, which, key, "write", why);

    *kept = (struct span){NULL, 0};
    if (code < 0) {
        return code;
    }
    if (bind_span(f, s, 3, value) != SQLITE_OK ||
        f->sqlite.bind_int64(s, 4, expiry(f, ttl_ms)) != SQLITE_OK) {
        return kv_file_failed(f, "write", why);
    }
    code = run(f, which, "write", why);
    if (code == TITAN_OK && f->sqlite.changes(f->db) == 0) {
        code = kv_file_get(f, key, kept, why);
    }
    return code;
}

int kv_file_remove(struct kv_file *f, struct span key, bool *found, struct failure *why)
{
    int code = bind_key(f, KV_REMOVE, key, "remove", why);

    *found = false;
    if (code == TITAN_OK) {
        code = run(f, KV_REMOVE, "remove", why);
        *found = code == TITAN_OK && f->sqlite.changes(f->db) > 0;
    }
    return code;
}

int kv_file_sweep(struct kv_file *f, unsigned max, unsigned *removed, struct failure *why)
{
    sqlite3_stmt *s = f->statements[KV_SWEEP];
    int code;

    take_back(f);
    *removed = 0;
    if (f->sqlite.bind_int64(s, 1, max) != SQLITE_OK ||
        f->sqlite.bind_int64(s, 2, f->now_ms) != SQLITE_OK) {
        return kv_file_failed(f, "sweep", why);
    }
    code = run(f, KV_SWEEP, "sweep", why);
    if (code == TITAN_OK) {
        *removed = (unsigned)f->sqlite.changes(f->db);
    }
    return code;
}
