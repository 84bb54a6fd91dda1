/*
 * A message of 50 bytes to another process and back, over a socketpair.
 *
 *   blocking   read and write, nothing else
 *   epoll      both sides wait in epoll, as an event loop does
 *   batched    one worker, 128 messages under way, many of them in each read and write
 *   batched2   the same with two workers, 128 messages for each
 */
#include <errno.h>
#include <sys/epoll.h>

#include "floor.h"

#define WARM_UP 1000
#define ROUND_TRIPS 20000
#define IN_FLIGHT 128
#define BATCHED_MESSAGES 2000000
#define WORKERS_MAX 2

struct worker {
    int fd;
    pid_t pid;
    long unsent;
    size_t awaited; /* bytes still to come back */
};

static int watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int epoll_of(int fd)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    if (epoll < 0 || watch(epoll, fd) != 0) {
        die("epoll");
    }
    return epoll;
}

static int wait_readable(int epoll)
{
    struct epoll_event event;
    int n;

    do {
        n = epoll_wait(epoll, &event, 1, -1);
    } while (n < 0 && errno == EINTR);
    if (n != 1) {
        die("epoll_wait");
    }
    return event.data.fd;
}

/* Gives back whatever it reads, until the other end is closed. */
static void echo(int fd, int use_epoll)
{
    static char bytes[64 * 1024];
    int epoll = use_epoll ? epoll_of(fd) : -1;

    for (;;) {
        ssize_t n;

        if (use_epoll) {
            wait_readable(epoll);
        }
        n = read(fd, bytes, sizeof bytes);
        if (n <= 0) {
            _exit(n < 0);
        }
        write_all(fd, bytes, (size_t)n);
    }
}

static struct worker start_worker(int use_epoll)
{
    struct worker w = {0};
    int fds[2];

    make_socketpair(fds);
    w.pid = fork_child();
    if (w.pid == 0) {
        close(fds[0]);
        echo(fds[1], use_epoll);
    }
    close(fds[1]);
    w.fd = fds[0];
    return w;
}

static void stop_worker(struct worker *w)
{
    close(w->fd);
    wait_child(w->pid);
}

static void measure_latency(const char *mode, int use_epoll)
{
    static double samples[ROUND_TRIPS];
    char message[MESSAGE_LEN] = {0};
    struct worker w = start_worker(use_epoll);
    int epoll = use_epoll ? epoll_of(w.fd) : -1;

    for (int i = -WARM_UP; i < ROUND_TRIPS; i++) {
        double start = now_us();

        write_all(w.fd, message, sizeof message);
        if (use_epoll) {
            wait_readable(epoll);
        }
        if (!read_all(w.fd, message, sizeof message)) {
            die("worker lost");
        }
        if (i >= 0) {
            samples[i] = now_us() - start;
        }
    }
    if (use_epoll) {
        close(epoll);
    }
    stop_worker(&w);
    print_latency("pingpong", mode, samples, ROUND_TRIPS);
}

/* Brings the messages under way back to IN_FLIGHT, in one write. */
static void fill(struct worker *w)
{
    static char messages[IN_FLIGHT * MESSAGE_LEN];
    long room = IN_FLIGHT - (long)((w->awaited + MESSAGE_LEN - 1) / MESSAGE_LEN);
    long count = room < w->unsent ? room : w->unsent;

    if (count > 0) {
        write_all(w->fd, messages, (size_t)count * MESSAGE_LEN);
        w->unsent -= count;
        w->awaited += (size_t)count * MESSAGE_LEN;
    }
}

static void measure_batched(const char *mode, int count)
{
    static char bytes[64 * 1024];
    struct worker workers[WORKERS_MAX];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int busy = count;
    double start;

    for (int i = 0; i < count; i++) {
        workers[i] = start_worker(1);
        workers[i].unsent = BATCHED_MESSAGES / count;
        if (watch(epoll, workers[i].fd) != 0) {
            die("epoll");
        }
    }
    start = now_us();
    for (int i = 0; i < count; i++) {
        fill(&workers[i]);
    }
    while (busy > 0) {
        int fd = wait_readable(epoll);
        struct worker *w = workers;
        ssize_t n = read(fd, bytes, sizeof bytes);

        while (w->fd != fd) {
            w++;
        }
        if (n <= 0) {
            die("worker lost");
        }
        w->awaited -= (size_t)n;
        fill(w);
        busy -= w->awaited == 0;
    }
    printf("{\"floor\":\"pingpong\",\"mode\":\"%s\",\"count\":%d,\"messages_per_s\":%.0f}\n", mode,
           BATCHED_MESSAGES, BATCHED_MESSAGES / ((now_us() - start) / 1e6));
    close(epoll);
    /* The last first: each has inherited the sockets of those before it. */
    while (count-- > 0) {
        stop_worker(&workers[count]);
    }
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (wanted(argc, argv, "blocking")) {
        measure_latency("blocking", 0);
    }
    if (wanted(argc, argv, "epoll")) {
        measure_latency("epoll", 1);
    }
    if (wanted(argc, argv, "batched")) {
        measure_batched("batched", 1);
    }
    if (wanted(argc, argv, "batched2")) {
        measure_batched("batched2", 2);
    }
    return 0;
}
