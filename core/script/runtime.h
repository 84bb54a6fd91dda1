/*
 * What belongs to one lua_State: its loop, its reactor, its tasks. One a state, made on first use
 * and closed with the state. Everything here is used by the state's own thread.
 */
#ifndef TITAN_SCRIPT_RUNTIME_H
#define TITAN_SCRIPT_RUNTIME_H

#include <lua.h>

#include "base/errors.h"
#include "base/ids.h"
#include "script/buffer_memory.h"
#include "script/interrupt.h"
#include "spawn/sched.h"
#include "transport/reactor.h"
#include "worker/status.h"

struct task;
struct state_memory;

struct runtime {
    lua_State *L;                /* the main thread */
    struct state_memory *memory; /* whose limit bites while tasks run; NULL in a host's state */
    uv_loop_t *uv;               /* NULL: none yet */
    struct own_loop *own;        /* it is in there, unless luv had made one before */
    bool bare;                   /* the reactor is not the loop's: see runtime_turn */
    struct mailbox *mail;        /* of a bare one */
    bool has_luv;                /* its code may have changed the thread that it runs on */
    struct watch *inner;         /* of a bare one's loop, in that of the thread it is pinned to */
    struct reactor reactor;
    bool reactor_open;
    struct task *running; /* whose coroutine runs right now */
    struct interrupt interrupt;
    atomic_bool *dying;   /* whether the state is to end, whatever it does; or NULL */
    atomic_bool *overdue; /* whether its slice is over; or NULL */
    struct buffer_memory buffers;
    struct list tasks; /* that have begun and not ended */
    struct list idle;  /* coroutines kept for the next task */
    unsigned idle_len;
    struct list ready;          /* tasks to resume at the end of this turn */
    struct list preempted;      /* tasks to resume before anything else is done */
    struct flusher resume;      /* does that */
    struct flusher settled;     /* of the clock under a test's hand: nothing is left to do, */
    int settling;               /* which the coroutine at this reference waits for */
    uint64_t wall_ahead_ms;     /* of the wall clock before the held one (modulo 2^64) */
    struct ids *ids;            /* of traces and spans; NULL until one is wanted */
    struct status_page *status; /* in a worker: where to note which method runs; else NULL */
    /* An error nobody can catch was reported: end what runs here, with a failure. */
    void (*uncaught)(struct runtime *rt);
    /* Prints to where this state's errors go; NULL: to stderr. */
    void (*report)(struct runtime *rt, const char *text, size_t len);
    void *owner; /* of both */
};

/* The runtime of a new state that is not settled: it has no loop and is no thread's yet. Raises as
 * below. */
struct runtime *runtime_bare(lua_State *L);

/* Once, before its reactor is opened, on the thread that it begins on. With a mailbox it has no
 * loop, but is given turns whenever there is a post in it, and makes itself a loop when `luv` is
 * asked for; NULL: it gets a loop. Raises as below. */
void runtime_settle(lua_State *L, struct runtime *rt, struct mailbox *mail);

/* One of these turns, as a run of the unit. Returns when it wants the next: 0 at once,
 * else a time in ms, UINT64_MAX when there is mail. */
uint64_t runtime_turn(struct runtime *rt, struct unit *u, struct sched_thread *on);

/* The loop for luv. Raises when descriptors are out. */
uv_loop_t *runtime_loop(lua_State *L, struct runtime *rt);

/* The state's runtime. Raises a Lua error when memory or descriptors are out. */
struct runtime *runtime_of(lua_State *L);

/* Opens the reactor on first use: not in a zygote, whose children need one each. */
struct reactor *runtime_reactor(struct runtime *rt);

/* The same outside of Lua. TITAN_OK or TITAN_E_LIMIT_EXCEEDED. */
int runtime_open_reactor(struct runtime *rt);

/* The clock for durations, in ns: the one that core.monotonic_ms says, also while it is held. */
uint64_t runtime_now_ns(const struct runtime *rt);

/* Its part of a runtime that is being made: see core_clock.c. */
void clock_open(struct runtime *rt);

/* ---- errors as Lua objects ---- */

/* Pushes an error object made by titan.errors; process and method may be NULL. */
void script_push_error(lua_State *L, int code, const char *message, const char *process,
                       const char *method);

/* Raises one; never returns. For a `return script_raise(...)`. */
int script_raise(lua_State *L, const struct failure *why);

/* Raises a plain string, as luaL_error does, and says so to the compiler. */
_Noreturn void script_fail(lua_State *L, const char *message);

/* A message handler: the error as text, with the stack it was raised on. */
int script_traceback(lua_State *L);

/* Prints an error that nobody is left to catch, with a traceback if there is one. Never raises. */
void script_report(lua_State *L, int index, const char *where);

#endif
