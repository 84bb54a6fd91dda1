/*
 * What a worker on a thread prints. The process's stdout is not its own, so print, io.write,
 * io.stdout and io.stderr of its state go to the manager, line by line like what a process prints;
 * and os.exit ends the worker, not everybody.
 */
#ifndef TITAN_SCRIPT_THREAD_OUTPUT_H
#define TITAN_SCRIPT_THREAD_OUTPUT_H

#include "script/guest.h"

/* In place of luaopen_io and luaopen_os, and the global `print`. In a guest's state. */
int thread_output_open_io(lua_State *L);
int thread_output_open_os(lua_State *L);
void thread_output_open_print(lua_State *L);

/* On its thread: errors that nobody can catch are printed, too. */
void thread_output_begin(struct guest *g);

/* What the worker has buffered, if it has files yet, leaves, before its connections do. */
void thread_output_flush(struct guest *g);

/* After the state, which may print until its last finalizer. */
void thread_output_close(struct guest *g);

#endif
