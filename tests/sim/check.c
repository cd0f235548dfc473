#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/sim.h"

_Noreturn void sim_failed(const struct world *w, const char *expression, const char *file, int line)
{
    printf("sim: seed %llu, at %lld ms: %s does not hold (%s:%d)\n"
           "sim: replay with ./run sim --dcs %d --seed %llu\n",
           (unsigned long long)w->seed, (long long)w->now_ms, expression, file, line, w->dcs_count,
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

    for (int i = 0; i < w->servers_count; i++)
        for (int k = 0; k <= w->servers[i].incarnation; k++)
            sum += spent_on(&w->slots[i][k][window]);
    return sum;
}

/* The pool's account of a slice is never ahead of the slice itself, nor behind with grants. */
static void check_slice(const struct world *w, int window, int i, int k)
{
    const struct pool_slice *s = &w->dcs[w->servers[i].dc].windows[window].slices[i][k];
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

static void check_sums(const struct world *w, int dc, const struct dc_window *here)
{
    const struct pool *p = &here->pool;
    struct pool_slice sum = {0};
    struct trade_peer peers = {0};

    for (int i = 0; i < w->servers_count; i++)
        for (int k = 0; k <= w->servers[i].incarnation && w->servers[i].dc == dc; k++) {
            const struct pool_slice *s = &here->slices[i][k];
            sum.granted += s->granted;
            sum.returned += s->returned;
            sum.consumed += s->consumed;
            sum.refunded += s->refunded;
            sum.presumed += s->presumed;
            sum.wanted += s->wanted;
            sum.rate_milli += s->rate_milli;
        }
    for (int j = 0; j < w->dcs_count; j++) {
        peers.sent += here->peers[j].sent;
        peers.received += here->peers[j].received;
        peers.lack += here->peers[j].lack;
        peers.spent += here->peers[j].spent;
    }
    SIM_CHECK(w, sum.granted == p->granted && sum.returned == p->returned);
    SIM_CHECK(w, sum.consumed == p->consumed && sum.refunded == p->refunded);
    SIM_CHECK(w, sum.presumed == p->presumed && sum.rate_milli == p->rate_milli);
    SIM_CHECK(w, peers.sent == p->sent && peers.received == p->received);
    SIM_CHECK(w, sum.wanted == p->wanted);
    SIM_CHECK(w, peers.lack == p->wanted_elsewhere && peers.spent == p->spent_elsewhere);
}

static int64_t in_transit(const struct world *w, int window)
{
    int64_t sum = 0;

    for (int i = 0; i < w->dcs_count; i++)
        for (int j = 0; j < w->dcs_count; j++) {
            int64_t under_way = w->dcs[i].windows[window].peers[j].sent -
                                w->dcs[j].windows[window].peers[i].received;
            SIM_CHECK(w, under_way >= 0);
            sum += under_way;
        }
    return sum;
}

static int64_t holdings(const struct world *w, int window)
{
    int64_t sum = 0;

    for (int i = 0; i < w->dcs_count; i++)
        sum += pool_holding(&w->dcs[i].windows[window].pool);
    return sum;
}

static const struct pool *home_of(const struct world *w, int window)
{
    return &w->dcs[w->home].windows[window].pool;
}

static void check_dc(const struct world *w, int dc, int window)
{
    const struct dc_window *here = &w->dcs[dc].windows[window];

    SIM_CHECK(w, pool_is_sound(&here->pool));
    SIM_CHECK(w, dc == w->home || (here->pool.minted == 0 && here->pool.burned == 0));
    SIM_CHECK(w, !here->is_over || here->was_in_doubt ||
                     (here->pool.granted == here->granted_when_over &&
                      here->pool.sent <= here->sent_when_over));
    check_sums(w, dc, here);
}

bool is_in_doubt(const struct world *w, int window)
{
    for (int dc = 0; dc < w->dcs_count; dc++)
        if (w->dcs[dc].windows[window].pool.in_doubt)
            return true;
    return false;
}

/* Some account is known to be wrong: then only the promise is checked. */
static bool has_amnesia(const struct world *w, int window)
{
    bool was_in_doubt = false;

    for (int dc = 0; dc < w->dcs_count; dc++)
        was_in_doubt |= w->dcs[dc].windows[window].was_in_doubt;
    return is_in_doubt(w, window) ||
           (was_in_doubt && (w->breakage == BREAK_FORGET || w->breakage == BREAK_HASTE ||
                             w->breakage == BREAK_NO_FENCE));
}

/* Also of what was learned in doubt, and whatever others say. */
static void check_holdings(const struct world *w, int window)
{
    for (int dc = 0; dc < w->dcs_count; dc++) {
        const struct pool *p = &w->dcs[dc].windows[window].pool;

        SIM_CHECK(w, p->in_doubt || pool_holding(p) <= p->requested_max);
    }
}

/* No unit is made: this is the promise. */
void check_world(const struct world *w)
{
    for (int window = 0; window < WINDOWS; window++) {
        SIM_CHECK(w, truly_spent(w, window) <= home_of(w, window)->requested_max);
        SIM_CHECK(w, w->yes[window] <= truly_spent(w, window));
        check_holdings(w, window);
        if (has_amnesia(w, window))
            continue;
        SIM_CHECK(w, truly_spent(w, window) <= pool_effective(home_of(w, window)));
        for (int dc = 0; dc < w->dcs_count; dc++)
            check_dc(w, dc, window);
        SIM_CHECK(w, holdings(w, window) + in_transit(w, window) ==
                         pool_effective(home_of(w, window)));
        for (int i = 0; i < w->servers_count; i++)
            for (int k = 0; k <= w->servers[i].incarnation; k++)
                check_slice(w, window, i, k);
    }
}

/* Where nothing can give units back, "used up" is exact: fewer than n are left with anyone who
 * speaks. */
void check_used_up(const struct world *w, int window, int64_t n)
{
    if (w->strict && !w->was_presumed[window] && !has_amnesia(w, window))
        SIM_CHECK(w, pool_effective(home_of(w, window)) - truly_spent(w, window) < n);
}

static int64_t lost_with_hosts(const struct world *w, int window)
{
    int64_t sum = 0;

    for (int i = 0; i < w->servers_count; i++)
        for (int k = 0; k < w->servers[i].incarnation; k++)
            sum += pool_slice_rest(&w->dcs[w->servers[i].dc].windows[window].slices[i][k]);
    return sum;
}

/* Who could hear the home for long enough before opens with its share, cut off or not. */
void check_opening(const struct world *w, int dc, int window)
{
    int64_t share = trade_share(w->totals[window], (size_t)w->dcs_count, (size_t)dc);

    if (dc != w->home && w->reached[dc][window] && w->forgot == 0)
        SIM_CHECK(w, w->dcs[dc].windows[window].peers[w->home].received >= share);
}

static bool another_could_give(const struct world *w, int dc, int window)
{
    for (int j = 0; j < w->dcs_count; j++) {
        const struct pool *p = &w->dcs[j].windows[window].pool;
        bool is_short = p->wanted > 0 || w->now_ms <= p->recalled_at_ms + SHORT_MS;
        if (j != dc && pool_free(p) > 0 && !is_short)
            return true;
    }
    return false;
}

/* Called while nothing fails. */
void check_flow(struct world *w, int window)
{
    for (int dc = 0; dc < w->dcs_count; dc++) {
        struct dc_window *here = &w->dcs[dc].windows[window];
        const struct pool *p = &here->pool;
        bool is_dry = !is_in_doubt(w, window) && p->wanted > pool_free(p) &&
                      another_could_give(w, dc, window);

        if (!is_dry || p->received > here->received_when_dry)
            here->dry_ms = 0;
        if (is_dry && here->dry_ms == 0) {
            here->dry_ms = w->now_ms;
            here->received_when_dry = p->received;
        }
        SIM_CHECK(w, here->dry_ms == 0 || w->now_ms <= here->dry_ms + 3 * ROUND_TRIP_MS);
    }
}

/*
 * Never more under way than was asked for by who knew of what had arrived; and
 * little to who has not been heard for long.
 */
void check_gift(struct world *w, int dc, int peer, int window, int64_t given)
{
    const struct dc_window *here = &w->dcs[dc].windows[window];
    const struct trade_row *heard = &here->heard[peer];
    const struct trade_peer *q = &here->peers[peer];
    int64_t before = trade_in_transit(q) - given, held = pool_holding(&here->pool) + given;

    if (given == 0)
        return;
    w->gifts_in_calm++;
    SIM_CHECK(w, q->sent - heard->received <= heard->want);
    if (before > 0 && w->now_ms >= here->moved_ms[peer] + UNECHOED_MS && heard->burn == 0)
        SIM_CHECK(w, trade_in_transit(q) <= max_i64(held / 10, 1));
}

/* Each knows what the others spent, and that nobody lacks anything. */
static void check_hints(const struct world *w, int dc, int window)
{
    int64_t spent = 0, lack = 0;

    for (int j = 0; j < w->dcs_count; j++) {
        const struct pool *p = &w->dcs[j].windows[window].pool;
        spent += j == dc ? 0 : p->consumed - p->refunded + p->presumed;
        lack += w->dcs[j].windows[window].asked[dc].lack;
    }
    SIM_CHECK(w, w->dcs[dc].windows[window].pool.spent_elsewhere == spent);
    SIM_CHECK(w, w->dcs[dc].windows[window].pool.wanted_elsewhere == lack);
}

/* No unit is lost and none lies idle: after the faults, with demand, all is spent but what lost
 * hosts hold, and what is too little for anyone who asks. */
void check_healed(const struct world *w, int window)
{
    const struct pool *home = home_of(w, window);
    int64_t stranded = lost_with_hosts(w, window), spent = 0;

    /* A server that is gone for good was known: nobody can say what it holds.  Or two data centres
     * have forgotten what one sent the other. */
    if (is_in_doubt(w, window)) {
        SIM_CHECK(w, !w->strict || w->forgot_together);
        return;
    }

    /* As the accounts have it: a lost host's last refunds are lost with it. */
    for (int dc = 0; dc < w->dcs_count; dc++) {
        const struct pool *p = &w->dcs[dc].windows[window].pool;
        spent += p->consumed - p->refunded;
    }

    /* What is left may go to where more is asked for, up to the window's end. */
    SIM_CHECK(w, in_transit(w, window) < w->last_wish);
    SIM_CHECK(w, pool_pending(home) <= stranded + max_i64(spent - home->requested, 0));
    SIM_CHECK(w, spent + stranded <= pool_effective(home));
    SIM_CHECK(w, pool_effective(home) - spent - stranded < w->last_wish);
    for (int dc = 0; dc < w->dcs_count; dc++) {
        /* Whatever totals it has missed: it can say that all is spent. */
        SIM_CHECK(w, !pool_is_outdated(&w->dcs[dc].windows[window].pool));
        check_hints(w, dc, window);
    }
}
