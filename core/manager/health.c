#include "manager/health.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/manager.h"
#include "manager/process_parts.h"
#include "spawn/proc_stat.h"

/* One who is asked. It stays where it is while its call is under way. */
struct health_ask {
    struct call call;
    struct process *process;
    uint32_t number; /* of the method */
    char name[HEALTH_METHOD_LEN];
    bool is_ping;
    bool answered;  /* in the check under way */
    bool withdrawn; /* asked in an earlier check: what it says now is old */
};

/* ---- what is seen from outside ---- */

/* The letter of /proc/PID/stat: T stopped, t by a debugger; 0 when it cannot be read. */
static char scheduler_state(pid_t pid)
{
    char line[PROC_STAT_MAX];
    const char *after = proc_stat_read(pid, line);

    return after != NULL && after[0] == ' ' ? after[1] : '\0';
}

static struct health_sight look(const struct process *p)
{
    const struct status_page *page = p->status;

    return (struct health_sight){
        .calls = status_load(page->calls),
        .ended = status_load(page->ended),
        .started_ns = status_load(page->running_started_ns),
        .in_method = status_load(page->running_method) < STATUS_TASK,
        .loop_turns = p->health.asks[0].answered,
    };
}

static void note_life(struct process *p)
{
    struct health_sight seen = look(p);

    health_alive(&p->health.life, &seen, reactor_now_ms(p->manager->reactor));
}

/* ---- the end of a check ---- */

static void arm(struct process *p, uint64_t ms)
{
    /* Without memory for it there are no checks any more, and no harm is done. */
    (void)timer_arm(p->manager->reactor, &p->health.timer, ms, false);
}

static void forget_words(struct health_words *w)
{
    buf_truncate(&w->reason, 0);
    buf_truncate(&w->details, 0);
}

static void free_words(struct health_words *w)
{
    buf_free(&w->reason);
    buf_free(&w->details);
}

static void keep_answer(struct health *h)
{
    struct health_words before = h->words;

    h->busy = h->worst == FOUND_BUSY;
    if (h->busy && h->record.verdict == HEALTH_UNHEALTHY) {
        return; /* why it is so still holds */
    }
    h->words = h->of_worst;
    h->of_worst = before;
}

static void note_hung(struct process *p)
{
    struct health *h = &p->health;
    uint64_t silent_ms = reactor_now_ms(p->manager->reactor) - h->life.alive_ms;

    fail(&p->last_error, TITAN_E_WORKER_LOST,
         "did not answer %u health checks and made no progress for %" PRIu64 " ms (%.*s): it was "
         "killed",
         h->record.silences, silent_ms, (int)buf_len(&h->words.reason),
         (const char *)buf_front(&h->words.reason));
}

/* A keeper that wants to know decides by itself. */
static void follow(struct process *p, unsigned todo)
{
    struct keeper *k = p->keeper;

    if (k != NULL && k->health != NULL) {
        if (todo & HEALTH_CHANGED) {
            k->health(k, p, p->health.record.verdict);
        }
    } else if (todo & HEALTH_HUNG) {
        note_hung(p);
        process_enter_killed(p);
    }
}

static unsigned take_wanted(struct health *h)
{
    unsigned todo = h->wanted ? HEALTH_ASKED : 0;

    h->wanted = false;
    return todo;
}

/* There is no check any more that somebody could wait for. */
static void give_up(struct process *p)
{
    timer_disarm(p->manager->reactor, &p->health.timer);
    p->health.checking = false;
    if (take_wanted(&p->health) != 0 && !p->manager->closing) {
        p->manager->events->health(p->manager->ctx, p, HEALTH_ASKED);
    }
}

static void end_check(struct process *p)
{
    struct health *h = &p->health;
    unsigned todo = health_decide(&h->record, &h->options, h->worst);

    h->checking = false;
    h->checked_wall_ms = wall_ms();
    if (h->unanswered == 0) {
        h->latency_ns = now_ns() - h->began_ns;
    }
    if (todo & HEALTH_CHANGED) {
        h->since_wall_ms = h->checked_wall_ms;
    }
    keep_answer(h);
    timer_disarm(p->manager->reactor, &h->timer);
    if (h->options.enabled) {
        arm(p, h->options.interval_ms);
    }
    todo |= take_wanted(h);
    if (todo & (HEALTH_CHANGED | HEALTH_CRITICAL | HEALTH_ASKED)) {
        p->manager->events->health(p->manager->ctx, p, todo);
    }
    if (p->state == PROCESS_RUNNING) {
        follow(p, todo);
    }
}

/* ---- asking ---- */

/* The details are those of what counted. */
static void count_answer(struct health *h, const struct health_answer *a)
{
    struct health_words *w = &h->of_worst;

    if (a->found < h->worst ||
        (a->found == h->worst && (buf_len(&w->details) > 0 || a->details.at == NULL))) {
        return;
    }
    h->worst = a->found;
    forget_words(w);
    (void)buf_append(&w->reason, a->reason, strlen(a->reason));
    if (a->details.at != NULL && a->details.len <= HEALTH_DETAILS_MAX) {
        (void)buf_append(&w->details, a->details.at, a->details.len);
    }
}

static void name_reason(struct health_answer *a, const char *name)
{
    char reason[HEALTH_REASON_LEN];

    if (a->reason[0] != '\0') {
        memcpy(reason, a->reason, sizeof reason);
        snprintf(a->reason, sizeof a->reason, "%.64s: %.189s", name, reason);
    }
}

static int send_ask(struct process *p, struct health_ask *ask)
{
    struct peer *peer = ask->is_ping ? &p->control : &p->data;
    struct draft d;
    int code = request_begin(peer, &d, ask->number,
                             ask->is_ping ? span_of("ping") : (struct span){0}, false, NULL);

    if (code < 0) {
        return code;
    }
    if (!buf_append(peer_out(peer), NO_PARAMS.at, NO_PARAMS.len)) {
        request_abort(peer, &d);
        return TITAN_E_LIMIT_EXCEEDED;
    }
    return request_end(peer, &d, &ask->call, 0, NULL);
}

/* False when what it said is no answer at all. */
static bool take_answer(struct health_ask *ask, const struct reply *reply)
{
    struct process *p = ask->process;
    unsigned nesting = p->data.limits.nesting;
    struct health_answer a = {.found = FOUND_HEALTHY};
    const char *bad = NULL;

    if (!ask->is_ping) {
        bad = reply->code == TITAN_OK ? health_read_results(reply->results, nesting, &a)
                                      : health_read_error(reply->error, nesting, &a);
        name_reason(&a, ask->name);
    }
    if (bad != NULL) {
        peer_blame(reply->peer, bad);
        return false;
    }
    count_answer(&p->health, &a);
    return true;
}

static void answered(struct call *c, const struct reply *reply)
{
    struct health_ask *ask = list_entry(c, struct health_ask, call);
    struct process *p = ask->process;
    struct health *h = &p->health;
    bool was_late = ask->withdrawn;

    ask->withdrawn = false;
    if (!h->checking || (reply->code < 0 && reply->code != TITAN_E_REMOTE_ERROR)) {
        return;
    }
    note_life(p);
    if (was_late) {
        (void)send_ask(p, ask); /* now that it can be asked again */
    } else if (take_answer(ask, reply)) {
        ask->answered = true;
        h->unanswered--;
        if (h->unanswered == 0) {
            end_check(p);
        }
    }
}

static void begin_check(struct process *p)
{
    struct health *h = &p->health;

    h->checking = true;
    h->began_ns = now_ns();
    h->late = false;
    h->worst = FOUND_HEALTHY;
    forget_words(&h->of_worst);
    h->unanswered = h->asks_len;
    for (unsigned i = 0; i < h->asks_len; i++) {
        h->asks[i].answered = false;
        if (h->asks[i].call.peer == NULL) {
            (void)send_ask(p, &h->asks[i]); /* one that cannot be asked does not answer */
        }
    }
    arm(p, h->options.timeout_ms);
}

/* ---- no answer ---- */

static const struct health_ask *first_unanswered(const struct health *h)
{
    unsigned i = 0;

    while (h->asks[i].answered) {
        i++;
    }
    return &h->asks[i];
}

static void describe_silence(const struct process *p, const struct health_sight *seen,
                             struct health_answer *a)
{
    const struct health *h = &p->health;
    uint64_t running_ns = now_ns() - seen->started_ns;
    char name[STATUS_NAME];

    if (seen->stopped || seen->traced) {
        snprintf(a->reason, sizeof a->reason, "no answer: it is stopped (%s)",
                 seen->traced ? "by a debugger" : "SIGSTOP");
    } else if (seen->in_method) {
        snprintf(a->reason, sizeof a->reason, "%s: it has been running %s for %" PRIu64 " ms",
                 a->found == FOUND_BUSY ? "busy" : "no answer and no progress",
                 status_method_name(p->status, status_load(p->status->running_method), name),
                 running_ns / 1000000u);
    } else if (seen->loop_turns) {
        snprintf(a->reason, sizeof a->reason, "%s: no answer within %" PRIu32 " ms",
                 first_unanswered(h)->name, h->options.timeout_ms);
    } else {
        snprintf(a->reason, sizeof a->reason, "%s",
                 a->found == FOUND_BUSY
                     ? "busy: its calls make progress, its event loop does not turn"
                     : "no answer: its event loop does not turn");
    }
}

/* The answer of a ping is worth as much late as in time; what a method says may be old. */
static void withdraw(struct health *h)
{
    for (unsigned i = 1; i < h->asks_len; i++) {
        struct health_ask *ask = &h->asks[i];

        if (ask->call.peer != NULL && !ask->withdrawn) {
            ask->withdrawn = true;
            call_withdraw(&ask->call);
        }
    }
}

static void timed_out(struct process *p)
{
    struct health *h = &p->health;
    struct health_sight seen = look(p);
    struct health_answer a = {0};
    char state = scheduler_state(p->pid);

    seen.stopped = state == 'T' && !process_is_slowed(p);
    seen.traced = state == 't';
    a.found = health_silence(&h->life, &seen, h->options.hang_after_ms,
                             reactor_now_ms(p->manager->reactor));
    if (process_is_slowed(p) && a.found > FOUND_BUSY) {
        note_life(p); /* it is the watch of max_cpu that keeps it from answering */
        a.found = FOUND_BUSY;
    }
    describe_silence(p, &seen, &a);
    count_answer(h, &a);
    withdraw(h);
    end_check(p);
}

static void timer_fired(struct timer *t)
{
    struct process *p = list_entry(t, struct process, health.timer);

    if (p->state != PROCESS_RUNNING) {
        return; /* it ends soon, and the health with it */
    }
    if (!p->health.checking) {
        begin_check(p);
    } else if (!p->health.late) {
        /* After long work of the manager's own, answers wait to be read: one turn more. */
        p->health.late = true;
        arm(p, 1);
    } else {
        timed_out(p);
    }
}

/* ---- life ---- */

void health_init(struct process *p)
{
    p->health.timer.fire = timer_fired;
}

static void init_ask(struct health_ask *ask, struct process *p, const struct health_method *m)
{
    ask->process = p;
    ask->call.done = answered;
    ask->is_ping = m == NULL;
    ask->number = m != NULL ? m->number : 0;
    snprintf(ask->name, sizeof ask->name, "%s", m != NULL ? m->name : "ping");
}

bool health_watch(struct process *p, const struct health_options *options,
                  const struct health_method *methods, unsigned count)
{
    struct health *h = &p->health;

    if (h->asks != NULL || p->state != PROCESS_RUNNING) {
        return true;
    }
    h->asks = calloc((size_t)count + 1, sizeof *h->asks);
    if (h->asks == NULL) {
        return false;
    }
    h->options = *options;
    h->asks_len = count + 1;
    init_ask(&h->asks[0], p, NULL);
    for (unsigned i = 0; i < count; i++) {
        init_ask(&h->asks[i + 1], p, &methods[i]);
    }
    note_life(p);
    if (options->enabled) {
        arm(p, 1 + random_below(&p->manager->random, options->interval_ms));
    }
    return true;
}

bool health_ask(struct process *p)
{
    struct health *h = &p->health;

    if (p->state != PROCESS_RUNNING || h->asks == NULL) {
        return false;
    }
    h->wanted = true;
    if (!h->checking) {
        begin_check(p);
    }
    return true;
}

uint32_t health_outstanding(const struct process *p)
{
    uint32_t count = 0;

    for (unsigned i = 1; i < p->health.asks_len; i++) {
        count += p->health.asks[i].call.peer != NULL;
    }
    return count;
}

void health_stop(struct process *p)
{
    withdraw(&p->health);
    give_up(p);
}

void health_reset(struct process *p)
{
    struct health *h = &p->health;

    h->busy = false;
    h->record = (struct health_record){0};
    h->checked_wall_ms = 0;
    h->since_wall_ms = 0;
    h->latency_ns = 0;
    forget_words(&h->words);
    give_up(p);
}

void health_free(struct process *p)
{
    free(p->health.asks);
    p->health.asks = NULL;
    p->health.asks_len = 0;
    free_words(&p->health.words);
    free_words(&p->health.of_worst);
}
