/* How the allocator of Titan's own programs is set. */
#ifndef TITAN_CLI_MEMORY_H
#define TITAN_CLI_MEMORY_H

#ifdef __GLIBC__
#include <malloc.h>
#endif

#define KEPT_FREE_LEN (8 << 20)
#define OWN_MAPPING_LEN (4 << 20)

/* First of all. Messages of a MiB come and go in buffers that grow and are freed. By default their
 * memory goes back to the kernel each time, and each page of it costs a fault when it comes again:
 * a stream of such messages was eight times slower for it. */
static inline void keep_freed_memory(void)
{
#ifdef __GLIBC__
    (void)mallopt(M_TRIM_THRESHOLD, KEPT_FREE_LEN);
    (void)mallopt(M_MMAP_THRESHOLD, OWN_MAPPING_LEN);
#endif
}

#endif
