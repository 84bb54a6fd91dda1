#include "unit.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "transport/bell.h"

#define PATIENCE_S 60

static int be_patient(void **state)
{
    (void)state;
    alarm(PATIENCE_S);
    return 0;
}

/* ---- one thread ---- */

struct box {
    struct mailbox base;
    unsigned wakes, freed;
};

static struct box *box_of(struct mailbox *m)
{
    return (struct box *)(void *)m;
}

static void wake(struct mailbox *m)
{
    box_of(m)->wakes++;
}

static void let_go(struct mailbox *m)
{
    box_of(m)->freed++;
}

/* The letters that were delivered, in their order. */
struct log {
    char text[16];
    struct mailbox *again; /* a letter that is delivered is posted there once more */
    struct mailbox *close;
};

struct letter {
    struct post post;
    char name;
    struct log *log;
};

static void note(struct post *p)
{
    struct letter *l = (struct letter *)(void *)p;
    struct mailbox *again = l->log->again;

    l->log->text[strlen(l->log->text)] = l->name;
    l->log->again = NULL;
    if (again != NULL) {
        assert_true(mailbox_post(again, p));
    }
    if (l->log->close != NULL) {
        mailbox_close(l->log->close);
    }
}

static struct letter letter(char name, struct log *log)
{
    return (struct letter){.post.deliver = note, .name = name, .log = log};
}

static void posts_are_delivered_in_their_order(void **state)
{
    struct box b = {0};
    struct log log = {0};
    struct letter x = letter('x', &log), y = letter('y', &log), z = letter('z', &log);

    (void)state;
    mailbox_init(&b.base, wake, let_go);
    assert_true(mailbox_is_empty(&b.base));
    assert_true(mailbox_post(&b.base, &x.post));
    assert_true(mailbox_post(&b.base, &y.post));
    assert_true(mailbox_post(&b.base, &z.post));
    assert_false(mailbox_is_empty(&b.base));
    assert_string_equal(log.text, "");
    mailbox_deliver(&b.base);
    assert_string_equal(log.text, "xyz");
    assert_true(mailbox_is_empty(&b.base));
    mailbox_deliver(&b.base);
    assert_string_equal(log.text, "xyz");
}

static void what_is_posted_in_a_delivery_comes_with_the_next(void **state)
{
    struct box b = {0};
    struct log log = {.again = &b.base};
    struct letter x = letter('x', &log), y = letter('y', &log);

    (void)state;
    mailbox_init(&b.base, wake, let_go);
    mailbox_post(&b.base, &x.post);
    mailbox_post(&b.base, &y.post);
    mailbox_deliver(&b.base);
    assert_string_equal(log.text, "xy");
    mailbox_deliver(&b.base);
    assert_string_equal(log.text, "xyx");
}

static void who_sleeps_is_woken_by_the_first_post_alone(void **state)
{
    struct box b = {0};
    struct log log = {0};
    struct letter x = letter('x', &log), y = letter('y', &log), z = letter('z', &log);

    (void)state;
    mailbox_init(&b.base, wake, let_go);
    mailbox_post(&b.base, &x.post);
    assert_int_equal(b.wakes, 0); /* nobody slept */
    assert_false(mailbox_fall_asleep(&b.base));
    mailbox_deliver(&b.base);
    assert_true(mailbox_fall_asleep(&b.base));
    mailbox_post(&b.base, &y.post);
    mailbox_post(&b.base, &z.post);
    assert_int_equal(b.wakes, 1);
    mailbox_awake(&b.base);
    mailbox_deliver(&b.base);
    assert_true(mailbox_fall_asleep(&b.base));
    mailbox_awake(&b.base); /* something else has woken it */
    mailbox_post(&b.base, &x.post);
    assert_int_equal(b.wakes, 1);
}

static void a_closed_one_has_delivered_all_and_refuses_the_rest(void **state)
{
    struct box b = {0};
    struct log log = {0};
    struct letter x = letter('x', &log), y = letter('y', &log);

    (void)state;
    mailbox_init(&b.base, wake, let_go);
    mailbox_post(&b.base, &x.post);
    mailbox_close(&b.base);
    assert_string_equal(log.text, "x");
    assert_false(mailbox_post(&b.base, &y.post));
    mailbox_close(&b.base);
    mailbox_deliver(&b.base);
    assert_string_equal(log.text, "x");
}

static void it_may_be_closed_in_a_delivery(void **state)
{
    struct box b = {0};
    struct log log = {.close = &b.base};
    struct letter x = letter('x', &log), y = letter('y', &log);

    (void)state;
    mailbox_init(&b.base, wake, let_go);
    mailbox_post(&b.base, &x.post);
    mailbox_post(&b.base, &y.post);
    mailbox_deliver(&b.base);
    assert_string_equal(log.text, "xy");
    assert_false(mailbox_post(&b.base, &x.post));
}

static void the_last_holder_frees_it(void **state)
{
    struct box b = {0};

    (void)state;
    mailbox_init(&b.base, wake, let_go);
    assert_ptr_equal(mailbox_hold(&b.base), &b.base);
    mailbox_release(&b.base);
    assert_int_equal(b.freed, 0);
    mailbox_release(&b.base);
    assert_int_equal(b.freed, 1);
}

/* ---- many threads ---- */

#define POSTERS 4
#define POSTS 10000

/* Each poster has one post, which it waits to have back before it posts it again. */
struct poster {
    struct post post;
    struct mailbox *mail;
    pthread_t thread;
    atomic_bool is_there; /* in the mailbox */
    unsigned posted, delivered, refused;
    unsigned written; /* before the post: what the owner sees of it must be right */
};

static void came(struct post *p)
{
    struct poster *from = (struct poster *)(void *)p;

    from->delivered++;
    assert_int_equal(from->written, from->delivered);
    atomic_store_explicit(&from->is_there, false, memory_order_release);
}

static void *post_many(void *arg)
{
    struct poster *p = arg;

    while (p->posted < POSTS && p->refused == 0) {
        if (atomic_load_explicit(&p->is_there, memory_order_acquire)) {
            sched_yield();
            continue;
        }
        p->written++;
        atomic_store_explicit(&p->is_there, true, memory_order_relaxed);
        if (mailbox_post(p->mail, &p->post)) {
            p->posted++;
        } else {
            p->refused++;
        }
    }
    mailbox_release(p->mail);
    return NULL;
}

static void start_posters(struct poster posters[POSTERS], struct mailbox *m)
{
    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.post.deliver = came, .mail = mailbox_hold(m)};
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_many, &posters[i]), 0);
    }
}

static unsigned delivered(const struct poster posters[POSTERS])
{
    unsigned count = 0;

    for (int i = 0; i < POSTERS; i++) {
        count += posters[i].delivered;
    }
    return count;
}

/* Without a limit: a wake that is lost is the end of this test. */
static void sleep_until_rung(struct mailbox *m, int fd)
{
    struct pollfd bell = {.fd = fd, .events = POLLIN};
    uint64_t rings;

    if (mailbox_fall_asleep(m)) {
        assert_int_equal(poll(&bell, 1, -1), 1);
        assert_int_equal(read(fd, &rings, sizeof rings), sizeof rings);
    }
    mailbox_awake(m);
}

static void no_wake_is_lost_among_many_posters(void **state)
{
    struct mailbox *m = bell_new();
    int fd = bell_dup(m);
    struct poster posters[POSTERS];

    (void)state;
    start_posters(posters, m);
    while (delivered(posters) < POSTERS * POSTS) {
        sleep_until_rung(m, fd);
        mailbox_deliver(m);
    }
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(posters[i].thread, NULL);
        assert_int_equal(posters[i].delivered, POSTS);
    }
    close(fd);
    mailbox_release(m);
}

static void a_post_is_delivered_or_refused_when_it_is_closed_meanwhile(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 60; round++) {
        struct mailbox *m = bell_new();
        struct poster posters[POSTERS];

        start_posters(posters, m);
        while (delivered(posters) < round) {
            mailbox_deliver(m);
            sched_yield();
        }
        mailbox_close(m);
        mailbox_release(m); /* the posters have it still */
        for (int i = 0; i < POSTERS; i++) {
            pthread_join(posters[i].thread, NULL);
            assert_int_equal(posters[i].refused, 1);
            assert_int_equal(posters[i].delivered, posters[i].posted);
        }
    }
}

static void who_rings_late_does_not_write_to_a_foreign_descriptor(void **state)
{
    struct mailbox *m = bell_new();
    int fd = bell_dup(m);
    int pair[2];
    char byte;

    (void)state;
    close(fd); /* the owner is gone; the number is taken by the next one */
    assert_int_equal(pipe(pair), 0);
    m->wake(m);
    close(pair[1]);
    assert_int_equal(read(pair[0], &byte, 1), 0);
    close(pair[0]);
    mailbox_release(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posts_are_delivered_in_their_order),
        cmocka_unit_test(what_is_posted_in_a_delivery_comes_with_the_next),
        cmocka_unit_test(who_sleeps_is_woken_by_the_first_post_alone),
        cmocka_unit_test(a_closed_one_has_delivered_all_and_refuses_the_rest),
        cmocka_unit_test(it_may_be_closed_in_a_delivery),
        cmocka_unit_test(the_last_holder_frees_it),
        cmocka_unit_test(no_wake_is_lost_among_many_posters),
        cmocka_unit_test(a_post_is_delivered_or_refused_when_it_is_closed_meanwhile),
        cmocka_unit_test(who_rings_late_does_not_write_to_a_foreign_descriptor),
    };

    return cmocka_run_group_tests(tests, be_patient, NULL);
}
