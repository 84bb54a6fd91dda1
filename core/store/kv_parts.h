/* What the two sides of a struct kv share: kv.c is the loop's, kv_thread.c the thread's. */
#ifndef TITAN_STORE_KV_PARTS_H
#define TITAN_STORE_KV_PARTS_H

#include <stdatomic.h>

#include "store/kv.h"

enum kv_kind { KV_OP_OPEN, KV_OP_GET, KV_OP_PUT, KV_OP_REMOVE, KV_OP_CLOSE };

/* Owned by whichever side's list it is in; `wait` is the loop's at any time. */
struct kv_op {
    struct list link;
    struct kv_wait *wait; /* NULL: nobody waits, or no longer */
    enum kv_kind kind;
    enum kv_mode mode;
    uint64_t ttl_ms;
    struct span key, value; /* behind the struct, in the same memory */
    /* The answer. */
    int code;
    bool found;
    char *text;           /* the message of a failure; NULL: only its code is known */
    struct span returned; /* malloced unless NULL */
};

struct kv {
    /* The loop's. */
    struct reactor *reactor;
    struct kv_op *close; /* made beforehand, so that closing cannot fail; NULL once closing */
    uv_async_t wake;
    struct flusher flush;
    struct list fresh; /* operations of this turn */
    size_t waiting, waiting_bytes;
    uv_thread_t thread;

    /* Set before the thread begins. */
    struct kv_options options;
    char *path;

    atomic_bool closing; /* nobody cares any more whether the file opens */

    /* Both sides', under the mutex. */
    uv_mutex_t mutex;
    uv_cond_t work; /* the queue is no longer empty */
    struct list queue;
    struct list done;
};

/* The thread: works until it has met a KV_OP_CLOSE. `arg` is the struct kv. */
void kv_thread(void *arg);

/* Moves everything in `from` to the end of `to`. */
static inline void kv_splice(struct list *to, struct list *from)
{
    if (list_empty(from)) {
        return;
    }
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

static inline struct kv_op *kv_op_at(struct list *link)
{
    return list_entry(link, struct kv_op, link);
}

#endif
