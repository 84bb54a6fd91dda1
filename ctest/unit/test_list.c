#include "unit.h"

#include "base/list.h"

struct item {
    int number;
    struct list link;
};

/* The numbers of the items in order, as one decimal number. */
static int numbers_of(const struct list *head)
{
    int numbers = 0;

    for (const struct list *l = head->next; l != head; l = l->next) {
        numbers = numbers * 10 + list_entry(l, struct item, link)->number;
    }
    return numbers;
}

static void fill(struct list *head, struct item items[3])
{
    list_init(head);
    for (int i = 0; i < 3; i++) {
        items[i].number = i + 1;
        list_push(head, &items[i].link);
    }
}

static void a_new_list_is_empty(void **state)
{
    struct list head;

    (void)state;
    list_init(&head);
    assert_true(list_empty(&head));
}

static void nodes_stay_in_the_order_they_were_pushed(void **state)
{
    struct list head;
    struct item items[3];

    (void)state;
    fill(&head, items);
    assert_false(list_empty(&head));
    assert_int_equal(numbers_of(&head), 123);
    assert_ptr_equal(head.prev, &items[2].link);
}

static void any_node_can_be_taken_out(void **state)
{
    struct list head;
    struct item items[3];

    (void)state;
    fill(&head, items);
    list_remove(&items[1].link);
    assert_int_equal(numbers_of(&head), 13);
    list_remove(&items[0].link);
    list_remove(&items[2].link);
    assert_true(list_empty(&head));
}

static void a_node_that_was_taken_out_can_be_again_and_can_be_pushed_again(void **state)
{
    struct list head;
    struct item items[3];

    (void)state;
    fill(&head, items);
    list_remove(&items[0].link);
    assert_true(list_empty(&items[0].link));
    list_remove(&items[0].link);
    assert_int_equal(numbers_of(&head), 23);
    list_push(&head, &items[0].link);
    assert_int_equal(numbers_of(&head), 231);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_list_is_empty),
        cmocka_unit_test(nodes_stay_in_the_order_they_were_pushed),
        cmocka_unit_test(any_node_can_be_taken_out),
        cmocka_unit_test(a_node_that_was_taken_out_can_be_again_and_can_be_pushed_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
