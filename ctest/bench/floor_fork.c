/*
 * A worker forked from a warm Lua process.
 *
 *   spawn    the request for a worker to its first answer
 *   memory   PSS of an idle worker that has answered one call, beside 49 others
 */
#include "floor_zygote.h"

#define WARM_UP 50
#define SPAWNS 2000
#define IDLE_WORKERS 50

static void measure_spawn(void)
{
    static double samples[SPAWNS];
    struct zygote z = start_zygote();
    int spawns = repeats(SPAWNS);

    for (int i = -WARM_UP; i < spawns; i++) {
        double start = now_us();
        pid_t pid;
        int fd = spawn_and_call(&z, &pid);

        if (i >= 0) {
            samples[i] = now_us() - start;
        }
        stop_worker(fd);
    }
    stop_zygote(&z);
    print_latency("fork", "spawn", samples, spawns);
}

/* The proportional share of memory of a process, in KiB. */
static double pss_kib(pid_t pid)
{
    char line[256];
    long kib = -1;
    FILE *f;

    snprintf(line, sizeof line, "/proc/%d/smaps_rollup", (int)pid);
    f = fopen(line, "r");
    if (f == NULL) {
        die(line);
    }
    while (kib < 0 && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "Pss:", 4) == 0) {
            kib = strtol(line + 4, NULL, 10);
        }
    }
    fclose(f);
    return (double)kib;
}

static void measure_memory(void)
{
    struct zygote z = start_zygote();
    double samples[IDLE_WORKERS];
    pid_t pids[IDLE_WORKERS];
    int fds[IDLE_WORKERS];

    for (int i = 0; i < IDLE_WORKERS; i++) {
        fds[i] = spawn_and_call(&z, &pids[i]);
    }
    for (int i = 0; i < IDLE_WORKERS; i++) {
        samples[i] = pss_kib(pids[i]);
    }
    for (int i = 0; i < IDLE_WORKERS; i++) {
        stop_worker(fds[i]);
    }
    stop_zygote(&z);
    sort_samples(samples, IDLE_WORKERS);
    printf("{\"floor\":\"fork\",\"mode\":\"memory\",\"count\":%d,\"pss_kib\":%.0f}\n", IDLE_WORKERS,
           percentile(samples, IDLE_WORKERS, 50));
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (wanted(argc, argv, "spawn")) {
        measure_spawn();
    }
    if (wanted(argc, argv, "memory")) {
        measure_memory();
    }
    return 0;
}
