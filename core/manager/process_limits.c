#include "manager/process_limits.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/size_text.h"
#include "manager/manager.h"
#include "manager/process_parts.h"
#include "manager/usage.h"

#define LOOK_FIRST_MS 50 /* and while something changes */
#define LOOK_MAX_MS 2000 /* while nothing does */
#define STOP_MAX_MS 500
#define CREDIT_NS ((int64_t)100000000) /* CPU time that may be saved up */
#define CHANGE_LEN ((uint64_t)256 * 1024)
#define SLOWED_NS ((uint64_t)2000000000)
#define REMOVE_AGAIN_MS 20

/* ---- the manager's groups ---- */

static bool is_in_use(void *ctx, const char *id)
{
    const struct process *p = manager_find_id(ctx, id, strlen(id));

    return p != NULL && p->limits.has_group;
}

static void remove_again(struct timer *t)
{
    struct manager *m = list_entry(t, struct manager, groups.remove);

    if (cgroups_remove(m->groups.cgroups, is_in_use, m) < 0) {
        (void)timer_arm(m->reactor, &m->groups.remove, REMOVE_AGAIN_MS, false);
    }
}

void manager_groups_tell(struct manager *m)
{
    const struct cgroups *c = m->groups.cgroups;

    if (c != NULL && c->name[0] != '\0') {
        zygote_tell_groups(&m->zygote, c->number);
    }
}

const struct cgroups *manager_groups(struct manager *m)
{
    if (m->groups.cgroups == NULL) {
        m->groups.cgroups = malloc(sizeof *m->groups.cgroups);
        m->groups.remove.fire = remove_again;
        if (m->groups.cgroups != NULL) {
            cgroups_open(m->groups.cgroups, m->groups.root ? m->groups.root : "", getpid());
            manager_groups_tell(m);
        }
    }
    return m->groups.cgroups;
}

void manager_groups_close(struct manager *m)
{
    timer_disarm(m->reactor, &m->groups.remove);
    if (m->groups.cgroups != NULL) {
        cgroups_clear(m->groups.cgroups);
    }
    free(m->groups.cgroups);
    free(m->groups.root);
    m->groups = (struct manager_groups){0};
}

/* ---- what is known of the process ---- */

/* Of all its threads, also those that ended; not of its children. False when it is gone. */
static bool read_cpu(pid_t pid, uint64_t *cpu_ns)
{
    struct timespec used;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) < 0) {
        return false;
    }
    *cpu_ns = (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
    return true;
}

enum cgroup_version process_bounded_by(const struct process *p, enum cgroup_controller which)
{
    return p->limits.by[which];
}

static bool is_bounded(const struct process *p, enum cgroup_controller which)
{
    const struct process_bounds *b = &p->limits.bounds;

    return which == CGROUP_MEMORY ? b->memory_len > 0 : b->cpus > 0;
}

static bool watches(const struct process *p, enum cgroup_controller which)
{
    return is_bounded(p, which) && p->limits.by[which] == CGROUP_NONE;
}

static bool watches_closely(const struct process *p, enum cgroup_controller which)
{
    return watches(p, which) && p->limits.bounds.named[which];
}

bool process_is_slowed(const struct process *p)
{
    return p->limits.stopped ||
           (p->limits.stopped_ns > 0 && now_ns() - p->limits.stopped_ns < SLOWED_NS);
}

/* ---- memory ---- */

static void note_over_memory(struct process *p, const char *by)
{
    char text[SIZE_TEXT];

    fail(&p->last_error, p->was_ready ? TITAN_E_WORKER_LOST : TITAN_E_SPAWN_FAILED,
         "went over its memory limit of %s (%s) and was killed: raise resources.max_memory, or "
         "hold less",
         size_text(p->limits.bounds.memory_len, text), by);
}

/* True when it was killed. */
static bool look_at_memory(struct process *p)
{
    struct process_limits *l = &p->limits;
    struct usage u;

    if (usage_read(p->pid, &u) < 0) {
        return false;
    }
    if (u.rss_len > l->bounds.memory_len) {
        note_over_memory(p, "watch");
        process_enter_killed(p);
        return true;
    }
    if (u.rss_len > l->rss_len + CHANGE_LEN || u.rss_len + CHANGE_LEN < l->rss_len) {
        l->look_ms = 0;
    }
    l->rss_len = u.rss_len;
    return false;
}

/* ---- CPU ---- */

/* Takes what was used since the last look into the account. */
static void count_cpu(struct process *p)
{
    struct process_limits *l = &p->limits;
    uint64_t now = now_ns();
    uint64_t cpu_ns;

    if (!read_cpu(p->pid, &cpu_ns)) {
        return;
    }
    if (cpu_ns - l->cpu_ns > (now - l->looked_ns) / 100) {
        l->look_ms = 0;
    }
    l->debt_ns +=
        (int64_t)(cpu_ns - l->cpu_ns) - (int64_t)((double)(now - l->looked_ns) * l->bounds.cpus);
    if (l->debt_ns < -CREDIT_NS) {
        l->debt_ns = -CREDIT_NS;
    }
    l->cpu_ns = cpu_ns;
    l->looked_ns = now;
}

static void send_to_group(const struct process *p, int signal)
{
    if (p->pidfd >= 0) {
        (void)kill(-p->pid, signal);
    }
}

/* How long it is to stand still, 0 for not at all. */
static uint32_t pause_ms(const struct process_limits *l)
{
    double ms = (double)l->debt_ns / 1e6 / l->bounds.cpus;

    return ms < 1 ? 0 : ms > STOP_MAX_MS ? STOP_MAX_MS : (uint32_t)ms;
}

/* ---- the watch ---- */

static void look_later(struct process *p, uint32_t ms)
{
    /* Without memory for the timer the next sweep begins again. */
    (void)timer_arm(p->manager->reactor, &p->limits.look, ms, false);
}

static void look(struct timer *t)
{
    struct process *p = list_entry(t, struct process, limits.look);
    struct process_limits *l = &p->limits;
    uint32_t pause = 0;

    l->look_ms *= 2;
    if (watches(p, CGROUP_MEMORY) && look_at_memory(p)) {
        return;
    }
    if (watches(p, CGROUP_CPU)) {
        count_cpu(p);
        pause = pause_ms(l);
    }
    if (l->stopped != (pause > 0)) {
        l->stopped = pause > 0;
        send_to_group(p, l->stopped ? SIGSTOP : SIGCONT);
    }
    if (l->stopped) {
        l->stopped_ns = now_ns();
        look_later(p, pause);
        return;
    }
    l->look_ms = l->look_ms < LOOK_FIRST_MS ? LOOK_FIRST_MS : l->look_ms;
    l->look_ms = l->look_ms > LOOK_MAX_MS ? LOOK_MAX_MS : l->look_ms;
    look_later(p, l->look_ms);
}

static void watch_begin(struct process *p)
{
    struct process_limits *l = &p->limits;

    l->look_ms = 0;
    l->debt_ns = 0;
    l->looked_ns = now_ns();
    l->cpu_ns = 0;
    (void)read_cpu(p->pid, &l->cpu_ns);
    look_later(p, LOOK_FIRST_MS);
}

/* ---- for the states ---- */

void process_limits_init(struct process *p)
{
    p->limits.look.fire = look;
}

void process_limits_fork(struct process *p)
{
    struct process_limits *l = &p->limits;
    struct cgroup_limits wanted = {0};
    const struct cgroups *c;

    memset(l->by, 0, sizeof l->by);
    if (l->bounds.named[CGROUP_MEMORY]) {
        wanted.memory_len = l->bounds.memory_len;
    }
    if (l->bounds.named[CGROUP_CPU]) {
        wanted.cpus = l->bounds.cpus;
    }
    c = wanted.memory_len > 0 || wanted.cpus > 0 ? manager_groups(p->manager) : NULL;
    if (c == NULL) {
        return;
    }
    if (cgroup_make(c, p->id, &wanted) < 0) {
        (void)cgroup_remove(c, p->id); /* the worker finds nothing to join; there is the watch */
        return;
    }
    l->by[CGROUP_MEMORY] = wanted.memory_len > 0 ? c->places[CGROUP_MEMORY].version : CGROUP_NONE;
    l->by[CGROUP_CPU] = wanted.cpus > 0 ? c->places[CGROUP_CPU].version : CGROUP_NONE;
    l->has_group = l->by[CGROUP_MEMORY] != CGROUP_NONE || l->by[CGROUP_CPU] != CGROUP_NONE;
}

void process_limits_started(struct process *p)
{
    if (watches_closely(p, CGROUP_MEMORY) || watches_closely(p, CGROUP_CPU)) {
        watch_begin(p);
    }
}

void process_limit(struct process *p, const struct process_bounds *bounds)
{
    p->limits.bounds = *bounds;
    if (p->pidfd >= 0) {
        process_limits_fork(p);
        process_limits_started(p);
    }
}

void process_limits_continue(struct process *p)
{
    timer_disarm(p->manager->reactor, &p->limits.look);
    if (p->limits.stopped) {
        p->limits.stopped = false;
        send_to_group(p, SIGCONT);
    }
}

/* The signals with which the kernel says that one of the rlimits was reached. */
static void note_signal(struct process *p)
{
    if (p->exit_signal == SIGXFSZ) {
        fail(&p->last_error, TITAN_E_WORKER_LOST,
             "was killed by SIGXFSZ: a file grew over the size it may have "
             "(resources.rlimits.fsize)");
    } else if (p->exit_signal == SIGXCPU) {
        fail(&p->last_error, TITAN_E_WORKER_LOST,
             "was killed by SIGXCPU: it has used the CPU time it may have "
             "(resources.rlimits.cpu)");
    }
}

void process_limits_reaped(struct process *p)
{
    struct process_limits *l = &p->limits;
    const struct cgroups *c = p->manager->groups.cgroups;
    bool may_blame = p->last_error.code == TITAN_OK && !p->stop_asked;

    timer_disarm(p->manager->reactor, &l->look);
    l->stopped = false;
    l->stopped_ns = 0;
    l->looked_ns = 0;
    l->rss_len = 0;
    if (may_blame) {
        note_signal(p);
    }
    if (!l->has_group) {
        return;
    }
    if (may_blame && p->exit_signal == SIGKILL && cgroup_oom_kills(c, p->id) > 0) {
        note_over_memory(p, cgroup_version_name(l->by[CGROUP_MEMORY]));
    }
    l->has_group = false;
    if (cgroup_remove(c, p->id) < 0) {
        (void)timer_arm(p->manager->reactor, &p->manager->groups.remove, REMOVE_AGAIN_MS, false);
    }
}

void process_limits_sweep(struct process *p)
{
    struct process_limits *l = &p->limits;
    const struct process_bounds *b = &l->bounds;
    uint64_t since_ns = now_ns() - l->looked_ns;
    uint64_t before_ns = l->cpu_ns;

    if (p->state != PROCESS_RUNNING || l->look.node.place != 0) {
        return;
    }
    if (watches(p, CGROUP_MEMORY) && look_at_memory(p)) {
        return;
    }
    if (!watches(p, CGROUP_CPU) || !read_cpu(p->pid, &l->cpu_ns)) {
        return;
    }
    if (l->looked_ns > 0 &&
        (double)(l->cpu_ns - before_ns) > (double)since_ns * b->cpus + (double)CREDIT_NS) {
        watch_begin(p);
    }
    l->looked_ns = now_ns();
}
