#include "unit.h"

#include <pthread.h>

#include "spawn/directory.h"
#include "spawn/thread.h"

#define ROUNDS 2000

/* Nothing of it runs; what counts is who holds it. */
static void thread_init(struct thread *t)
{
    memset(t, 0, sizeof *t);
    atomic_init(&t->holders, 1);
}

static struct directory *open_directory(void)
{
    struct directory *d = directory_new();

    assert_non_null(d);
    return d;
}

static void assert_finds(struct directory *d, const char *name, const struct thread *t)
{
    unsigned entry;
    struct thread *found = directory_find(d, name, &entry);

    assert_ptr_equal(found, t);
    if (found != NULL) {
        assert_true(thread_is_entered(found, entry));
        thread_release(&found);
    }
}

static void what_is_entered_is_found_until_it_is_struck(void **state)
{
    struct directory *d = open_directory();
    struct thread a;
    struct thread b;

    (void)state;
    thread_init(&a);
    thread_init(&b);
    assert_finds(d, "a", NULL);
    assert_true(directory_enter(d, "a", &a));
    assert_true(directory_enter(d, "b", &b));
    assert_finds(d, "a", &a);
    assert_finds(d, "b", &b);
    assert_finds(d, "ab", NULL);
    directory_strike(d, "a", &a);
    assert_finds(d, "a", NULL);
    assert_finds(d, "b", &b);
    directory_strike(d, "b", &b);
    assert_int_equal(atomic_load(&a.holders), 1);
    assert_int_equal(atomic_load(&b.holders), 1);
    directory_release(&d);
    assert_null(d);
}

static void a_name_is_struck_by_whose_it_is_alone(void **state)
{
    struct directory *d = open_directory();
    struct thread old;
    struct thread heir;

    (void)state;
    thread_init(&old);
    thread_init(&heir);
    assert_true(directory_enter(d, "name", &heir));
    directory_strike(d, "name", &old);
    directory_strike(d, "other", &heir);
    assert_finds(d, "name", &heir);
    directory_strike(d, "name", &heir);
    directory_strike(d, "name", &heir);
    directory_release(&d);
}

static void an_entry_is_over_with_its_name(void **state)
{
    struct directory *d = open_directory();
    struct thread t;
    struct thread *held;
    unsigned first;
    unsigned second;

    (void)state;
    thread_init(&t);
    assert_true(directory_enter(d, "old", &t));
    held = directory_find(d, "old", &first);
    thread_release(&held);
    directory_strike(d, "old", &t);
    assert_false(thread_is_entered(&t, first));
    assert_true(directory_enter(d, "new", &t));
    assert_false(thread_is_entered(&t, first));
    held = directory_find(d, "new", &second);
    thread_release(&held);
    assert_true(thread_is_entered(&t, second));
    directory_strike(d, "new", &t);
    directory_release(&d);
}

struct seeker {
    struct directory *d; /* held */
    struct thread *threads;
    pthread_t id;
    bool wrong;
};

static void *seek(void *arg)
{
    struct seeker *s = arg;

    for (int i = 0; i < ROUNDS; i++) {
        unsigned entry = 0;
        struct thread *t = directory_find(s->d, "name", &entry);

        s->wrong |= t != NULL && t != &s->threads[0] && t != &s->threads[1];
        s->wrong |= t != NULL && entry % 2 == 0;
        thread_release(&t);
    }
    directory_release(&s->d);
    return NULL;
}

/* The name goes from one to the other and back while others look for it. */
static void others_may_look_meanwhile(void **state)
{
    struct directory *d = open_directory();
    struct thread threads[2];
    struct seeker seekers[2];

    (void)state;
    thread_init(&threads[0]);
    thread_init(&threads[1]);
    for (int i = 0; i < 2; i++) {
        seekers[i] = (struct seeker){.d = directory_hold(d), .threads = threads};
        assert_int_equal(pthread_create(&seekers[i].id, NULL, seek, &seekers[i]), 0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        assert_true(directory_enter(d, "name", &threads[i % 2]));
        directory_strike(d, "name", &threads[i % 2]);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(seekers[i].id, NULL);
        assert_false(seekers[i].wrong);
        assert_int_equal(atomic_load(&threads[i].holders), 1);
        assert_int_equal(atomic_load(&threads[i].entry), ROUNDS);
    }
    directory_release(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_entered_is_found_until_it_is_struck),
        cmocka_unit_test(a_name_is_struck_by_whose_it_is_alone),
        cmocka_unit_test(an_entry_is_over_with_its_name),
        cmocka_unit_test(others_may_look_meanwhile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
