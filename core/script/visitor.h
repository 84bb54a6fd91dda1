/*
 * Who calls this guest: its manager, and the visitors, other workers of the same process that have
 * made a link to it (route.h). What is asked by any of them is answered to that one.
 *
 * A visitor calls public methods by name and nothing else. When it goes its requests are cancelled.
 * Once the worker is stopping, requests of visitors that have begun are finished, and others
 * refused.
 */
#ifndef TITAN_SCRIPT_VISITOR_H
#define TITAN_SCRIPT_VISITOR_H

#include "rpc/peer.h"

struct guest;

struct caller {
    struct guest *guest;
    struct peer *peer;    /* its channel is NULL once it has gone */
    uint32_t number;      /* 0: the manager */
    struct list requests; /* of struct task: they answer it */
    struct list waiting; /* of these, those that stream and may as soon as there is room, in turn */
    struct flusher round; /* lets these send */
};

struct visitors {
    struct list here;
    struct list gone; /* with requests that have not ended, or until the end of the turn */
    struct flusher bury;
    uint32_t last_number;
};

void caller_init(struct caller *c, struct guest *g, struct peer *peer, uint32_t number);

void visitors_open(struct visitors *v);

/* Takes over end 1 of the link, which is given up when that fails. */
void visitors_take(struct guest *g, struct inproc_link *link);

/* A request of a visitor has ended. */
void visitor_answered(struct caller *c);

/* The worker ends: what was answered leaves. In an orderly end what had not begun is refused. */
void visitors_finish(struct guest *g);

/* After the tasks. */
void visitors_close(struct visitors *v);

#endif
