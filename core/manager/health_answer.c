#include "manager/health_answer.h"

#include <stdio.h>

#include "wire/mp_read.h"

/* Well-formed to its last byte: what is read after this is only looked at. */
static const char *check(struct span value, unsigned depth)
{
    struct mp_reader r = {value.at, value.at + value.len};
    const char *bad = mp_skip(&r, depth);

    return bad == NULL && r.at != r.end ? "bytes behind a value" : bad;
}

static void set_reason(struct health_answer *a, const char *before, const struct mp_token *text)
{
    snprintf(a->reason, sizeof a->reason, "%s%.*s", before,
             (int)(text->n < sizeof a->reason ? text->n : sizeof a->reason),
             (const char *)text->bytes);
}

static bool is_text(const struct mp_token *t, const char *text)
{
    return t->type == MP_STR && span_is((struct span){t->bytes, t->n}, text);
}

/* Looks through a map, of which `r` stands at the first key, for the values that are strings. */
struct said {
    struct mp_token status, reason, message; /* MP_NIL when they are no strings */
};

static void read_map(struct mp_reader *r, uint32_t pairs, struct said *said)
{
    *said = (struct said){{.type = MP_NIL}, {.type = MP_NIL}, {.type = MP_NIL}};
    for (uint32_t i = 0; i < pairs; i++) {
        struct mp_token key, value;
        struct mp_reader at = *r;

        mp_next(&at, &key);
        mp_skip(r, MP_DEPTH_MAX); /* the key, */
        at = *r;
        mp_next(&at, &value);
        mp_skip(r, MP_DEPTH_MAX); /* the value */
        if (value.type != MP_STR) {
            continue;
        }
        if (is_text(&key, "status")) {
            said->status = value;
        } else if (is_text(&key, "reason")) {
            said->reason = value;
        } else if (is_text(&key, "message")) {
            said->message = value;
        }
    }
}

static void take_status(const struct said *said, struct health_answer *a)
{
    const struct mp_token *reason = said->reason.type == MP_STR ? &said->reason : &said->message;

    if (is_text(&said->status, "healthy")) {
        a->found = FOUND_HEALTHY;
    } else if (is_text(&said->status, "degraded")) {
        a->found = FOUND_DEGRADED;
    }
    if (reason->type == MP_STR) {
        set_reason(a, "", reason);
    } else if (is_text(&said->status, "unhealthy")) {
        snprintf(a->reason, sizeof a->reason, "it says so");
    } else if (said->status.type != MP_STR) {
        snprintf(a->reason, sizeof a->reason,
                 "its answer has no status (a string: healthy, degraded or unhealthy)");
    } else if (a->found == FOUND_FAILED) {
        set_reason(a, "its status is none of healthy, degraded and unhealthy: ", &said->status);
    }
}

/* The string behind the first result, if there is one, is the reason. */
static bool take_second(struct mp_reader *r, uint32_t n, struct health_answer *a)
{
    struct mp_token second;

    if (n < 2 || mp_next(r, &second) != NULL || second.type != MP_STR) {
        return false;
    }
    set_reason(a, "", &second);
    return true;
}

const char *health_read_results(struct span results, unsigned nesting, struct health_answer *a)
{
    struct mp_reader r = {results.at, results.at + results.len};
    const char *bad = check(results, nesting + 1);
    struct mp_token list, first = {.type = MP_NIL};
    const uint8_t *begin;
    struct said said;

    *a = (struct health_answer){.found = FOUND_FAILED};
    if (bad != NULL) {
        return bad;
    }
    if (mp_next(&r, &list) != NULL || list.type != MP_ARRAY) {
        return "results that are no list";
    }
    begin = r.at;
    if (list.n > 0) {
        mp_next(&r, &first);
    }
    if (first.type == MP_MAP) {
        read_map(&r, first.n, &said);
        a->details = (struct span){begin, (size_t)(r.at - begin)};
        take_status(&said, a);
    } else if (first.type == MP_NIL) {
        a->found = take_second(&r, list.n, a) ? FOUND_FAILED : FOUND_HEALTHY;
    } else if (first.type == MP_BOOL && first.i != 0) {
        a->found = FOUND_HEALTHY;
    } else if (first.type != MP_BOOL) {
        snprintf(a->reason, sizeof a->reason,
                 "it answered neither true or false nor a table with a status");
    } else if (!take_second(&r, list.n, a)) {
        snprintf(a->reason, sizeof a->reason, "it answered false");
    }
    return NULL;
}

const char *health_read_error(struct span error, unsigned nesting, struct health_answer *a)
{
    struct mp_reader r = {error.at, error.at + error.len};
    const char *bad = check(error, nesting + 1);
    struct mp_token map;
    struct said said;

    *a = (struct health_answer){.found = FOUND_FAILED};
    if (bad != NULL) {
        return bad;
    }
    if (mp_next(&r, &map) != NULL || map.type != MP_MAP) {
        return "an error that is no map";
    }
    read_map(&r, map.n, &said);
    snprintf(a->reason, sizeof a->reason, "it raised an error");
    if (said.message.type == MP_STR) {
        set_reason(a, "it raised: ", &said.message);
    }
    return NULL;
}
