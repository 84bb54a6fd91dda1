#include "hostile.h"

/* ---- blocks of the other side's arena ---- */

static void a_block_is_read_and_given_back(void **state)
{
    static const char release[] = "\x92\x08\x00";
    struct fixture *f = *state;
    struct side s;
    uint8_t heard[256];
    size_t len;

    open_side(f, &s);
    say_arena(&s, ARENA_LEN);
    say_block(&s, 0, BLOCK_LEN);
    run_until(f, s.requests);
    assert_int_equal(s.len, BLOCK_LEN);
    assert_string_equal(s.text, "block");
    len = hear(f, &s, heard, sizeof heard, NULL);
    assert_true(has(heard, len, release, sizeof release - 1));
    say_block(&s, ARENA_LEN - BLOCK_LEN, BLOCK_LEN); /* to its end */
    run_until(f, s.requests == 2);
    assert_int_equal(s.lost, 0);
    close_side(f, &s);
}

static void a_block_is_inside_of_its_arena(void **state)
{
    static const struct {
        int64_t offset, len;
        const char *why;
    } cases[] = {
        {ARENA_LEN, BLOCK_LEN, "outside of its arena"},
        {ARENA_LEN - BLOCK_LEN + 1, BLOCK_LEN, "outside of its arena"},
        {0, ARENA_LEN + 1, "outside of its arena"},
        {UINT32_MAX, UINT32_MAX, "outside of its arena"},
        {0, 0, "not an offset and a length"},
        {0, -1, "not an offset and a length"},
        {-1, BLOCK_LEN, "not an offset and a length"},
        {0, BLOCK_LEN - 1, "not an offset and a length"},
        {INT64_MAX, BLOCK_LEN, "not an offset and a length"},
        {0, INT64_MAX, "not an offset and a length"},
        {0, ARENA_LEN, "larger than a frame"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < count_of(cases); i++) {
        struct side s;

        open_side(f, &s);
        say_arena(&s, ARENA_LEN);
        say_block(&s, cases[i].offset, cases[i].len);
        must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, cases[i].why);
        assert_int_equal(s.requests, 0);
    }
}

static void a_block_needs_an_arena(void **state)
{
    struct fixture *f = *state;
    struct side s;

    open_side(f, &s);
    say_block(&s, 0, BLOCK_LEN);
    must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, "where no arena is");
}

static void there_is_one_arena(void **state)
{
    struct fixture *f = *state;
    struct side s;

    open_side(f, &s);
    say_arena(&s, ARENA_LEN);
    say_arena(&s, ARENA_LEN);
    must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, "a second arena");
}

static void an_arena_has_a_length_that_can_be(void **state)
{
    static const size_t lengths[] = {0, ((size_t)256 << 20) + 1, (size_t)1 << 40};
    struct fixture *f = *state;

    for (size_t i = 0; i < count_of(lengths); i++) {
        struct side s;

        open_side(f, &s);
        say_arena(&s, lengths[i]);
        must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, "of a length that none has");
    }
}

static void what_is_kept_can_be_read_after_the_other_side_is_gone(void **state)
{
    struct fixture *f = *state;
    struct side s;
    struct span string;
    int before = descriptors();

    open_side(f, &s);
    s.keep = true;
    say_arena(&s, ARENA_LEN);
    say_block(&s, 0, BLOCK_LEN);
    run_until(f, s.requests);
    peer_close(&s.peer, &closed);
    close(s.fd);
    run_idle(f);
    s.kept.pieces[0].used = false;
    assert_null(cargo_string(&s.kept, (struct span){(const uint8_t *)"\0\0\0\0", 4}, &string));
    assert_memory_equal(string.at, "block", 5);
    assert_int_equal(string.len, BLOCK_LEN);
    cargo_free(&s.kept);
    assert_int_equal(descriptors(), before);
}

/* ---- references ---- */

static void a_reference_is_to_what_came_along(void **state)
{
    static const struct {
        const char *cargo;
        size_t cargo_len;
        const char *request;
        size_t len;
        const char *why;
    } cases[] = {
        {FRAME("\x92\x06\x91\xa1x"), FRAME("\x94\x00\x01\x07\x91\xd6\x01\0\0\0\1"),
         "a string that did not come along"},
        {FRAME("\x92\x06\x91\xa1x"), FRAME("\x94\x00\x01\x07\x91\xd6\x01\xff\xff\xff\xff"),
         "a string that did not come along"},
        {FRAME("\x92\x06\x91\xa1x"), FRAME("\x94\x00\x01\x07\x91\xd5\x01\0\0"),
         "a string that did not come along"},
        {FRAME("\x92\x06\x91\xa1x"), FRAME(REQUEST_MEMORY), "memory that did not come along"},
        {FRAME("\x92\x06\x90"), FRAME(REQUEST_STRING), "a string that did not come along"},
        {NULL, 0, FRAME(REQUEST_STRING), "a string that did not come along"},
        {NULL, 0, FRAME(REQUEST_MEMORY), "memory that did not come along"},
        {FRAME("\x92\x06\x91\xb0xxxxxxxxxxxxxxxx"),
         FRAME("\x94\x00\x01\x07\x92\xd6\x01\0\0\0\0\xd6\x01\0\0\0\0"), "referred to twice"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < count_of(cases); i++) {
        struct side s;

        open_side(f, &s);
        if (cases[i].cargo != NULL) {
            say_frame(&s, cases[i].cargo, cases[i].cargo_len, NULL, 0);
        }
        say_frame(&s, cases[i].request, cases[i].len, NULL, 0);
        must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, cases[i].why);
    }
}

static void a_part_is_inside_of_its_memory(void **state)
{
    static const uint64_t parts[][2] = {
        {4096, 1}, {4097, 0}, {1, 4096}, {UINT64_MAX, 2}, {2, UINT64_MAX}};
    struct fixture *f = *state;

    for (size_t i = 0; i < count_of(parts); i++) {
        int fd = memory(4096, 0, SEALED);
        uint8_t request[] = REQUEST_MEMORY;
        struct side s;

        (void)mp_put_be64(mp_put_be64(request + 12, parts[i][0]), parts[i][1]);
        open_side(f, &s);
        say_frame(&s, FRAME(ONE_MEMORY), &fd, 1);
        say_frame(&s, request, sizeof request - 1, NULL, 0);
        must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, "a part outside of its memory");
        close(fd);
    }
}

/* ---- cargoes ---- */

static void a_cargo_belongs_to_a_message(void **state)
{
    static const struct {
        const char *next;
        size_t len;
    } cases[] = {
        {FRAME("\x92\x03\x01")},     {FRAME("\x93\x05\x01\x01")}, {FRAME("\x92\x06\x90")},
        {FRAME("\x92\x06\x91\xc0")}, {FRAME("\x91\x07")},         {FRAME("\x92\x08\x00")},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < count_of(cases); i++) {
        int fd = memory(4096, 0, SEALED);
        struct side s;

        open_side(f, &s);
        say_frame(&s, FRAME(ONE_MEMORY), &fd, 1);
        say_frame(&s, cases[i].next, cases[i].len, NULL, 0);
        must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, "a cargo of a message that has none");
        close(fd);
    }
}

static void a_cargo_whose_message_never_comes_is_let_go(void **state)
{
    struct fixture *f = *state;
    struct side s;
    int fd;

    open_side(f, &s);
    fd = memory(4096, 0, SEALED);
    say_frame(&s, FRAME(ONE_MEMORY), &fd, 1);
    close(fd);
    run_idle(f);
    assert_int_equal(s.lost, 0);
    shutdown(s.fd, SHUT_WR);
    must_be_lost(f, &s, TITAN_E_WORKER_LOST, "in the middle of a frame");
}

static void a_cargo_is_a_list_of_pieces(void **state)
{
    static const struct {
        const char *cargo;
        size_t len;
        const char *why;
    } cases[] = {
        {FRAME("\x92\x06\xc0"), "no list"},
        {FRAME("\x92\x06\x80"), "no list"},
        {FRAME("\x92\x06\x91"), "truncated"},
        {FRAME("\x92\x06\xdd\xff\xff\xff\xff"), ""},
        {FRAME("\x92\x06\x91\x01"), "that is none"},
        {FRAME("\x92\x06\x91\x91\xc0"), "that is none"},
        {FRAME("\x92\x06\x91\x92\xc0\xc0"), "not an offset and a length"},
        {FRAME("\x92\x06\x91\x92\x90\x90"), "not an offset and a length"},
        {FRAME("\x92\x06\x91\xa4xx"), ""},
        {FRAME("\x92\x06\x90\xc0"), "bytes after the end"},
        {FRAME("\x93\x06\x90\xc0"), "two fields"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < count_of(cases); i++) {
        struct side s;

        open_side(f, &s);
        say_frame(&s, cases[i].cargo, cases[i].len, NULL, 0);
        say_frame(&s, FRAME(REQUEST_STRING), NULL, 0);
        must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, cases[i].why);
        assert_int_equal(s.requests, 0);
    }
}

static void a_cargo_has_so_many_pieces(void **state)
{
    struct fixture *f = *state;
    uint8_t cargo[CARGO_MAX + 6] = {0x92, 0x06, 0xdc, (CARGO_MAX + 1) >> 8, (CARGO_MAX + 1) & 255};
    struct side s;

    memset(cargo + 5, 0xa0, sizeof cargo - 5);
    open_side(f, &s);
    say_frame(&s, cargo, sizeof cargo, NULL, 0);
    say_frame(&s, FRAME(REQUEST_STRING), NULL, 0);
    must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, "too many pieces");
}

/* ---- what is released of the peer's own ---- */

/* A peer that has sent a string in its arena. */
static void open_with_block(struct fixture *f, struct side *s)
{
    uint8_t heard[256];
    char bytes[16];
    int fd = -1;
    size_t len;

    open_side(f, s);
    begin_call(s, true);
    len = hear(f, s, heard, sizeof heard, &fd);
    assert_true(has(heard, len, FRAME(ARENA)));
    assert_true(has(heard, len, FRAME("\x92\x06\x91\x92\x00\xce\x00\x01\x00\x00")));
    assert_int_equal(pread(fd, bytes, sizeof bytes, 0), sizeof bytes);
    assert_memory_equal(bytes, "a string of the ", sizeof bytes);
    close(fd);
}

static void what_is_no_block_is_not_released(void **state)
{
    static const struct {
        const char *release;
        size_t len;
        const char *why;
    } cases[] = {
        {FRAME("\x92\x08\xcd\x40\x00"), "what is no block"},
        {FRAME("\x92\x08\x01"), "what is no block"},
        {FRAME("\x92\x08\xcf\x7f\xff\xff\xff\xff\xff\xc0\x00"), "what is no block"},
        {FRAME("\x92\x08\xcf\xff\xff\xff\xff\xff\xff\xc0\x00"), ""},
        {FRAME("\x92\x08\xff"), ""},
        {FRAME("\x92\x08\xa0"), ""},
        {FRAME("\x91\x08"), ""},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < count_of(cases); i++) {
        struct side s;

        open_with_block(f, &s);
        say_frame(&s, cases[i].release, cases[i].len, NULL, 0);
        must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, cases[i].why);
    }
}

static void a_block_is_released_once(void **state)
{
    struct fixture *f = *state;
    struct side s;

    open_with_block(f, &s);
    say_frame(&s, FRAME("\x92\x08\x00"), NULL, 0);
    run_idle(f);
    assert_int_equal(s.lost, 0);
    assert_int_equal(s.peer.lane.ours->used, 0);
    say_frame(&s, FRAME("\x92\x08\x00"), NULL, 0);
    must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, "what is no block");
}

static void nothing_is_released_where_no_arena_is(void **state)
{
    struct fixture *f = *state;
    struct side s;

    open_side(f, &s);
    say_frame(&s, FRAME("\x92\x08\x00"), NULL, 0);
    must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, "where no arena is");
    open_with_block(f, &s);
    say_frame(&s, FRAME("\x92\x08\xc0"), NULL, 0);
    run_idle(f);
    assert_null(s.peer.lane.ours);
    say_frame(&s, FRAME("\x92\x08\xc0"), NULL, 0);
    must_be_lost(f, &s, TITAN_E_PROTOCOL_ERROR, "where no arena is");
}

/* Who never releases gets the rest as plain bytes. */
static void strings_go_inline_where_no_block_is_free(void **state)
{
    static char bytes[BLOCK_LEN];
    struct fixture *f = *state;
    struct side s;
    uint32_t number;

    open_with_block(f, &s);
    for (size_t taken = BLOCK_LEN; taken < ARENA_LEN; taken += BLOCK_LEN) {
        assert_true(arena_take(s.peer.lane.ours, BLOCK_LEN) > 0);
    }
    assert_false(cargo_load_string(&s.peer.loading, bytes, sizeof bytes, &number));
    close_side(f, &s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        loop_test(a_block_is_read_and_given_back),
        loop_test(a_block_is_inside_of_its_arena),
        loop_test(a_block_needs_an_arena),
        loop_test(there_is_one_arena),
        loop_test(an_arena_has_a_length_that_can_be),
        loop_test(what_is_kept_can_be_read_after_the_other_side_is_gone),
        loop_test(a_reference_is_to_what_came_along),
        loop_test(a_part_is_inside_of_its_memory),
        loop_test(a_cargo_belongs_to_a_message),
        loop_test(a_cargo_whose_message_never_comes_is_let_go),
        loop_test(a_cargo_is_a_list_of_pieces),
        loop_test(a_cargo_has_so_many_pieces),
        loop_test(what_is_no_block_is_not_released),
        loop_test(a_block_is_released_once),
        loop_test(nothing_is_released_where_no_arena_is),
        loop_test(strings_go_inline_where_no_block_is_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
