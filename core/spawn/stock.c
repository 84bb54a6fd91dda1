#include "spawn/stock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

#define STACK_LEN ((size_t)1 << 20) /* of address space */
#define TIDY_MS 5000

struct stock {
    atomic_uint holders;
    const struct stock_ops *ops;
    void *common;
    unsigned tidy_ms;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t wanting;
    struct stock_item *ready;
    unsigned ready_len;
    unsigned wanted;
    bool asked; /* since it was last looked at */
    bool failed;
    bool closed;
    bool has_thread;
    pthread_t thread;
    struct status_page *pages[STOCK_MOST];
    unsigned pages_len;
    uint64_t made, taken, missed;
};

/* ---- life ---- */

/* Its waits are by the clock that nobody sets. */
static void open_lock(struct stock *s)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wanting, &attributes);
    pthread_condattr_destroy(&attributes);
}

struct stock *stock_new(const struct stock_options *options)
{
    struct stock *s = calloc(1, sizeof *s);

    if (s == NULL) {
        return NULL;
    }
    atomic_init(&s->holders, 1);
    s->ops = options->ops;
    s->tidy_ms = options->tidy_ms != 0 ? options->tidy_ms : TIDY_MS;
    if (s->ops->open != NULL) {
        s->common = s->ops->open();
        if (s->common == NULL) {
            free(s);
            return NULL;
        }
    }
    open_lock(s);
    return s;
}

struct stock *stock_hold(struct stock *s)
{
    atomic_fetch_add_explicit(&s->holders, 1, memory_order_relaxed);
    return s;
}

void stock_release(struct stock **held)
{
    struct stock *s = *held;

    *held = NULL;
    if (s == NULL || atomic_fetch_sub_explicit(&s->holders, 1, memory_order_acq_rel) > 1) {
        return;
    }
    if (s->ops->close != NULL) {
        s->ops->close(s->common);
    }
    pthread_cond_destroy(&s->wanting);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static struct stock_item *pop(struct stock *s)
{
    struct stock_item *item = s->ready;

    if (item != NULL) {
        s->ready = item->next;
        s->ready_len--;
    }
    return item;
}

void stock_close(struct stock *s)
{
    struct stock_item *item;

    pthread_mutex_lock(&s->lock);
    s->closed = true;
    pthread_cond_signal(&s->wanting);
    pthread_mutex_unlock(&s->lock);
    if (s->has_thread) {
        pthread_join(s->thread, NULL);
        s->has_thread = false;
    }
    while ((item = pop(s)) != NULL) {
        s->ops->discard(item);
    }
    while (s->pages_len > 0) {
        status_unmap(&s->pages[--s->pages_len]);
    }
}

/* ---- its thread ---- */

/* What is too many, for the caller to let go without the lock. */
static struct stock_item *surplus(struct stock *s)
{
    struct stock_item *first = NULL;

    s->wanted = s->wanted / 2 > STOCK_FIRST ? s->wanted / 2 : STOCK_FIRST;
    while (s->ready_len > s->wanted) {
        struct stock_item *item = pop(s);

        item->next = first;
        first = item;
    }
    return first;
}

static void tidy(struct stock *s)
{
    struct stock_item *item = surplus(s);
    struct status_page *page = s->pages_len > s->wanted ? s->pages[--s->pages_len] : NULL;

    pthread_mutex_unlock(&s->lock);
    while (item != NULL) {
        struct stock_item *next = item->next;

        s->ops->discard(item);
        item = next;
    }
    status_unmap(&page);
    if (s->ops->tidy != NULL) {
        s->ops->tidy(s->common);
    }
    pthread_mutex_lock(&s->lock);
}

/* With as few as there were to be at first it sleeps until it is asked. */
static bool is_ample(const struct stock *s)
{
    return s->wanted > STOCK_FIRST || s->pages_len > STOCK_FIRST;
}

static void await_need(struct stock *s)
{
    uint64_t until_ns = now_ns() + s->tidy_ms * (uint64_t)1000000;
    struct timespec until = {(time_t)(until_ns / 1000000000u), (long)(until_ns % 1000000000u)};

    if (!is_ample(s)) {
        pthread_cond_wait(&s->wanting, &s->lock);
    } else if (pthread_cond_timedwait(&s->wanting, &s->lock, &until) == ETIMEDOUT) {
        if (!s->asked) {
            tidy(s);
        }
        s->asked = false;
    }
}

/* NULL when memory is out. What a call will touch is there already. */
static struct status_page *make_page(void)
{
    struct status_page *page = NULL;

    if (status_make(&page) == 0) {
        memset(&page->latencies[0], 0, sizeof page->latencies[0]);
    }
    return page;
}

/* With the lock. Takes the page, unless there are enough. */
static void keep_page(struct stock *s, struct status_page **page)
{
    if (*page != NULL && !s->closed && s->pages_len < STOCK_MOST) {
        s->pages[s->pages_len++] = *page;
        *page = NULL;
    }
}

static void make_one(struct stock *s)
{
    bool needs_page = s->pages_len < s->wanted;
    struct status_page *page = NULL;
    struct stock_item *item;

    pthread_mutex_unlock(&s->lock);
    item = s->ops->make(s->common);
    if (needs_page) {
        page = make_page();
    }
    pthread_mutex_lock(&s->lock);
    keep_page(s, &page);
    s->failed = item == NULL;
    if (item != NULL) {
        item->next = s->ready;
        s->ready = item;
        s->ready_len++;
        s->made++;
    }
    if (page != NULL) {
        pthread_mutex_unlock(&s->lock);
        status_unmap(&page);
        pthread_mutex_lock(&s->lock);
    }
}

static void *keep(void *arg)
{
    struct stock *s = arg;

    pthread_setname_np(pthread_self(), "titan-stock");
    pthread_mutex_lock(&s->lock);
    while (!s->closed) {
        if (s->ready_len < s->wanted && !s->failed) {
            make_one(s);
        } else {
            await_need(s);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* Without it there is just nothing ready. It takes no signals. */
static void begin(struct stock *s)
{
    pthread_attr_t attributes;
    sigset_t all, before;

    if (pthread_attr_init(&attributes) != 0) {
        return;
    }
    pthread_attr_setstacksize(&attributes, STACK_LEN);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    s->has_thread = pthread_create(&s->thread, &attributes, keep, s) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

/* ---- any thread ---- */

static void want_more(struct stock *s)
{
    unsigned more = s->wanted == 0 ? STOCK_FIRST : s->wanted * 2;

    s->missed++;
    s->wanted = more < STOCK_MOST ? more : STOCK_MOST;
    if (!s->has_thread) {
        begin(s);
    }
}

/* Many are made at a time, so that not each that is taken wakes the thread. */
struct stock_item *stock_take(struct stock *s)
{
    struct stock_item *item;

    if (pthread_mutex_trylock(&s->lock) != 0) {
        return NULL;
    }
    s->asked = true;
    item = s->closed ? NULL : pop(s);
    if (item != NULL) {
        s->taken++;
    } else if (!s->closed) {
        want_more(s);
    }
    if (s->ready_len <= s->wanted / 2) {
        s->failed = false;
        pthread_cond_signal(&s->wanting);
    }
    pthread_mutex_unlock(&s->lock);
    return item;
}

void *stock_common(const struct stock *s)
{
    return s->common;
}

int stock_take_status(struct stock *s, struct status_page **page)
{
    *page = NULL;
    if (s != NULL) {
        pthread_mutex_lock(&s->lock);
        *page = s->pages_len > 0 ? s->pages[--s->pages_len] : NULL;
        pthread_mutex_unlock(&s->lock);
    }
    return *page != NULL ? 0 : status_make(page);
}

void stock_give_status(struct stock *s, struct status_page **page)
{
    if (s != NULL && *page != NULL) {
        status_reset(*page);
        pthread_mutex_lock(&s->lock);
        keep_page(s, page);
        pthread_mutex_unlock(&s->lock);
    }
    status_unmap(page);
}

void stock_stats(struct stock *s, struct stock_stats *stats)
{
    pthread_mutex_lock(&s->lock);
    *stats =
        (struct stock_stats){s->ready_len, s->wanted, s->pages_len, s->made, s->taken, s->missed};
    pthread_mutex_unlock(&s->lock);
}
