/* What a manager runs on the threads that it starts. */
#ifndef TITAN_SCRIPT_GUEST_THREAD_H
#define TITAN_SCRIPT_GUEST_THREAD_H

#include "spawn/thread.h"

extern const struct thread_guest guest_on_thread;

#endif
