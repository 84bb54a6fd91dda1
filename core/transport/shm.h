/*
 * A piece of memory that several processes can hold: a memfd (memfd_create(2)), mapped when
 * somebody first looks at it. The kernel frees it when the last holder, in whatever process, has
 * let go, also by dying.
 *
 * Its length is sealed: nobody can shrink it under a reader, whose next look would be a SIGBUS. The
 * bytes are not: they may change while they are read, so what is to be trusted is copied first.
 *
 * Counted: every shm_new, shm_adopt and shm_ref wants one shm_unref. The count and the mapping may
 * be used by several threads.
 */
#ifndef TITAN_TRANSPORT_SHM_H
#define TITAN_TRANSPORT_SHM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shm {
    atomic_uint refs;
    int fd;
    size_t len;
    uint64_t inode; /* the same memory has the same, whatever descriptor leads there */
    _Atomic(uint8_t *) at;
    atomic_size_t ready; /* so much of it, from its beginning, has its pages in our mapping */
};

/* Zeroed memory. NULL, and errno says why, when memory or descriptors are out. */
struct shm *shm_new(const char *name, size_t len);

/* What another process has sent. Takes the descriptor over in any case. NULL: errno is EPROTO when
 * that is no memory of this kind, else ENOMEM. */
struct shm *shm_adopt(int fd);

struct shm *shm_ref(struct shm *s);

/* Sets *s to NULL; does nothing when it is. */
void shm_unref(struct shm **s);

/* Its bytes, for reading and writing; NULL when there is no room in the address space. Of a length
 * of 0 there is nothing to see, which is not NULL. */
uint8_t *shm_at(struct shm *s);

/* All of this part, which is mapped, is about to be read or written: its pages come in one go, a
 * system call instead of a fault for each. Goes on where the last one ended; what lies elsewhere
 * has its faults. May be called each time: it remembers. */
void shm_prefault(struct shm *s, size_t offset, size_t len);

/* Frees the pages from `from` on; they are zero when they are next looked at. */
void shm_clear(struct shm *s, size_t from);

bool shm_is_same(const struct shm *a, const struct shm *b);

#endif
