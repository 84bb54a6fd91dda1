#include "store/ledger.h"

#include <stdlib.h>
#include <string.h>

#define LOOKS 2 /* of a sweep for each new entry */

struct entry {
    struct map_node by_key;
    struct list value; /* in ledger.values, if it has one */
    struct list claim; /* in ledger.claims, if somebody has it */
    double expires_ms;
    const void *owner;
    int64_t token;
    uint8_t *bytes; /* of the value */
    size_t len;
    char key[];
};

static bool has_value(const struct entry *e)
{
    return !list_empty(&e->value);
}

static bool is_claimed(const struct entry *e)
{
    return !list_empty(&e->claim);
}

/* ---- entries ---- */

static struct entry *find(const struct ledger *l, struct span key)
{
    struct map_node *node = map_find(&l->by_key, (const char *)key.at, key.len);

    return node != NULL ? list_entry(node, struct entry, by_key) : NULL;
}

static struct entry *entry_new(struct ledger *l, struct span key)
{
    struct entry *e = malloc(sizeof *e + key.len);

    if (e == NULL) {
        return NULL;
    }
    memset(e, 0, sizeof *e);
    if (key.len > 0) {
        memcpy(e->key, key.at, key.len);
    }
    list_init(&e->value);
    list_init(&e->claim);
    if (!map_insert(&l->by_key, &e->by_key, e->key, key.len)) {
        free(e);
        return NULL;
    }
    return e;
}

static void free_if_unused(struct ledger *l, struct entry *e)
{
    if (!has_value(e) && !is_claimed(e)) {
        map_remove(&l->by_key, &e->by_key);
        free(e->bytes);
        free(e);
    }
}

static void unlink_value(struct ledger *l, struct entry *e)
{
    if (l->cursor == &e->value) {
        l->cursor = e->value.next;
    }
    list_remove(&e->value);
}

static void drop_value(struct ledger *l, struct entry *e)
{
    unlink_value(l, e);
    l->values_len--;
    free_if_unused(l, e);
}

static void drop_claim(struct ledger *l, struct entry *e)
{
    list_remove(&e->claim);
    l->claims_len--;
    free_if_unused(l, e);
}

static void touch(struct ledger *l, struct entry *e)
{
    unlink_value(l, e);
    list_push(&l->values, &e->value);
}

/* ---- life ---- */

void ledger_init(struct ledger *l, size_t entries_max, uint32_t seed)
{
    memset(l, 0, sizeof *l);
    list_init(&l->values);
    list_init(&l->claims);
    l->cursor = &l->values;
    l->entries_max = entries_max;
    l->by_key.seed = seed;
}

void ledger_clear(struct ledger *l)
{
    uint32_t seed = l->by_key.seed;

    while (ledger_remove_oldest(l)) {
    }
    while (!list_empty(&l->claims)) {
        drop_claim(l, list_entry(l->claims.next, struct entry, claim));
    }
    map_free(&l->by_key);
    ledger_init(l, l->entries_max, seed);
}

size_t ledger_len(const struct ledger *l)
{
    return l->values_len + l->claims_len;
}

/* ---- values ---- */

/* Its value, if it has not expired by now. */
static bool value_of(struct ledger *l, struct entry *e, double now_ms, struct span *value)
{
    if (!has_value(e)) {
        return false;
    }
    if (e->expires_ms <= now_ms) {
        drop_value(l, e);
        return false;
    }
    touch(l, e);
    *value = (struct span){e->bytes, e->len};
    return true;
}

bool ledger_get(struct ledger *l, struct span key, double now_ms, struct span *value)
{
    struct entry *e = find(l, key);

    return e != NULL && value_of(l, e, now_ms, value);
}

bool ledger_has(const struct ledger *l, struct span key)
{
    const struct entry *e = find(l, key);

    return e != NULL && has_value(e);
}

static bool set_value(struct ledger *l, struct entry *e, struct span value, double expires_ms)
{
    uint8_t *bytes = realloc(e->bytes, value.len + 1);

    if (bytes == NULL) {
        return false;
    }
    e->bytes = bytes;
    if (value.len > 0) {
        memcpy(bytes, value.at, value.len);
    }
    e->len = value.len;
    e->expires_ms = expires_ms;
    l->values_len += !has_value(e);
    touch(l, e);
    return true;
}

bool ledger_put(struct ledger *l, struct span key, struct span value, double expires_ms)
{
    struct entry *e = find(l, key);

    if (e == NULL) {
        e = entry_new(l, key);
    }
    if (e == NULL) {
        return false;
    }
    if (set_value(l, e, value, expires_ms)) {
        return true;
    }
    if (has_value(e)) {
        drop_value(l, e);
    } else {
        free_if_unused(l, e);
    }
    return false;
}

void ledger_remove(struct ledger *l, struct span key)
{
    struct entry *e = find(l, key);

    if (e != NULL && has_value(e)) {
        drop_value(l, e);
    }
}

bool ledger_remove_oldest(struct ledger *l)
{
    if (list_empty(&l->values)) {
        return false;
    }
    drop_value(l, list_entry(l->values.next, struct entry, value));
    return true;
}

size_t ledger_sweep(struct ledger *l, double now_ms, size_t looks)
{
    size_t before = l->values_len;

    for (size_t i = 0; i < looks && i < before; i++) {
        struct list *at = l->cursor != &l->values ? l->cursor : l->values.next;
        struct entry *e = list_entry(at, struct entry, value);

        l->cursor = at->next;
        if (e->expires_ms <= now_ms) {
            drop_value(l, e);
        }
    }
    return before - l->values_len;
}

/* ---- claims ---- */

static bool make_room(struct ledger *l, double now_ms)
{
    (void)ledger_sweep(l, now_ms, LOOKS);
    return ledger_len(l) + l->beside < l->entries_max || ledger_remove_oldest(l);
}

static void give(struct ledger *l, struct entry *e, const void *owner, int64_t token)
{
    e->owner = owner;
    e->token = token;
    list_push(&l->claims, &e->claim);
    l->claims_len++;
}

bool ledger_hold(struct ledger *l, struct span key, const void *owner, int64_t token)
{
    struct entry *e = find(l, key);

    if (e == NULL) {
        e = entry_new(l, key);
    }
    if (e == NULL) {
        return false;
    }
    give(l, e, owner, token);
    return true;
}

enum ledger_claimed ledger_claim(struct ledger *l, struct span key, double now_ms,
                                 const void *owner, int64_t token, struct span *value)
{
    struct entry *e = find(l, key);

    if (e != NULL) {
        bool claimed = is_claimed(e);

        if (value_of(l, e, now_ms, value)) {
            return LEDGER_DONE;
        }
        if (claimed) {
            return LEDGER_HELD;
        }
    }
    if (!make_room(l, now_ms)) {
        return LEDGER_FULL;
    }
    return ledger_hold(l, key, owner, token) ? LEDGER_MINE : LEDGER_NO_MEMORY;
}

bool ledger_settle(struct ledger *l, struct span key, const void *owner, int64_t token,
                   struct span value, double expires_ms)
{
    struct entry *e = find(l, key);

    if (e == NULL || !is_claimed(e) || e->owner != owner || e->token != token) {
        return false;
    }
    if (expires_ms > 0 && !set_value(l, e, value, expires_ms)) {
        return false;
    }
    drop_claim(l, e);
    return true;
}

void ledger_release(struct ledger *l, struct span key, const void *owner)
{
    struct entry *e = find(l, key);

    if (e != NULL && is_claimed(e) && e->owner == owner) {
        drop_claim(l, e);
    }
}

bool ledger_take_over(struct ledger *l, struct span key, const void *owner, const void **before,
                      int64_t *token)
{
    struct entry *e = find(l, key);

    if (e == NULL || !is_claimed(e) || e->owner == owner) {
        return false;
    }
    *before = e->owner;
    *token = e->token;
    e->owner = owner;
    return true;
}

void ledger_drop(struct ledger *l, const void *owner)
{
    struct list *at = l->claims.next;

    while (at != &l->claims) {
        struct entry *e = list_entry(at, struct entry, claim);

        at = at->next;
        if (e->owner == owner) {
            drop_claim(l, e);
        }
    }
}
