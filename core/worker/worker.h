/*
 * What runs inside a worker, whatever language its methods are written in: the loop, the two
 * conversations with the manager, the status page, and an orderly end.
 *
 * Two connections: `data` carries calls and answers, `control` carries what must never wait behind
 * them: start, shutdown, cancel. On control, manager -> worker:
 *
 *     start(spec)      load this; answered by ready(payload) or failed(payload), and by
 *                      declared(payload) before it if the guest wants to be told to go on
 *     proceed(payload) that
 *     shutdown()       run the shutdown hooks now; end when the calls in flight have ended
 *
 * and worker -> manager: hello({pid}), declared, ready, failed; given_up(name), when no answer is
 * awaited any more of a service that was called directly. On data, the notification drain() says
 * that no request will follow it. Spec and payloads are the guest's business.
 */
#ifndef TITAN_WORKER_WORKER_H
#define TITAN_WORKER_WORKER_H

#include "rpc/peer.h"
#include "worker/status.h"

#define EXIT_PROTOCOL 76 /* EX_PROTOCOL of sysexits.h: the manager sent garbage */

struct worker;

/* Whoever implements the methods (script/ does it in Lua). */
struct worker_guest {
    /* Nobody wants anything of it yet: does something like what a start will do, so that the memory
     * it touches is its own by then. */
    void (*limber)(void *ctx);
    void (*start)(void *ctx, struct span spec);
    void (*proceed)(void *ctx, struct span payload);
    void (*request)(void *ctx, const struct message *m);
    void (*cancel)(void *ctx, uint32_t id);
    void (*credit)(void *ctx, uint32_t id, uint32_t bytes); /* to go on with a stream */
    void (*shutdown)(void *ctx); /* then worker_hooks_done, now or later */
};

enum worker_state {
    WORKER_STARTING,
    WORKER_SERVING,
    WORKER_STOPPING, /* shutdown was asked for */
    WORKER_ENDED
};

struct worker {
    struct reactor *reactor;
    struct peer data;
    struct peer control;
    struct status_page *status;
    bool owns_status;
    const struct worker_guest *guest;
    void *ctx;
    enum worker_state state;
    bool hooks_done; /* the shutdown hooks have run */
    bool drained;    /* no request will come any more */
    uint32_t in_flight;
    int exit_code;
};

/* What a worker is born with: in a process of its own, */
struct worker_fds {
    int data, control, status;
};

/* or in memory that it shares with its manager: its ends are those with number 1. */
struct worker_links {
    struct inproc_link *data, *control;
    struct status_page *status; /* stays the caller's, until worker_close at the least */
};

/* Opens it on a reactor, takes the descriptors or the ends over, and says hello. TITAN_OK, or what
 * was opened is closed by worker_close all the same. */
int worker_open_fds(struct worker *w, struct reactor *r, const struct worker_fds *fds,
                    const struct worker_guest *guest, void *ctx);
int worker_open_links(struct worker *w, struct reactor *r, const struct worker_links *links,
                      const struct worker_guest *guest, void *ctx);

/* Serves until the end, on the reactor's loop. Returns the exit code. */
int worker_run(struct worker *w);

/* All that was written leaves, once it has ended. */
void worker_finish(struct worker *w);

/* After worker_run, once nothing of the guest's waits for an answer any more. */
void worker_close(struct worker *w);

/* The guest's answers to `start`: what the manager hears is `payload`. */
void worker_declared(struct worker *w, struct span payload);
void worker_ready(struct worker *w, struct span payload);
void worker_failed(struct worker *w, struct span payload);

void worker_hooks_done(struct worker *w);

/* Ends the worker now: with exit code 1 after an error that nobody can catch. */
void worker_exit(struct worker *w, int exit_code);

/* It has ended because it was asked to, with nothing left to do. */
static inline bool worker_was_orderly(const struct worker *w)
{
    return w->state == WORKER_ENDED && w->hooks_done && w->drained && w->in_flight == 0;
}

/* Every request is bracketed by these two. */
static inline void worker_call_started(struct worker *w)
{
    w->in_flight++;
}

void worker_call_ended(struct worker *w);

#endif
