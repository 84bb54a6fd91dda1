#include "base/traceparent.h"

#include <string.h>

/* 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 */
enum {
    TRACE_ID_AT = 3,
    PARENT_ID_AT = TRACE_ID_AT + 2 * TRACE_ID_LEN + 1,
    FLAGS_AT = PARENT_ID_AT + 2 * SPAN_ID_LEN + 1,
    END = TRACEPARENT_LEN
};

/* The value of a digit of lower-case hex, -1 for anything else. */
static int digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Whether all are digits; `any` becomes whether one of them is not 0. */
static bool are_digits(const char *at, size_t len, bool *any)
{
    *any = false;
    for (size_t i = 0; i < len; i++) {
        if (digit(at[i]) < 0) {
            return false;
        }
        *any = *any || at[i] != '0';
    }
    return true;
}

bool traceparent_parse(const char *text, size_t len, struct traceparent *t)
{
    bool any, has_trace, has_parent;

    if (len < END || text[TRACE_ID_AT - 1] != '-' || text[PARENT_ID_AT - 1] != '-' ||
        text[FLAGS_AT - 1] != '-') {
        return false;
    }
    if (!are_digits(text, 2, &any) || memcmp(text, "ff", 2) == 0 ||
        !are_digits(text + TRACE_ID_AT, 2 * (size_t)TRACE_ID_LEN, &has_trace) || !has_trace ||
        !are_digits(text + PARENT_ID_AT, 2 * (size_t)SPAN_ID_LEN, &has_parent) || !has_parent) {
        return false;
    }
    if (len > END && (memcmp(text, "00", 2) == 0 || text[END] != '-')) {
        return false;
    }
    if (!are_digits(text + FLAGS_AT, 2, &any)) {
        return false;
    }
    t->trace_id = text + TRACE_ID_AT;
    t->parent_id = text + PARENT_ID_AT;
    t->sampled = (digit(text[END - 1]) & 1) != 0;
    return true;
}

void traceparent_format(char *text, const char *trace_id, const char *parent_id, bool sampled)
{
    memcpy(text, "00-", TRACE_ID_AT);
    memcpy(text + TRACE_ID_AT, trace_id, 2 * (size_t)TRACE_ID_LEN);
    text[PARENT_ID_AT - 1] = '-';
    memcpy(text + PARENT_ID_AT, parent_id, 2 * (size_t)SPAN_ID_LEN);
    text[FLAGS_AT - 1] = '-';
    text[FLAGS_AT] = '0';
    text[FLAGS_AT + 1] = sampled ? '1' : '0';
}

bool traceparent_is_sampled(const char *trace_id, int64_t bound)
{
    uint64_t last = 0;

    if (bound == TRACEPARENT_ALL) {
        return true;
    }
    for (size_t i = TRACE_ID_LEN; i < 2 * (size_t)TRACE_ID_LEN; i++) {
        last = last << 4 | (uint64_t)digit(trace_id[i]);
    }
    return (int64_t)(last >> 1) < bound;
}
