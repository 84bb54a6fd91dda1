/*
 * Memory that goes along with the bytes of a stream socket: descriptors by SCM_RIGHTS (unix(7)).
 *
 * The kernel hands descriptors over with the first byte they were sent with and ends a read behind
 * it, so they come in order with the bytes. Those of one message are sent together, with its first
 * byte: what the receiver cannot take of them (MSG_CTRUNC) is missing at the end of this batch.
 */
#ifndef TITAN_TRANSPORT_UNIX_SHM_H
#define TITAN_TRANSPORT_UNIX_SHM_H

#include <sys/types.h>

#include "base/buf.h"
#include "titan.h"
#include "transport/shm.h"

struct outgoing_shm {
    struct buf queue; /* of struct parcel */
};

/* The batch goes along with the byte at `position` of all that is ever sent. */
bool outgoing_shm_add(struct outgoing_shm *o, uint64_t position, struct shm *const *memory,
                      unsigned count);

/* Sends from `position` on, once, as send(2) does, up to the batch after the first one at the
 * most. ETOOMANYREFS: this user has too many descriptors under way, and should try again later. */
ssize_t outgoing_shm_send(struct outgoing_shm *o, int fd, uint64_t position, const uint8_t *bytes,
                          size_t len);
void outgoing_shm_free(struct outgoing_shm *o);

static inline size_t outgoing_shm_len(const struct outgoing_shm *o)
{
    return buf_len(&o->queue);
}

struct arrived_shm {
    struct buf queue; /* of int: descriptors; -1 where the rest of a batch is missing */
};

/* As recv(2) on `fd`; restarted after a signal. EPROTO: more came along than any message has. */
ssize_t arrived_shm_receive(struct arrived_shm *a, int fd, uint8_t *to, size_t room);

/* See channel_detach. */
int arrived_shm_take(struct arrived_shm *a, struct shm **memory, unsigned count);
void arrived_shm_free(struct arrived_shm *a);

static inline size_t arrived_shm_len(const struct arrived_shm *a)
{
    return buf_len(&a->queue);
}

#endif
