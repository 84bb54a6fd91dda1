/* A mailbox whose owner sleeps in a loop: it is woken by an eventfd. */
#ifndef TITAN_TRANSPORT_BELL_H
#define TITAN_TRANSPORT_BELL_H

#include "transport/mailbox.h"

/* The caller holds it. NULL: memory or descriptors are out. */
struct mailbox *bell_new(void);

/* A descriptor of the caller's own that is readable once the bell has rung; -1 when there is none
 * left. The mailbox keeps one as well: who posts late must not write to somebody else's. */
int bell_dup(struct mailbox *m);

#endif
