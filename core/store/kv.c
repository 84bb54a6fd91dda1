#include "store/kv.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "store/kv_parts.h"

/* ---- what an operation is made of ---- */

static struct span copy_behind(uint8_t **at, struct span bytes)
{
    struct span copy = {*at, bytes.len};

    if (bytes.len > 0) {
        memcpy(*at, bytes.at, bytes.len);
    }
    *at += bytes.len;
    return copy;
}

static struct kv_op *new_op(enum kv_kind kind, struct span key, struct span value)
{
    struct kv_op *op = malloc(sizeof *op + key.len + value.len);
    uint8_t *behind = (uint8_t *)(op + 1);

    if (op == NULL) {
        return NULL;
    }
    memset(op, 0, sizeof *op);
    list_init(&op->link);
    op->kind = kind;
    op->key = copy_behind(&behind, key);
    op->value = copy_behind(&behind, value);
    return op;
}

static void free_op(struct kv_op *op)
{
    if (op != NULL) {
        free(op->text);
        free((void *)op->returned.at);
        free(op);
    }
}

static size_t cost(const struct kv_op *op)
{
    return op->key.len + op->value.len;
}

/* ---- to the thread ---- */

static void hand_over(struct flusher *flush)
{
    struct kv *kv = list_entry(flush, struct kv, flush);

    uv_mutex_lock(&kv->mutex);
    kv_splice(&kv->queue, &kv->fresh);
    uv_cond_signal(&kv->work);
    uv_mutex_unlock(&kv->mutex);
}

static void add(struct kv *kv, struct kv_op *op, struct kv_wait *w)
{
    op->wait = w;
    if (w != NULL) {
        w->op = op;
    }
    if (kv->waiting++ == 0) {
        uv_ref((uv_handle_t *)&kv->wake);
    }
    kv->waiting_bytes += cost(op);
    list_push(&kv->fresh, &op->link);
    reactor_flush_later(kv->reactor, &kv->flush);
}

static int check_room(const struct kv *kv, size_t len, struct failure *why)
{
    if (len > kv->options.max_waiting_bytes) {
        return fail(why, TITAN_E_LIMIT_EXCEEDED,
                    "the store %s takes %zu bytes of key and value at the most, not %zu", kv->path,
                    kv->options.max_waiting_bytes, len);
    }
    if (kv->waiting >= kv->options.max_waiting ||
        len > kv->options.max_waiting_bytes - kv->waiting_bytes) {
        return fail(why, TITAN_E_OVERLOADED,
                    "the store %s is behind: %zu operations with %zu bytes wait already", kv->path,
                    kv->waiting, kv->waiting_bytes);
    }
    return TITAN_OK;
}

/* NULL, with `why`, when there is no room. */
static struct kv_op *make(struct kv *kv, enum kv_kind kind, struct span key, struct span value,
                          struct failure *why)
{
    struct kv_op *op;

    if (check_room(kv, key.len + value.len, why) < 0) {
        return NULL;
    }
    op = new_op(kind, key, value);
    if (op == NULL) {
        fail(why, TITAN_E_LIMIT_EXCEEDED, "the store %s: out of memory", kv->path);
    }
    return op;
}

int kv_get(struct kv *kv, struct span key, struct kv_wait *w, struct failure *why)
{
    struct failure own;
    struct kv_op *op = make(kv, KV_OP_GET, key, (struct span){NULL, 0}, why ? why : &own);

    if (op == NULL) {
        return why ? why->code : own.code;
    }
    add(kv, op, w);
    return TITAN_OK;
}

int kv_put(struct kv *kv, enum kv_mode mode, struct span key, struct span value, uint64_t ttl_ms,
           struct kv_wait *w, struct failure *why)
{
    struct failure own;
    struct kv_op *op = make(kv, KV_OP_PUT, key, value, why ? why : &own);

    if (op == NULL) {
        return why ? why->code : own.code;
    }
    op->mode = mode;
    op->ttl_ms = ttl_ms;
    add(kv, op, w);
    return TITAN_OK;
}

int kv_remove(struct kv *kv, struct span key, struct kv_wait *w, struct failure *why)
{
    struct failure own;
    struct kv_op *op = make(kv, KV_OP_REMOVE, key, (struct span){NULL, 0}, why ? why : &own);

    if (op == NULL) {
        return why ? why->code : own.code;
    }
    add(kv, op, w);
    return TITAN_OK;
}

/* ---- from the thread ---- */

void kv_forget(struct kv_wait *w)
{
    if (w->op != NULL) {
        w->op->wait = NULL;
        w->op = NULL;
    }
}

static void tell(struct kv_op *op)
{
    struct kv_wait *w = op->wait;
    struct kv_answer answer = {.found = op->found, .value = op->returned};
    struct failure failure;

    if (w != NULL) {
        if (op->code < 0) {
            failure_set(&failure, op->code, "%s", op->text ? op->text : titan_strerror(op->code));
            answer.failure = &failure;
        }
        w->op = NULL;
        w->fn(w, &answer);
    }
    free_op(op);
}

static void free_kv(struct kv *kv)
{
    uv_cond_destroy(&kv->work);
    uv_mutex_destroy(&kv->mutex);
    free_op(kv->close);
    free(kv->path);
    free(kv);
}

static void wake_closed(uv_handle_t *handle)
{
    struct kv *kv = handle->data;

    kv->reactor->open--;
    free_kv(kv);
}

/* Each of these frees the operation, and may call anything, kv_close among others. */
static void deliver(uv_async_t *handle)
{
    struct kv *kv = handle->data;
    struct list done;

    list_init(&done);
    uv_mutex_lock(&kv->mutex);
    kv_splice(&done, &kv->done);
    uv_mutex_unlock(&kv->mutex);
    while (!list_empty(&done)) {
        struct kv_op *op = kv_op_at(done.next);

        list_remove(&op->link);
        kv->waiting_bytes -= cost(op);
        if (--kv->waiting == 0) {
            uv_unref((uv_handle_t *)&kv->wake);
        }
        if (op->kind == KV_OP_CLOSE) {
            uv_thread_join(&kv->thread);
            uv_close((uv_handle_t *)&kv->wake, wake_closed);
        }
        tell(op);
    }
}

/* ---- life ---- */

/* Signals are the loop's thread's. A write beyond the limit of file sizes then fails, and sends
 * nothing that kills. */
static int start_thread(struct kv *kv)
{
    sigset_t all, before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = uv_thread_create(&kv->thread, kv_thread, kv);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

/* Everything but the handle and the thread; NULL when memory is out. */
static struct kv *new_kv(struct reactor *r, const char *path, const struct kv_options *options)
{
    struct kv *kv = calloc(1, sizeof *kv);

    if (kv == NULL) {
        return NULL;
    }
    kv->reactor = r;
    kv->options = *options;
    kv->path = strdup(path);
    kv->close = new_op(KV_OP_CLOSE, (struct span){NULL, 0}, (struct span){NULL, 0});
    if (kv->path == NULL || kv->close == NULL || uv_mutex_init(&kv->mutex) < 0) {
        free_op(kv->close);
        free(kv->path);
        free(kv);
        return NULL;
    }
    if (uv_cond_init(&kv->work) < 0) {
        uv_mutex_destroy(&kv->mutex);
        free_op(kv->close);
        free(kv->path);
        free(kv);
        return NULL;
    }
    flusher_init(&kv->flush, hand_over);
    list_init(&kv->fresh);
    list_init(&kv->queue);
    list_init(&kv->done);
    return kv;
}

int kv_open(struct kv **kv, struct reactor *r, const char *path, const struct kv_options *options,
            struct kv_wait *w, struct failure *why)
{
    struct kv *made = new_kv(r, path, options);
    struct kv_op *op = new_op(KV_OP_OPEN, (struct span){NULL, 0}, (struct span){NULL, 0});

    if (made == NULL || op == NULL || uv_async_init(r->uv, &made->wake, deliver) < 0) {
        free_op(op);
        if (made != NULL) {
            free_kv(made);
        }
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "the store %s: out of memory or descriptors",
                    path);
    }
    made->wake.data = made;
    uv_unref((uv_handle_t *)&made->wake);
    r->open++;
    if (start_thread(made) < 0) {
        free_op(op);
        uv_close((uv_handle_t *)&made->wake, wake_closed);
        return fail(why, TITAN_E_LIMIT_EXCEEDED, "the store %s: too many threads", path);
    }
    add(made, op, w);
    *kv = made;
    return TITAN_OK;
}

/* At once: the turn may never end any more. */
void kv_close(struct kv **kv, struct kv_wait *w)
{
    struct kv *closing = *kv;
    struct kv_op *op;

    if (closing == NULL) {
        return;
    }
    *kv = NULL;
    op = closing->close;
    closing->close = NULL;
    atomic_store(&closing->closing, true);
    add(closing, op, w);
    flusher_cancel(&closing->flush);
    hand_over(&closing->flush);
}
