#include "base/errors.h"

#include <stdarg.h>
#include <stdio.h>

struct error_row {
    const char *name;
    const char *text;
};

/* Indexed by -code. */
static const struct error_row rows[] = {
    {"ok", "nothing failed"},
    {"invalid_config",
     "an option is unknown, has the wrong type or a bad value; correct the one named"},
    {"spawn_failed", "the worker could not be started; its own error or its stderr says why"},
    {"startup_timeout",
     "the worker did not become ready in time; raise startup_timeout or speed up init"},
    {"method_not_found", "the worker has no method of that name; check the spelling"},
    {"not_public", "the method is private; declare it with public = true to call it"},
    {"validation_failed", "arguments or results are not what was declared, or cannot travel"},
    {"timeout",
     "no answer came before the deadline; raise the timeout or look at what the worker does"},
    {"cancelled", "the call was cancelled before it ended"},
    {"worker_lost",
     "the worker ended before it answered; the call may or may not have had its effect"},
    {"overloaded", "too many calls are waiting already; slow down or add workers"},
    {"rate_limited", "the rate limit is used up; try again later"},
    {"circuit_open", "the circuit breaker is open after repeated failures; try again later"},
    {"limit_exceeded", "a limit on memory, size or descriptors was reached"},
    {"remote_error", "the method raised an error"},
    {"protocol_error",
     "the peer sent bytes that are not Titan's protocol; the connection was ended"},
    {"unauthorized", "the peer is not allowed to do this"},
    {"shutting_down", "the worker or the manager is stopping and takes no new calls"},
    {"destroyed", "the worker has been stopped for good"},
};

static const struct error_row *row_of(int code)
{
    int count = (int)(sizeof rows / sizeof rows[0]);

    if (code > 0 || code <= -count) {
        return NULL;
    }
    return &rows[-code];
}

const char *titan_error_name(int code)
{
    const struct error_row *row = row_of(code);

    return row ? row->name : "unknown";
}

const char *titan_strerror(int code)
{
    const struct error_row *row = row_of(code);

    return row ? row->text : "an unknown error code";
}

const char *titan_version(void)
{
    return TITAN_VERSION;
}

void failure_set(struct failure *f, int code, const char *format, ...)
{
    va_list args;

    if (f == NULL) {
        return;
    }
    f->code = code;
    va_start(args, format);
    vsnprintf(f->message, sizeof f->message, format, args);
    va_end(args);
}
