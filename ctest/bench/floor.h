/*
 * What the floors share. A floor is the least that a thing can cost on this machine: the same work
 * as Titan's, in C, with nothing around it. Every floor prints one JSON line for each of its modes,
 * ends by itself and leaves no process behind.
 */
#ifndef TITAN_BENCH_FLOOR_H
#define TITAN_BENCH_FLOOR_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_LEN 50 /* bytes: about what a call of add(a, b) takes */

static inline void die(const char *what)
{
    perror(what);
    exit(1);
}

static inline double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* How often to do something slow: a fifth of it with BENCH_QUICK in the environment. */
static inline int repeats(int count)
{
    return getenv("BENCH_QUICK") != NULL ? count / 5 : count;
}

static inline int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static inline void sort_samples(double *samples, int count)
{
    qsort(samples, (size_t)count, sizeof(double), compare_doubles);
}

/* Of sorted samples. */
static inline double percentile(const double *samples, int count, int percent)
{
    return samples[(count - 1) * percent / 100];
}

static inline void print_latency(const char *floor, const char *mode, double *samples, int count)
{
    sort_samples(samples, count);
    printf("{\"floor\":\"%s\",\"mode\":\"%s\",\"count\":%d,\"p50_us\":%.2f,\"p99_us\":%.2f}\n",
           floor, mode, count, percentile(samples, count, 50), percentile(samples, count, 99));
}

static inline void make_socketpair(int fds[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
        die("socketpair");
    }
}

/* Forks; the child dies with its parent. */
static inline pid_t fork_child(void)
{
    pid_t pid = fork();

    if (pid < 0) {
        die("fork");
    }
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    return pid;
}

/* Waits for a child of ours that ends by itself. */
static inline void wait_child(pid_t pid)
{
    if (waitpid(pid, NULL, 0) != pid) {
        die("waitpid");
    }
}

static inline void write_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t n = write(fd, at, len);

        if (n < 0) {
            die("write");
        }
        at += n;
        len -= (size_t)n;
    }
}

/* 1, or 0 when the other end was closed before `len` bytes came. */
static inline int read_all(int fd, void *bytes, size_t len)
{
    char *at = bytes;

    while (len > 0) {
        ssize_t n = read(fd, at, len);

        if (n < 0) {
            die("read");
        }
        if (n == 0) {
            return 0;
        }
        at += n;
        len -= (size_t)n;
    }
    return 1;
}

/* Whether this mode was asked for: on the command line, or all are when there are none. */
static inline int wanted(int argc, char **argv, const char *mode)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], mode) == 0) {
            return 1;
        }
    }
    return argc < 2;
}

#endif
