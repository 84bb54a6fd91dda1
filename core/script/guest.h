/*
 * The guest of a worker: a lua_State that serves its methods. It is made warm in the zygote and
 * serves in its children (guest_process.c), or it is made and serves on a thread (guest_thread.c).
 * lua/titan/worker.lua is the part of it written in Lua.
 */
#ifndef TITAN_SCRIPT_GUEST_H
#define TITAN_SCRIPT_GUEST_H

#include <stdio.h>

#include "script/pump.h"
#include "script/route.h"
#include "script/runtime.h"
#include "script/state.h"
#include "script/visitor.h"
#include "spawn/thread.h"

struct guest {
    struct stock_item item; /* before it is anybody's: guest_thread.c */
    lua_State *L;
    struct state_memory *memory;
    struct runtime *runtime;
    struct worker worker;
    struct pumps pumps;
    struct caller home; /* the manager */
    struct visitors visitors;
    struct timer rest; /* on a thread: until it has come to rest after its start */
    struct routes routes;
    bool is_worker;
    struct thread *thread; /* it runs on; NULL: a process of its own */
    FILE *out, *err;       /* thread_output.c: its standard files, on a thread */
    int methods;           /* registry: list of functions, by method id + 1 */
    int by_name;           /* registry: name -> method id of the public ones */
    int keyed;             /* registry: method id -> true of those that are idempotent by key */
    int self;              /* registry: what methods get as self */
    int handler;           /* registry: makes an error that travels of what a method raised */
    int refuse;            /* registry: (name) -> the error for a method that cannot be called */
    int cancelled;         /* registry: the error of a call whose caller no longer waits */
    int lua_main;          /* registry: titan.worker */
};

/* Makes the state, of `chunks` (or NULL), and loads the Lua part. It is no thread's yet. TITAN_OK,
 * or nothing is open. */
int guest_open(struct guest *g, struct chunks *chunks, struct failure *why);
void guest_close(struct guest *g);

/* Whose state it is from now on: see guest_of. May raise a Lua error. */
void guest_register(lua_State *L, struct guest *g);

/* Loads what a start needs before there is one. What fails here is said by the start. */
void guest_stand_by(struct guest *g);

/* On the thread where it begins. With a mailbox it has no loop but takes turns (runtime_turn).
 * TITAN_OK, or it is for guest_close. */
int guest_settle(struct guest *g, struct mailbox *mail, struct failure *why);

/* Loads what is to be loaded before any class: `boot` is what the manager says of it, `how` a
 * function of titan.worker, "warm_up" or "prepare". */
int guest_prepare(struct guest *g, const char *how, struct span boot, struct failure *why);

/* Some time after its start, when nothing of that is needed any more, what it took is collected and
 * given back. */
void guest_rest_later(struct guest *g);

/* Around the life of its worker, which is opened and run in between. */
void guest_begin(struct guest *g);
void guest_end(struct guest *g);

extern const struct worker_guest guest_handlers;

/* What a caller sends. */
void guest_request(struct caller *from, const struct message *m);
void guest_cancel(struct caller *from, uint32_t id);

/* The guest this state serves; NULL when it is not a worker's. */
struct guest *guest_of(lua_State *L);

/* The same; raises when it is not a worker's. */
struct guest *guest_check(lua_State *L);

#endif
