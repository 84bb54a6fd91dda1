#include "manager/balance.h"

#include <stdlib.h>
#include <string.h>

#include "manager/balance_parts.h"

#define FIRST_CAP 8            /* a power of two */
#define GAIN (1.0 / 8)         /* of a seat's EWMAs; TCP's for round trips (RFC 6298) */
#define GAIN_OF_ALL (1.0 / 32) /* of the mean of all calls */
#define FADING (63.0 / 64)     /* of an idle seat's freshness at each look, see balance.h */
#define LEAST_FRESH 0x1p-40

static const struct balance_kind *const kinds[STRATEGIES] = {
    [STRATEGY_ROUND_ROBIN] = &balance_round_robin,
    [STRATEGY_LEAST_LOADED] = &balance_least_loaded,
    [STRATEGY_LEAST_CONNECTIONS] = &balance_least_connections,
    [STRATEGY_WEIGHTED_ROUND_ROBIN] = &balance_weighted_round_robin,
    [STRATEGY_LEAST_RESPONSE_TIME] = &balance_least_response_time,
    [STRATEGY_IP_HASH] = &balance_ip_hash,
    [STRATEGY_RANDOM] = &balance_random,
    [STRATEGY_WEIGHTED] = &balance_weighted,
    [STRATEGY_ADAPTIVE] = &balance_adaptive,
    [STRATEGY_CONSISTENT_HASH] = &balance_consistent_hash,
    [STRATEGY_LATENCY] = &balance_latency,
    [STRATEGY_POWER_OF_TWO] = &balance_power_of_two,
};

int strategy_named(const char *name)
{
    for (int i = 0; i < STRATEGIES; i++) {
        if (strcmp(kinds[i]->name, name) == 0) {
            return i;
        }
    }
    return -1;
}

const char *strategy_name(enum strategy s)
{
    return kinds[s]->name;
}

/* ---- members ---- */

static bool grow(struct balancer *b, uint32_t cap)
{
    struct seat **seats = realloc(b->seats, cap * sizeof(struct seat *));

    if (seats == NULL) {
        return false;
    }
    b->seats = seats;
    if (b->kind->grow != NULL && !b->kind->grow(b, cap)) {
        return false;
    }
    b->cap = cap;
    return true;
}

bool balancer_open(struct balancer *b, enum strategy s, struct random *random)
{
    memset(b, 0, sizeof *b);
    b->kind = kinds[s];
    b->random = random;
    if (!grow(b, FIRST_CAP)) {
        balancer_close(b);
        return false;
    }
    return true;
}

void balancer_close(struct balancer *b)
{
    if (b->kind->free != NULL) {
        b->kind->free(b);
    }
    free(b->seats);
    memset(b, 0, sizeof *b);
}

bool balancer_join(struct balancer *b, struct seat *s, uint32_t weight, uint64_t identity)
{
    if (b->len == b->cap && (b->cap > UINT32_MAX / 2 || !grow(b, b->cap * 2))) {
        return false;
    }
    memset(s, 0, sizeof *s);
    s->weight = weight > 0 ? weight : 1;
    s->identity = identity;
    s->freshness = 1;
    s->rank = b->pass;
    s->slot = b->len;
    list_init(&s->turn);
    b->seats[b->len++] = s;
    if (b->kind->members != NULL) {
        b->kind->members(b);
    }
    return true;
}

void balancer_leave(struct balancer *b, struct seat *s)
{
    struct seat *last;

    balancer_set_open(b, s, false);
    last = b->seats[--b->len]; /* not earlier: closing may change the order */
    if (last != s) {
        b->seats[s->slot] = last;
        last->slot = s->slot;
        if (b->kind->moved != NULL) {
            b->kind->moved(b, last, b->len);
        }
    }
    if (b->kind->members != NULL) {
        b->kind->members(b);
    }
}

void balancer_set_open(struct balancer *b, struct seat *s, bool open)
{
    if (s->open == open) {
        return;
    }
    s->open = open;
    if (open) {
        b->kind->opened(b, s);
        b->open++;
    } else {
        b->open--;
        b->kind->closed(b, s);
    }
}

/* ---- picking ---- */

static void changed(struct balancer *b, struct seat *s)
{
    if (b->kind->changed != NULL) {
        b->kind->changed(b, s);
    }
}

static void look_at_one(struct balancer *b)
{
    struct seat *s;

    b->look = b->look + 1 < b->len ? b->look + 1 : 0;
    s = b->seats[b->look];
    if (s->in_flight == 0 && s->freshness > LEAST_FRESH) {
        s->freshness *= FADING;
    }
    changed(b, s);
}

struct seat *balancer_pick(struct balancer *b, uint64_t key)
{
    struct seat *s;

    if (b->open == 0) {
        return NULL;
    }
    if (b->kind->by_latency) {
        look_at_one(b);
    }
    s = b->kind->pick(b, key);
    s->picked = ++b->picks;
    changed(b, s);
    return s;
}

/* ---- what is known of the seats ---- */

static double known_ns(const struct balancer *b, const struct seat *s)
{
    return s->latency_ns > 0 ? s->latency_ns : b->latency_ns;
}

double balance_expected_ns(const struct balancer *b, const struct seat *s)
{
    double known = known_ns(b, s);

    return (known > 0 ? known : 1) * s->freshness;
}

double balance_response_ns(const struct balancer *b, const struct seat *s)
{
    return balance_expected_ns(b, s) * ((double)s->in_flight + 1);
}

static double ewma(double mean, double value, double gain)
{
    return mean > 0 ? mean + (value - mean) * gain : value;
}

/* What is no longer believed does not weigh against what is measured. */
static void learn(struct balancer *b, struct seat *s, double took_ns, bool failed)
{
    double known = known_ns(b, s);
    double gain = 1 - (1 - GAIN) * s->freshness;

    s->freshness = 1;
    s->failing += ((failed ? 1 : 0) - s->failing) * GAIN;
    if (failed && (known <= 0 || took_ns < known)) {
        return;
    }
    if (b->kind->by_peak && took_ns > s->latency_ns) {
        s->latency_ns = took_ns;
    } else {
        s->latency_ns = ewma(s->latency_ns, took_ns, gain);
    }
    b->latency_ns = ewma(b->latency_ns, took_ns, GAIN_OF_ALL);
}

void balancer_begin(struct balancer *b, struct seat *s)
{
    s->in_flight++;
    changed(b, s);
}

void balancer_end(struct balancer *b, struct seat *s, uint64_t took_ns, bool failed)
{
    s->in_flight--;
    learn(b, s, took_ns > 0 ? (double)took_ns : 1, failed);
    changed(b, s);
}
