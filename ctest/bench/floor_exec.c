/*
 * A worker without a zygote: fork and exec of a program that starts Lua and answers a call.
 *
 *   spawn    the fork to the first answer
 */
#include "floor_zygote.h"

#define WARM_UP 20
#define SPAWNS 500
#define WORKER_FD 3

static void become_worker(int fd)
{
    char *argv[] = {"floor_exec", "--worker", NULL};

    if (fd == WORKER_FD) {
        fd = dup(fd); /* without close-on-exec, as dup2 onto itself would not make it */
    }
    dup2(fd, WORKER_FD);
    execv("/proc/self/exe", argv);
    _exit(127);
}

static double spawn_once(void)
{
    struct reply reply = {{0}, 0};
    double start = now_us(), end;
    int fds[2];
    pid_t pid;

    make_socketpair(fds);
    pid = fork_child();
    if (pid == 0) {
        become_worker(fds[1]);
    }
    close(fds[1]);
    write_all(fds[0], reply.bytes, sizeof reply.bytes);
    if (!read_all(fds[0], &reply, sizeof reply)) {
        die("worker lost");
    }
    end = now_us();
    stop_worker(fds[0]);
    wait_child(pid);
    return end - start;
}

int main(int argc, char **argv)
{
    static double samples[SPAWNS];
    int spawns = repeats(SPAWNS);

    if (argc == 2 && strcmp(argv[1], "--worker") == 0) {
        serve_calls(WORKER_FD, warm_lua());
    }
    for (int i = -WARM_UP; i < spawns; i++) {
        double us = spawn_once();

        if (i >= 0) {
            samples[i] = us;
        }
    }
    print_latency("exec", "spawn", samples, spawns);
    return 0;
}
