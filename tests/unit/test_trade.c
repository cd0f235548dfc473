#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <signal.h>
#include <string.h>

#include "common/domain/cap.h"
#include "common/domain/trade.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* At home, with nothing sent; or elsewhere, with all of `total` received. */
static struct pool pool_of(int64_t total, bool home)
{
    const struct pool empty = {
        .home = home,
        .topup_ppm = CAP_TOPUP_PPM_DEFAULT,
        .slice_max_ppm = CAP_SLICE_MAX_PPM_DEFAULT,
        .autonomy_ms = CAP_AUTONOMY_MS_DEFAULT,
        .accepts = true,
    };
    struct pool p = pool_retarget(&empty, total);

    p.received = home ? 0 : total;
    return p;
}

/* A pool that has granted all but `free` units, which its servers hold. */
static struct pool pool_with_free(int64_t total, int64_t free)
{
    struct pool p = pool_of(total, true);

    p.granted = total - free;
    return p;
}

/* ---- shares */

static const struct {
    const char *name; /* reads as a claim */
    int64_t total;
    size_t count, index;
    int64_t share;
} shares[] = {
    {"an even total is halved", 1000, 2, 1, 500},
    {"the remainder goes to the first", 8, 3, 0, 3},
    {"and to the second", 8, 3, 1, 3},
    {"and not to the last", 8, 3, 2, 2},
    {"alone, it is all", 7, 1, 0, 7},
    {"of nothing there is nothing", 0, 3, 0, 0},
    {"of the largest total nothing is lost", UNITS_MAX, 2, 0, UNITS_MAX / 2 + 1},
};

Test(trade, shares_are_even)
{
    for (size_t i = 0; i < COUNT(shares); i++)
        cr_expect(trade_share(shares[i].total, shares[i].count, shares[i].index) == shares[i].share,
                  "%s", shares[i].name);
}

static const struct {
    const char *name; /* reads as a claim */
    bool home;
    int64_t free, share, excess;
} excesses[] = {
    {"what is above the share goes home", false, 500, 250, 250},
    {"no more than is free", false, 100, 250, 100},
    {"who holds less keeps all", false, 500, 600, 0},
    {"home keeps all: it burns", true, 500, 250, 0},
};

Test(trade, after_a_lowered_total_what_is_too_much_goes_home)
{
    for (size_t i = 0; i < COUNT(excesses); i++) {
        struct pool p = pool_of(500, excesses[i].home);

        p.granted = 500 - excesses[i].free;
        cr_expect(trade_excess(&p, excesses[i].share) == excesses[i].excess, "%s",
                  excesses[i].name);
    }
}

/* ---- units on their way */

Test(trade, units_that_are_sent_belong_to_the_receiver_at_once)
{
    struct pool p = pool_of(1000, true);
    struct trade_peer q = {0};

    trade_send(&p, &q, 400);
    cr_expect(eq(i64, pool_free(&p), 600));
    cr_expect(eq(i64, trade_in_transit(&q), 400));
    q.echoed = 100;
    cr_expect(eq(i64, trade_in_transit(&q), 300));
}

Test(trade, more_than_is_free_cannot_be_sent, .signal = SIGABRT)
{
    struct pool p = pool_of(10, true);
    struct trade_peer q = {0};

    trade_send(&p, &q, 11);
}

Test(trade, a_row_is_credited_once_whatever_the_network_does)
{
    struct pool p = pool_of(0, false);
    struct trade_peer q = {0};
    const int64_t sent[] = {10, 10, 30, 20, 30, 0};
    const int64_t received[] = {10, 10, 30, 30, 30, 30};

    p.requested = p.requested_max = 100;
    for (size_t i = 0; i < COUNT(sent); i++) {
        struct trade_result t = trade_receive(&p, &q, &(struct trade_row){.sent = sent[i]});

        cr_assert(t.verdict == TRADE_APPLIED);
        cr_expect(eq(i64, t.credited, received[i] - q.received));
        cr_expect(t.answer == (t.credited > 0));
        p = t.pool;
        q = t.peer;
        cr_expect(eq(i64, p.received, received[i]));
        cr_expect(eq(i64, q.received, received[i]));
    }
}

static const struct {
    const char *name; /* reads as a claim */
    struct trade_row row;
    enum trade_verdict verdict;
} claims[] = {
    {"nothing is a row", {0}, TRADE_APPLIED},
    {"all that can be missing may come", {.sent = 400}, TRADE_APPLIED},
    {"more than the total ever was is absurd", {.sent = 401}, TRADE_ABSURD},
    {"all that was sent may be received", {.received = 400}, TRADE_APPLIED},
    {"more than was sent is absurd", {.received = 401}, TRADE_ABSURD},
    {"less than nothing sent is absurd", {.sent = -1}, TRADE_ABSURD},
    {"less than nothing received is absurd", {.received = -1}, TRADE_ABSURD},
    {"less than nothing wanted is absurd", {.want = -1}, TRADE_ABSURD},
    {"less than nothing lacked is absurd", {.lack = -1}, TRADE_ABSURD},
    {"less than nothing to burn is absurd", {.burn = -1}, TRADE_ABSURD},
    {"less than nothing free is absurd", {.free = -1}, TRADE_ABSURD},
    {"less than nothing spent is absurd", {.spent = -1}, TRADE_ABSURD},
    {"a negative rate is absurd", {.rate_milli = -1}, TRADE_ABSURD},
    {"a negative version is absurd", {.version = -1}, TRADE_ABSURD},
    {"more units than there can be are absurd", {.want = UNITS_MAX + 1}, TRADE_ABSURD},
};

Test(trade, absurd_rows_change_nothing)
{
    for (size_t i = 0; i < COUNT(claims); i++) {
        struct pool p = pool_of(1000, true);
        struct trade_peer q = {0};

        trade_send(&p, &q, 400);
        struct trade_result t = trade_receive(&p, &q, &claims[i].row);
        cr_expect(t.verdict == claims[i].verdict, "%s", claims[i].name);
        if (t.verdict == TRADE_ABSURD)
            cr_expect(memcmp(&t.pool, &p, sizeof(p)) == 0 && memcmp(&t.peer, &q, sizeof(q)) == 0,
                      "%s", claims[i].name);
    }
}

/* ---- what is given */

static const struct {
    const char *name; /* reads as a claim */
    int64_t free, rate_milli, wanted;
    struct trade_row row;
    int64_t given;
} gifts[] = {
    {"450 free, 50 asked: 50", 450, 0, 0, {.want = 50, .version = 1}, 50},
    {"50 free, 50 asked: half", 50, 0, 0, {.want = 50, .version = 1}, 25},
    {"the last one is given to who soon needs it", 1, 0, 0, {.want = 5, .version = 1}, 1},
    {"the own next five seconds are kept", 50, 8000, 0, {.want = 50, .version = 1}, 5},
    {"who needs all gives nothing to who lacks nothing",
     50,
     10000,
     0,
     {.want = 50, .version = 1},
     0},
    {"but his part to who lacks",
     50,
     10000,
     0,
     {.want = 50, .lack = 50, .rate_milli = 10000, .version = 1},
     25},
    {"at least one", 50, 10000, 0, {.want = 50, .lack = 50, .version = 1}, 1},
    {"unless he lacks some himself", 50, 10000, 1, {.want = 50, .lack = 50, .version = 1}, 0},
    {"what his servers lack is not spare", 50, 0, 40, {.want = 50, .lack = 50, .version = 1}, 5},
    {"of nothing, nothing", 0, 0, 0, {.want = 50, .lack = 50, .version = 1}, 0},
    {"what is to be burned comes before all demand",
     50,
     10000,
     5,
     {.want = 40, .lack = 40, .burn = 40, .version = 1},
     40},
    {"as far as it is free", 50, 10000, 5, {.want = 80, .lack = 80, .burn = 80, .version = 1}, 50},
    {"an old wish is none", 450, 0, 0, {.want = 50, .version = 0}, 0},
};

Test(trade, gives_what_it_can_spare)
{
    for (size_t i = 0; i < COUNT(gifts); i++) {
        struct pool p = pool_with_free(1000, gifts[i].free);
        struct trade_peer q = {0};

        p.rate_milli = gifts[i].rate_milli;
        p.wanted = gifts[i].wanted;
        struct trade_result t = trade_receive(&p, &q, &gifts[i].row);
        cr_expect(t.given == gifts[i].given, "%s: %lld", gifts[i].name, (long long)t.given);
        cr_expect(t.peer.sent == gifts[i].given, "%s", gifts[i].name);
        cr_expect(pool_free(&t.pool) == gifts[i].free - gifts[i].given, "%s", gifts[i].name);
    }
}

Test(trade, what_was_given_is_wanted_no_more)
{
    struct pool p = pool_with_free(1000, 50);
    struct trade_result t = trade_receive(
        &p, &(struct trade_peer){0}, &(struct trade_row){.want = 40, .lack = 30, .version = 1});

    cr_expect(eq(i64, t.given, 25));
    cr_expect(eq(i64, t.peer.want, 15));
    cr_expect(eq(i64, t.peer.lack, 5));
    cr_expect(eq(i64, t.pool.wanted_elsewhere, 5));
    cr_expect(t.answer);
}

Test(trade, hints_of_an_older_row_are_passed_over)
{
    struct pool p = pool_with_free(1000, 0);
    const struct trade_row new_row = {.lack = 7, .want = 9, .spent = 100, .free = 3, .version = 5};
    struct trade_result t = trade_receive(&p, &(struct trade_peer){0}, &new_row);
    struct trade_result late =
        trade_receive(&t.pool, &t.peer, &(struct trade_row){.lack = 50, .version = 4});

    cr_expect(eq(i64, late.peer.lack, 7));
    cr_expect(eq(i64, late.pool.wanted_elsewhere, 7));
    cr_expect(eq(i64, late.pool.spent_elsewhere, 100));
    cr_expect(not(late.answer));

    struct trade_result newer =
        trade_receive(&t.pool, &t.peer, &(struct trade_row){.spent = 90, .version = 6});
    cr_expect(eq(i64, newer.pool.wanted_elsewhere, 0));
    cr_expect(eq(i64, newer.pool.spent_elsewhere, 90));
}

Test(trade, what_comes_home_to_be_burned_is_burned_before_anyone_gets_it)
{
    struct pool p = pool_of(1000, true);
    struct trade_peer q = {0};

    trade_send(&p, &q, 500);
    p = pool_retarget(&p, 300);
    cr_assert(eq(i64, pool_pending(&p), 200));
    struct trade_result t =
        trade_receive(&p, &q, &(struct trade_row){.sent = 250, .want = 9, .version = 1});
    cr_expect(eq(i64, pool_pending(&t.pool), 0));
    cr_expect(eq(i64, t.pool.burned, 700));
    cr_expect(eq(i64, t.given, 9));
}

/* ---- news for servers */

static const struct {
    const char *name; /* reads as a claim */
    int64_t free, consumed, wanted;
    struct trade_row row;
    enum pool_news news;
} news[] = {
    {"a repeated row is none", 10, 0, 0, {0}, POOL_NO_NEWS},
    {"who lacks elsewhere recalls what servers hold",
     0,
     0,
     0,
     {.lack = 5, .want = 5, .version = 1},
     POOL_NEWS_RECALL},
    {"if they hold nothing there is nothing to recall",
     0,
     500,
     0,
     {.lack = 5, .want = 5, .version = 1},
     POOL_NO_NEWS},
    {"units for who waits", 0, 500, 3, {.sent = 5}, POOL_NEWS_CHANGED},
    {"units that nobody waits for", 0, 500, 0, {.sent = 5}, POOL_NO_NEWS},
    {"that all is spent elsewhere, for who waits",
     0,
     500,
     3,
     {.spent = 500, .version = 1},
     POOL_NEWS_CHANGED},
    {"that all is spent elsewhere, if nobody waits",
     0,
     500,
     0,
     {.spent = 500, .version = 1},
     POOL_NO_NEWS},
};

Test(trade, servers_hear_of_what_concerns_them)
{
    for (size_t i = 0; i < COUNT(news); i++) {
        struct pool p = pool_of(500, false);

        p.requested = p.requested_max = 1000;
        p.granted = 500 - news[i].free;
        p.consumed = news[i].consumed;
        p.wanted = news[i].wanted;
        struct trade_result t = trade_receive(&p, &(struct trade_peer){0}, &news[i].row);
        cr_expect(t.news == news[i].news, "%s: %d", news[i].name, (int)t.news);
    }
}

Test(trade, a_refund_elsewhere_after_all_was_spent_is_news)
{
    struct pool p = pool_of(500, false);
    struct trade_peer q = {.spent = 500, .version = 1};

    p.requested = p.requested_max = 1000;
    p.granted = p.consumed = 500;
    p.spent_elsewhere = 500;
    cr_assert(eq(i64, pool_abroad(&p), 0));
    struct trade_result t = trade_receive(&p, &q, &(struct trade_row){.spent = 499, .version = 2});
    cr_expect(t.news == POOL_NEWS_CHANGED);
}

/* ---- what is asked for */

static const struct {
    const char *name; /* reads as a claim */
    int64_t free, wanted, rate_milli, elsewhere;
    int64_t want, lack; /* of the only peer */
} asks[] = {
    {"who has enough asks for nothing", 500, 0, 0, 0, 0, 0},
    {"two seconds of demand are enough", 20, 0, 10000, 0, 0, 0},
    {"with less, five are asked for", 19, 0, 10000, 0, 31, 0},
    {"what servers lack is asked for, and one more", 0, 7, 0, 0, 8, 7},
    {"with what the next seconds need", 0, 7, 2000, 0, 17, 7},
    {"less what is free", 3, 7, 0, 0, 5, 4},
    {"no more than can be elsewhere", 0, 700, 0, 0, 500, 500},
    {"nothing if all is spent elsewhere", 0, 7, 0, 500, 0, 0},
};

Test(trade, asks_for_what_is_missing)
{
    for (size_t i = 0; i < COUNT(asks); i++) {
        struct pool p = pool_of(500, false);
        struct trade_peer q = {0};
        struct trade_ask ask;

        p.requested = p.requested_max = 1000;
        p.granted = 500 - asks[i].free;
        p.wanted = asks[i].wanted;
        p.rate_milli = asks[i].rate_milli;
        p.spent_elsewhere = asks[i].elsewhere;
        trade_plan(&p, &q, 1, &ask);
        cr_expect(ask.want == asks[i].want, "%s: want %lld", asks[i].name, (long long)ask.want);
        cr_expect(ask.lack == asks[i].lack, "%s: lack %lld", asks[i].name, (long long)ask.lack);
        cr_expect(trade_is_needed(&p) == (ask.want > 0), "%s", asks[i].name);
    }
}

Test(trade, a_window_that_grants_nothing_asks_for_nothing)
{
    struct pool p = pool_of(500, false);
    struct trade_ask ask;

    p.requested = p.requested_max = 1000;
    p.granted = 500;
    p.wanted = 7;
    p.accepts = false;
    trade_plan(&p, &(struct trade_peer){0}, 1, &ask);
    cr_expect(eq(i64, ask.want, 0));
    cr_expect(not(trade_is_needed(&p)));
}

Test(trade, those_who_can_spare_most_are_asked_for_most)
{
    struct pool p = pool_of(100, false);
    /* The second has as much, but needs it itself; of the third nothing is known. */
    const struct trade_peer peers[] = {{.free = 300}, {.free = 100, .rate_milli = 20000}, {0}};
    struct trade_ask ask[3];

    p.requested = p.requested_max = 1000;
    p.granted = 100;
    p.wanted = 40;
    trade_plan(&p, peers, 3, ask);
    cr_expect(eq(i64, ask[0].want, 41));
    cr_expect(eq(i64, ask[0].lack, 40));
    cr_expect(eq(i64, ask[1].want, 0));
    cr_expect(eq(i64, ask[2].want, 0));
}

Test(trade, if_nothing_is_known_of_anyone_all_are_asked_evenly)
{
    struct pool p = pool_of(100, false);
    const struct trade_peer peers[3] = {{0}};
    struct trade_ask ask[3];

    p.requested = p.requested_max = 1000;
    p.granted = 100;
    p.wanted = 40;
    trade_plan(&p, peers, 3, ask);
    for (int j = 0; j < 3; j++) {
        cr_expect(eq(i64, ask[j].want, 14));
        cr_expect(eq(i64, ask[j].lack, 14));
    }
}

Test(trade, home_asks_for_what_it_must_burn_in_proportion_to_what_others_have)
{
    struct pool p = pool_of(1000, true);
    const struct trade_peer peers[] = {{.free = 300}, {.free = 100}};
    struct trade_peer sent = {0};
    struct trade_ask ask[2];

    trade_send(&p, &sent, 1000);
    p = pool_retarget(&p, 800);
    trade_plan(&p, peers, 2, ask);
    cr_expect(eq(i64, ask[0].burn, 151));
    cr_expect(eq(i64, ask[1].burn, 51));
    for (int j = 0; j < 2; j++) {
        cr_expect(eq(i64, ask[j].want, ask[j].burn));
        cr_expect(eq(i64, ask[j].lack, ask[j].burn));
    }
    cr_expect(trade_is_needed(&p));
}

Test(trade, a_row_says_what_is_sent_received_asked_for_and_left)
{
    struct pool p = pool_with_free(1000, 300);
    const struct trade_peer q = {.sent = 9, .received = 4, .echoed = 8};
    const struct trade_ask ask = {.want = 3, .lack = 2, .burn = 1};

    p.consumed = 200;
    p.refunded = 20;
    p.presumed = 5;
    p.rate_milli = 1500;
    const struct trade_row row = trade_row_for(&p, &q, &ask, 77);
    cr_expect(eq(i64, row.sent, 9));
    cr_expect(eq(i64, row.received, 4));
    cr_expect(eq(i64, row.want, 3));
    cr_expect(eq(i64, row.lack, 2));
    cr_expect(eq(i64, row.burn, 1));
    cr_expect(eq(i64, row.free, 300));
    cr_expect(eq(i64, row.spent, 185));
    cr_expect(eq(i64, row.rate_milli, 1500));
    cr_expect(eq(i64, row.version, 77));
}

static const struct {
    const char *name; /* reads as a claim */
    struct trade_peer peer;
} unsound[] = {
    {"no account has sent less than nothing", {.sent = -1, .echoed = -1}},
    {"nor received less", {.received = -1}},
    {"nor echoed less", {.echoed = -1}},
    {"nor more than was sent", {.sent = 1, .echoed = 2}},
    {"nobody wants less than nothing", {.want = -1}},
    {"nor lacks it", {.lack = -1}},
    {"nor burns it", {.burn = -1}},
    {"nor spends it", {.spent = -1}},
};

Test(trade, an_unsound_account_is_told_from_a_sound_one)
{
    cr_expect(trade_peer_is_sound(&(struct trade_peer){.sent = 2, .echoed = 2}));
    for (size_t i = 0; i < COUNT(unsound); i++)
        cr_expect(not(trade_peer_is_sound(&unsound[i].peer)), "%s", unsound[i].name);
}

/* ---- pools away from home */

Test(trade, away_from_home_a_total_is_only_noted)
{
    struct pool p = pool_of(500, false);

    p = pool_retarget(&p, 2000);
    cr_expect(eq(i64, p.minted, 0));
    cr_expect(eq(i64, pool_holding(&p), 500));
    p = pool_retarget(&p, 100);
    cr_expect(eq(i64, p.burned, 0));
    cr_expect(eq(i64, pool_pending(&p), 0));
    cr_expect(eq(i64, p.requested_max, 2000));
}

Test(trade, at_most_what_is_neither_here_nor_spent_is_abroad)
{
    struct pool p = pool_of(500, false);

    p.requested = p.requested_max = 1000;
    cr_expect(eq(i64, pool_abroad(&p), 500));
    p.spent_elsewhere = 450;
    cr_expect(eq(i64, pool_abroad(&p), 50));
    p.spent_elsewhere = 600;
    cr_expect(eq(i64, pool_abroad(&p), 0));
}

Test(trade, holders_give_up_units_that_are_lacking_elsewhere)
{
    struct pool p = pool_with_free(100, 0);
    const struct pool_slice s = {.granted = 100};
    const struct pool_report r = {.granted_known = 100, .rate_milli = -1};
    const struct pool_context ctx = {.active_servers = 1, .now_ms = 1};

    cr_expect(eq(i64, pool_topup(&p, &s, &r, &ctx).answer.keep, 7));
    p.wanted_elsewhere = 100;
    cr_expect(eq(i64, pool_topup(&p, &s, &r, &ctx).answer.keep, 0));
}
