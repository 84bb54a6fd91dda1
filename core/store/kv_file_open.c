/* How a store's file is found, told from others, and made. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "store/kv_file_parts.h"

/* Which file is ours, and in which shape. */
#define APPLICATION_ID 0x5469746e /* "Titn" */
#define SCHEMA_VERSION 1

#define OPEN_AGAIN_MS 10

/* When what never expires does. A macro, since it is part of the index, and of what uses it. */
#define NEVER "9223372036854775807"

/* Values lie in the order in which they were put, and only the index is in that of the keys: keys
 * that come at random then touch pages of small entries, which costs half of what it costs with the
 * values among them (WITHOUT ROWID). */
static const char make_schema[] = "CREATE TABLE entries(id INTEGER PRIMARY KEY,"
                                  " key BLOB NOT NULL UNIQUE, value BLOB NOT NULL,"
                                  " expires INTEGER NOT NULL);"
                                  "CREATE INDEX expiry ON entries(expires) WHERE expires < " NEVER;

/* A page that many transactions write goes from the log to its place once in 16 MiB of log. */
static const char tune[] = "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=4096;"
                           "PRAGMA cache_size=-8192";

#define PUT                                                                                        \
    "INSERT INTO entries(key, value, expires) VALUES(?1, ?3, ?4) ON CONFLICT(key) DO UPDATE"       \
    " SET value = excluded.value, expires = excluded.expires"

static const char *const sources[KV_STATEMENTS] = {
    [KV_BEGIN] = "BEGIN",
    [KV_COMMIT] = "COMMIT",
    [KV_ROLLBACK] = "ROLLBACK",
    [KV_GET] = "SELECT value FROM entries WHERE key = ?1 AND expires > ?2",
    [KV_PUT_OVER] = PUT,
    [KV_PUT_NEW] = PUT " WHERE expires <= ?2",
    [KV_REMOVE] = "DELETE FROM entries WHERE key = ?1 AND expires > ?2",
    [KV_SWEEP] = "DELETE FROM entries WHERE id IN (SELECT id FROM entries INDEXED BY expiry"
                 " WHERE expires <= ?2 AND expires < " NEVER " LIMIT ?1)",
};

/* ---- time ---- */

static uint64_t system_wall_ms(void *ctx)
{
    (void)ctx;
    return wall_ms();
}

static uint64_t system_elapsed_ms(void *ctx)
{
    (void)ctx;
    return clock_ns(CLOCK_BOOTTIME) / 1000000u;
}

static const struct kv_clock system_clock = {system_wall_ms, system_elapsed_ms, NULL};

/* ---- opening ---- */

/* SQLite would take a device for an empty file, and lose what is written to it. */
static int check_place(const char *path, struct failure *why)
{
    struct stat st;

    if (path[0] == '\0') {
        return fail(why, TITAN_E_INVALID_CONFIG, "the store has no path: name a file");
    }
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        return fail(why, TITAN_E_INVALID_CONFIG,
                    "the store %s is %s, not a file: name a file, which is made if it is not there",
                    path, S_ISDIR(st.st_mode) ? "a directory" : "a device, a pipe or a socket");
    }
    return TITAN_OK; /* not there, or no way to it: opening says so */
}

/* A relative path is led by "./": SQLite has names with a meaning, such as ":memory:". */
static int open_database(struct kv_file *f, struct failure *why)
{
    char *path = f->sqlite.mprintf("%s%s", f->path[0] == '/' ? "" : "./", f->path);
    int rc;

    if (path == NULL) {
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "the store %s: out of memory", f->path);
    }
    rc = f->sqlite.open_v2(path, &f->db,
                           SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    f->sqlite.free(path);
    if (rc != SQLITE_OK) {
        return kv_file_failed(f, "open", why);
    }
    f->sqlite.extended_result_codes(f->db, 1);
    if (f->sqlite.db_readonly(f->db, "main") != 0) {
        return fail(why, TITAN_E_INVALID_CONFIG,
                    "the store %s may only be read: make it writable for this user", f->path);
    }
    return TITAN_OK;
}

static int execute(struct kv_file *f, const char *sql, const char *doing, struct failure *why)
{
    return f->sqlite.exec(f->db, sql, NULL, NULL, NULL) == SQLITE_OK
               ? TITAN_OK
               : kv_file_failed(f, doing, why);
}

static int query_number(struct kv_file *f, const char *sql, int64_t *v, struct failure *why)
{
    sqlite3_stmt *s = NULL;
    int code = TITAN_OK;

    if (f->sqlite.prepare_v3(f->db, sql, -1, 0, &s, NULL) != SQLITE_OK ||
        f->sqlite.step(s) != SQLITE_ROW) {
        code = kv_file_failed(f, "open", why);
    } else {
        *v = f->sqlite.column_int64(s, 0);
    }
    f->sqlite.finalize(s);
    return code;
}

/* Only reads: what is not ours stays as it is. */
static int identify(struct kv_file *f, bool *fresh, struct failure *why)
{
    int64_t id, version, tables;
    int code;

    if ((code = query_number(f, "PRAGMA application_id", &id, why)) < 0 ||
        (code = query_number(f, "PRAGMA user_version", &version, why)) < 0 ||
        (code = query_number(f, "SELECT count(*) FROM sqlite_master", &tables, why)) < 0) {
        return code;
    }
    *fresh = id == 0 && version == 0 && tables == 0;
    if (!*fresh && id != APPLICATION_ID) {
        return fail(why, TITAN_E_INVALID_CONFIG,
                    "the store %s is the database of another program: name another path", f->path);
    }
    if (!*fresh && version != SCHEMA_VERSION) {
        return fail(why, TITAN_E_INVALID_CONFIG,
                    "the store %s has version %lld, and this Titan knows version %d: use the "
                    "Titan that wrote it, or name another path",
                    f->path, (long long)version, SCHEMA_VERSION);
    }
    return TITAN_OK;
}

/* The lock is exclusive from the first look on: nobody else can read or write, and SQLite needs no
 * shared memory beside the file. */
static int prepare_file(struct kv_file *f, const struct kv_options *options, struct failure *why)
{
    const char *sync =
        options->normal_sync ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=FULL";
    bool fresh;
    char make[512];
    int code;

    if ((code = execute(f, "PRAGMA locking_mode=EXCLUSIVE", "open", why)) < 0 ||
        (code = identify(f, &fresh, why)) < 0 || (code = execute(f, tune, "open", why)) < 0 ||
        (code = execute(f, sync, "open", why)) < 0 || !fresh) {
        return code;
    }
    snprintf(make, sizeof make,
             "BEGIN EXCLUSIVE; %s; PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT",
             make_schema, APPLICATION_ID, SCHEMA_VERSION);
    return execute(f, make, "make", why);
}

static int prepare_statements(struct kv_file *f, struct failure *why)
{
    for (int i = 0; i < KV_STATEMENTS; i++) {
        if (f->sqlite.prepare_v3(f->db, sources[i], -1, SQLITE_PREPARE_PERSISTENT,
                                 &f->statements[i], NULL) != SQLITE_OK) {
            return kv_file_failed(f, "open", why);
        }
    }
    return TITAN_OK;
}

static void close_database(struct kv_file *f)
{
    for (int i = 0; i < KV_STATEMENTS; i++) {
        f->sqlite.finalize(f->statements[i]);
        f->statements[i] = NULL;
    }
    f->sqlite.close(f->db);
    f->db = NULL;
}

static int try_open(struct kv_file *f, const struct kv_options *options, struct failure *why)
{
    int code;

    if ((code = check_place(f->path, why)) < 0 || (code = open_database(f, why)) < 0 ||
        (code = prepare_file(f, options, why)) < 0) {
        return code;
    }
    return prepare_statements(f, why);
}

/* SQLite's own waiting covers only some of the locks that are taken on the way. */
static int open_in_time(struct kv_file *f, const struct kv_options *options,
                        const atomic_bool *give_up, struct failure *why)
{
    const struct timespec pause = {.tv_nsec = OPEN_AGAIN_MS * 1000000L};
    uint64_t until_ns = now_ns() + (uint64_t)options->busy_timeout_ms * 1000000u;
    int code;

    while ((code = try_open(f, options, why)) == TITAN_E_OVERLOADED && now_ns() < until_ns &&
           !atomic_load(give_up)) {
        close_database(f);
        nanosleep(&pause, NULL);
    }
    return code;
}

int kv_file_open(struct kv_file **file, const char *path, const struct kv_options *options,
                 const atomic_bool *give_up, struct failure *why)
{
    struct kv_file *f = calloc(1, sizeof *f);
    int code;

    if (f == NULL) {
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "the store %s: out of memory", path);
    }
    if ((code = sqlite_load(&f->sqlite, path, why)) < 0) {
        free(f);
        return code;
    }
    f->path = path;
    f->clock = options->clock ? *options->clock : system_clock;
    code = open_in_time(f, options, give_up, why);
    if (code < 0) {
        kv_file_close(f);
        return code;
    }
    f->opened_wall_ms = f->clock.wall_ms(f->clock.ctx);
    f->opened_elapsed_ms = f->clock.elapsed_ms(f->clock.ctx);
    *file = f;
    return TITAN_OK;
}

void kv_file_close(struct kv_file *f)
{
    if (f != NULL) {
        close_database(f);
        free(f);
    }
}
