/*
 * Tasks: Lua functions that run as coroutines on the loop and may wait: for an answer, for a time,
 * for each other.
 *
 *     RUNNING --wait--> WAITING --the answer, the time--> RUNNING
 *        |--park--> PARKED --unpark--> READY --end of the turn--> RUNNING
 *        |          (an interrupt takes any of these three to READY, with an error to raise)
 *        |--its slice is over (interrupt.h)--> PREEMPTED --next turn, before all else--> RUNNING
 *        `--coroutine.yield by the user's own code--> FOREIGN: whoever it told resumes it
 *
 * A task ends by its own function returning or raising, inside its coroutine, whoever resumed that
 * last; `ended` is called there, exactly once. Coroutines are reused.
 */
#ifndef TITAN_SCRIPT_TASK_H
#define TITAN_SCRIPT_TASK_H

#include "manager/own_request.h"
#include "manager/pool.h"
#include "rpc/peer.h"
#include "script/runtime.h"
#include "script/scope.h"
#include "store/kv.h"

struct caller;

enum task_state {
    TASK_IDLE,
    TASK_RUNNING,
    TASK_WAITING,
    TASK_PARKED,
    TASK_READY,
    TASK_PREEMPTED,
    TASK_FOREIGN
};

/* A time after which a task is interrupted where it waits; on the task's own stack. */
struct time_limit {
    struct timer timer;
    struct time_limit *outer;
    uint64_t deadline_ms;
};

struct task {
    struct runtime *runtime;
    lua_State *co;
    int anchor;       /* keeps the coroutine; the registry also leads from its address here */
    struct list link; /* in runtime->tasks or runtime->idle */
    struct list ready;
    struct list at; /* its place among those that wait for the same thing, if there are such */
    enum task_state state;
    struct call call;              /* the answer it waits for, if any */
    struct pool_call pooled;       /* its place in a pool, if it calls through one */
    struct timer timer;            /* the time it waits for, if any */
    struct kv_wait stored;         /* what it waits for from a store, if anything */
    const struct kv_answer *kept;  /* only while it is resumed with it */
    const struct reply *reply;     /* only while it is resumed with it */
    const struct failure *refusal; /* the same: why a pool has no worker for it */
    struct scope scope;            /* the call that it is part of */
    struct time_limit *limit;      /* the innermost, or NULL */
    bool wants_context;            /* its request says more than a deadline */
    bool claimed;                  /* the manager holds the claim of its request's key */
    bool interrupted; /* the error at the top of its stack is to be raised when it is resumed */
    /* L is the coroutine, `status` LUA_OK or an error's, the results or the error lie at `first`
     * and above. May raise: that is reported, not caught. */
    void (*ended)(struct task *t, lua_State *L, int status, int first);
    void *owner;
    struct own_request asked; /* that it serves, in a manager */
    /* For a task that answers a request: its number in the status page, its start (a task begun in
     * it has it, too), its id on the wire and its method, STATUS_NO_METHOD for any other task. */
    uint64_t number;
    uint64_t started_ns;
    uint32_t id, method;
    struct caller *from;   /* whom it answers (visitor.h) */
    struct list asked_by;  /* in from->requests */
    uint64_t key;          /* of the caller and the id */
    struct map_node by_id; /* among the requests (pump.h) */
    bool cancelled;        /* its caller no longer waits */
    /* When it answers with a stream (pump.c): */
    bool streams;        /* it has begun */
    bool starved;        /* it waits for credit */
    int64_t credit;      /* what may be sent, in bytes */
    uint32_t turn_items; /* what it may still send in this turn */
    uint64_t turn_tick;  /* when that began */
};

void tasks_open(struct runtime *rt);
void tasks_go_on(struct runtime *rt);   /* with those that were preempted: the reactor is paused */
void tasks_discard(struct runtime *rt); /* gives up those that have not ended */
void tasks_rest(struct runtime *rt);    /* lets the coroutines go that are kept for the next */
void tasks_close(struct runtime *rt);

/* A task to be filled: push the message handler, the function and its arguments onto t->co, then
 * task_start. Raises a Lua memory error on L. */
struct task *task_new(struct runtime *rt, lua_State *L);

/* Runs it until it first waits or ends. `nargs` counts the arguments, not the function. */
void task_start(struct task *t, int nargs);

/* The same in the code of L: `return task_start_in(t, nargs, L, k)`, where `k` is run at once, or
 * when what was preempted in the task goes on. */
int task_start_in(struct task *t, int nargs, lua_State *L, lua_KFunction k);

/* The task whose coroutine L is. Raises an error that says what to do when it is none's. */
struct task *task_current(lua_State *L);

/* Suspends the running task, in WAITING or PARKED: `return task_wait(t, state, L, k)`. `k` runs
 * when it is resumed. */
int task_wait(struct task *t, enum task_state state, lua_State *L, lua_KFunction k);

/* What a continuation calls first, with its ctx: the task, which has just been resumed. Raises the
 * error of an interrupted task, and one where the user's own code resumed the coroutine. */
struct task *task_resumed(lua_State *L, lua_KContext ctx);

/* The task whose coroutine `co` is, whoever resumed it; NULL when it is none's. */
struct task *task_of(lua_State *L, lua_State *co);

/* Resumes a waiting task now, or at the end of the turn; a parked one at the end of the turn (any
 * other is left alone). */
void task_resume(struct task *t);
void task_resume_soon(struct task *t);
void task_unpark(struct task *t);

/* Ends its waiting with the error at the top of L's stack, which is popped. False when it does not
 * wait, or is interrupted already. */
bool task_interrupt(struct task *t, lua_State *L);

/* Whether one of its limits ends a call that it makes now before so many ms are over: then the
 * call needs no deadline of its own. */
bool task_sees_to(const struct task *t, uint64_t now_ms, uint32_t left_ms);

void task_limit_remove(struct task *t, struct time_limit *limit);

/* Calls fn with `arg` as its light userdata, outside of any task. False after an error, which is
 * reported as one of `where`. */
bool task_protected(struct runtime *rt, lua_CFunction fn, void *arg, const char *where);

/* An error outside of any task: reported, and the running script ends with it. */
void task_uncaught(struct runtime *rt, lua_State *L, int index, const char *where);

#endif
