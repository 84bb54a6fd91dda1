#include "script/interrupt.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "script/task.h"
#include "script/visitor.h"
#include "titan.h"

/* What is overdue has so much time on the CPU without giving way before it is interrupted, and
 * before it is again: for what it does when it has heard of its end, and to close what it has open.
 */
#define PATIENCE_NS 3000000u

/* Whose Lua this thread runs. Written by the thread itself, and read by its signal handler: so it
 * must be there without a call of the loader's (initial-exec). */
static _Thread_local struct runtime *volatile here __attribute__((tls_model("initial-exec")));

/* ---- reasons ---- */

/* By the time that it is, not the loop's: that stands still while code runs. Of a task that runs on
 * this thread; safe in a signal handler, see scope_leave. */
static bool is_late(const struct runtime *rt, const struct task *t, uint64_t at_ns)
{
    uint64_t deadline_ms = scope_deadline_ms(&t->scope);

    return deadline_ms != 0 && deadline_ms <= reactor_ms_at(&rt->reactor, at_ns);
}

/* One of the manager's, whose numbers are not those of other callers. */
static bool is_request(const struct task *t)
{
    return t->method != STATUS_NO_METHOD && t->from->number == 0;
}

static bool is_unwanted(const struct runtime *rt, const struct task *t)
{
    return is_request(t) && t->number + 1 == rt->interrupt.unwanted_number;
}

void interrupt_request(struct runtime *rt, unsigned reasons)
{
    atomic_fetch_or_explicit(&rt->interrupt.reasons, reasons, memory_order_release);
}

void interrupt_cancel(struct runtime *rt, unsigned reasons)
{
    atomic_fetch_and_explicit(&rt->interrupt.reasons, ~reasons, memory_order_relaxed);
}

/* ---- the hook ---- */

static void restore_hook(struct interrupt *i, lua_State *L)
{
    if (i->hooked == L) {
        i->restoring = true; /* the signal may come in the middle of lua_sethook */
        lua_sethook(L, i->hook, i->hook_mask, i->hook_count);
        i->hooked = NULL;
        i->restoring = false;
    } else {
        lua_sethook(L, NULL, 0, 0);
    }
}

/* Embedded modules are the only chunks whose names begin so. */
static bool in_own_code(lua_State *L, lua_Debug *ar)
{
    return lua_getinfo(L, "S", ar) != 0 && strncmp(ar->source, "=titan", 6) == 0;
}

void interrupt_be_patient(struct interrupt *i)
{
    i->patient_cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static bool is_patient(const struct interrupt *i)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID) - i->patient_cpu_ns < PATIENCE_NS;
}

static int raise_error(struct runtime *rt, lua_State *L, int code, const char *message)
{
    interrupt_be_patient(&rt->interrupt);
    script_push_error(L, code, message, NULL, NULL);
    return lua_error(L);
}

/* The first thing of these that holds. Returns when nothing does. */
static void raise_what_holds(struct runtime *rt, lua_State *L, struct task *t)
{
    if (is_late(rt, t, now_ns())) {
        raise_error(rt, L, TITAN_E_TIMEOUT, "the time is over: interrupted while it ran");
    }
    if (is_unwanted(rt, t)) {
        raise_error(rt, L, TITAN_E_CANCELLED,
                    "the caller no longer waits: interrupted while it ran");
    }
}

/* Before an instruction of Lua code. Must end as it does after lua_yield. */
static void hook(lua_State *L, lua_Debug *ar)
{
    struct runtime *rt = here;
    unsigned reasons;

    if (rt == NULL) {
        lua_sethook(L, NULL, 0, 0);
        return;
    }
    reasons = atomic_load_explicit(&rt->interrupt.reasons, memory_order_acquire);
    if (reasons & INTERRUPT_DIE) {
        lua_pushliteral(L, "titan: interrupted: this state is being ended");
        lua_error(L);
    }
    if (in_own_code(L, ar)) {
        return; /* and again before the next instruction */
    }
    restore_hook(&rt->interrupt, L);
    interrupt_cancel(rt, reasons);
    /* Armed before it was told in the ordinary way, it may be closing what it has open by now. */
    if (rt->running != NULL && !is_patient(&rt->interrupt)) {
        raise_what_holds(rt, L, rt->running);
    }
    if (reasons & INTERRUPT_SLICE && L == rt->interrupt.current && rt->reactor.whole == 0 &&
        lua_isyieldable(L)) {
        rt->interrupt.preempted = L;
        lua_yield(L, 0);
    }
}

/* Where it is set already it may be without effect: a signal that comes while Lua counts down to a
 * hook of the user's, or sets one, finds what it has set undone. Then it is set again, but seldom:
 * that marks each function on the stack, which in long C code under a deep recursion would take up
 * all of the time between two signals. */
static bool is_heard_of(struct interrupt *i)
{
    i->unheard++;
    return (i->unheard & (i->unheard - 1)) != 0;
}

void interrupt_arm(struct interrupt *i, lua_State *L)
{
    lua_Hook before = lua_gethook(L);

    if (before == hook && is_heard_of(i)) {
        return;
    }
    if (before != hook) {
        i->unheard = 0;
    }
    if (before != hook && !i->restoring) {
        i->hooked = before != NULL ? L : NULL;
        i->hook = before;
        i->hook_mask = lua_gethookmask(L);
        i->hook_count = lua_gethookcount(L);
    }
    lua_sethook(L, hook, LUA_MASKCOUNT, 1);
}

/* ---- the signal ---- */

/* For how long what runs has been overdue without giving way; 0: it is not. */
static uint64_t overdue_for_ns(struct runtime *rt, const struct task *t, uint64_t at_ns)
{
    struct interrupt *i = &rt->interrupt;
    uint64_t turn_ms = reactor_now_ms(&rt->reactor);

    if (t == NULL || !(is_unwanted(rt, t) || is_late(rt, t, at_ns))) {
        i->overdue_since_ns = 0;
        return 0;
    }
    if (i->overdue_since_ns == 0 || i->overdue_in_ns != t->started_ns ||
        i->overdue_turn_ms != turn_ms) {
        i->overdue_since_ns = at_ns - 1;
        i->overdue_in_ns = t->started_ns;
        i->overdue_turn_ms = turn_ms;
        interrupt_be_patient(i);
    }
    return at_ns - i->overdue_since_ns;
}

/* What the manager asks for and hears; whether what runs is to be interrupted for it. */
static bool answer_manager(struct runtime *rt, struct status_page *page)
{
    struct status_interrupt *talk = &page->interrupt;
    struct task *t = *(struct task *volatile *)&rt->running;
    uint32_t unwanted = atomic_exchange_explicit(&talk->unwanted, 0, memory_order_acquire);
    uint32_t id = t != NULL && is_request(t) ? t->id + 1 : 0;
    uint64_t overdue_ns;

    if (id != 0 && id == unwanted) {
        rt->interrupt.unwanted_number = t->number + 1;
    }
    overdue_ns = overdue_for_ns(rt, t, now_ns());
    status_store(talk->overdue_ns, overdue_ns);
    status_store(talk->running, id);
    atomic_store_explicit(&talk->answered, status_load(talk->asked), memory_order_release);
    return overdue_ns > 0 && !is_patient(&rt->interrupt);
}

static void look(struct runtime *rt)
{
    struct interrupt *i = &rt->interrupt;
    struct status_page *page = *(struct status_page *volatile *)&rt->status;
    bool wanted;

    if (rt->dying != NULL && atomic_load_explicit(rt->dying, memory_order_relaxed)) {
        interrupt_request(rt, INTERRUPT_DIE);
    }
    if (rt->overdue != NULL && atomic_exchange_explicit(rt->overdue, false, memory_order_acquire)) {
        interrupt_request(rt, INTERRUPT_SLICE);
    }
    wanted = atomic_load_explicit(&i->reasons, memory_order_acquire) != 0;
    if (page != NULL && answer_manager(rt, page)) {
        wanted = true;
    }
    if (wanted) {
        interrupt_arm(i, i->current);
    }
}

/* Who had the signal before; written once, before ours can be called. */
static struct sigaction before;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int install_code;

static void on_signal(int number, siginfo_t *info, void *context)
{
    int code = errno;
    struct runtime *rt = here;

    if (rt != NULL) {
        look(rt);
    }
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(number, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(number);
    }
    errno = code;
}

static void install(void)
{
    struct sigaction ours = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};

    sigemptyset(&ours.sa_mask);
    if (sigaction(SIGURG, NULL, &before) < 0 || sigaction(SIGURG, &ours, NULL) < 0) {
        install_code = -errno;
    }
}

int interrupt_install(void)
{
    pthread_once(&once, install);
    return install_code;
}

/* ---- life ---- */

void interrupt_init(struct runtime *rt)
{
    rt->interrupt.current = rt->L;
}

void interrupt_enter(struct runtime *rt)
{
    rt->interrupt.outer = here;
    here = rt;
}

void interrupt_leave(const struct runtime *rt)
{
    here = rt->interrupt.outer;
}
