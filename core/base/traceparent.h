/* The traceparent of W3C Trace Context, https://www.w3.org/TR/trace-context/#traceparent-header. */
#ifndef TITAN_BASE_TRACEPARENT_H
#define TITAN_BASE_TRACEPARENT_H

#include <stdbool.h>
#include <stddef.h>

#define TRACE_ID_LEN 16 /* bytes; twice as many digits of hex */
#define SPAN_ID_LEN 8

struct traceparent {
    const char *trace_id; /* digits, inside the text */
    const char *parent_id;
    bool sampled;
};

/* Takes one apart. False when it breaks a rule of section 3.2, and so counts as none. Of a version
 * to come only what version 00 defines is read, as section 4.3 says. */
bool traceparent_parse(const char *text, size_t len, struct traceparent *t);

#endif
