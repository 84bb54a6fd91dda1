/*
 * The way that large strings take beside a connection's bytes: an arena of ours, made with the
 * first of them and kept, and a look into the other side's.
 *
 * The other side is not trusted: it can write to what it reads, and hand back what it was not
 * given. It cannot make us read outside of its arena, nor keep one from shrinking under us.
 */
#ifndef TITAN_RPC_LANE_H
#define TITAN_RPC_LANE_H

#include "base/errors.h"
#include "rpc/arena.h"
#include "transport/channel.h"

struct lane;

/* The other side's arena, as long as somebody here reads in it. */
struct view {
    struct shm *memory;
    struct lane *lane; /* to give blocks back; NULL once that has ended */
    unsigned refs;
};

/* Zeroed, with a channel and its reactor, is one that was not used yet. */
struct lane {
    struct channel *channel; /* NULL once closed */
    struct reactor *reactor;
    struct arena *ours;
    bool announced; /* the other side has been sent it */
    struct view *theirs;
    bool theirs_missing; /* it was announced, and could not be received */
    struct timer trim;
};

/* Ends it: what is still read in the other side's arena stays. */
void lane_close(struct lane *l);

/* Copies the bytes to a block of ours and says where; -1 when there is no room for them, or nothing
 * can go along with this connection. */
int64_t lane_place(struct lane *l, const void *bytes, size_t len);
void lane_take_back(struct lane *l, uint64_t offset);

/* ---- what the other side says ---- */

/* NULL, or what is wrong. */
const char *lane_hear_arena(struct lane *l);
const char *lane_hear_release(struct lane *l, int64_t block);

/* A block of the other side's that is read no more. Tells it, and lets the view go. */
void view_release(struct view *v, uint64_t offset);

#endif
