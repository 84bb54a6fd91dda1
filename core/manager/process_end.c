/* The end of a process, and its way back: what its exit means, who is told, whether it is started
 * again. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "manager/manager.h"
#include "manager/own_request.h"
#include "manager/process_parts.h"

/* ---- what it was ---- */

/* Waits for the end of a child that was killed or has ended. */
bool process_await_exit(int pidfd, siginfo_t *info)
{
    int code;

    fcntl(pidfd, F_SETFL, 0); /* libuv made it non-blocking, and so waitid: see pidfd_open(2) */
    do {
        code = waitid((idtype_t)P_PIDFD, (id_t)pidfd, info, WEXITED | __WALL);
    } while (code < 0 && errno == EINTR);
    return code == 0;
}

int process_has_exited(int pidfd)
{
    siginfo_t info = {0};

    if (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0) {
        return -1;
    }
    return info.si_pid != 0;
}

/* What it had said before it died counts. The state stays what it was meanwhile. */
static void hear_out(struct process *p)
{
    if (p->control.channel != NULL) {
        channel_drain(p->control.channel);
    }
    if (p->data.channel != NULL) {
        channel_drain(p->data.channel);
    }
    output_finish(&p->out);
    output_finish(&p->err);
}

/* An exit nobody asked for is a crash, unless it is clean and cost no call. */
static enum process_outcome outcome_of(const struct process *p)
{
    bool clean = p->exit_known && p->exit_code == 0 && p->last_error.code == TITAN_OK &&
                 p->data.outstanding == health_outstanding(p);

    if (p->stop_asked) {
        return OUTCOME_STOPPED;
    }
    if (!p->was_ready) {
        return OUTCOME_FAILED;
    }
    return clean ? OUTCOME_STOPPED : OUTCOME_CRASHED;
}

/* The error of the calls that were under way. */
static void lost_calls(const struct process *p, struct failure *why)
{
    char how[96];

    process_describe_exit(p, how, sizeof how);
    if (p->last_error.code == TITAN_E_PROTOCOL_ERROR) {
        *why = p->last_error;
    } else {
        fail(why, TITAN_E_WORKER_LOST, "the worker %s in the middle of this call",
             p->last_error.code == TITAN_E_WORKER_LOST ? p->last_error.message : how);
    }
}

void process_close_connections(struct process *p, const struct failure *why)
{
    peer_close(&p->data, why);
    peer_close(&p->control, why);
    watchdog_stop(p);
    manager_relays_drop(p);
    own_requests_drop(p);
}

static void note_error(struct process *p)
{
    char how[96];

    if (p->outcome == OUTCOME_STOPPED || p->last_error.code != TITAN_OK) {
        return;
    }
    process_describe_exit(p, how, sizeof how);
    if (p->outcome == OUTCOME_FAILED) {
        fail(&p->last_error, TITAN_E_SPAWN_FAILED, "%s before it was ready", how);
    } else {
        fail(&p->last_error, TITAN_E_WORKER_LOST, "%s", how);
    }
}

/* ---- what follows ---- */

static void note_given_up(struct process *p)
{
    struct failure *f = &p->last_error;
    size_t len = strlen(f->message);

    snprintf(f->message + len, sizeof f->message - len,
             "; given up after %u restarts within %u ms (restart_policy)", p->restart.max_restarts,
             p->restart.window_ms);
}

/* A worker that never was ready has failed its spawn: whoever waits for that hears it. */
static int64_t restart_by_policy(struct process *p)
{
    int64_t wait_ms;

    if (p->stop_asked || p->outcome == OUTCOME_STOPPED || !p->has_lived) {
        return KEEP_NEVER;
    }
    wait_ms = restart_decide(&p->restart, &p->restarts, reactor_now_ms(p->manager->reactor),
                             &p->manager->random);
    if (wait_ms == RESTART_NEVER) {
        if (p->restart.enabled && p->restart.max_restarts > 0) {
            note_given_up(p);
        }
        return KEEP_NEVER;
    }
    return wait_ms;
}

static void end(struct process *p)
{
    p->state = PROCESS_ENDED;
    cargo_free(&p->cargo);
    manager_process_ended(p->manager, p);
    if (p->keeper != NULL) {
        p->keeper->ended(p->keeper, p);
    }
}

/* A restart that waits, here or for its keeper's word, is told before the calls end: whoever made
 * them finds everything settled, and may stop the process for good. */
static void go_down(struct process *p, const struct failure *why, int64_t wait_ms)
{
    unsigned life = p->restart_count;

    p->tag = 0; /* what the zygote may still say is of a stranger */
    p->manager->events->down(p->manager->ctx, p, wait_ms);
    process_close_connections(p, why);
    if (p->state != PROCESS_DOWN || p->restart_count != life || wait_ms == KEEP_HELD) {
        return;
    }
    process_revive(p, (uint32_t)wait_ms);
}

void process_finish(struct process *p)
{
    struct failure why;
    int64_t wait_ms;

    process_strike(p);
    p->body->kill(p);
    health_reset(p);
    hear_out(p);
    if (p->state == PROCESS_ENDED) {
        return; /* an answer's receiver has closed the manager */
    }
    p->body->reap(p);
    process_limits_reaped(p);
    timer_disarm(p->manager->reactor, &p->alarm);
    list_remove(&p->queued); /* it may have waited for its body: that is not made any more */
    p->state = PROCESS_DOWN;
    p->ended_ns = now_ns();
    p->end_wall_ms = wall_ms();
    p->outcome = outcome_of(p);
    lost_calls(p, &why);
    note_error(p);
    wait_ms = p->keeper ? p->keeper->down(p->keeper, p) : restart_by_policy(p);
    if (wait_ms == KEEP_NEVER) {
        end(p);
        /* Last: who waited for an answer finds everything settled. */
        process_close_connections(p, &why);
    } else {
        go_down(p, &why, wait_ms);
    }
}

void process_end_down(struct process *p)
{
    timer_disarm(p->manager->reactor, &p->alarm);
    if (p->stop_asked) {
        p->outcome = OUTCOME_STOPPED;
    }
    end(p);
}

void process_let_go(struct process *p)
{
    if (p->state == PROCESS_DOWN) {
        process_end_down(p);
    }
}

/* ---- the way back ---- */

/* Without memory for it, it is not known any more. */
static void note_life_error(struct process *p)
{
    if (p->last_life_error == NULL) {
        p->last_life_error = malloc(sizeof *p->last_life_error);
    }
    if (p->last_life_error != NULL) {
        *p->last_life_error = p->last_error;
    }
}

/* Everything of one life is set anew here and where its body is made. */
void process_begin_again(struct process *p)
{
    p->restart_count++;
    note_life_error(p);
    p->last_error = (struct failure){0};
    p->outcome = OUTCOME_NONE;
    p->stop_asked = false;
    p->was_ready = false;
    p->pid = 0;
    p->exit_known = false;
    p->exit_code = -1;
    p->exit_signal = 0;
    p->start_wall_ms = wall_ms();
    p->end_wall_ms = 0;
    p->started_ns = now_ns();
    p->ended_ns = 0;
    health_free(p);
    p->body->forget(p);
    p->reaped = false;
    p->state = PROCESS_PENDING;
    if (!timer_arm(p->manager->reactor, &p->alarm, p->startup_timeout_ms, true)) {
        fail(&p->last_error, TITAN_E_LIMIT_EXCEEDED, "out of memory");
        p->outcome = OUTCOME_FAILED;
        process_end_down(p);
        return;
    }
    manager_requeue(p->manager, p);
}

void process_revive(struct process *p, uint32_t wait_ms)
{
    if (p->state == PROCESS_DOWN && !timer_arm(p->manager->reactor, &p->alarm, wait_ms, true)) {
        fail(&p->last_error, TITAN_E_LIMIT_EXCEEDED, "out of memory");
        process_end_down(p);
    }
}
