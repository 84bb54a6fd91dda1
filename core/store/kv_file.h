/*
 * The file of a struct kv: SQLite, for one thread, which waits. Every function below returns
 * TITAN_OK or an error with `why`, as described at kv_open.
 */
#ifndef TITAN_STORE_KV_FILE_H
#define TITAN_STORE_KV_FILE_H

#include <stdatomic.h>

#include "store/kv.h"

struct kv_file;

/* `path` outlives the file. Once *give_up is true it waits no longer for whoever has the file. */
int kv_file_open(struct kv_file **file, const char *path, const struct kv_options *options,
                 const atomic_bool *give_up, struct failure *why);

/* Does nothing for NULL. */
void kv_file_close(struct kv_file *file);

/* A transaction: begin, then the operations, then commit; or after a failure of any of these
 * rollback. What there is is told as of the time of begin. */
int kv_file_begin(struct kv_file *file, struct failure *why);
int kv_file_commit(struct kv_file *file, struct failure *why);
void kv_file_rollback(struct kv_file *file);

/* *value is NULL-and-0 when there is none; else valid until the next call. */
int kv_file_get(struct kv_file *file, struct span key, struct span *value, struct failure *why);

/* *kept as *value above: with KV_INSERT what is there already; then nothing was put. */
int kv_file_put(struct kv_file *file, enum kv_mode mode, struct span key, struct span value,
                uint64_t ttl_ms, struct span *kept, struct failure *why);

int kv_file_remove(struct kv_file *file, struct span key, bool *found, struct failure *why);

/* Removes up to `max` entries that have expired; *removed says how many. */
int kv_file_sweep(struct kv_file *file, unsigned max, unsigned *removed, struct failure *why);

#endif
