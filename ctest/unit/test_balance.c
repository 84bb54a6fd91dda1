#include "unit.h"

#include "manager/balance.h"

#define MS UINT64_C(1000000) /* in ns */
#define MANY 64

struct pool {
    struct balancer b;
    struct random random;
    struct seat seats[MANY];
    uint32_t picks[MANY];
};

static void join(struct pool *p, uint32_t i, uint32_t weight)
{
    assert_true(balancer_join(&p->b, &p->seats[i], weight, i));
    assert_false(p->seats[i].open);
    balancer_set_open(&p->b, &p->seats[i], true);
}

/* `n` open seats of weight 1, identities from 0 on. */
static struct pool *pool_of(enum strategy s, uint32_t n)
{
    struct pool *p = calloc(1, sizeof *p);

    assert_non_null(p);
    p->random.state = 42;
    assert_true(balancer_open(&p->b, s, &p->random));
    for (uint32_t i = 0; i < n; i++) {
        join(p, i, 1);
    }
    return p;
}

static struct pool *weighted_pool(enum strategy s, const uint32_t *weights, uint32_t n)
{
    struct pool *p = pool_of(s, 0);

    for (uint32_t i = 0; i < n; i++) {
        join(p, i, weights[i]);
    }
    return p;
}

static void pool_free(struct pool *p)
{
    balancer_close(&p->b);
    free(p);
}

static void set_open(struct pool *p, uint32_t i, bool open)
{
    balancer_set_open(&p->b, &p->seats[i], open);
}

static uint32_t pick(struct pool *p, uint64_t key)
{
    struct seat *s = balancer_pick(&p->b, key);

    assert_non_null(s);
    assert_true(s->open);
    return (uint32_t)(s - p->seats);
}

/* Calls that are given to seats and do not end. */
static void give(struct pool *p, uint32_t calls)
{
    for (uint32_t n = 0; n < calls; n++) {
        balancer_begin(&p->b, &p->seats[pick(p, n)]);
    }
}

static void done(struct pool *p, uint32_t i, uint64_t took_ns, bool failed)
{
    balancer_begin(&p->b, &p->seats[i]);
    balancer_end(&p->b, &p->seats[i], took_ns, failed);
}

static void count(struct pool *p, uint32_t picks)
{
    memset(p->picks, 0, sizeof p->picks);
    for (uint32_t n = 0; n < picks; n++) {
        p->picks[pick(p, n)]++;
    }
}

/* One call after the other; the i-th seat needs took_ns[i]. */
static void work_off(struct pool *p, uint32_t calls, const uint64_t *took_ns)
{
    memset(p->picks, 0, sizeof p->picks);
    for (uint32_t n = 0; n < calls; n++) {
        uint32_t i = pick(p, n);

        p->picks[i]++;
        done(p, i, took_ns[i], false);
    }
}

static void assert_picks(struct pool *p, const uint32_t *expected, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(pick(p, i), expected[i]);
    }
}

#define assert_order(p, ...)                                                                       \
    assert_picks(p, (const uint32_t[]){__VA_ARGS__},                                               \
                 sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

/* Within six standard deviations of a binomial: by chance once in a billion. */
static void assert_share(uint32_t hits, uint32_t of, double share)
{
    double off = hits - of * share;

    assert_true(off * off <= 36 * of * share * (1 - share));
}

/* ---- every strategy ---- */

static void names_and_strategies_belong_together(void **state)
{
    (void)state;
    for (int s = 0; s < STRATEGIES; s++) {
        assert_int_equal(strategy_named(strategy_name((enum strategy)s)), s);
    }
    assert_int_equal(strategy_named("power_of_two"), STRATEGY_POWER_OF_TWO);
    assert_int_equal(strategy_named("ip_hash"), STRATEGY_IP_HASH);
    assert_int_equal(strategy_named("fastest"), -1);
    assert_int_equal(strategy_named(""), -1);
}

static void without_an_open_seat_there_is_nothing_to_pick(void **state)
{
    (void)state;
    for (int s = 0; s < STRATEGIES; s++) {
        struct pool *p = pool_of((enum strategy)s, 0);

        assert_null(balancer_pick(&p->b, 1));
        join(p, 0, 1);
        join(p, 1, 1);
        set_open(p, 0, false);
        set_open(p, 1, false);
        assert_null(balancer_pick(&p->b, 1));
        balancer_leave(&p->b, &p->seats[0]);
        balancer_leave(&p->b, &p->seats[1]);
        assert_null(balancer_pick(&p->b, 1));
        pool_free(p);
    }
}

static void the_only_open_seat_gets_every_call(void **state)
{
    (void)state;
    for (int s = 0; s < STRATEGIES; s++) {
        struct pool *p = pool_of((enum strategy)s, 1);

        give(p, 100);
        assert_int_equal(p->seats[0].in_flight, 100);
        join(p, 1, 1);
        set_open(p, 0, false);
        give(p, 100);
        assert_int_equal(p->seats[1].in_flight, 100);
        pool_free(p);
    }
}

static void equal_seats_get_equal_shares(void **state)
{
    static const uint64_t took_ns[MANY] = {MS, MS, MS, MS, MS};

    (void)state;
    for (int s = 0; s < STRATEGIES; s++) {
        struct pool *p = pool_of((enum strategy)s, 5);

        work_off(p, 10000, took_ns);
        for (int i = 0; i < 5; i++) {
            if (s == STRATEGY_CONSISTENT_HASH) {
                assert_in_range(p->picks[i], 1000, 3000);
            } else {
                assert_share(p->picks[i], 10000, 0.2);
            }
        }
        pool_free(p);
    }
}

/* What each seat should be, known from what was done to it. */
struct model {
    struct seat
        *seat; /* on its own, so that a use after it has left is seen; NULL: has not joined */
    uint32_t in_flight;
    bool open;
};

static struct model *model_of(struct model *models, const struct seat *s)
{
    for (int i = 0; i < MANY; i++) {
        if (models[i].seat == s) {
            return &models[i];
        }
    }
    return NULL;
}

static void come_or_go(struct balancer *b, struct model *m, uint32_t weight)
{
    if (m->seat == NULL) {
        m->seat = malloc(sizeof *m->seat);
        assert_non_null(m->seat);
        assert_true(balancer_join(b, m->seat, weight, weight % 16));
    } else {
        balancer_leave(b, m->seat);
        free(m->seat);
        m->seat = NULL;
    }
    m->open = false;
    m->in_flight = 0;
}

static void pick_and_compare(struct balancer *b, struct model *models, uint64_t key)
{
    struct seat *s = balancer_pick(b, key);
    bool any = false;

    for (int i = 0; i < MANY; i++) {
        any |= models[i].open;
    }
    assert_int_equal(s != NULL, any);
    if (s != NULL) {
        struct model *m = model_of(models, s);

        assert_non_null(m);
        assert_true(m->open);
        balancer_begin(b, s);
        m->in_flight++;
    }
}

static void anything_at_any_time(enum strategy strategy)
{
    struct model models[MANY] = {0};
    struct random random = {1};
    struct balancer b;
    uint32_t dice = 3;

    assert_true(balancer_open(&b, strategy, &random));
    for (int round = 0; round < 20000; round++) {
        struct model *m = &models[next_random(&dice) % MANY];
        uint32_t what = next_random(&dice) % 16;

        if (what == 0) {
            come_or_go(&b, m, next_random(&dice) % 100);
        } else if (what < 5 && m->seat != NULL) {
            m->open = next_random(&dice) % 3 == 0;
            balancer_set_open(&b, m->seat, m->open);
        } else if (what < 9 && m->in_flight > 0) {
            m->in_flight--;
            balancer_end(&b, m->seat, next_random(&dice), next_random(&dice) % 4 == 0);
        } else {
            pick_and_compare(&b, models, next_random(&dice));
        }
        if (m->seat != NULL) {
            assert_int_equal(m->seat->open, m->open);
            assert_int_equal(m->seat->in_flight, m->in_flight);
        }
    }
    balancer_close(&b);
    for (int i = 0; i < MANY; i++) {
        free(models[i].seat);
    }
}

static void seats_come_go_open_and_close_at_any_time(void **state)
{
    (void)state;
    for (int s = 0; s < STRATEGIES; s++) {
        anything_at_any_time((enum strategy)s);
    }
}

/* Whatever looks at closed seats one by one does not end in time: 10^10 steps a strategy. */
static void a_million_picks_among_ten_thousand_closed_seats(void **state)
{
    enum { SEATS = 10000, PICKS = 1000000 };
    struct seat *seats = malloc(SEATS * sizeof *seats);

    (void)state;
    assert_non_null(seats);
    for (int s = 0; s < STRATEGIES; s++) {
        struct random random = {7};
        struct balancer b;
        uint32_t open = 0;

        assert_true(balancer_open(&b, (enum strategy)s, &random));
        for (uint32_t i = 0; i < SEATS; i++) {
            assert_true(balancer_join(&b, &seats[i], 1 + i % 3, i));
        }
        balancer_set_open(&b, &seats[open], true);
        for (uint32_t n = 0; n < PICKS; n++) {
            struct seat *picked = balancer_pick(&b, random_mix(n));

            assert_ptr_equal(picked, &seats[open]);
            balancer_begin(&b, picked);
            balancer_end(&b, picked, MS, false);
            if (n % 100 == 0) {
                balancer_set_open(&b, picked, false);
                open = random_below(&random, SEATS);
                balancer_set_open(&b, &seats[open], true);
            }
        }
        balancer_close(&b);
    }
    free(seats);
}

/* ---- in turn ---- */

static void round_robin_goes_around(void **state)
{
    struct pool *p = pool_of(STRATEGY_ROUND_ROBIN, 3);

    (void)state;
    assert_order(p, 0, 1, 2, 0, 1);
    set_open(p, 2, false);
    assert_order(p, 0, 1, 0);
    set_open(p, 2, true); /* comes last */
    assert_order(p, 1, 0, 2, 1);
    balancer_leave(&p->b, &p->seats[0]);
    assert_order(p, 2, 1, 2, 1);
    pool_free(p);
}

static void weighted_round_robin_is_proportional_and_smooth(void **state)
{
    static const uint32_t weights[] = {5, 1, 2};
    struct pool *p = weighted_pool(STRATEGY_WEIGHTED_ROUND_ROBIN, weights, 3);

    (void)state;
    for (int round = 0; round < 1000; round++) {
        count(p, 8);
        assert_in_range(p->picks[0], 4, 6);
        assert_in_range(p->picks[1], 0, 2);
        assert_in_range(p->picks[2], 1, 3);
    }
    count(p, 80000);
    assert_in_range(p->picks[0], 49995, 50005);
    assert_in_range(p->picks[1], 9995, 10005);
    assert_in_range(p->picks[2], 19995, 20005);
    pool_free(p);
}

static void weighted_round_robin_does_not_make_up_for_closed_times(void **state)
{
    static const uint32_t weights[] = {1, 1, 2};
    struct pool *p = weighted_pool(STRATEGY_WEIGHTED_ROUND_ROBIN, weights, 3);

    (void)state;
    set_open(p, 1, false);
    count(p, 3000);
    assert_in_range(p->picks[0], 999, 1001);
    set_open(p, 1, true);
    count(p, 400);
    assert_in_range(p->picks[1], 99, 101);
    join(p, 3, 4); /* nor for the time before it joined */
    count(p, 800);
    assert_in_range(p->picks[3], 399, 401);
    pool_free(p);
}

/* A seat with room for one call closes at each pick: that must not win it the next one. */
static void weighted_round_robin_remembers_what_a_seat_has_had(void **state)
{
    static const uint32_t weights[] = {1, 9};
    struct pool *p = weighted_pool(STRATEGY_WEIGHTED_ROUND_ROBIN, weights, 2);
    uint32_t hits = 0;

    (void)state;
    for (int n = 0; n < 1000; n++) {
        hits += pick(p, 0) == 0;
        set_open(p, 0, false);
        set_open(p, 0, true);
    }
    assert_in_range(hits, 99, 101);
    pool_free(p);
}

/* After very many picks; too many to make them here. */
static void weighted_round_robin_outlives_the_range_of_its_passes(void **state)
{
    static const uint64_t passes[] = {UINT64_MAX - (1 << 28), UINT64_C(3) << 62};

    (void)state;
    for (size_t k = 0; k < count_of(passes); k++) {
        struct pool *p = pool_of(STRATEGY_WEIGHTED_ROUND_ROBIN, 2);

        p->b.pass = p->seats[0].rank = p->seats[1].rank = passes[k];
        count(p, 100);
        assert_in_range(p->picks[0], 49, 51);
        join(p, 2, 2);
        count(p, 2000);
        assert_in_range(p->picks[0], 499, 501);
        assert_in_range(p->picks[2], 998, 1002);
        pool_free(p);
    }
}

/* ---- random ---- */

static void random_is_uniform_over_the_open_seats(void **state)
{
    struct pool *p = pool_of(STRATEGY_RANDOM, 10);

    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        set_open(p, 2 * i, false);
    }
    set_open(p, 0, true);
    balancer_leave(&p->b, &p->seats[9]);
    count(p, 60000);
    assert_share(p->picks[0], 60000, 1.0 / 6);
    for (uint32_t i = 1; i < 9; i++) {
        assert_share(p->picks[i], 60000, i % 2 == 0 && i < 8 ? 0 : 1.0 / 6);
    }
    assert_int_equal(p->picks[9], 0);
    pool_free(p);
}

static void weighted_is_proportional_to_the_weights(void **state)
{
    /* more than fit at first, so that the sums grow with open seats in them */
    static const uint32_t weights[] = {3, 1, 7, 0, 2, 4, 1, 1, 10, 70};
    struct pool *p = weighted_pool(STRATEGY_WEIGHTED, weights, 10);

    (void)state;
    count(p, 100000);
    for (uint32_t i = 0; i < 10; i++) {
        assert_share(p->picks[i], 100000, (weights[i] > 0 ? weights[i] : 1) / 100.0);
    }
    set_open(p, 8, false);
    balancer_leave(&p->b, &p->seats[0]); /* the last seat takes its slot */
    count(p, 87000);
    assert_int_equal(p->picks[0] + p->picks[8], 0);
    assert_share(p->picks[2], 87000, 7 / 87.0);
    assert_share(p->picks[9], 87000, 70 / 87.0);
    pool_free(p);
}

static void power_of_two_takes_the_less_busy_of_two_different_ones(void **state)
{
    struct pool *p = pool_of(STRATEGY_POWER_OF_TWO, 2);

    (void)state;
    balancer_begin(&p->b, &p->seats[1]);
    count(p, 1000);
    assert_int_equal(p->picks[0], 1000);
    balancer_begin(&p->b, &p->seats[0]);
    count(p, 10000);
    assert_share(p->picks[0], 10000, 0.5);
    pool_free(p);
}

/* With one choice the fullest of 64 seats has about 100 + 2.5 x 10 of 6400 calls. */
static void power_of_two_keeps_the_fullest_seat_close_to_the_mean(void **state)
{
    struct pool *p = pool_of(STRATEGY_POWER_OF_TWO, MANY);

    (void)state;
    give(p, 100 * MANY);
    for (int i = 0; i < MANY; i++) {
        assert_in_range(p->seats[i].in_flight, 92, 104);
    }
    pool_free(p);
}

/* ---- the least ---- */

static void least_connections_prefers_the_idle_then_the_longest_unpicked(void **state)
{
    struct pool *p = pool_of(STRATEGY_LEAST_CONNECTIONS, 3);

    (void)state;
    assert_order(p, 0, 1, 2, 0);
    balancer_begin(&p->b, &p->seats[1]);
    assert_order(p, 2, 0, 2, 0);
    balancer_begin(&p->b, &p->seats[2]);
    balancer_begin(&p->b, &p->seats[0]);
    balancer_begin(&p->b, &p->seats[0]);
    assert_order(p, 1, 2, 1, 2);
    balancer_end(&p->b, &p->seats[2], MS, false);
    assert_order(p, 2, 2);
    set_open(p, 2, false);
    balancer_begin(&p->b, &p->seats[2]); /* still busy with what it was given */
    balancer_begin(&p->b, &p->seats[2]);
    set_open(p, 2, true);
    assert_order(p, 1, 1);
    balancer_leave(&p->b, &p->seats[1]);
    assert_order(p, 0, 2, 0, 2);
    pool_free(p);
}

static void least_connections_fills_evenly(void **state)
{
    struct pool *p = pool_of(STRATEGY_LEAST_CONNECTIONS, MANY);

    (void)state;
    give(p, 10 * MANY);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(p->seats[i].in_flight, 10);
    }
    pool_free(p);
}

static void least_loaded_counts_work_not_calls(void **state)
{
    struct pool *p = pool_of(STRATEGY_LEAST_LOADED, 2);

    (void)state;
    done(p, 0, 10 * MS, false);
    done(p, 1, MS, false);
    assert_order(p, 0, 1, 0, 1); /* no work at all is equal, however fast */
    balancer_begin(&p->b, &p->seats[0]);
    for (int n = 0; n < 10; n++) {
        assert_order(p, 1);
        balancer_begin(&p->b, &p->seats[1]);
    }
    assert_order(p, 0, 0); /* 10 ms against 10 x 1 ms: the fewer calls */
    balancer_begin(&p->b, &p->seats[1]);
    assert_order(p, 0);
    pool_free(p);
}

static void least_response_time_weighs_latency_and_calls(void **state)
{
    struct pool *p = pool_of(STRATEGY_LEAST_RESPONSE_TIME, 2);

    (void)state;
    done(p, 0, 4 * MS, false);
    done(p, 1, MS, false);
    for (int n = 0; n < 3; n++) {
        assert_order(p, 1);
        balancer_begin(&p->b, &p->seats[1]);
    }
    balancer_begin(&p->b, &p->seats[1]);
    assert_order(p, 0); /* 4 ms against 5 ms */
    pool_free(p);
}

static void latency_is_a_moving_mean(void **state)
{
    struct pool *p = pool_of(STRATEGY_LEAST_RESPONSE_TIME, 1);

    (void)state;
    assert_true(p->seats[0].latency_ns == 0);
    done(p, 0, 8 * MS, false);
    assert_true(p->seats[0].latency_ns == 8.0 * MS);
    done(p, 0, 16 * MS, false);
    assert_true(p->seats[0].latency_ns == 9.0 * MS);
    pool_free(p);
}

/* Its knowledge is old then: it may have recovered. */
static void a_slow_seat_is_tried_again_but_seldom(void **state)
{
    static const enum strategy by_latency[] = {STRATEGY_LEAST_RESPONSE_TIME, STRATEGY_ADAPTIVE,
                                               STRATEGY_LATENCY};
    uint64_t took_ns[MANY] = {MS, MS, 1000 * MS};

    (void)state;
    for (size_t k = 0; k < count_of(by_latency); k++) {
        struct pool *p = pool_of(by_latency[k], 3);

        took_ns[2] = 1000 * MS;
        work_off(p, 30000, took_ns);
        assert_in_range(p->picks[2], 5, 60);
        took_ns[2] = MS / 2;
        work_off(p, 30000, took_ns);
        assert_true(p->picks[2] > 15000);
        pool_free(p);
    }
}

static void a_new_seat_counts_as_an_average_one(void **state)
{
    static const enum strategy by_latency[] = {STRATEGY_LEAST_RESPONSE_TIME, STRATEGY_ADAPTIVE,
                                               STRATEGY_LATENCY, STRATEGY_LEAST_LOADED};
    static const uint64_t took_ns[MANY] = {MS, MS, MS, MS, 3 * MS};

    (void)state;
    for (size_t k = 0; k < count_of(by_latency); k++) {
        struct pool *p = pool_of(by_latency[k], 4);

        work_off(p, 1000, took_ns);
        join(p, 4, 1);
        give(p, 500); /* a burst, before anything is known */
        assert_in_range(p->seats[4].in_flight, 60, 140);
        pool_free(p);
    }
}

/* Two are better than the average, and yet the new one gets its chance. */
static void a_new_seat_does_not_starve(void **state)
{
    static const uint64_t took_ns[MANY] = {MS, MS, 50 * MS, MS / 2};
    struct pool *p = pool_of(STRATEGY_LEAST_RESPONSE_TIME, 3);

    (void)state;
    work_off(p, 1000, took_ns);
    join(p, 3, 1);
    work_off(p, 2000, took_ns);
    assert_true(p->picks[3] > 1000);
    pool_free(p);
}

static void failing_is_not_fast(enum strategy s, uint32_t bad)
{
    struct pool *p = pool_of(s, 4);

    done(p, bad, 1000, true);
    for (uint32_t n = 0; n < 4000; n++) {
        uint32_t i = pick(p, n);

        p->picks[i]++;
        done(p, i, i == bad ? 1000 : MS, i == bad);
    }
    assert_true(p->picks[bad] < (s == STRATEGY_ADAPTIVE ? 100 : 1200));
    assert_true(p->seats[bad].latency_ns == 0);
    assert_true(p->seats[bad].failing > 0.5);
    assert_true(p->seats[1].failing == 0);
    pool_free(p);
}

static void failing_at_once_is_not_fast(void **state)
{
    static const enum strategy by_latency[] = {STRATEGY_LEAST_RESPONSE_TIME, STRATEGY_ADAPTIVE,
                                               STRATEGY_LATENCY};

    (void)state;
    for (size_t k = 0; k < count_of(by_latency); k++) {
        failing_is_not_fast(by_latency[k], 0); /* the first that is heard of */
        failing_is_not_fast(by_latency[k], 3);
    }
}

static void adaptive_heeds_weights(void **state)
{
    static const uint32_t weights[] = {1, 3};
    struct pool *p = weighted_pool(STRATEGY_ADAPTIVE, weights, 2);

    (void)state;
    done(p, 0, MS, false);
    done(p, 1, MS, false);
    give(p, 400);
    assert_in_range(p->seats[0].in_flight, 98, 102);
    done(p, 0, MS, true); /* one failure: 1 + 10/8 times the cost, less than half the share */
    give(p, 400);
    assert_in_range(p->seats[0].in_flight, 98, 110);
    pool_free(p);
}

static void the_peak_rises_at_once_and_decays_slowly(void **state)
{
    struct pool *p = pool_of(STRATEGY_LATENCY, 2);

    (void)state;
    done(p, 0, MS, false);
    done(p, 1, 2 * MS, false);
    count(p, 20);
    assert_int_equal(p->picks[0], 20);
    done(p, 0, 100 * MS, false);
    assert_true(p->seats[0].latency_ns == 100.0 * MS);
    done(p, 0, MS, false);
    assert_in_range((uint64_t)p->seats[0].latency_ns, 80 * MS, 99 * MS);
    count(p, 20);
    assert_int_equal(p->picks[1], 20);
    pool_free(p);
}

static void latency_weighs_calls_in_flight(void **state)
{
    struct pool *p = pool_of(STRATEGY_LATENCY, 2);

    (void)state;
    done(p, 0, 4 * MS, false);
    done(p, 1, MS, false);
    give(p, 500);
    assert_in_range(p->seats[0].in_flight, 95, 105);
    pool_free(p);
}

/* ---- hashes ---- */

#define KEYS 20000

/* Where each key goes. */
static void map_keys(struct pool *p, uint32_t *to)
{
    for (uint32_t key = 0; key < KEYS; key++) {
        to[key] = pick(p, key);
    }
}

/* How many keys go elsewhere than before; all of them from or to seat `i`. */
static uint32_t moved(const uint32_t *was, const uint32_t *is, uint32_t i)
{
    uint32_t n = 0;

    for (uint32_t key = 0; key < KEYS; key++) {
        if (was[key] != is[key]) {
            assert_true(was[key] == i || is[key] == i);
            n++;
        }
    }
    return n;
}

static const enum strategy hashes[] = {STRATEGY_CONSISTENT_HASH, STRATEGY_IP_HASH};

static void the_same_key_goes_to_the_same_seat_however_busy(void **state)
{
    static uint32_t was[KEYS], is[KEYS];

    (void)state;
    for (size_t k = 0; k < count_of(hashes); k++) {
        struct pool *p = pool_of(hashes[k], 10);

        map_keys(p, was);
        give(p, 1000);
        done(p, 3, 1000 * MS, true);
        map_keys(p, is);
        assert_memory_equal(was, is, sizeof was);
        pool_free(p);
    }
}

static void only_the_keys_of_a_closed_seat_move_and_they_come_back(void **state)
{
    static uint32_t was[KEYS], is[KEYS];

    (void)state;
    for (size_t k = 0; k < count_of(hashes); k++) {
        struct pool *p = pool_of(hashes[k], 10);

        map_keys(p, was);
        set_open(p, 3, false);
        map_keys(p, is);
        assert_in_range(moved(was, is, 3), KEYS / 20, KEYS / 5);
        set_open(p, 3, true);
        map_keys(p, is);
        assert_memory_equal(was, is, sizeof was);
        pool_free(p);
    }
}

/* The replacement joins before the old worker, which is closed, leaves. */
static void a_replacement_takes_over_the_keys(void **state)
{
    static uint32_t was[KEYS], is[KEYS];

    (void)state;
    for (size_t k = 0; k < count_of(hashes); k++) {
        struct pool *p = pool_of(hashes[k], 10);

        map_keys(p, was);
        assert_true(balancer_join(&p->b, &p->seats[10], 1, 3));
        map_keys(p, is);
        assert_memory_equal(was, is, sizeof was);
        set_open(p, 3, false);
        set_open(p, 10, true);
        for (int gone = 0; gone < 2; gone++) {
            map_keys(p, is);
            for (uint32_t key = 0; key < KEYS; key++) {
                assert_int_equal(is[key], was[key] == 3 ? 10 : was[key]);
            }
            if (gone == 0) {
                balancer_leave(&p->b, &p->seats[3]);
            }
        }
        pool_free(p);
    }
}

static void ip_hash_spreads_keys_evenly(void **state)
{
    struct pool *p = pool_of(STRATEGY_IP_HASH, 10);

    (void)state;
    count(p, KEYS);
    for (int i = 0; i < 10; i++) {
        assert_share(p->picks[i], KEYS, 0.1);
    }
    pool_free(p);
}

static void one_key_in_n_moves_when_a_seat_joins_or_leaves(void **state)
{
    static uint32_t was[KEYS], is[KEYS];

    (void)state;
    for (uint32_t n = 2; n < MANY; n *= 2) {
        struct pool *p = pool_of(STRATEGY_CONSISTENT_HASH, n);

        map_keys(p, was);
        join(p, n, 1);
        map_keys(p, is);
        assert_in_range(moved(was, is, n), 1, 3 * KEYS / (2 * (n + 1)));
        balancer_leave(&p->b, &p->seats[n]);
        map_keys(p, is);
        assert_memory_equal(was, is, sizeof was);
        balancer_leave(&p->b, &p->seats[0]);
        map_keys(p, is);
        assert_in_range(moved(was, is, 0), 1, 3 * KEYS / (2 * n));
        join(p, 0, 1);
        map_keys(p, is);
        assert_memory_equal(was, is, sizeof was);
        pool_free(p);
    }
}

/* Unlike those of ip_hash, which all go to one neighbour. */
static void consistent_hash_spreads_the_keys_of_a_closed_seat_over_the_others(void **state)
{
    struct pool *p = pool_of(STRATEGY_CONSISTENT_HASH, 10);
    uint32_t was[10];

    (void)state;
    count(p, KEYS);
    for (uint32_t i = 0; i < 10; i++) {
        assert_in_range(p->picks[i], KEYS / 20, 3 * KEYS / 20);
        was[i] = p->picks[i];
    }
    set_open(p, 3, false);
    count(p, KEYS);
    assert_int_equal(p->picks[3], 0);
    for (uint32_t i = 0; i < 10; i++) {
        if (i != 3) {
            assert_in_range(p->picks[i] - was[i], was[3] / 50, was[3] / 3);
        }
    }
    pool_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_strategies_belong_together),
        cmocka_unit_test(without_an_open_seat_there_is_nothing_to_pick),
        cmocka_unit_test(the_only_open_seat_gets_every_call),
        cmocka_unit_test(equal_seats_get_equal_shares),
        cmocka_unit_test(seats_come_go_open_and_close_at_any_time),
        cmocka_unit_test(a_million_picks_among_ten_thousand_closed_seats),
        cmocka_unit_test(round_robin_goes_around),
        cmocka_unit_test(weighted_round_robin_is_proportional_and_smooth),
        cmocka_unit_test(weighted_round_robin_does_not_make_up_for_closed_times),
        cmocka_unit_test(weighted_round_robin_remembers_what_a_seat_has_had),
        cmocka_unit_test(weighted_round_robin_outlives_the_range_of_its_passes),
        cmocka_unit_test(random_is_uniform_over_the_open_seats),
        cmocka_unit_test(weighted_is_proportional_to_the_weights),
        cmocka_unit_test(power_of_two_takes_the_less_busy_of_two_different_ones),
        cmocka_unit_test(power_of_two_keeps_the_fullest_seat_close_to_the_mean),
        cmocka_unit_test(least_connections_prefers_the_idle_then_the_longest_unpicked),
        cmocka_unit_test(least_connections_fills_evenly),
        cmocka_unit_test(least_loaded_counts_work_not_calls),
        cmocka_unit_test(least_response_time_weighs_latency_and_calls),
        cmocka_unit_test(latency_is_a_moving_mean),
        cmocka_unit_test(a_slow_seat_is_tried_again_but_seldom),
        cmocka_unit_test(a_new_seat_counts_as_an_average_one),
        cmocka_unit_test(a_new_seat_does_not_starve),
        cmocka_unit_test(failing_at_once_is_not_fast),
        cmocka_unit_test(adaptive_heeds_weights),
        cmocka_unit_test(the_peak_rises_at_once_and_decays_slowly),
        cmocka_unit_test(latency_weighs_calls_in_flight),
        cmocka_unit_test(the_same_key_goes_to_the_same_seat_however_busy),
        cmocka_unit_test(only_the_keys_of_a_closed_seat_move_and_they_come_back),
        cmocka_unit_test(a_replacement_takes_over_the_keys),
        cmocka_unit_test(ip_hash_spreads_keys_evenly),
        cmocka_unit_test(one_key_in_n_moves_when_a_seat_joins_or_leaves),
        cmocka_unit_test(consistent_hash_spreads_the_keys_of_a_closed_seat_over_the_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
