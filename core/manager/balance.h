/*
 * Which worker of a pool gets the next call: twelve strategies over seats, which live inside their
 * owners. No I/O and no clock. Picking a seat and every change of one are O(log n) or better in the
 * number of seats, closed ones included; only joining and leaving cost more, O(n) (the two hash
 * strategies pay at the next pick, once for all that came or went before it). Nothing but opening
 * and joining allocates.
 *
 * A latency grows old when nobody measures it: a seat that was slow once and has been left alone
 * since would be left alone for good. So each pick looks at one seat, in turn: one that is
 * idle is believed to be a little faster than before, until its next call ends. Among n seats one
 * that is x times slower is tried once in about 64 n ln(x) picks. If it is still slow, that is
 * known again; if not, the one measurement counts for more than all the old ones.
 *
 * A seat whose latency is not known (a new worker) is taken for an average one: the mean of all
 * calls stands in for its own. So it gets about its share until it is known.
 *
 * A call that failed says nothing about latency unless it took longer than usual: a worker that
 * fails everything at once is not a fast one.
 */
#ifndef TITAN_MANAGER_BALANCE_H
#define TITAN_MANAGER_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/random.h"

/* Where a strategy looks for the least of something, equals are told apart by the calls in flight,
 * then the one whose last pick is longest ago comes first. */
enum strategy {
    /* The open seats in turn. One that opens comes last. O(1). */
    STRATEGY_ROUND_ROBIN,
    /* The least outstanding work: calls in flight x mean duration. */
    STRATEGY_LEAST_LOADED,
    /* The fewest calls in flight. */
    STRATEGY_LEAST_CONNECTIONS,
    /* In proportion to the weights and evenly spread: stride scheduling (Waldspurger, Lottery and
     * Stride Scheduling, MIT 1995). A seat that opens starts at the present, as in start-time fair
     * queueing (Goyal, Vin, Cheng 1996): what it missed while closed is not made up for, and what
     * it had in advance is still owed. */
    STRATEGY_WEIGHTED_ROUND_ROBIN,
    /* The least of mean latency x (calls in flight + 1). */
    STRATEGY_LEAST_RESPONSE_TIME,
    /* The key modulo the number of identities: a key stays with its seat as long as the set of
     * identities stays. The keys of a closed seat go to the next open one. */
    STRATEGY_IP_HASH,
    /* Each open seat with the same probability. O(1). */
    STRATEGY_RANDOM,
    /* With a probability in proportion to the weight. */
    STRATEGY_WEIGHTED,
    /* The least of mean latency x (calls in flight + 1) x (1 + 10 x failing) / weight. */
    STRATEGY_ADAPTIVE,
    /* Consistent hashing (Karger et al. 1997) with 128 points a seat: the next open seat clockwise
     * gets the key. When a seat joins or leaves, about one key in n moves. Loads are bounded by
     * closing a seat that is full (Mirrokni, Thorup, Zadimoghaddam 2018). Weights do not count. */
    STRATEGY_CONSISTENT_HASH,
    /* The cheaper of two different random seats by peak latency x (calls in flight + 1). The peak
     * rises at once to any longer duration and decays slowly (peak EWMA, as in Twitter's Finagle,
     * but its time is counted in calls and picks). O(1). */
    STRATEGY_LATENCY,
    /* The one with fewer calls in flight of two different random seats (Mitzenmacher, The Power of
     * Two Choices in Randomized Load Balancing, 2001). O(1). */
    STRATEGY_POWER_OF_TWO,
    STRATEGIES
};

/* -1 when there is none of that name. */
int strategy_named(const char *name);
const char *strategy_name(enum strategy s);

/* Whoever embeds it may read the first part, and writes nothing. */
struct seat {
    uint32_t in_flight; /* calls begun and not ended */
    uint32_t weight;    /* at least 1 */
    bool open;
    double latency_ns; /* EWMA, or peak EWMA, of durations; 0: not known */
    double failing;    /* EWMA of failures, 0 to 1 */

    /* private */
    double freshness;  /* what is still believed of the latency: 1 all, towards 0 less */
    uint64_t identity; /* what is hashed */
    uint64_t rank;     /* what the least is looked for of; order it by balance_parts.h */
    uint64_t picked;   /* number of its last pick */
    uint32_t slot;     /* index in the balancer's seats */
    uint32_t point;    /* the last of its points on the ring, from which the others are linked */
    struct list turn;  /* in the ring of open seats */
};

struct balance_kind;
struct balance_places;

/* Must not move in memory while it is open. Everything in it is private. */
struct balancer {
    const struct balance_kind *kind;
    struct random *random;
    struct seat **seats;     /* all that have joined */
    uint32_t len, cap, open; /* seats, room for seats (a power of two), open seats */
    uint32_t look;           /* the slot that is looked at next */
    uint64_t picks;
    uint64_t pass;     /* the present of stride scheduling */
    double latency_ns; /* EWMA of all durations; 0: none yet */
    union {
        struct list turns;
        struct seat **winners;
        uint64_t *sums;
        struct balance_places *places;
    } of; /* what the kind keeps */
};

/* `random` is the caller's and must outlive the balancer. False when memory is out: there is
 * nothing to close then. */
bool balancer_open(struct balancer *b, enum strategy s, struct random *random);

/* Frees what the balancer has allocated. The seats need not have left: they are not touched. */
void balancer_close(struct balancer *b);

/* The seat is closed at first, with no calls in flight and nothing known about it. A weight of 0
 * counts as 1; weighted_round_robin distinguishes weights up to 2^20. `identity` names the worker's
 * place in the pool: who joins with the identity of one that has left gets its keys. Two seats may
 * have the same (a worker and its replacement): then the one that is open gets the keys. False when
 * memory is out: the seat has not joined. */
bool balancer_join(struct balancer *b, struct seat *s, uint32_t weight, uint64_t identity);

/* Allowed with calls in flight; they must not be ended here afterwards. */
void balancer_leave(struct balancer *b, struct seat *s);

/* Whether it may be picked: the pool closes a seat that is full, down or retiring. */
void balancer_set_open(struct balancer *b, struct seat *s, bool open);

/* NULL when no seat is open. `key` is the hash of what calls of a kind have in common; only the two
 * hash strategies look at it. */
struct seat *balancer_pick(struct balancer *b, uint64_t key);

/* A call was given to the seat, whether picked or not. */
void balancer_begin(struct balancer *b, struct seat *s);

/* That call has ended. */
void balancer_end(struct balancer *b, struct seat *s, uint64_t took_ns, bool failed);

#endif
