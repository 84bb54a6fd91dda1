/* The liveness sweep, with workers of a real zygote whose exit the loop is made not to see. */
#include "loop.h"

#include <signal.h>
#include <stdio.h>

#include "manager/manager.h"
#include "wire/mp_write.h"

#define SWEEP_MS 10
#define STARTUP_MS 20000

struct swept {
    struct fixture *f;
    struct manager manager;
    char class_file[64];
    int ready, down, ended;
    int exit_signal, exit_code; /* at the last `down` or `ended` */
    enum process_outcome outcome;
    bool closed;
};

/* ---- what is heard ---- */

static void on_process(void *ctx, struct process *p)
{
    (void)ctx;
    (void)p;
}

static void on_payload(void *ctx, struct process *p, struct span payload)
{
    (void)ctx;
    (void)p;
    (void)payload;
}

static void on_ready(void *ctx, struct process *p, struct span payload)
{
    struct swept *s = ctx;

    on_payload(ctx, p, payload);
    s->ready++;
}

static void note_end(struct swept *s, const struct process *p)
{
    s->exit_signal = p->exit_signal;
    s->exit_code = p->exit_code;
    s->outcome = p->outcome;
}

static void on_down(void *ctx, struct process *p, int64_t wait_ms)
{
    struct swept *s = ctx;

    (void)wait_ms;
    note_end(s, p);
    s->down++;
}

static void on_ended(void *ctx, struct process *p)
{
    struct swept *s = ctx;

    note_end(s, p);
    s->ended++;
}

static void on_health(void *ctx, struct process *p, unsigned what)
{
    (void)ctx;
    (void)p;
    (void)what;
}

static void on_line(void *ctx, struct process *p, bool is_stderr, const char *text, size_t len)
{
    (void)ctx;
    (void)is_stderr;
    print_message("%s: %.*s\n", p->name, (int)len, text);
}

static void on_asked(void *ctx, struct process *p, struct span service, const struct message *m)
{
    (void)ctx;
    (void)p;
    (void)service;
    (void)m;
    assert_true(false); /* nobody asks the manager for anything here */
}

static void on_closed(void *ctx)
{
    ((struct swept *)ctx)->closed = true;
}

/* ---- a manager and its workers ---- */

static void put(struct buf *b, const char *text)
{
    assert_true(mp_write_str(b, text, strlen(text)));
}

static void write_boot(struct buf *b)
{
    assert_true(mp_write_map(b, 3));
    put(b, "path");
    put(b, "");
    put(b, "cpath");
    put(b, "");
    put(b, "preload");
    assert_true(mp_write_array(b, 0));
}

static void write_limits(struct buf *b)
{
    const struct wire_limits limits = WIRE_LIMITS_DEFAULT;

    assert_true(mp_write_map(b, 3));
    put(b, "frame");
    assert_true(mp_write_int(b, limits.frame));
    put(b, "nesting");
    assert_true(mp_write_int(b, limits.nesting));
    put(b, "outstanding");
    assert_true(mp_write_int(b, limits.outstanding));
}

/* As lua/titan/manager/starting.lua writes it. */
static void write_spec(struct buf *b, const char *file, const char *name)
{
    assert_true(mp_write_map(b, 9));
    put(b, "file");
    put(b, file);
    put(b, "name");
    put(b, name);
    put(b, "named");
    assert_true(mp_write_bool(b, true));
    put(b, "options");
    assert_true(mp_write_map(b, 0));
    put(b, "env");
    assert_true(mp_write_map(b, 0));
    put(b, "dependencies");
    assert_true(mp_write_array(b, 0));
    put(b, "limits");
    write_limits(b);
    put(b, "timeout");
    assert_true(mp_write_int(b, 0));
    put(b, "supervised");
    assert_true(mp_write_bool(b, false));
}

static void write_class(struct swept *s)
{
    static const char class[] = "return require(\"titan\").process { methods = {} }\n";
    int fd;

    snprintf(s->class_file, sizeof s->class_file, "/tmp/titan-sweep-XXXXXX");
    fd = mkstemp(s->class_file);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, class, sizeof class - 1), sizeof class - 1);
    close(fd);
}

static void open_manager(struct swept *s, struct fixture *f, uint32_t sweep_interval_ms)
{
    static const struct manager_events events = {
        on_process, on_payload, on_ready, on_payload, on_down,   on_ended,
        on_health,  on_line,    on_asked, on_process, on_closed,
    };
    struct manager_options options = {.limits = WIRE_LIMITS_DEFAULT,
                                      .sweep_interval_ms = sweep_interval_ms};
    const char *build = getenv("TITAN_BUILD");
    char zygote[256];
    struct buf boot = {0};
    struct failure why;

    assert_non_null(build);
    snprintf(zygote, sizeof zygote, "%s/titan-zygote", build);
    assert_int_equal(setenv("TITAN_ZYGOTE", zygote, 1), 0);
    *s = (struct swept){.f = f};
    write_class(s);
    write_boot(&boot);
    options.boot = (struct span){buf_front(&boot), buf_len(&boot)};
    assert_int_equal(manager_open(&s->manager, &f->reactor, &options, &events, s, &why), TITAN_OK);
    buf_free(&boot);
}

static void close_manager(struct swept *s)
{
    manager_close(&s->manager);
    run_until(s->f, s->closed);
    manager_free(&s->manager);
    unlink(s->class_file);
}

static struct process *spawn(struct swept *s, const char *name, uint32_t max_restarts)
{
    struct process_spec spec = {.name = name,
                                .startup_timeout_ms = STARTUP_MS,
                                .restart = {.enabled = true,
                                            .max_restarts = max_restarts,
                                            .window_ms = 1000000,
                                            .backoff = BACKOFF_FIXED,
                                            .factor = 1}};
    int before = s->ready;
    struct process *p = NULL;
    struct buf b = {0};
    struct failure why;

    write_spec(&b, s->class_file, name);
    spec.spec = (struct span){buf_front(&b), buf_len(&b)};
    assert_int_equal(manager_spawn(&s->manager, &spec, &p, &why), TITAN_OK);
    buf_free(&b);
    run_until(s->f, s->ready > before || s->ended > 0);
    assert_int_equal(p->state, PROCESS_RUNNING);
    return p;
}

/* Its exit can be found out by asking only. */
static void kill_unseen(struct process *p)
{
    assert_int_equal(watch_events(p->exit, 0), 0);
    assert_int_equal(kill(p->pid, SIGKILL), 0);
}

static void let_sweep(struct swept *s, unsigned times)
{
    unsigned until = s->manager.sweeps + times;

    run_until(s->f, s->manager.sweeps >= until);
}

/* ---- tests ---- */

static void test_an_unseen_death_is_found_and_followed_by_a_restart(void **state)
{
    struct swept s;
    struct process *p;
    pid_t pid;

    open_manager(&s, *state, SWEEP_MS);
    p = spawn(&s, "worker", 5);
    pid = p->pid;
    kill_unseen(p);
    run_until(s.f, s.down > 0 || s.ended > 0);
    assert_int_equal(s.down, 1);
    assert_int_equal(s.outcome, OUTCOME_CRASHED);
    assert_int_equal(s.exit_signal, SIGKILL);
    assert_int_equal(s.exit_code, -1);
    assert_int_equal(kill(pid, 0), -1); /* reaped */
    run_until(s.f, s.ready == 2);
    assert_int_equal(p->state, PROCESS_RUNNING);
    assert_int_equal(p->restart_count, 1);
    assert_int_not_equal(p->pid, pid);
    let_sweep(&s, 10);
    assert_int_equal(s.down, 1);
    assert_int_equal(s.ended, 0);
    close_manager(&s);
}

static void test_an_unseen_death_is_an_end_for_who_has_no_more_restarts(void **state)
{
    struct swept s;
    struct process *p;

    open_manager(&s, *state, SWEEP_MS);
    p = spawn(&s, "worker", 0);
    kill_unseen(p);
    run_until(s.f, s.down > 0 || s.ended > 0);
    assert_int_equal(s.down, 0);
    assert_int_equal(s.ended, 1);
    assert_int_equal(s.outcome, OUTCOME_CRASHED);
    assert_int_equal(s.exit_signal, SIGKILL);
    assert_int_equal(p->last_error.code, TITAN_E_WORKER_LOST);
    close_manager(&s);
}

static void test_all_that_died_are_found_and_no_other(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    struct process *p[count_of(names)];
    pid_t healthy;
    struct swept s;

    open_manager(&s, *state, SWEEP_MS);
    for (size_t i = 0; i < count_of(names); i++) {
        p[i] = spawn(&s, names[i], 0);
    }
    healthy = p[2]->pid;
    kill_unseen(p[0]);
    kill_unseen(p[1]);
    kill_unseen(p[3]);
    run_until(s.f, s.ended == 3);
    let_sweep(&s, 5);
    assert_int_equal(s.ended, 3);
    assert_int_equal(p[2]->state, PROCESS_RUNNING);
    assert_int_equal(p[2]->pid, healthy);
    close_manager(&s);
}

static void test_a_healthy_worker_is_left_alone(void **state)
{
    struct swept s;
    struct process *p;
    pid_t pid;

    open_manager(&s, *state, 1);
    p = spawn(&s, "worker", 5);
    pid = p->pid;
    let_sweep(&s, 100);
    assert_int_equal(p->state, PROCESS_RUNNING);
    assert_int_equal(p->pid, pid);
    assert_int_equal(s.down + s.ended, 0);
    process_stop(p, STARTUP_MS);
    run_until(s.f, s.ended == 1);
    assert_int_equal(s.outcome, OUTCOME_STOPPED);
    assert_int_equal(s.exit_code, 0);
    close_manager(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        loop_test(test_an_unseen_death_is_found_and_followed_by_a_restart),
        loop_test(test_an_unseen_death_is_an_end_for_who_has_no_more_restarts),
        loop_test(test_all_that_died_are_found_and_no_other),
        loop_test(test_a_healthy_worker_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
