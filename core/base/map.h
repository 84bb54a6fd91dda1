/* A hash map from strings to nodes that live inside their owners; the key is the owner's, too. */
#ifndef TITAN_BASE_MAP_H
#define TITAN_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_node {
    struct map_node *next;
    const char *key;
    size_t key_len;
    uint32_t hash;
};

struct map {
    struct map_node **buckets;
    uint32_t len, cap; /* cap is zero or a power of two */
    uint32_t seed; /* to be set while it is empty, to a secret, where keys may be chosen by those
                    * who would like them to collide */
};

/* The key must not be in the map yet. False when memory is out. */
bool map_insert(struct map *m, struct map_node *node, const char *key, size_t key_len);

struct map_node *map_find(const struct map *m, const char *key, size_t key_len);

/* Does nothing when the node is not in the map. */
void map_remove(struct map *m, struct map_node *node);

/* Any of them; NULL when there is none. */
struct map_node *map_first(const struct map *m);

void map_free(struct map *m);

#endif
