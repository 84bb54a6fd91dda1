#include "hostile.h"

#include <sys/resource.h>
#include <sys/stat.h>

/* ---- what is no memory that can be shared ---- */

static int again(int fd, int flags)
{
    char path[64];
    int opened;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    opened = open(path, flags | O_CLOEXEC);
    close(fd);
    return opened;
}

static int not_sealed(void)
{
    return memory(4096, 0, 0);
}

static int sealed_in_part(void)
{
    return memory(4096, 0, F_SEAL_GROW | F_SEAL_SEAL);
}

static int sealed_against_writing(void)
{
    return memory(4096, 0, SEALED | F_SEAL_WRITE);
}

static int sealed_against_later_writing(void)
{
    return memory(4096, 0, SEALED | 0x10 /* F_SEAL_FUTURE_WRITE */);
}

static int read_only(void)
{
    return again(memory(4096, 0, SEALED), O_RDONLY);
}

static int write_only(void)
{
    return again(memory(4096, 0, SEALED), O_WRONLY);
}

static int mere_path(void)
{
    return again(memory(4096, 0, SEALED), O_PATH);
}

static int huge_pages(void)
{
    int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);

    if (fd < 0) { /* a kernel that has none */
        return -1;
    }
    assert_int_equal(ftruncate(fd, 2 << 20), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, SEALED), 0);
    return fd;
}

static int file(void)
{
    return open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

static int file_in_memory(void)
{
    return open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

static int zeros(void)
{
    return open("/dev/zero", O_RDWR | O_CLOEXEC);
}

static int folder(void)
{
    return open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int pipe_end(void)
{
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    close(fds[1]);
    return fds[0];
}

static int socket_end(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int (*const makers[])(void) = {
    not_sealed,
    sealed_in_part,
    sealed_against_writing,
    sealed_against_later_writing,
    read_only,
    write_only,
    mere_path,
    huge_pages,
    file,
    file_in_memory,
    zeros,
    folder,
    pipe_end,
    socket_end,
};

static void only_memory_of_ours_is_a_buffer(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < count_of(makers); i++) {
        int fd = makers[i]();
        struct side s;

        if (fd >= 0) {
            open_side(f, &s);
            say_request_of_memory(&s, fd);
            must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, "no memory which can be shared");
            assert_int_equal(s.requests, 0);
            close(fd);
        }
    }
}

static void only_memory_of_ours_is_an_arena(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < count_of(makers); i++) {
        int fd = makers[i]();
        struct side s;

        if (fd >= 0) {
            open_side(f, &s);
            say_frame(&s, FRAME(ARENA), &fd, 1);
            must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, "no memory which can be shared");
            close(fd);
        }
    }
}

static void one_that_is_none_lets_go_of_the_others(void **state)
{
    struct fixture *f = *state;
    int fds[] = {memory(4096, 0, SEALED), pipe_end(), memory(4096, 0, SEALED)};
    struct side s;

    open_side(f, &s);
    say_frame(&s, FRAME("\x92\x06\x93\xc0\xc0\xc0"), fds, 3);
    say_frame(&s, FRAME(REQUEST_MEMORY), NULL, 0);
    must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, "no memory which can be shared");
    for (size_t i = 0; i < count_of(fds); i++) {
        close(fds[i]);
    }
}

/* ---- how many ---- */

static void memory_arrives_with_its_message(void **state)
{
    struct fixture *f = *state;
    int fd = memory(8, 0, SEALED);
    struct side s;

    open_side(f, &s);
    for (int i = 1; i <= 300; i++) {
        say_request_of_memory(&s, fd);
        run_until(f, s.requests == i);
        assert_int_equal(s.len, 8);
    }
    assert_int_equal(s.lost, 0);
    close_side(f, &s);
    close(fd);
}

static void descriptors_that_belong_to_no_message_end_it(void **state)
{
    static const struct {
        const char *frame;
        size_t len;
    } cases[] = {{FRAME("\x92\x03\x01")}, {FRAME("\x94\x00\x01\x07\x90")}};
    struct fixture *f = *state;

    for (size_t i = 0; i < count_of(cases); i++) {
        int fd = memory(4096, 0, SEALED);
        struct side s;

        open_side(f, &s);
        say_frame(&s, cases[i].frame, cases[i].len, &fd, 1);
        must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, "belongs to no message");
        close(fd);
    }
}

static void more_descriptors_than_the_message_has_end_it(void **state)
{
    struct fixture *f = *state;
    int fds[] = {memory(4096, 0, SEALED), memory(4096, 0, SEALED)};
    struct side s;

    open_side(f, &s);
    say_frame(&s, FRAME(ONE_MEMORY), fds, 2);
    say_frame(&s, FRAME(REQUEST_MEMORY), NULL, 0);
    must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, "belongs to no message");
    close(fds[0]);
    close(fds[1]);
}

/* They wait with a frame that never ends, but not for ever. */
static void descriptors_do_not_pile_up(void **state)
{
    struct fixture *f = *state;
    int fds[250];
    int fd = memory(4096, 0, SEALED);
    struct side s;

    for (size_t i = 0; i < count_of(fds); i++) {
        fds[i] = fd;
    }
    open_side(f, &s);
    say_with(&s, "\x40\0\0\0", 4, NULL, 0);
    for (int i = 0; i < 3 && s.lost == 0; i++) {
        say_with(&s, "x", 1, fds, count_of(fds));
        run_idle(f);
        assert_true(descriptors() < s.before + 2 + 510);
    }
    must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, "belongs to no message");
    close(fd);
}

static void a_message_has_so_many(void **state)
{
    struct fixture *f = *state;
    int fds[CHANNEL_SHM_MAX + 1];
    int fd = memory(4096, 0, SEALED);
    uint8_t cargo[5 + CHANNEL_SHM_MAX + 1];
    struct side s;

    for (size_t i = 0; i < count_of(fds); i++) {
        fds[i] = fd;
    }
    memset(cargo, 0xc0, sizeof cargo);
    memcpy(cargo, (uint8_t[]){0x92, 0x06, 0xdc, 0, CHANNEL_SHM_MAX + 1}, 5);
    open_side(f, &s);
    say_frame(&s, cargo, sizeof cargo, fds, count_of(fds));
    say_frame(&s, FRAME(REQUEST_MEMORY), NULL, 0);
    must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, "no memory which can be shared");
    close(fd);
}

/* ---- descriptors that the receiver has no room for ---- */

static struct rlimit roomy;

/* No descriptor can be opened until make_room. */
static void use_up_room(void)
{
    struct rlimit none;
    int lowest = dup(0);

    assert_true(lowest >= 0);
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &roomy), 0);
    none = (struct rlimit){(rlim_t)lowest, roomy.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
}

static void make_room(void)
{
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &roomy), 0);
}

/* The frame comes with memory for which there is no room. */
static void say_what_is_lost(struct fixture *f, const struct side *s, const void *frame, size_t len)
{
    int fd = memory(4096, 0, SEALED);

    say_frame(s, FRAME(ONE_MEMORY), &fd, 1);
    say_frame(s, frame, len, NULL, 0);
    close(fd);
    use_up_room();
    run_idle(f);
    make_room();
}

static void a_request_whose_memory_is_lost_is_answered_so(void **state)
{
    struct fixture *f = *state;
    struct side s;
    uint8_t heard[512];
    size_t len;
    int fd = memory(8, 0, SEALED);

    open_side(f, &s);
    say_what_is_lost(f, &s, FRAME(REQUEST_MEMORY));
    len = hear(f, &s, heard, sizeof heard, NULL);
    assert_true(has(heard, len, FRAME("limit_exceeded")));
    assert_true(has(heard, len, FRAME("out of descriptors")));
    assert_int_equal(s.requests + s.lost, 0);
    say_request_of_memory(&s, fd); /* and the next one arrives */
    run_until(f, s.requests);
    assert_int_equal(s.len, 8);
    close_side(f, &s);
    close(fd);
}

static void an_answer_whose_memory_is_lost_ends_that_call(void **state)
{
    struct fixture *f = *state;
    struct side s;

    open_side(f, &s);
    begin_call(&s, false);
    say_what_is_lost(f, &s,
                     FRAME("\x94\x01\x00\xc0\x91\xc7\x14\x02\0\0\0\0"
                           "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08"));
    assert_int_equal(s.done, 1);
    assert_int_equal(s.code, TITAN_E_LIMIT_EXCEEDED);
    assert_int_equal(s.lost, 0);
    begin_call(&s, false);
    say_frame(&s, FRAME("\x94\x01\x00\xc0\x90"), NULL, 0);
    run_until(f, s.done == 2);
    assert_int_equal(s.code, TITAN_OK);
    close_side(f, &s);
}

static void an_item_whose_memory_is_lost_ends_that_call(void **state)
{
    struct fixture *f = *state;
    struct side s;

    open_side(f, &s);
    begin_call(&s, false);
    say_frame(&s, FRAME("\x93\x04\x00\x90"), NULL, 0);
    run_until(f, s.items);
    say_what_is_lost(f, &s,
                     FRAME("\x93\x04\x00\x91\xc7\x14\x02\0\0\0\0"
                           "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08"));
    assert_int_equal(s.items, 1);
    assert_int_equal(s.done, 1);
    assert_int_equal(s.code, TITAN_E_LIMIT_EXCEEDED);
    assert_int_equal(s.lost, 0);
    close_side(f, &s);
}

static void a_notification_whose_memory_is_lost_ends_the_conversation(void **state)
{
    struct fixture *f = *state;
    struct side s;

    open_side(f, &s);
    say_what_is_lost(f, &s, FRAME("\x93\x02\xa1x\x90"));
    assert_int_equal(s.notifications, 0);
    must_be_lost(f, &s, TITAN_E_LIMIT_EXCEEDED, "out of descriptors");
}

static void memory_without_its_descriptor_is_missing(void **state)
{
    struct fixture *f = *state;
    struct side s;
    uint8_t heard[512];

    open_side(f, &s);
    say_frame(&s, FRAME(ONE_MEMORY), NULL, 0);
    say_frame(&s, FRAME(REQUEST_MEMORY), NULL, 0);
    assert_true(has(heard, hear(f, &s, heard, sizeof heard, NULL), FRAME("limit_exceeded")));
    assert_int_equal(s.requests + s.lost, 0);
    close_side(f, &s);
}

/* The other side hears of it and makes another; until then blocks of it are missing. */
static void an_arena_that_is_lost_is_refused(void **state)
{
    struct fixture *f = *state;
    struct side s;
    uint8_t heard[512];
    size_t len;

    open_side(f, &s);
    say_arena(&s, ARENA_LEN);
    use_up_room();
    run_idle(f);
    make_room();
    say_block(&s, 0, BLOCK_LEN);
    len = hear(f, &s, heard, sizeof heard, NULL);
    assert_true(has(heard, len, FRAME("\x92\x08\xc0")));
    assert_true(has(heard, len, FRAME("limit_exceeded")));
    assert_int_equal(s.requests + s.lost, 0);
    say_arena(&s, ARENA_LEN);
    say_block(&s, 0, BLOCK_LEN);
    run_until(f, s.requests);
    assert_string_equal(s.text, "block");
    close_side(f, &s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        loop_test(only_memory_of_ours_is_a_buffer),
        loop_test(only_memory_of_ours_is_an_arena),
        loop_test(one_that_is_none_lets_go_of_the_others),
        loop_test(memory_arrives_with_its_message),
        loop_test(descriptors_that_belong_to_no_message_end_it),
        loop_test(more_descriptors_than_the_message_has_end_it),
        loop_test(descriptors_do_not_pile_up),
        loop_test(a_message_has_so_many),
        loop_test(a_request_whose_memory_is_lost_is_answered_so),
        loop_test(an_answer_whose_memory_is_lost_ends_that_call),
        loop_test(an_item_whose_memory_is_lost_ends_that_call),
        loop_test(a_notification_whose_memory_is_lost_ends_the_conversation),
        loop_test(memory_without_its_descriptor_is_missing),
        loop_test(an_arena_that_is_lost_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
