#include "transport/mailbox.h"

/* Stands for the newest post of a closed mailbox. */
static struct post closed;

void mailbox_init(struct mailbox *m, void (*wake)(struct mailbox *m),
                  void (*free)(struct mailbox *m))
{
    atomic_init(&m->newest, NULL);
    atomic_init(&m->asleep, false);
    atomic_init(&m->holders, 1);
    m->wake = wake;
    m->free = free;
}

struct mailbox *mailbox_hold(struct mailbox *m)
{
    atomic_fetch_add_explicit(&m->holders, 1, memory_order_relaxed);
    return m;
}

/* Acquire and release: who frees has seen what all others did to it. */
void mailbox_release(struct mailbox *m)
{
    if (atomic_fetch_sub_explicit(&m->holders, 1, memory_order_acq_rel) == 1) {
        m->free(m);
    }
}

/* Sequentially consistent against mailbox_fall_asleep: of "the post is there" and "the owner
 * sleeps" at least one side sees the other's. */
bool mailbox_post(struct mailbox *m, struct post *p)
{
    struct post *newest = atomic_load_explicit(&m->newest, memory_order_relaxed);

    do {
        if (newest == &closed) {
            return false;
        }
        p->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&m->newest, &newest, p, memory_order_seq_cst,
                                                    memory_order_relaxed));
    if (atomic_load(&m->asleep) && atomic_exchange(&m->asleep, false)) {
        m->wake(m);
    }
    return true;
}

static void deliver_all(struct post *newest)
{
    struct post *oldest = NULL;

    while (newest != NULL) {
        struct post *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct post *next = oldest->next;

        oldest->deliver(oldest);
        oldest = next;
    }
}

/* The owner may close it in a `deliver`: `closed` must stay. */
void mailbox_deliver(struct mailbox *m)
{
    struct post *newest = atomic_load_explicit(&m->newest, memory_order_relaxed);

    if (newest != NULL && newest != &closed) {
        deliver_all(atomic_exchange_explicit(&m->newest, NULL, memory_order_acquire));
    }
}

bool mailbox_fall_asleep(struct mailbox *m)
{
    atomic_store(&m->asleep, true);
    if (atomic_load(&m->newest) != NULL) {
        atomic_store_explicit(&m->asleep, false, memory_order_relaxed);
        return false;
    }
    return true;
}

void mailbox_awake(struct mailbox *m)
{
    atomic_store_explicit(&m->asleep, false, memory_order_relaxed);
}

void mailbox_close(struct mailbox *m)
{
    struct post *newest = atomic_exchange_explicit(&m->newest, &closed, memory_order_acquire);

    if (newest != &closed) {
        deliver_all(newest);
    }
}
