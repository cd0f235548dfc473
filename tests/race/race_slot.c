/*
 * Many threads spend and refund while one returns and grants: every yes is
 * backed by a unit, and no report contradicts itself or an earlier one.
 */

#include "common/base/check.h"
#include "common/base/num.h"
#include "common/domain/slot.h"
#include "tests/race/race.h"

#define CLIENTS 4

struct world {
    struct slot slot;
    _Atomic int64_t consumed, refunded; /* what clients were told */
    int64_t granted, returned;          /* the keeper's own account */
    struct slot_counts last;            /* the keeper's last report */
};

/* What may be spent only grows, so if it is read last it covers what was spent before. */
static void check_covered(const struct slot *s)
{
    int64_t used = atomic_load(&s->used) & ~SLOT_FROZEN;
    int64_t refunded = atomic_load(&s->refunded);
    int64_t granted = atomic_load(&s->granted);

    CHECK(used <= granted + refunded);
    CHECK(slot_rest(s) >= 0);
}

static void client(struct race_thread *t)
{
    struct world *w = t->arg;
    const int64_t n = 1 + prng_below(&t->prng, 20);
    const enum consume_mode mode = (enum consume_mode)prng_below(&t->prng, CONSUME_CHECK + 1);
    const struct slot_take take = slot_consume(&w->slot, n, mode);

    CHECK(take.rest >= 0 && take.units >= 0 && take.units <= n);
    CHECK((take.verdict == SLOT_GRANTED) == (take.units > 0));
    CHECK(mode == CONSUME_BEST_EFFORT || take.units == 0 || take.units == n);
    if (mode != CONSUME_CHECK)
        atomic_fetch_add(&w->consumed, take.units);
    if (prng_below(&t->prng, 3) == 0 && slot_refund(&w->slot, n))
        atomic_fetch_add(&w->refunded, n);
    check_covered(&w->slot);
}

static void check_report(const struct slot_counts *last, const struct slot_counts *now)
{
    CHECK(now->returned + now->consumed - now->refunded <= now->granted);
    CHECK(now->refunded <= now->consumed);
    CHECK(now->granted >= last->granted && now->returned >= last->returned);
    CHECK(now->consumed >= last->consumed && now->refunded >= last->refunded);
}

/* An old answer of the pool comes now and then, too. */
static void keeper(struct race_thread *t)
{
    struct world *w = t->arg;

    switch (prng_below(&t->prng, 4)) {
    case 0:
        w->granted += prng_below(&t->prng, 200);
        slot_grant(&w->slot, w->granted);
        break;
    case 1: slot_grant(&w->slot, w->granted / 2); break;
    case 2: w->returned += slot_return(&w->slot, prng_below(&t->prng, 100)); break;
    default: break;
    }
    const struct slot_counts now = slot_counts(&w->slot);
    check_report(&w->last, &now);
    CHECK(now.granted == w->granted && now.returned == w->returned);
    w->last = now;
}

static void observer(struct race_thread *t)
{
    check_covered(&((const struct world *)t->arg)->slot);
}

static void check_accounts(const struct world *w)
{
    const struct slot_counts now = slot_counts(&w->slot);

    check_report(&w->last, &now);
    CHECK(slot_is_sound(&w->slot));
    CHECK(now.consumed == atomic_load(&w->consumed) && now.consumed > 0);
    CHECK(now.refunded == atomic_load(&w->refunded) && now.refunded > 0);
    CHECK(now.returned == w->returned && now.returned > 0);
    CHECK(slot_rest(&w->slot) == now.granted - now.returned - now.consumed + now.refunded);
}

int main(void)
{
    struct world w = {.granted = 0};

    RACE_RUN({client, CLIENTS, &w, false}, {keeper, 1, &w, false}, {observer, 1, &w, false});
    check_accounts(&w);
    return 0;
}
