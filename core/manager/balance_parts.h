/* What the kinds of balancing have in common with balance.c; nobody else includes this. */
#ifndef TITAN_MANAGER_BALANCE_PARTS_H
#define TITAN_MANAGER_BALANCE_PARTS_H

#include "manager/balance.h"

/* One strategy. What may be NULL is not needed by every kind. */
struct balance_kind {
    const char *name;
    /* Makes room for `cap` seats, so that nothing else can fail. False: nothing has changed. */
    bool (*grow)(struct balancer *b, uint32_t cap);
    void (*free)(struct balancer *b);
    /* A seat has joined or left; those that leave are closed before. */
    void (*members)(struct balancer *b);
    /* Another seat has left, and `s` takes its slot; may be NULL. */
    void (*moved)(struct balancer *b, struct seat *s, uint32_t from);
    void (*opened)(struct balancer *b, struct seat *s); /* before it counts as one of b->open */
    void (*closed)(struct balancer *b, struct seat *s); /* when it no longer counts */
    /* It was picked, or its load, or what is known of it, has changed; may be NULL. */
    void (*changed)(struct balancer *b, struct seat *s);
    struct seat *(*pick)(struct balancer *b, uint64_t key);         /* at least one is open */
    double (*cost)(const struct balancer *b, const struct seat *s); /* of one more call there */
    bool by_latency; /* an idle seat's cost depends on it: old knowledge must fade */
    bool by_peak;    /* the latency is the peak EWMA */
    uint32_t points; /* on the ring, for each seat */
};

extern const struct balance_kind balance_round_robin;
extern const struct balance_kind balance_least_loaded;
extern const struct balance_kind balance_least_connections;
extern const struct balance_kind balance_weighted_round_robin;
extern const struct balance_kind balance_least_response_time;
extern const struct balance_kind balance_ip_hash;
extern const struct balance_kind balance_random;
extern const struct balance_kind balance_weighted;
extern const struct balance_kind balance_adaptive;
extern const struct balance_kind balance_consistent_hash;
extern const struct balance_kind balance_latency;
extern const struct balance_kind balance_power_of_two;

/* What a call to the seat is expected to take, as far as is known or believed; never 0. */
double balance_expected_ns(const struct balancer *b, const struct seat *s);

/* The cost of least_response_time and latency. */
double balance_response_ns(const struct balancer *b, const struct seat *s);

#endif
