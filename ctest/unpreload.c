/*
 * Loaded behind a sanitizer's runtime (LD_PRELOAD=libasan.so:unpreload.so): keeps LD_PRELOAD from
 * the processes that the tests start. Titan's own programs are linked with the runtime, and
 * programs of the system (ps, bash) do not bear it.
 */
#include <stdlib.h>

__attribute__((constructor)) static void forget_preload(void)
{
    unsetenv("LD_PRELOAD");
}
