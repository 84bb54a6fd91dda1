#include "base/heap.h"

#include <stdlib.h>

static void set(struct heap *h, size_t i, struct heap_node *node)
{
    h->nodes[i] = node;
    node->place = i + 1;
}

static void sift_up(struct heap *h, size_t i, struct heap_node *node)
{
    while (i > 0) {
        size_t parent = (i - 1) / 2;

        if (h->nodes[parent]->key <= node->key) {
            break;
        }
        set(h, i, h->nodes[parent]);
        i = parent;
    }
    set(h, i, node);
}

static void sift_down(struct heap *h, size_t i, struct heap_node *node)
{
    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= h->len) {
            break;
        }
        if (child + 1 < h->len && h->nodes[child + 1]->key < h->nodes[child]->key) {
            child++;
        }
        if (node->key <= h->nodes[child]->key) {
            break;
        }
        set(h, i, h->nodes[child]);
        i = child;
    }
    set(h, i, node);
}

bool heap_insert(struct heap *h, struct heap_node *node)
{
    if (h->len == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : 16;
        struct heap_node **nodes = realloc(h->nodes, cap * sizeof(struct heap_node *));

        if (nodes == NULL) {
            return false;
        }
        h->nodes = nodes;
        h->cap = cap;
    }
    h->len++;
    sift_up(h, h->len - 1, node);
    return true;
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    size_t i;
    struct heap_node *last;

    if (node->place == 0) {
        return;
    }
    i = node->place - 1;
    node->place = 0;
    last = h->nodes[--h->len];
    if (last == node) {
        return;
    }
    if (last->key < node->key) {
        sift_up(h, i, last);
    } else {
        sift_down(h, i, last);
    }
}

void heap_free(struct heap *h)
{
    free(h->nodes);
    h->nodes = NULL;
    h->len = 0;
    h->cap = 0;
}
