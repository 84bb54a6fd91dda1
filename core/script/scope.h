/*
 * What a task has of the call that it is part of: until when it is wanted, and the call's context
 * (its headers, its trace).
 *
 * A task begun inside has the same context, and the same deadline for as long as the call is under
 * way: once that has ended its deadline binds nobody, so that what a method leaves running goes on.
 */
#ifndef TITAN_SCRIPT_SCOPE_H
#define TITAN_SCRIPT_SCOPE_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

/* A deadline that tasks share; made when the first task begins inside another. */
struct shared_deadline {
    unsigned refs;
    struct shared_deadline *outer; /* or NULL */
    uint64_t at_ms;                /* 0: none (any more) */
};

/* In every task. Zeroed memory is a task that is part of no call. */
struct scope {
    uint64_t deadline_ms;           /* its own, by the loop's clock; 0: none */
    struct shared_deadline *shared; /* the same, for the tasks begun inside; or NULL */
    struct shared_deadline *outer;  /* of the task that it was begun in; or NULL */
    int context;                    /* registry: a table; 0: none */
};

/* The soonest of the deadlines that bind it; 0 when there is none. */
uint64_t scope_deadline_ms(const struct scope *s);

/* What is left of a time of `own_ms` (0: unlimited): the same, or less. 0: unlimited. False when
 * nothing is left. */
bool scope_limit_ms(const struct scope *s, uint64_t now_ms, uint32_t own_ms, uint32_t *left_ms);

void scope_set_deadline(struct scope *s, uint64_t deadline_ms);

/* Pushes the context, or nil. */
void scope_push_context(lua_State *L, const struct scope *s);

/* Takes the table, or nil, from the top of the stack. */
void scope_set_context(lua_State *L, struct scope *s);

/* `inside` begins within `around`. False when memory is out. */
bool scope_inherit(lua_State *L, struct scope *inside, struct scope *around);

/* It has ended, or wants to be part of no call. */
void scope_leave(lua_State *L, struct scope *s);

/* Most tasks have nothing to leave. */
static inline bool scope_is_empty(const struct scope *s)
{
    return s->deadline_ms == 0 && s->shared == NULL && s->outer == NULL && s->context == 0;
}

#endif
