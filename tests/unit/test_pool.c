#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <signal.h>

#include "common/domain/cap.h"
#include "common/domain/pool.h"

static const struct pool_context one_server = {.active_servers = 1, .now_ms = 100000};

static struct pool pool_of(int64_t total)
{
    const struct pool empty = {
        .home = true,
        .topup_ppm = CAP_TOPUP_PPM_DEFAULT,
        .slice_max_ppm = CAP_SLICE_MAX_PPM_DEFAULT,
        .autonomy_ms = CAP_AUTONOMY_MS_DEFAULT,
        .accepts = true,
    };
    return pool_retarget(&empty, total);
}

/* A server that holds what it was granted, and wants units; demand unknown. */
static struct pool_report wants(const struct pool_slice *s, int64_t want)
{
    return (struct pool_report){
        .granted_known = s->granted,
        .returned = s->returned,
        .consumed = s->consumed,
        .refunded = s->refunded,
        .want = want,
        .rate_milli = -1,
    };
}

/* Applies a topup to both; for tests that go through several. */
static struct pool_topup topup(struct pool *p, struct pool_slice *s, const struct pool_report *r)
{
    struct pool_topup t = pool_topup(p, s, r, &one_server);

    *p = t.pool;
    *s = t.slice;
    return t;
}

static struct pool_topup topup_want(struct pool *p, struct pool_slice *s, int64_t want)
{
    const struct pool_report r = wants(s, want);

    return topup(p, s, &r);
}

static const struct {
    const char *name;
    int64_t total, servers, rate_milli, want, size;
} sizes[] = {
    {"5 % of the total while the demand is unknown", 1000, 1, -1, 1, 50},
    {"with an initial total of 500, 25", 500, 1, -1, 1, 25},
    {"ten seconds of demand once it is known", 100000, 1, 20000, 1, 200},
    {"half of an even share among many servers", 1000, 100, -1, 1, 5},
    {"at least one", 10, 100, 0, 1, 1},
    {"at least what is wanted", 1000, 1, -1, 200, 200},
    {"never more than is free", 100, 1, -1, 500, 100},
    {"2^53-1 does not overflow", UNITS_MAX, 1, INT64_C(1) << 50, 1, INT64_C(10995116277)},
};

Test(pool, cuts_slices_by_demand_total_and_servers)
{
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct pool p = pool_of(sizes[i].total);
        const struct pool_context ctx = {.active_servers = sizes[i].servers, .now_ms = 1};
        int64_t size = pool_slice_size(&p, &ctx, sizes[i].want, sizes[i].rate_milli);

        cr_expect(size == sizes[i].size, "%s: %lld", sizes[i].name, (long long)size);
    }
}

Test(pool, grants_and_keeps_the_law)
{
    struct pool p = pool_of(1000);
    struct pool_slice s = {0};
    struct pool_topup t = topup_want(&p, &s, 1);

    cr_expect(eq(i64, t.answer.granted, 50));
    cr_expect(eq(i64, t.answer.left, 950));
    cr_expect(eq(i64, pool_free(&p), 950));
    cr_expect(t.answer.state == POOL_OPEN);
}

Test(pool, a_lost_answer_is_repeated_and_never_doubled)
{
    struct pool p = pool_of(1000);
    struct pool_slice s = {0};
    const struct pool_report r = wants(&s, 1);

    struct pool_topup first = topup(&p, &s, &r);
    struct pool_topup again = topup(&p, &s, &r);
    cr_expect(eq(i64, again.answer.granted, first.answer.granted));
    cr_expect(eq(i64, pool_free(&p), 950));
}

Test(pool, reports_are_maxima_so_late_ones_change_nothing)
{
    struct pool p = pool_of(1000);
    struct pool_slice s = {0};
    (void)topup_want(&p, &s, 50);

    const struct pool_report newer = {
        .granted_known = 50, .returned = 10, .consumed = 30, .refunded = 5};
    const struct pool_report older = {.granted_known = 50, .returned = 10, .consumed = 20};
    (void)topup(&p, &s, &newer);
    const struct pool before = p;
    (void)topup(&p, &s, &older);

    cr_expect(eq(i64, p.consumed, before.consumed));
    cr_expect(eq(i64, p.refunded, 5));
    cr_expect(eq(i64, pool_free(&p), 960));
}

static const struct {
    const char *name;
    struct pool_report report;
} contradictions[] = {
    {"consumed more than was granted", {.granted_known = 50, .consumed = 51}},
    {"returned and consumed more than was granted",
     {.granted_known = 50, .consumed = 30, .returned = 21}},
    {"refunded more than it consumed", {.granted_known = 50, .consumed = 5, .refunded = 6}},
};

Test(pool, a_server_that_contradicts_it_is_frozen)
{
    for (size_t i = 0; i < sizeof(contradictions) / sizeof(contradictions[0]); i++) {
        struct pool p = pool_of(1000);
        struct pool_slice s = {0};
        (void)topup_want(&p, &s, 1);

        struct pool_topup t = topup(&p, &s, &contradictions[i].report);
        cr_expect(t.answer.state == POOL_FROZEN && s.frozen, "%s", contradictions[i].name);
        cr_expect(p.consumed == 0 && p.granted == 50, "%s", contradictions[i].name);
        t = topup_want(&p, &s, 1);
        cr_expect(t.answer.granted == 50, "%s: nothing more is granted", contradictions[i].name);
        cr_expect(p.presumed == 50, "%s: its rest counts as spent", contradictions[i].name);
    }
}

/* ---- in doubt */

static struct pool doubted(int64_t total)
{
    struct pool p = pool_of(total);

    p.in_doubt = true;
    return p;
}

Test(pool, a_server_that_knows_of_more_grants_shows_that_they_were_forgotten)
{
    struct pool p = pool_of(1000);
    struct pool_slice s = {0};
    (void)topup_want(&p, &s, 1);
    const struct pool before = p;

    struct pool_topup t = topup(&p, &s, &(struct pool_report){.granted_known = 51, .want = 1});
    cr_expect(t.is_forgotten);
    cr_expect(p.granted == before.granted && p.consumed == 0 && !s.frozen);
}

Test(pool, in_doubt_nothing_is_granted_and_all_that_is_said_is_learned)
{
    struct pool p = doubted(100);
    struct pool_slice s = {0};

    struct pool_topup t =
        topup(&p, &s, &(struct pool_report){.granted_known = 80, .consumed = 70, .want = 5});
    cr_expect(false == t.is_forgotten && t.answer.state == POOL_DRY);
    cr_expect(eq(i64, t.answer.granted, 80));
    cr_expect(eq(i64, p.granted, 80));
    cr_expect(eq(i64, p.consumed, 70));
    cr_expect(t.answer.left > 0, "who asks is not told that all is used up");

    struct pool trusted = pool_trust(&p);
    cr_expect(false == trusted.in_doubt);
    cr_expect(eq(i64, pool_free(&trusted), 20));
}

Test(pool, in_doubt_nothing_is_burned_until_it_is_trusted)
{
    struct pool p = doubted(100);

    p = pool_retarget(&p, 30);
    cr_expect(eq(i64, p.burned, 0));
    p = pool_trust(&p);
    cr_expect(eq(i64, p.burned, 70));
}

Test(pool, what_is_out_at_home_and_was_not_minted_as_far_as_is_known_was_minted)
{
    struct pool p = doubted(100);
    struct pool_slice s = {0};
    (void)topup(&p, &s, &(struct pool_report){.granted_known = 130});

    p = pool_trust(&p);
    cr_expect(false == p.in_doubt);
    cr_expect(eq(i64, p.minted, 130));
    cr_expect(eq(i64, p.requested_max, 130));
    cr_expect(eq(i64, pool_free(&p), 0));
}

Test(pool, what_others_say_they_got_raises_no_total_and_is_not_minted_beyond_it)
{
    struct pool p = doubted(100);
    p.sent = 180;

    struct pool after = pool_trust(&p);
    cr_expect(after.in_doubt && after.minted == 100 && after.requested_max == 100);
    p = pool_retarget(&p, 180);
    after = pool_trust(&p);
    cr_expect(false == after.in_doubt, "the raise that was forgotten is known again");
    cr_expect(eq(i64, pool_free(&after), 0));
}

Test(pool, nobody_trusts_a_pool_that_holds_more_than_the_total_ever_was)
{
    struct pool p = doubted(100);
    p.received = 1;

    cr_expect(pool_trust(&p).in_doubt);
    p.requested_max = 101;
    cr_expect(false == pool_trust(&p).in_doubt);
}

Test(pool, elsewhere_it_came_from_another_dc_and_stays_in_doubt_until_that_one_says_so)
{
    struct pool p = doubted(200);
    struct pool_slice s = {0};
    p.home = false;
    p.minted = 0;
    p.received = 100;
    (void)topup(&p, &s, &(struct pool_report){.granted_known = 130});

    struct pool after = pool_trust(&p);
    cr_expect(after.in_doubt && after.minted == 0);
    p.received += 30;
    after = pool_trust(&p);
    cr_expect(false == after.in_doubt);
}

Test(pool, a_claim_beyond_what_can_be_counted_freezes_the_slice)
{
    struct pool p = doubted(100);
    struct pool_slice a = {0}, b = {0};
    (void)topup(&p, &a, &(struct pool_report){.granted_known = 10});

    struct pool_topup t = topup(&p, &b, &(struct pool_report){.granted_known = UNITS_MAX});
    cr_expect(t.answer.state == POOL_FROZEN);
    cr_expect(eq(i64, p.granted, 10));
}

Test(pool, dry_is_not_used_up)
{
    struct pool p = pool_of(10);
    struct pool_slice a = {0}, b = {0};
    (void)topup_want(&p, &a, 10);

    struct pool_topup t = topup_want(&p, &b, 1);
    cr_expect(t.answer.state == POOL_DRY);
    cr_expect(eq(i64, t.answer.left, 10));
    cr_expect(t.news == POOL_NEWS_RECALL);

    const struct pool_report spent = {.granted_known = 10, .consumed = 10, .rate_milli = -1};
    t = topup(&p, &a, &spent);
    cr_expect(t.news == POOL_NEWS_CHANGED, "who waits must hear that the last unit is spent");
    t = topup_want(&p, &b, 1);
    cr_expect(t.answer.state == POOL_USED_UP);
    cr_expect(eq(i64, t.answer.left, 0));
}

Test(pool, the_last_unit_goes_to_where_it_is_asked_for)
{
    struct pool p = pool_of(10);
    struct pool_slice idle = {0}, busy = {0};
    (void)topup_want(&p, &idle, 10);
    (void)topup_want(&p, &busy, 1);

    const struct pool_report holds_one = {.granted_known = 10, .consumed = 9, .rate_milli = 9000};
    struct pool_topup t = topup(&p, &idle, &holds_one);
    cr_expect(eq(i64, t.answer.keep, 0));

    const struct pool_report gives = {
        .granted_known = 10, .consumed = 9, .returned = 1, .rate_milli = 9000};
    t = topup(&p, &idle, &gives);
    cr_expect(t.news == POOL_NEWS_CHANGED);
    t = topup_want(&p, &busy, 1);
    cr_expect(eq(i64, t.answer.granted, 1));
}

Test(pool, an_idle_holder_gives_back_all_and_a_busy_one_its_part)
{
    struct pool p = pool_of(100);
    struct pool_slice holder = {0}, busy = {0};
    (void)topup_want(&p, &holder, 100);
    (void)topup_want(&p, &busy, 10);

    struct pool_report r = {.granted_known = 100, .rate_milli = 0};
    cr_expect(eq(i64, topup(&p, &holder, &r).answer.keep, 0));
    r.rate_milli = 9000;
    cr_expect(eq(i64, topup(&p, &holder, &r).answer.keep, 90));
    r.rate_milli = 1000000;
    cr_expect(eq(i64, topup(&p, &holder, &r).answer.keep, 90));
}

/* Two servers hold 17 and 16 of 50, and someone waits for 40 at each. */
Test(pool, it_grants_what_is_of_use_or_nothing_so_that_somebody_is_served)
{
    struct pool p = pool_of(50);
    struct pool_slice a = {0}, b = {0};
    (void)topup_want(&p, &a, 17);
    (void)topup_want(&p, &b, 16);

    struct pool_report waits = wants(&a, 23);
    waits.want_min = 23;
    struct pool_topup t = topup(&p, &a, &waits);
    cr_expect(eq(i64, t.answer.granted, 17), "17 are free, and of no use there");
    cr_expect(t.answer.state == POOL_DRY);
    cr_expect(t.news == POOL_NEWS_RECALL);

    struct pool_report also = wants(&b, 24);
    also.want_min = 24;
    t = topup(&p, &b, &also);
    cr_expect(t.answer.state == POOL_DRY);
    cr_expect(eq(i64, t.answer.keep, 0), "the other one can use them");

    also.returned = 16;
    also.want = also.want_min = 40;
    t = topup(&p, &b, &also);
    cr_expect(eq(i64, t.answer.granted, 16), "33 are free now");
    cr_expect(t.news == POOL_NEWS_CHANGED);
    t = topup(&p, &a, &waits);
    cr_expect(eq(i64, t.answer.granted, 40));
}

/* All that is left is 33, wherever it is: 40 are refused for good, and nobody is asked for them. */
Test(pool, a_wish_for_more_than_is_left_recalls_nobody)
{
    struct pool p = pool_of(33);
    struct pool_slice a = {0}, b = {0};
    (void)topup_want(&p, &a, 16);

    struct pool_report hopeless = wants(&b, 40);
    hopeless.want_min = 40;
    struct pool_topup t = topup(&p, &b, &hopeless);
    cr_expect(eq(i64, t.answer.left, 33));
    cr_expect(t.news == POOL_NO_NEWS);
    cr_expect(eq(i64, p.wanted, 0));
    cr_expect(eq(i64, topup_want(&p, &b, 1).answer.granted, 1));
}

Test(pool, what_comes_together_for_who_waits_is_not_for_stock)
{
    struct pool p = pool_of(50);
    struct pool_slice waiting = {0}, idle = {0};
    (void)topup_want(&p, &idle, 20);

    struct pool_report r = wants(&waiting, 40);
    r.want_min = 40;
    (void)topup(&p, &waiting, &r);
    struct pool_report stock = wants(&idle, 1);
    struct pool_topup t = topup(&p, &idle, &stock);
    cr_expect(eq(i64, t.answer.granted, 20), "30 are free");
    cr_expect(t.answer.state == POOL_DRY);
    stock.want_min = 1;
    t = topup(&p, &idle, &stock);
    cr_expect(gt(i64, t.answer.granted, 20), "somebody waits there, too");
}

Test(pool, stock_is_cut_from_what_is_left_when_those_who_wait_have_theirs)
{
    struct pool p = pool_of(1000);
    struct pool_slice s = {0};
    const struct pool_report stock = wants(&s, 1);

    p.wanted = 997;
    cr_expect(eq(i64, pool_topup(&p, &s, &stock, &one_server).answer.granted, 3));
}

Test(pool, who_waits_in_vain_and_is_alone_keeps_what_it_has)
{
    struct pool p = pool_of(50);
    struct pool_slice holder = {0}, waiting = {0};
    (void)topup_want(&p, &holder, 20);
    (void)topup_want(&p, &waiting, 25);

    struct pool_report r = wants(&waiting, 15);
    r.want_min = 15;
    struct pool_topup t = topup(&p, &waiting, &r);
    cr_expect(t.answer.state == POOL_DRY);
    cr_expect(eq(i64, t.answer.keep, UNITS_MAX));
    cr_expect(eq(i64, t.answer.left, 25));
}

Test(pool, recalls_are_not_repeated_at_once)
{
    struct pool p = pool_of(10);
    struct pool_slice a = {0}, b = {0};
    struct pool_context later = one_server;
    (void)topup_want(&p, &a, 10);

    cr_expect(topup_want(&p, &b, 1).news == POOL_NEWS_RECALL);
    cr_expect(topup_want(&p, &b, 1).news == POOL_NO_NEWS);
    later.now_ms += 1000;
    const struct pool_report r = wants(&b, 1);
    cr_expect(pool_topup(&p, &b, &r, &later).news == POOL_NEWS_RECALL);
}

Test(pool, a_refund_after_all_was_spent_is_news)
{
    struct pool p = pool_of(10);
    struct pool_slice s = {0};
    (void)topup_want(&p, &s, 10);

    const struct pool_report spent = {.granted_known = 10, .consumed = 10};
    const struct pool_report refunded = {.granted_known = 10, .consumed = 10, .refunded = 1};
    (void)topup(&p, &s, &spent);
    cr_expect(topup(&p, &s, &refunded).news == POOL_NEWS_CHANGED);
}

/* `c` was told that nothing is left elsewhere, and says so from memory. */
Test(pool, a_refund_while_units_are_left_is_news_too)
{
    struct pool p = pool_of(10);
    struct pool_slice b = {0}, c = {0};
    (void)topup_want(&p, &b, 5);
    const struct pool_report spent = {.granted_known = 5, .consumed = 5, .rate_milli = -1};
    (void)topup(&p, &b, &spent);
    cr_expect(eq(i64, topup_want(&p, &c, 7).answer.left, 0));

    const struct pool_report refunded = {
        .granted_known = 5, .consumed = 5, .refunded = 5, .rate_milli = -1};
    cr_expect(topup(&p, &b, &refunded).news == POOL_NEWS_CHANGED);
}

Test(pool, knows_a_slice_that_cannot_be_its_own)
{
    const struct pool p = pool_of(10);

    cr_expect(pool_has_slice(&p, &(struct pool_slice){0}));
    cr_expect(not(pool_has_slice(&p, &(struct pool_slice){.granted = 1})));
    cr_expect(not(pool_has_slice(&p, &(struct pool_slice){.presumed = 1})));
    cr_expect(not(pool_has_slice(&p, &(struct pool_slice){.wanted = 1})));
}

Test(pool, no_slice_is_larger_than_its_bound_unless_somebody_waits_for_more)
{
    struct pool p = pool_of(1000);
    struct pool_slice s = {0};
    struct pool_report r = {.want = 1, .rate_milli = 300000};

    cr_expect(eq(i64, topup(&p, &s, &r).answer.granted, pool_slice_max(&p)));
}

Test(pool, a_silent_servers_wish_is_forgotten)
{
    struct pool p = pool_of(10);
    struct pool_slice a = {0}, b = {0};
    (void)topup_want(&p, &a, 10);
    (void)topup_want(&p, &b, 3);
    cr_expect(eq(i64, p.wanted, 3));

    struct pool_topup t = pool_forget_wish(&p, &b);
    cr_expect(eq(i64, t.pool.wanted, 0));
    cr_expect(eq(i64, t.slice.wanted, 0));
}

static const struct {
    const char *name;
    int64_t spent, held, requested;
    int64_t effective, pending, overspent, spendable;
} targets[] = {
    {"raised: minted at once", 0, 50, 2000, 2000, 0, 0, 2000},
    {"lowered: free units are burned at once", 0, 50, 500, 500, 0, 0, 500},
    {"250 spent, 1000 to 400: exactly 150 more", 250, 30, 400, 400, 0, 0, 150},
    {"250 spent, 1000 to 200: 50 above the total", 250, 30, 200, 280, 80, 50, 0},
    {"to zero with nothing out", 0, 0, 0, 0, 0, 0, 0},
};

Test(pool, what_other_data_centres_spent_above_the_total_is_reported_too)
{
    struct pool p = pool_of(1000);

    p.granted = p.consumed = 250;
    p.spent_elsewhere = 100;
    p = pool_retarget(&p, 320);
    cr_expect(pool_overspent(&p) == 30);
}

Test(pool, totals_are_raised_and_lowered)
{
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        struct pool p = pool_of(1000);

        p.granted = targets[i].spent + targets[i].held;
        p.consumed = targets[i].spent;
        p = pool_retarget(&p, targets[i].requested);
        cr_expect(pool_effective(&p) == targets[i].effective, "%s", targets[i].name);
        cr_expect(pool_pending(&p) == targets[i].pending, "%s", targets[i].name);
        cr_expect(pool_overspent(&p) == targets[i].overspent, "%s", targets[i].name);
        cr_expect(max_i64(pool_effective(&p) - pool_pending(&p) - p.consumed, 0) ==
                      targets[i].spendable,
                  "%s", targets[i].name);
    }
}

Test(pool, what_comes_back_is_burned_before_anyone_gets_it)
{
    struct pool p = pool_of(100);
    struct pool_slice a = {0}, b = {0};
    (void)topup_want(&p, &a, 100);
    p = pool_retarget(&p, 40);
    cr_expect(eq(i64, pool_pending(&p), 60));

    const struct pool_report holds = {.granted_known = 100, .rate_milli = -1};
    cr_expect(eq(i64, topup(&p, &a, &holds).answer.keep, 0));
    const struct pool_report gives = {.granted_known = 100, .returned = 70, .rate_milli = -1};
    (void)topup(&p, &a, &gives);
    cr_expect(eq(i64, pool_effective(&p), 40));
    cr_expect(eq(i64, pool_free(&p), 10));
    cr_expect(eq(i64, topup_want(&p, &b, 50).answer.granted, 10));
}

Test(pool, a_silent_servers_rest_counts_as_spent_until_it_speaks)
{
    struct pool p = pool_of(10);
    struct pool_slice silent = {0}, other = {0};
    (void)topup_want(&p, &silent, 10);
    (void)topup_want(&p, &other, 1);

    struct pool_topup t = pool_presume(&p, &silent);
    cr_expect(t.news == POOL_NEWS_CHANGED);
    p = t.pool;
    silent = t.slice;
    cr_expect(topup_want(&p, &other, 1).answer.state == POOL_USED_UP);
    cr_expect(eq(i64, pool_free(&p), 0), "nothing of it is given to anyone else");

    const struct pool_report awake = {.granted_known = 10, .consumed = 4, .rate_milli = -1};
    t = topup(&p, &silent, &awake);
    cr_expect(eq(i64, p.presumed, 0));
    cr_expect(t.news == POOL_NEWS_CHANGED);
    cr_expect(topup_want(&p, &other, 1).answer.state == POOL_DRY);
}

Test(pool, paused_and_over_grant_nothing_and_want_everything_back)
{
    struct pool p = pool_of(100);
    struct pool_slice s = {0};
    (void)topup_want(&p, &s, 10);

    p.accepts = false;
    struct pool_topup t = topup_want(&p, &s, 10);
    cr_expect(t.answer.state == POOL_CLOSED && t.answer.keep == 0 && t.answer.granted == 10);
    p.paused = true;
    t = topup_want(&p, &s, 10);
    cr_expect(t.answer.state == POOL_PAUSED && t.answer.keep == 0 && t.answer.granted == 10);

    const struct pool_report late = {.granted_known = 10, .consumed = 3, .returned = 7};
    (void)topup(&p, &s, &late);
    cr_expect(eq(i64, p.consumed, 3), "late reports are booked");
}

Test(pool, topups_of_a_window_are_bounded_by_its_logarithm)
{
    struct pool p = pool_of(1000000);
    struct pool_slice s = {0};
    int topups = 0;

    for (struct pool_topup t; s.consumed < 1000000; topups++) {
        struct pool_report r = wants(&s, 1);
        r.consumed = s.granted;
        t = topup(&p, &s, &r);
        if (t.answer.state != POOL_OPEN)
            break;
    }
    cr_expect(lt(int, topups, 20 + 2 * 20), "%d", topups);
}

Test(pool, an_unsound_pool_is_a_bug, .signal = SIGABRT)
{
    struct pool p = pool_of(10);
    struct pool_slice s = {0};

    p.granted = 11;
    (void)topup_want(&p, &s, 1);
}
