/*
 * Interrupting Lua code that does not give way, without a cost for code that does.
 *
 * Nothing is counted and no hook is set until somebody wants an interruption. Then SIGURG is sent
 * to the thread that runs the state; its handler looks at what runs there and, if that is to be
 * interrupted, arms a count hook on the coroutine that is on the CPU (lua_sethook is safe there:
 * see the comment on asynchronous calls in Lua's ldebug.c). The hook runs before the next
 * instruction of Lua code, makes sure that the reason still holds, and acts. A reason that does not
 * hold any more, since something else runs by then, does nothing.
 *
 * Who runs is known because everything that resumes a coroutine says so: tasks (task.c), callbacks
 * of luv (runtime.c), and the coroutine library of Titan's states (coroutines.c). A coroutine that
 * a C library resumes is interrupted when it comes back.
 *
 * What cannot be interrupted: C code, and finalizers (__gc), for which Lua turns hooks off.
 * Titan's own Lua code is not interrupted either: what it keeps would not be in order afterwards.
 * The hook waits until it is in the user's code again.
 */
#ifndef TITAN_SCRIPT_INTERRUPT_H
#define TITAN_SCRIPT_INTERRUPT_H

#include <lua.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct runtime;
struct task;

enum {
    /* The deadline of the running task is over: a `timeout` is raised in it. Nothing happens to a
     * task that is within its time. */
    INTERRUPT_DEADLINE = 1,
    /* It has run for long enough: it yields, and goes on when other states have had their turn;
     * nothing else is done in this one before. Where it cannot yield it goes on. */
    INTERRUPT_SLICE = 2,
    /* The state is being ended: an error is raised again and again, until everything has unwound.
     */
    INTERRUPT_DIE = 4
};

/* In every runtime. Its own thread's, but for `reasons`. */
struct interrupt {
    lua_State *volatile current; /* the coroutine that is on the CPU; the main thread at rest */
    _Atomic unsigned reasons;    /* asked for and not acted upon */
    lua_State *preempted;        /* it yields right now, and did not mean to */
    /* The request that the manager has given up, by its number in the status page, + 1. */
    uint64_t unwanted_number;
    /* Since when a call (by its start) has been overdue in the same turn of the loop; for the
     * handler alone. 0: what ran last was not. */
    uint64_t overdue_since_ns, overdue_in_ns, overdue_turn_ms;
    uint64_t patient_cpu_ns; /* the CPU time of then, or of its last interruption */
    struct runtime *outer;   /* whom interrupt_leave makes the thread's again */
    /* The user's hook (debug.sethook) that ours has taken the place of. */
    lua_State *hooked;
    lua_Hook hook;
    int hook_mask, hook_count;
    volatile bool restoring; /* it is being given its place back */
    unsigned unheard;        /* signals since ours was set */
};

void interrupt_init(struct runtime *rt);

/* From here on, and no longer, SIGURG on this thread is about this runtime. They may be nested. */
void interrupt_enter(struct runtime *rt);
void interrupt_leave(const struct runtime *rt);

/* Takes SIGURG over, once a process; a handler that was there is called, too. 0 or -errno. */
int interrupt_install(void);

/* What runs on this thread has been told to end in the ordinary way: for a moment of its CPU time
 * it is not interrupted. */
void interrupt_be_patient(struct interrupt *i);

/* From any thread. Nothing happens before the signal, which is the caller's to send: to the thread
 * (pthread_kill) or to the process. */
void interrupt_request(struct runtime *rt, unsigned reasons);

/* What a DIE was for is over. */
void interrupt_cancel(struct runtime *rt, unsigned reasons);

/* Has the hook look before the next instruction of L, which runs or is about to. Safe in a signal
 * handler. */
void interrupt_arm(struct interrupt *i, lua_State *L);

/* L runs from here on, in place of the coroutine that is returned: who runs again when
 * interrupt_back is given it. */
static inline lua_State *interrupt_switch(struct interrupt *i, lua_State *L)
{
    lua_State *outer = i->current;

    i->current = L;
    if (atomic_load_explicit(&i->reasons, memory_order_relaxed) & INTERRUPT_DIE) {
        interrupt_arm(i, L);
    }
    return outer;
}

static inline void interrupt_back(struct interrupt *i, lua_State *outer)
{
    (void)interrupt_switch(i, outer);
}

/* ---- coroutines.c ---- */

/* Makes the functions of the table `coroutine` keep to the above. Before the state is first
 * interrupted. */
void coroutines_open(lua_State *L);

#endif
