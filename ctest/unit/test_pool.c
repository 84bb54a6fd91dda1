/* Pools whose processes are only said to live: who gets which call, who waits, who comes and goes.
 */
#include "loop.h"

#include "manager/pool.h"

#define WORKERS 64
#define CALLS 256

/* ---- a pool without processes ---- */

struct caller {
    struct pool_call call;
    struct yard *yard;
    unsigned number;
    unsigned granted, refused; /* how often */
    int code;                  /* of the last refusal */
};

struct yard {
    struct manager manager;
    struct pool pool;
    struct process processes[WORKERS];
    unsigned spawned;
    bool slow; /* workers come up only when `rise` is called */
    bool no_start;
    struct caller callers[CALLS];
    unsigned order[CALLS * 4]; /* the numbers of those granted from the queue */
    unsigned order_len;
    unsigned news[POOL_NEWS_MEMORY + 1];
    struct failure why;
    unsigned most; /* workers that lived at once */
};

static unsigned living(const struct yard *y)
{
    unsigned count = 0;

    for (unsigned i = 0; i < WORKERS; i++) {
        count += y->processes[i].state == PROCESS_RUNNING;
    }
    return count;
}

static void rise(struct pool_worker *w)
{
    struct yard *y = w->pool->ctx;

    w->process->state = PROCESS_RUNNING;
    w->keeper.up(&w->keeper, w->process);
    if (living(y) > y->most) {
        y->most = living(y);
    }
}

static void on_spawn(void *ctx, struct pool_worker *w)
{
    struct yard *y = ctx;
    struct process *p = NULL;
    struct failure why;

    y->spawned++;
    if (y->no_start) {
        fail(&why, TITAN_E_SPAWN_FAILED, "no more of them");
        pool_worker_failed(w, &why);
        return;
    }
    for (unsigned i = 0; p == NULL && i < WORKERS; i++) {
        p = y->processes[i].manager == NULL ? &y->processes[i] : NULL;
    }
    assert_non_null(p);
    p->manager = &y->manager;
    p->keeper = &w->keeper;
    p->pidfd = -1;
    p->state = PROCESS_STARTING;
    p->body = &body_process;
    p->restart = (struct restart_policy){
        .enabled = true, .max_restarts = 1000000, .window_ms = 60000, .factor = 1};
    list_init(&p->relays);
    list_init(&p->link);
    list_init(&p->queued);
    pool_worker_spawned(w, p);
    if (!y->slow) {
        rise(w);
    }
}

static void on_news(void *ctx, enum pool_news what, const struct failure *why)
{
    struct yard *y = ctx;

    y->news[what]++;
    if (why != NULL) {
        y->why = *why;
    }
}

static const struct pool_events events = {on_spawn, NULL, on_news};

static void on_ended(void *ctx, struct process *p)
{
    (void)ctx;
    list_remove(&p->link);
}

static void no_more(struct flusher *f)
{
    (void)f;
}

static struct pool_options plain(void)
{
    return (struct pool_options){.strategy = STRATEGY_ROUND_ROBIN,
                                 .min = 1,
                                 .max = 8,
                                 .max_queue = 100,
                                 .max_concurrency = 1,
                                 .stop_timeout_ms = 1000};
}

static struct yard *open_yard(struct fixture *f, struct pool_options options, uint32_t size)
{
    static const struct manager_events manager_events = {.ended = on_ended};
    struct yard *y = calloc(1, sizeof *y);
    struct failure why;

    y->manager.reactor = &f->reactor;
    y->manager.events = &manager_events;
    list_init(&y->manager.ended);
    flusher_init(&y->manager.turn, no_more);
    for (unsigned i = 0; i < CALLS; i++) {
        y->callers[i].yard = y;
        y->callers[i].number = i;
    }
    assert_int_equal(pool_open(&y->pool, &y->manager, "yard", &options, &events, y, &why), 0);
    pool_start(&y->pool, size, size);
    run_idle(f);
    return y;
}

static void close_yard(struct yard *y)
{
    pool_close(&y->pool);
    pool_free(&y->pool);
    for (unsigned i = 0; i < WORKERS; i++) {
        if (y->processes[i].manager != NULL) {
            timer_disarm(y->manager.reactor, &y->processes[i].alarm);
            restart_history_free(&y->processes[i].restarts);
        }
    }
    map_free(&y->manager.pools);
    free(y);
}

/* ---- what happens to it ---- */

static struct pool_worker *worker(struct yard *y, unsigned index)
{
    struct list *l = y->pool.workers.next;

    while (index-- > 0) {
        l = l->next;
    }
    assert_ptr_not_equal(l, &y->pool.workers);
    return list_entry(l, struct pool_worker, link);
}

static void left(struct pool_call *c, const struct failure *why)
{
    struct caller *caller = list_entry(c, struct caller, call);
    struct yard *y = caller->yard;

    if (why != NULL) {
        caller->refused++;
        caller->code = why->code;
        return;
    }
    caller->granted++;
    if (y->order_len < count_of(y->order)) {
        y->order[y->order_len++] = caller->number;
    }
}

static int call_with(struct yard *y, unsigned number, int priority, uint32_t timeout_ms)
{
    struct caller *caller = &y->callers[number];
    struct failure why;
    int code;

    caller->call.left = left;
    caller->call.priority = priority;
    caller->call.timeout_ms = timeout_ms;
    code = pool_take(&y->pool, &caller->call, &why);
    if (code == TITAN_OK) {
        caller->granted++;
    } else if (code < 0) {
        caller->refused++;
        caller->code = code;
        assert_int_equal(code, why.code);
    }
    return code;
}

static int call(struct yard *y, unsigned number)
{
    return call_with(y, number, 0, 0);
}

static void answer(struct yard *y, unsigned number)
{
    pool_give_back(&y->callers[number].call, TITAN_OK);
}

/* Its process has ended, and then its calls do. True when it comes back. */
static bool die(struct yard *y, struct pool_worker *w)
{
    struct process *p = w->process;
    int64_t wait_ms;

    p->state = PROCESS_DOWN;
    fail(&p->last_error, TITAN_E_WORKER_LOST, "it died");
    wait_ms = w->keeper.down(&w->keeper, p);
    if (wait_ms == KEEP_NEVER) {
        p->state = PROCESS_ENDED;
        w->keeper.ended(&w->keeper, p);
    }
    for (unsigned i = 0; i < CALLS; i++) {
        if (y->callers[i].call.worker == w) {
            pool_give_back(&y->callers[i].call, TITAN_E_WORKER_LOST);
        }
    }
    return wait_ms != KEEP_NEVER;
}

/* Those that were asked to stop do so. */
static void let_stop(struct fixture *f, struct yard *y)
{
    bool again = true;

    while (again) {
        again = false;
        run_idle(f);
        for (struct list *l = y->pool.workers.next; l != &y->pool.workers && !again; l = l->next) {
            struct pool_worker *w = list_entry(l, struct pool_worker, link);

            if (w->process != NULL && w->process->state == PROCESS_KILLED) {
                die(y, w);
                again = true;
            }
        }
    }
    run_idle(f);
}

/* ---- calls ---- */

static void a_call_gets_a_worker_at_once_or_waits_for_one(void **state)
{
    struct fixture *f = *state;
    struct yard *y = open_yard(f, plain(), 2);

    assert_int_equal(y->news[POOL_NEWS_READY], 1);
    assert_int_equal(call(y, 0), TITAN_OK);
    assert_int_equal(call(y, 1), TITAN_OK);
    assert_ptr_not_equal(y->callers[0].call.worker, y->callers[1].call.worker);
    assert_int_equal(call(y, 2), POOL_QUEUED);
    assert_int_equal(y->pool.queue.len, 1);
    answer(y, 0);
    assert_int_equal(y->callers[2].granted, 1);
    assert_non_null(y->callers[2].call.worker);
    answer(y, 1);
    answer(y, 2);
    assert_int_equal(y->pool.active, 0);
    assert_int_equal(y->pool.calls, 3);
    close_yard(y);
}

static void those_that_wait_are_taken_by_priority_and_then_in_order(void **state)
{
    struct fixture *f = *state;
    struct yard *y = open_yard(f, plain(), 1);
    static const int priorities[] = {0, 5, -POOL_PRIORITY_MAX, 5, 0, POOL_PRIORITY_MAX};
    static const unsigned expected[] = {6, 2, 4, 1, 5, 3};

    call(y, 0);
    for (unsigned i = 0; i < count_of(priorities); i++) {
        assert_int_equal(call_with(y, i + 1, priorities[i], 0), POOL_QUEUED);
    }
    answer(y, 0);
    for (unsigned i = 0; i < count_of(expected); i++) {
        assert_int_equal(y->order[i], expected[i]);
        answer(y, expected[i]);
    }
    close_yard(y);
}

static void a_full_queue_refuses_and_a_forgotten_call_makes_room(void **state)
{
    struct fixture *f = *state;
    struct pool_options options = plain();
    struct yard *y;

    options.max_queue = 2;
    y = open_yard(f, options, 1);
    for (unsigned i = 0; i < 3; i++) {
        call(y, i);
    }
    assert_int_equal(call(y, 3), TITAN_E_OVERLOADED);
    assert_int_equal(y->pool.rejected, 1);
    pool_call_forget(&y->callers[1].call);
    assert_int_equal(call(y, 3), POOL_QUEUED);
    pool_call_forget(&y->callers[0].call); /* it had the worker, which is free now */
    assert_int_equal(y->callers[2].granted, 1);
    assert_int_equal(y->callers[1].granted + y->callers[1].refused, 0);
    close_yard(y);
}

static void one_that_waits_too_long_is_refused(void **state)
{
    struct fixture *f = *state;
    struct yard *y = open_yard(f, plain(), 1);

    call(y, 0);
    call_with(y, 1, 0, 2);
    call_with(y, 2, 0, 60000);
    run_until(f, y->callers[1].refused);
    assert_int_equal(y->callers[1].code, TITAN_E_TIMEOUT);
    assert_int_equal(y->callers[2].refused, 0);
    assert_int_equal(y->pool.queue.len, 1);
    answer(y, 0);
    assert_in_range(pool_call_left_ms(&y->callers[2].call), 1, 60000);
    answer(y, 2);
    close_yard(y);
}

static void a_call_is_taken_again_but_not_for_ever(void **state)
{
    struct fixture *f = *state;
    struct yard *y = open_yard(f, plain(), 2);
    struct pool_call *c = &y->callers[0].call;
    unsigned retries = POOL_BLAME_MAX / 1000 - 1;
    struct failure why;

    call(y, 0);
    fail(&why, TITAN_E_WORKER_LOST, "as it was");
    for (unsigned i = 0; i < retries; i++) {
        struct pool_worker *before = c->worker;

        c->worker->blame = 1000;
        assert_int_equal(pool_take_again(c, true, &why), TITAN_OK);
        assert_ptr_not_equal(c->worker, before);
    }
    c->worker->blame = 1000;
    assert_int_equal(pool_take_again(c, true, &why), TITAN_E_WORKER_LOST);
    assert_string_equal(why.message, "as it was");
    assert_null(c->pool);
    assert_int_equal(y->pool.errors, 1);
    assert_int_equal(y->pool.retries, retries);
    assert_int_equal(y->pool.active, 0);
    close_yard(y);
}

static void blame_of(struct yard *y, uint32_t running, unsigned calls, uint32_t expected)
{
    struct pool_worker *w = worker(y, 0);
    struct status_page page = {0};

    for (unsigned i = 0; i < calls; i++) {
        call(y, i);
    }
    status_store(page.running_method, running);
    w->process->status = &page;
    assert_true(die(y, w));
    assert_int_equal(w->blame, expected);
    w->process->status = NULL;
    rise(w);
}

static void the_calls_of_a_lost_worker_share_the_blame(void **state)
{
    struct fixture *f = *state;
    struct pool_options options = plain();
    struct yard *y;

    options.max_concurrency = 4;
    y = open_yard(f, options, 1);
    blame_of(y, 3, 4, POOL_BLAME_RUNNING / 4);
    close_yard(y);
    y = open_yard(f, options, 1);
    blame_of(y, STATUS_NO_METHOD, 2, POOL_BLAME_WAITING / 2);
    close_yard(y);
}

static void one_taken_again_goes_before_those_that_came_later(void **state)
{
    struct fixture *f = *state;
    struct yard *y = open_yard(f, plain(), 1);
    struct failure why;

    call(y, 0);
    call(y, 1);
    worker(y, 0)->process->state = PROCESS_CLOSING; /* nobody else knows yet */
    assert_int_equal(pool_take_again(&y->callers[0].call, true, &why), POOL_QUEUED);
    assert_int_equal(y->callers[1].granted, 0);
    assert_true(die(y, worker(y, 0)));
    rise(worker(y, 0));
    assert_int_equal(y->order[0], 0);
    answer(y, 0);
    assert_int_equal(y->order[1], 1);
    close_yard(y);
}

/* ---- workers ---- */

static void calls_wait_while_all_workers_are_down(void **state)
{
    struct fixture *f = *state;
    struct yard *y = open_yard(f, plain(), 2);

    assert_true(die(y, worker(y, 0)));
    assert_true(die(y, worker(y, 1)));
    run_idle(f);
    assert_int_equal(call(y, 0), POOL_QUEUED);
    assert_int_equal(pool_size(&y->pool), 2);
    rise(worker(y, 1));
    assert_int_equal(y->callers[0].granted, 1);
    close_yard(y);
}

static void a_pool_without_workers_has_failed_and_can_start_again(void **state)
{
    struct fixture *f = *state;
    struct yard *y = open_yard(f, plain(), 1);

    worker(y, 0)->process->restart.enabled = false;
    call(y, 0);
    call(y, 1);
    assert_false(die(y, worker(y, 0)));
    run_idle(f);
    assert_int_equal(y->pool.state, POOL_FAILED);
    assert_int_equal(y->news[POOL_NEWS_FAILED], 1);
    assert_string_equal(y->why.message, "it died");
    assert_int_equal(y->callers[1].code, TITAN_E_WORKER_LOST);
    assert_int_equal(call(y, 2), TITAN_E_WORKER_LOST);
    pool_start(&y->pool, 2, 2);
    run_idle(f);
    assert_int_equal(y->pool.state, POOL_RUNNING);
    assert_int_equal(call(y, 3), TITAN_OK);
    close_yard(y);
}

static void a_start_fails_with_its_first_worker(void **state)
{
    struct fixture *f = *state;
    struct yard *y = open_yard(f, plain(), 1);

    pool_stop(&y->pool, 0);
    let_stop(f, y);
    assert_int_equal(y->pool.state, POOL_ENDED);
    assert_int_equal(y->news[POOL_NEWS_ENDED], 1);
    y->no_start = true;
    pool_start(&y->pool, 3, 3);
    assert_int_equal(call(y, 0), POOL_QUEUED);
    run_idle(f);
    assert_int_equal(y->pool.state, POOL_FAILED);
    assert_string_equal(y->why.message, "no more of them");
    assert_int_equal(y->callers[0].code, TITAN_E_SPAWN_FAILED);
    assert_true(list_empty(&y->pool.workers));
    close_yard(y);
}

static void a_worker_retires_when_its_calls_have_ended(void **state)
{
    struct fixture *f = *state;
    struct yard *y = open_yard(f, plain(), 2);

    call(y, 0);
    call(y, 1);
    pool_scale(&y->pool, 1, "test");
    run_idle(f);
    assert_int_equal(pool_size(&y->pool), 1);
    assert_int_equal(living(y), 2);
    answer(y, 0);
    answer(y, 1);
    let_stop(f, y);
    assert_int_equal(living(y), 1);
    assert_int_equal(y->news[POOL_NEWS_SETTLED], 2); /* of the start, too */
    assert_int_equal(y->callers[0].refused + y->callers[1].refused, 0);
    close_yard(y);
}

static void a_reload_replaces_one_after_the_other(void **state)
{
    struct fixture *f = *state;
    struct yard *y = open_yard(f, plain(), 3);

    y->slow = true;
    y->most = 0;
    pool_reload(&y->pool);
    for (unsigned done = 0; done < 3; done++) {
        run_idle(f);
        assert_int_equal(y->spawned, 4 + done);
        assert_int_equal(pool_size(&y->pool), 3);
        rise(y->pool.reload_at);
        let_stop(f, y);
    }
    assert_int_equal(y->news[POOL_NEWS_RELOADED], 1);
    assert_int_equal(living(y), 3);
    assert_int_equal(y->most, 4);
    close_yard(y);
}

static void a_reload_that_cannot_start_the_next_leaves_the_rest(void **state)
{
    struct fixture *f = *state;
    struct yard *y = open_yard(f, plain(), 2);

    y->no_start = true;
    pool_reload(&y->pool);
    run_idle(f);
    assert_int_equal(y->news[POOL_NEWS_RELOADED], 1);
    assert_string_equal(y->why.message, "no more of them");
    assert_int_equal(living(y), 2);
    assert_int_equal(pool_size(&y->pool), 2);
    assert_int_equal(y->spawned, 3);
    assert_int_equal(call(y, 0), TITAN_OK);
    close_yard(y);
}

static void one_that_is_unhealthy_takes_no_more_calls_and_is_replaced(void **state)
{
    struct fixture *f = *state;
    struct pool_options options = plain();
    struct yard *y;
    struct pool_worker *sick;

    options.replace_unhealthy = true;
    y = open_yard(f, options, 1);
    y->slow = true;
    sick = worker(y, 0);
    pool_worker_unhealthy(sick);
    assert_int_equal(call(y, 0), POOL_QUEUED);
    run_idle(f);
    assert_ptr_equal(worker(y, 1)->replaces, sick);
    rise(worker(y, 1));
    assert_ptr_equal(y->callers[0].call.worker, worker(y, 1));
    let_stop(f, y);
    assert_int_equal(living(y), 1);
    close_yard(y);
}

static void a_drain_ends_when_the_last_call_has(void **state)
{
    struct fixture *f = *state;
    struct yard *y = open_yard(f, plain(), 1);

    call(y, 0);
    call(y, 1);
    pool_drain(&y->pool);
    assert_int_equal(call(y, 2), TITAN_E_SHUTTING_DOWN);
    answer(y, 0);
    run_idle(f);
    assert_int_equal(y->news[POOL_NEWS_DRAINED], 0);
    pool_call_forget(&y->callers[1].call);
    run_idle(f);
    assert_int_equal(y->news[POOL_NEWS_DRAINED], 1);
    pool_stop(&y->pool, 10);
    let_stop(f, y);
    assert_int_equal(y->news[POOL_NEWS_ENDED], 1);
    close_yard(y);
}

/* ---- anything, in any order ---- */

/* A call waits only while no worker is free, and has been granted or refused once at the most. */
static void check(struct yard *y)
{
    unsigned active = 0;
    unsigned waiting = 0;

    for (const struct list *l = y->pool.workers.next; l != &y->pool.workers; l = l->next) {
        const struct pool_worker *w = list_entry(l, struct pool_worker, link);

        assert_true(y->pool.queue.len == 0 || !w->open);
        assert_in_range(w->active, 0, 2);
        active += w->active;
    }
    for (unsigned i = 0; i < CALLS; i++) {
        const struct pool_call *c = &y->callers[i].call;

        waiting += c->pool != NULL && c->worker == NULL;
        assert_in_range(y->callers[i].granted + y->callers[i].refused, 0, 1);
    }
    assert_int_equal(active, y->pool.active);
    assert_int_equal(waiting, y->pool.queue.len);
}

static void act(struct fixture *f, struct yard *y, uint32_t *seed)
{
    struct caller *c = &y->callers[next_random(seed) % CALLS];
    struct pool_worker *w = NULL;

    if (!list_empty(&y->pool.workers)) {
        w = worker(y, 0);
        for (uint32_t skip = next_random(seed) % 4; skip > 0; skip--) {
            w = w->link.next == &y->pool.workers
                    ? w
                    : list_entry(w->link.next, struct pool_worker, link);
        }
    }
    switch (next_random(seed) % 16) {
    case 0:
        if (w != NULL && w->process != NULL && w->process->state == PROCESS_RUNNING) {
            die(y, w);
        }
        break;
    case 1:
        if (w != NULL && w->state == POOL_WORKER_DOWN) {
            rise(w);
        }
        break;
    case 2:
        pool_scale(&y->pool, 1 + next_random(seed) % 4, "test");
        break;
    case 3:
        pool_reload(&y->pool);
        break;
    case 4:
        let_stop(f, y);
        break;
    case 5:
        if (w != NULL) {
            pool_worker_unhealthy(w);
        }
        break;
    case 6:
    case 7:
        run_idle(f);
        break;
    default:
        if (c->call.pool == NULL) {
            c->granted = 0;
            c->refused = 0;
            call_with(y, c->number, (int)(next_random(seed) % 3), 0);
        } else if (next_random(seed) % 4 == 0) {
            pool_call_forget(&c->call);
        } else if (c->call.worker != NULL) {
            answer(y, c->number);
        }
        break;
    }
    for (unsigned i = 0; i < WORKERS; i++) { /* whoever has ended can be somebody else */
        if (y->processes[i].state == PROCESS_ENDED && y->processes[i].manager != NULL) {
            timer_disarm(y->manager.reactor, &y->processes[i].alarm);
            restart_history_free(&y->processes[i].restarts);
            y->processes[i] = (struct process){.manager = NULL};
        }
    }
}

static void nobody_is_stranded_whatever_happens(void **state)
{
    struct fixture *f = *state;
    struct pool_options options = plain();
    struct yard *y;
    uint32_t seed = 42;

    options.max_concurrency = 2;
    options.replace_unhealthy = true;
    options.recycle_after = 20;
    y = open_yard(f, options, 3);
    for (unsigned i = 0; i < 20000; i++) {
        act(f, y, &seed);
        check(y);
    }
    assert_int_equal(y->pool.state, POOL_RUNNING);
    pool_stop(&y->pool, 0);
    let_stop(f, y);
    assert_int_equal(y->pool.queue.len, 0);
    assert_int_equal(y->news[POOL_NEWS_ENDED], 1);
    close_yard(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        loop_test(a_call_gets_a_worker_at_once_or_waits_for_one),
        loop_test(those_that_wait_are_taken_by_priority_and_then_in_order),
        loop_test(a_full_queue_refuses_and_a_forgotten_call_makes_room),
        loop_test(one_that_waits_too_long_is_refused),
        loop_test(a_call_is_taken_again_but_not_for_ever),
        loop_test(the_calls_of_a_lost_worker_share_the_blame),
        loop_test(one_taken_again_goes_before_those_that_came_later),
        loop_test(calls_wait_while_all_workers_are_down),
        loop_test(a_pool_without_workers_has_failed_and_can_start_again),
        loop_test(a_start_fails_with_its_first_worker),
        loop_test(a_worker_retires_when_its_calls_have_ended),
        loop_test(a_reload_replaces_one_after_the_other),
        loop_test(a_reload_that_cannot_start_the_next_leaves_the_rest),
        loop_test(one_that_is_unhealthy_takes_no_more_calls_and_is_replaced),
        loop_test(a_drain_ends_when_the_last_call_has),
        loop_test(nobody_is_stranded_whatever_happens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
