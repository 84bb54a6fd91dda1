/*
 * What the scheduler of units costs, without what units do: runs that do nothing but wake the next.
 * In time that passes, and in CPU time of all threads.
 *
 * usage: cost_sched [again] [wake] [pair] [cross] [many] [units]
 *   again  one unit that always has more to do
 *   wake   a unit is woken from another's run, runs, and wakes that one: on one thread
 *   pair   the same, with a second thread that has nothing to do
 *   cross  the same, each on a thread of its own
 *   many   1000 units that each pass on what they get, 100 messages on their way, on two threads
 *   units  100 000 units are made, woken, run once and ended, on two threads
 */
#include "base/clock.h"
#include "floor.h"
#include "spawn/sched.h"

#define ROUNDS 11
#define MANY 1000
#define ON_THEIR_WAY 100
#define UNITS 100000
#define EACH (-2) /* pinned: to the first thread, the second, the first */

struct bench;

struct actor {
    struct unit unit;
    struct bench *bench;
    struct actor *next; /* whom it wakes */
};

struct bench {
    struct sched *sched;
    struct actor *actors;
    int count;
    _Atomic(long) left; /* runs, or units */
    _Atomic(int) ended;
    atomic_bool over;
    uv_sem_t done;
};

static struct actor *actor_of(struct unit *u)
{
    return list_entry(u, struct actor, unit);
}

static void actor_ended(struct unit *u, struct sched_thread *on)
{
    struct bench *b = actor_of(u)->bench;

    (void)on;
    if (atomic_fetch_add(&b->ended, 1) + 1 == b->count) {
        uv_sem_post(&b->done);
    }
}

/* The one that finds nothing left ends all. */
static enum unit_next over(struct bench *b)
{
    if (!atomic_exchange(&b->over, true)) {
        for (int i = 0; i < b->count; i++) {
            unit_wake(&b->actors[i].unit);
        }
    }
    return UNIT_ENDED;
}

static bool used_up(struct bench *b)
{
    return atomic_load_explicit(&b->over, memory_order_relaxed) ||
           atomic_fetch_sub_explicit(&b->left, 1, memory_order_relaxed) <= 0;
}

static enum unit_next run_again(struct unit *u, struct sched_thread *on)
{
    struct bench *b = actor_of(u)->bench;

    (void)on;
    return used_up(b) ? over(b) : UNIT_AGAIN;
}

static enum unit_next pass_on(struct unit *u, struct sched_thread *on)
{
    struct actor *a = actor_of(u);

    (void)on;
    if (used_up(a->bench)) {
        return over(a->bench);
    }
    unit_wake(&a->next->unit);
    return UNIT_IDLE;
}

static enum unit_next end_at_once(struct unit *u, struct sched_thread *on)
{
    (void)u;
    (void)on;
    return UNIT_ENDED;
}

static const struct unit_ops again_ops = {run_again, actor_ended};
static const struct unit_ops pass_ops = {pass_on, actor_ended};
static const struct unit_ops end_ops = {end_at_once, actor_ended};

/* Each wakes the one `step` further on; `home` as of unit_init, or EACH. */
static void make_actors(struct bench *b, const struct unit_ops *ops, int step, int home)
{
    for (int i = 0; i < b->count; i++) {
        struct actor *a = &b->actors[i];

        a->bench = b;
        a->next = &b->actors[(i + step) % b->count];
        unit_init(&a->unit, b->sched, ops, home == EACH ? i % 2 : home);
        if (home == EACH) {
            unit_pin(&a->unit);
        }
    }
}

struct mode {
    const char *name;
    unsigned threads;
    int actors, first; /* how many are woken */
    long runs;
    const struct unit_ops *ops;
    int step, home;
};

struct cost {
    double ns, cpu_ns; /* a run */
};

static struct cost one_round(const struct mode *m)
{
    struct sched_options options = {.threads = m->threads};
    struct bench b = {.sched = sched_open(&options), .count = m->actors, .left = m->runs};
    uint64_t start_ns, start_cpu_ns;
    struct cost cost;

    b.actors = calloc((size_t)m->actors, sizeof *b.actors);
    if (b.sched == NULL || b.actors == NULL || uv_sem_init(&b.done, 0) < 0) {
        die("sched_open");
    }
    start_ns = now_ns();
    start_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    make_actors(&b, m->ops, m->step, m->home);
    for (int i = 0; i < m->first; i++) {
        unit_wake(&b.actors[(long)i * m->actors / m->first].unit);
    }
    uv_sem_wait(&b.done);
    cost.ns = (double)(now_ns() - start_ns) / (double)m->runs;
    cost.cpu_ns = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start_cpu_ns) / (double)m->runs;
    sched_close(b.sched);
    uv_sem_destroy(&b.done);
    free(b.actors);
    return cost;
}

static void measure(const struct mode *m)
{
    double ns[ROUNDS], cpu_ns[ROUNDS];

    for (int round = -1; round < ROUNDS; round++) { /* the first one warms up */
        struct cost cost = one_round(m);

        if (round >= 0) {
            ns[round] = cost.ns;
            cpu_ns[round] = cost.cpu_ns;
        }
    }
    sort_samples(ns, ROUNDS);
    sort_samples(cpu_ns, ROUNDS);
    printf("{\"titan\":\"sched\",\"mode\":\"%s\",\"count\":%ld,\"ns\":%.1f,\"cpu_ns\":%.1f}\n",
           m->name, m->runs, percentile(ns, ROUNDS, 50), percentile(cpu_ns, ROUNDS, 50));
}

int main(int argc, char **argv)
{
    const struct mode modes[] = {
        {"again", 1, 1, 1, 1000000, &again_ops, 1, 0},
        {"wake", 1, 2, 1, 1000000, &pass_ops, 1, 0},
        {"pair", 2, 2, 1, 1000000, &pass_ops, 1, 0},
        {"cross", 2, 2, 1, 20000, &pass_ops, 1, EACH},
        {"many", 2, MANY, ON_THEIR_WAY, 1000000, &pass_ops, 7, -1},
        {"units", 2, UNITS, UNITS, UNITS, &end_ops, 1, -1},
    };

    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (wanted(argc, argv, modes[i].name)) {
            measure(&modes[i]);
        }
    }
    return 0;
}
