#include "manager/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "manager/manager.h"
#include "manager/process_parts.h"

void process_next_id(const struct manager *m, char id[PROCESS_ID_MAX])
{
    snprintf(id, PROCESS_ID_MAX, "w%llu", (unsigned long long)m->next_number + 1);
}

struct process *process_new(struct manager *m, const struct process_spec *spec)
{
    struct process *p = calloc(1, sizeof *p);

    if (p == NULL || !buf_append(&p->spec, spec->spec.at, spec->spec.len) ||
        !timer_arm(m->reactor, &p->alarm, spec->startup_timeout_ms, true)) {
        if (p != NULL) {
            buf_free(&p->spec);
        }
        free(p);
        return NULL;
    }
    if (spec->cargo != NULL) {
        (void)cargo_keep(spec->cargo, &p->cargo); /* which has no bytes to be copied */
    }
    p->manager = m;
    p->body = spec->body ? spec->body : &body_process;
    list_init(&p->link);
    list_init(&p->queued);
    list_init(&p->relays);
    list_init(&p->asked);
    snprintf(p->name, sizeof p->name, "%s", spec->name);
    process_next_id(m, p->id);
    m->next_number++;
    p->pidfd = -1;
    p->exit_code = -1;
    p->alarm.fire = process_alarm_rang;
    health_init(p);
    watchdog_init(p);
    process_limits_init(p);
    p->startup_timeout_ms = spec->startup_timeout_ms;
    p->call_timeout_ms = spec->call_timeout_ms;
    p->restart = spec->restart;
    p->keeper = spec->keeper;
    p->start_wall_ms = wall_ms();
    p->started_ns = now_ns();
    return p;
}

void process_free(struct process *p)
{
    health_free(p);
    p->body->forget(p);
    restart_history_free(&p->restarts);
    output_free(&p->out);
    output_free(&p->err);
    buf_free(&p->spec);
    cargo_free(&p->cargo);
    map_free(&p->relay_ids);
    free(p->last_life_error);
    free(p);
}

/* For manager_close: ends it without telling anyone. */
void process_destroy(struct process *p)
{
    struct failure why;

    process_strike(p);
    p->body->kill(p);
    p->body->reap(p);
    process_limits_reaped(p);
    timer_disarm(p->manager->reactor, &p->alarm);
    health_reset(p);
    list_remove(&p->queued);
    p->state = PROCESS_ENDED;
    fail(&why, TITAN_E_DESTROYED, "the manager was closed");
    process_close_connections(p, &why);
    output_close(&p->out);
    output_close(&p->err);
}

void process_stop(struct process *p, uint32_t timeout_ms)
{
    if (p->state == PROCESS_ENDED) {
        return;
    }
    p->stop_asked = true;
    process_dispatch(p, EVENT_STOP);
    if (p->state != PROCESS_STOPPING) {
        return;
    }
    if (timeout_ms == 0 || (timer_left_ms(p->manager->reactor, &p->alarm) > timeout_ms &&
                            !timer_arm(p->manager->reactor, &p->alarm, timeout_ms, true))) {
        process_enter_killed(p);
    }
}

int process_kill(struct process *p, int signal)
{
    if (signal != SIGKILL || !p->body->exists(p)) {
        return p->body->signal(p, signal);
    }
    if (p->body->by_zygote) {
        p->body->kill(p);
    } else {
        process_enter_killed(p); /* which sees to it that it ends */
    }
    return 0;
}

int process_callable(const struct process *p, struct failure *why)
{
    switch (p->state) {
    case PROCESS_RUNNING:
        return TITAN_OK;
    case PROCESS_PENDING:
    case PROCESS_FORKING:
    case PROCESS_STARTING:
        return fail(why, TITAN_E_WORKER_LOST, "the worker is not ready yet");
    case PROCESS_DOWN:
        return fail(why, TITAN_E_WORKER_LOST, "the worker is down and to be started again: %s",
                    p->last_error.code != TITAN_OK ? p->last_error.message : "it was stopped");
    case PROCESS_ENDED:
        if (p->outcome == OUTCOME_STOPPED) {
            return fail(why, TITAN_E_DESTROYED, "the worker has been stopped");
        }
        return fail(why, TITAN_E_WORKER_LOST, "the worker is gone: %s", p->last_error.message);
    case PROCESS_CLOSING:
        if (!p->stop_asked) {
            return fail(why, TITAN_E_WORKER_LOST, "the worker has closed its connection");
        }
        break;
    default:
        if (!p->stop_asked) {
            return fail(why, TITAN_E_WORKER_LOST, "the worker is being killed");
        }
        break;
    }
    return fail(why, TITAN_E_SHUTTING_DOWN, "the worker is stopping");
}

const char *process_status_name(const struct process *p)
{
    static const char *const of_state[PROCESS_STATES] = {
        [PROCESS_PENDING] = "pending",   [PROCESS_FORKING] = "pending",
        [PROCESS_ABORTING] = "stopping", [PROCESS_STARTING] = "starting",
        [PROCESS_RUNNING] = "running",   [PROCESS_STOPPING] = "stopping",
        [PROCESS_CLOSING] = "stopping",  [PROCESS_KILLED] = "stopping",
    };
    static const char *const of_outcome[] = {
        [OUTCOME_NONE] = "pending",
        [OUTCOME_STOPPED] = "stopped",
        [OUTCOME_FAILED] = "failed",
        [OUTCOME_CRASHED] = "crashed",
    };

    return p->state >= PROCESS_DOWN ? of_outcome[p->outcome] : of_state[p->state];
}

void process_proceed(struct process *p, struct span payload)
{
    if (p->state == PROCESS_STARTING && peer_notify(&p->control, "proceed", payload) < 0) {
        process_enter_killed(p);
    }
}

void process_refuse(struct process *p, const struct failure *why)
{
    if (p->state == PROCESS_STARTING) {
        p->last_error = *why;
        process_enter_killed(p);
    }
}

void process_blame(struct process *p, const char *why)
{
    peer_blame(&p->control, why);
}

void process_set_startup_timeout(struct process *p, uint32_t timeout_ms)
{
    uint64_t gone_ms = (now_ns() - p->started_ns) / 1000000u;

    p->startup_timeout_ms = timeout_ms;
    if (p->state == PROCESS_STARTING &&
        !timer_arm(p->manager->reactor, &p->alarm, timeout_ms > gone_ms ? timeout_ms - gone_ms : 0,
                   true)) {
        process_enter_killed(p);
    }
}

void process_begin(struct process *p)
{
    p->body->begin(p);
}

void process_start_failed(struct process *p, const struct failure *why)
{
    p->last_error = *why;
    process_dispatch(p, EVENT_FORK_FAILED);
}

void process_describe_exit(const struct process *p, char *text, size_t len)
{
    if (p->pid == 0 && p->thread == NULL) {
        snprintf(text, len, "was never started");
    } else if (p->thread != NULL && !p->exit_known) {
        snprintf(text, len, "was killed and did not end");
    } else if (!p->exit_known) {
        snprintf(text, len, "ended, its exit status was taken by another part of this program");
    } else if (p->exit_signal > 0) {
        snprintf(text, len, "was killed by SIG%s", sigabbrev_np(p->exit_signal));
    } else {
        snprintf(text, len, "exited with code %d", p->exit_code);
    }
}
