/*
 * What other threads hand to the owner of a reactor: a stack of posts that anyone pushes to and the
 * owner takes whole, without a lock. (R. K. Treiber, "Systems programming: coping with
 * parallelism", IBM RJ 5118, 1986; taking everything at once leaves no room for ABA.)
 *
 * A mailbox is shared by all who may post to it and freed when the last of them lets go: what is
 * posted after the owner has closed it is refused, and waking it is harmless.
 *
 * Memory order: what was written before mailbox_post is seen by `deliver`.
 */
#ifndef TITAN_TRANSPORT_MAILBOX_H
#define TITAN_TRANSPORT_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Lives inside its owner, and is in one mailbox at a time at the most. */
struct post {
    struct post *next;
    /* On the owner's thread. It may be posted again from here on. */
    void (*deliver)(struct post *p);
};

struct mailbox {
    _Atomic(struct post *) newest;
    /* The owner has nothing to do and wants to be woken by the next post. */
    atomic_bool asleep;
    atomic_uint holders;
    /* From any thread, at the most once for each time the owner fell asleep. */
    void (*wake)(struct mailbox *m);
    void (*free)(struct mailbox *m); /* the last holder has let go */
};

/* The maker holds it. */
void mailbox_init(struct mailbox *m, void (*wake)(struct mailbox *m),
                  void (*free)(struct mailbox *m));

struct mailbox *mailbox_hold(struct mailbox *m);
void mailbox_release(struct mailbox *m);

/* False: the owner takes nothing any more. Any thread. */
bool mailbox_post(struct mailbox *m, struct post *p);

/* ---- for the owner ---- */

static inline bool mailbox_is_empty(struct mailbox *m)
{
    return atomic_load_explicit(&m->newest, memory_order_relaxed) == NULL;
}

/* Delivers what is there now, in the order of posting. */
void mailbox_deliver(struct mailbox *m);

/* Before sleeping: from now on a post wakes. False when there is one already: then it is awake. */
bool mailbox_fall_asleep(struct mailbox *m);
void mailbox_awake(struct mailbox *m);

/* Delivers what is there; every later post is refused. */
void mailbox_close(struct mailbox *m);

#endif
