/*
 * What one loop drives for Titan: descriptors to watch, deadlines, and the end of a turn, when
 * everything written during it goes out at once. One reactor a loop, used by the loop's thread
 * alone.
 *
 * Its clock can be held, for tests: time then stands still until it is moved by hand.
 *
 * Other threads reach it by its mailbox alone. A bare reactor has no loop, and so no descriptors:
 * whoever owns it turns it, on one thread at a time.
 */
#ifndef TITAN_TRANSPORT_REACTOR_H
#define TITAN_TRANSPORT_REACTOR_H

#include <uv.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/spin.h"
#include "transport/mailbox.h"

#define SCRATCH_LEN ((size_t)128 * 1024)

struct watch;

/* What a reactor has in its loop. */
struct reactor_handles {
    uv_prepare_t turn;
    uv_idle_t awake; /* active while something is to be flushed: keeps the loop from sleeping */
    uv_timer_t alarm;
    uv_check_t looked; /* at the mail, if there is any */
};

struct reactor {
    uv_loop_t *uv;                   /* NULL: a bare one, */
    struct reactor_handles *in_loop; /* which has none of these */
    uint64_t alarm_ms;               /* when the alarm goes off; UINT64_MAX while it is off */
    struct heap timers;
    struct list dirty; /* of struct flusher: has something to send */
    struct list quiet; /* of struct flusher: waits until there is nothing to do */
    unsigned quiet_turns;
    bool held; /* the clock stands still at held_ms */
    uint64_t held_ms;
    uint64_t ahead_ms;    /* of the loop's clock (modulo 2^64), since it was held and moved */
    unsigned open;        /* uv handles whose close callback is still to come */
    unsigned holding;     /* timers that keep the loop alive */
    uint8_t *scratch;     /* what channels read into */
    uint64_t turn_ms;     /* the time of a bare one */
    struct mailbox *mail; /* held; NULL: no other thread knows of it */
    struct watch *bell;   /* what wakes the loop for it */
    unsigned held_by;     /* what waits for mail and keeps the loop alive */
    bool paused;          /* see reactor_pause; only ever a bare one */
    unsigned whole;       /* what is done now must not be paused */
    struct spin spin;     /* looking for mail before sleeping; off unless reactor_spin was called */
};

/* TITAN_OK or TITAN_E_LIMIT_EXCEEDED. The loop must outlive the reactor. */
int reactor_open(struct reactor *r, uv_loop_t *uv);

/* Closes everything and runs the loop until the last close callback has been called. Every watch
 * and timer must be gone. */
void reactor_close(struct reactor *r);

/* ---- mail from other threads ---- */

/* From now on this loop delivers what is posted there: a mailbox of bell_new, or a new one unless
 * it has one. TITAN_OK or TITAN_E_LIMIT_EXCEEDED. */
int reactor_take_mail(struct reactor *r, struct mailbox *m);
int reactor_open_mail(struct reactor *r);

/* Before it sleeps the loop looks for mail, up to so long (base/spin.h); meanwhile nothing else is
 * looked at, neither descriptors nor deadlines. 0: it sleeps at once. */
void reactor_spin(struct reactor *r, uint64_t limit_ns);

/* Something waits for mail: the loop stays alive. */
void reactor_hold(struct reactor *r);
void reactor_unhold(struct reactor *r);

/* ---- without a loop ---- */

void reactor_open_bare(struct reactor *r, struct mailbox *m);

/* Fires what is due, delivers the mail, flushes what was written. Returns when it wants the next
 * turn: 0 at once, else a time in ms (CLOCK_MONOTONIC), UINT64_MAX when mail comes. */
uint64_t reactor_turn(struct reactor *r);
uint64_t reactor_due_ms(const struct reactor *r); /* the same, without a turn */

/* In a callback of its: the turn ends with this callback, and what it has not done yet is done by a
 * later one, in the same order; bytes that came wait in their channels. The owner resumes it before
 * that. So what has to be interrupted in its middle goes on before anything else begins. */
static inline void reactor_pause(struct reactor *r)
{
    r->paused = true;
}

static inline void reactor_resume(struct reactor *r)
{
    r->paused = false;
}

/* Between these two, which nest, nothing may be interrupted in its middle: what is done next could
 * not wait. */
static inline void reactor_begin_whole(struct reactor *r)
{
    r->whole++;
}

static inline void reactor_end_whole(struct reactor *r)
{
    r->whole--;
}

/* ---- deadlines ---- */

/* Lives inside its owner. Zeroed memory is a timer that is off. */
struct timer {
    struct heap_node node;
    void (*fire)(struct timer *t);
    bool holds;
};

/* Fires once, in `ms` from now, unless disarmed; arming again moves it. A timer that `holds` keeps
 * the loop alive. False when memory is out. */
bool timer_arm(struct reactor *r, struct timer *t, uint64_t ms, bool holds);
void timer_disarm(struct reactor *r, struct timer *t);

/* The time is that of now, not of the turn's beginning. */
void reactor_update_time(struct reactor *r);

/* How long until it fires; UINT64_MAX when it is off. */
uint64_t timer_left_ms(const struct reactor *r, const struct timer *t);

/* The loop's time in ms, taken once a turn. */
uint64_t reactor_now_ms(const struct reactor *r);

/* The same of a moment of now_ns(), which may be later than the turn's beginning. Safe in a signal
 * handler. */
uint64_t reactor_ms_at(const struct reactor *r, uint64_t at_ns);

/* ---- a clock under somebody's hand ---- */

/* Holds the clock: from here on only reactor_move_clock lets time pass. Timers that are due fire
 * all the same, those armed for 0 ms too; a timer of a later time keeps no loop alive. */
void reactor_hold_clock(struct reactor *r);

/* To a time not before the present one. What is due then fires in the turns that follow. */
void reactor_move_clock(struct reactor *r, uint64_t to_ms);

/* Lets the clock go on from where it stands: what is armed has as long to go as it had. */
void reactor_release_clock(struct reactor *r);

/* When the first timer is due; UINT64_MAX when none is armed. */
uint64_t reactor_next_ms(const struct reactor *r);

/* ---- descriptors ---- */

typedef void (*watch_fn)(void *ctx, int events); /* UV_READABLE | UV_WRITABLE */

/* Owns `fd` from success on. NULL when memory or descriptors are out (the fd stays the caller's).
 */
struct watch *watch_open(struct reactor *r, int fd, int events, watch_fn fn, void *ctx);
int watch_fd(const struct watch *w);
int watch_events(struct watch *w, int events); /* 0 pauses; below zero: errno of the kernel */

/* An unheld watch does not keep the loop alive. */
void watch_hold(struct watch *w, bool hold);

/* Closes the descriptor; no callback after this. Sets *w to NULL; does nothing when it is. */
void watch_close(struct watch **w);

/* ---- the end of a turn ---- */

struct flusher {
    struct list node;
    void (*flush)(struct flusher *f);
};

void flusher_init(struct flusher *f, void (*flush)(struct flusher *f));

void reactor_stay_awake(struct reactor *r);

/* Asks for one flush before the loop sleeps. Cheap to call again. */
static inline void reactor_flush_later(struct reactor *r, struct flusher *f)
{
    if (list_empty(&f->node)) {
        if (list_empty(&r->dirty)) {
            reactor_stay_awake(r);
        }
        list_push(&r->dirty, &f->node);
    }
}

/* Calls f->flush once, when turns have come to an end that left nothing to do: nothing to flush, no
 * timer due, nothing to read. The loop does not sleep before. */
void reactor_when_quiet(struct reactor *r, struct flusher *f);

/* Takes either request back, as before the owner goes away. */
static inline void flusher_cancel(struct flusher *f)
{
    list_remove(&f->node);
}

#endif
