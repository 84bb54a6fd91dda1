/* What went wrong: a code of titan.h and a sentence that says what, where and what to do. */
#ifndef TITAN_BASE_ERRORS_H
#define TITAN_BASE_ERRORS_H

#include "titan.h"

struct failure {
    int code; /* enum titan_error; TITAN_OK while nothing has failed */
    char message[512];
};

/* Fills in `f` (which may be NULL) and is `code`, so that a caller can `return fail(...)`. A
 * message longer than the room is cut. A macro, so that compilers and analyzers see the code. */
#define fail(f, code, ...) (failure_set((f), (code), __VA_ARGS__), failure_code(code))

static inline int failure_code(int code)
{
    return code;
}

__attribute__((format(printf, 3, 4))) void failure_set(struct failure *f, int code,
                                                       const char *format, ...);

#endif
