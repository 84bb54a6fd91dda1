#include "spawn/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "transport/bell.h"

#define STACK_LEN ((size_t)1 << 20) /* of address space; Lua needs some 200 KB at its deepest */
#define EXIT_KILLED 137             /* as a shell says of SIGKILL */

static void hold(struct thread *t)
{
    atomic_fetch_add_explicit(&t->holders, 1, memory_order_relaxed);
}

void thread_release(struct thread **held)
{
    struct thread *t = *held;

    *held = NULL;
    if (t == NULL || atomic_fetch_sub_explicit(&t->holders, 1, memory_order_acq_rel) > 1) {
        return;
    }
    if (t->mail != NULL) {
        mailbox_release(t->mail);
    }
    if (t->to != NULL) {
        mailbox_release(t->to);
    }
    status_unmap(&t->links.status);
    buf_free(&t->boot);
    free(t);
}

/* ---- on the thread ---- */

/* The end of its loop; what runs in it is interrupted by a signal. */
static void deliver_dying(struct post *p)
{
    struct thread *t = list_entry(p, struct thread, dying);

    if (t->worker != NULL) {
        worker_exit(t->worker, EXIT_KILLED);
    }
    thread_release(&t);
}

/* Signals of the host's are for its own threads. */
static void block_signals(void)
{
    sigset_t all;

    sigfillset(&all);
    sigdelset(&all, SIGURG); /* interrupts what runs */
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
}

static void *run(void *arg)
{
    struct thread *t = arg;
    struct mailbox *to = mailbox_hold(t->to); /* `t` may be gone as soon as the end is posted */

    block_signals();
    pthread_setname_np(pthread_self(), "titan-worker");
    atomic_store_explicit(&t->tid, (int32_t)gettid(), memory_order_relaxed);
    t->exit_code = t->guest->run(t->guest->ctx, t);
    /* Nobody reads what the manager still had to say. */
    mailbox_close(t->mail);
    if (!mailbox_post(to, &t->over)) {
        thread_release(&t);
    }
    mailbox_release(to);
    return NULL;
}

/* ---- at the manager ---- */

/* The manager waits for its end no more. */
static void unhold(struct thread *t)
{
    if (t->reactor != NULL) {
        reactor_unhold(t->reactor);
        t->reactor = NULL;
    }
}

static void deliver_over(struct post *p)
{
    struct thread *t = list_entry(p, struct thread, over);

    if (t->reactor != NULL) {
        unhold(t);
        t->ended(t);
    }
    thread_release(&t);
}

/* Both links, with an end for each side, and the page. */
static int make_links(struct thread *t)
{
    t->links.data = inproc_new(t->to, t->mail);
    if (t->links.data == NULL) {
        return -ENOMEM;
    }
    t->links.control = inproc_new(t->to, t->mail);
    if (t->links.control == NULL) {
        return -ENOMEM;
    }
    return status_make(&t->links.status);
}

static int begin(struct thread *t)
{
    pthread_attr_t attributes;
    int error;

    if (pthread_attr_init(&attributes) != 0) {
        return -ENOMEM;
    }
    pthread_attr_setstacksize(&attributes, STACK_LEN);
    error = pthread_create(&t->id, &attributes, run, t);
    pthread_attr_destroy(&attributes);
    return -error;
}

static void abandon(struct inproc_link *l)
{
    if (l != NULL) {
        inproc_abandon(l, 0);
        inproc_abandon(l, 1);
    }
}

static struct thread *refuse(struct thread *t, int error, struct failure *why)
{
    if (t != NULL && t->mail != NULL) {
        abandon(t->links.data);
        abandon(t->links.control);
        mailbox_close(t->mail); /* no thread takes what is posted there */
    }
    thread_release(&t);
    fail(why, error == -EMFILE || error == -EAGAIN ? TITAN_E_LIMIT_EXCEEDED : TITAN_E_SPAWN_FAILED,
         "cannot start the worker's thread: %s%s", strerror(-error),
         error == -EMFILE   ? " (a worker on a thread takes up to eight descriptors; raise "
                              "`ulimit -n`)"
         : error == -EAGAIN ? " (the limit on threads; raise `ulimit -u`)"
                            : "");
    return NULL;
}

struct thread *thread_start(struct reactor *r, const struct thread_guest *guest, struct span boot,
                            struct thread_ends *ends, void (*ended)(struct thread *t), void *owner,
                            struct failure *why)
{
    struct thread *t = calloc(1, sizeof *t);
    int error;

    if (t == NULL) {
        return refuse(t, -ENOMEM, why);
    }
    atomic_init(&t->holders, 1);
    if (!buf_append(&t->boot, boot.at, boot.len)) {
        return refuse(t, -ENOMEM, why);
    }
    t->guest = guest;
    t->ended = ended;
    t->owner = owner;
    t->over.deliver = deliver_over;
    t->dying.deliver = deliver_dying;
    t->to = mailbox_hold(r->mail);
    t->mail = bell_new();
    if (t->mail == NULL) {
        return refuse(t, -EMFILE, why);
    }
    error = make_links(t);
    if (error < 0) {
        return refuse(t, error, why);
    }
    *ends = (struct thread_ends){t->links.data, t->links.control, t->links.status};
    hold(t); /* for the thread, and then for the post of its end */
    error = begin(t);
    if (error < 0) {
        atomic_store(&t->holders, 1);
        return refuse(t, error, why);
    }
    t->reactor = r;
    reactor_hold(r);
    return t;
}

void thread_kill(struct thread *t)
{
    if (atomic_exchange(&t->is_dying, true)) {
        return;
    }
    hold(t);
    if (!mailbox_post(t->mail, &t->dying)) {
        struct thread *held = t;

        thread_release(&held); /* it has ended by itself */
    }
}

int thread_join(struct thread *t)
{
    pthread_join(t->id, NULL);
    return t->exit_code;
}

bool thread_await(struct thread *t, uint32_t timeout_ms)
{
    uint64_t until_ns = clock_ns(CLOCK_REALTIME) + timeout_ms * (uint64_t)1000000;
    struct timespec until = {(time_t)(until_ns / 1000000000u), (long)(until_ns % 1000000000u)};

    unhold(t);
    return pthread_timedjoin_np(t->id, NULL, &until) == 0;
}

void thread_give_up(struct thread *t)
{
    unhold(t);
    pthread_detach(t->id);
}
