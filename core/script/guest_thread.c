/* A guest on a thread: a lua_State of its own, made and served there. */
#include <lauxlib.h>
#include <string.h>

#include "script/guest.h"
#include "script/guest_thread.h"
#include "script/thread_output.h"
#include "titan.h"
#include "transport/reactor.h"
#include "wire/mp_write.h"

/* What is wrong before the class is looked at: the manager hears it as a failed start. */
static void fail_start(struct guest *g, const struct failure *why)
{
    struct buf b = {0};

    if (mp_write_map(&b, 2) && mp_write_str(&b, "code", 4) &&
        mp_write_str(&b, titan_error_name(why->code), strlen(titan_error_name(why->code))) &&
        mp_write_str(&b, "message", 7) && mp_write_str(&b, why->message, strlen(why->message))) {
        worker_failed(&g->worker, (struct span){buf_front(&b), buf_len(&b)});
    } else {
        worker_exit(&g->worker, 1);
    }
    buf_free(&b);
}

static int serve(struct guest *g, struct thread *t)
{
    struct failure why;
    struct span boot = {buf_front(&t->boot), buf_len(&t->boot)};
    int code;

    t->worker = &g->worker;
    if (guest_warm_up(g, boot, &why) < 0) {
        fail_start(g, &why);
    }
    code = worker_run(&g->worker);
    thread_output_flush(g);
    worker_finish(&g->worker);
    return code;
}

static int run(void *ctx, struct thread *t)
{
    struct guest g;
    struct failure why;
    struct reactor *r;
    int code = 1;

    (void)ctx;
    if (guest_open(&g, &why) < 0) {
        inproc_abandon(t->links.data, 1);
        inproc_abandon(t->links.control, 1);
        return 1;
    }
    g.thread = t;
    r = &g.runtime->reactor;
    guest_begin(&g);
    if (runtime_open_reactor(g.runtime) < 0 || reactor_take_mail(r, t->mail) < 0) {
        inproc_abandon(t->links.data, 1);
        inproc_abandon(t->links.control, 1);
    } else if (worker_open_links(&g.worker, r, &t->links, &guest_handlers, &g) == TITAN_OK &&
               thread_output_open(&g)) {
        code = serve(&g, t);
    }
    t->worker = NULL;
    guest_end(&g);
    guest_close(&g);
    thread_output_close(&g);
    return code;
}

const struct thread_guest guest_on_thread = {run, NULL};
