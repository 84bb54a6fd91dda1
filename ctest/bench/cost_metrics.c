/*
 * What the automatic metrics cost a call: all that a worker does for them when it takes a request
 * and when it answers, with the two looks at the clock, and nothing else. In CPU time.
 *
 * usage: cost_metrics [clock] [one] [all]
 *   clock  two looks at the clock, which nothing that measures a time does without
 *   one    calls of one method
 *   all    calls of all the methods that a page has room for, in turn: with what of the page is not
 *          in the CPU's nearest cache
 */
#include <lauxlib.h>
#include <lua.h>

#include "base/clock.h"
#include "floor.h"
#include "worker/status.h"

#define CALLS 50000
#define ROUNDS 31
#define TIMES 1024 /* how long the calls took, a power of two */

struct bench {
    struct status_page *page;
    lua_State *L;
    uint64_t times_ns[TIMES];
};

/* Times from 1 us to some 8 ms, so that they go to buckets all over a histogram. */
static void make_times(uint64_t *times_ns)
{
    uint32_t seed = 1;

    for (int i = 0; i < TIMES; i++) {
        seed = seed * 1664525u + 1013904223u; /* Numerical Recipes (1992), 7.1 */
        times_ns[i] = (uint64_t)(1000 + (seed >> 22)) << (seed >> 8) % 13;
    }
}

/* As start_request and request_ended of script/guest.c do. */
static void call(struct bench *b, uint32_t method, uint64_t took_ns)
{
    uint64_t started_ns = now_ns();
    uint64_t number = status_call_started(b->page, method, started_ns);

    status_call_ended(b->page, number, method, started_ns, now_ns() + took_ns, 0);
    status_store(b->page->lua_heap_len, (uint64_t)lua_gc(b->L, LUA_GCCOUNT) * 1024);
}

static void make_calls(struct bench *b, uint32_t methods)
{
    for (uint32_t i = 0; i < CALLS; i++) {
        call(b, i % methods, b->times_ns[i % TIMES]);
    }
}

static void look_twice(struct bench *b, uint32_t methods)
{
    uint64_t sum_ns = 0;

    (void)methods;
    for (uint32_t i = 0; i < CALLS; i++) {
        uint64_t started_ns = now_ns();

        sum_ns += now_ns() - started_ns;
    }
    status_store(b->page->beat_ns, sum_ns);
}

static void run(struct bench *b, const char *whose, const char *mode,
                void (*calls)(struct bench *, uint32_t), uint32_t methods)
{
    double samples[ROUNDS];

    for (int round = -1; round < ROUNDS; round++) { /* the first one warms up */
        uint64_t start_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);

        calls(b, methods);
        if (round >= 0) {
            samples[round] = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start_ns) / CALLS;
        }
    }
    sort_samples(samples, ROUNDS);
    printf("{\"%s\":\"metrics\",\"mode\":\"%s\",\"count\":%d,\"ns\":%.1f}\n", whose, mode, CALLS,
           percentile(samples, ROUNDS, 50));
}

int main(int argc, char **argv)
{
    struct bench b = {.L = luaL_newstate()};
    int fd;

    if (b.L == NULL || status_create(&b.page, &fd) < 0) {
        die("status_create");
    }
    make_times(b.times_ns);
    if (wanted(argc, argv, "clock")) {
        run(&b, "floor", "clock", look_twice, 0);
    }
    if (wanted(argc, argv, "one")) {
        run(&b, "titan", "one", make_calls, 1);
    }
    if (wanted(argc, argv, "all")) {
        run(&b, "titan", "all", make_calls, STATUS_METHODS);
    }
    close(fd);
    status_unmap(&b.page);
    lua_close(b.L);
    return 0;
}
