#include "spawn/sched.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "spawn/sched_parts.h"

#define SLICE_US 5000

/* ---- units ---- */

void unit_init(struct unit *u, struct sched *s, const struct unit_ops *ops, int home)
{
    unsigned to = home >= 0 ? (unsigned)home
                            : atomic_fetch_add_explicit(&s->next_home, 1, memory_order_relaxed);

    memset(u, 0, sizeof *u);
    u->ops = ops;
    u->sched = s;
    u->due.key = NEVER;
    u->home = (uint16_t)(to % s->count);
    atomic_init(&u->state, 0);
    atomic_fetch_add_explicit(&s->units, 1, memory_order_relaxed);
}

void unit_wake(struct unit *u)
{
    if (atomic_fetch_or_explicit(&u->state, UNIT_WOKEN, memory_order_acq_rel) != 0) {
        return; /* queued already, or looked at again by who runs it, or over */
    }
    if (u->timed) {
        sched_disarm(u);
    }
    sched_queue_unit(u, sched_thread_self(u->sched));
}

void unit_due(struct unit *u, uint64_t due_ns)
{
    u->due.key = due_ns;
}

void unit_pin(struct unit *u)
{
    u->pinned = true;
}

/* ---- where a unit is queued ---- */

static void queue_pinned(struct sched_thread *t, struct unit *u)
{
    uint64_t len = atomic_load_explicit(&t->pinned_len, memory_order_relaxed);

    u->next = NULL;
    if (t->pinned == NULL) {
        t->pinned = u;
    } else {
        t->last_pinned->next = u;
    }
    t->last_pinned = u;
    atomic_store_explicit(&t->pinned_len, len + 1, memory_order_relaxed);
}

/* One unit that waits is left to its thread, which is about to be free: two that wake each other
 * then stay together. */
static void queue_here(struct sched_thread *self, struct unit *u)
{
    uint64_t len = run_queue_push(&self->queue, u);

    if (len == 0) {
        inbox_push(&self->inbox, u); /* no memory for a wider queue: an inbox always has room */
    } else if (len > 1) {
        sched_send_one(self->sched);
    }
}

void sched_queue_unit(struct unit *u, struct sched_thread *self)
{
    struct sched_thread *home = &u->sched->threads[u->home];
    bool pinned = u->pinned;
    bool more;

    if (self != NULL && !pinned) {
        queue_here(self, u);
        return;
    }
    if (self == home) {
        queue_pinned(self, u);
        return;
    }
    more = inbox_push(pinned ? &home->pinned_inbox : &home->inbox, u);
    /* Not ours any more: it may have run and be gone. */
    if (!sched_rouse(home, AWAKE) && more && !pinned) {
        sched_send_one(home->sched);
    }
}

bool sched_rouse(struct sched_thread *t, int why)
{
    int asleep = ASLEEP;

    if (atomic_load_explicit(&t->sleep, memory_order_seq_cst) != ASLEEP ||
        !atomic_compare_exchange_strong(&t->sleep, &asleep, why)) {
        return false;
    }
    atomic_fetch_sub_explicit(&t->sched->sleepers, 1, memory_order_relaxed);
    eventfd_write(t->bell, 1);
    return true;
}

void sched_send_one(struct sched *s)
{
    if (atomic_load_explicit(&s->sleepers, memory_order_relaxed) == 0 ||
        atomic_load_explicit(&s->searching, memory_order_relaxed) ||
        atomic_exchange_explicit(&s->searching, true, memory_order_acq_rel)) {
        return;
    }
    for (unsigned i = 0; i < s->count; i++) {
        if (sched_rouse(&s->threads[i], SENT)) {
            return;
        }
    }
    atomic_store_explicit(&s->searching, false, memory_order_release);
}

/* ---- threads ---- */

unsigned sched_thread_count(const struct sched *s)
{
    return s->count;
}

struct sched_thread *sched_thread_self(const struct sched *s)
{
    return pthread_getspecific(s->self);
}

struct sched_thread *sched_thread_at(struct sched *s, unsigned index)
{
    return &s->threads[index];
}

unsigned sched_thread_index(const struct sched_thread *t)
{
    return t->index;
}

pthread_t sched_thread_id(const struct sched_thread *t)
{
    return t->thread;
}

uint64_t sched_thread_run(const struct sched_thread *t)
{
    return atomic_load_explicit(&t->run, memory_order_relaxed) & ~RUN_CLAIMED;
}

uv_loop_t *sched_thread_loop(struct sched_thread *t)
{
    return &t->loop;
}

struct reactor *sched_thread_reactor(struct sched_thread *t)
{
    return &t->reactor;
}

void sched_thread_stats(const struct sched_thread *t, struct sched_stats *stats)
{
    stats->runs = atomic_load_explicit(&t->runs, memory_order_relaxed);
    stats->steals = atomic_load_explicit(&t->steals, memory_order_relaxed);
    stats->queued =
        run_queue_len(&t->queue) + atomic_load_explicit(&t->pinned_len, memory_order_relaxed);
}

uint64_t sched_units(const struct sched *s)
{
    return atomic_load_explicit(&s->units, memory_order_relaxed);
}

/* ---- life ---- */

static int loop_open(struct sched_thread *t)
{
    if (uv_loop_init(&t->loop) < 0) {
        return -1;
    }
    if (uv_async_init(&t->loop, &t->keeper, NULL) < 0) {
        uv_loop_close(&t->loop);
        return -1;
    }
    if (reactor_open(&t->reactor, &t->loop) < 0) {
        uv_close((uv_handle_t *)&t->keeper, NULL);
        uv_run(&t->loop, UV_RUN_DEFAULT);
        uv_loop_close(&t->loop);
        return -1;
    }
    return 0;
}

static void loop_close(struct sched_thread *t)
{
    int busy;

    reactor_close(&t->reactor);
    uv_close((uv_handle_t *)&t->keeper, NULL);
    uv_run(&t->loop, UV_RUN_DEFAULT);
    busy = uv_loop_close(&t->loop);
    assert(busy == 0); /* a unit has left something in the loop */
    (void)busy;
}

static int thread_open(struct sched_thread *t, struct sched *s, unsigned index)
{
    t->sched = s;
    t->index = index;
    t->random.state = index;
    spin_init(&t->spin, (uint64_t)s->options.spin_us * 1000u, uv_available_parallelism());
    atomic_init(&t->first_due_ns, NEVER);
    t->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (t->bell < 0) {
        return -1;
    }
    if (uv_mutex_init(&t->due_mutex) < 0) {
        goto no_mutex;
    }
    if (!run_queue_init(&t->queue)) {
        goto no_queue;
    }
    if (loop_open(t) < 0) {
        goto no_loop;
    }
    return 0;

no_loop:
    run_queue_free(&t->queue);
no_queue:
    uv_mutex_destroy(&t->due_mutex);
no_mutex:
    close(t->bell);
    return -1;
}

/* The thread has ended, or was never there. */
static void thread_close(struct sched_thread *t)
{
    loop_close(t);
    run_queue_free(&t->queue);
    heap_free(&t->due);
    uv_mutex_destroy(&t->due_mutex);
    close(t->bell);
}

/* Signals are for other threads, unless they are meant for this one. */
static int thread_start(struct sched_thread *t)
{
    sigset_t most, before;
    int error;

    sigfillset(&most);
    sigdelset(&most, SIGURG);
    pthread_sigmask(SIG_SETMASK, &most, &before);
    error = uv_thread_create(&t->thread, sched_thread_main, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static void threads_stop(struct sched *s, unsigned started)
{
    atomic_store(&s->stop, true);
    for (unsigned i = 0; i < started; i++) {
        sched_rouse(&s->threads[i], AWAKE);
    }
    for (unsigned i = 0; i < started; i++) {
        uv_thread_join(&s->threads[i].thread);
    }
}

static int threads_start(struct sched *s)
{
    if (sched_watch_start(s) < 0) {
        return -1;
    }
    for (unsigned i = 0; i < s->count; i++) {
        if (thread_start(&s->threads[i]) < 0) {
            threads_stop(s, i);
            sched_watch_stop(s);
            return -1;
        }
    }
    return 0;
}

static void sched_free(struct sched *s, unsigned opened)
{
    for (unsigned i = 0; i < opened; i++) {
        thread_close(&s->threads[i]);
    }
    pthread_key_delete(s->self);
    free(s);
}

static struct sched *sched_new(const struct sched_options *o, unsigned count)
{
    size_t len = sizeof(struct sched) + count * sizeof(struct sched_thread);
    struct sched *s = aligned_alloc(CACHE_LINE, len);

    if (s == NULL) {
        return NULL;
    }
    memset(s, 0, len);
    s->options = *o;
    s->count = count;
    s->slice_ns = (uint64_t)(o->slice_us > 0 ? o->slice_us : SLICE_US) * 1000;
    if (pthread_key_create(&s->self, NULL) != 0) {
        free(s);
        return NULL;
    }
    return s;
}

struct sched *sched_open(const struct sched_options *options)
{
    unsigned count = options->threads > 0 ? options->threads : uv_available_parallelism();
    struct sched *s;

    if (options->threads == 0 && count > SCHED_THREADS_MAX) {
        count = SCHED_THREADS_MAX;
    }
    if (count > SCHED_THREADS_MAX || (s = sched_new(options, count)) == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < count; i++) {
        if (thread_open(&s->threads[i], s, i) < 0) {
            sched_free(s, i);
            return NULL;
        }
    }
    if (threads_start(s) < 0) {
        sched_free(s, count);
        return NULL;
    }
    return s;
}

void sched_close(struct sched *s)
{
    assert(sched_units(s) == 0);
    threads_stop(s, s->count);
    sched_watch_stop(s);
    sched_free(s, s->count);
}
