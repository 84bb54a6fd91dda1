#include "rpc/lane.h"

#include <stdlib.h>

#include "base/copy.h"
#include "wire/message.h"

/* An arena that has been empty for so long gives pages back. */
#define TRIM_MS 1000

/* Of another version's, perhaps, but not of any size. */
#define THEIRS_MAX ((size_t)256 << 20)

static void view_unref(struct view *v)
{
    if (--v->refs == 0) {
        shm_unref(&v->memory);
        free(v);
    }
}

static void view_leave(struct lane *l)
{
    struct view *v = l->theirs;

    l->theirs = NULL;
    if (v != NULL) {
        v->lane = NULL;
        view_unref(v);
    }
}

void lane_close(struct lane *l)
{
    timer_disarm(l->reactor, &l->trim);
    arena_free(&l->ours);
    view_leave(l);
    l->channel = NULL;
}

/* ---- ours ---- */

static void trim(struct timer *t)
{
    struct lane *l = list_entry(t, struct lane, trim);

    if (l->ours != NULL) {
        arena_trim(l->ours);
    }
}

int64_t lane_place(struct lane *l, const void *bytes, size_t len)
{
    int64_t offset;

    if (l->channel == NULL || !channel_carries(l->channel)) {
        return -1;
    }
    if (l->ours == NULL) {
        l->ours = arena_new();
        l->trim.fire = trim;
    }
    offset = l->ours != NULL ? arena_take(l->ours, len) : -1;
    if (offset >= 0) {
        shm_prefault(l->ours->memory, (size_t)offset, len);
        copy_much(l->ours->at + offset, bytes, len);
    }
    return offset;
}

static bool give(struct lane *l, uint64_t offset)
{
    if (l->ours == NULL || !arena_give(l->ours, offset)) {
        return false;
    }
    if (l->ours->used == 0 && l->ours->touched > ARENA_KEPT / ARENA_UNIT) {
        (void)timer_arm(l->reactor, &l->trim, TRIM_MS, false);
    }
    return true;
}

void lane_take_back(struct lane *l, uint64_t offset)
{
    (void)give(l, offset);
}

const char *lane_hear_release(struct lane *l, int64_t block)
{
    if (!l->announced) {
        return "a release where no arena is";
    }
    if (block < 0) {
        arena_free(&l->ours);
        l->announced = false;
        return NULL;
    }
    return give(l, (uint64_t)block) ? NULL : "a release of what is no block";
}

/* ---- theirs ---- */

/* Without memory for it the block stays taken: the other side sends inline sooner. */
static void send_release(struct channel *c, int64_t block)
{
    size_t at;

    if (!frame_open(&c->out, &at)) {
        return;
    }
    if (!message_write_release(&c->out, block)) {
        buf_truncate(&c->out, at);
        return;
    }
    (void)frame_close(&c->out, at, UINT32_MAX);
    channel_written(c);
}

/* NULL when it cannot be seen from here. */
static struct view *view_new(struct lane *l, struct shm *memory)
{
    struct view *v = memory != NULL && shm_at(memory) != NULL ? calloc(1, sizeof *v) : NULL;

    if (v == NULL) {
        shm_unref(&memory);
        return NULL;
    }
    *v = (struct view){memory, l, 1};
    return v;
}

const char *lane_hear_arena(struct lane *l)
{
    struct shm *memory;

    if (l->theirs != NULL) {
        return "a second arena";
    }
    if (!channel_carries(l->channel) || channel_detach(l->channel, &memory, 1) < 0) {
        return "an arena that is no memory which can be shared";
    }
    if (memory != NULL && (memory->len == 0 || memory->len > THEIRS_MAX)) {
        shm_unref(&memory);
        return "an arena of a length that none has";
    }
    l->theirs = view_new(l, memory);
    l->theirs_missing = l->theirs == NULL;
    if (l->theirs_missing) {
        send_release(l->channel, -1);
    }
    return NULL;
}

void view_release(struct view *v, uint64_t offset)
{
    if (v->lane != NULL && v->lane->channel != NULL) {
        send_release(v->lane->channel, (int64_t)offset);
    }
    view_unref(v);
}
