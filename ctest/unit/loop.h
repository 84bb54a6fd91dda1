/* A loop with a reactor for each test, run until something has happened and never for a time. */
#ifndef TITAN_CTEST_LOOP_H
#define TITAN_CTEST_LOOP_H

#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/reactor.h"

/* A test that takes longer waits for what will not come, and is killed by SIGALRM. */
#define PATIENCE_S 30

#define OWN_HANDLES 3 /* the reactor's */

struct fixture {
    uv_loop_t loop;
    struct reactor reactor;
};

/* Some turns without waiting: what could happen by now has happened. */
static inline void run_idle(struct fixture *f)
{
    for (int i = 0; i < 8; i++) {
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
}

static inline int set_up(void **state)
{
    struct fixture *f = malloc(sizeof *f);

    alarm(PATIENCE_S);
    uv_loop_init(&f->loop);
    *state = f;
    return reactor_open(&f->reactor, &f->loop);
}

/* Fails when the test has left a watch open: one that failed has. */
static inline int tear_down(void **state)
{
    struct fixture *f = *state;
    int code;

    run_idle(f);
    if (f->reactor.open > OWN_HANDLES) {
        return -1;
    }
    reactor_close(&f->reactor);
    code = uv_loop_close(&f->loop);
    free(f);
    alarm(0);
    return code;
}

#define loop_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* The same where the reactor has mail, which is a watch more: fails when something still waits for
 * any. */
static inline int tear_down_mail(void **state)
{
    struct fixture *f = *state;
    int code;

    run_idle(f);
    if (f->reactor.held_by > 0) {
        return -1;
    }
    reactor_close(&f->reactor);
    code = uv_loop_close(&f->loop);
    free(f);
    alarm(0);
    return code;
}

#define mail_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down_mail)

/* Each turn waits for an event; the test fails when none can come any more. */
#define run_until(f, condition)                                                                    \
    while (!(condition)) {                                                                         \
        assert_true(uv_loop_alive(&(f)->loop));                                                    \
        uv_run(&(f)->loop, UV_RUN_ONCE);                                                           \
    }

/* A connected pair of sockets that do not block. */
static inline void socket_pair(int type, int pair[2])
{
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
}

static inline bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

#endif
