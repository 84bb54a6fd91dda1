/*
 * The guest of the zygote and of each worker: a lua_State that is made warm in the zygote and
 * serves the worker's methods in its children. lua/titan/worker.lua is the part of it written in
 * Lua.
 */
#ifndef TITAN_SCRIPT_GUEST_H
#define TITAN_SCRIPT_GUEST_H

#include "script/pump.h"
#include "script/runtime.h"
#include "script/state.h"
#include "worker/worker.h"

struct guest {
    lua_State *L;
    struct state_memory *memory;
    struct runtime *runtime;
    struct worker worker;
    struct pumps pumps;
    bool is_worker;
    int methods;   /* registry: list of functions, by method id + 1 */
    int by_name;   /* registry: name -> method id of the public ones */
    int keyed;     /* registry: method id -> true of those that are idempotent by key */
    int self;      /* registry: what methods get as self */
    int handler;   /* registry: makes an error that travels of what a method raised */
    int refuse;    /* registry: (name) -> the error for a method that cannot be called */
    int cancelled; /* registry: the error of a call whose caller no longer waits */
    int lua_main;  /* registry: titan.worker */
};

/* The guest this state serves; NULL when it is not a worker's. */
struct guest *guest_of(lua_State *L);

/* The same; raises when it is not a worker's. */
struct guest *guest_check(lua_State *L);

#endif
