/* A store in a directory of its own, whose clock only the test moves, for tests that ask and wait
 * for the answer. */
#ifndef TITAN_CTEST_STORES_H
#define TITAN_CTEST_STORES_H

#include "loop.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include <sqlite3.h>

#include "store/kv.h"

struct store {
    struct fixture *loop;
    struct kv *kv;
    struct kv_options options;
    struct kv_clock clock;
    _Atomic uint64_t wall_ms, elapsed_ms;
    char dir[64], path[80], wal[96];
};

/* What somebody who waits has heard. */
struct heard {
    struct kv_wait wait;
    unsigned answers;
    bool found;
    char value[64];
    size_t len;
    int code;
    char message[512];
};

static inline uint64_t store_wall_ms(void *ctx)
{
    return atomic_load(&((struct store *)ctx)->wall_ms);
}

static inline uint64_t store_elapsed_ms(void *ctx)
{
    return atomic_load(&((struct store *)ctx)->elapsed_ms);
}

static inline void hear(struct kv_wait *w, const struct kv_answer *answer)
{
    struct heard *h = list_entry(w, struct heard, wait);

    h->answers++;
    h->found = answer->found;
    h->len = answer->value.len;
    if (answer->value.at != NULL) {
        memcpy(h->value, answer->value.at, h->len < sizeof h->value ? h->len : sizeof h->value);
    }
    if (answer->failure != NULL) {
        h->code = answer->failure->code;
        snprintf(h->message, sizeof h->message, "%s", answer->failure->message);
    }
}

static inline struct kv_wait *hearing(struct heard *h)
{
    memset(h, 0, sizeof *h);
    h->wait.fn = hear;
    return &h->wait;
}

static inline void await(struct store *s, const struct heard *h)
{
    run_until(s->loop, h->answers > 0);
    assert_int_equal(h->answers, 1);
}

/* ---- one thing at a time ---- */

static inline void set_path(struct store *s, const char *path)
{
    snprintf(s->path, sizeof s->path, "%s", path);
}

static inline struct heard open_store(struct store *s)
{
    struct heard h;

    assert_int_equal(kv_open(&s->kv, &s->loop->reactor, s->path, &s->options, hearing(&h), NULL),
                     TITAN_OK);
    await(s, &h);
    return h;
}

static inline void close_store(struct store *s)
{
    struct heard h;

    kv_close(&s->kv, hearing(&h));
    await(s, &h);
    run_idle(s->loop);
}

static inline void expect_opens(struct store *s)
{
    struct heard h = open_store(s);

    assert_string_equal(h.message, "");
}

/* The message names the file and has `part` in it. */
static inline void expect_refused(struct store *s, int code, const char *part)
{
    struct heard h = open_store(s);

    assert_int_equal(h.code, code);
    assert_non_null(strstr(h.message, s->path));
    assert_non_null(strstr(h.message, part));
    close_store(s);
}

static inline struct heard put(struct store *s, enum kv_mode mode, const char *key,
                               const char *value, uint64_t ttl_ms)
{
    struct heard h;

    assert_int_equal(kv_put(s->kv, mode, span_of(key), span_of(value), ttl_ms, hearing(&h), NULL),
                     TITAN_OK);
    await(s, &h);
    return h;
}

static inline struct heard get(struct store *s, const char *key)
{
    struct heard h;

    assert_int_equal(kv_get(s->kv, span_of(key), hearing(&h), NULL), TITAN_OK);
    await(s, &h);
    return h;
}

static inline void expect_entry(struct store *s, const char *key, const char *value)
{
    struct heard h = get(s, key);

    assert_string_equal(h.message, "");
    assert_int_equal(h.found, value != NULL);
    assert_int_equal(h.len, value ? strlen(value) : 0);
    assert_memory_equal(h.value, value ? value : "", h.len);
}

/* ---- the file, seen from outside ---- */

/* Those of the write-ahead log: frames that end a transaction
 * (https://www.sqlite.org/fileformat2.html#the_write_ahead_log). */
static inline unsigned count_transactions(const struct store *s)
{
    unsigned char head[32], frame[24 + 4096];
    FILE *file = fopen(s->wal, "rb");
    unsigned count = 0;

    assert_non_null(file);
    assert_int_equal(fread(head, sizeof head, 1, file), 1);
    while (fread(frame, sizeof frame, 1, file) == 1) {
        bool current = memcmp(frame + 8, head + 16, 8) == 0;

        count += current && memcmp(frame + 4, "\0\0\0\0", 4) != 0;
    }
    fclose(file);
    return count;
}

/* Nobody must have it open. -1 for no rows. */
static inline int64_t query(const struct store *s, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *statement;
    int64_t v = -1;

    assert_int_equal(sqlite3_open(s->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    if (sqlite3_step(statement) == SQLITE_ROW) {
        v = sqlite3_column_int64(statement, 0);
    }
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return v;
}

/* ---- around a test ---- */

static inline void remove_inside(const struct store *s, const char *name)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", s->dir, name);
    unlink(path);
}

static inline int set_up_store(void **state)
{
    struct store *s = calloc(1, sizeof *s);
    const char *tmp = getenv("TMPDIR");
    void *loop;

    if (set_up(&loop) < 0) {
        return -1;
    }
    s->loop = loop;
    s->options = (struct kv_options)KV_OPTIONS_DEFAULT;
    s->options.busy_timeout_ms = 0;
    s->clock = (struct kv_clock){store_wall_ms, store_elapsed_ms, s};
    s->options.clock = &s->clock;
    s->wall_ms = 1000000;
    snprintf(s->dir, sizeof s->dir, "%.40s/titan-kv-XXXXXX", tmp ? tmp : "/tmp");
    if (mkdtemp(s->dir) == NULL) {
        return -1;
    }
    snprintf(s->path, sizeof s->path, "%s/store.db", s->dir);
    snprintf(s->wal, sizeof s->wal, "%s-wal", s->path);
    *state = s;
    return 0;
}

static inline int tear_down_store(void **state)
{
    struct store *s = *state;
    void *loop = s->loop;
    int code;

    if (s->kv != NULL) {
        close_store(s);
    }
    code = tear_down(&loop);
    chmod(s->dir, 0700);
    remove_inside(s, "store.db"); /* whatever the test made of s->path */
    remove_inside(s, "store.db-wal");
    if (rmdir(s->dir) < 0) {
        code = -1; /* something was left beside the file */
    }
    free(s);
    return code;
}

#define store_test(test) cmocka_unit_test_setup_teardown(test, set_up_store, tear_down_store)

#endif
