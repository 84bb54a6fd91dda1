#include "script/state.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/size_text.h"
#include "script/chunks.h"

#define GRAIN ((size_t)16)
#define FINE_MAX 512   /* up to here a class every GRAIN, from here on four a doubling */
#define SMALL_MAX 4096 /* larger blocks are malloc's */
#define FINE_CLASSES ((unsigned)(FINE_MAX / GRAIN))
/* The buffers of the auxiliary library (string.rep, table.concat) ask once and give up, whatever
 * garbage there is. Of what may be one, which is all but new objects, one part in so many more is
 * granted: the object that is made of it then has the garbage collected. */
#define OVERDRAFT 8
#define PAGE_LEN ((size_t)4096)
#define PAGES (CHUNK_LEN / PAGE_LEN)
#define UNBOUNDED (SIZE_MAX / 2)
#define WORD_LEN 40 /* of strings with their header: up to here one may be anybody's word */
#define CLASSES (FINE_CLASSES + 4 * 3)

/* At the start of each chunk. */
struct chunk {
    struct chunk *next;
    bool sealed;
    bool brief;
    unsigned live;           /* of a brief one: blocks that are in use, */
    uint16_t live_in[PAGES]; /* and by the page that they lie in */
};

#define FIRST_AT ((sizeof(struct chunk) + GRAIN - 1) / GRAIN * GRAIN)

/* A block that is free, in place of what it held. */
struct free_block {
    struct free_block *next;
};

/* What was refused last; of nothing, when it was the machine that had no more. */
struct refusal {
    size_t used_len;
    size_t max_len;
    size_t wanted_len;
};

struct state_memory {
    struct free_block *free[CLASSES];
    uint64_t has_free;             /* a bit for each class that may have a free block */
    uint8_t *at, *end;             /* what is left of the newest chunk, */
    uint8_t *brief_at, *brief_end; /* and of the newest brief one */
    struct chunk *chunks;
    struct chunks *from; /* or NULL */
    size_t used;         /* bytes that Lua has now, as it asked for them */
    size_t bound;        /* how many it may have: max_len while the limit bites, else UNBOUNDED */
    size_t max_len;
    struct refusal refused;
    bool bites;
    bool pressed;
    bool starts; /* until state_rest: memory comes before speed */
    enum state_span span;
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

static struct chunk *chunk_add(struct state_memory *m, bool brief)
{
    struct chunk *chunk = chunk_take(m->from);

    if (chunk != NULL) {
        *chunk = (struct chunk){.next = m->chunks, .brief = brief};
        m->chunks = chunk;
    }
    return chunk;
}

static void put(struct state_memory *m, uint8_t *at, unsigned class)
{
    struct free_block *block = (struct free_block *)(void *)at;

    block->next = m->free[class];
    m->free[class] = block;
    m->has_free |= (uint64_t)1 << class;
}

/* What is left of a block that was split, in as few as there can be. */
static void put_rest(struct state_memory *m, uint8_t *at, size_t len)
{
    while (len > 0) {
        unsigned class = class_of(len);

        if (class > 0 && size_of(class) > len) {
            class --;
        }
        put(m, at, class);
        at += size_of(class);
        len -= size_of(class);
    }
}

/* Of the smallest free block that has the room. Blocks are not put together again, so this is for
 * the start alone: then much is free that never will be asked for in that size again. */
static void *split(struct state_memory *m, unsigned class)
{
    uint64_t larger = m->has_free & ~(((uint64_t)2 << class) - 1);

    while (larger != 0) {
        unsigned from = (unsigned)__builtin_ctzll(larger);
        struct free_block *block = m->free[from];

        if (block != NULL) {
            m->free[from] = block->next;
            put_rest(m, (uint8_t *)block + size_of(class), size_of(from) - size_of(class));
            return block;
        }
        larger &= larger - 1;
        m->has_free &= ~((uint64_t)1 << from);
    }
    return NULL;
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
    block = m->starts ? split(m, class) : NULL;
    if (block != NULL) {
        return block;
    }
    if ((size_t)(m->end - m->at) < size) {
        struct chunk *chunk = chunk_add(m, false);

        if (chunk == NULL) {
            return NULL;
        }
        m->at = (uint8_t *)chunk + FIRST_AT;
        m->end = (uint8_t *)chunk + CHUNK_LEN;
    }
    m->at += size;
    return m->at - size;
}

static struct chunk *chunk_of(void *at)
{
    return (struct chunk *)((uintptr_t)at & ~(CHUNK_LEN - 1));
}

static uint16_t *live_in_page_of(void *at)
{
    return &chunk_of(at)->live_in[(uintptr_t)at % CHUNK_LEN / PAGE_LEN];
}

static uint8_t *page_end(uint8_t *at)
{
    return at + (PAGE_LEN - (uintptr_t)at % PAGE_LEN) % PAGE_LEN;
}

/* Where a block may begin that no page's end goes through. */
static uint8_t *in_one_page(uint8_t *at, size_t size)
{
    uint8_t *end = page_end(at);

    return end != at && (size_t)(end - at) < size ? end : at;
}

/* From a chunk whose pages are given back: what is freed there is not used again. */
static void *brief_new(struct state_memory *m, size_t len)
{
    size_t size = size_of(class_of(len));
    uint8_t *at = in_one_page(m->brief_at, size);

    if ((size_t)(m->brief_end - at) < size) {
        struct chunk *chunk = chunk_add(m, true);

        if (chunk == NULL) {
            return NULL;
        }
        at = in_one_page((uint8_t *)chunk + FIRST_AT, size);
        m->brief_end = (uint8_t *)chunk + CHUNK_LEN;
    }
    chunk_of(at)->live++;
    (*live_in_page_of(at))++;
    m->brief_at = at + size;
    return at;
}

static void small_free(struct state_memory *m, void *at, size_t len)
{
    struct chunk *chunk = chunk_of(at);

    if (chunk->brief) {
        chunk->live--;
        (*live_in_page_of(at))--;
    } else if (!chunk->sealed) {
        put(m, at, class_of(len));
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

/* What is brief and grows stays so, whatever is made meanwhile. */
static bool is_brief(const struct state_memory *m, void *at, size_t old, size_t len)
{
    return m->starts && old <= SMALL_MAX && len <= SMALL_MAX && chunk_of(at)->brief;
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
    moved = is_brief(m, at, old, len) ? brief_new(m, len) : block_new(m, len);
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

static void release(struct state_memory *m, void *at, size_t old)
{
    m->used -= old;
    if (only_malloc) {
        free(at);
    } else if (at != NULL && old > 0) {
        block_free(m, at, old);
    }
}

static bool is_over(const struct state_memory *m, size_t bound, size_t more)
{
    return m->used >= bound || more > bound - m->used;
}

/* Off the hot path. Lua collects its garbage then, asks again, and raises its memory error. */
static void *refuse(struct state_memory *m, size_t len)
{
    m->refused = (struct refusal){m->used, m->max_len, len};
    m->pressed = true;
    return NULL;
}

/* lua_Alloc: `old` is the block's size, or a type tag when there is none. */
static void *allocate(void *ctx, void *at, size_t old, size_t len)
{
    struct state_memory *m = ctx;
    bool is_object = at == NULL && old != 0;
    bool may_stay = old == LUA_TSTRING && (m->span != STATE_BRIEF_STRINGS || len <= WORD_LEN);
    bool begins_brief = m->span != STATE_LASTING && at == NULL && len <= SMALL_MAX && !may_stay;
    void *got;

    if (at == NULL) {
        old = 0;
    }
    if (len == 0) {
        release(m, at, old);
        return NULL;
    }
    if (len > old && is_over(m, m->bound, len - old) &&
        (is_object || is_over(m, m->bound + m->bound / OVERDRAFT, len - old))) {
        return refuse(m, len - old);
    }
    if (only_malloc) {
        got = realloc(at, len);
    } else if (begins_brief) {
        got = brief_new(m, len);
    } else {
        got = at == NULL ? block_new(m, len) : block_resize(m, at, old, len);
    }
    if (got == NULL) {
        m->refused = (struct refusal){0}; /* the machine's memory is out, not the limit's */
        return NULL;
    }
    m->used += len - old; /* modulo 2^64: it may have shrunk */
    return got;
}

static void memory_free(struct state_memory *m)
{
    while (m->chunks != NULL) {
        struct chunk *chunk = m->chunks;

        m->chunks = chunk->next;
        chunk_give(m->from, chunk);
    }
    free(m);
}

lua_State *state_new(struct state_memory **memory, struct chunks *chunks)
{
    struct state_memory *m = calloc(1, sizeof *m);
    lua_State *L;

    if (m == NULL) {
        return NULL;
    }
    m->from = chunks;
    m->starts = chunks != NULL;
    m->bound = UNBOUNDED;
    L = lua_newstate(allocate, m);
    if (L == NULL) {
        memory_free(m);
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

enum state_span state_make(struct state_memory *m, enum state_span span)
{
    enum state_span before = m->span;

    m->span = m->starts ? span : STATE_LASTING;
    return before;
}

static void give_back(uint8_t *at, const uint8_t *end)
{
    if (at < end) {
        (void)madvise(at, (size_t)(end - at), MADV_DONTNEED);
    }
}

/* The first one has the counts. */
static void give_back_pages(struct chunk *chunk)
{
    for (unsigned i = 1; i < PAGES; i++) {
        uint8_t *at = (uint8_t *)chunk + i * PAGE_LEN;

        if (chunk->live_in[i] == 0) {
            give_back(at, at + PAGE_LEN);
        }
    }
}

void state_rest(struct state_memory *m)
{
    struct chunk **link = &m->chunks;

    while (*link != NULL) {
        struct chunk *chunk = *link;

        if (chunk->brief && chunk->live == 0) {
            *link = chunk->next;
            chunk_give(m->from, chunk);
            continue;
        }
        if (chunk->brief) {
            give_back_pages(chunk);
        }
        link = &chunk->next;
    }
    if (m->starts) { /* another state may have used the chunk before */
        give_back(page_end(m->at), m->end);
    }
    m->starts = false;
    m->span = STATE_LASTING;
    m->brief_at = NULL;
    m->brief_end = NULL;
}

/* ---- the limit ---- */

struct state_memory *state_memory_of(lua_State *L)
{
    void *ctx;

    return lua_getallocf(L, &ctx) == allocate ? ctx : NULL;
}

size_t state_used(const struct state_memory *m)
{
    return m->used;
}

static void set_bound(struct state_memory *m)
{
    m->bound = m->bites && m->max_len > 0 ? m->max_len : UNBOUNDED;
}

void state_limit(struct state_memory *m, size_t max_len)
{
    m->max_len = max_len;
    m->refused = (struct refusal){0};
    set_bound(m);
}

bool state_bite(struct state_memory *m, bool bites)
{
    bool before = m->bites;

    m->bites = bites;
    set_bound(m);
    return before;
}

bool state_describe_refusal(const struct state_memory *m, struct failure *why)
{
    char used[SIZE_TEXT], max[SIZE_TEXT], wanted[SIZE_TEXT];

    if (m->refused.wanted_len == 0) {
        return false;
    }
    fail(why, TITAN_E_LIMIT_EXCEEDED,
         "the Lua memory of the worker is at its limit: %s of %s are in use, and %s more were "
         "needed; hold less at a time, or raise resources.max_memory (of a process's the Lua heap "
         "has "
         "three quarters)",
         size_text(m->refused.used_len, used), size_text(m->refused.max_len, max),
         size_text(m->refused.wanted_len, wanted));
    return true;
}

bool state_take_pressure(struct state_memory *m)
{
    bool pressed = m->pressed;

    m->pressed = false;
    return pressed;
}
