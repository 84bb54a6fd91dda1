#include "spawn/directory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"
#include "spawn/thread.h"

struct entry {
    struct map_node by_name;
    struct list link;      /* in directory.entries */
    struct thread *thread; /* held */
    char name[];
};

struct directory {
    atomic_uint holders;
    pthread_mutex_t lock; /* of all below */
    struct map names;
    struct list entries; /* the same */
};

static struct entry *entry_of(struct map_node *node)
{
    return node != NULL ? (struct entry *)(void *)((char *)node - offsetof(struct entry, by_name))
                        : NULL;
}

static struct entry *find(const struct directory *d, const char *name)
{
    return entry_of(map_find(&d->names, name, strlen(name)));
}

struct directory *directory_new(void)
{
    struct directory *d = calloc(1, sizeof *d);

    if (d != NULL) {
        atomic_init(&d->holders, 1);
        list_init(&d->entries);
        pthread_mutex_init(&d->lock, NULL);
    }
    return d;
}

struct directory *directory_hold(struct directory *d)
{
    atomic_fetch_add_explicit(&d->holders, 1, memory_order_relaxed);
    return d;
}

/* A thread that is entered holds the directory: the last holder finds it empty. */
void directory_release(struct directory **held)
{
    struct directory *d = *held;

    *held = NULL;
    if (d != NULL && atomic_fetch_sub_explicit(&d->holders, 1, memory_order_acq_rel) == 1) {
        map_free(&d->names);
        pthread_mutex_destroy(&d->lock);
        free(d);
    }
}

static struct entry *entry_new(const char *name, struct thread *t)
{
    size_t size = strlen(name) + 1;
    struct entry *e = malloc(sizeof *e + size);

    if (e != NULL) {
        memcpy(e->name, name, size);
        e->thread = t;
        list_init(&e->link);
    }
    return e;
}

/* The number is odd while it is entered. */
bool directory_enter(struct directory *d, const char *name, struct thread *t)
{
    struct entry *e = entry_new(name, t);

    if (e == NULL) {
        return false;
    }
    pthread_mutex_lock(&d->lock);
    if (!map_insert(&d->names, &e->by_name, e->name, strlen(e->name))) {
        pthread_mutex_unlock(&d->lock);
        free(e);
        return false;
    }
    list_push(&d->entries, &e->link);
    thread_hold(t);
    atomic_fetch_add_explicit(&t->entry, 1, memory_order_relaxed);
    pthread_mutex_unlock(&d->lock);
    return true;
}

void directory_strike(struct directory *d, const char *name, const struct thread *t)
{
    struct thread *held = NULL;
    struct entry *e;

    pthread_mutex_lock(&d->lock);
    e = find(d, name);
    if (e != NULL && e->thread == t) {
        map_remove(&d->names, &e->by_name);
        list_remove(&e->link);
        held = e->thread;
        atomic_fetch_add_explicit(&held->entry, 1, memory_order_relaxed);
        free(e);
    }
    pthread_mutex_unlock(&d->lock);
    thread_release(&held);
}

struct thread *directory_find(struct directory *d, const char *name, unsigned *entry)
{
    struct thread *t = NULL;
    const struct entry *e;

    pthread_mutex_lock(&d->lock);
    e = find(d, name);
    if (e != NULL) {
        t = e->thread;
        thread_hold(t);
        *entry = atomic_load_explicit(&t->entry, memory_order_relaxed);
    }
    pthread_mutex_unlock(&d->lock);
    return t;
}
