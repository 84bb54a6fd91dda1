/*
 * Native threads that stand by: one whose job is over waits for the next in place of ending, so
 * that who starts one makes no thread and finds a warm one. The last to come is the first to go.
 *
 * No more than CREW_MOST wait, each for a while only; and only one that its job has left as it was
 * found (crew_part): what a library keeps for a thread of its own, or has set for it, is not to be
 * met by another's code.
 *
 * Shared by the manager and its threads, and freed by the last of them: a thread that was given up
 * may outlive its manager.
 */
#ifndef TITAN_SPAWN_CREW_H
#define TITAN_SPAWN_CREW_H

#include <pthread.h>
#include <stdbool.h>

#define CREW_MOST 8

struct crew;
struct hand;

/* Lives inside its owner. Zeroed, with `run` set, it is one that can be started. */
struct crew_job {
    /* On a native thread that takes SIGURG and the signals of its own faults, and no others. Calls
     * crew_part as soon as nothing of a user's is left to do; from where it returns the job is not
     * looked at any more. */
    void (*run)(struct crew_job *job);
    /* The crew's: */
    struct crew *crew; /* NULL: its thread is its own, and ends with it */
    struct hand *hand;
    pthread_t id;
    bool parted; /* the thread is another's now */
    bool given_up;
};

/* The maker holds it; NULL when memory is out. */
struct crew *crew_new(unsigned idle_ms); /* how long one waits; 0: 5000 */
struct crew *crew_hold(struct crew *c);
void crew_release(struct crew **held);

/* Those that wait end, and have ended when this returns. From now on none waits. */
void crew_close(struct crew *c);

unsigned crew_waiting(struct crew *c);

/* ---- for who starts jobs: one thread, until each is joined or given up ---- */

/* `c` may be NULL. 0 or a negative errno. */
int crew_start(struct crew *c, struct crew_job *job);

/* To the thread, while the job is its. */
void crew_signal(struct crew_job *job, int signal);

/* Once its last act is known to be under way: the thread has ended, or is another's. */
void crew_join(struct crew_job *job);

/* In place of crew_join: nobody waits for it, and its thread is never used again. */
void crew_give_up(struct crew_job *job);

/* ---- for the job, on its thread ---- */

/* `fit`: the thread is as it was found. From here on it may be given the next job, which begins
 * when this one's `run` has returned: that must be soon. */
void crew_part(struct crew_job *job, bool fit);

#endif
