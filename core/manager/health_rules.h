/*
 * What the checks of a worker's health mean: rules without I/O, so that a test can drive them.
 *
 * The verdict is a state machine. What one check found moves it:
 *
 *                        UNKNOWN     HEALTHY     DEGRADED    UNHEALTHY
 *     FOUND_HEALTHY      HEALTHY     HEALTHY     HEALTHY     HEALTHY      failures = 0
 *     FOUND_BUSY         -           -           -           -            takes silences back
 *     FOUND_DEGRADED     DEGRADED    DEGRADED    DEGRADED    DEGRADED     failures = 0
 *     FOUND_FAILED       *           *           *           -            failures + 1
 *     FOUND_SILENT       *           *           *           -            failures + 1
 *     FOUND_HANGING      *           *           *           -            failures + 1
 *
 *     -  stays what it is      *  UNHEALTHY once so many failures came one after the other
 *
 * A degraded worker is not healthy, and has not failed either. A busy one says nothing of itself,
 * but it lives: what its silence had counted is taken back, what it had said by itself is not.
 */
#ifndef TITAN_MANAGER_HEALTH_RULES_H
#define TITAN_MANAGER_HEALTH_RULES_H

#include <stdbool.h>
#include <stdint.h>

struct health_options {
    bool enabled; /* false: only those checks are made that somebody asks for */
    bool restart_hung;
    uint32_t interval_ms; /* from the end of a check to the begin of the next */
    uint32_t timeout_ms;  /* of one check */
    uint32_t failures;    /* in a row, that make it unhealthy; at least 1 */
    uint32_t hang_after_ms;
};

enum health_verdict {
    HEALTH_UNKNOWN, /* no check of this life has ended with a verdict yet */
    HEALTH_HEALTHY,
    HEALTH_DEGRADED,
    HEALTH_UNHEALTHY,
    HEALTH_VERDICTS
};

/* What a check found, from good to bad. */
enum health_finding {
    FOUND_HEALTHY,
    FOUND_BUSY, /* no answer, but it works */
    FOUND_DEGRADED,
    FOUND_FAILED,  /* it said so itself, or a method that is to say it failed or did not end */
    FOUND_SILENT,  /* no answer, and no sign that it works */
    FOUND_HANGING, /* the same, for hang_after_ms already */
    HEALTH_FINDINGS
};

struct health_record {
    enum health_verdict verdict;
    enum health_verdict previous; /* what it was before the last change */
    uint32_t failures;            /* in a row */
    uint32_t silences;            /* the last of these, in which nothing came */
    bool critical;                /* told, and not healthy since */
};

/* What is to be done, besides keeping the record. */
#define HEALTH_CHANGED 1u  /* the verdict is another */
#define HEALTH_CRITICAL 2u /* unhealthy, the first time since it was healthy */
#define HEALTH_HUNG 4u     /* it should be killed, so that it is started again */

/* Takes the finding of one check into the record. */
unsigned health_decide(struct health_record *h, const struct health_options *options,
                       enum health_finding found);

/* The last sign of life, and what the status page showed then. Zeroed: none yet. */
struct health_life {
    uint64_t alive_ms;
    uint64_t calls;
    uint64_t ended;
    uint64_t started_ns;
};

/* What can be seen of a worker without its doing anything for it. */
struct health_sight {
    uint64_t calls; /* of its status page: started, */
    uint64_t ended; /* ended, */
    uint64_t started_ns;
    bool in_method;  /* code of a method is on the CPU */
    bool loop_turns; /* it has answered the ping of this check */
    bool stopped;    /* by SIGSTOP */
    bool traced;     /* stopped by a debugger, and so left alone */
};

/* It lives: it has answered something at `now_ms`. */
void health_alive(struct health_life *l, const struct health_sight *seen, uint64_t now_ms);

/*
 * What it means that an answer has not come in time. Code that runs is busy while the page shows
 * progress (calls that began or ended since the last look), or as long as it has not been without
 * progress for hang_after_ms.
 */
enum health_finding health_silence(struct health_life *l, const struct health_sight *seen,
                                   uint32_t hang_after_ms, uint64_t now_ms);

const char *health_verdict_name(enum health_verdict v);

#endif
