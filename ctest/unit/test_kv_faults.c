/* What can be wrong with a file, its surroundings and its disk, and the end of the process. */
#include "stores.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define NOBODY 65534

/* Root may write everywhere: what is forbidden is tried as somebody else. */
static void become_nobody(struct store *s)
{
    assert_int_equal(chmod(s->dir, 0755), 0);
    if (getuid() == 0) {
        assert_int_equal(seteuid(NOBODY), 0);
    }
}

static void become_oneself(void)
{
    assert_int_equal(seteuid(getuid()), 0);
}

/* A sound file, closed, with enough in it that it has some pages. */
static void make_file(struct store *s)
{
    char key[16];

    expect_opens(s);
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "key %d", i);
        kv_put(s->kv, KV_REPLACE, span_of(key), span_of("some value"), KV_FOREVER, NULL, NULL);
    }
    close_store(s);
}

static void write_file(const struct store *s, const void *bytes, size_t len)
{
    FILE *file = fopen(s->path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static off_t size_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

/* ---- what is no place for a store ---- */

static void a_directory_that_is_not_there_is_refused(void **state)
{
    struct store *s = *state;

    snprintf(s->path, sizeof s->path, "%s/no/store.db", s->dir);
    expect_refused(s, TITAN_E_INVALID_CONFIG, strerror(ENOENT));
}

static void a_file_in_the_place_of_the_directory_is_refused(void **state)
{
    struct store *s = *state;

    write_file(s, "x", 1);
    snprintf(s->path, sizeof s->path, "%s/store.db/x", s->dir);
    expect_refused(s, TITAN_E_INVALID_CONFIG, strerror(ENOTDIR));
}

static void a_directory_a_pipe_and_no_name_are_refused(void **state)
{
    struct store *s = *state;

    assert_int_equal(mkfifo(s->path, 0600), 0);
    expect_refused(s, TITAN_E_INVALID_CONFIG, "is a device, a pipe");
    set_path(s, s->dir);
    expect_refused(s, TITAN_E_INVALID_CONFIG, "is a directory, not a file");
    set_path(s, "");
    expect_refused(s, TITAN_E_INVALID_CONFIG, "has no path");
}

static void a_relative_path_is_a_file_whatever_its_name_means_to_sqlite(void **state)
{
    struct store *s = *state;
    char cwd[4096];

    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_int_equal(chdir(s->dir), 0);
    set_path(s, ":memory:");
    expect_opens(s);
    close_store(s);
    assert_int_equal(unlink(":memory:"), 0);
    assert_int_equal(chdir(cwd), 0);
}

static void a_file_that_may_only_be_read_is_refused(void **state)
{
    struct store *s = *state;

    make_file(s);
    assert_int_equal(chmod(s->path, 0444), 0);
    become_nobody(s);
    expect_refused(s, TITAN_E_INVALID_CONFIG, "may only be read");
    become_oneself();
}

static void a_directory_that_may_only_be_read_is_refused(void **state)
{
    struct store *s = *state;

    become_nobody(s);
    assert_int_equal(getuid() == 0 ? 0 : chmod(s->dir, 0555), 0);
    expect_refused(s, TITAN_E_INVALID_CONFIG, "cannot open");
    become_oneself();
}

static void a_sound_file_in_a_directory_that_may_only_be_read_is_refused(void **state)
{
    struct store *s = *state;

    make_file(s);
    assert_int_equal(chmod(s->path, 0666), 0);
    become_nobody(s);
    assert_int_equal(getuid() == 0 ? 0 : chmod(s->dir, 0555), 0);
    expect_refused(s, TITAN_E_INVALID_CONFIG, "cannot open");
    become_oneself();
}

/* ---- what is no store of ours ---- */

static void garbage_is_refused_and_left_alone(void **state)
{
    struct store *s = *state;
    char garbage[5000];
    char after[sizeof garbage];
    FILE *file;

    memset(garbage, 'g', sizeof garbage);
    write_file(s, garbage, sizeof garbage);
    expect_refused(s, TITAN_E_INVALID_CONFIG, "name another path");
    file = fopen(s->path, "rb");
    assert_int_equal(fread(after, 1, sizeof after, file), sizeof after);
    fclose(file);
    assert_memory_equal(after, garbage, sizeof after);
}

static void the_database_of_another_program_is_refused_and_left_alone(void **state)
{
    struct store *s = *state;

    query(s, "CREATE TABLE t(x)");
    expect_refused(s, TITAN_E_INVALID_CONFIG, "another program");
    assert_int_equal(query(s, "SELECT count(*) FROM sqlite_master"), 1);
    assert_int_equal(query(s, "SELECT 1 FROM pragma_journal_mode WHERE journal_mode = 'delete'"),
                     1);
}

static void a_file_of_a_newer_version_is_refused(void **state)
{
    struct store *s = *state;

    make_file(s);
    query(s, "PRAGMA user_version=2");
    expect_refused(s, TITAN_E_INVALID_CONFIG, "version 2");
    query(s, "PRAGMA user_version=1");
    expect_opens(s);
}

static void a_truncated_file_is_damaged(void **state)
{
    struct store *s = *state;

    make_file(s);
    assert_int_equal(truncate(s->path, size_of(s->path) / 2), 0);
    expect_refused(s, TITAN_E_PROTOCOL_ERROR, "damaged");
}

/* Each page but the first, where everything is found, is overwritten. */
static void damage_inside_fails_what_meets_it_and_nothing_is_made_up(void **state)
{
    struct store *s = *state;
    char junk[4096];
    struct heard h;
    FILE *file;

    make_file(s);
    memset(junk, 'j', sizeof junk);
    file = fopen(s->path, "r+b");
    assert_non_null(file);
    for (long at = 4096; at < size_of(s->path); at += 4096) {
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        assert_int_equal(fwrite(junk, sizeof junk, 1, file), 1);
    }
    fclose(file);
    expect_opens(s);
    h = get(s, "key 1");
    assert_int_equal(h.code, TITAN_E_PROTOCOL_ERROR);
    assert_non_null(strstr(h.message, "damaged"));
    assert_false(h.found);
    assert_int_equal(put(s, KV_INSERT, "new", "1", KV_FOREVER).code, TITAN_E_PROTOCOL_ERROR);
}

static void without_a_file_every_operation_fails_with_what_opening_failed_with(void **state)
{
    struct store *s = *state;
    struct heard opened, h;

    set_path(s, s->dir);
    kv_open(&s->kv, &s->loop->reactor, s->path, &s->options, hearing(&opened), NULL);
    h = get(s, "a");
    assert_int_equal(opened.code, TITAN_E_INVALID_CONFIG);
    assert_int_equal(h.code, TITAN_E_INVALID_CONFIG);
    assert_string_equal(h.message, opened.message);
}

/* ---- one at a time ---- */

static void a_second_store_on_the_same_file_is_told_so(void **state)
{
    struct store *s = *state;
    struct kv *first;

    expect_opens(s);
    first = s->kv;
    s->kv = NULL;
    expect_refused(s, TITAN_E_OVERLOADED, "one manager at a time");
    s->kv = first;
    put(s, KV_REPLACE, "a", "1", KV_FOREVER);
    expect_entry(s, "a", "1");
}

static void nobody_else_looks_into_an_open_file(void **state)
{
    struct store *s = *state;
    sqlite3 *db;

    expect_opens(s);
    assert_int_equal(sqlite3_open(s->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "SELECT count(*) FROM entries", NULL, NULL, NULL),
                     SQLITE_BUSY);
    sqlite3_close(db);
}

/* Opening waits for a lock of somebody else, and is there once it is gone. */
static void opening_waits_for_a_lock_and_not_for_ever(void **state)
{
    struct store *s = *state;
    struct heard h;
    sqlite3 *db;

    make_file(s);
    assert_int_equal(sqlite3_open(s->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    s->options.busy_timeout_ms = 20;
    expect_refused(s, TITAN_E_OVERLOADED, "another program has it open");
    s->options.busy_timeout_ms = PATIENCE_S * 1000;
    kv_open(&s->kv, &s->loop->reactor, s->path, &s->options, hearing(&h), NULL);
    run_idle(s->loop);
    sqlite3_close(db);
    await(s, &h);
    assert_int_equal(h.code, TITAN_OK);
    expect_entry(s, "key 1", "some value");
}

static void closing_ends_the_waiting_for_a_lock(void **state)
{
    struct store *s = *state;
    struct heard h;
    sqlite3 *db;

    make_file(s);
    assert_int_equal(sqlite3_open(s->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    s->options.busy_timeout_ms = 2 * PATIENCE_S * 1000;
    kv_open(&s->kv, &s->loop->reactor, s->path, &s->options, hearing(&h), NULL);
    close_store(s);
    assert_int_equal(h.code, TITAN_E_OVERLOADED);
    sqlite3_close(db);
}

/* ---- too much ---- */

static void beyond_so_many_operations_it_is_overloaded(void **state)
{
    struct store *s = *state;
    struct failure why;
    struct heard h[3];

    s->options.max_waiting = 3;
    expect_opens(s);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kv_get(s->kv, span_of("a"), hearing(&h[i]), &why), TITAN_OK);
    }
    assert_int_equal(kv_get(s->kv, span_of("a"), NULL, &why), TITAN_E_OVERLOADED);
    assert_non_null(strstr(why.message, s->path));
    await(s, &h[2]);
    expect_entry(s, "a", NULL);
}

static void beyond_so_many_bytes_it_is_overloaded(void **state)
{
    struct store *s = *state;
    struct heard h;

    s->options.max_waiting_bytes = 10;
    expect_opens(s);
    assert_int_equal(kv_remove(s->kv, span_of("elevenbytes"), NULL, NULL), TITAN_E_LIMIT_EXCEEDED);
    kv_put(s->kv, KV_REPLACE, span_of("three"), span_of("more"), KV_FOREVER, hearing(&h), NULL);
    assert_int_equal(
        kv_put(s->kv, KV_REPLACE, span_of("a"), span_of("bcd"), KV_FOREVER, NULL, NULL),
        TITAN_E_OVERLOADED);
    assert_int_equal(kv_get(s->kv, span_of("a"), NULL, NULL), TITAN_OK);
    await(s, &h);
    put(s, KV_REPLACE, "a", "bcd", KV_FOREVER);
}

/* SIGXFSZ has its default action, and kills nobody. */
static void
when_the_disk_is_full_a_transaction_fails_as_a_whole_and_later_ones_are_tried(void **state)
{
    struct store *s = *state;
    struct rlimit limit, before;
    struct heard small, large;
    char *bytes = malloc(100000);

    memset(bytes, 'x', 100000);
    expect_opens(s);
    put(s, KV_REPLACE, "before", "1", KV_FOREVER);
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = (rlim_t)size_of(s->wal) + 40000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    kv_put(s->kv, KV_REPLACE, span_of("small"), span_of("1"), KV_FOREVER, hearing(&small), NULL);
    kv_put(s->kv, KV_REPLACE, span_of("large"), (struct span){(uint8_t *)bytes, 100000}, KV_FOREVER,
           hearing(&large), NULL);
    await(s, &large);
    expect_entry(s, "before", "1");
    expect_entry(s, "small", NULL);
    assert_int_equal(put(s, KV_INSERT, "meanwhile", "1", KV_FOREVER).code, TITAN_OK);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(small.code, TITAN_E_LIMIT_EXCEEDED);
    assert_int_equal(large.code, TITAN_E_LIMIT_EXCEEDED);
    assert_non_null(strstr(large.message, strerror(EFBIG)));
    assert_false(put(s, KV_INSERT, "small", "2", KV_FOREVER).found);
    close_store(s);
    expect_opens(s);
    expect_entry(s, "small", "2");
    expect_entry(s, "large", NULL);
    free(bytes);
}

/* ---- the end of the process ---- */

/* In a process of its own: puts, says so, and goes on putting until it is killed. */
_Noreturn static void put_until_killed(struct store *s, int told)
{
    struct fixture f;

    uv_loop_init(&f.loop);
    reactor_open(&f.reactor, &f.loop);
    s->loop = &f;
    expect_opens(s);
    for (int i = 0;; i++) {
        char key[16];

        snprintf(key, sizeof key, "%d", i);
        put(s, KV_INSERT, key, "v", KV_FOREVER);
        if (write(told, &i, sizeof i) != sizeof i) {
            _exit(1);
        }
    }
}

static void what_was_answered_survives_a_sigkill(void **state)
{
    struct store *s = *state;
    int told[2];
    int last = -1;
    int read_now;
    pid_t child;
    char key[16];

    assert_int_equal(pipe(told), 0);
    child = fork();
    if (child == 0) {
        put_until_killed(s, told[1]);
    }
    close(told[1]);
    while (last < 50 && read(told[0], &last, sizeof last) == sizeof last) {
    }
    assert_int_equal(last, 50);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    while (read(told[0], &read_now, sizeof read_now) == sizeof read_now) {
        last = read_now;
    }
    close(told[0]);
    expect_opens(s);
    for (int i = 0; i <= last; i++) {
        snprintf(key, sizeof key, "%d", i);
        expect_entry(s, key, "v");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(a_directory_that_is_not_there_is_refused),
        store_test(a_file_in_the_place_of_the_directory_is_refused),
        store_test(a_directory_a_pipe_and_no_name_are_refused),
        store_test(a_relative_path_is_a_file_whatever_its_name_means_to_sqlite),
        store_test(a_file_that_may_only_be_read_is_refused),
        store_test(a_directory_that_may_only_be_read_is_refused),
        store_test(a_sound_file_in_a_directory_that_may_only_be_read_is_refused),
        store_test(garbage_is_refused_and_left_alone),
        store_test(the_database_of_another_program_is_refused_and_left_alone),
        store_test(a_file_of_a_newer_version_is_refused),
        store_test(a_truncated_file_is_damaged),
        store_test(damage_inside_fails_what_meets_it_and_nothing_is_made_up),
        store_test(without_a_file_every_operation_fails_with_what_opening_failed_with),
        store_test(a_second_store_on_the_same_file_is_told_so),
        store_test(nobody_else_looks_into_an_open_file),
        store_test(opening_waits_for_a_lock_and_not_for_ever),
        store_test(closing_ends_the_waiting_for_a_lock),
        store_test(beyond_so_many_operations_it_is_overloaded),
        store_test(beyond_so_many_bytes_it_is_overloaded),
        store_test(when_the_disk_is_full_a_transaction_fails_as_a_whole_and_later_ones_are_tried),
        store_test(what_was_answered_survives_a_sigkill),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
