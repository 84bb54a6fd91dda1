#include "spawn/crew.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

/* Of address space. Lua needs some 400 KB at its deepest (gsub in gsub, 200 times); the thread
 * sanitizer keeps much of its own there. */
#if defined(__SANITIZE_THREAD__)
#define STACK_LEN ((size_t)4 << 20)
#else
#define STACK_LEN ((size_t)1 << 20)
#endif
#define IDLE_MS 5000

struct hand {
    pthread_t id;
    struct crew *crew;    /* held */
    struct crew_job *job; /* NULL when it was called: it is to end */
    sem_t called;         /* once it is taken from those that wait */
    bool stays;           /* after the job that it has, or had last; its own */
};

struct crew {
    atomic_uint holders;
    unsigned idle_ms;
    pthread_mutex_t lock; /* of all below, and of the jobs' `parted` and `given_up` */
    struct hand *waiting[CREW_MOST];
    unsigned waiting_len;
    bool closed;
    bool has_left;
    pthread_t left; /* the last that has waited in vain, still to be joined */
};

/* ---- life ---- */

struct crew *crew_new(unsigned idle_ms)
{
    struct crew *c = calloc(1, sizeof *c);

    if (c == NULL) {
        return NULL;
    }
    atomic_init(&c->holders, 1);
    c->idle_ms = idle_ms != 0 ? idle_ms : IDLE_MS;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

struct crew *crew_hold(struct crew *c)
{
    atomic_fetch_add_explicit(&c->holders, 1, memory_order_relaxed);
    return c;
}

void crew_release(struct crew **held)
{
    struct crew *c = *held;

    *held = NULL;
    if (c != NULL && atomic_fetch_sub_explicit(&c->holders, 1, memory_order_acq_rel) == 1) {
        pthread_mutex_destroy(&c->lock);
        free(c);
    }
}

/* A hand frees itself: what is needed of it is taken before. */
void crew_close(struct crew *c)
{
    pthread_t last[CREW_MOST + 1];
    unsigned len = 0;

    pthread_mutex_lock(&c->lock);
    c->closed = true;
    if (c->has_left) {
        last[len++] = c->left;
        c->has_left = false;
    }
    while (c->waiting_len > 0) {
        struct hand *h = c->waiting[--c->waiting_len];

        last[len++] = h->id;
        sem_post(&h->called);
    }
    pthread_mutex_unlock(&c->lock);
    while (len > 0) {
        pthread_join(last[--len], NULL);
    }
}

unsigned crew_waiting(struct crew *c)
{
    unsigned len;

    pthread_mutex_lock(&c->lock);
    len = c->waiting_len;
    pthread_mutex_unlock(&c->lock);
    return len;
}

/* ---- a hand ---- */

static struct hand *hand_new(struct crew *c, struct crew_job *job)
{
    struct hand *h = calloc(1, sizeof *h);

    if (h != NULL) {
        h->crew = crew_hold(c);
        h->job = job;
        sem_init(&h->called, 0, 0);
    }
    return h;
}

static void hand_free(struct hand *h)
{
    sem_destroy(&h->called);
    crew_release(&h->crew);
    free(h);
}

/* Whether it is still among those that wait: from now on it is not. */
static bool withdraw(struct crew *c, const struct hand *h)
{
    unsigned at = 0;

    while (at < c->waiting_len && c->waiting[at] != h) {
        at++;
    }
    if (at == c->waiting_len) {
        return false;
    }
    c->waiting_len--;
    for (; at < c->waiting_len; at++) {
        c->waiting[at] = c->waiting[at + 1];
    }
    return true;
}

/* It has waited in vain, unless it was called meanwhile. The next that leaves joins it, or
 * crew_close does: so there is never more than one to be joined. */
static bool leave(struct crew *c, const struct hand *h)
{
    pthread_t before;
    bool follows = false;
    bool leaves;

    pthread_mutex_lock(&c->lock);
    leaves = withdraw(c, h);
    if (leaves) {
        follows = c->has_left;
        before = c->left;
        c->left = h->id;
        c->has_left = true;
    }
    pthread_mutex_unlock(&c->lock);
    if (follows) {
        pthread_join(before, NULL);
    }
    return leaves;
}

static void await_call(struct hand *h)
{
    while (sem_wait(&h->called) < 0) {
    }
}

/* False: it is to end. It may have been called already, while it was ending its last job. A clock
 * that is set makes it wait longer, or shorter: no harm is done. */
static bool await_job(struct hand *h)
{
    uint64_t until_ns = clock_ns(CLOCK_REALTIME) + h->crew->idle_ms * (uint64_t)1000000;
    struct timespec until = {(time_t)(until_ns / 1000000000u), (long)(until_ns % 1000000000u)};
    int code;

    if (!h->stays) {
        return false;
    }
    do {
        code = sem_timedwait(&h->called, &until);
    } while (code < 0 && errno == EINTR);
    if (code < 0) {
        if (leave(h->crew, h)) {
            return false;
        }
        await_call(h);
    }
    return h->job != NULL;
}

/* Signals of the host's are for its own threads. */
static void block_signals(void)
{
    static const int ours[] = {SIGURG, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    sigset_t others;

    sigfillset(&others);
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        sigdelset(&others, ours[i]);
    }
    pthread_sigmask(SIG_SETMASK, &others, NULL);
}

static void begin(void)
{
    block_signals();
    pthread_setname_np(pthread_self(), "titan-worker");
}

static void *serve(void *arg)
{
    struct hand *h = arg;

    begin();
    h->id = pthread_self();
    do {
        struct crew_job *job = h->job;

        h->job = NULL;
        h->stays = false;
        job->run(job);
    } while (await_job(h));
    hand_free(h);
    return NULL;
}

static void *serve_alone(void *arg)
{
    struct crew_job *job = arg;

    begin();
    job->run(job);
    return NULL;
}

/* ---- for the job ---- */

void crew_part(struct crew_job *job, bool fit)
{
    struct crew *c = job->crew;
    struct hand *h = job->hand;

    if (c == NULL) {
        return;
    }
    pthread_mutex_lock(&c->lock);
    if (fit && !job->given_up && !c->closed && c->waiting_len < CREW_MOST) {
        h->stays = true;
        job->parted = true;
        c->waiting[c->waiting_len++] = h;
    }
    pthread_mutex_unlock(&c->lock);
}

/* ---- for who starts jobs ---- */

static int make_thread(struct crew_job *job, void *(*body)(void *), void *arg)
{
    pthread_attr_t attributes;
    int error;

    if (pthread_attr_init(&attributes) != 0) {
        return -ENOMEM;
    }
    pthread_attr_setstacksize(&attributes, STACK_LEN);
    error = pthread_create(&job->id, &attributes, body, arg);
    pthread_attr_destroy(&attributes);
    return -error;
}

/* Whether one that waits has it now. */
static bool give(struct crew *c, struct crew_job *job)
{
    struct hand *h = NULL;

    pthread_mutex_lock(&c->lock);
    if (c->waiting_len > 0) {
        h = c->waiting[--c->waiting_len];
        job->hand = h;
        job->id = h->id;
        h->job = job;
        sem_post(&h->called);
    }
    pthread_mutex_unlock(&c->lock);
    return h != NULL;
}

int crew_start(struct crew *c, struct crew_job *job)
{
    struct hand *h;
    int error;

    job->crew = c;
    if (c == NULL) {
        return make_thread(job, serve_alone, job);
    }
    if (give(c, job)) {
        return 0;
    }
    h = hand_new(c, job);
    if (h == NULL) {
        return -ENOMEM;
    }
    job->hand = h;
    error = make_thread(job, serve, h);
    if (error < 0) {
        hand_free(h);
    }
    return error;
}

static void lock(struct crew_job *job)
{
    if (job->crew != NULL) {
        pthread_mutex_lock(&job->crew->lock);
    }
}

static void unlock(struct crew_job *job)
{
    if (job->crew != NULL) {
        pthread_mutex_unlock(&job->crew->lock);
    }
}

void crew_signal(struct crew_job *job, int signal)
{
    lock(job);
    if (!job->parted) {
        (void)pthread_kill(job->id, signal);
    }
    unlock(job);
}

void crew_join(struct crew_job *job)
{
    bool parted;

    lock(job);
    parted = job->parted;
    unlock(job);
    if (!parted) {
        pthread_join(job->id, NULL);
    }
}

void crew_give_up(struct crew_job *job)
{
    lock(job);
    job->given_up = true;
    if (!job->parted) {
        pthread_detach(job->id);
    }
    unlock(job);
}
