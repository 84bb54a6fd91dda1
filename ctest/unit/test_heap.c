#include "unit.h"

#include "base/heap.h"

static void an_empty_heap_has_no_first(void **state)
{
    struct heap h = {0};

    (void)state;
    assert_null(heap_first(&h));
}

static void nodes_come_out_from_the_smallest_to_the_largest(void **state)
{
    static const uint64_t keys[] = {5, 3, UINT64_MAX, 0, 9, 3, 7};
    struct heap_node nodes[count_of(keys)] = {0};
    struct heap h = {0};
    uint64_t last = 0;

    (void)state;
    for (size_t i = 0; i < count_of(keys); i++) {
        nodes[i].key = keys[i];
        assert_true(heap_insert(&h, &nodes[i]));
    }
    for (size_t i = 0; i < count_of(keys); i++) {
        struct heap_node *first = heap_first(&h);

        assert_true(first->key >= last);
        last = first->key;
        heap_remove(&h, first);
    }
    assert_null(heap_first(&h));
    heap_free(&h);
}

static void removing_a_node_that_is_in_no_heap_does_nothing(void **state)
{
    struct heap h = {0};
    struct heap_node in = {.key = 1};
    struct heap_node out = {.key = 2};

    (void)state;
    assert_true(heap_insert(&h, &in));
    heap_remove(&h, &out);
    assert_ptr_equal(heap_first(&h), &in);
    heap_remove(&h, &in);
    heap_remove(&h, &in);
    assert_int_equal(h.len, 0);
    heap_free(&h);
}

/* The node that takes the place of 11 is smaller than the one above it. */
static void removing_from_the_middle_can_lift_the_node_that_fills_the_gap(void **state)
{
    static const uint64_t keys[] = {1, 10, 2, 11, 12, 20, 4};
    static const uint64_t left[] = {1, 2, 4, 10, 12, 20};
    struct heap_node nodes[count_of(keys)] = {0};
    struct heap h = {0};

    (void)state;
    for (size_t i = 0; i < count_of(keys); i++) {
        nodes[i].key = keys[i];
        assert_true(heap_insert(&h, &nodes[i]));
    }
    heap_remove(&h, &nodes[3]);
    for (size_t i = 0; i < count_of(left); i++) {
        assert_int_equal(heap_first(&h)->key, left[i]);
        heap_remove(&h, heap_first(&h));
    }
    heap_free(&h);
}

#define NODES 300

/* The oracle: the smallest key of those that are in, found by looking at all of them. */
static void assert_agrees(const struct heap *h, const struct heap_node *nodes, const bool *in)
{
    uint64_t least = UINT64_MAX;
    size_t count = 0;

    for (int i = 0; i < NODES; i++) {
        assert_int_equal(nodes[i].place != 0, in[i]);
        if (in[i]) {
            count++;
            least = nodes[i].key < least ? nodes[i].key : least;
            assert_ptr_equal(h->nodes[nodes[i].place - 1], &nodes[i]);
        }
    }
    assert_int_equal(h->len, count);
    if (count > 0) {
        assert_int_equal(heap_first(h)->key, least);
    }
}

static void random_insertions_and_removals_agree_with_a_search_through_all(void **state)
{
    struct heap_node nodes[NODES] = {0};
    bool in[NODES] = {false};
    struct heap h = {0};
    uint32_t random = 7;

    (void)state;
    for (int round = 0; round < 6000; round++) {
        uint32_t i = next_random(&random) % NODES;

        if (round % 3 == 0 && h.len > 0) {
            i = (uint32_t)(heap_first(&h) - nodes);
        }
        if (in[i]) {
            heap_remove(&h, &nodes[i]);
        } else {
            nodes[i].key = next_random(&random) % 100;
            assert_true(heap_insert(&h, &nodes[i]));
        }
        in[i] = !in[i];
        assert_agrees(&h, nodes, in);
    }
    heap_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_heap_has_no_first),
        cmocka_unit_test(nodes_come_out_from_the_smallest_to_the_largest),
        cmocka_unit_test(removing_a_node_that_is_in_no_heap_does_nothing),
        cmocka_unit_test(removing_from_the_middle_can_lift_the_node_that_fills_the_gap),
        cmocka_unit_test(random_insertions_and_removals_agree_with_a_search_through_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
