#include "loop.h"

#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <semaphore.h>

#include "spawn/thread.h"

/* ---- threads that are not to be had ---- */

int __real_pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg);

static int create_error;

int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg)
{
    return create_error != 0 ? create_error : __real_pthread_create(id, attributes, run, arg);
}

/* ---- a guest ---- */

/* What its boot says it does: "serve", "exit" at its start, "stuck" in C code from its start on,
 * "deaf": ends before it has opened anything. */
struct guest {
    struct worker worker;
    struct thread *thread;
    const char *does;
};

static sem_t is_stuck, go_on, is_over; /* between a stuck guest and its test */

static void on_nothing(void *ctx)
{
    (void)ctx;
}

static void on_start(void *ctx, struct span spec)
{
    struct guest *g = ctx;

    if (strcmp(g->does, "exit") == 0) {
        worker_exit(&g->worker, 7);
        return;
    }
    worker_ready(&g->worker, spec);
    if (strcmp(g->does, "stuck") == 0) {
        channel_finish(g->worker.control.channel);
        sem_post(&is_stuck);
        while (sem_wait(&go_on) < 0) {
        }
    }
}

static void on_payload(void *ctx, struct span payload)
{
    (void)ctx;
    (void)payload;
}

static void on_request(void *ctx, const struct message *m)
{
    (void)ctx;
    (void)m;
}

static void on_id(void *ctx, uint32_t id)
{
    (void)ctx;
    (void)id;
}

static void on_credit(void *ctx, uint32_t id, uint32_t bytes)
{
    (void)bytes;
    on_id(ctx, id);
}

static void on_shutdown(void *ctx)
{
    struct guest *g = ctx;

    worker_hooks_done(&g->worker);
}

static const struct worker_guest handlers = {on_nothing, on_start,  on_payload, on_request,
                                             on_id,      on_credit, on_shutdown};

static int serve(struct guest *g, struct reactor *r)
{
    int code = 1;

    if (reactor_take_mail(r, g->thread->mail) == TITAN_OK &&
        worker_open_links(&g->worker, r, &g->thread->links, &handlers, g) == TITAN_OK) {
        g->thread->worker = &g->worker;
        code = worker_run(&g->worker);
        g->thread->worker = NULL;
    }
    worker_close(&g->worker);
    return code;
}

static int run_guest(struct thread *t)
{
    struct guest g = {.thread = t};
    struct reactor r;
    uv_loop_t loop;
    char does[16] = "";
    int code = 1;

    memcpy(does, buf_front(&t->boot), buf_len(&t->boot));
    g.does = does;
    if (strcmp(does, "deaf") == 0) {
        inproc_abandon(t->links.data, 1);
        inproc_abandon(t->links.control, 1);
        return 3;
    }
    if (uv_loop_init(&loop) == 0) {
        if (reactor_open(&r, &loop) == TITAN_OK) {
            code = serve(&g, &r);
            reactor_close(&r);
        }
        uv_loop_close(&loop);
    }
    if (strcmp(does, "stuck") == 0) {
        sem_post(&is_over);
    }
    return code;
}

static const struct thread_guest c_guest = {.run = run_guest};

/* ---- at the manager ---- */

struct host {
    struct fixture *fixture;
    struct thread *thread;
    struct thread_ends ends;
    struct peer data, control;
    struct failure why;
    struct call ping;
    int hello, ready, pongs, lost, ended;
};

static void on_notification(void *ctx, const struct message *m)
{
    struct host *h = ctx;

    h->hello += span_is(m->method, "hello");
    h->ready += span_is(m->method, "ready");
}

static void on_lost(void *ctx, int code, const char *why)
{
    struct host *h = ctx;

    (void)why;
    assert_int_equal(code, TITAN_OK);
    h->lost++;
}

static const struct peer_events peer_events = {on_request, on_notification, on_id, NULL, on_lost};

static void on_ended(struct thread *t)
{
    struct host *h = t->owner;

    assert_ptr_equal(h->thread, t);
    h->ended++;
}

static void try_start(struct host *h, struct fixture *f, const char *does)
{
    memset(h, 0, sizeof *h);
    h->fixture = f;
    assert_int_equal(reactor_open_mail(&f->reactor), TITAN_OK);
    h->thread = thread_start(&(struct thread_spec){.guest = &c_guest,
                                                   .r = &f->reactor,
                                                   .boot = {(const uint8_t *)does, strlen(does)},
                                                   .ended = on_ended,
                                                   .owner = h},
                             &h->ends, &h->why);
}

static void start(struct host *h, struct fixture *f, const char *does)
{
    static const struct span spec = {(const uint8_t *)"\x90", 1};
    const struct wire_limits limits = WIRE_LIMITS_DEFAULT;

    try_start(h, f, does);
    assert_non_null(h->thread);
    assert_int_equal(
        peer_open_inproc(&h->data, &f->reactor, h->ends.data, 0, &limits, &peer_events, h), 0);
    assert_int_equal(
        peer_open_inproc(&h->control, &f->reactor, h->ends.control, 0, &limits, &peer_events, h),
        0);
    assert_int_equal(peer_notify(&h->control, "start", spec), TITAN_OK);
}

static void pong(struct call *c, const struct reply *reply)
{
    struct host *h = list_entry(c, struct host, ping);

    h->pongs += reply->code == TITAN_OK;
}

static void ask(struct host *h)
{
    struct draft d;
    struct failure why;

    h->ping.done = pong;
    assert_int_equal(
        request_begin(&h->control, &d, 0, (struct span){(const uint8_t *)"ping", 4}, false, &why),
        TITAN_OK);
    assert_true(buf_append(peer_out(&h->control), "\x90", 1));
    assert_int_equal(request_end(&h->control, &d, &h->ping, 0, &why), TITAN_OK);
}

static void shut_down(struct host *h)
{
    static const struct span none = {(const uint8_t *)"\x90", 1};

    assert_int_equal(peer_notify(&h->control, "shutdown", none), TITAN_OK);
    assert_int_equal(peer_notify(&h->data, "drain", none), TITAN_OK);
}

static void let_go(struct host *h)
{
    static const struct failure over = {TITAN_E_WORKER_LOST, "over"};

    peer_close(&h->data, &over);
    peer_close(&h->control, &over);
    thread_release(&h->thread);
}

/* ---- a life ---- */

static void it_starts_serves_and_ends_when_it_is_told(void **state)
{
    struct host h;

    start(&h, *state, "serve");
    run_until(h.fixture, h.ready);
    assert_int_equal(h.hello, 1);
    assert_int_equal(status_load(h.ends.status->pid), getpid());
    ask(&h);
    run_until(h.fixture, h.pongs);
    shut_down(&h);
    run_until(h.fixture, h.ended);
    assert_int_equal(h.lost, 2); /* its last words come before its end */
    assert_int_equal(thread_join(h.thread), 0);
    assert_false(thread_is_dying(h.thread));
    let_go(&h);
}

static void it_ends_by_itself_with_its_exit_code(void **state)
{
    struct host h;

    start(&h, *state, "exit");
    run_until(h.fixture, h.ended);
    assert_int_equal(h.ready, 0);
    assert_int_equal(thread_join(h.thread), 7);
    let_go(&h);
}

static void one_that_opens_nothing_is_lost(void **state)
{
    struct host h;

    start(&h, *state, "deaf");
    run_until(h.fixture, h.ended);
    run_until(h.fixture, h.lost == 2);
    assert_int_equal(thread_join(h.thread), 3);
    let_go(&h);
}

static void one_that_is_killed_ends(void **state)
{
    struct host h;

    start(&h, *state, "serve");
    run_until(h.fixture, h.ready);
    thread_kill(h.thread);
    thread_kill(h.thread);
    run_until(h.fixture, h.ended);
    assert_true(thread_is_dying(h.thread));
    assert_int_not_equal(thread_join(h.thread), 0);
    let_go(&h);
}

static void one_may_be_killed_before_it_has_begun(void **state)
{
    for (int i = 0; i < 50; i++) {
        struct host h;

        start(&h, *state, "serve");
        thread_kill(h.thread);
        run_until(h.fixture, h.ended);
        thread_join(h.thread);
        let_go(&h);
    }
}

static void killing_one_that_has_ended_does_nothing(void **state)
{
    struct host h;

    start(&h, *state, "exit");
    run_until(h.fixture, h.ended);
    thread_kill(h.thread);
    assert_int_equal(thread_join(h.thread), 7);
    let_go(&h);
}

/* Its page stays for reports as long as the thread is held. */
static void the_page_outlives_the_thread(void **state)
{
    struct host h;

    start(&h, *state, "exit");
    run_until(h.fixture, h.ended);
    thread_join(h.thread);
    assert_int_equal(status_load(h.ends.status->pid), getpid());
    let_go(&h);
}

/* ---- without a loop at the manager ---- */

static void a_thread_that_ends_is_awaited(void **state)
{
    struct host h;

    start(&h, *state, "serve");
    run_until(h.fixture, h.ready);
    thread_kill(h.thread);
    assert_true(thread_await(h.thread, PATIENCE_S * 1000));
    run_idle(h.fixture);
    assert_int_equal(h.ended, 0); /* who awaits it knows */
    thread_join(h.thread);
    let_go(&h);
}

/* ---- stuck ---- */

static void await(sem_t *s)
{
    while (sem_wait(s) < 0) {
        assert_int_equal(errno, EINTR);
    }
}

static int threads(void)
{
    int count = 0;
    DIR *d = opendir("/proc/self/task");

    assert_non_null(d);
    while (readdir(d) != NULL) {
        count++;
    }
    closedir(d);
    return count - 2;
}

static void await_threads(int count)
{
    while (threads() > count) {
        usleep(1000);
    }
}

/* Lets one that is given up return, and awaits its last instruction. The mailbox is held so that
 * the descriptor of its bell is closed here: who only sees that a thread is gone has, for a
 * sanitizer, not seen what it did. */
static void let_return(struct mailbox *mail, int threads_before)
{
    sem_post(&go_on);
    await(&is_over);
    await_threads(threads_before);
    mailbox_release(mail);
}

static void one_that_is_stuck_is_given_up_and_returns_later(void **state)
{
    struct host h;
    struct mailbox *mail;
    int before = threads();

    start(&h, *state, "stuck");
    mail = mailbox_hold(h.thread->mail);
    run_idle(h.fixture); /* which sends the start */
    await(&is_stuck);
    thread_kill(h.thread);
    assert_false(thread_await(h.thread, 10));
    thread_give_up(h.thread);
    run_until(h.fixture, h.ready); /* what it had said comes all the same */
    let_go(&h);
    let_return(mail, before);
    run_idle(h.fixture);
    assert_int_equal(h.ended, 0);
}

/* When the manager's loop is gone by then, it is the thread that frees what they shared. */
static void one_that_is_given_up_outlives_its_manager(void **state)
{
    struct fixture mine;
    struct host h;
    struct mailbox *mail;
    int before = threads();

    (void)state;
    uv_loop_init(&mine.loop);
    assert_int_equal(reactor_open(&mine.reactor, &mine.loop), TITAN_OK);
    start(&h, &mine, "stuck");
    mail = mailbox_hold(h.thread->mail);
    run_idle(&mine);
    await(&is_stuck);
    thread_kill(h.thread);
    thread_give_up(h.thread);
    let_go(&h);
    reactor_close(&mine.reactor);
    assert_int_equal(uv_loop_close(&mine.loop), 0);
    let_return(mail, before);
}

/* ---- what is left ---- */

static int descriptors(void)
{
    int count = 0;
    DIR *d = opendir("/proc/self/fd");

    assert_non_null(d);
    while (readdir(d) != NULL) {
        count++;
    }
    closedir(d);
    return count;
}

static void a_thread_that_cannot_be_made_leaves_nothing(void **state)
{
    struct host h;
    int before;

    try_start(&h, *state, "exit"); /* the first one opens the mail */
    inproc_abandon(h.ends.data, 0);
    inproc_abandon(h.ends.control, 0);
    run_until(h.fixture, h.ended);
    thread_join(h.thread);
    thread_release(&h.thread);
    run_idle(h.fixture);
    before = descriptors();
    create_error = EAGAIN;
    for (int i = 0; i < 10; i++) {
        try_start(&h, *state, "serve");
        assert_null(h.thread);
        assert_int_equal(h.why.code, TITAN_E_LIMIT_EXCEEDED);
        assert_non_null(strstr(h.why.message, "ulimit -u"));
    }
    create_error = 0;
    mailbox_deliver(h.fixture->reactor.mail); /* a loop that nothing keeps alive does not look */
    assert_int_equal(descriptors(), before);
}

static void start_and_stop_some(struct fixture *f, struct host *hosts, int count)
{
    for (int i = 0; i < count; i++) {
        start(&hosts[i], f, "serve");
    }
    for (int i = 0; i < count; i++) {
        run_until(f, hosts[i].ready);
        shut_down(&hosts[i]);
    }
    for (int i = 0; i < count; i++) {
        run_until(f, hosts[i].ended);
        assert_int_equal(thread_join(hosts[i].thread), 0);
        let_go(&hosts[i]);
    }
    run_idle(f);
}

static void two_hundred_leave_nothing_behind(void **state)
{
    enum { COUNT = 200 };
    struct fixture *f = *state;
    struct host *hosts = calloc(COUNT, sizeof *hosts);
    int fds, before = threads();
    size_t used;

    start_and_stop_some(f, hosts, 20);
    fds = descriptors();
    used = mallinfo2().uordblks;
    start_and_stop_some(f, hosts, COUNT);
    assert_int_equal(descriptors(), fds);
    await_threads(before);
    /* A sanitizer counts nothing here: it looks for what is left itself. */
    assert_true(mallinfo2().uordblks <= used + 65536);
    free(hosts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        mail_test(it_starts_serves_and_ends_when_it_is_told),
        mail_test(it_ends_by_itself_with_its_exit_code),
        mail_test(one_that_opens_nothing_is_lost),
        mail_test(one_that_is_killed_ends),
        mail_test(one_may_be_killed_before_it_has_begun),
        mail_test(killing_one_that_has_ended_does_nothing),
        mail_test(the_page_outlives_the_thread),
        mail_test(a_thread_that_ends_is_awaited),
        mail_test(one_that_is_stuck_is_given_up_and_returns_later),
        mail_test(one_that_is_given_up_outlives_its_manager),
        mail_test(a_thread_that_cannot_be_made_leaves_nothing),
        mail_test(two_hundred_leave_nothing_behind),
    };

    sem_init(&is_stuck, 0, 0);
    sem_init(&go_on, 0, 0);
    sem_init(&is_over, 0, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
