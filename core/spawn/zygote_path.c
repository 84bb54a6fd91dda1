#include "spawn/zygote_path.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef TITAN_LIBEXEC_DIR
#define TITAN_LIBEXEC_DIR "/usr/libexec/titan"
#endif

/* The directory of the file this code was loaded from. */
static bool own_directory(char dir[PATH_MAX])
{
    static const char here;
    Dl_info info;

    if (dladdr(&here, &info) == 0 || info.dli_fname == NULL ||
        realpath(info.dli_fname, dir) == NULL) {
        return false;
    }
    *strrchr(dir, '/') = '\0';
    return true;
}

static bool runs(const char *path)
{
    return access(path, X_OK) == 0;
}

int zygote_path(char path[ZYGOTE_PATH_MAX], struct failure *why)
{
    const char *named = getenv("TITAN_ZYGOTE");
    char dir[PATH_MAX];

    if (named != NULL && *named != '\0') {
        snprintf(path, ZYGOTE_PATH_MAX, "%s", named);
        return runs(path) ? TITAN_OK
                          : fail(why, TITAN_E_SPAWN_FAILED,
                                 "TITAN_ZYGOTE names %s, which cannot be executed", named);
    }
    if (own_directory(dir)) {
        snprintf(path, ZYGOTE_PATH_MAX, "%s/titan-zygote", dir);
        if (runs(path)) {
            return TITAN_OK;
        }
        snprintf(path, ZYGOTE_PATH_MAX, "%s/../libexec/titan/titan-zygote", dir);
        if (runs(path)) {
            return TITAN_OK;
        }
    }
    snprintf(path, ZYGOTE_PATH_MAX, "%s", TITAN_LIBEXEC_DIR "/titan-zygote");
    return runs(path) ? TITAN_OK
                      : fail(why, TITAN_E_SPAWN_FAILED,
                             "titan-zygote is neither beside the library (%s) nor in %s; set "
                             "TITAN_ZYGOTE to its path",
                             dir, TITAN_LIBEXEC_DIR);
}
