/*
 * The status page: what a worker is doing, in memory that its manager can read without asking, and
 * that outlives the worker, so that a crash report can say what it was doing when it died.
 *
 * One writer, the worker's thread; the manager only reads, but for what it says to a worker that
 * does not listen (struct status_interrupt). Everything that changes is an atomic of its own,
 * relaxed: a reader may see one field newer than another, never a torn one. After the worker's
 * death nothing changes any more and the page is consistent but for the call it died in.
 */
#ifndef TITAN_WORKER_STATUS_H
#define TITAN_WORKER_STATUS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/clock.h"
#include "worker/histogram.h"
#include "worker/series.h"

#define STATUS_VERSION 5
#define STATUS_RING 16               /* calls remembered */
#define STATUS_METHODS 64            /* methods whose names are kept */
#define STATUS_NAME 32               /* bytes of a name, with its end */
#define STATUS_NEAR 16               /* methods whose names and counts are at the page's start */
#define STATUS_OTHERS STATUS_METHODS /* the slot of all methods that have none of their own */
#define STATUS_SLOTS (STATUS_METHODS + 1)
#define STATUS_NO_METHOD UINT32_MAX
#define STATUS_TASK (UINT32_MAX - 1) /* no method either, but something runs */

struct status_call {
    _Atomic uint64_t started_ns; /* monotonic */
    _Atomic uint64_t ended_ns;   /* 0 while it goes on */
    _Atomic uint32_t method;
    _Atomic uint32_t failed; /* 1: it ended with an error */
};

/* How the manager and a worker that does not give way talk (manager/watchdog.h): the manager writes
 * its two and sends SIGURG, the worker's signal handler answers with the others. */
struct status_interrupt {
    _Atomic uint64_t overdue_ns; /* for how long what runs has been overdue without giving way */
    _Atomic uint32_t asked;      /* the manager: the number of this question, from 1 on */
    _Atomic uint32_t
        unwanted; /* the manager: the id + 1 of a request whose caller no longer waits */
    _Atomic uint32_t answered; /* the number of the question */
    _Atomic uint32_t running;  /* the id + 1 of the request that ran then; 0: none */
};

/* What became of the calls of one method, or of the others. */
struct status_counts {
    _Atomic uint64_t calls;  /* started */
    _Atomic uint64_t ended;  /* finished, well or not */
    _Atomic uint64_t errors; /* of those finished */
};

/* Memory is there once it has been touched, and of a memfd a look is a touch. So what most workers
 * need lies together: one page of memory has all of a few methods, and all but the latencies of
 * STATUS_NEAR. Of these the worker touches only those of methods that are called, and a reader
 * looks only at those whose counts say that they were. */
struct status_page {
    uint32_t version;
    _Atomic int32_t pid; /* written first thing after the fork */
    _Atomic uint64_t beat_ns;
    _Atomic uint64_t calls;  /* started */
    _Atomic uint64_t ended;  /* finished, well or not */
    _Atomic uint64_t errors; /* of those finished */
    _Atomic uint64_t lua_heap_len;
    /* The call whose code is on the CPU right now; the method is STATUS_NO_METHOD in between, and
     * STATUS_TASK while a task runs that answers no request: the start is then that of the call it
     * was begun in, or 0. */
    _Atomic uint32_t running_method;
    _Atomic uint32_t keeps_latencies; /* 0: the config does without them */
    _Atomic uint64_t running_started_ns;
    struct status_interrupt interrupt;
    _Atomic uint32_t series_used;         /* slots of `series` handed out */
    _Atomic uint32_t uses_far;            /* 1: a method whose counts are far has been called */
    struct status_call ring[STATUS_RING]; /* of call number n: ring[n % STATUS_RING] */
    char near_names[STATUS_NEAR][STATUS_NAME];
    struct status_counts near_counts[STATUS_NEAR], others;
    struct histogram latencies[STATUS_SLOTS]; /* of those finished, in ns */
    char far_names[STATUS_METHODS - STATUS_NEAR][STATUS_NAME];
    struct status_counts far_counts[STATUS_METHODS - STATUS_NEAR];
    struct series_area series; /* of the user's own */
};

/* A fresh page as a descriptor (which the caller owns) and mapped. 0 or -errno. */
int status_create(struct status_page **page, int *fd);

/* A fresh page for a worker in this process. 0 or -errno. */
int status_make(struct status_page **page);

/* Makes one as it was when it was fresh: its worker, which named its methods, is gone, and nobody
 * reads it any more. */
void status_reset(struct status_page *page);

/* The page of a descriptor, which stays the caller's. 0 or -errno. */
int status_map(struct status_page **page, int fd);

/* Does nothing on NULL, and sets *page to it. */
void status_unmap(struct status_page **page);

/* A copy of the name of a method, "?" when it is not kept. The worker can write to its page at any
 * time, so no name there need have an end. Returns `name`. */
const char *status_method_name(const struct status_page *page, uint32_t method,
                               char name[STATUS_NAME]);

void status_name_method(struct status_page *page, uint32_t method, const char *name);

/* Where the counts and latencies of a method are. */
static inline uint32_t status_slot(uint32_t method)
{
    return method < STATUS_METHODS ? method : STATUS_OTHERS;
}

/* `slot` is at most STATUS_OTHERS. */
static inline struct status_counts *status_counts_of(struct status_page *page, uint32_t slot)
{
    if (slot < STATUS_NEAR) {
        return &page->near_counts[slot];
    }
    return slot < STATUS_METHODS ? &page->far_counts[slot - STATUS_NEAR] : &page->others;
}

/* ---- for readers ---- */

/* Counts as they were a moment ago; the worker may have written anything there. */
struct status_tally {
    uint64_t calls;
    uint64_t errors;
    uint64_t in_flight; /* started and not ended; at most `calls` */
};

/* Of all methods, and of the one whose slot it is. */
struct status_tally status_tally_all(const struct status_page *page);
struct status_tally status_tally_slot(const struct status_page *page, uint32_t slot);

/* Adds the latencies of a slot to `sum`, if the method was ever called. */
void status_add_latencies(const struct status_page *page, uint32_t slot, struct histogram_sum *sum);

/* ---- for the worker, on its hot path ---- */

#define status_store(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)
#define status_load(field) atomic_load_explicit(&(field), memory_order_relaxed)

/* Only the worker writes, so a load and a store make a sum without the price of an atomic add. */
#define status_add(field) status_store(field, status_load(field) + 1)

static inline void status_running(struct status_page *page, uint32_t method, uint64_t started_ns)
{
    status_store(page->running_started_ns, started_ns);
    status_store(page->running_method, method);
}

static inline void status_idle(struct status_page *page)
{
    status_store(page->running_method, STATUS_NO_METHOD);
}

/* Notes a call's start; returns its number, which status_call_ended wants. */
static inline uint64_t status_call_started(struct status_page *page, uint32_t method,
                                           uint64_t started_ns)
{
    uint64_t number = status_load(page->calls);
    struct status_call *call = &page->ring[number % STATUS_RING];

    status_store(call->started_ns, started_ns);
    status_store(call->ended_ns, 0);
    status_store(call->method, method);
    status_store(call->failed, 0);
    status_store(page->calls, number + 1);
    if (method >= STATUS_NEAR && method < STATUS_METHODS) {
        status_store(page->uses_far, 1);
    }
    status_add(status_counts_of(page, status_slot(method))->calls);
    return number;
}

/* `method` and `started_ns` are those it was started with. */
static inline void status_call_ended(struct status_page *page, uint64_t number, uint32_t method,
                                     uint64_t started_ns, uint64_t ended_ns, uint32_t failed)
{
    uint32_t slot = status_slot(method);
    struct status_counts *counts = status_counts_of(page, slot);

    if (status_load(page->calls) - number <= STATUS_RING) {
        struct status_call *call = &page->ring[number % STATUS_RING];

        status_store(call->failed, failed);
        status_store(call->ended_ns, ended_ns);
    }
    status_add(page->ended);
    status_add(counts->ended);
    if (failed) {
        status_add(page->errors);
        status_add(counts->errors);
    }
    if (status_load(page->keeps_latencies)) {
        histogram_record(&page->latencies[slot], ended_ns - started_ns);
    }
}

#endif
