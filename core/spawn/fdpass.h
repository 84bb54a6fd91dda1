/* Whole messages with descriptors over a SOCK_SEQPACKET socket (unix(7), SCM_RIGHTS). */
#ifndef TITAN_SPAWN_FDPASS_H
#define TITAN_SPAWN_FDPASS_H

#include <stddef.h>
#include <sys/types.h>

#define FDPASS_MAX 8

/* Sends all or nothing; retries after a signal. 0 or -errno. The descriptors stay the caller's. */
int fdpass_send(int sock, const void *bytes, size_t len, const int *fds, size_t fd_count);

/*
 * Receives one message, at most `len` bytes and exactly `fd_count` descriptors, which are
 close-on-exec
 * and the caller's. Returns its length (0: the other side has closed), or -errno; -EMFILE when
 * descriptors were lost because there was no room for them (then none is left open and fds are -1).
 */
ssize_t fdpass_receive(int sock, void *bytes, size_t len, int *fds, size_t fd_count, int flags);

void close_all(int *fds, size_t count); /* those that are not -1, which they become */

#endif
