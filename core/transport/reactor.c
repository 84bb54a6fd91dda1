#include "transport/reactor.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "titan.h"
#include "transport/bell.h"

#define NEVER UINT64_MAX
#define QUIET_TURNS 2

/* ---- the end of a turn ---- */

static void nothing(uv_idle_t *handle)
{
    (void)handle;
}

void reactor_stay_awake(struct reactor *r)
{
    if (r->uv != NULL) {
        uv_idle_start(&r->in_loop->awake, nothing);
    }
}

static void flush_once(struct reactor *r)
{
    struct list now;

    list_take(&now, &r->dirty);
    while (!list_empty(&now) && !r->paused) {
        struct flusher *f = list_entry(now.next, struct flusher, node);

        list_remove(&f->node);
        f->flush(f);
    }
    list_put_first(&r->dirty, &now);
}

static bool is_due(const struct reactor *r)
{
    return reactor_next_ms(r) <= reactor_now_ms(r);
}

/* A turn that had nothing to do is not enough: the loop has to have looked at its descriptors
 * since. Only the first is told, since what it does may be work for the others to wait for. */
static void tell_quiet(struct reactor *r)
{
    struct flusher *f = list_entry(r->quiet.next, struct flusher, node);

    if (!list_empty(&r->dirty) || is_due(r)) {
        r->quiet_turns = 0;
    } else if (++r->quiet_turns == QUIET_TURNS) {
        r->quiet_turns = 0;
        list_remove(&f->node);
        f->flush(f);
    }
}

/* ---- the mail ---- */

static void spin_for_mail(struct reactor *r)
{
    uint64_t length_ns = spin_length_ns(&r->spin);
    uint64_t until_ns;

    if (length_ns == 0) {
        return;
    }
    until_ns = now_ns() + length_ns;
    while (mailbox_is_empty(r->mail) && now_ns() < until_ns) {
        spin_pause();
    }
    spin_ended(&r->spin, !mailbox_is_empty(r->mail));
}

/* With a post that came since the last look the loop must not sleep. */
static void await_mail(struct reactor *r)
{
    if (mailbox_is_empty(r->mail)) {
        spin_for_mail(r);
    }
    if (!mailbox_fall_asleep(r->mail)) {
        reactor_stay_awake(r);
    }
}

static void look_at_mail(uv_check_t *handle)
{
    struct reactor *r = handle->data;

    mailbox_awake(r->mail);
    mailbox_deliver(r->mail);
}

/* Twice: what resumed tasks wrote goes out in this turn, too. What they resume again has the next
 * one, so that tasks that wake each other keep the loop from nothing. */
static void flush_turn(uv_prepare_t *handle)
{
    struct reactor *r = handle->data;

    flush_once(r);
    flush_once(r);
    if (!list_empty(&r->quiet)) {
        tell_quiet(r);
    }
    if (list_empty(&r->dirty) && list_empty(&r->quiet)) {
        uv_idle_stop(&r->in_loop->awake);
        if (r->mail != NULL) {
            await_mail(r);
        }
    }
}

void reactor_when_quiet(struct reactor *r, struct flusher *f)
{
    list_remove(&f->node);
    list_push(&r->quiet, &f->node);
    r->quiet_turns = 0;
    reactor_stay_awake(r);
}

void flusher_init(struct flusher *f, void (*flush)(struct flusher *f))
{
    list_init(&f->node);
    f->flush = flush;
}

/* ---- deadlines ---- */

uint64_t reactor_now_ms(const struct reactor *r)
{
    if (r->held) {
        return r->held_ms;
    }
    return r->uv != NULL ? uv_now(r->uv) + r->ahead_ms : r->turn_ms;
}

void reactor_update_time(struct reactor *r)
{
    if (r->uv != NULL) {
        uv_update_time(r->uv);
    } else {
        r->turn_ms = now_ns() / 1000000u;
    }
}

uint64_t reactor_ms_at(const struct reactor *r, uint64_t at_ns)
{
    return r->held ? r->held_ms : at_ns / 1000000u + r->ahead_ms;
}

static void alarm_rang(uv_timer_t *handle);

static void ring(struct reactor *r, uint64_t at_ms, uint64_t in_ms)
{
    r->alarm_ms = at_ms;
    uv_timer_start(&r->in_loop->alarm, alarm_rang, in_ms, 0);
}

/* The uv timer only ever moves to an earlier time: a disarmed timer leaves it as it is, and an
 * alarm that finds nothing due sets itself anew. So arming and disarming for every call costs a
 * heap operation and nothing else. While the clock is held no later time comes by itself. */
static void set_alarm(struct reactor *r, uint64_t at_ms)
{
    uint64_t now = reactor_now_ms(r);

    if (r->uv != NULL && at_ms < r->alarm_ms && (!r->held || at_ms <= now)) {
        ring(r, at_ms, at_ms > now ? at_ms - now : 0);
    }
}

static void hold_loop(struct reactor *r, struct timer *t, bool hold)
{
    if (t->holds == hold) {
        return;
    }
    t->holds = hold;
    if (r->uv == NULL) {
        return;
    }
    if (hold && r->holding++ == 0) {
        uv_ref((uv_handle_t *)&r->in_loop->alarm);
    } else if (!hold && --r->holding == 0) {
        uv_unref((uv_handle_t *)&r->in_loop->alarm);
    }
}

static void fire_due(struct reactor *r)
{
    size_t at_most = r->timers.len; /* those that are armed for now meanwhile have the next turn */
    struct heap_node *node;

    while ((node = heap_first(&r->timers)) != NULL && node->key <= reactor_now_ms(r) &&
           at_most-- > 0 && !r->paused) {
        struct timer *t = list_entry(node, struct timer, node);

        timer_disarm(r, t);
        t->fire(t);
    }
}

static void alarm_rang(uv_timer_t *handle)
{
    struct reactor *r = handle->data;

    r->alarm_ms = 0; /* whatever is armed meanwhile is looked at below */
    fire_due(r);
    r->alarm_ms = NEVER;
    if (is_due(r)) {
        /* Not now: libuv would call back in this very turn, before it looks at descriptors. */
        ring(r, reactor_now_ms(r) + 1, 1);
    } else {
        set_alarm(r, reactor_next_ms(r));
    }
}

/* The loop's time is that of the turn's beginning. Code that has run for long since then must not
 * make what it arms fire early, so the kernel's own tick counts if it is later: 4 ms coarse at the
 * most, and far cheaper than the clock. */
static uint64_t arming_ms(const struct reactor *r)
{
    uint64_t tick = clock_ns(CLOCK_MONOTONIC_COARSE) / 1000000u + r->ahead_ms;

    if (r->uv == NULL) {
        /* It is turned at the very moment that is asked for, and its time is rounded down. */
        return (tick > r->turn_ms ? tick : r->turn_ms) + 1;
    }
    return !r->held && tick > reactor_now_ms(r) ? tick : reactor_now_ms(r);
}

bool timer_arm(struct reactor *r, struct timer *t, uint64_t ms, bool holds)
{
    uint64_t now = arming_ms(r);

    heap_remove(&r->timers, &t->node);
    t->node.key = ms > NEVER - 1 - now ? NEVER - 1 : now + ms;
    if (!heap_insert(&r->timers, &t->node)) {
        hold_loop(r, t, false);
        return false;
    }
    hold_loop(r, t, holds);
    set_alarm(r, t->node.key);
    return true;
}

void timer_disarm(struct reactor *r, struct timer *t)
{
    heap_remove(&r->timers, &t->node);
    hold_loop(r, t, false);
}

uint64_t timer_left_ms(const struct reactor *r, const struct timer *t)
{
    uint64_t now = reactor_now_ms(r);

    if (t->node.place == 0) {
        return NEVER;
    }
    return t->node.key > now ? t->node.key - now : 0;
}

/* ---- a clock under somebody's hand ---- */

uint64_t reactor_next_ms(const struct reactor *r)
{
    const struct heap_node *node = heap_first(&r->timers);

    return node != NULL ? node->key : NEVER;
}

static void reset_alarm(struct reactor *r)
{
    if (r->uv == NULL) {
        return;
    }
    uv_timer_stop(&r->in_loop->alarm);
    r->alarm_ms = NEVER;
    set_alarm(r, reactor_next_ms(r));
}

void reactor_hold_clock(struct reactor *r)
{
    if (!r->held) {
        /* Rounded up: who has asked for the time in fractions must not see it go back. */
        r->held_ms = (now_ns() + 999999u) / 1000000u + r->ahead_ms;
        r->held = true;
        reset_alarm(r);
    }
}

void reactor_move_clock(struct reactor *r, uint64_t to_ms)
{
    if (r->held && to_ms > r->held_ms) {
        r->held_ms = to_ms;
        reset_alarm(r);
    }
}

void reactor_release_clock(struct reactor *r)
{
    if (r->held) {
        uv_update_time(r->uv);
        r->ahead_ms = r->held_ms - uv_now(r->uv);
        r->held = false;
        reset_alarm(r);
    }
}

/* ---- life ---- */

static void own_handle_closed(uv_handle_t *handle)
{
    struct reactor *r = handle->data;

    r->open--;
}

static void clear(struct reactor *r)
{
    memset(r, 0, sizeof *r);
    r->alarm_ms = NEVER;
    list_init(&r->dirty);
    list_init(&r->quiet);
}

int reactor_open(struct reactor *r, uv_loop_t *uv)
{
    struct reactor_handles *h = malloc(sizeof *h);

    clear(r);
    r->scratch = malloc(SCRATCH_LEN);
    if (r->scratch == NULL || h == NULL) {
        free(r->scratch);
        free(h);
        return TITAN_E_LIMIT_EXCEEDED;
    }
    r->uv = uv;
    r->in_loop = h;
    uv_prepare_init(uv, &h->turn);
    uv_idle_init(uv, &h->awake);
    uv_timer_init(uv, &h->alarm);
    h->turn.data = r;
    h->awake.data = r;
    h->alarm.data = r;
    uv_prepare_start(&h->turn, flush_turn);
    uv_unref((uv_handle_t *)&h->turn);
    uv_unref((uv_handle_t *)&h->alarm);
    r->open = 3;
    return TITAN_OK;
}

/* No turn is over while posts come in: what is left of the mail when its owner ends is delivered.
 */
static void close_mail(struct reactor *r)
{
    mailbox_close(r->mail);
    mailbox_release(r->mail);
    r->mail = NULL;
}

void reactor_close(struct reactor *r)
{
    if (r->mail != NULL) {
        close_mail(r);
        if (r->bell != NULL) {
            watch_close(&r->bell);
            uv_close((uv_handle_t *)&r->in_loop->looked, own_handle_closed);
        }
    }
    if (r->uv != NULL) {
        uv_close((uv_handle_t *)&r->in_loop->turn, own_handle_closed);
        uv_close((uv_handle_t *)&r->in_loop->awake, own_handle_closed);
        uv_close((uv_handle_t *)&r->in_loop->alarm, own_handle_closed);
        while (r->open > 0) {
            uv_run(r->uv, UV_RUN_NOWAIT);
        }
    }
    heap_free(&r->timers);
    free(r->in_loop);
    r->in_loop = NULL;
    free(r->scratch);
    r->scratch = NULL;
}

/* ---- mail from other threads ---- */

static void bell_rang(void *ctx, int events)
{
    struct reactor *r = ctx;
    uint64_t rings;

    (void)events;
    (void)!read(watch_fd(r->bell), &rings, sizeof rings); /* the mail itself is looked at later */
}

int reactor_take_mail(struct reactor *r, struct mailbox *m)
{
    int fd = bell_dup(m);

    if (fd < 0) {
        return TITAN_E_LIMIT_EXCEEDED;
    }
    r->bell = watch_open(r, fd, UV_READABLE, bell_rang, r);
    if (r->bell == NULL) {
        close(fd);
        return TITAN_E_LIMIT_EXCEEDED;
    }
    watch_hold(r->bell, r->held_by > 0);
    uv_check_init(r->uv, &r->in_loop->looked);
    r->in_loop->looked.data = r;
    uv_check_start(&r->in_loop->looked, look_at_mail);
    uv_unref((uv_handle_t *)&r->in_loop->looked);
    r->open++;
    r->mail = mailbox_hold(m);
    return TITAN_OK;
}

int reactor_open_mail(struct reactor *r)
{
    struct mailbox *m;
    int code;

    if (r->mail != NULL) {
        return TITAN_OK;
    }
    m = bell_new();
    if (m == NULL) {
        return TITAN_E_LIMIT_EXCEEDED;
    }
    code = reactor_take_mail(r, m);
    mailbox_release(m);
    return code;
}

void reactor_spin(struct reactor *r, uint64_t limit_ns)
{
    spin_init(&r->spin, limit_ns, uv_available_parallelism());
}

void reactor_hold(struct reactor *r)
{
    if (r->held_by++ == 0 && r->bell != NULL) {
        watch_hold(r->bell, true);
    }
}

void reactor_unhold(struct reactor *r)
{
    if (--r->held_by == 0 && r->bell != NULL) {
        watch_hold(r->bell, false);
    }
}

/* ---- a reactor that somebody else turns ---- */

void reactor_open_bare(struct reactor *r, struct mailbox *m)
{
    clear(r);
    r->mail = mailbox_hold(m);
    r->turn_ms = now_ns() / 1000000u;
}

uint64_t reactor_turn(struct reactor *r)
{
    r->turn_ms = now_ns() / 1000000u;
    fire_due(r);
    mailbox_deliver(r->mail);
    flush_once(r);
    flush_once(r);
    return reactor_due_ms(r);
}

uint64_t reactor_due_ms(const struct reactor *r)
{
    return list_empty(&r->dirty) ? reactor_next_ms(r) : 0;
}
