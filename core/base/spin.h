/*
 * How long it pays to look for something that another thread does before sleeping until it is
 * done: an adaptive spin. Pure: whoever spins asks for the length and tells the outcome.
 *
 * It begins with the limit. A spin that found nothing halves the next one, one that found what it
 * looked for doubles it again, up to the limit. When it has come down to an eighth of the limit
 * there is none for a while: the next sleeps begin at once, and then one spin of the whole limit
 * tries again (a shorter one could not find out that a longer one pays). If that fails, too, the
 * while is twice as long, from 8 sleeps to 1024.
 *
 * So who spins in vain loses less than two limits, and from then on one limit in a thousand sleeps.
 *
 * (After the halt polling of KVM, Documentation/virt/kvm/halt-polling.rst of Linux; what it comes
 * from: A. Karlin, K. Li, M. Manasse, S. Owicki, "Empirical studies of competitive spinning for a
 * shared-memory multiprocessor", SOSP 1991.)
 */
#ifndef TITAN_BASE_SPIN_H
#define TITAN_BASE_SPIN_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed memory never spins. */
struct spin {
    uint64_t limit_ns;  /* 0: never */
    uint64_t length_ns; /* of the next one */
    unsigned rests;     /* sleeps to come that begin at once */
    unsigned next_rests;
    bool trying; /* the next one is to find out whether it pays again */
};

/* With a single processor it never spins: what it waited for could not come meanwhile. */
void spin_init(struct spin *s, uint64_t limit_ns, unsigned processors);

/* Before each sleep: how long to look, at the most. 0: not at all, and no outcome is told. */
uint64_t spin_length_ns(struct spin *s);

/* The outcome of the spin: whether it was worth it. */
void spin_ended(struct spin *s, bool found);

#endif
