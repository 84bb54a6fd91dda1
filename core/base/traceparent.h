/* The traceparent of W3C Trace Context, https://www.w3.org/TR/trace-context/#traceparent-header. */
#ifndef TITAN_BASE_TRACEPARENT_H
#define TITAN_BASE_TRACEPARENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_ID_LEN 16 /* bytes; twice as many digits of hex */
#define SPAN_ID_LEN 8
#define TRACEPARENT_LEN (2 + 1 + 2 * TRACE_ID_LEN + 1 + 2 * SPAN_ID_LEN + 1 + 2)

#define TRACEPARENT_ALL INT64_MAX /* a bound */

struct traceparent {
    const char *trace_id; /* digits, inside the text */
    const char *parent_id;
    bool sampled;
};

/* Takes one apart. False when it breaks a rule of section 3.2, and so counts as none. Of a version
 * to come only what version 00 defines is read, as section 4.3 says. */
bool traceparent_parse(const char *text, size_t len, struct traceparent *t);

/* Writes one of version 00, TRACEPARENT_LEN bytes without an end. The parts are digits of hex. */
void traceparent_format(char *text, const char *trace_id, const char *parent_id, bool sampled);

/* Whether a trace without a parent is recorded, where a share of bound / 2^63 of them is. The last
 * eight bytes of its id decide, read as OpenTelemetry's TraceIDRatioBased for Go reads them
 * (https://opentelemetry.io/docs/specs/otel/trace/sdk/#traceidratiobased): all who see the trace
 * decide alike, and who records a larger share records what the others do and more. */
bool traceparent_is_sampled(const char *trace_id, int64_t bound);

#endif
