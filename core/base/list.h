/* An intrusive doubly linked ring: the head is a node, too; an unlinked node points to itself. */
#ifndef TITAN_BASE_LIST_H
#define TITAN_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct list {
    struct list *next, *prev;
};

#define list_entry(node, type, member) ((type *)((uintptr_t)(node)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->next = l;
    l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_push(struct list *head, struct list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

/* Safe on a node that is not linked. */
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* Moves all of `from`, in order, to before the first of `to`. */
static inline void list_put_first(struct list *to, struct list *from)
{
    while (!list_empty(from)) {
        struct list *node = from->prev;

        list_remove(node);
        list_push(to->next, node);
    }
}

/* `to`, which was nothing yet, becomes what `from` was; that is empty then. */
static inline void list_take(struct list *to, struct list *from)
{
    list_init(to);
    if (!list_empty(from)) {
        *to = *from;
        to->next->prev = to;
        to->prev->next = to;
        list_init(from);
    }
}

#endif
