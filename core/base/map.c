#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 16

/* FNV-1a, 32 bits (Fowler, Noll, Vo; http://www.isthe.com/chongo/tech/comp/fnv/), from a start that
 * the seed moves. Most keys are names that the program's own author chose, and need none. */
static uint32_t hash_of(const struct map *m, const char *key, size_t len)
{
    uint32_t h = 2166136261u ^ m->seed;

    for (size_t i = 0; i < len; i++) {
        h = (h ^ (unsigned char)key[i]) * 16777619u;
    }
    return h;
}

static void link_node(struct map *m, struct map_node *node)
{
    struct map_node **bucket = &m->buckets[node->hash & (m->cap - 1)];

    node->next = *bucket;
    *bucket = node;
}

static bool grow(struct map *m)
{
    struct map old = *m;

    m->cap = old.cap ? old.cap * 2 : FIRST_CAP;
    m->buckets = calloc(m->cap, sizeof(struct map_node *));
    if (m->buckets == NULL) {
        *m = old;
        return false;
    }
    for (uint32_t i = 0; i < old.cap; i++) {
        struct map_node *node = old.buckets[i];

        while (node != NULL) {
            struct map_node *next = node->next;

            link_node(m, node);
            node = next;
        }
    }
    free(old.buckets);
    return true;
}

bool map_insert(struct map *m, struct map_node *node, const char *key, size_t key_len)
{
    if (m->len >= m->cap && !grow(m)) {
        return false;
    }
    node->key = key;
    node->key_len = key_len;
    node->hash = hash_of(m, key, key_len);
    link_node(m, node);
    m->len++;
    return true;
}

struct map_node *map_find(const struct map *m, const char *key, size_t key_len)
{
    uint32_t hash = hash_of(m, key, key_len);
    struct map_node *node = m->cap ? m->buckets[hash & (m->cap - 1)] : NULL;

    while (node != NULL && (node->hash != hash || node->key_len != key_len ||
                            memcmp(node->key, key, key_len) != 0)) {
        node = node->next;
    }
    return node;
}

void map_remove(struct map *m, struct map_node *node)
{
    struct map_node **at = m->cap ? &m->buckets[node->hash & (m->cap - 1)] : NULL;

    while (at != NULL && *at != NULL) {
        if (*at == node) {
            *at = node->next;
            m->len--;
            return;
        }
        at = &(*at)->next;
    }
}

struct map_node *map_first(const struct map *m)
{
    for (uint32_t i = 0; i < m->cap && m->len > 0; i++) {
        if (m->buckets[i] != NULL) {
            return m->buckets[i];
        }
    }
    return NULL;
}

void map_free(struct map *m)
{
    free(m->buckets);
    memset(m, 0, sizeof *m);
}
