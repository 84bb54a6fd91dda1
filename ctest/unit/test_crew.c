/* Native threads that wait for the next job. */
#include "unit.h"

#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/list.h"
#include "spawn/crew.h"

#define PATIENCE_S 30
#define LONG_MS (PATIENCE_S * 2000u) /* nobody leaves by himself in a test */

static atomic_int running; /* the threads that have a job */

/* ---- a job that its test ends ---- */

struct task {
    struct crew_job job;
    pthread_t on;
    sem_t begun, go_on, over;
    bool fit;
};

static void await(sem_t *s)
{
    while (sem_wait(s) < 0) {
        assert_int_equal(errno, EINTR);
    }
}

static void run(struct crew_job *job)
{
    struct task *t = list_entry(job, struct task, job);

    atomic_fetch_add(&running, 1);
    t->on = pthread_self();
    sem_post(&t->begun);
    await(&t->go_on);
    crew_part(job, t->fit);
    atomic_fetch_sub(&running, 1);
    sem_post(&t->over); /* the last that it does with the task */
}

static void begin(struct task *t, struct crew *c, bool fit)
{
    memset(t, 0, sizeof *t);
    t->job.run = run;
    t->fit = fit;
    sem_init(&t->begun, 0, 0);
    sem_init(&t->go_on, 0, 0);
    sem_init(&t->over, 0, 0);
    assert_int_equal(crew_start(c, &t->job), 0);
    await(&t->begun);
}

static void finish(struct task *t)
{
    sem_post(&t->go_on);
    await(&t->over);
    crew_join(&t->job);
}

static int set_up(void **state)
{
    struct crew *c = crew_new(LONG_MS);

    alarm(PATIENCE_S);
    *state = c;
    return c != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct crew *c = *state;

    crew_close(c);
    assert_int_equal(crew_waiting(c), 0);
    crew_release(&c);
    alarm(0);
    return atomic_load(&running);
}

/* ---- tests ---- */

static void a_thread_whose_job_is_over_has_the_next(void **state)
{
    struct task t;
    pthread_t first;

    begin(&t, *state, true);
    first = t.on;
    assert_int_equal(crew_waiting(*state), 0);
    finish(&t);
    assert_int_equal(crew_waiting(*state), 1);
    for (int i = 0; i < 20; i++) {
        begin(&t, *state, true);
        assert_true(pthread_equal(t.on, first));
        assert_true(pthread_equal(t.job.id, first));
        assert_int_equal(crew_waiting(*state), 0);
        finish(&t);
    }
}

static void jobs_at_one_time_have_threads_of_their_own(void **state)
{
    struct task a, b;

    begin(&a, *state, true);
    begin(&b, *state, true);
    assert_false(pthread_equal(a.on, b.on));
    finish(&a);
    finish(&b);
    assert_int_equal(crew_waiting(*state), 2);
}

static void one_that_is_not_as_it_was_found_ends(void **state)
{
    struct task t;

    begin(&t, *state, false);
    finish(&t);
    assert_int_equal(crew_waiting(*state), 0);
}

static void no_more_wait_than_may(void **state)
{
    struct task tasks[CREW_MOST + 3];

    for (int i = 0; i < CREW_MOST + 3; i++) {
        begin(&tasks[i], *state, true);
    }
    for (int i = 0; i < CREW_MOST + 3; i++) {
        finish(&tasks[i]);
    }
    assert_int_equal(crew_waiting(*state), CREW_MOST);
}

static void one_that_was_given_up_is_not_used_again(void **state)
{
    struct task t;

    begin(&t, *state, true);
    crew_give_up(&t.job);
    sem_post(&t.go_on);
    await(&t.over);
    assert_int_equal(crew_waiting(*state), 0);
}

/* It may be given up by one who does not know yet that it is over. */
static void giving_up_one_that_is_over_takes_no_thread_from_the_next(void **state)
{
    struct task old, next;

    begin(&old, *state, true);
    sem_post(&old.go_on);
    await(&old.over);
    begin(&next, *state, true);
    assert_true(pthread_equal(next.on, old.on));
    crew_give_up(&old.job);
    finish(&next);
    assert_int_equal(crew_waiting(*state), 1);
}

static _Thread_local volatile sig_atomic_t signals;
static sem_t is_signalled;

static void note(int number)
{
    (void)number;
    signals++;
    sem_post(&is_signalled);
}

static void a_signal_reaches_only_a_job_that_is_not_over(void **state)
{
    struct sigaction action = {.sa_handler = note}, before;
    struct task old, next;

    sem_init(&is_signalled, 0, 0);
    sigaction(SIGURG, &action, &before);
    begin(&old, *state, true);
    crew_signal(&old.job, SIGURG);
    await(&is_signalled);
    finish(&old);
    begin(&next, *state, true);
    assert_true(pthread_equal(next.on, old.on));
    crew_signal(&old.job, SIGURG); /* goes to nobody */
    finish(&next);
    sigaction(SIGURG, &before, NULL);
    assert_int_equal(sem_trywait(&is_signalled), -1);
}

static void who_waits_in_vain_ends(void **state)
{
    struct crew *c = crew_new(1);
    struct task tasks[3];

    (void)state;
    for (int i = 0; i < 3; i++) {
        begin(&tasks[i], c, true);
    }
    for (int i = 0; i < 3; i++) {
        finish(&tasks[i]);
    }
    while (crew_waiting(c) > 0) {
        sched_yield();
    }
    begin(&tasks[0], c, true); /* and there may be others again */
    finish(&tasks[0]);
    crew_close(c);
    crew_release(&c);
}

static void after_the_close_nobody_waits(void **state)
{
    struct task t;

    begin(&t, *state, true);
    crew_close(*state);
    finish(&t);
    assert_int_equal(crew_waiting(*state), 0);
}

static void without_a_crew_a_job_has_a_thread_of_its_own(void **state)
{
    struct task t;

    (void)state;
    begin(&t, NULL, true);
    finish(&t);
    assert_false(t.job.parted);
}

#define crew_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        crew_test(a_thread_whose_job_is_over_has_the_next),
        crew_test(jobs_at_one_time_have_threads_of_their_own),
        crew_test(one_that_is_not_as_it_was_found_ends),
        crew_test(no_more_wait_than_may),
        crew_test(one_that_was_given_up_is_not_used_again),
        crew_test(giving_up_one_that_is_over_takes_no_thread_from_the_next),
        crew_test(a_signal_reaches_only_a_job_that_is_not_over),
        crew_test(who_waits_in_vain_ends),
        crew_test(after_the_close_nobody_waits),
        crew_test(without_a_crew_a_job_has_a_thread_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
