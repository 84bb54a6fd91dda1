/*
 * Supervisors with children that only write down what they are told, on a clock that only the test
 * moves.
 *
 * Two logs: what the supervisors did to their children ("start a, stop b"), and what their owner
 * heard ("a up, started"). expect_did and expect_heard compare one and empty it.
 */
#ifndef TITAN_CTEST_CHILDREN_H
#define TITAN_CTEST_CHILDREN_H

#include "unit.h"

#include <stdio.h>

#include "manager/child_supervisor.h"

#define NO_ALARM UINT64_MAX
#define SHUTDOWN_MS 700

enum answer { AT_ONCE, LATER, FAILS };

/* What a child of a test is, besides permanent and in the way of nobody. */
enum trait {
    PLAIN = 0,
    CRITICAL = 1,
    OPTIONAL = 2,
    TRANSIENT = 4,
    TEMPORARY = 8,
    SLOW_START = 16, /* up only when the test says so */
    SLOW_STOP = 32,  /* down only when the test says so */
    NO_START = 64    /* every start fails */
};

struct world;

struct fake {
    struct child child;
    struct world *world;
    enum answer starts, stops;
    uint32_t told_timeout_ms;
    unsigned let_go; /* how often */
};

/* A supervisor of the test, and the turn and the alarm of its own. */
struct house {
    struct supervisor supervisor;
    struct child_supervisor as_child;
    struct world *world;
    const char *name; /* before its events; "" for the first */
    bool soon;
    uint64_t alarm_ms; /* NO_ALARM when none is armed */
    bool no_memory;    /* the next alarm cannot be armed */
};

#define HOUSES 4

struct world {
    uint64_t now_ms;
    struct random random;
    struct house houses[HOUSES];
    char did[4096], heard[4096];
    /* Once, in the event of these words: what an owner may do there. */
    const char *on;
    void (*react)(struct world *w, struct child *c);
};

/* ---- logs ---- */

__attribute__((format(printf, 2, 3))) static inline void note(char *log, const char *format, ...)
{
    size_t len = strlen(log);
    va_list args;

    if (len > 0) {
        len += (size_t)snprintf(log + len, 4096 - len, ", ");
    }
    va_start(args, format);
    vsnprintf(log + len, 4096 - len, format, args);
    va_end(args);
}

static inline void expect_log(char *log, const char *expected, const char *file, int line)
{
    if (strcmp(log, expected) != 0) {
        print_error("expected: %s\n but was: %s\n", expected, log);
        _fail(file, line);
    }
    *log = '\0';
}

#define expect_did(w, expected) expect_log((w)->did, expected, __FILE__, __LINE__)
#define expect_heard(w, expected) expect_log((w)->heard, expected, __FILE__, __LINE__)

static inline void forget(struct world *w)
{
    *w->did = '\0';
    *w->heard = '\0';
}

/* ---- children ---- */

static inline struct fake *fake_of(struct child *c)
{
    return list_entry(c, struct fake, child);
}

static inline const struct failure *broken(void)
{
    static const struct failure why = {TITAN_E_WORKER_LOST, "it broke"};

    return &why;
}

static inline void fake_start(struct child *c)
{
    struct fake *f = fake_of(c);

    note(f->world->did, "start %s", c->name);
    if (f->starts == AT_ONCE) {
        child_up(c);
    } else if (f->starts == FAILS) {
        child_start_failed(c, broken());
    }
}

static inline void fake_stop(struct child *c, uint32_t timeout_ms)
{
    struct fake *f = fake_of(c);

    note(f->world->did, "stop %s", c->name);
    f->told_timeout_ms = timeout_ms;
    if (f->stops == AT_ONCE) {
        child_down(c);
    }
}

static inline void fake_let_go(struct child *c)
{
    fake_of(c)->let_go++;
}

static inline void fake_free(struct child *c)
{
    note(fake_of(c)->world->did, "free %s", c->name);
    free(fake_of(c));
}

static inline const struct child_ops *fake_ops(void)
{
    static const struct child_ops ops = {fake_start, fake_stop, fake_let_go, fake_free};

    return &ops;
}

static inline struct child_spec spec_of(const char *name, unsigned traits)
{
    return (struct child_spec){.name = name,
                               .restart = traits & TEMPORARY   ? CHILD_TEMPORARY
                                          : traits & TRANSIENT ? CHILD_TRANSIENT
                                                               : CHILD_PERMANENT,
                               .critical = traits & CRITICAL,
                               .optional = traits & OPTIONAL,
                               .shutdown_timeout_ms = SHUTDOWN_MS,
                               .policy = {.enabled = true,
                                          .max_restarts = 3,
                                          .window_ms = 10000,
                                          .delay_ms = 50,
                                          .backoff = BACKOFF_EXPONENTIAL,
                                          .initial_ms = 1000,
                                          .max_ms = 60000,
                                          .factor = 2}};
}

static inline struct fake *add(struct house *h, const char *name, unsigned traits)
{
    struct fake *f = calloc(1, sizeof *f);
    struct child_spec spec = spec_of(name, traits);

    assert_non_null(f);
    f->world = h->world;
    f->starts = traits & NO_START ? FAILS : traits & SLOW_START ? LATER : AT_ONCE;
    f->stops = traits & SLOW_STOP ? LATER : AT_ONCE;
    supervisor_add(&h->supervisor, &f->child, fake_ops(), &spec);
    return f;
}

/* One of each letter. */
static inline void add_all(struct house *h, const char *letters, unsigned traits)
{
    for (; *letters != '\0'; letters++) {
        add(h, (char[]){*letters, '\0'}, traits);
    }
}

/* ---- owners ---- */

static inline struct house *house_of(struct supervisor *s)
{
    return list_entry(s, struct house, supervisor);
}

__attribute__((format(printf, 3, 4))) static inline void tell(struct supervisor *s, struct child *c,
                                                              const char *format, ...)
{
    struct world *w = house_of(s)->world;
    char what[128];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    note(w->heard, "%s", what);
    if (w->on != NULL && strcmp(w->on, what) == 0) {
        w->on = NULL;
        w->react(w, c);
    }
}

static inline void on_starting(struct supervisor *s)
{
    assert_int_equal(s->state, SUPERVISOR_STARTING);
}

static inline void on_started(struct supervisor *s)
{
    tell(s, NULL, "%sstarted", house_of(s)->name);
}

static inline void on_start_failed(struct supervisor *s)
{
    assert_int_not_equal(s->failure.code, TITAN_OK);
    tell(s, NULL, "%sstart-failed", house_of(s)->name);
}

static inline void on_stopped(struct supervisor *s)
{
    tell(s, NULL, "%s%s", house_of(s)->name, s->failure.code == TITAN_OK ? "stopped" : "gave-up");
}

static inline void on_child_up(struct supervisor *s, struct child *c)
{
    tell(s, c, "%s up", c->name);
}

static inline void on_child_crashed(struct supervisor *s, struct child *c, bool asks)
{
    assert_int_not_equal(c->last_error.code, TITAN_OK);
    tell(s, c, "%s crashed%s", c->name, asks ? "?" : "");
}

static inline void on_child_stopped(struct supervisor *s, struct child *c)
{
    tell(s, c, "%s stopped", c->name);
}

static inline void on_child_start_failed(struct supervisor *s, struct child *c)
{
    assert_non_null(strstr(c->last_error.message, broken()->message));
    tell(s, c, "%s start-failed", c->name);
}

static inline void on_child_failed(struct supervisor *s, struct child *c)
{
    tell(s, c, "%s failed", c->name);
}

static inline void on_child_removed(struct supervisor *s, struct child *c)
{
    tell(s, c, "%s removed", c->name);
}

static inline const struct supervisor_events *owner(void)
{
    static const struct supervisor_events events = {
        on_starting,     on_started,       on_start_failed,  on_stopped,
        on_child_up,     on_child_crashed, on_child_stopped, on_child_start_failed,
        on_child_failed, on_child_removed,
    };

    return &events;
}

/* ---- time ---- */

static inline uint64_t virtual_now_ms(struct supervisor *s)
{
    return house_of(s)->world->now_ms;
}

static inline void virtual_work_soon(struct supervisor *s)
{
    house_of(s)->soon = true;
}

static inline bool virtual_work_in(struct supervisor *s, uint64_t ms)
{
    struct house *h = house_of(s);

    if (h->no_memory) {
        h->no_memory = false;
        return false;
    }
    h->alarm_ms = ms == UINT64_MAX ? NO_ALARM : h->world->now_ms + ms;
    return true;
}

static inline const struct supervisor_clock *virtual_clock(void)
{
    static const struct supervisor_clock clock = {virtual_now_ms, virtual_work_soon,
                                                  virtual_work_in};

    return &clock;
}

/* Ends the turn: until nothing is to be done at this time. */
static inline void pump(struct world *w)
{
    unsigned rounds = 0;
    bool worked = true;

    while (worked) {
        worked = false;
        for (size_t i = 0; i < HOUSES; i++) {
            struct house *h = &w->houses[i];

            if (h->soon) {
                h->soon = false;
                worked = true;
                supervisor_work(&h->supervisor);
            }
        }
        assert_true(rounds++ < 1000); /* it comes to rest */
    }
}

static inline struct house *next_to_ring(struct world *w)
{
    struct house *next = &w->houses[0];

    for (size_t i = 1; i < HOUSES; i++) {
        next = w->houses[i].alarm_ms < next->alarm_ms ? &w->houses[i] : next;
    }
    return next;
}

static inline void advance(struct world *w, uint64_t ms)
{
    uint64_t until_ms = w->now_ms + ms;
    struct house *h;

    pump(w);
    while (h = next_to_ring(w), h->alarm_ms <= until_ms) {
        w->now_ms = h->alarm_ms;
        h->alarm_ms = NO_ALARM;
        supervisor_work(&h->supervisor);
        pump(w);
    }
    w->now_ms = until_ms;
}

/* ---- a world for each test ---- */

static inline struct house *build(struct world *w, size_t i, const char *name,
                                  enum supervisor_strategy strategy)
{
    struct house *h = &w->houses[i];

    h->name = name;
    supervisor_init(&h->supervisor, strategy, false, &w->random, virtual_clock(), owner());
    return h;
}

static inline int world_open(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    if (w == NULL) {
        return -1;
    }
    *state = w;
    w->now_ms = 1000000;
    w->random.state = 42;
    for (size_t i = 0; i < HOUSES; i++) {
        w->houses[i].world = w;
        w->houses[i].alarm_ms = NO_ALARM;
        build(w, i, "", ONE_FOR_ONE);
    }
    return 0;
}

static inline int world_close(void **state)
{
    struct world *w = *state;

    for (size_t i = 0; i < HOUSES; i++) {
        supervisor_drop_children(&w->houses[i].supervisor);
    }
    free(w);
    return 0;
}

#define world_test(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)

/* The supervisor of a test that needs only one, with children of these letters. */
static inline struct house *first(struct world *w, enum supervisor_strategy strategy,
                                  const char *letters)
{
    struct house *h = build(w, 0, "", strategy);

    add_all(h, letters, PLAIN);
    return h;
}

/* ---- what happens in a test ---- */

static inline struct fake *at(struct house *h, const char *name)
{
    struct child *c = supervisor_child(&h->supervisor, name);

    assert_non_null(c);
    return fake_of(c);
}

static inline void start(struct house *h)
{
    supervisor_start(&h->supervisor);
    pump(h->world);
}

/* Started, and nothing of it in the logs. */
static inline void start_quietly(struct house *h)
{
    start(h);
    assert_int_equal(h->supervisor.state, SUPERVISOR_RUNNING);
    forget(h->world);
}

static inline void stop(struct house *h)
{
    supervisor_stop(&h->supervisor);
    pump(h->world);
}

static inline void up(struct house *h, const char *name)
{
    child_up(&at(h, name)->child);
    pump(h->world);
}

static inline void down(struct house *h, const char *name)
{
    child_down(&at(h, name)->child);
    pump(h->world);
}

static inline void crash(struct house *h, const char *name)
{
    child_crashed(&at(h, name)->child, broken());
    pump(h->world);
}

/* Nothing comes of it any more, however long one waits. */
static inline void expect_rest(struct house *h)
{
    forget(h->world);
    pump(h->world);
    for (size_t i = 0; i < HOUSES; i++) {
        assert_int_equal(h->world->houses[i].alarm_ms, NO_ALARM);
    }
    expect_did(h->world, "");
    expect_heard(h->world, "");
}

#endif
