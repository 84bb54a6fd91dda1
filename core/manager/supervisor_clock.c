#include "manager/supervisor_clock.h"

static struct timed_supervisor *of(struct supervisor *s)
{
    return list_entry(s, struct timed_supervisor, supervisor);
}

static uint64_t now_ms(struct supervisor *s)
{
    return reactor_now_ms(of(s)->reactor);
}

static void work_soon(struct supervisor *s)
{
    struct timed_supervisor *t = of(s);

    reactor_flush_later(t->reactor, &t->soon);
}

static bool work_in(struct supervisor *s, uint64_t ms)
{
    struct timed_supervisor *t = of(s);

    if (ms == UINT64_MAX) {
        timer_disarm(t->reactor, &t->alarm);
        return true;
    }
    return timer_arm(t->reactor, &t->alarm, ms, true);
}

static void turn_ends(struct flusher *f)
{
    supervisor_work(&list_entry(f, struct timed_supervisor, soon)->supervisor);
}

static void alarm_rang(struct timer *timer)
{
    supervisor_work(&list_entry(timer, struct timed_supervisor, alarm)->supervisor);
}

const struct supervisor_clock supervisor_reactor_clock = {now_ms, work_soon, work_in};

void timed_supervisor_init(struct timed_supervisor *t, struct reactor *r)
{
    t->reactor = r;
    t->alarm = (struct timer){.fire = alarm_rang};
    flusher_init(&t->soon, turn_ends);
}

void timed_supervisor_close(struct timed_supervisor *t)
{
    timer_disarm(t->reactor, &t->alarm);
    flusher_cancel(&t->soon);
}
