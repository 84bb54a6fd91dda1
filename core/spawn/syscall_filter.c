#include "spawn/syscall_filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "spawn/libseccomp.h"

bool syscall_filter_possible(void)
{
    uint32_t action = SECCOMP_RET_ERRNO;
    struct libseccomp lib;

    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0 && libseccomp_load(&lib);
}

const char *syscall_filter_missing(void)
{
    return "of the kernel, and libseccomp.so.2; Debian: libseccomp2";
}

/* ---- when what is refused ---- */

enum {
    ALWAYS = 0,
    NO_NETWORK = 1,
    NO_SPAWN = 2,
    NO_WRITING = 4,  /* not to files, */
    NO_READING = 8,  /* nor from them */
    ONLY_ITSELF = 16 /* may be signalled */
};

static unsigned situation(const struct sandbox_options *o, bool signals_scoped)
{
    unsigned holds = 0;

    holds |= o->network ? 0 : NO_NETWORK;
    holds |= o->spawn ? 0 : NO_SPAWN;
    holds |= o->filesystem != SANDBOX_READ_WRITE ? NO_WRITING : 0;
    holds |= o->filesystem == SANDBOX_NONE ? NO_READING : 0;
    holds |= !o->spawn || !signals_scoped ? ONLY_ITSELF : 0;
    return holds;
}

struct call {
    int number;
    unsigned when; /* ALWAYS or one of the others */
};

#define CALL(name, when)                                                                           \
    {                                                                                              \
        SCMP_SYS(name), when                                                                       \
    }

/* With a number that an architecture does not have, libseccomp has nothing to do. */
static const struct call refused[] = {
    /* into other processes, or around the filter */
    CALL(ptrace, ALWAYS),
    CALL(process_vm_readv, ALWAYS),
    CALL(process_vm_writev, ALWAYS),
    CALL(process_madvise, ALWAYS),
    CALL(process_mrelease, ALWAYS),
    CALL(pidfd_getfd, ALWAYS),
    CALL(kcmp, ALWAYS),
    CALL(move_pages, ALWAYS),
    CALL(migrate_pages, ALWAYS),
    CALL(io_uring_setup, ALWAYS),
    CALL(io_uring_enter, ALWAYS),
    CALL(io_uring_register, ALWAYS),
    CALL(bpf, ALWAYS),
    CALL(perf_event_open, ALWAYS),
    CALL(userfaultfd, ALWAYS),
    CALL(add_key, ALWAYS),
    CALL(request_key, ALWAYS),
    CALL(keyctl, ALWAYS),
    CALL(name_to_handle_at, ALWAYS),
    CALL(open_by_handle_at, ALWAYS),
    CALL(fanotify_init, ALWAYS),
    CALL(fanotify_mark, ALWAYS),
    /* another view of the system */
    CALL(unshare, ALWAYS),
    CALL(setns, ALWAYS),
    CALL(chroot, ALWAYS),
    CALL(pivot_root, ALWAYS),
    CALL(mount, ALWAYS),
    CALL(umount, ALWAYS),
    CALL(umount2, ALWAYS),
    CALL(mount_setattr, ALWAYS),
    CALL(move_mount, ALWAYS),
    CALL(open_tree, ALWAYS),
    CALL(fsopen, ALWAYS),
    CALL(fsconfig, ALWAYS),
    CALL(fsmount, ALWAYS),
    CALL(fspick, ALWAYS),
    /* the system itself, for a worker that runs as root */
    CALL(init_module, ALWAYS),
    CALL(finit_module, ALWAYS),
    CALL(delete_module, ALWAYS),
    CALL(kexec_load, ALWAYS),
    CALL(kexec_file_load, ALWAYS),
    CALL(reboot, ALWAYS),
    CALL(swapon, ALWAYS),
    CALL(swapoff, ALWAYS),
    CALL(acct, ALWAYS),
    CALL(quotactl, ALWAYS),
    CALL(quotactl_fd, ALWAYS),
    CALL(settimeofday, ALWAYS),
    CALL(stime, ALWAYS),
    CALL(clock_settime, ALWAYS),
    CALL(clock_settime64, ALWAYS),
    CALL(clock_adjtime, ALWAYS),
    CALL(clock_adjtime64, ALWAYS),
    CALL(adjtimex, ALWAYS),
    CALL(sethostname, ALWAYS),
    CALL(setdomainname, ALWAYS),
    CALL(syslog, ALWAYS),
    CALL(vhangup, ALWAYS),
    CALL(iopl, ALWAYS),
    CALL(ioperm, ALWAYS),
    CALL(modify_ldt, ALWAYS),
    CALL(uselib, ALWAYS),
    CALL(nfsservctl, ALWAYS),
    CALL(lookup_dcookie, ALWAYS),
    /* what makes a connection; those that are there go on */
    CALL(socket, NO_NETWORK),
    CALL(connect, NO_NETWORK),
    CALL(bind, NO_NETWORK),
    CALL(listen, NO_NETWORK),
    CALL(accept, NO_NETWORK),
    CALL(accept4, NO_NETWORK),
    CALL(fork, NO_SPAWN),
    CALL(vfork, NO_SPAWN),
    CALL(execve, NO_SPAWN),
    CALL(execveat, NO_SPAWN),
    /* the writing that Landlock does not see */
    CALL(chmod, NO_WRITING),
    CALL(fchmod, NO_WRITING),
    CALL(fchmodat, NO_WRITING),
    CALL(chown, NO_WRITING),
    CALL(chown32, NO_WRITING),
    CALL(fchown, NO_WRITING),
    CALL(fchown32, NO_WRITING),
    CALL(lchown, NO_WRITING),
    CALL(lchown32, NO_WRITING),
    CALL(fchownat, NO_WRITING),
    CALL(utime, NO_WRITING),
    CALL(utimes, NO_WRITING),
    CALL(futimesat, NO_WRITING),
    CALL(utimensat, NO_WRITING),
    CALL(utimensat_time64, NO_WRITING),
    CALL(setxattr, NO_WRITING),
    CALL(lsetxattr, NO_WRITING),
    CALL(fsetxattr, NO_WRITING),
    CALL(removexattr, NO_WRITING),
    CALL(lremovexattr, NO_WRITING),
    CALL(fremovexattr, NO_WRITING),
    CALL(truncate, NO_WRITING),
    CALL(truncate64, NO_WRITING),
    CALL(mq_open, NO_WRITING),
    CALL(mq_unlink, NO_WRITING),
    CALL(msgget, NO_WRITING),
    CALL(semget, NO_WRITING),
    CALL(shmget, NO_WRITING),
    CALL(inotify_add_watch, NO_READING),
    /* signals by other means than those of `conditions` */
    CALL(tkill, ONLY_ITSELF),
    CALL(pidfd_send_signal, ONLY_ITSELF),
};

/* An argument of a call that is otherwise allowed. */
struct condition {
    int number;
    unsigned when;
    unsigned count;
    struct scmp_arg_cmp if_these[2];
};

/* The kernel reads an int from the lower half; the upper one must not hide it. */
#define INT_IS(arg, value)                                                                         \
    {                                                                                              \
        arg, SCMP_CMP_MASKED_EQ, 0xFFFFFFFF, value                                                 \
    }
#define BITS_ARE(arg, mask, value)                                                                 \
    {                                                                                              \
        arg, SCMP_CMP_MASKED_EQ, mask, value                                                       \
    }
#define IS_NOT(arg, value)                                                                         \
    {                                                                                              \
        arg, SCMP_CMP_NE, value, 0                                                                 \
    }

#define CLONE_FLAGS 0 /* the argument; another one on s390 and cris alone */
#define PRCTL_SET_PTRACER 0x59616D61
#define OWN_NAMESPACE(flag)                                                                        \
    {                                                                                              \
        SCMP_SYS(clone), ALWAYS, 1,                                                                \
        {                                                                                          \
            BITS_ARE(CLONE_FLAGS, flag, flag)                                                      \
        }                                                                                          \
    }

static const struct condition conditions[] = {
    {SCMP_SYS(clone), NO_SPAWN, 1, {BITS_ARE(CLONE_FLAGS, CLONE_THREAD, 0)}},
    OWN_NAMESPACE(CLONE_NEWNS),
    OWN_NAMESPACE(CLONE_NEWCGROUP),
    OWN_NAMESPACE(CLONE_NEWUTS),
    OWN_NAMESPACE(CLONE_NEWIPC),
    OWN_NAMESPACE(CLONE_NEWUSER),
    OWN_NAMESPACE(CLONE_NEWPID),
    OWN_NAMESPACE(CLONE_NEWNET),
    {SCMP_SYS(ioctl), ALWAYS, 1, {INT_IS(1, TIOCSTI)}},
    {SCMP_SYS(ioctl), ALWAYS, 1, {INT_IS(1, TIOCLINUX)}},
    {SCMP_SYS(personality), ALWAYS, 1, {IS_NOT(0, 0xFFFFFFFF)}}, /* but to ask */
    /* A worker ends with its manager. */
    {SCMP_SYS(prctl), ALWAYS, 2, {INT_IS(0, PR_SET_PDEATHSIG), IS_NOT(1, SIGKILL)}},
    {SCMP_SYS(prctl), ALWAYS, 1, {INT_IS(0, PR_SET_MM)}},
    {SCMP_SYS(prctl), ALWAYS, 1, {INT_IS(0, PRCTL_SET_PTRACER)}},
    /* the limits and the scheduling of others; 0 is the caller */
    {SCMP_SYS(prlimit64), ALWAYS, 1, {IS_NOT(0, 0)}},
    {SCMP_SYS(sched_setaffinity), ALWAYS, 1, {IS_NOT(0, 0)}},
    {SCMP_SYS(sched_setattr), ALWAYS, 1, {IS_NOT(0, 0)}},
    {SCMP_SYS(sched_setparam), ALWAYS, 1, {IS_NOT(0, 0)}},
    {SCMP_SYS(sched_setscheduler), ALWAYS, 1, {IS_NOT(0, 0)}},
    {SCMP_SYS(setpriority), ALWAYS, 1, {IS_NOT(0, 0)}}, /* PRIO_PROCESS */
    {SCMP_SYS(setpriority), ALWAYS, 1, {IS_NOT(1, 0)}},
    {SCMP_SYS(ioprio_set), ALWAYS, 1, {IS_NOT(0, 1)}}, /* IOPRIO_WHO_PROCESS */
    {SCMP_SYS(ioprio_set), ALWAYS, 1, {IS_NOT(1, 0)}},
    /* Datagrams go where they are addressed to, from a connected pair too. */
    {SCMP_SYS(socketpair), NO_NETWORK, 1, {BITS_ARE(1, 15, SOCK_DGRAM)}},
    {SCMP_SYS(socketpair), NO_NETWORK, 1, {BITS_ARE(1, 15, SOCK_RAW)}},
};

/* ---- putting it together ---- */

struct filter {
    struct libseccomp lib;
    scmp_filter_ctx ctx;
    int error; /* the first one, negative errno */
};

static void refuse(struct filter *f, int error, int number, unsigned count,
                   const struct scmp_arg_cmp *if_these)
{
    int code =
        f->lib.rule_add_array(f->ctx, SCMP_ACT_ERRNO((unsigned)error), number, count, if_these);

    f->error = f->error ? f->error : code;
}

static void refuse_signals(struct filter *f)
{
    static const int by_process[] = {SCMP_SYS(kill), SCMP_SYS(tgkill), SCMP_SYS(rt_sigqueueinfo),
                                     SCMP_SYS(rt_tgsigqueueinfo)};
    const struct scmp_arg_cmp other = IS_NOT(0, (uint64_t)getpid());

    for (size_t i = 0; i < sizeof by_process / sizeof by_process[0]; i++) {
        refuse(f, EPERM, by_process[i], 1, &other);
    }
}

static void add_rules(struct filter *f, unsigned holds)
{
    refuse(f, ENOSYS, SCMP_SYS(clone3), 0, NULL);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if ((refused[i].when & holds) == refused[i].when) {
            refuse(f, EPERM, refused[i].number, 0, NULL);
        }
    }
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++) {
        const struct condition *c = &conditions[i];

        if ((c->when & holds) == c->when) {
            refuse(f, EPERM, c->number, c->count, c->if_these);
        }
    }
    if (holds & ONLY_ITSELF) {
        refuse_signals(f);
    }
}

/* What libseccomp has no names for: newer calls, whose numbers are the same everywhere. The bit is
 * that of x32, which the other filter kills. */
static int refuse_newer(void)
{
    enum { NEWEST = 450, X32 = 0x40000000 };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, NEWEST, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};

    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

int syscall_filter_load(const struct sandbox_options *o, bool signals_scoped, struct failure *why)
{
    struct filter f = {.error = 0};

    if (!libseccomp_load(&f.lib)) {
        return fail(why, TITAN_E_SPAWN_FAILED, "the sandbox needs seccomp (%s)",
                    syscall_filter_missing());
    }
    f.ctx = f.lib.init(SCMP_ACT_ALLOW);
    if (f.ctx == NULL) {
        return fail(why, TITAN_E_SPAWN_FAILED, "the sandbox: out of memory");
    }
    f.error = f.lib.attr_set(f.ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    add_rules(&f, situation(o, signals_scoped));
    f.error = f.error ? f.error : f.lib.load(f.ctx);
    f.lib.release(f.ctx);
    f.error = f.error ? f.error : refuse_newer();
    return f.error ? fail(why, TITAN_E_SPAWN_FAILED, "the sandbox: seccomp: %s", strerror(-f.error))
                   : TITAN_OK;
}
