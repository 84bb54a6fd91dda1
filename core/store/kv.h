/*
 * A file of keys and values with times to live, whose calls return at once and call back on the
 * loop.
 *
 * Promises:
 *  - an operation takes effect after every one asked for before it, reads among them, and is
 *    answered exactly once, unless it is forgotten (kv_forget), which does not take it back;
 *  - the answer to a write comes when the write is on the disk: it survives the end of the process,
 *    however it comes, and unless `normal_sync` was asked for the loss of power, too;
 *  - what is asked for in one turn of the loop, and what piles up while the disk is busy, is one
 *    transaction, which costs one wait for the disk and one wake-up of the loop;
 *  - a transaction that fails fails every operation in it, and nothing of it is seen by later ones,
 *    which are tried anew. (What failed because of the disk may be there after a loss of power.)
 *
 * The file is SQLite's, in WAL mode. One struct kv has it for itself: anybody else, in this process
 * or another, is told TITAN_E_OVERLOADED when opening it. A file that is not Titan's, or of a newer
 * Titan, is refused and left as it is.
 *
 * Time. Entries carry the wall-clock time at which they expire, since they outlive the process. The
 * wall clock is read once, when the file is opened; from then on time is what has passed since, so
 * that a clock that is set, in either direction, while the file is open makes nothing expire early
 * or late. Between two openings it is the wall clock that counts. An entry that has expired is
 * absent from that moment on; its room is used again soon after.
 */
#ifndef TITAN_STORE_KV_H
#define TITAN_STORE_KV_H

#include <stdbool.h>

#include "base/errors.h"
#include "transport/reactor.h"
#include "wire/message.h"

struct kv;
struct kv_op;

/* How time is told; called on the thread that works on the file. */
struct kv_clock {
    uint64_t (*wall_ms)(void *ctx);
    uint64_t (*elapsed_ms)(void *ctx); /* never steps; goes on while the machine sleeps */
    void *ctx;
};

struct kv_options {
    uint32_t busy_timeout_ms; /* how long opening waits for whoever has the file */
    uint32_t sweep_ms;        /* how often what has expired is looked for while nothing is done */
    size_t max_waiting;       /* operations that wait for their answer */
    size_t max_waiting_bytes; /* of their keys and values */
    bool normal_sync;         /* do not wait for the disk: a loss of power may undo the last
                                 writes, in order; the file stays sound */
    const struct kv_clock *clock; /* NULL: the system's. Outlives the kv */
};

#define KV_OPTIONS_DEFAULT                                                                         \
    {                                                                                              \
        .busy_timeout_ms = 2000, .sweep_ms = 5000, .max_waiting = 65536,                           \
        .max_waiting_bytes = (size_t)64 * 1024 * 1024,                                             \
    }

/* How an operation ended. Valid during the callback. */
struct kv_answer {
    bool found;                    /* what there was: see each operation */
    struct span value;             /* when found by kv_get or kept by kv_put; else {NULL, 0} */
    const struct failure *failure; /* NULL unless it failed */
};

/* Lives inside whoever waits. Zeroed memory waits for nothing. */
struct kv_wait {
    struct kv_op *op;
    void (*fn)(struct kv_wait *w, const struct kv_answer *answer);
};

/* It is not called back. What it has asked for is done all the same. */
void kv_forget(struct kv_wait *w);

/*
 * Opens the file at `path`, which is made if it is not there; its directory must be. The answer
 * says whether that went well; operations may be asked for before it has come, and fail with the
 * same failure if it did not. Either way *kv is there until kv_close.
 *
 * Here: LIMIT_EXCEEDED (memory, threads). In the answer: INVALID_CONFIG (the path leads to no
 * place for such a file, or to something else), OVERLOADED (somebody else has it), PROTOCOL_ERROR
 * (damaged), LIMIT_EXCEEDED (disk full, file size limit, memory), REMOTE_ERROR (the disk fails).
 */
int kv_open(struct kv **kv, struct reactor *r, const char *path, const struct kv_options *options,
            struct kv_wait *w, struct failure *why);

/*
 * The operations. Keys and values are any bytes, and are copied. `w` may be NULL. `ttl_ms` counts
 * from when the operation is done.
 *
 * Here: OVERLOADED (too much waits already), LIMIT_EXCEEDED (more than could ever wait, memory);
 * then nothing was begun. In the answer: as for kv_open.
 */
#define KV_FOREVER UINT64_MAX

enum kv_mode {
    KV_REPLACE, /* found: false */
    KV_INSERT   /* found: there was a value, which is kept, and in the answer */
};

int kv_get(struct kv *kv, struct span key, struct kv_wait *w, struct failure *why);
int kv_put(struct kv *kv, enum kv_mode mode, struct span key, struct span value, uint64_t ttl_ms,
           struct kv_wait *w, struct failure *why);
int kv_remove(struct kv *kv, struct span key, struct kv_wait *w, struct failure *why); /* found */

/*
 * Finishes what was asked for before, with its callbacks, then closes the file: that is the answer,
 * which never is a failure, and then *kv is gone. Sets *kv to NULL; does nothing when it is. `w`
 * may be NULL. The loop must run on until then; reactor_close sees to that.
 */
void kv_close(struct kv **kv, struct kv_wait *w);

#endif
