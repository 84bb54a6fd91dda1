#include "worker/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

_Static_assert(offsetof(struct status_page, latencies[2]) <= 4096, "one page of two methods");

int status_map(struct status_page **page, int fd)
{
    void *at = mmap(NULL, sizeof **page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (at == MAP_FAILED) {
        return -errno;
    }
    *page = at;
    return 0;
}

static void begin(struct status_page *page)
{
    page->version = STATUS_VERSION;
    status_store(page->keeps_latencies, 1);
    status_idle(page);
}

int status_create(struct status_page **page, int *fd)
{
    int code;

    *fd = memfd_create("titan-status", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0) {
        return -errno;
    }
    /* Sealed, or a worker that shrinks it would make the manager's next look a SIGBUS. */
    if (ftruncate(*fd, sizeof **page) < 0 ||
        fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        code = -errno;
        close(*fd);
        return code;
    }
    code = status_map(page, *fd);
    if (code < 0) {
        close(*fd);
        return code;
    }
    begin(*page);
    return 0;
}

int status_make(struct status_page **page)
{
    void *at =
        mmap(NULL, sizeof **page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED) {
        return -errno;
    }
    *page = at;
    begin(*page);
    return 0;
}

/* Where the name of a method is kept, which is below STATUS_METHODS. */
static char *name_of(struct status_page *page, uint32_t method)
{
    return method < STATUS_NEAR ? page->near_names[method] : page->far_names[method - STATUS_NEAR];
}

/* Without touching what no call has. */
static const struct status_counts *look_at_counts(const struct status_page *page, uint32_t slot)
{
    static const struct status_counts none;
    bool is_far = slot >= STATUS_NEAR && slot < STATUS_METHODS;

    return is_far && status_load(page->uses_far) == 0
               ? &none
               : status_counts_of((struct status_page *)page, slot);
}

static const char *look_at_name(const struct status_page *page, uint32_t method)
{
    return name_of((struct status_page *)page, method);
}

/* What was never touched is left so. */
void status_reset(struct status_page *page)
{
    uint32_t series = series_used(&page->series_used);

    for (uint32_t slot = 0; slot < STATUS_SLOTS; slot++) {
        if (status_load(look_at_counts(page, slot)->calls) > 0) {
            memset(&page->latencies[slot], 0, sizeof page->latencies[slot]);
        }
    }
    memset(page->series.slots, 0, series * sizeof page->series.slots[0]);
    memset(page->series.histograms, 0, series * sizeof page->series.histograms[0]);
    if (status_load(page->uses_far) != 0) {
        memset(page->far_counts, 0, sizeof page->far_counts);
    }
    for (uint32_t i = STATUS_NEAR; i < STATUS_METHODS && name_of(page, i)[0] != '\0'; i++) {
        memset(name_of(page, i), 0, STATUS_NAME);
    }
    memset(page, 0, offsetof(struct status_page, latencies));
    begin(page);
}

void status_unmap(struct status_page **page)
{
    if (*page != NULL) {
        munmap(*page, sizeof **page);
        *page = NULL;
    }
}

const char *status_method_name(const struct status_page *page, uint32_t method,
                               char name[STATUS_NAME])
{
    if (method >= STATUS_METHODS || look_at_name(page, method)[0] == '\0') {
        memcpy(name, "?", 2);
    } else {
        memcpy(name, look_at_name(page, method), STATUS_NAME);
        name[STATUS_NAME - 1] = '\0';
    }
    return name;
}

void status_name_method(struct status_page *page, uint32_t method, const char *name)
{
    if (method < STATUS_METHODS) {
        snprintf(name_of(page, method), STATUS_NAME, "%s", name);
    }
}

/* The three are written one after the other, so a reader may see a call that ended and not yet that
 * it began. */
static struct status_tally tally(uint64_t calls, uint64_t ended, uint64_t errors)
{
    return (struct status_tally){calls, errors, calls > ended ? calls - ended : 0};
}

struct status_tally status_tally_all(const struct status_page *page)
{
    return tally(status_load(page->calls), status_load(page->ended), status_load(page->errors));
}

struct status_tally status_tally_slot(const struct status_page *page, uint32_t slot)
{
    const struct status_counts *c =
        look_at_counts(page, slot < STATUS_SLOTS ? slot : STATUS_OTHERS);

    return tally(status_load(c->calls), status_load(c->ended), status_load(c->errors));
}

void status_add_latencies(const struct status_page *page, uint32_t slot, struct histogram_sum *sum)
{
    if (slot < STATUS_SLOTS && status_load(look_at_counts(page, slot)->calls) > 0) {
        histogram_add(sum, &page->latencies[slot]);
    }
}
