#include "spawn/capabilities.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(capability) (1ULL << (capability))

static const uint64_t kept = BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_DAC_READ_SEARCH) |
                             BIT(CAP_FOWNER) | BIT(CAP_FSETID) | BIT(CAP_KILL) | BIT(CAP_SETGID) |
                             BIT(CAP_SETUID) | BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_NET_RAW);

/* What a program that is executed could get. Without the right to do that nothing is lost:
 * no_new_privs keeps an unprivileged process from it too. */
static void drop_bounding(void)
{
    for (unsigned long c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++) {
        if (c >= 64 || (kept & BIT(c)) == 0) {
            (void)prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
        }
    }
}

int capabilities_drop(struct failure *why)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    drop_bounding();
    if (syscall(SYS_capget, &header, data) == 0) {
        for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
            uint32_t mask = (uint32_t)(kept >> (32 * i));

            data[i].permitted &= mask;
            data[i].effective &= mask;
            data[i].inheritable = 0; /* and so none is ambient */
        }
        if (syscall(SYS_capset, &header, data) == 0) {
            return TITAN_OK;
        }
    }
    return fail(why, TITAN_E_SPAWN_FAILED, "the sandbox: capabilities: %s", strerror(errno));
}
