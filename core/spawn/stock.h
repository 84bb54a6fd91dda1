/*
 * What is made ahead for the threads that a manager will start (thread.h): a thread of its own
 * makes things of the guest's and status pages, so that who starts finds them ready. Pages that are
 * not needed any more are kept for the next, which then needs no fresh memory.
 *
 * It makes nothing until somebody has asked in vain for the first time, more each time that
 * happens again, and less once nobody has asked for a while. So there are never more than
 * STOCK_MOST, and none where nobody uses threads.
 *
 * Shared by the manager and its threads, and freed by the last of them: a thread that was given up
 * may outlive its manager. What is in it is freed by stock_close, once and for all.
 */
#ifndef TITAN_SPAWN_STOCK_H
#define TITAN_SPAWN_STOCK_H

#include "worker/status.h"

#define STOCK_FIRST 4
#define STOCK_MOST 64

struct stock;

/* The first member of what the guest makes. */
struct stock_item {
    struct stock_item *next; /* the stock's, while it has it */
};

struct stock_ops {
    /* What all items have in common, before the first is made and after the last has gone. NULL
     * when memory is out. May both be NULL. */
    void *(*open)(void);
    void (*close)(void *common);
    /* On the stock's own thread: must end soon, and run nothing of a user's. NULL when something is
     * out; it is tried again when the next is asked for. */
    struct stock_item *(*make)(void *common);
    void (*discard)(struct stock_item *item); /* any thread */
    /* Nobody has asked for a while: what is kept in `common` without need may go. May be NULL. */
    void (*tidy)(void *common);
};

struct stock_options {
    const struct stock_ops *ops;
    unsigned tidy_ms; /* after which time without need there are to be fewer; 0: 5000 */
};

/* The maker holds it; NULL when memory is out. */
struct stock *stock_new(const struct stock_options *options);
struct stock *stock_hold(struct stock *s);
void stock_release(struct stock **held);

/* Ends its thread, and what is ready is discarded: from now on it has nothing and keeps nothing. */
void stock_close(struct stock *s);

/* ---- any thread ---- */

/* One that is the caller's from now on; NULL when none is ready, and then more will be. Never
 * waits. */
struct stock_item *stock_take(struct stock *s);

void *stock_common(const struct stock *s);

/* As status_make and status_unmap. `s` may be NULL. */
int stock_take_status(struct stock *s, struct status_page **page);
void stock_give_status(struct stock *s, struct status_page **page);

struct stock_stats {
    unsigned ready;  /* items */
    unsigned wanted; /* how many there are to be */
    unsigned pages;  /* status pages that are kept */
    uint64_t made, taken, missed;
};

void stock_stats(struct stock *s, struct stock_stats *stats);

#endif
