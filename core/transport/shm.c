#include "transport/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define PREFAULT_MIN ((size_t)64 << 10) /* a few faults cost no more than a call */
#define SEAL_EXEC 0x20                  /* which some systems add by themselves (vm.memfd_noexec) */

/* ftruncate past RLIMIT_FSIZE is not only refused: it is a SIGXFSZ. */
static bool is_too_large(size_t len)
{
    struct rlimit limit;

    return len > INT64_MAX || (getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
                               limit.rlim_cur != RLIM_INFINITY && len > limit.rlim_cur);
}

/* Owns the descriptor from success on. */
static struct shm *wrap(int fd)
{
    struct shm *s = calloc(1, sizeof *s);
    struct stat st;

    if (s == NULL || fstat(fd, &st) < 0) {
        free(s);
        return NULL;
    }
    atomic_init(&s->refs, 1);
    s->fd = fd;
    s->len = (size_t)st.st_size;
    s->inode = st.st_ino;
    return s;
}

static struct shm *close_because(int fd, int error)
{
    close(fd);
    errno = error;
    return NULL;
}

struct shm *shm_new(const char *name, size_t len)
{
    struct shm *s;
    int fd;

    if (is_too_large(len)) {
        errno = EFBIG;
        return NULL;
    }
    fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return NULL;
    }
    if (ftruncate(fd, (off_t)len) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0) {
        return close_because(fd, errno);
    }
    s = wrap(fd);
    return s != NULL ? s : close_because(fd, ENOMEM);
}

/* A memfd of plain pages, sealed as ours are and open for both: not one of huge pages, which can
 * be missing when they are touched, nor one sealed against writing. */
static bool is_ours(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    int seals = flags >= 0 ? fcntl(fd, F_GET_SEALS) : -1;
    struct statfs fs;

    return seals >= 0 && (seals & ~SEAL_EXEC) == SEALS && (flags & O_ACCMODE) == O_RDWR &&
           fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

struct shm *shm_adopt(int fd)
{
    struct shm *s;

    if (!is_ours(fd)) {
        return close_because(fd, EPROTO);
    }
    s = wrap(fd);
    return s != NULL ? s : close_because(fd, ENOMEM);
}

struct shm *shm_ref(struct shm *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void shm_unref(struct shm **s)
{
    struct shm *old = *s;
    uint8_t *at;

    *s = NULL;
    if (old == NULL || atomic_fetch_sub_explicit(&old->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    at = atomic_load_explicit(&old->at, memory_order_relaxed);
    if (at != NULL && old->len > 0) {
        munmap(at, old->len);
    }
    close(old->fd);
    free(old);
}

/* Two threads may look first at the same time: the mapping of one of them stays. */
uint8_t *shm_at(struct shm *s)
{
    static uint8_t nothing[1];
    uint8_t *at = atomic_load_explicit(&s->at, memory_order_acquire);
    uint8_t *mapped;

    if (at != NULL) {
        return at;
    }
    if (s->len == 0) {
        return nothing;
    }
    mapped = mmap(NULL, s->len, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (mapped == MAP_FAILED) {
        return NULL;
    }
    if (!atomic_compare_exchange_strong(&s->at, &at, mapped)) {
        munmap(mapped, s->len);
        return at;
    }
    return mapped;
}

void shm_prefault(struct shm *s, size_t offset, size_t len)
{
    size_t ready = atomic_load_explicit(&s->ready, memory_order_relaxed);
    size_t end = offset + len;
    uint8_t *at;

    if (end <= ready || offset > ready || end - ready < PREFAULT_MIN) {
        return;
    }
    at = atomic_load_explicit(&s->at, memory_order_relaxed);
    /* Also for writing: pages of shared memory are mapped for both at once. Systems before 5.14 do
     * not know it, and have the faults. */
    (void)madvise(at + ready, end - ready, MADV_POPULATE_READ);
    end -= end % (size_t)sysconf(_SC_PAGESIZE);
    atomic_store_explicit(&s->ready, end, memory_order_relaxed);
}

void shm_clear(struct shm *s, size_t from)
{
    if (atomic_load_explicit(&s->ready, memory_order_relaxed) > from) {
        atomic_store_explicit(&s->ready, from, memory_order_relaxed);
    }
    if (from < s->len) {
        (void)fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
                        (off_t)(s->len - from));
    }
}

bool shm_is_same(const struct shm *a, const struct shm *b)
{
    return a == b || (a->inode == b->inode && a->len == b->len);
}
