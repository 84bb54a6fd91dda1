#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "ops/log.h"

/* 2023-11-14 22:13:20.007 UTC */
#define TIME_MS 1700000000007ull

static int set_up(void **state)
{
    (void)state;
    setenv("TZ", "UTC-1", 1); /* one hour east */
    tzset();
    return 0;
}

static struct log_line line_of(const char *text, size_t len)
{
    return (struct log_line){"img-1", 42, false, text, len, TIME_MS};
}

static void assert_formats(enum log_format format, const struct log_line *line,
                           const char *expected)
{
    struct buf b = {0};
    char text[512] = "";

    assert_true(log_format_line(&b, format, line));
    assert_true(buf_len(&b) < sizeof text);
    memcpy(text, buf_front(&b), buf_len(&b));
    assert_string_equal(text, expected);
    buf_free(&b);
}

/* `escaped` is what becomes of the text in JSON. */
static void assert_escaped(const char *text, size_t len, const char *escaped)
{
    struct log_line line = line_of(text, len);
    char expected[512];

    snprintf(expected, sizeof expected,
             "{\"time\":\"2023-11-14T22:13:20.007Z\",\"name\":\"img-1\",\"pid\":42,"
             "\"stream\":\"stdout\",\"line\":\"%s\"}\n",
             escaped);
    assert_formats(LOG_JSON, &line, expected);
}

static void text_is_for_people_with_the_local_time_of_day(void **state)
{
    struct log_line line = line_of("hello", 5);

    (void)state;
    assert_formats(LOG_TEXT, &line, "23:13:20.007 img-1[42] out| hello\n");
    line.is_stderr = true;
    line.len = 0;
    assert_formats(LOG_TEXT, &line, "23:13:20.007 img-1[42] err| \n");
}

static void text_cannot_steer_a_terminal(void **state)
{
    struct log_line line = line_of("\x1b[31m\xff\t\"\\\r\x7f", 11);

    (void)state;
    assert_formats(LOG_TEXT, &line, "23:13:20.007 img-1[42] out| \\x1B[31m\xff\t\"\\\\x0D\\x7F\n");
}

static void json_is_one_object_a_line_with_the_time_in_utc(void **state)
{
    struct log_line line = line_of("hello", 5);

    (void)state;
    assert_escaped("hello", 5, "hello");
    assert_escaped("", 0, "");
    line.is_stderr = true;
    assert_formats(LOG_JSON, &line,
                   "{\"time\":\"2023-11-14T22:13:20.007Z\",\"name\":\"img-1\",\"pid\":42,"
                   "\"stream\":\"stderr\",\"line\":\"hello\"}\n");
}

static void names_are_escaped_too(void **state)
{
    struct log_line line = line_of("x", 1);

    (void)state;
    line.name = "\"a\\\xff";
    assert_formats(
        LOG_JSON, &line,
        "{\"time\":\"2023-11-14T22:13:20.007Z\",\"name\":\"\\\"a\\\\\\ufffd\",\"pid\":42,"
        "\"stream\":\"stdout\",\"line\":\"x\"}\n");
}

static void quotes_and_backslashes_are_escaped(void **state)
{
    (void)state;
    assert_escaped("say \"\\n\"", 8, "say \\\"\\\\n\\\"");
}

static void control_characters_are_escaped(void **state)
{
    (void)state;
    assert_escaped("\0\x01\t\n\r\x1b\x1f\x7f ", 9,
                   "\\u0000\\u0001\\u0009\\u000a\\u000d\\u001b\\u001f\\u007f ");
}

/* The first and the last of each length (RFC 3629), and those beside the surrogates. */
static void characters_of_any_length_are_kept(void **state)
{
    static const char text[] = " ~\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"
                               "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf";

    (void)state;
    assert_escaped(text, sizeof text - 1, text);
}

static void what_is_no_character_becomes_a_replacement_for_each_byte(void **state)
{
    static const struct {
        const char *bytes;
        const char *escaped;
    } cases[] = {
        {"\x80", "\\ufffd"},                                  /* a rest without a head */
        {"\xff", "\\ufffd"},                                  /* never a head */
        {"\xc3", "\\ufffd"},                                  /* cut at the end of the line */
        {"\xc3(", "\\ufffd("},                                /* cut by another character */
        {"\xe2\x82", "\\ufffd\\ufffd"},                       /* cut later */
        {"\xe2\x82x", "\\ufffd\\ufffdx"},                     /* and by another character */
        {"\xf0\x9f\x98", "\\ufffd\\ufffd\\ufffd"},            /* and later still */
        {"\xc0\xaf", "\\ufffd\\ufffd"},                       /* overlong */
        {"\xc1\xbf", "\\ufffd\\ufffd"},                       /* overlong */
        {"\xe0\x9f\xbf", "\\ufffd\\ufffd\\ufffd"},            /* overlong */
        {"\xf0\x8f\xbf\xbf", "\\ufffd\\ufffd\\ufffd\\ufffd"}, /* overlong */
        {"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"},            /* a surrogate */
        {"\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"}, /* beyond U+10FFFF */
        {"\xf5\x80\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"}, /* far beyond */
        {"\xc3\xa9\xff\xc3\xa9", "\xc3\xa9\\ufffd\xc3\xa9"},  /* between good ones */
    };

    (void)state;
    for (size_t i = 0; i < count_of(cases); i++) {
        assert_escaped(cases[i].bytes, strlen(cases[i].bytes), cases[i].escaped);
    }
}

static void a_character_that_the_line_ends_in_is_none_whatever_comes_behind_the_line(void **state)
{
    (void)state;
    assert_escaped("\xc3\xa9", 1, "\\ufffd");
}

static void lines_are_appended_to_what_is_there(void **state)
{
    struct log_line line = line_of("x", 1);
    struct buf b = {0};
    size_t once;

    (void)state;
    assert_true(log_format_line(&b, LOG_JSON, &line));
    once = buf_len(&b);
    assert_true(log_format_line(&b, LOG_JSON, &line));
    assert_int_equal(buf_len(&b), 2 * once);
    assert_memory_equal(buf_front(&b), buf_front(&b) + once, once);
    buf_free(&b);
}

static void the_format_is_json_unless_it_is_a_terminal(void **state)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    int pair[2];

    (void)state;
    assert_int_equal(pipe(pair), 0);
    assert_int_equal(log_format_for(pair[1]), LOG_JSON);
    close(pair[0]);
    close(pair[1]);
    if (terminal >= 0) {
        assert_int_equal(log_format_for(terminal), LOG_TEXT);
        close(terminal);
    }
}

static void a_line_is_written_whole(void **state)
{
    struct log_line line = line_of("hello", 5);
    char text[64] = "";
    int pair[2];

    (void)state;
    assert_int_equal(pipe(pair), 0);
    assert_true(log_write(pair[1], LOG_TEXT, &line));
    assert_int_equal(read(pair[0], text, sizeof text), 34);
    assert_string_equal(text, "23:13:20.007 img-1[42] out| hello\n");
    close(pair[0]);
    close(pair[1]);
}

static void *read_to_the_end(void *ctx)
{
    const int *fd = ctx;
    char bytes[4096];
    size_t len = 0;
    ssize_t got;

    while ((got = read(*fd, bytes, sizeof bytes)) > 0) {
        len += (size_t)got;
    }
    return (void *)(uintptr_t)len;
}

static void a_long_line_is_written_whole_to_a_reader_that_is_slow(void **state)
{
    enum { LEN = 1 << 20 };
    char *text = malloc(LEN);
    struct log_line line;
    pthread_t reader;
    void *len;
    int pair[2];

    (void)state;
    assert_non_null(text);
    memset(text, 'x', LEN);
    line = line_of(text, LEN);
    assert_int_equal(pipe(pair), 0);
    assert_int_equal(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_to_the_end, &pair[0]), 0);
    assert_true(log_write(pair[1], LOG_TEXT, &line));
    close(pair[1]);
    pthread_join(reader, &len);
    assert_int_equal((uintptr_t)len, LEN + 29);
    close(pair[0]);
    free(text);
}

static void without_a_format_nothing_is_written(void **state)
{
    struct log_line line = line_of("hello", 5);

    (void)state;
    assert_true(log_write(-1, LOG_NONE, &line));
}

static void a_descriptor_that_takes_nothing_is_reported(void **state)
{
    struct log_line line = line_of("hello", 5);

    (void)state;
    assert_false(log_write(-1, LOG_TEXT, &line));
}

static bool is_sigpipe_pending(void)
{
    sigset_t pending;

    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

static bool write_to_nobody(void)
{
    struct log_line line = line_of("hello", 5);
    int pair[2];
    bool ok;

    assert_int_equal(pipe(pair), 0);
    close(pair[0]);
    ok = log_write(pair[1], LOG_TEXT, &line);
    close(pair[1]);
    return ok;
}

static void a_pipe_without_a_reader_is_reported_and_no_reason_to_die(void **state)
{
    (void)state;
    assert_false(write_to_nobody());
    assert_false(is_sigpipe_pending());
}

static void a_sigpipe_of_somebody_else_is_left_to_them(void **state)
{
    sigset_t sigpipe;
    sigset_t before;
    int taken;

    (void)state;
    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &sigpipe, &before);
    raise(SIGPIPE);
    assert_false(write_to_nobody());
    assert_true(is_sigpipe_pending());
    sigwait(&sigpipe, &taken);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

#define log_test(test) cmocka_unit_test_setup(test, set_up)

/* Fills the pipe, so that nothing more goes in before somebody reads. */
static void fill(int fd)
{
    char page[4096] = {0};
    int flags = fcntl(fd, F_GETFL);

    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    while (write(fd, page, sizeof page) > 0) {
    }
    fcntl(fd, F_SETFL, flags);
}

static size_t drain(int fd, char *to, size_t room)
{
    size_t len = 0;
    ssize_t got;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    while ((got = read(fd, to, room)) > 0) {
        len = (size_t)got;
    }
    to[len] = '\0';
    return len;
}

static void a_reader_that_does_not_read_costs_lines_and_is_told_how_many(void **state)
{
    static char read_back[65536 + 1];
    struct log_line line = line_of("hello", 5);
    int pair[2];
    struct log_sink sink = {.format = LOG_TEXT};

    (void)state;
    assert_int_equal(pipe(pair), 0);
    sink.fd = pair[1];
    fill(pair[1]);
    log_sink_write(&sink, &line);
    log_sink_write(&sink, &line);
    assert_int_equal(sink.dropped, 2);
    drain(pair[0], read_back, sizeof read_back - 1);
    log_sink_write(&sink, &line);
    assert_int_equal(sink.dropped, 0);
    drain(pair[0], read_back, sizeof read_back - 1);
    assert_non_null(strstr(read_back, "2 lines were not printed here"));
    assert_non_null(strstr(read_back, "hello"));
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        log_test(text_is_for_people_with_the_local_time_of_day),
        log_test(text_cannot_steer_a_terminal),
        log_test(a_reader_that_does_not_read_costs_lines_and_is_told_how_many),
        log_test(json_is_one_object_a_line_with_the_time_in_utc),
        log_test(names_are_escaped_too),
        log_test(quotes_and_backslashes_are_escaped),
        log_test(control_characters_are_escaped),
        log_test(characters_of_any_length_are_kept),
        log_test(what_is_no_character_becomes_a_replacement_for_each_byte),
        log_test(a_character_that_the_line_ends_in_is_none_whatever_comes_behind_the_line),
        log_test(lines_are_appended_to_what_is_there),
        log_test(the_format_is_json_unless_it_is_a_terminal),
        log_test(a_line_is_written_whole),
        log_test(a_long_line_is_written_whole_to_a_reader_that_is_slow),
        log_test(without_a_format_nothing_is_written),
        log_test(a_descriptor_that_takes_nothing_is_reported),
        log_test(a_pipe_without_a_reader_is_reported_and_no_reason_to_die),
        log_test(a_sigpipe_of_somebody_else_is_left_to_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
