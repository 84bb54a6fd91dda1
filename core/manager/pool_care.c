/* What a pool does by the clock: the age, the idleness and the memory of its workers, its size. */
#include <math.h>

#include "manager/pool_parts.h"
#include "manager/usage.h"

#define CARE_MS 1000 /* between two looks at the workers; less when a limit asks for it */
#define CARE_MIN_MS 10
#define MEMORY_MS 1000 /* between two samples of their memory */

/* ---- one worker ---- */

static void check_age(struct pool *p, struct pool_worker *w)
{
    if (p->options.max_lifetime_ms > 0 && w->due == NULL &&
        pool_now_ms(p) - w->born_ms >= w->lifetime_ms) {
        w->due = "max_lifetime";
    }
}

/* Of a process that has not been reaped: its pid is its own. */
static uint64_t memory_of(const struct pool_worker *w)
{
    struct usage usage;
    uint64_t pss_len;

    if (w->process == NULL || w->process->pidfd < 0) {
        return 0;
    }
    if (usage_pss(w->process->pid, &pss_len) == 0) {
        return pss_len;
    }
    return usage_read(w->process->pid, &usage) == 0 ? usage.rss_len : 0;
}

static void check_memory(struct pool *p, struct pool_worker *w)
{
    uint64_t limit = p->options.memory_limit_len;

    w->memory_len = memory_of(w);
    if (limit > 0 && w->memory_len > limit && w->due == NULL) {
        w->due = "memory_limit";
    }
    if (p->options.memory_warning_len > 0 && w->memory_len > p->options.memory_warning_len &&
        !w->warned) {
        w->warned = true;
        p->told = w;
        pool_tell(p, POOL_NEWS_MEMORY, NULL);
        p->told = NULL;
    }
}

/* ---- all of them ---- */

static bool is_idle(const struct pool *p, const struct pool_worker *w)
{
    return pool_worker_counts(w) && w->state == POOL_WORKER_UP && w->active == 0 &&
           w->replacement == NULL && pool_now_ms(p) - w->last_used_ms >= p->options.idle_timeout_ms;
}

static void shrink_idle(struct pool *p)
{
    uint32_t from = p->target;

    if (p->options.idle_timeout_ms == 0 || p->queue.len > 0) {
        return;
    }
    for (struct list *l = p->workers.next; l != &p->workers && p->target > p->options.min;
         l = l->next) {
        struct pool_worker *w = list_entry(l, struct pool_worker, link);

        if (is_idle(p, w)) {
            p->target--;
            p->missing = 0;
            pool_worker_retire(w);
        }
    }
    if (p->target != from) {
        pool_tell_size(p, from, "idle_timeout");
    }
}

static bool wants_memory(const struct pool *p)
{
    const struct pool_options *o = &p->options;

    return o->memory_limit_len > 0 || o->memory_warning_len > 0 || o->scale.memory_len > 0;
}

static void look_at_workers(struct pool *p)
{
    bool sample = wants_memory(p) && pool_now_ms(p) - p->sampled_ms >= MEMORY_MS;

    if (sample) {
        p->sampled_ms = pool_now_ms(p);
    }
    for (struct list *l = p->workers.next; l != &p->workers; l = l->next) {
        struct pool_worker *w = list_entry(l, struct pool_worker, link);

        if (w->state == POOL_WORKER_UP) {
            check_age(p, w);
            if (sample) {
                check_memory(p, w);
            }
        }
    }
}

static uint32_t care_ms(const struct pool *p)
{
    uint32_t ms = CARE_MS;

    if (p->options.idle_timeout_ms > 0 && p->options.idle_timeout_ms / 4 < ms) {
        ms = p->options.idle_timeout_ms / 4;
    }
    if (p->options.max_lifetime_ms > 0 && p->options.max_lifetime_ms / 4 < ms) {
        ms = p->options.max_lifetime_ms / 4;
    }
    return ms > CARE_MIN_MS ? ms : CARE_MIN_MS;
}

/* Without memory for the timer there is no more care, and the pool goes on as it is. */
static void care(struct timer *t)
{
    struct pool *p = list_entry(t, struct pool, care);

    (void)timer_arm(pool_reactor(p), &p->care, care_ms(p), false);
    look_at_workers(p);
    if (p->state == POOL_RUNNING) {
        shrink_idle(p);
    }
    pool_look(p);
}

/* ---- the size that the load asks for ---- */

static uint64_t cpu_ns(const struct pool *p)
{
    uint64_t sum = 0;

    for (const struct list *l = p->workers.next; l != &p->workers; l = l->next) {
        const struct pool_worker *w = list_entry(l, struct pool_worker, link);
        struct usage usage;

        if (w->process != NULL && w->process->pidfd >= 0 &&
            usage_read(w->process->pid, &usage) == 0) {
            sum += usage.user_ns + usage.system_ns;
        }
    }
    return sum;
}

/* The mean share of a processor since the last sample. Workers that came and went in between make
 * it wrong by what they used before: when that comes out below zero it is not known. */
static double cpu_share(struct pool *p, uint32_t size)
{
    uint64_t used = cpu_ns(p);
    uint64_t at = now_ns();
    double share = NAN;

    if (p->scale_at_ns > 0 && at > p->scale_at_ns && used >= p->scale_cpu_ns && size > 0) {
        share = (double)(used - p->scale_cpu_ns) / (double)(at - p->scale_at_ns) / size;
    }
    p->scale_cpu_ns = used;
    p->scale_at_ns = at;
    return share;
}

/* Of the calls answered since the last sample. */
static double p95_ms(struct pool *p)
{
    struct histogram_sum now = {0};
    struct histogram_sum since;

    histogram_add(&now, &p->latency);
    since.sum_ns = now.sum_ns - p->scale_latency.sum_ns;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        since.counts[i] = now.counts[i] - p->scale_latency.counts[i];
    }
    p->scale_latency = now;
    return histogram_quantile(&since, 0.95) / 1e6;
}

static uint64_t mean_memory(const struct pool *p)
{
    uint64_t sum = 0;
    uint32_t count = 0;

    for (const struct list *l = p->workers.next; l != &p->workers; l = l->next) {
        const struct pool_worker *w = list_entry(l, struct pool_worker, link);

        sum += w->memory_len;
        count += w->memory_len > 0;
    }
    return count > 0 ? sum / count : 0;
}

static void autoscale(struct timer *t)
{
    struct pool *p = list_entry(t, struct pool, scale_alarm);
    struct autoscale_sample sample = {
        .now_ms = pool_now_ms(p),
        .workers = p->target,
        .queued = (uint32_t)p->queue.len,
        .in_flight = p->active,
        .cpu = p->options.scale.cpu > 0 ? cpu_share(p, pool_size(p)) : NAN,
        .p95_ms = p->options.scale.latency_ms > 0 ? p95_ms(p) : NAN,
        .memory_len = mean_memory(p),
    };
    struct autoscale_decision decision;

    (void)timer_arm(pool_reactor(p), &p->scale_alarm, p->options.scale_interval_ms, false);
    if (p->state != POOL_RUNNING) {
        return;
    }
    decision = autoscale_decide(&p->options.scale, &p->autoscale, &sample);
    if (decision.size != p->target) {
        pool_scale(p, decision.size, decision.reason);
    }
}

/* ---- on and off ---- */

void pool_care_start(struct pool *p)
{
    p->care.fire = care;
    p->scale_alarm.fire = autoscale;
    p->sampled_ms = 0;
    p->autoscale = (struct autoscale){0};
    (void)timer_arm(pool_reactor(p), &p->care, care_ms(p), false);
    if (p->options.scale_interval_ms > 0) {
        (void)timer_arm(pool_reactor(p), &p->scale_alarm, p->options.scale_interval_ms, false);
    }
}

void pool_care_stop(struct pool *p)
{
    timer_disarm(pool_reactor(p), &p->care);
    timer_disarm(pool_reactor(p), &p->scale_alarm);
}
