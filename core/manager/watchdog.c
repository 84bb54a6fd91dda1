#include "manager/watchdog.h"

#include <inttypes.h>
#include <signal.h>

#include "manager/manager.h"
#include "manager/process_parts.h"

#define MOMENT_MS 1    /* until it hears of it in the ordinary way; until it has answered */
#define CALM_MS 250    /* at the most between two looks where nothing is to be done */
#define RESENT_MS 16   /* a question without an answer: another thread has got the signal */
#define PRESS_MS 4     /* until it is asked, and so interrupted, again; then twice that, */
#define GRACE_PARTS 10 /* until it is this part of the grace */

static void pause_for(struct watchdog *w, uint32_t ms)
{
    w->pause_ms = ms > MOMENT_MS ? ms : MOMENT_MS;
}

/* Nothing is to be done: it looks more and more seldom. */
static void calm_down(struct watchdog *w)
{
    pause_for(w, w->calm_ms);
    w->calm_ms = w->calm_ms * 2 < CALM_MS ? w->calm_ms * 2 : CALM_MS;
}

/* ---- asking ---- */

/* The worker compares it with what runs when the signal comes. The number is not used again before
 * the call has been answered, so it is of no later call. */
static uint32_t unwanted(const struct process *p, uint32_t running)
{
    if (running != 0 && peer_gave_up(&p->data, running - 1)) {
        return running;
    }
    return peer_gave_up(&p->data, p->watchdog.id) ? p->watchdog.id + 1 : 0;
}

static void ask(struct process *p)
{
    struct status_interrupt *i = &p->status->interrupt;

    status_store(i->unwanted, unwanted(p, status_load(i->running)));
    atomic_store_explicit(&i->asked, status_load(i->asked) + 1, memory_order_release);
    p->watchdog.waits = true;
    pause_for(&p->watchdog, MOMENT_MS);
    (void)process_kill(p, SIGURG);
}

/* How long what runs has been overdue, by the answer to the last question; 0: it is not. False when
 * there is none yet. */
static bool answer(const struct process *p, uint64_t *overdue_ns)
{
    const struct status_interrupt *i = &p->status->interrupt;

    if (atomic_load_explicit(&i->answered, memory_order_acquire) != status_load(i->asked)) {
        return false;
    }
    *overdue_ns = status_load(i->overdue_ns);
    return true;
}

/* ---- deciding ---- */

static void kill_it(struct process *p, uint64_t overdue_ns)
{
    char name[STATUS_NAME];

    fail(&p->last_error, TITAN_E_WORKER_LOST,
         "did not give way %" PRIu64
         " ms after the time of `%s` was over (stuck in C code?) and was "
         "killed",
         overdue_ns / 1000000u,
         status_method_name(p->status, status_load(p->status->running_method), name));
    process_enter_killed(p);
}

/* As long as it runs, and no other call is given up: that may be its own. */
static bool is_spared(const struct watchdog *w, uint64_t started_ns)
{
    return started_ns != 0 && w->spared_ns == started_ns && w->spared_given_up == w->given_up;
}

/* What ran is within its time, unless it is a call that was given up, and the worker was asked
 * about another: then it is asked again. An answer from between two turns says nothing of the call
 * that was preempted there and goes on. */
static bool spare(struct process *p, uint64_t started_ns)
{
    struct watchdog *w = &p->watchdog;
    uint32_t running = status_load(p->status->interrupt.running);

    if (running != 0 && peer_gave_up(&p->data, running - 1)) {
        return false;
    }
    if (w->asked_ns == started_ns && running != 0) {
        w->spared_ns = started_ns;
        w->spared_given_up = w->given_up;
    }
    calm_down(w);
    return true;
}

/* Whether that is all for now; else it is asked again. Between two interruptions it has time to
 * close what it has open. It is killed after two answers with a moment in between: what gives way
 * in the end is not killed for an answer of before. */
static bool take_answer(struct process *p, uint64_t started_ns, uint64_t overdue_ns)
{
    struct watchdog *w = &p->watchdog;
    uint32_t grace_ms = p->manager->interrupt_grace_ms;
    bool is_over = overdue_ns >= (uint64_t)grace_ms * 1000000u;

    if (is_over && w->sure) {
        kill_it(p, overdue_ns);
        return true;
    }
    w->sure = is_over;
    if (overdue_ns == 0) {
        w->press_ms = PRESS_MS;
        return spare(p, started_ns);
    }
    w->rests = !is_over;
    pause_for(w, w->press_ms < grace_ms / GRACE_PARTS ? w->press_ms : grace_ms / GRACE_PARTS);
    w->press_ms *= w->press_ms < grace_ms ? 2 : 1;
    return w->rests;
}

/* Something is on the CPU. */
static void look_at_running(struct process *p)
{
    struct watchdog *w = &p->watchdog;
    uint64_t started_ns = status_load(p->status->running_started_ns);
    uint64_t overdue_ns;

    w->rests = false;
    if (is_spared(w, started_ns)) {
        calm_down(w);
        return;
    }
    if (w->waits && answer(p, &overdue_ns)) {
        w->waits = false;
        if (take_answer(p, started_ns, overdue_ns)) {
            return;
        }
    } else if (w->waits && w->pause_ms < RESENT_MS) {
        pause_for(w, w->pause_ms * 2);
        return;
    }
    w->asked_ns = started_ns;
    ask(p);
}

static bool is_watched(const struct process *p)
{
    return (p->state == PROCESS_RUNNING || p->state == PROCESS_STOPPING) && p->status != NULL &&
           (p->data.given_up > 0 || p->watchdog.told);
}

static void look(struct timer *t)
{
    struct process *p = list_entry(t, struct process, watchdog.timer);
    struct watchdog *w = &p->watchdog;

    if (!is_watched(p)) {
        w->waits = w->rests = w->sure = false;
        return;
    }
    if (status_load(p->status->running_method) == STATUS_NO_METHOD) {
        w->waits = w->rests = w->sure = w->told = false;
        calm_down(w);
    } else {
        look_at_running(p);
    }
    /* Without memory for it the next call that is given up tries again. */
    if (is_watched(p)) {
        (void)timer_arm(p->manager->reactor, &w->timer, w->pause_ms, false);
    }
}

/* ---- life ---- */

/* What was interrupted is to have its time. */
static bool is_resting(const struct process *p)
{
    const struct watchdog *w = &p->watchdog;

    return w->rests && w->asked_ns == status_load(p->status->running_started_ns);
}

/* Those that come in the same moment are looked at together. */
static void look_soon(struct process *p)
{
    struct watchdog *w = &p->watchdog;

    w->given_up++;
    w->calm_ms = MOMENT_MS;
    if (!is_watched(p) || w->waits || is_resting(p)) {
        return;
    }
    w->press_ms = PRESS_MS;
    if (timer_left_ms(p->manager->reactor, &w->timer) > MOMENT_MS) {
        (void)timer_arm(p->manager->reactor, &w->timer, MOMENT_MS, false);
    }
}

static void gave_up(struct peer *peer, uint32_t id)
{
    struct process *p = list_entry(peer, struct process, data);

    p->watchdog.id = id;
    look_soon(p);
}

void watchdog_tell(struct process *p)
{
    p->watchdog.told = true;
    look_soon(p);
}

void watchdog_init(struct process *p)
{
    p->watchdog.timer.fire = look;
}

void watchdog_watch(struct process *p)
{
    p->data.gave_up = gave_up;
}

void watchdog_stop(struct process *p)
{
    timer_disarm(p->manager->reactor, &p->watchdog.timer);
    p->watchdog = (struct watchdog){.timer.fire = look};
}
