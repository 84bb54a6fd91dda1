/*
 * 1 MiB to another process and back. A MiB is counted once for each echo.
 *
 *   socket   through a socketpair; the worker reads all of it before it answers
 *   shm      through shared memory, with a byte over a socketpair as the signal; both sides copy
 *            in and out, as one does whose values live in memory of its own
 */
#include <sys/mman.h>

#include "floor.h"

#define PAYLOAD ((size_t)1 << 20)
#define WARM_UP 50
#define ECHOES 1000

struct link {
    int fd;
    char *shared; /* NULL: the payload goes through the socket */
};

static char *shared_memory(size_t len)
{
    void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED) {
        die("mmap");
    }
    return at;
}

static void send_payload(struct link *l, const char *payload)
{
    if (l->shared != NULL) {
        memcpy(l->shared, payload, PAYLOAD);
        write_all(l->fd, "", 1);
    } else {
        write_all(l->fd, payload, PAYLOAD);
    }
}

static int receive_payload(struct link *l, char *payload)
{
    char signal_byte;

    if (l->shared == NULL) {
        return read_all(l->fd, payload, PAYLOAD);
    }
    if (!read_all(l->fd, &signal_byte, 1)) {
        return 0;
    }
    memcpy(payload, l->shared, PAYLOAD);
    return 1;
}

static void measure(const char *mode, int use_shm)
{
    static char payload[PAYLOAD];
    struct link l = {.shared = use_shm ? shared_memory(PAYLOAD) : NULL};
    double start = 0, seconds;
    int fds[2];
    pid_t pid;

    make_socketpair(fds);
    pid = fork_child();
    if (pid == 0) {
        close(fds[0]);
        l.fd = fds[1];
        while (receive_payload(&l, payload)) {
            send_payload(&l, payload);
        }
        _exit(0);
    }
    close(fds[1]);
    l.fd = fds[0];
    memset(payload, 'x', sizeof payload);
    for (int i = -WARM_UP; i < ECHOES; i++) {
        if (i == 0) {
            start = now_us();
        }
        send_payload(&l, payload);
        if (!receive_payload(&l, payload)) {
            die("worker lost");
        }
    }
    seconds = (now_us() - start) / 1e6;
    close(l.fd);
    wait_child(pid);
    printf("{\"floor\":\"echo\",\"mode\":\"%s\",\"count\":%d,\"mib_per_s\":%.0f}\n", mode, ECHOES,
           ECHOES / seconds);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (wanted(argc, argv, "socket")) {
        measure("socket", 0);
    }
    if (wanted(argc, argv, "shm")) {
        measure("shm", 1);
    }
    return 0;
}
