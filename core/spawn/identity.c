#include "spawn/identity.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define RECORD_LEN ((size_t)16 * 1024)

struct identity {
    bool has_uid, has_gid;
    uid_t uid;
    gid_t gid;
    bool has_name; /* of the user, with which its groups are found */
    char name[256];
};

/* An id from its decimal digits; the largest one stands for none in the kernel. */
static bool parse_id(const char *text, unsigned *id)
{
    unsigned long v;

    if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text)) {
        return false;
    }
    errno = 0;
    v = strtoul(text, NULL, 10);
    *id = (unsigned)v;
    return errno == 0 && v < (unsigned)-1;
}

static int find_user(struct identity *id, const char *user, struct failure *why)
{
    char room[RECORD_LEN];
    struct passwd record, *found = NULL;
    bool is_number = parse_id(user, &id->uid);
    int error = is_number ? getpwuid_r(id->uid, &record, room, sizeof room, &found)
                          : getpwnam_r(user, &record, room, sizeof room, &found);

    if (found != NULL) {
        id->uid = found->pw_uid;
        id->gid = found->pw_gid;
        id->has_gid = true;
        id->has_name =
            (size_t)snprintf(id->name, sizeof id->name, "%s", found->pw_name) < sizeof id->name;
    } else if (!is_number) {
        return fail(why, TITAN_E_SPAWN_FAILED, "security.user: there is no user \"%s\"%s%s", user,
                    error ? ": " : "", error ? strerror(error) : "");
    }
    id->has_uid = true;
    return TITAN_OK;
}

static int find_group(struct identity *id, const char *group, struct failure *why)
{
    char room[RECORD_LEN];
    struct group record, *found = NULL;
    int error;

    id->has_gid = true;
    id->has_name = false; /* the groups are this one alone */
    if (parse_id(group, &id->gid)) {
        return TITAN_OK;
    }
    error = getgrnam_r(group, &record, room, sizeof room, &found);
    if (found == NULL) {
        return fail(why, TITAN_E_SPAWN_FAILED, "security.group: there is no group \"%s\"%s%s",
                    group, error ? ": " : "", error ? strerror(error) : "");
    }
    id->gid = found->gr_gid;
    return TITAN_OK;
}

static bool become(const struct identity *id)
{
    bool ok = id->has_name ? initgroups(id->name, id->gid) == 0 : setgroups(1, &id->gid) == 0;

    return ok && setresgid(id->gid, id->gid, id->gid) == 0 &&
           (!id->has_uid || setresuid(id->uid, id->uid, id->uid) == 0);
}

int identity_take(const char *user, const char *group, struct failure *why)
{
    struct identity id = {0};
    int death_signal = 0;
    pid_t parent = getppid();
    int code = user ? find_user(&id, user, why) : TITAN_OK;

    if (code == TITAN_OK && group != NULL) {
        code = find_group(&id, group, why);
    }
    if (code < 0 || (user == NULL && group == NULL)) {
        return code;
    }
    if (geteuid() != 0) {
        return fail(why, TITAN_E_SPAWN_FAILED,
                    "security.%s: only root can become somebody else, and the manager runs as "
                    "user %u",
                    user ? "user" : "group", (unsigned)geteuid());
    }
    if (!id.has_gid) {
        return fail(why, TITAN_E_SPAWN_FAILED,
                    "security.user: user %u is not in the list of users, so that security.group "
                    "is needed too",
                    (unsigned)id.uid);
    }
    if (prctl(PR_GET_PDEATHSIG, &death_signal) < 0 || !become(&id) ||
        prctl(PR_SET_PDEATHSIG, death_signal) < 0) {
        return fail(why, TITAN_E_SPAWN_FAILED, "security.user: cannot become %s%s%s: %s",
                    user ? user : "", user && group ? ":" : "", group ? group : "",
                    strerror(errno));
    }
    if (getppid() != parent) {
        return fail(why, TITAN_E_SPAWN_FAILED, "the manager has died");
    }
    return TITAN_OK;
}
