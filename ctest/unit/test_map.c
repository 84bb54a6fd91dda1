#include "unit.h"

#include <stdio.h>

#include "base/map.h"

static void insert(struct map *m, struct map_node *node, const char *key)
{
    assert_true(map_insert(m, node, key, strlen(key)));
}

static struct map_node *find(const struct map *m, const char *key)
{
    return map_find(m, key, strlen(key));
}

static void an_empty_map_finds_nothing(void **state)
{
    struct map m = {0};

    (void)state;
    assert_null(find(&m, "a"));
}

static void what_is_inserted_is_found_and_nothing_else(void **state)
{
    struct map m = {0};
    struct map_node one;
    struct map_node two;

    (void)state;
    insert(&m, &one, "one");
    insert(&m, &two, "two");
    assert_ptr_equal(find(&m, "one"), &one);
    assert_ptr_equal(find(&m, "two"), &two);
    assert_null(find(&m, "three"));
    assert_null(find(&m, ""));
    map_free(&m);
}

static void keys_are_bytes_and_their_length_counts(void **state)
{
    struct map m = {0};
    struct map_node nodes[4];

    (void)state;
    assert_true(map_insert(&m, &nodes[0], "", 0));
    assert_true(map_insert(&m, &nodes[1], "a", 1));
    assert_true(map_insert(&m, &nodes[2], "a\0b", 3));
    assert_true(map_insert(&m, &nodes[3], "a\0c", 3));
    assert_ptr_equal(map_find(&m, "", 0), &nodes[0]);
    assert_ptr_equal(map_find(&m, "a\0b", 1), &nodes[1]);
    assert_ptr_equal(map_find(&m, "a\0b", 3), &nodes[2]);
    assert_ptr_equal(map_find(&m, "a\0c", 3), &nodes[3]);
    assert_null(map_find(&m, "a\0b", 2));
    map_free(&m);
}

/* FNV-1a has the same 32 bits for these two. */
static void keys_with_the_same_hash_are_kept_apart(void **state)
{
    struct map m = {0};
    struct map_node declinate;
    struct map_node macallums;

    (void)state;
    insert(&m, &declinate, "declinate");
    assert_null(find(&m, "macallums"));
    insert(&m, &macallums, "macallums");
    assert_int_equal(declinate.hash, macallums.hash);
    assert_ptr_equal(find(&m, "declinate"), &declinate);
    assert_ptr_equal(find(&m, "macallums"), &macallums);
    map_remove(&m, &macallums);
    assert_null(find(&m, "macallums"));
    assert_ptr_equal(find(&m, "declinate"), &declinate);
    map_free(&m);
}

static void removing_what_is_not_there_does_nothing(void **state)
{
    struct map m = {0};
    struct map_node in;
    struct map_node out = {0};

    (void)state;
    map_remove(&m, &out);
    insert(&m, &in, "in");
    map_remove(&m, &out);
    assert_int_equal(m.len, 1);
    map_remove(&m, &in);
    map_remove(&m, &in);
    assert_int_equal(m.len, 0);
    map_free(&m);
}

#define NODES 1000

struct named {
    struct map_node node;
    char key[32];
    bool in;
};

static void random_insertions_and_removals_are_all_remembered(void **state)
{
    struct named *all = calloc(NODES, sizeof *all);
    struct map m = {0};
    uint32_t random = 3;
    size_t count = 0;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct named *n = &all[next_random(&random) % NODES];

        snprintf(n->key, sizeof n->key, "key %td", n - all);
        assert_ptr_equal(find(&m, n->key), n->in ? &n->node : NULL);
        if (n->in) {
            map_remove(&m, &n->node);
            count--;
        } else {
            insert(&m, &n->node, n->key);
            count++;
        }
        n->in = !n->in;
        assert_ptr_equal(find(&m, n->key), n->in ? &n->node : NULL);
        assert_int_equal(m.len, count);
    }
    assert_true(m.cap >= 256); /* it has grown, so chains stay short */
    map_free(&m);
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_finds_nothing),
        cmocka_unit_test(what_is_inserted_is_found_and_nothing_else),
        cmocka_unit_test(keys_are_bytes_and_their_length_counts),
        cmocka_unit_test(keys_with_the_same_hash_are_kept_apart),
        cmocka_unit_test(removing_what_is_not_there_does_nothing),
        cmocka_unit_test(random_insertions_and_removals_are_all_remembered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
