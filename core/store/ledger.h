/*
 * Values that live for a while and claims on keys, in memory: what lua/titan/store/memory.lua
 * promises of them, for whoever need not wait. Who waits for a claim is not known here: its claim
 * is taken over (ledger_take_over) by whoever keeps the order of those who wait.
 *
 * Every operation takes constant time but ledger_drop. Values not used for the longest time give
 * way to new ones; claims do not. Each new entry looks at two values, going round, so that of n
 * values none that has expired outlives n more, and no timer is needed.
 *
 * Times are ms of any one clock, the caller's.
 */
#ifndef TITAN_STORE_LEDGER_H
#define TITAN_STORE_LEDGER_H

#include <math.h>

#include "base/list.h"
#include "base/map.h"
#include "wire/message.h"

struct ledger {
    struct map by_key;
    struct list values; /* the one not used for the longest time first */
    struct list claims;
    struct list *cursor; /* what the next sweep looks at */
    size_t values_len, claims_len;
    size_t beside; /* entries that its owner keeps elsewhere and that count, too */
    size_t entries_max;
};

enum ledger_claimed {
    LEDGER_MINE,
    LEDGER_DONE, /* there is a value */
    LEDGER_HELD, /* another has the claim */
    LEDGER_FULL, /* nothing can give way */
    LEDGER_NO_MEMORY
};

#define LEDGER_FOREVER ((double)INFINITY) /* expires_ms of what does not expire */

/* `seed` is a secret: keys may be chosen by those who would like them to collide. */
void ledger_init(struct ledger *l, size_t entries_max, uint32_t seed);

/* Forgets everything; it can be used on. */
void ledger_clear(struct ledger *l);

/* How many values and claims there are. */
size_t ledger_len(const struct ledger *l);

/* False when there is no value (any more). It is valid until the next operation. */
bool ledger_get(struct ledger *l, struct span key, double now_ms, struct span *value);

/* Whether there is a value, be it one that has expired. */
bool ledger_has(const struct ledger *l, struct span key);

/* Puts a value there, in the place of the last, without a look at entries_max. False when memory is
 * out: there is none then. */
bool ledger_put(struct ledger *l, struct span key, struct span value, double expires_ms);

void ledger_remove(struct ledger *l, struct span key);
bool ledger_remove_oldest(struct ledger *l);

/* Looks at so many values; returns how many had expired. */
size_t ledger_sweep(struct ledger *l, double now_ms, size_t looks);

/* The value, or the claim, which is the owner's with this token. The owner is only compared. */
enum ledger_claimed ledger_claim(struct ledger *l, struct span key, double now_ms,
                                 const void *owner, int64_t token, struct span *value);

/* The same claim without a look at values and room. Only for a key that has none. */
bool ledger_hold(struct ledger *l, struct span key, const void *owner, int64_t token);

/* Ends the claim with a value; expires_ms of 0 or less keeps none. False, and nothing has happened,
 * when the claim is not theirs or memory is out. */
bool ledger_settle(struct ledger *l, struct span key, const void *owner, int64_t token,
                   struct span value, double expires_ms);

/* Ends the claim of that owner, if it is theirs, whatever its token. */
void ledger_release(struct ledger *l, struct span key, const void *owner);

/* The claim, if another than `owner` has it, is the owner's from now on; who had it is told. */
bool ledger_take_over(struct ledger *l, struct span key, const void *owner, const void **before,
                      int64_t *token);

/* Ends all claims of an owner. */
void ledger_drop(struct ledger *l, const void *owner);

#endif
