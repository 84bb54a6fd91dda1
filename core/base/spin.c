#include "base/spin.h"

#include <string.h>

#define SHORTEST_PART 8 /* of the limit: what is no longer than that is left */
#define RESTS_LEAST 8
#define RESTS_MOST 1024

void spin_init(struct spin *s, uint64_t limit_ns, unsigned processors)
{
    memset(s, 0, sizeof *s);
    s->limit_ns = processors > 1 ? limit_ns : 0;
    s->length_ns = s->limit_ns;
    s->next_rests = RESTS_LEAST;
}

uint64_t spin_length_ns(struct spin *s)
{
    if (s->rests > 0) {
        s->rests--;
        return 0;
    }
    return s->length_ns;
}

static void rest(struct spin *s)
{
    s->rests = s->next_rests;
    s->next_rests = s->rests < RESTS_MOST ? s->rests * 2 : RESTS_MOST;
    s->length_ns = s->limit_ns;
    s->trying = true;
}

void spin_ended(struct spin *s, bool found)
{
    if (found) {
        s->length_ns = s->length_ns < s->limit_ns / 2 ? s->length_ns * 2 : s->limit_ns;
        s->next_rests = RESTS_LEAST;
        s->trying = false;
        return;
    }
    s->length_ns /= 2;
    if (s->trying || s->length_ns <= s->limit_ns / SHORTEST_PART) {
        rest(s);
    }
}
