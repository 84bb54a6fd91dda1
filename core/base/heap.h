/*
 * A binary min-heap of nodes that live inside their owners (Williams 1964). Each node knows its
 * place, so that any of them can be taken out in O(log n).
 */
#ifndef TITAN_BASE_HEAP_H
#define TITAN_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    uint64_t key;
    size_t place; /* 1-based; 0 while the node is in no heap */
};

struct heap {
    struct heap_node **nodes;
    size_t len, cap;
};

/* False when memory is out. The node must not be in a heap. */
bool heap_insert(struct heap *h, struct heap_node *node);

/* Does nothing when the node is in no heap. */
void heap_remove(struct heap *h, struct heap_node *node);

static inline struct heap_node *heap_first(const struct heap *h)
{
    return h->len ? h->nodes[0] : NULL;
}

void heap_free(struct heap *h);

#endif
