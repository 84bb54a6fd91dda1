/*
 * SIGKILL of a worker that was forked from a warm Lua process.
 *
 *   notify    the kill to the readable pidfd
 *   replace   the kill to the first answer of the replacement, which is asked for at that moment
 */
#include <poll.h>
#include <sys/syscall.h>

#include "floor_zygote.h"

#define WARM_UP 20
#define KILLS 1000

static int open_pidfd(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    if (fd < 0) {
        die("pidfd_open");
    }
    return fd;
}

static void kill_and_notice(pid_t pid, int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};

    if (kill(pid, SIGKILL) != 0 || poll(&p, 1, -1) != 1) {
        die("kill");
    }
    close(pidfd);
}

static void measure(const char *mode, int replace)
{
    static double samples[KILLS];
    struct zygote z = start_zygote();
    int kills = repeats(KILLS);
    pid_t pid;
    int fd = spawn_and_call(&z, &pid);

    for (int i = -WARM_UP; i < kills; i++) {
        int pidfd = open_pidfd(pid);
        int old = fd;
        double start = now_us(), noticed;

        kill_and_notice(pid, pidfd);
        noticed = now_us();
        fd = spawn_and_call(&z, &pid);
        if (i >= 0) {
            samples[i] = (replace ? now_us() : noticed) - start;
        }
        close(old);
    }
    stop_worker(fd);
    stop_zygote(&z);
    print_latency("kill", mode, samples, kills);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (wanted(argc, argv, "notify")) {
        measure("notify", 0);
    }
    if (wanted(argc, argv, "replace")) {
        measure("replace", 1);
    }
    return 0;
}
