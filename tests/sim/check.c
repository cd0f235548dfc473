#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/sim.h"

_Noreturn void sim_failed(const struct world *w, const char *expression, const char *file, int line)
{
    printf("sim: seed %llu, at %lld ms: %s does not hold (%s:%d)\n"
           "sim: replay with ./run sim --seed %llu\n",
           (unsigned long long)w->seed, (long long)w->now_ms, expression, file, line,
           (unsigned long long)w->seed);
    exit(1);
}

/* What the ledger says, a return in the middle being completed as after a crash. */
static struct slot_counts true_counts(const struct slot *s)
{
    struct slot recovered = *s;

    slot_recover(&recovered);
    return slot_counts(&recovered);
}

static int64_t spent_on(const struct slot *s)
{
    struct slot_counts c = true_counts(s);

    return c.consumed - c.refunded;
}

int64_t truly_spent(const struct world *w, int window)
{
    int64_t sum = 0;

    for (int i = 0; i < SERVERS; i++)
        for (int k = 0; k < INCARNATIONS; k++)
            sum += spent_on(&w->slots[i][k][window]);
    return sum;
}

/* The pool's account of a slice is never ahead of the slice itself, nor behind with grants. */
static void check_slice(const struct world *w, int window, int i, int k)
{
    const struct pool_slice *s = &w->slices[window][i][k];
    const struct slot *slot = &w->slots[i][k][window];
    struct slot_counts c = true_counts(slot);

    SIM_CHECK(w, slot_is_sound(slot));
    SIM_CHECK(w, pool_slice_is_sound(s));
    SIM_CHECK(w, !s->frozen);
    SIM_CHECK(w, c.granted <= s->granted);
    SIM_CHECK(w, s->consumed <= c.consumed);
    SIM_CHECK(w, s->refunded <= c.refunded);
    SIM_CHECK(w, s->returned <= c.returned);
}

static void check_sums(const struct world *w, int window)
{
    const struct pool *p = &w->pools[window];
    struct pool_slice sum = {0};

    for (int i = 0; i < SERVERS; i++)
        for (int k = 0; k < INCARNATIONS; k++) {
            const struct pool_slice *s = &w->slices[window][i][k];
            sum.granted += s->granted;
            sum.returned += s->returned;
            sum.consumed += s->consumed;
            sum.refunded += s->refunded;
            sum.presumed += s->presumed;
            sum.wanted += s->wanted;
        }
    SIM_CHECK(w, sum.granted == p->granted && sum.returned == p->returned);
    SIM_CHECK(w, sum.consumed == p->consumed && sum.refunded == p->refunded);
    SIM_CHECK(w, sum.presumed == p->presumed && sum.wanted == p->wanted);
}

/* No unit is made: this is the promise. */
void check_world(const struct world *w)
{
    for (int window = 0; window < WINDOWS; window++) {
        const struct pool *p = &w->pools[window];

        SIM_CHECK(w, truly_spent(w, window) <= pool_effective(p));
        SIM_CHECK(w, w->yes[window] <= truly_spent(w, window));
        SIM_CHECK(w, pool_is_sound(p));
        check_sums(w, window);
        for (int i = 0; i < SERVERS; i++)
            for (int k = 0; k < INCARNATIONS; k++)
                check_slice(w, window, i, k);
    }
}

/* Where nothing can give units back, "used up" is exact: fewer than n are left with anyone who
 * speaks. */
void check_used_up(const struct world *w, int window, int64_t n)
{
    const struct pool *p = &w->pools[window];

    if (w->strict)
        SIM_CHECK(w, pool_effective(p) - truly_spent(w, window) - p->presumed < n);
}

static int64_t lost_with_hosts(const struct world *w, int window)
{
    int64_t sum = 0;

    for (int i = 0; i < SERVERS; i++)
        for (int k = 0; k < w->servers[i].incarnation; k++)
            sum += pool_slice_rest(&w->slices[window][i][k]);
    return sum;
}

/* No unit is lost and none lies idle: after the faults, with demand, all is spent but what lost
 * hosts hold. */
void check_healed(const struct world *w, int window)
{
    const struct pool *p = &w->pools[window];
    int64_t stranded = lost_with_hosts(w, window);

    SIM_CHECK(w, pool_free(p) == 0);
    SIM_CHECK(w, pool_pending(p) <= stranded + pool_overspent(p));
    SIM_CHECK(w, p->consumed - p->refunded + stranded == pool_effective(p));
    SIM_CHECK(w, pool_held(p) == stranded);
}
