#include "script/state.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK_LEN ((size_t)64 * 1024) /* and its alignment: from a block to its chunk by a mask */
#define GRAIN ((size_t)16)
#define FINE_MAX 512   /* up to here a class every GRAIN, from here on four a doubling */
#define SMALL_MAX 4096 /* larger blocks are malloc's */
#define FINE_CLASSES ((unsigned)(FINE_MAX / GRAIN))
#define CLASSES (FINE_CLASSES + 4 * 3)

/* At the start of each chunk. */
struct chunk {
    struct chunk *next;
    bool sealed;
};

/* A block that is free, in place of what it held. */
struct free_block {
    struct free_block *next;
};

struct state_memory {
    struct free_block *free[CLASSES];
    uint8_t *at, *end; /* what is left of the newest chunk */
    struct chunk *chunks;
};

static unsigned class_of(size_t len)
{
    unsigned top; /* the highest bit of len - 1 */

    if (len <= FINE_MAX) {
        return (unsigned)((len - 1) / GRAIN);
    }
    top = 63 - (unsigned)__builtin_clzll(len - 1);
    return FINE_CLASSES + (top - 9) * 4 + (unsigned)((len - 1) >> (top - 2) & 3);
}

/* The largest length of a class. */
static size_t size_of(unsigned class)
{
    unsigned coarse;

    if (class < FINE_CLASSES) {
        return ((size_t) class + 1) * GRAIN;
    }
    coarse = class - FINE_CLASSES;
    return (size_t)(coarse % 4 + 5) << (coarse / 4 + 7);
}

/* An aligned chunk: twice the room, and what is too much is given back. */
static struct chunk *chunk_map(void)
{
    uint8_t *at =
        mmap(NULL, 2 * CHUNK_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t before;

    if (at == MAP_FAILED) {
        return NULL;
    }
    before = (CHUNK_LEN - (uintptr_t)at % CHUNK_LEN) % CHUNK_LEN;
    if (before > 0) {
        munmap(at, before);
    }
    munmap(at + before + CHUNK_LEN, CHUNK_LEN - before);
    return (struct chunk *)(void *)(at + before);
}

static void *small_new(struct state_memory *m, size_t len)
{
    unsigned class = class_of(len);
    size_t size = size_of(class);
    struct free_block *block = m->free[class];

    if (block != NULL) {
        m->free[class] = block->next;
        return block;
    }
    if ((size_t)(m->end - m->at) < size) {
        struct chunk *chunk = chunk_map();

        if (chunk == NULL) {
            return NULL;
        }
        chunk->next = m->chunks;
        chunk->sealed = false;
        m->chunks = chunk;
        m->at = (uint8_t *)chunk + 2 * GRAIN;
        m->end = (uint8_t *)chunk + CHUNK_LEN;
    }
    m->at += size;
    return m->at - size;
}

static void small_free(struct state_memory *m, void *at, size_t len)
{
    const struct chunk *chunk = (const struct chunk *)((uintptr_t)at & ~(CHUNK_LEN - 1));
    struct free_block *block = at;

    if (!chunk->sealed) {
        block->next = m->free[class_of(len)];
        m->free[class_of(len)] = block;
    }
}

static void *block_new(struct state_memory *m, size_t len)
{
    return len <= SMALL_MAX ? small_new(m, len) : malloc(len);
}

static void block_free(struct state_memory *m, void *at, size_t len)
{
    if (len <= SMALL_MAX) {
        small_free(m, at, len);
    } else {
        free(at);
    }
}

static void *block_resize(struct state_memory *m, void *at, size_t old, size_t len)
{
    void *moved;

    if (old > SMALL_MAX && len > SMALL_MAX) {
        return realloc(at, len);
    }
    if (old <= SMALL_MAX && len <= SMALL_MAX && class_of(old) == class_of(len)) {
        return at;
    }
    moved = block_new(m, len);
    if (moved != NULL) {
        memcpy(moved, at, old < len ? old : len);
        block_free(m, at, old);
    }
    return moved;
}

/* The sanitizers should see each block as what it is. */
#if !defined(__has_feature)
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    __has_feature(address_sanitizer)
static const bool only_malloc = true;
#else
static const bool only_malloc = false;
#endif

/* lua_Alloc: `old` is the block's size, or a type tag when there is none. */
static void *allocate(void *ctx, void *at, size_t old, size_t len)
{
    struct state_memory *m = ctx;

    if (len == 0) {
        if (only_malloc) {
            free(at);
        } else if (at != NULL && old > 0) {
            block_free(m, at, old);
        }
        return NULL;
    }
    if (only_malloc) {
        return realloc(at, len);
    }
    return at == NULL ? block_new(m, len) : block_resize(m, at, old, len);
}

static void memory_free(struct state_memory *m)
{
    while (m->chunks != NULL) {
        struct chunk *chunk = m->chunks;

        m->chunks = chunk->next;
        munmap(chunk, CHUNK_LEN);
    }
    free(m);
}

lua_State *state_new(struct state_memory **memory)
{
    struct state_memory *m = calloc(1, sizeof *m);
    lua_State *L = m ? lua_newstate(allocate, m) : NULL;

    if (L == NULL) {
        if (m != NULL) {
            memory_free(m);
        }
        return NULL;
    }
    *memory = m;
    return L;
}

void state_close(lua_State *L, struct state_memory *memory)
{
    lua_close(L);
    memory_free(memory);
}

void state_seal(struct state_memory *m)
{
    for (struct chunk *chunk = m->chunks; chunk != NULL; chunk = chunk->next) {
        chunk->sealed = true;
    }
    memset(m->free, 0, sizeof m->free);
    m->at = NULL;
    m->end = NULL;
}
