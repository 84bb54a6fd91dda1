#include "manager/spare.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manager/manager.h"
#include "manager/process_parts.h"
#include "spawn/fdpass.h"

#define QUIET_MS 10         /* since a worker became ready */
#define DESCRIPTORS_LEFT 32 /* at the least, when there is to be a spare */

static void nobody(struct spare *s)
{
    birth_discard(&s->birth);
    close_all(&s->pidfd, 1);
    s->state = SPARE_NONE;
    s->tag = 0;
    s->pid = 0;
}

/* Descriptors are given out from the least free number up, so the last one says how many are left.
 * The last ones are for workers that somebody asked for. */
static bool is_scarce(int last_fd)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
           (rlim_t)last_fd + DESCRIPTORS_LEFT > limit.rlim_cur;
}

/* Without descriptors, memory or room there is none: it is a convenience. */
static void ask(struct timer *t)
{
    struct manager *m = list_entry(t, struct manager, spare.quiet);
    struct spare *s = &m->spare;

    if (s->state != SPARE_NONE || !list_empty(&m->pending) || !zygote_has_room(&m->zygote)) {
        return;
    }
    if (birth_make(&s->birth) < 0 || is_scarce(s->birth.theirs[FD_STATUS])) {
        nobody(s);
        return;
    }
    s->tag = ++m->next_tag;
    s->state = SPARE_ASKED;
    if (zygote_fork(&m->zygote, s->tag, s->birth.theirs, NULL) < 0) {
        nobody(s);
        return;
    }
    close_all(s->birth.theirs, WORKER_FDS);
}

void spare_init(struct manager *m, bool wanted)
{
    m->spare = (struct spare){.wanted = wanted, .birth = BIRTH_NONE, .pidfd = -1};
    m->spare.quiet.fire = ask;
}

void spare_later(struct manager *m)
{
    if (m->spare.wanted && m->spare.state == SPARE_NONE && !m->closing) {
        (void)timer_arm(m->reactor, &m->spare.quiet, QUIET_MS, false);
    }
}

bool spare_forked(struct manager *m, uint64_t tag, pid_t pid, int pidfd, int error)
{
    struct spare *s = &m->spare;

    if (s->state != SPARE_ASKED || s->tag != tag) {
        return false;
    }
    if (error < 0) {
        nobody(s);
    } else {
        s->state = SPARE_READY;
        s->pid = pid;
        s->pidfd = pidfd;
    }
    return true;
}

static void end(struct manager *m)
{
    struct spare *s = &m->spare;

    process_kill_stray(m, s->pid, s->pidfd);
    s->pidfd = -1;
    nobody(s);
}

bool spare_take(struct manager *m, struct birth *birth, pid_t *pid, int *pidfd)
{
    struct spare *s = &m->spare;

    if (s->state != SPARE_READY) {
        return false;
    }
    if (process_has_exited(s->pidfd) != 0) {
        end(m);
        return false;
    }
    *birth = s->birth;
    *pid = s->pid;
    *pidfd = s->pidfd;
    s->birth = BIRTH_NONE;
    s->pidfd = -1;
    nobody(s);
    return true;
}

void spare_zygote_died(struct manager *m)
{
    struct spare *s = &m->spare;

    if (s->state == SPARE_ASKED) {
        spare_reap(m, true); /* of a death before this one; it has had the time */
        s->unannounced = s->birth.status;
        s->birth.status = NULL;
        nobody(s);
    }
}

void spare_adopt(struct manager *m)
{
    if (m->spare.state == SPARE_READY) {
        zygote_adopt(&m->zygote, m->spare.pid);
    }
}

void spare_reap(struct manager *m, bool wait)
{
    struct spare *s = &m->spare;
    pid_t pid = s->unannounced ? status_load(s->unannounced->pid) : 0;

    if (pid > 0 && wait) {
        kill(pid, SIGKILL); /* not yet waited for, so the number is its own */
    }
    if (pid > 0 && waitpid(pid, NULL, (wait ? 0 : WNOHANG) | __WALL) == 0) {
        return; /* later */
    }
    status_unmap(&s->unannounced);
}

void spare_close(struct manager *m)
{
    struct spare *s = &m->spare;

    timer_disarm(m->reactor, &s->quiet);
    if (s->state == SPARE_READY) {
        end(m);
    } else {
        nobody(s); /* the zygote ends with the manager, and what it forked with it */
    }
    spare_reap(m, true);
}
