/*
 * Which workers can be called directly: those that serve on threads of this process, by the names
 * of their services. The manager keeps it; any thread may look a name up, and does so only when it
 * is about to make a link (thread_visit).
 *
 * What was found may be outdated at once: an entry has a number that its thread bears as long as
 * the entry is there, so that who keeps a link sees, without the lock, when to look again.
 */
#ifndef TITAN_SPAWN_DIRECTORY_H
#define TITAN_SPAWN_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>

struct directory;
struct thread;

/* The maker holds it; NULL when memory is out. It may outlive its manager: it is empty then. */
struct directory *directory_new(void);
struct directory *directory_hold(struct directory *d);
void directory_release(struct directory **d);

/* The name must not be in it. Holds the thread. False when memory is out: calls to it go through
 * the manager then. */
bool directory_enter(struct directory *d, const char *name, struct thread *t);

/* Takes the entry back; does nothing when that name is not the thread's. */
void directory_strike(struct directory *d, const char *name, const struct thread *t);

/* The thread, held, and the number of its entry; NULL when there is none. Any thread. */
struct thread *directory_find(struct directory *d, const char *name, unsigned *entry);

#endif
