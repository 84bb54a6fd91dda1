/*
 * A message of 50 bytes to another thread and back, through memory.
 *
 *   asleep     both sides sleep on a futex
 *   spinning   both sides look until it is there
 */
#include <pthread.h>

#include "floor_futex.h"

#define WARM_UP 1000
#define ROUND_TRIPS 20000

struct line {
    struct word to_worker, to_caller;
    enum waiting how;
    int over; /* read by the worker after it was told something */
    char message[MESSAGE_LEN];
};

static void *echo(void *arg)
{
    struct line *l = arg;
    char message[MESSAGE_LEN];
    uint32_t heard = 0;

    for (;;) {
        heard = word_await(&l->to_worker, heard, l->how);
        if (l->over) {
            return NULL;
        }
        memcpy(message, l->message, sizeof message);
        memcpy(l->message, message, sizeof message);
        word_say(&l->to_caller, l->how);
    }
}

static void measure(const char *mode, enum waiting how)
{
    static double samples[ROUND_TRIPS];
    struct line l = {.how = how};
    char message[MESSAGE_LEN] = {0};
    uint32_t heard = 0;
    pthread_t worker;

    if (pthread_create(&worker, NULL, echo, &l) != 0) {
        die("pthread_create");
    }
    for (int i = -WARM_UP; i < ROUND_TRIPS; i++) {
        double start = now_us();

        memcpy(l.message, message, sizeof message);
        word_say(&l.to_worker, how);
        heard = word_await(&l.to_caller, heard, how);
        memcpy(message, l.message, sizeof message);
        if (i >= 0) {
            samples[i] = now_us() - start;
        }
    }
    l.over = 1;
    word_say(&l.to_worker, how);
    pthread_join(worker, NULL);
    print_latency("futex", mode, samples, ROUND_TRIPS);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (wanted(argc, argv, "asleep")) {
        measure("asleep", WAIT_ASLEEP);
    }
    if (wanted(argc, argv, "spinning")) {
        measure("spinning", WAIT_SPINNING);
    }
    return 0;
}
