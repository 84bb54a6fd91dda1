/* Where the manager's own groups are: /proc/self/cgroup says which, mountinfo says where those can
 * be seen (proc_pid_mountinfo(5), cgroups(7)). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spawn/cgroup.h"

#define LINE_MAX_LEN (2 * PATH_MAX)

static const char *const controller_names[CGROUP_CONTROLLERS] = {"memory", "cpu"};

/* Whether `word` is one of the words of `list`, which `separator` separates. */
static bool has_word(const char *list, char separator, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = list; at != NULL; at = strchr(at, separator)) {
        at += *at == separator;
        if (strncmp(at, word, len) == 0 &&
            (at[len] == separator || at[len] == '\0' || at[len] == '\n')) {
            return true;
        }
    }
    return false;
}

static FILE *open_text(const char *root, const char *path)
{
    char full[PATH_MAX];

    if (snprintf(full, sizeof full, "%s%s", root, path) >= (int)sizeof full) {
        return NULL;
    }
    return fopen(full, "re");
}

/* The group of this process: that of v2 (controller NULL), or with that controller in v1. */
static bool own_group(const char *root, const char *controller, char group[PATH_MAX])
{
    char line[LINE_MAX_LEN];
    FILE *f = open_text(root, "/proc/self/cgroup");
    bool found = false;

    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        char *names = strchr(line, ':');
        char *path = names ? strchr(names + 1, ':') : NULL;

        if (path == NULL) {
            continue;
        }
        *names++ = '\0';
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        found = controller == NULL ? strcmp(line, "0") == 0 && *names == '\0'
                                   : has_word(names, ',', controller);
        if (found) {
            snprintf(group, PATH_MAX, "%s", path);
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return found;
}

struct mount {
    char at[PATH_MAX];
    char top[PATH_MAX]; /* which group is seen there */
};

static bool read_mount(char *line, const char *controller, struct mount *m)
{
    char type[32];
    char *rest = strstr(line, " - ");
    char *options;

    if (rest == NULL || sscanf(line, "%*s %*s %*s %4095s %4095s", m->top, m->at) != 2 ||
        sscanf(rest, " - %31s", type) != 1) {
        return false;
    }
    if (controller == NULL) {
        return strcmp(type, "cgroup2") == 0;
    }
    options = strrchr(rest, ' ');
    return strcmp(type, "cgroup") == 0 && has_word(options + 1, ',', controller);
}

static bool find_mount(const char *root, const char *controller, struct mount *m)
{
    char line[LINE_MAX_LEN];
    FILE *f = open_text(root, "/proc/self/mountinfo");
    bool found = false;

    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        found = read_mount(line, controller, m);
    }
    if (f != NULL) {
        fclose(f);
    }
    return found;
}

/* The directory of the own group. */
static bool find_own(const char *root, const char *controller, char own[PATH_MAX])
{
    char group[PATH_MAX];
    struct mount m;
    const char *below = group;
    size_t top_len;
    char *leaf;

    if (!own_group(root, controller, group) || !find_mount(root, controller, &m)) {
        return false;
    }
    top_len = strcmp(m.top, "/") == 0 ? 0 : strlen(m.top);
    if (strncmp(group, m.top, top_len) == 0) {
        below = group + top_len;
    }
    if (strcmp(below, "/") == 0) {
        below = "";
    }
    if (snprintf(own, PATH_MAX, "%s%s%s", root, m.at, below) >= PATH_MAX) {
        return false;
    }
    leaf = strrchr(own, '/');
    if (controller == NULL && leaf != NULL && strncmp(leaf, "/titan-leaf-", 12) == 0) {
        *leaf = '\0'; /* where a manager has moved itself */
    }
    return true;
}

static bool v2_offers(const char *own, const char *controller)
{
    char line[1024] = "";
    FILE *f = open_text(own, "/cgroup.controllers");
    bool is = f != NULL && fgets(line, sizeof line, f) != NULL && has_word(line, ' ', controller);

    if (f != NULL) {
        fclose(f);
    }
    return is;
}

void cgroups_find(struct cgroups *c, const char *root)
{
    char own[PATH_MAX];
    bool has_v2 = find_own(root, NULL, own);

    memset(c, 0, sizeof *c);
    for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
        struct cgroup_place *place = &c->places[i];

        if (has_v2 && v2_offers(own, controller_names[i])) {
            place->version = CGROUP_V2;
            memcpy(place->own, own, sizeof own);
        } else if (find_own(root, controller_names[i], place->own)) {
            place->version = CGROUP_V1;
        } else if (c->why[0] == '\0') {
            snprintf(c->why, sizeof c->why, "this process is in no control group with \"%s\"",
                     controller_names[i]);
        }
    }
}

const char *cgroup_version_name(enum cgroup_version v)
{
    static const char *const names[] = {"none", "cgroup1", "cgroup2"};

    return names[v];
}
