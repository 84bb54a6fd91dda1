/* A supervisor on a reactor: its timer and its end of the turn. */
#ifndef TITAN_MANAGER_SUPERVISOR_CLOCK_H
#define TITAN_MANAGER_SUPERVISOR_CLOCK_H

#include "manager/supervisor.h"
#include "transport/reactor.h"

struct timed_supervisor {
    struct supervisor supervisor;
    struct reactor *reactor;
    struct timer alarm;
    struct flusher soon;
};

extern const struct supervisor_clock supervisor_reactor_clock;

void timed_supervisor_init(struct timed_supervisor *t, struct reactor *r);

/* Nothing comes of it any more: safe to free. */
void timed_supervisor_close(struct timed_supervisor *t);

#endif
