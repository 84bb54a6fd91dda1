/*
 * What a process uses, as the kernel counts it: read from /proc, without asking the process.
 *
 * By its pid, which is safe as long as the process is a child that has not been reaped: until then
 * not even a dead one's number can become somebody else's. So the manager asks only for processes
 * whose pidfd it still has.
 */
#ifndef TITAN_MANAGER_USAGE_H
#define TITAN_MANAGER_USAGE_H

#include <stdint.h>
#include <sys/types.h>

struct usage {
    uint64_t user_ns;   /* of all its threads, also those that ended; counted in ticks of the */
    uint64_t system_ns; /* kernel, mostly 10 ms */
    uint64_t rss_len;   /* bytes of its memory that are in RAM, shared ones included */
    uint32_t threads;
};

/* 0 or -errno: -ESRCH when there is no such process, -EPROTO when the kernel's words make no sense.
 * A zombie still has its times, and no memory. */
int usage_read(pid_t pid, struct usage *u);

/* Proportional share of memory in bytes: what it shares with n processes counts as 1/n of it. The
 * kernel walks through the whole memory of the process for that, which must not map anything
 * meanwhile: some ten microseconds a small process, milliseconds a large one. 0 or -errno; -ESRCH
 * for a zombie, too, -EACCES for a process of somebody else. */
int usage_pss(pid_t pid, uint64_t *pss_len);

#endif
