#include "unit.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "spawn/sched.h"
#include "spawn/sched_parts.h"

#define PATIENCE_S 60 /* a test that takes longer is killed by SIGALRM */
#define MS ((uint64_t)1000000)

/* ---- what the tests share ---- */

/* A unit that does what its test says. */
struct probe {
    struct unit unit;
    enum unit_next (*does)(struct probe *p, struct sched_thread *on);
    atomic_bool running; /* two runs at a time fail the test */
    atomic_bool stop;    /* ends at its next run */
    atomic_int runs;
    atomic_int thread; /* of the last run */
    atomic_int ended;
    int work;         /* a test's own */
    atomic_int other; /* a test's own */
    void *with;       /* a test's own */
};

static struct probe *probe_of(struct unit *u)
{
    return list_entry(u, struct probe, unit);
}

/* cmocka's assertions are for the thread of the test: elsewhere a test that fails aborts. */
static void must(bool condition)
{
    if (!condition) {
        abort();
    }
}

static enum unit_next run_probe(struct unit *u, struct sched_thread *on)
{
    struct probe *p = probe_of(u);
    enum unit_next next;

    must(!atomic_exchange_explicit(&p->running, true, memory_order_relaxed));
    must(sched_thread_self(u->sched) == on);
    atomic_store(&p->thread, (int)sched_thread_index(on));
    next = atomic_load(&p->stop) ? UNIT_ENDED : p->does != NULL ? p->does(p, on) : UNIT_IDLE;
    atomic_store_explicit(&p->running, false, memory_order_relaxed);
    atomic_fetch_add(&p->runs, 1);
    return next;
}

static void probe_ended(struct unit *u, struct sched_thread *on)
{
    (void)on;
    atomic_fetch_add(&probe_of(u)->ended, 1);
}

static const struct unit_ops probe_ops = {run_probe, probe_ended};

static void init(struct probe *p, struct sched *s, int home,
                 enum unit_next (*does)(struct probe *p, struct sched_thread *on))
{
    memset(p, 0, sizeof *p);
    p->does = does;
    unit_init(&p->unit, s, &probe_ops, home);
}

/* Until something another thread does has happened. */
#define await(condition)                                                                           \
    while (!(condition)) {                                                                         \
        sched_yield();                                                                             \
    }

static void end_all(struct probe *p, int count)
{
    for (int i = 0; i < count; i++) {
        atomic_store(&p[i].stop, true);
        unit_wake(&p[i].unit);
    }
    for (int i = 0; i < count; i++) {
        await(atomic_load(&p[i].ended));
        assert_int_equal(atomic_load(&p[i].ended), 1);
    }
}

static struct sched *open_threads(unsigned threads)
{
    struct sched_options options = {.threads = threads};
    struct sched *s = sched_open(&options);

    assert_non_null(s);
    return s;
}

static uint64_t steals(struct sched *s, unsigned thread)
{
    struct sched_stats stats;

    sched_thread_stats(sched_thread_at(s, thread), &stats);
    return stats.steals;
}

static uint64_t runs(struct sched *s, unsigned thread)
{
    struct sched_stats stats;

    sched_thread_stats(sched_thread_at(s, thread), &stats);
    return stats.runs;
}

static int set_up(void **state)
{
    (void)state;
    alarm(PATIENCE_S);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    alarm(0);
    return 0;
}

#define sched_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* ---- wakes ---- */

static void a_unit_runs_when_it_is_woken_and_not_before(void **state)
{
    struct sched *s = open_threads(1);
    struct probe p[2];

    (void)state;
    init(&p[0], s, 0, NULL);
    init(&p[1], s, 0, NULL);
    assert_int_equal(sched_units(s), 2);
    unit_wake(&p[1].unit);
    await(atomic_load(&p[1].runs) == 1);
    assert_int_equal(atomic_load(&p[0].runs), 0);
    end_all(p, 2);
    assert_int_equal(sched_units(s), 0);
    assert_int_equal(runs(s, 0), 3);
    sched_close(s);
}

#define PASSES 4000

/* Plain memory: each run sees what was written before the wake, or the thread sanitizer complains.
 */
struct ball {
    int passes;
    struct probe p[2];
};

static enum unit_next pass_back(struct probe *p, struct sched_thread *on)
{
    struct ball *ball = p->with;

    (void)on;
    if (ball->passes < PASSES) {
        ball->passes++;
        unit_wake(&ball->p[p == &ball->p[0] ? 1 : 0].unit);
    } else {
        atomic_store(&p->other, 1);
    }
    return UNIT_IDLE;
}

static void a_run_sees_what_was_written_before_its_wake(void **state)
{
    struct sched *s = open_threads(2);
    struct ball ball = {0};

    (void)state;
    for (int i = 0; i < 2; i++) {
        init(&ball.p[i], s, i, pass_back);
        unit_pin(&ball.p[i].unit);
        ball.p[i].with = &ball;
    }
    unit_wake(&ball.p[0].unit);
    await(atomic_load(&ball.p[0].other) == 1);
    await(runs(s, 1) == PASSES / 2); /* counted after the run */
    end_all(ball.p, 2);
    sched_close(s);
}

#define PRODUCERS 3
#define PRODUCED 3000

struct producer {
    struct probe *to;
    struct probe *unit; /* that produces on a thread of the scheduler, or NULL */
    int made;
    atomic_int count; /* what the consumer sees of `made` */
    atomic_int seen;  /* what it has seen */
};

struct producers {
    struct producer each[PRODUCERS];
};

static enum unit_next consume(struct probe *p, struct sched_thread *on)
{
    struct producers *all = p->with;

    (void)on;
    for (int i = 0; i < PRODUCERS; i++) {
        struct producer *from = &all->each[i];
        int count = atomic_load_explicit(&from->count, memory_order_relaxed);

        if (count > atomic_load_explicit(&from->seen, memory_order_relaxed)) {
            atomic_store(&from->seen, count);
            if (from->unit != NULL) {
                unit_wake(&from->unit->unit);
            }
        }
    }
    return UNIT_IDLE;
}

static void produce_one(struct producer *p)
{
    p->made++;
    atomic_store_explicit(&p->count, p->made, memory_order_relaxed);
    unit_wake(&p->to->unit);
}

static enum unit_next produce(struct probe *p, struct sched_thread *on)
{
    struct producer *me = p->with;

    (void)on;
    if (atomic_load(&me->seen) == me->made && me->made < PRODUCED) {
        produce_one(me);
    }
    return UNIT_IDLE;
}

static void *produce_all(void *arg)
{
    struct producer *me = arg;

    while (me->made < PRODUCED) {
        produce_one(me);
        await(atomic_load(&me->seen) == me->made);
    }
    return NULL;
}

/* One producer is a thread of the test, two are units. Each goes on when its last was seen: after a
 * wake that leads to no run, or to one that does not see it, the test never ends. */
static void each_wake_leads_to_a_run_after_it(void **state)
{
    struct sched *s = open_threads(2);
    struct producers all;
    struct probe p[PRODUCERS + 1];
    pthread_t thread;

    (void)state;
    memset(&all, 0, sizeof all);
    init(&p[PRODUCERS], s, -1, consume);
    p[PRODUCERS].with = &all;
    for (int i = 0; i < PRODUCERS; i++) {
        init(&p[i], s, -1, produce);
        p[i].with = &all.each[i];
        all.each[i].unit = i > 0 ? &p[i] : NULL;
        all.each[i].to = &p[PRODUCERS];
    }
    pthread_create(&thread, NULL, produce_all, &all.each[0]);
    unit_wake(&p[1].unit);
    unit_wake(&p[2].unit);
    for (int i = 0; i < PRODUCERS; i++) {
        await(atomic_load(&all.each[i].seen) == PRODUCED);
    }
    pthread_join(thread, NULL);
    end_all(p, PRODUCERS + 1);
    sched_close(s);
}

/* Wakes that meet the thread at whatever it does between the end of a run and its sleep. */
static void no_wake_is_lost_on_a_thread_that_goes_to_sleep(void **state)
{
    struct sched *s = open_threads(1);
    struct probe p;
    uint32_t seed = 1;

    (void)state;
    init(&p, s, 0, NULL);
    for (int i = 1; i <= 20000; i++) {
        unit_wake(&p.unit);
        await(atomic_load(&p.runs) == i);
        for (volatile uint32_t spins = next_random(&seed) % 1024; spins > 0; spins--) {
        }
    }
    end_all(&p, 1);
    sched_close(s);
}

static enum unit_next wait_for_other(struct probe *p, struct sched_thread *on)
{
    (void)on;
    atomic_fetch_add(&p->other, 1);
    await(atomic_load(&p->other) != 1);
    return UNIT_IDLE;
}

static void a_unit_that_is_woken_while_it_runs_runs_once_more(void **state)
{
    struct sched *s = open_threads(2);
    struct probe p;

    (void)state;
    init(&p, s, 0, wait_for_other);
    unit_wake(&p.unit);
    await(atomic_load(&p.other) == 1);
    for (int i = 0; i < 10; i++) {
        unit_wake(&p.unit);
    }
    atomic_store(&p.other, 2);
    await(atomic_load(&p.runs) == 2);
    end_all(&p, 1);
    assert_int_equal(atomic_load(&p.runs), 3);
    sched_close(s);
}

static void a_unit_may_be_told_to_end_while_it_is_queued(void **state)
{
    struct sched *s = open_threads(1);
    struct probe blocks, p;

    (void)state;
    init(&blocks, s, 0, wait_for_other);
    init(&p, s, 0, NULL);
    unit_wake(&blocks.unit);
    await(atomic_load(&blocks.other) == 1);
    unit_wake(&p.unit);
    atomic_store(&p.stop, true);
    unit_wake(&p.unit);
    atomic_store(&blocks.other, 2);
    await(atomic_load(&p.ended) == 1);
    assert_int_equal(atomic_load(&p.runs), 1);
    end_all(&blocks, 1);
    sched_close(s);
}

/* ---- who runs where ---- */

#define CROWD 200

/* Wakes all of them on its own thread, and stays there until all have run: elsewhere. */
static enum unit_next wake_crowd(struct probe *p, struct sched_thread *on)
{
    struct probe *crowd = p->with;

    (void)on;
    for (int i = 0; i < CROWD; i++) {
        unit_wake(&crowd[i].unit);
    }
    for (int i = 0; i < CROWD; i++) {
        await(atomic_load(&crowd[i].runs) == 1);
    }
    return UNIT_IDLE;
}

static void an_idle_thread_takes_what_waits_for_a_busy_one(void **state)
{
    struct sched *s = open_threads(2);
    struct probe crowd[CROWD], p;
    unsigned busy;

    (void)state;
    for (int i = 0; i < CROWD; i++) {
        init(&crowd[i], s, -1, NULL);
    }
    init(&p, s, 0, wake_crowd);
    p.with = crowd;
    unit_wake(&p.unit);
    await(atomic_load(&p.runs) == 1);
    busy = (unsigned)atomic_load(&p.thread);
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(atomic_load(&crowd[i].thread), 1 - busy);
    }
    assert_true(steals(s, 1 - busy) >= CROWD);
    end_all(crowd, CROWD);
    end_all(&p, 1);
    assert_true(runs(s, busy) > 0);
    sched_close(s);
}

/* A single one that waits does not wake the other thread. The watchdog does, in the end. */
static enum unit_next wake_one(struct probe *p, struct sched_thread *on)
{
    struct probe *other = p->with;

    (void)on;
    unit_wake(&other->unit);
    await(atomic_load(&other->runs) == 1);
    return UNIT_IDLE;
}

static void a_unit_behind_a_long_run_gets_another_thread(void **state)
{
    struct sched *s = open_threads(2);
    struct probe p[2];

    (void)state;
    init(&p[0], s, 0, wake_one);
    init(&p[1], s, 0, NULL);
    p[0].with = &p[1];
    await(atomic_load(&sched_thread_at(s, 1)->sleep) == ASLEEP); /* so it does not look by itself */
    unit_wake(&p[0].unit);
    await(atomic_load(&p[0].runs) == 1);
    end_all(p, 2);
    sched_close(s);
}

static enum unit_next stay_here(struct probe *p, struct sched_thread *on)
{
    if (p->work < 0) {
        unit_pin(&p->unit);
        p->work = (int)sched_thread_index(on);
    }
    must((unsigned)p->work == sched_thread_index(on));
    return atomic_load(&p->runs) < 1000 ? UNIT_AGAIN : UNIT_IDLE;
}

/* With others around that are stolen, and woken from threads to which they are not pinned. */
static void a_pinned_unit_runs_on_its_thread_only(void **state)
{
    struct sched *s = open_threads(3);
    struct probe p[30];

    (void)state;
    for (int i = 0; i < 30; i++) {
        init(&p[i], s, i % 3, stay_here);
        p[i].work = -1;
        if (i < 3) {
            unit_pin(&p[i].unit);
            p[i].work = i;
        }
        unit_wake(&p[i].unit);
    }
    for (int i = 0; i < 30; i++) {
        await(atomic_load(&p[i].runs) >= 1000);
        unit_wake(&p[i].unit);
    }
    end_all(p, 30);
    sched_close(s);
}

/* ---- time ---- */

struct order {
    struct probe p[4];
    int came[8], count;
    uint64_t base_ns;
};

static enum unit_next note_when_due(struct probe *p, struct sched_thread *on)
{
    struct order *o = p->with;

    (void)on;
    if (p->work == 0) { /* the first run */
        unit_due(&p->unit, p->other == 0 ? UINT64_MAX : o->base_ns + (uint64_t)p->other * MS);
        p->work = 1;
    } else {
        must(now_ns() >= o->base_ns + (uint64_t)p->other * MS);
        o->came[o->count++] = p->other;
        unit_due(&p->unit, UINT64_MAX);
    }
    return UNIT_IDLE;
}

static void what_is_due_runs_in_the_order_of_its_times(void **state)
{
    struct sched *s = open_threads(1);
    static const int at_ms[4] = {30, 10, 20, 0}; /* the last one has no time */
    struct order o = {.base_ns = now_ns()};

    (void)state;
    for (int i = 0; i < 4; i++) {
        init(&o.p[i], s, 0, note_when_due);
        o.p[i].with = &o;
        o.p[i].other = at_ms[i];
        unit_wake(&o.p[i].unit);
    }
    await(atomic_load(&o.p[0].runs) == 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(o.came[i], (i + 1) * 10);
        assert_int_equal(atomic_load(&o.p[i].runs), 2);
    }
    assert_int_equal(atomic_load(&o.p[3].runs), 1);
    end_all(o.p, 4);
    sched_close(s);
}

/* Runs 1: due in an hour. 2: due at once. 3, due: due in an hour. 4: not at all. */
static enum unit_next change_due(struct probe *p, struct sched_thread *on)
{
    static const uint64_t in_ns[] = {3600000 * MS, 0, 3600000 * MS, UINT64_MAX};
    int run = atomic_load(&p->runs);

    (void)on;
    if (run < 4) {
        unit_due(&p->unit, in_ns[run] == UINT64_MAX ? UINT64_MAX : now_ns() + in_ns[run]);
    }
    return UNIT_IDLE;
}

static void a_time_is_changed_and_taken_back_by_runs_that_come_earlier(void **state)
{
    struct sched *s = open_threads(2);
    struct probe p;

    (void)state;
    init(&p, s, 0, change_due);
    unit_wake(&p.unit);
    await(atomic_load(&p.runs) == 1);
    unit_wake(&p.unit);
    await(atomic_load(&p.runs) == 3);
    unit_wake(&p.unit);
    await(atomic_load(&p.runs) == 4);
    end_all(&p, 1);
    assert_int_equal(atomic_load(&p.runs), 5);
    sched_close(s);
}

static enum unit_next keep_due(struct probe *p, struct sched_thread *on)
{
    (void)on;
    if (atomic_load(&p->runs) == 0) {
        unit_due(&p->unit, now_ns() + 20 * MS);
    }
    return UNIT_IDLE;
}

static void a_time_holds_when_its_unit_is_woken_earlier(void **state)
{
    struct sched *s = open_threads(1);
    struct probe p;

    (void)state;
    init(&p, s, 0, keep_due);
    unit_wake(&p.unit);
    await(atomic_load(&p.runs) == 1);
    unit_wake(&p.unit);
    await(atomic_load(&p.runs) == 3); /* nobody wakes it a third time */
    end_all(&p, 1);
    sched_close(s);
}

/* ---- fairness ---- */

static enum unit_next always_again(struct probe *p, struct sched_thread *on)
{
    (void)p;
    (void)on;
    return UNIT_AGAIN;
}

struct ticker {
    struct probe p;
    struct timer timer;
    uv_timer_t uv;
};

static void ticked(struct timer *t)
{
    unit_wake(&list_entry(t, struct ticker, timer)->p.unit);
}

static void uv_closed(uv_handle_t *handle)
{
    struct ticker *t = handle->data;

    t->p.work = 3;
    unit_wake(&t->p.unit);
}

static void uv_ticked(uv_timer_t *uv)
{
    uv_close((uv_handle_t *)uv, uv_closed);
}

/* A timer of the reactor, then one of libuv, then its close callback. */
static enum unit_next use_loop(struct probe *p, struct sched_thread *on)
{
    struct ticker *t = list_entry(p, struct ticker, p);

    switch (p->work) {
    case 0:
        unit_pin(&p->unit);
        t->timer.fire = ticked;
        must(timer_arm(sched_thread_reactor(on), &t->timer, 2, true));
        p->work = 1;
        return UNIT_IDLE;
    case 1:
        uv_timer_init(sched_thread_loop(on), &t->uv);
        t->uv.data = t;
        uv_timer_start(&t->uv, uv_ticked, 2, 0);
        p->work = 2;
        return UNIT_IDLE;
    case 3:
        return UNIT_ENDED;
    default:
        return UNIT_IDLE;
    }
}

static void a_unit_that_always_has_more_to_do_starves_nobody(void **state)
{
    struct sched *s = open_threads(1);
    struct probe p[3];
    struct ticker ticker = {0};

    (void)state;
    init(&p[0], s, 0, always_again);
    init(&p[1], s, 0, NULL);
    init(&p[2], s, 0, keep_due);
    init(&ticker.p, s, 0, use_loop);
    for (int i = 0; i < 3; i++) {
        unit_wake(&p[i].unit);
    }
    unit_wake(&ticker.p.unit);
    await(atomic_load(&p[1].runs) == 1);
    await(atomic_load(&p[2].runs) == 2);
    await(atomic_load(&ticker.p.ended) == 1);
    end_all(p, 3);
    sched_close(s);
}

static void a_thread_that_sleeps_serves_its_loop(void **state)
{
    struct sched *s = open_threads(2);
    struct ticker ticker = {0};

    (void)state;
    init(&ticker.p, s, 1, use_loop);
    unit_wake(&ticker.p.unit);
    await(atomic_load(&ticker.p.ended) == 1);
    sched_close(s);
}

/* ---- slices ---- */

#define SLICE_US 20000

struct overdue {
    struct probe p[3];
    struct ticker ticker;
    atomic_int reports[3], of_ticker;
    atomic_bool wrong;
};

static _Thread_local volatile sig_atomic_t interrupts; /* of this thread */

static void interrupted(int signal)
{
    (void)signal;
    interrupts++;
}

static void note_overdue(void *ctx, struct unit *u, struct sched_thread *on, uint64_t run)
{
    struct overdue *o = ctx;
    struct probe *p = probe_of(u);

    if (run % 2 == 0 || sched_thread_run(on) != run) {
        atomic_store(&o->wrong, true);
    }
    if (p == &o->ticker.p) {
        atomic_fetch_add(&o->of_ticker, 1);
    } else {
        atomic_fetch_add(&o->reports[p - o->p], 1);
        pthread_kill(sched_thread_id(on), SIGURG);
    }
}

/* Until it has been reported and interrupted twice. */
static enum unit_next spin(struct probe *p, struct sched_thread *on)
{
    struct overdue *o = p->with;
    int before = interrupts;

    (void)on;
    await(atomic_load(&o->reports[0]) >= 2 && interrupts >= before + 2);
    return UNIT_IDLE;
}

static void a_run_beyond_its_slice_is_reported_and_no_other(void **state)
{
    struct overdue o = {0};
    struct sched_options options = {
        .threads = 2, .slice_us = SLICE_US, .overdue = note_overdue, .ctx = &o};
    struct sched *s = sched_open(&options);
    struct sigaction action = {.sa_handler = interrupted}, before;

    (void)state;
    assert_non_null(s);
    sigaction(SIGURG, &action, &before);
    init(&o.p[0], s, 0, spin);
    o.p[0].with = &o;
    init(&o.p[1], s, 0, always_again);
    init(&o.p[2], s, 1, NULL);
    for (int i = 0; i < 3; i++) {
        unit_wake(&o.p[i].unit);
    }
    await(atomic_load(&o.p[0].runs) == 1);
    end_all(o.p, 3);
    sched_close(s);
    sigaction(SIGURG, &before, NULL);
    assert_true(o.reports[0] >= 2);
    assert_int_equal(o.reports[2], 0);
    assert_false(o.wrong);
}

/* Until the others have run. */
static enum unit_next run_long(struct probe *p, struct sched_thread *on)
{
    struct probe *others = p->with;

    (void)on;
    await(atomic_load(&others[0].runs) >= 2 && atomic_load(&others[1].runs) >= 2);
    return UNIT_IDLE;
}

static enum unit_next due_soon(struct probe *p, struct sched_thread *on)
{
    (void)on;
    unit_due(&p->unit, now_ns() + 30 * MS);
    return UNIT_IDLE;
}

/* One becomes due on the thread of the long run, one is queued there, and the only other thread
 * always has more to do. */
static void what_waits_behind_a_long_run_is_run_by_a_busy_thread(void **state)
{
    struct probe p[4];
    struct sched_options options = {.threads = 2, .slice_us = 2000};
    struct sched *s = sched_open(&options);

    (void)state;
    assert_non_null(s);
    init(&p[0], s, 0, run_long);
    init(&p[1], s, 0, due_soon);
    init(&p[2], s, 0, NULL);
    init(&p[3], s, 1, always_again);
    p[0].with = &p[1];
    for (int i = 3; i > 0; i--) {
        unit_wake(&p[i].unit);
        await(atomic_load(&p[i].runs) > 0);
    }
    unit_wake(&p[0].unit);
    await(atomic_load(&p[0].running));
    unit_wake(&p[2].unit);
    await(atomic_load(&p[0].runs) == 1);
    end_all(p, 4);
    sched_close(s);
}

static void spin_in_loop(uv_timer_t *uv)
{
    struct ticker *t = uv->data;
    struct overdue *o = t->p.with;
    struct sched_thread *self = sched_thread_self(t->p.unit.sched);

    unit_enter(&t->p.unit, self);
    await(atomic_load(&o->of_ticker) >= 1);
    unit_leave(&t->p.unit, self);
    uv_close((uv_handle_t *)uv, uv_closed);
}

static enum unit_next start_timer(struct probe *p, struct sched_thread *on)
{
    struct ticker *t = list_entry(p, struct ticker, p);

    if (p->work == 0) {
        p->work = 1;
        unit_pin(&p->unit);
        uv_timer_init(sched_thread_loop(on), &t->uv);
        t->uv.data = t;
        uv_timer_start(&t->uv, spin_in_loop, 1, 0);
    }
    return p->work == 3 ? UNIT_ENDED : UNIT_IDLE;
}

static void a_callback_of_the_loop_can_be_overdue(void **state)
{
    struct overdue o = {0};
    struct sched_options options = {
        .threads = 2, .slice_us = SLICE_US, .overdue = note_overdue, .ctx = &o};
    struct sched *s = sched_open(&options);

    (void)state;
    assert_non_null(s);
    init(&o.ticker.p, s, 1, start_timer);
    o.ticker.p.with = &o;
    unit_wake(&o.ticker.p.unit);
    await(atomic_load(&o.ticker.p.ended) == 1);
    sched_close(s);
    assert_false(o.wrong);
}

/* ---- many ---- */

#define MANY 100000

static void a_hundred_thousand_units_come_and_go(void **state)
{
    struct sched *s = open_threads(2);
    struct probe *p = malloc(MANY * sizeof *p);

    (void)state;
    assert_non_null(p);
    assert_true(sizeof(struct unit) <= 64);
    for (int i = 0; i < MANY; i++) {
        init(&p[i], s, -1, NULL);
        unit_wake(&p[i].unit);
    }
    assert_int_equal(sched_units(s), MANY);
    end_all(p, MANY);
    assert_int_equal(sched_units(s), 0);
    sched_close(s);
    free(p);
}

static int open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count;
}

static void opening_and_closing_leaves_nothing(void **state)
{
    int before = -1;

    (void)state;
    for (int i = 0; i < 100; i++) {
        struct sched *s = open_threads((unsigned)i % 4 + 1);
        struct probe p;

        init(&p, s, -1, NULL);
        end_all(&p, 1);
        sched_close(s);
        if (before < 0) {
            before = open_descriptors(); /* libuv keeps some for itself */
        }
    }
    assert_int_equal(open_descriptors(), before);
}

static void as_many_threads_as_asked_for_and_not_too_many(void **state)
{
    struct sched_options options = {.threads = SCHED_THREADS_MAX + 1};
    struct sched *s;

    (void)state;
    assert_null(sched_open(&options));
    s = open_threads(0);
    assert_true(sched_thread_count(s) >= 1);
    assert_null(sched_thread_self(s));
    sched_close(s);
}

/* ---- all at once ---- */

#define STRESSED 64
#define STRESS_NS (1000 * MS)

struct stress {
    struct probe p[STRESSED];
    uint32_t seed[STRESSED];
    uint64_t until_ns;
};

static enum unit_next anything(struct probe *p, struct sched_thread *on)
{
    struct stress *all = p->with;
    uint32_t *seed = &all->seed[p - all->p];
    uint32_t dice = next_random(seed);
    uint64_t now = now_ns();

    (void)on;
    if (now >= all->until_ns) {
        unit_due(&p->unit, UINT64_MAX);
        return UNIT_IDLE;
    }
    unit_wake(&all->p[(dice >> 8) % STRESSED].unit);
    switch (dice % 16) {
    case 0:
        unit_due(&p->unit, now + (uint64_t)((dice >> 16) % 2000) * 1000);
        return UNIT_IDLE;
    case 1:
        unit_due(&p->unit, UINT64_MAX);
        return UNIT_IDLE;
    case 2:
        if (p - all->p < 8) {
            unit_pin(&p->unit);
        }
        return UNIT_AGAIN;
    case 3:
        return UNIT_AGAIN;
    default:
        return UNIT_IDLE;
    }
}

static void everything_at_once_for_a_second(void **state)
{
    struct sched *s = open_threads(4);
    struct stress *all = calloc(1, sizeof *all);
    uint32_t seed = 1;

    (void)state;
    assert_non_null(all);
    all->until_ns = now_ns() + STRESS_NS;
    for (int i = 0; i < STRESSED; i++) {
        init(&all->p[i], s, -1, anything);
        all->p[i].with = all;
        all->seed[i] = (uint32_t)i + 1;
    }
    while (now_ns() < all->until_ns) {
        unit_wake(&all->p[next_random(&seed) % STRESSED].unit);
        if (seed % 64 == 0) {
            sched_yield();
        }
    }
    end_all(all->p, STRESSED);
    sched_close(s);
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sched_test(a_unit_runs_when_it_is_woken_and_not_before),
        sched_test(a_run_sees_what_was_written_before_its_wake),
        sched_test(each_wake_leads_to_a_run_after_it),
        sched_test(no_wake_is_lost_on_a_thread_that_goes_to_sleep),
        sched_test(a_unit_that_is_woken_while_it_runs_runs_once_more),
        sched_test(a_unit_may_be_told_to_end_while_it_is_queued),
        sched_test(an_idle_thread_takes_what_waits_for_a_busy_one),
        sched_test(a_unit_behind_a_long_run_gets_another_thread),
        sched_test(a_pinned_unit_runs_on_its_thread_only),
        sched_test(what_is_due_runs_in_the_order_of_its_times),
        sched_test(a_time_is_changed_and_taken_back_by_runs_that_come_earlier),
        sched_test(a_time_holds_when_its_unit_is_woken_earlier),
        sched_test(a_unit_that_always_has_more_to_do_starves_nobody),
        sched_test(a_thread_that_sleeps_serves_its_loop),
        sched_test(a_run_beyond_its_slice_is_reported_and_no_other),
        sched_test(what_waits_behind_a_long_run_is_run_by_a_busy_thread),
        sched_test(a_callback_of_the_loop_can_be_overdue),
        sched_test(a_hundred_thousand_units_come_and_go),
        sched_test(opening_and_closing_leaves_nothing),
        sched_test(as_many_threads_as_asked_for_and_not_too_many),
        sched_test(everything_at_once_for_a_second),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
