#include <stdlib.h>
#include <string.h>

#include "store/kv_file.h"
#include "store/kv_parts.h"

/* How much of what has expired is removed along with a transaction: more than it can have added,
 * so that the file does not grow; and while nothing is done, so little that nobody waits for it. */
#define SWEEP_FEW 32
#define SWEEP_PER_WRITE 2
#define SWEEP_IDLE 512

struct worker {
    struct kv *kv;
    struct kv_file *file;    /* NULL: not open */
    struct failure unopened; /* why not */
    bool swept;              /* nothing that has expired was left */
};

/* ---- answers ---- */

static void drop_returned(struct kv_op *op)
{
    free((void *)op->returned.at);
    op->returned = (struct span){NULL, 0};
    op->found = false;
}

static void set_failure(struct kv_op *op, const struct failure *why)
{
    drop_returned(op);
    op->code = why->code;
    op->text = strdup(why->message);
}

/* A value that does not fit into memory fails this one alone: nothing was written for it. */
static void return_value(struct kv_op *op, struct span value)
{
    uint8_t *copy;

    if (value.at == NULL) {
        return;
    }
    copy = malloc(value.len + 1); /* zero bytes are a value, too */
    if (copy == NULL) {
        op->code = TITAN_E_LIMIT_EXCEEDED;
        return;
    }
    memcpy(copy, value.at, value.len);
    op->returned = (struct span){copy, value.len};
    op->found = true;
}

/* ---- one transaction ---- */

static int do_op(struct kv_file *f, struct kv_op *op, struct failure *why)
{
    struct span value = {NULL, 0};
    int code = TITAN_OK;

    switch (op->kind) {
    case KV_OP_GET:
        code = kv_file_get(f, op->key, &value, why);
        break;
    case KV_OP_PUT:
        code = kv_file_put(f, op->mode, op->key, op->value, op->ttl_ms, &value, why);
        break;
    case KV_OP_REMOVE:
        return kv_file_remove(f, op->key, &op->found, why);
    case KV_OP_OPEN:
    case KV_OP_CLOSE:
        return TITAN_OK;
    }
    if (code == TITAN_OK) {
        return_value(op, value);
    }
    return code;
}

static int do_all(struct worker *w, struct list *batch, struct failure *why)
{
    unsigned writes = 0;
    unsigned removed;
    unsigned few;
    int code;

    for (struct list *link = batch->next; link != batch; link = link->next) {
        struct kv_op *op = kv_op_at(link);

        writes += op->kind != KV_OP_GET;
        if ((code = do_op(w->file, op, why)) < 0) {
            return code;
        }
    }
    if (writes == 0) {
        return TITAN_OK;
    }
    few = SWEEP_FEW + SWEEP_PER_WRITE * writes;
    code = kv_file_sweep(w->file, few, &removed, why);
    w->swept = removed < few;
    return code;
}

static void transact(struct worker *w, struct list *batch)
{
    struct failure why;

    if (w->file == NULL) {
        why = w->unopened;
    } else if (kv_file_begin(w->file, &why) == TITAN_OK && do_all(w, batch, &why) == TITAN_OK &&
               kv_file_commit(w->file, &why) == TITAN_OK) {
        return;
    } else {
        kv_file_rollback(w->file);
    }
    for (struct list *link = batch->next; link != batch; link = link->next) {
        set_failure(kv_op_at(link), &why);
    }
}

/* Should it fail, the next operation tells of it. */
static void sweep_idly(struct worker *w)
{
    unsigned removed = 0;

    if (kv_file_begin(w->file, NULL) < 0 ||
        kv_file_sweep(w->file, SWEEP_IDLE, &removed, NULL) < 0 ||
        kv_file_commit(w->file, NULL) < 0) {
        kv_file_rollback(w->file);
        removed = 0;
    }
    w->swept = removed < SWEEP_IDLE;
}

/* ---- the queue ---- */

/* Takes all there is. False: there was nothing for so long that it is time to sweep. */
static bool take(struct worker *w, struct list *batch)
{
    struct kv *kv = w->kv;
    uint64_t idle_ns = w->swept ? (uint64_t)kv->options.sweep_ms * 1000000u : 0;
    int error = 0;

    uv_mutex_lock(&kv->mutex);
    while (list_empty(&kv->queue) && error == 0) {
        if (w->file == NULL) {
            uv_cond_wait(&kv->work, &kv->mutex);
        } else {
            error = uv_cond_timedwait(&kv->work, &kv->mutex, idle_ns);
        }
    }
    kv_splice(batch, &kv->queue);
    uv_mutex_unlock(&kv->mutex);
    return !list_empty(batch);
}

static void give_back(struct kv *kv, struct list *batch)
{
    uv_mutex_lock(&kv->mutex);
    kv_splice(&kv->done, batch);
    uv_mutex_unlock(&kv->mutex);
    uv_async_send(&kv->wake);
}

static void open_file(struct worker *w, struct kv_op *op)
{
    w->swept = true;
    if (kv_file_open(&w->file, w->kv->path, &w->kv->options, &w->kv->closing, &w->unopened) < 0) {
        set_failure(op, &w->unopened);
    }
}

/* Opening is told on its own, since the rest may take longer. The order stays. */
static void work_through(struct worker *w, struct list *batch)
{
    struct list first;
    struct kv_op *op = kv_op_at(batch->next);

    list_init(&first);
    if (op->kind == KV_OP_OPEN) {
        open_file(w, op);
        list_remove(&op->link);
        list_push(&first, &op->link);
        give_back(w->kv, &first);
    }
    if (!list_empty(batch)) {
        transact(w, batch);
    }
}

void kv_thread(void *arg)
{
    struct worker w = {.kv = arg};
    struct kv_op *last = NULL; /* once it is known */
    struct list batch;

    list_init(&batch);
    while (last == NULL) {
        if (!take(&w, &batch)) {
            sweep_idly(&w);
            continue;
        }
        if (kv_op_at(batch.prev)->kind == KV_OP_CLOSE) {
            last = kv_op_at(batch.prev);
            list_remove(&last->link);
        }
        if (!list_empty(&batch)) {
            work_through(&w, &batch);
        }
        if (last != NULL) {
            kv_file_close(w.file);
            list_push(&batch, &last->link);
        }
        give_back(w.kv, &batch);
    }
}
