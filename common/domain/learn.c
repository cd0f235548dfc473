#include "common/domain/learn.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/num.h"

/* An incarnation is a count and a random part: it grows, and is never the same twice. */
#define RANDOM_BITS 20

const char *const learn_verdict_names[] = {
#define X(verdict, name) name,
    LEARN_VERDICTS(X)
#undef X
        NULL};

enum learn_verdict learn_judge(const struct learn_memory *m, const struct learn_database *d)
{
    bool is_missing = m->is_known && !d->is_registered && !m->was_away;
    bool is_witness = m->is_known && d->is_registered;

    if (is_missing || d->writers < m->writers || (is_witness && d->commits < m->commits))
        return LEARN_FORGOTTEN;
    if (d->is_same_life)
        return LEARN_NOTHING;
    return is_witness && d->present == 1 ? LEARN_PROVEN : LEARN_UNPROVEN;
}

int64_t learn_next_incarnation(int64_t known, int64_t heard, uint64_t random)
{
    int64_t last = (UNITS_MAX >> RANDOM_BITS);
    int64_t count = min_i64((max_i64(known, heard) >> RANDOM_BITS) + 1, last);

    CHECK(known >= 0 && heard >= 0);
    return (count << RANDOM_BITS) | (int64_t)(random & ((1U << RANDOM_BITS) - 1));
}

bool learn_is_in_reach(int64_t incarnation, int64_t known, int64_t lives)
{
    return (incarnation >> RANDOM_BITS) - (known >> RANDOM_BITS) <= lives;
}

/* Since when its commits stand still. */
static int64_t still_since_ms(const struct learn_others *known, const struct learn_other *o,
                              int64_t now_ms)
{
    for (size_t i = 0; i < known->count; i++)
        if (strcmp(known->all[i].process, o->process) == 0 && known->all[i].commits == o->commits)
            return known->all[i].since_ms;
    return now_ms;
}

void learn_see_others(struct learn_others *known, const struct learn_others *seen, int64_t now_ms)
{
    struct learn_others after = *seen;

    CHECK(seen->count <= LEARN_OTHERS_MAX);
    for (size_t i = 0; i < after.count; i++)
        after.all[i].since_ms = still_since_ms(known, &after.all[i], now_ms);
    *known = after;
}

bool learn_is_intact(const struct learn_roll *r)
{
    return !r->is_proven_lost && r->witnesses > 0 && r->agreeing == r->witnesses;
}

bool learn_has_heard(const struct learn_roll *r)
{
    return r->silent == 0 && r->waited_ms >= r->learn_ms;
}
