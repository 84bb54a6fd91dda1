/* The life of a process on a thread of the manager's, or by turns with others on some. */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "manager/manager.h"
#include "manager/process_parts.h"

#define KILL_GRACE_MS 1000 /* from the kill until a thread that is stuck in C is given up */

/* On the manager's thread, after its last word. */
static void thread_ended(struct thread *t)
{
    struct process *p = t->owner;

    p->thread_over = true;
    process_dispatch(p, EVENT_EXITED);
}

static int open_links(struct process *p, const struct thread_ends *ends)
{
    const struct wire_limits control_limits = WIRE_LIMITS_DEFAULT;
    struct manager *m = p->manager;
    int code =
        peer_open_inproc(&p->data, m->reactor, ends->data, 0, &m->limits, &process_data_events, p);

    if (code < 0) {
        inproc_abandon(ends->data, 0);
        inproc_abandon(ends->control, 0);
        return code;
    }
    watchdog_watch(p);
    code = peer_open_inproc(&p->control, m->reactor, ends->control, 0, &control_limits,
                            &process_control_events, p);
    if (code < 0) {
        inproc_abandon(ends->control, 0);
    }
    return code;
}

/* What threads of this kind need, made when the first is started. */
static int prepare(struct process *p)
{
    struct manager *m = p->manager;
    int code = reactor_open_mail(m->reactor);

    if (code == TITAN_OK && m->directory == NULL) {
        m->directory = directory_new();
        code = m->directory ? TITAN_OK : TITAN_E_LIMIT_EXCEEDED;
    }
    if (code == TITAN_OK && m->stock == NULL && m->thread_guest->stock != NULL) {
        m->stock = stock_new(&(struct stock_options){.ops = m->thread_guest->stock});
        code = m->stock ? TITAN_OK : TITAN_E_LIMIT_EXCEEDED;
    }
    if (code == TITAN_OK && p->body == &body_worker && m->crew == NULL) {
        m->crew = crew_new(0);
        code = m->crew ? TITAN_OK : TITAN_E_LIMIT_EXCEEDED;
    }
    if (code == TITAN_OK && p->body == &body_thread && m->sched == NULL) {
        m->sched = sched_open(&(struct sched_options){
            .threads = m->threads, .spin_us = m->spin_us, .overdue = thread_overdue});
        code = m->sched ? TITAN_OK : TITAN_E_LIMIT_EXCEEDED;
    }
    if (code < 0) {
        fail(&p->last_error, code,
             "cannot start the worker's thread: out of descriptors, memory "
             "or threads");
    }
    return code;
}

static void begin(struct process *p)
{
    struct manager *m = p->manager;
    struct thread_ends ends;
    struct thread_spec spec = {
        .guest = m->thread_guest,
        .r = m->reactor,
        .boot = {buf_front(&m->boot), buf_len(&m->boot)},
        .spin_us = m->spin_us,
        .ended = thread_ended,
        .owner = p,
    };
    int code;

    if (prepare(p) < 0) {
        process_dispatch(p, EVENT_FORK_FAILED);
        return;
    }
    spec.sched = p->body == &body_thread ? m->sched : NULL;
    spec.directory = m->directory;
    spec.stock = m->stock;
    spec.crew = m->crew;
    p->state = PROCESS_FORKING;
    output_open_fed(&p->out, m->reactor, process_hear_line, p);
    output_open_fed(&p->err, m->reactor, process_hear_line, p);
    p->thread_over = false;
    p->thread = thread_start(&spec, &ends, &p->last_error);
    if (p->thread == NULL) {
        process_dispatch(p, EVENT_FORK_FAILED);
        return;
    }
    p->status = ends.status;
    code = open_links(p, &ends);
    if (code == TITAN_OK) {
        code = peer_notify_with(&p->control, "start",
                                (struct span){buf_front(&p->spec), buf_len(&p->spec)}, &p->cargo);
    }
    process_dispatch(p, EVENT_FORKED);
    if (code < 0) {
        fail(&p->last_error, TITAN_E_LIMIT_EXCEEDED, "out of memory");
        process_dispatch(p, EVENT_GARBAGE);
    }
}

void process_enter(struct process *p)
{
    if (p->thread != NULL && p->state == PROCESS_RUNNING) {
        (void)directory_enter(p->manager->directory, p->name, p->thread);
    }
}

void process_strike(struct process *p)
{
    if (p->thread != NULL) {
        directory_strike(p->manager->directory, p->name, p->thread);
    }
}

static bool exists(const struct process *p)
{
    return p->thread != NULL && !p->reaped;
}

static void kill_thread(struct process *p)
{
    if (exists(p) && !p->thread_over) {
        thread_kill(p->thread);
        /* When it does not end: PROCESS_KILLED gives it up at its alarm. */
        (void)timer_arm(p->manager->reactor, &p->alarm, KILL_GRACE_MS, true);
    }
}

static int signal_thread(struct process *p, int signal)
{
    if (!exists(p)) {
        return -ESRCH;
    }
    if (signal != SIGURG) {
        return -ENOTSUP;
    }
    thread_interrupt(p->thread);
    return 0;
}

/* All were killed at once: those that are stuck are waited for together. */
static uint32_t grace_left_ms(const struct manager *m)
{
    uint64_t gone_ms = (now_ns() - m->closing_ns) / 1000000u;

    return gone_ms < KILL_GRACE_MS ? (uint32_t)(KILL_GRACE_MS - gone_ms) : 0;
}

/* Why it was killed is kept: a stop that was in vain says so. */
static void note_given_up(struct process *p)
{
    const struct failure before = p->last_error;

    if (before.code == TITAN_OK) {
        fail(&p->last_error, TITAN_E_WORKER_LOST,
             "did not end when it was killed (stuck in C code?) and was given up; its thread goes "
             "on until that returns");
    } else {
        fail(&p->last_error, before.code,
             "%s, but did not end (stuck in C code?) and was given up; its thread goes on until "
             "that returns",
             before.message);
    }
}

static void reap(struct process *p)
{
    if (!exists(p)) {
        return;
    }
    p->reaped = true;
    if (!p->thread_over && p->manager->closing) {
        p->thread_over = thread_await(p->thread, grace_left_ms(p->manager));
    }
    if (!p->thread_over) {
        thread_give_up(p->thread);
        note_given_up(p);
        return;
    }
    p->exit_known = true;
    p->exit_code = thread_join(p->thread);
    if (thread_is_dying(p->thread)) {
        p->exit_code = -1;
        p->exit_signal = SIGKILL;
    }
}

static void forget(struct process *p)
{
    p->status = NULL;
    thread_release(&p->thread);
}

#define BODY_ON_THREAD(name)                                                                       \
    {                                                                                              \
        .isolation = (name), .transport = "inproc", .begin = begin, .kill = kill_thread,           \
        .signal = signal_thread, .reap = reap, .exists = exists, .forget = forget,                 \
    }

const struct body body_worker = BODY_ON_THREAD("worker");
const struct body body_thread = BODY_ON_THREAD("thread");
