#include "spawn/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "transport/bell.h"

#define EXIT_KILLED 137 /* as a shell says of SIGKILL */

void thread_hold(struct thread *t)
{
    atomic_fetch_add_explicit(&t->holders, 1, memory_order_relaxed);
}

/* Of one that the caller holds as well: never the last. */
static void unhold_shared(struct thread *t)
{
    atomic_fetch_sub_explicit(&t->holders, 1, memory_order_release);
}

void thread_release(struct thread **held)
{
    struct thread *t = *held;

    *held = NULL;
    if (t == NULL || atomic_fetch_sub_explicit(&t->holders, 1, memory_order_acq_rel) > 1) {
        return;
    }
    if (t->mail != NULL && !t->by_turns) {
        mailbox_release(t->mail);
    }
    mailbox_release(t->to);
    directory_release(&t->directory);
    stock_give_status(t->stock, &t->links.status);
    stock_release(&t->stock);
    crew_release(&t->crew);
    sem_destroy(&t->has_ended);
    buf_free(&t->boot);
    free(t);
}

/* ---- its end ---- */

/* The last that it does: nobody reads what the manager still had to say. */
static void end(struct thread *t)
{
    struct mailbox *to = mailbox_hold(t->to); /* `t` may be gone as soon as its end is posted */

    mailbox_close(t->mail);
    if (t->by_turns) {
        mailbox_release(&t->turns);
    }
    sem_post(&t->has_ended);
    if (!mailbox_post(to, &t->over)) {
        thread_release(&t);
    }
    mailbox_release(to);
}

/* The manager waits for its end no more. */
static void unhold(struct thread *t)
{
    if (t->reactor != NULL) {
        reactor_unhold(t->reactor);
        t->reactor = NULL;
    }
}

/* At the manager. */
static void deliver_over(struct post *p)
{
    struct thread *t = list_entry(p, struct thread, over);

    if (t->reactor != NULL) {
        unhold(t);
        t->ended(t);
    }
    thread_release(&t);
}

/* The end of its loop, or its turns; what runs in it is interrupted by a signal. */
static void deliver_dying(struct post *p)
{
    struct thread *t = list_entry(p, struct thread, dying);

    if (t->worker != NULL) {
        worker_exit(t->worker, EXIT_KILLED);
    }
    thread_release(&t);
}

/* ---- visits ---- */

struct visit {
    struct post post;
    struct thread *to; /* held */
    struct inproc_link *link;
};

static void deliver_visit(struct post *p)
{
    struct visit *v = list_entry(p, struct visit, post);

    v->to->guest->visited(v->to, v->link);
    thread_release(&v->to);
    free(v);
}

bool thread_visit(struct thread *t, struct inproc_link *link)
{
    struct visit *v = malloc(sizeof *v);

    if (v == NULL) {
        return false;
    }
    v->post.deliver = deliver_visit;
    v->to = t;
    v->link = link;
    thread_hold(t);
    if (!mailbox_post(t->mail, &v->post)) {
        thread_release(&v->to);
        free(v);
        return false;
    }
    return true;
}

/* ---- on a thread of its own ---- */

/* The native thread may be given the next one as soon as this one's guest is over. */
static void run(struct crew_job *job)
{
    struct thread *t = list_entry(job, struct thread, job);

    t->exit_code = t->guest->run(t);
    crew_part(job, t->is_traceless);
    end(t);
}

/* ---- by turns ---- */

static enum unit_next run_turn(struct unit *u, struct sched_thread *on)
{
    struct thread *t = list_entry(u, struct thread, unit);
    uint64_t due_ms;

    mailbox_awake(t->mail);
    due_ms = t->guest->turn(t, on);
    if (due_ms == THREAD_ENDED) {
        return UNIT_ENDED;
    }
    if (due_ms == 0) {
        return UNIT_AGAIN;
    }
    if (due_ms != t->due_ms) {
        t->due_ms = due_ms;
        unit_due(u, due_ms == UINT64_MAX ? UINT64_MAX : due_ms * 1000000u);
    }
    return mailbox_fall_asleep(t->mail) ? UNIT_IDLE : UNIT_AGAIN;
}

static void turns_over(struct unit *u, struct sched_thread *on)
{
    (void)on;
    end(list_entry(u, struct thread, unit));
}

static void wake_turns(struct mailbox *m)
{
    unit_wake(&list_entry(m, struct thread, turns)->unit);
}

static void turns_free(struct mailbox *m)
{
    struct thread *t = list_entry(m, struct thread, turns);

    thread_release(&t);
}

/* The mailbox holds the struct that it is a part of, until all that post to it have let go. */
static void prepare_turns(struct thread *t)
{
    t->by_turns = true;
    t->due_ms = UINT64_MAX;
    thread_hold(t);
    mailbox_init(&t->turns, wake_turns, turns_free);
    t->mail = &t->turns;
}

void thread_overdue(void *ctx, struct unit *u, struct sched_thread *on, uint64_t run)
{
    struct thread *t = list_entry(u, struct thread, unit);

    (void)ctx;
    (void)run;
    atomic_store_explicit(&t->is_overdue, true, memory_order_release);
    (void)pthread_kill(sched_thread_id(on), SIGURG);
}

static void begin_turns(struct thread *t, struct sched *sched)
{
    static const struct unit_ops ops = {run_turn, turns_over};

    unit_init(&t->unit, sched, &ops, -1);
    unit_wake(&t->unit);
}

/* ---- at the manager ---- */

static void abandon(struct worker_links *l)
{
    for (int side = 0; side < 2; side++) {
        if (l->data != NULL) {
            inproc_abandon(l->data, side);
        }
        if (l->control != NULL) {
            inproc_abandon(l->control, side);
        }
    }
}

/* Both links, with an end for each side, and the page. */
static int make_links(struct thread *t)
{
    t->links.data = inproc_new(t->to, t->mail);
    t->links.control = inproc_new(t->to, t->mail);
    return t->links.data && t->links.control ? stock_take_status(t->stock, &t->links.status)
                                             : -ENOMEM;
}

static void describe(int error, struct failure *why)
{
    fail(why, error == -EMFILE || error == -EAGAIN ? TITAN_E_LIMIT_EXCEEDED : TITAN_E_SPAWN_FAILED,
         "cannot start the worker's thread: %s%s", strerror(-error),
         error == -EMFILE   ? " (a worker on a thread of its own takes some eight descriptors; "
                              "raise `ulimit -n`)"
         : error == -EAGAIN ? " (the limit on threads; raise `ulimit -u`)"
                            : "");
}

static struct thread *thread_new(const struct thread_spec *spec)
{
    struct thread *t = calloc(1, sizeof *t);

    if (t == NULL || !buf_append(&t->boot, spec->boot.at, spec->boot.len)) {
        free(t);
        return NULL;
    }
    atomic_init(&t->holders, 1);
    sem_init(&t->has_ended, 0, 0);
    t->guest = spec->guest;
    t->spin_us = spec->spin_us;
    t->ended = spec->ended;
    t->owner = spec->owner;
    t->over.deliver = deliver_over;
    t->dying.deliver = deliver_dying;
    t->to = mailbox_hold(spec->r->mail);
    t->stock = spec->stock ? stock_hold(spec->stock) : NULL;
    t->crew = spec->crew ? crew_hold(spec->crew) : NULL;
    t->job.run = run;
    t->directory = spec->directory ? directory_hold(spec->directory) : NULL;
    atomic_init(&t->parting, PARTING_NONE);
    return t;
}

/* Takes back what was made of one that never ran. */
static void discard(struct thread *t)
{
    abandon(&t->links);
    if (t->mail != NULL) {
        mailbox_close(t->mail); /* no thread takes what is posted there */
    }
    if (t->by_turns) {
        mailbox_release(&t->turns);
    }
    thread_release(&t);
}

struct thread *thread_start(const struct thread_spec *spec, struct thread_ends *ends,
                            struct failure *why)
{
    struct thread *t = thread_new(spec);
    int error = 0;

    if (t == NULL) {
        describe(-ENOMEM, why);
        return NULL;
    }
    if (spec->sched != NULL) {
        prepare_turns(t);
    } else {
        t->mail = bell_new();
        error = t->mail ? 0 : -EMFILE;
    }
    if (error == 0) {
        error = make_links(t);
    }
    if (error == 0) {
        *ends = (struct thread_ends){t->links.data, t->links.control, t->links.status};
        thread_hold(t); /* the thread, and then the post of its end */
        error = t->by_turns ? 0 : crew_start(t->crew, &t->job);
        if (error < 0) {
            unhold_shared(t); /* it has no part in it after all */
        }
    }
    if (error < 0) {
        describe(error, why);
        discard(t);
        return NULL;
    }
    t->reactor = spec->r;
    reactor_hold(spec->r);
    if (t->by_turns) {
        begin_turns(t, spec->sched);
    }
    return t;
}

void thread_kill(struct thread *t)
{
    if (atomic_exchange(&t->is_dying, true)) {
        return;
    }
    thread_hold(t);
    if (!mailbox_post(t->mail, &t->dying)) {
        unhold_shared(t); /* it has ended by itself */
    }
    thread_interrupt(t);
}

void thread_interrupt(struct thread *t)
{
    if (!t->by_turns) {
        crew_signal(&t->job, SIGURG);
    }
}

bool thread_await(struct thread *t, uint32_t timeout_ms)
{
    uint64_t until_ns = clock_ns(CLOCK_REALTIME) + timeout_ms * (uint64_t)1000000;
    struct timespec until = {(time_t)(until_ns / 1000000000u), (long)(until_ns % 1000000000u)};
    int code;

    unhold(t);
    do {
        code = sem_timedwait(&t->has_ended, &until);
    } while (code < 0 && errno == EINTR);
    return code == 0;
}

int thread_join(struct thread *t)
{
    if (!t->by_turns) {
        crew_join(&t->job);
        mailbox_release(t->mail); /* its descriptor is not kept as long as the struct */
        t->mail = NULL;
    }
    return t->exit_code;
}

void thread_give_up(struct thread *t)
{
    unhold(t);
    if (!t->by_turns) {
        crew_give_up(&t->job);
    }
}
