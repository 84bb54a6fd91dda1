#include "script/chunks.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

struct chunks {
    pthread_mutex_t lock; /* of all below */
    void *kept[CHUNKS_MOST];
    unsigned len;
};

struct chunks *chunks_new(void)
{
    struct chunks *c = calloc(1, sizeof *c);

    if (c != NULL) {
        pthread_mutex_init(&c->lock, NULL);
    }
    return c;
}

void chunks_free(struct chunks *c)
{
    while (c->len > 0) {
        munmap(c->kept[--c->len], CHUNK_LEN);
    }
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static void *map(size_t len)
{
    void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return at != MAP_FAILED ? at : NULL;
}

/* Twice the room, and what is too much is given back. */
static void *map_more(void)
{
    uint8_t *at = map(2 * CHUNK_LEN);
    size_t before;

    if (at == NULL) {
        return NULL;
    }
    before = (CHUNK_LEN - (uintptr_t)at % CHUNK_LEN) % CHUNK_LEN;
    if (before > 0) {
        munmap(at, before);
    }
    munmap(at + before + CHUNK_LEN, CHUNK_LEN - before);
    return at + before;
}

/* Next to an aligned one the kernel gives another that is aligned. */
static void *map_aligned(void)
{
    void *at = map(CHUNK_LEN);

    if (at != NULL && (uintptr_t)at % CHUNK_LEN != 0) {
        munmap(at, CHUNK_LEN);
        at = map_more();
    }
    return at;
}

static void *take_kept(struct chunks *c)
{
    void *chunk;

    pthread_mutex_lock(&c->lock);
    chunk = c->len > 0 ? c->kept[--c->len] : NULL;
    pthread_mutex_unlock(&c->lock);
    return chunk;
}

void *chunk_take(struct chunks *c)
{
    void *chunk = c != NULL ? take_kept(c) : NULL;

    return chunk != NULL ? chunk : map_aligned();
}

void chunk_give(struct chunks *c, void *chunk)
{
    if (c != NULL) {
        pthread_mutex_lock(&c->lock);
        if (c->len < CHUNKS_MOST) {
            c->kept[c->len++] = chunk;
            chunk = NULL;
        }
        pthread_mutex_unlock(&c->lock);
    }
    if (chunk != NULL) {
        munmap(chunk, CHUNK_LEN);
    }
}

void chunks_tidy(struct chunks *c)
{
    void *chunk = c;

    for (unsigned keep = chunks_kept(c) / 2; chunk != NULL && keep < chunks_kept(c);) {
        chunk = take_kept(c);
        if (chunk != NULL) {
            munmap(chunk, CHUNK_LEN);
        }
    }
}

unsigned chunks_kept(struct chunks *c)
{
    unsigned len;

    pthread_mutex_lock(&c->lock);
    len = c->len;
    pthread_mutex_unlock(&c->lock);
    return len;
}
