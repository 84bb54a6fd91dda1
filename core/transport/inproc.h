/*
 * A channel in memory, between two threads of one process (or two ends on one): see channel.h. Both
 * ends are made at once, each is opened later by the thread that uses it.
 */
#ifndef TITAN_TRANSPORT_INPROC_H
#define TITAN_TRANSPORT_INPROC_H

#include "transport/channel.h"
#include "transport/mailbox.h"

struct inproc_link;

/* End 0 is of the owner of `a`, end 1 of the owner of `b`; the link holds both mailboxes. NULL when
 * memory is out. */
struct inproc_link *inproc_new(struct mailbox *a, struct mailbox *b);

/* Opens an end, on a reactor that takes the mail of that end. What had come before is delivered at
 * the end of the turn. NULL when memory is out. */
struct channel *channel_inproc(struct inproc_link *l, int end, struct reactor *r,
                               const struct channel_events *events, void *ctx);

/* Whether less waits for the other side than it is to have at a time, or nobody reads any more.
 * channel_finish does not wait for a slow reader: who writes without end has to look here. */
bool inproc_has_room(const struct channel *c);

/* Lets go of the empty buffers that are kept for what comes next. Not in a callback of its owner.
 */
void inproc_tidy(struct channel *c);

/* For an end that is not opened, or could not be: the other one hears that it is lost. Any thread.
 */
void inproc_abandon(struct inproc_link *l, int end);

#endif
