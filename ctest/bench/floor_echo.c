/*
 * 1 MiB to another process and back. A MiB is counted once for each echo.
 *
 *   socket   through a socketpair; the worker reads all of it before it answers
 *   shm      through shared memory, with a byte over a socketpair as the signal; both sides copy
 *            in and out, as one does whose values live in memory of its own
 *   futex    the same, with a futex as the signal
 */
#include <sys/mman.h>

#include "floor_futex.h"

#define PAYLOAD ((size_t)1 << 20)
#define WARM_UP 50
#define ECHOES 1000

/* In memory that both have. */
struct shared {
    struct word words[2]; /* of the caller, of the worker */
    int over;             /* read by the worker after it was told something */
    char payload[PAYLOAD];
};

enum signal_by {
    BY_PAYLOAD, /* it goes through the socket itself */
    BY_BYTE,
    BY_FUTEX,
};

struct link {
    int fd;
    enum signal_by by;
    int side; /* whose word tells it something */
    uint32_t heard;
    struct shared *shared;
};

static struct shared *share(void)
{
    void *at = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                    -1, 0);

    if (at == MAP_FAILED) {
        die("mmap");
    }
    return at;
}

static void send_payload(struct link *l, const char *payload)
{
    if (l->by == BY_PAYLOAD) {
        write_all(l->fd, payload, PAYLOAD);
        return;
    }
    memcpy(l->shared->payload, payload, PAYLOAD);
    if (l->by == BY_BYTE) {
        write_all(l->fd, "", 1);
    } else {
        word_say(&l->shared->words[1 - l->side], WAIT_ASLEEP);
    }
}

/* 0 when the other side is over. */
static int receive_payload(struct link *l, char *payload)
{
    char signal_byte;

    if (l->by == BY_PAYLOAD) {
        return read_all(l->fd, payload, PAYLOAD);
    }
    if (l->by == BY_BYTE && !read_all(l->fd, &signal_byte, 1)) {
        return 0;
    }
    if (l->by == BY_FUTEX) {
        l->heard = word_await(&l->shared->words[l->side], l->heard, WAIT_ASLEEP);
        if (l->shared->over) {
            return 0;
        }
    }
    memcpy(payload, l->shared->payload, PAYLOAD);
    return 1;
}

static void end_worker(struct link *l, pid_t pid)
{
    l->shared->over = 1;
    word_say(&l->shared->words[1 - l->side], WAIT_ASLEEP);
    close(l->fd);
    wait_child(pid);
    munmap(l->shared, sizeof *l->shared);
}

static void measure(const char *mode, enum signal_by by)
{
    static char payload[PAYLOAD];
    struct link l = {.by = by, .shared = share()};
    double start = 0, seconds;
    int fds[2];
    pid_t pid;

    make_socketpair(fds);
    pid = fork_child();
    if (pid == 0) {
        close(fds[0]);
        l.fd = fds[1];
        l.side = 1;
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
    end_worker(&l, pid);
    printf("{\"floor\":\"echo\",\"mode\":\"%s\",\"count\":%d,\"mib_per_s\":%.0f}\n", mode, ECHOES,
           ECHOES / seconds);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (wanted(argc, argv, "socket")) {
        measure("socket", BY_PAYLOAD);
    }
    if (wanted(argc, argv, "shm")) {
        measure("shm", BY_BYTE);
    }
    if (wanted(argc, argv, "futex")) {
        measure("futex", BY_FUTEX);
    }
    return 0;
}
