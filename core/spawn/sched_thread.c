#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "spawn/sched_parts.h"

#define RUNS_A_TURN 64 /* then the loop has its turn, and what is due */
#define DUE_A_TURN 256
#define STEAL_MAX 64

/* ---- what is due ---- */

static void first_due_changed(struct sched_thread *t)
{
    const struct heap_node *first = heap_first(&t->due);

    atomic_store_explicit(&t->first_due_ns, first != NULL ? first->key : NEVER,
                          memory_order_relaxed);
}

/* False when memory is out. */
static bool arm(struct sched_thread *t, struct unit *u)
{
    uv_mutex_lock(&t->due_mutex);
    u->timed = heap_insert(&t->due, &u->due);
    first_due_changed(t);
    uv_mutex_unlock(&t->due_mutex);
    return u->timed;
}

void sched_disarm(struct unit *u)
{
    struct sched_thread *t = &u->sched->threads[u->home];

    uv_mutex_lock(&t->due_mutex);
    heap_remove(&t->due, &u->due);
    first_due_changed(t);
    uv_mutex_unlock(&t->due_mutex);
    u->timed = false;
}

/* A unit that somebody is waking at this moment is that one's, who finds it out of the heap as soon
 * as the mutex is free; nothing but its key, which that one does not look at, may be touched. */
static struct unit *take_due(struct sched_thread *t, struct heap_node *node)
{
    struct unit *u = list_entry(node, struct unit, due);

    heap_remove(&t->due, node);
    u->due.key = NEVER;
    if (atomic_fetch_or_explicit(&u->state, UNIT_WOKEN, memory_order_acq_rel) != 0) {
        return NULL;
    }
    u->timed = false;
    return u;
}

void sched_queue_due(struct sched_thread *t, struct sched_thread *self)
{
    uint64_t now = now_ns();
    struct heap_node *node;
    struct unit *u;

    uv_mutex_lock(&t->due_mutex);
    for (int i = 0; i < DUE_A_TURN; i++) {
        node = heap_first(&t->due);
        if (node == NULL || node->key > now) {
            break;
        }
        u = take_due(t, node);
        if (u != NULL) {
            sched_queue_unit(u, self);
        }
    }
    first_due_changed(t);
    uv_mutex_unlock(&t->due_mutex);
}

static uint64_t first_due_ns(const struct sched_thread *t)
{
    return atomic_load_explicit(&t->first_due_ns, memory_order_relaxed);
}

/* ---- one run ---- */

/* The one that was sent to look for work has looked, or has found something to do before. */
static void has_looked(struct sched_thread *t)
{
    if (t->sent) {
        t->sent = false;
        atomic_store_explicit(&t->sched->searching, false, memory_order_release);
    }
}

static void add(_Atomic(uint64_t) *counter, uint64_t n)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, now + n, memory_order_relaxed);
}

static void queue_again(struct unit *u, struct sched_thread *t)
{
    atomic_exchange_explicit(&u->state, UNIT_WOKEN, memory_order_acq_rel);
    sched_queue_unit(u, t);
}

/* When there is no memory to remember the time, the unit runs until there is. */
static void go_idle(struct unit *u, struct sched_thread *t)
{
    uint8_t state = atomic_load_explicit(&u->state, memory_order_relaxed);

    if ((state & UNIT_WOKEN) || (u->due.key != NEVER && !arm(t, u))) {
        queue_again(u, t);
        return;
    }
    state = UNIT_RUNS;
    if (atomic_compare_exchange_strong_explicit(&u->state, &state, 0, memory_order_acq_rel,
                                                memory_order_relaxed)) {
        return; /* not ours any more */
    }
    if (u->timed) {
        sched_disarm(u);
    }
    queue_again(u, t);
}

static void end(struct unit *u, struct sched_thread *t)
{
    atomic_exchange_explicit(&u->state, UNIT_OVER, memory_order_acq_rel);
    atomic_fetch_sub_explicit(&t->sched->units, 1, memory_order_relaxed);
    u->ops->ended(u, t);
}

static void run(struct unit *u, struct sched_thread *t)
{
    enum unit_next next;

    has_looked(t);
    u->home = (uint16_t)t->index;
    atomic_exchange_explicit(&u->state, UNIT_RUNS, memory_order_acq_rel);
    watch_begin(t, u);
    next = u->ops->run(u, t);
    watch_end(t);
    add(&t->runs, 1);
    switch (next) {
    case UNIT_IDLE:
        go_idle(u, t);
        break;
    case UNIT_AGAIN:
        queue_again(u, t);
        break;
    case UNIT_ENDED:
        end(u, t);
        break;
    }
}

/* ---- the next unit ---- */

static void queue_all(struct sched_thread *t, struct unit *first)
{
    while (first != NULL) {
        struct unit *u = first;

        first = u->next;
        sched_queue_unit(u, t);
    }
}

static void take_inbox(struct sched_thread *t, struct inbox *box)
{
    if (!inbox_empty(box)) {
        queue_all(t, inbox_take(box));
    }
}

static struct unit *next_pinned(struct sched_thread *t)
{
    struct unit *u = t->pinned;

    if (u != NULL) {
        t->pinned = u->next;
        add(&t->pinned_len, (uint64_t)-1);
    }
    return u;
}

static struct unit *next_queued(struct sched_thread *t)
{
    struct unit *u;
    int count;

    do {
        count = run_queue_take(&t->queue, &u, 1, false);
    } while (count < 0);
    return count > 0 ? u : NULL;
}

/* From both queues in turn. */
static struct unit *next_unit(struct sched_thread *t)
{
    bool pinned_first = t->tick++ % 2 == 0;
    struct unit *u;

    take_inbox(t, &t->inbox);
    take_inbox(t, &t->pinned_inbox);
    u = pinned_first ? next_pinned(t) : next_queued(t);
    if (u == NULL) {
        u = pinned_first ? next_queued(t) : next_pinned(t);
    }
    return u;
}

/* ---- stealing ---- */

static bool has_work(const struct sched_thread *t)
{
    return run_queue_len(&t->queue) > 0 || !inbox_empty(&t->inbox);
}

static bool has_own_work(const struct sched_thread *t)
{
    return has_work(t) || t->pinned != NULL || !inbox_empty(&t->pinned_inbox);
}

/* What comes back: whether it is worth to look for something to do. */
static bool steal_from(struct sched_thread *t, struct sched_thread *victim)
{
    struct unit *units[STEAL_MAX];
    int count = run_queue_take(&victim->queue, units, STEAL_MAX, true);

    if (count > 0) {
        add(&t->steals, (uint64_t)count);
        for (int i = 0; i < count; i++) {
            sched_queue_unit(units[i], t);
        }
        return true;
    }
    if (!inbox_empty(&victim->inbox)) {
        struct unit *first = inbox_take(&victim->inbox);

        for (const struct unit *u = first; u != NULL; u = u->next) {
            add(&t->steals, 1);
        }
        queue_all(t, first);
        return true;
    }
    return count < 0;
}

static bool steal(struct sched_thread *t)
{
    struct sched *s = t->sched;
    unsigned begin = random_below(&t->random, s->count);
    bool stolen = false;

    for (unsigned i = 0; i < s->count && !stolen; i++) {
        struct sched_thread *victim = &s->threads[(begin + i) % s->count];

        stolen = victim != t && steal_from(t, victim);
    }
    has_looked(t);
    return stolen;
}

/* Else what waits behind a run that never ends would wait for ever where all others have more to
 * do.
 */
static void help(struct sched_thread *t)
{
    struct sched *s = t->sched;
    unsigned behind = atomic_load_explicit(&s->behind, memory_order_relaxed);

    if (behind != 0 && behind != t->index + 1 &&
        atomic_compare_exchange_strong(&s->behind, &behind, 0)) {
        (void)steal_from(t, &s->threads[behind - 1]);
    }
}

/* ---- sleep ---- */

static void get_up(struct sched_thread *t)
{
    int was = atomic_exchange(&t->sleep, AWAKE);

    if (was == ASLEEP) {
        atomic_fetch_sub_explicit(&t->sched->sleepers, 1, memory_order_relaxed);
    }
    t->sent = was == SENT;
    sched_watch_thread_is_up(t->sched);
}

static bool may_sleep(const struct sched_thread *t)
{
    const struct sched *s = t->sched;

    if (!inbox_empty(&t->pinned_inbox) || atomic_load(&s->stop)) {
        return false;
    }
    for (unsigned i = 0; i < s->count; i++) {
        if (has_work(&s->threads[i])) {
            return false;
        }
    }
    return true;
}

/* Until something is due, in the loop or here. */
static uint64_t left_ns(struct sched_thread *t)
{
    uint64_t due_ns = first_due_ns(t);
    uint64_t now = now_ns();
    int left_ms;

    uv_update_time(&t->loop);
    left_ms = uv_backend_timeout(&t->loop); /* -1: for ever */
    due_ns = due_ns == NEVER ? NEVER : due_ns > now ? due_ns - now : 0;
    return left_ms >= 0 && (uint64_t)left_ms * 1000000 < due_ns ? (uint64_t)left_ms * 1000000
                                                                : due_ns;
}

/* Until the bell rings, the loop has something to do, or `ns` are over. Whether it was the bell and
 * nothing else. */
static bool wait_for_bell(struct sched_thread *t, uint64_t ns)
{
    struct pollfd fds[] = {{.fd = t->bell, .events = POLLIN},
                           {.fd = uv_backend_fd(&t->loop), .events = POLLIN}};
    struct timespec left = {.tv_sec = (time_t)(ns / 1000000000),
                            .tv_nsec = (long)(ns % 1000000000)};
    eventfd_t rings;

    if (ppoll(fds, 2, ns == NEVER ? NULL : &left, NULL) <= 0) {
        return false;
    }
    if (fds[0].revents != 0) {
        eventfd_read(t->bell, &rings);
    }
    return fds[1].revents == 0;
}

/* Whether there is something to do, now or after a while that is too short to sleep. While it looks
 * it is awake: nobody has to ring. */
static bool look_for_work(struct sched_thread *t, uint64_t most_ns)
{
    uint64_t length_ns = spin_length_ns(&t->spin);
    uint64_t until_ns;

    if (length_ns == 0) {
        return false;
    }
    until_ns = now_ns() + (length_ns < most_ns ? length_ns : most_ns);
    while (may_sleep(t) && now_ns() < until_ns) {
        spin_pause();
    }
    spin_ended(&t->spin, !may_sleep(t));
    return !may_sleep(t);
}

/* False when the loop may have something to do. Does not wait in uv_run: callbacks that it calls
 * before it waits may wake units. */
static bool sleep_well(struct sched_thread *t)
{
    uint64_t ns = left_ns(t);
    bool idle = false;

    if (ns == 0 || look_for_work(t, ns)) {
        return false;
    }
    atomic_fetch_add_explicit(&t->sched->sleepers, 1, memory_order_relaxed);
    atomic_store(&t->sleep, ASLEEP);
    if (may_sleep(t)) {
        idle = wait_for_bell(t, ns);
    }
    get_up(t);
    return idle;
}

/* ---- the thread ---- */

/* False when it came to the end of the queues. */
static bool run_some(struct sched_thread *t)
{
    uint64_t begin = now_ns();

    for (int i = 0; i < RUNS_A_TURN; i++) {
        struct unit *u = next_unit(t);

        if (u == NULL) {
            return false;
        }
        run(u, t);
        if (now_ns() - begin > t->sched->slice_ns) {
            break;
        }
    }
    return true;
}

void unit_enter(struct unit *u, struct sched_thread *t)
{
    has_looked(t);
    watch_begin(t, u);
}

void unit_leave(struct unit *u, struct sched_thread *t)
{
    (void)u;
    watch_end(t);
}

/* The loop has its turn after every bout of runs that leaves more to do, and when it asks for it.
 */
void sched_thread_main(void *arg)
{
    struct sched_thread *t = arg;

    pthread_setspecific(t->sched->self, t);
    while (!atomic_load(&t->sched->stop)) {
        if (first_due_ns(t) != NEVER) {
            sched_queue_due(t, t);
        }
        help(t);
        if (run_some(t) || has_own_work(t) || steal(t) || !sleep_well(t)) {
            uv_run(&t->loop, UV_RUN_NOWAIT);
        }
    }
    uv_unref((uv_handle_t *)&t->keeper);
    uv_run(&t->loop, UV_RUN_DEFAULT); /* until what units have closed is closed */
}
