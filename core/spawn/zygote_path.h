/* Where the helper program titan-zygote lies. */
#ifndef TITAN_SPAWN_ZYGOTE_PATH_H
#define TITAN_SPAWN_ZYGOTE_PATH_H

#include <limits.h>

#include "base/errors.h"

#define ZYGOTE_PATH_MAX (PATH_MAX + 64)

/* The environment's TITAN_ZYGOTE, else beside this library (a build tree), else ../libexec/titan
 * from it, else where it was configured to be installed. TITAN_E_SPAWN_FAILED names the places
 * looked at. */
int zygote_path(char path[ZYGOTE_PATH_MAX], struct failure *why);

#endif
