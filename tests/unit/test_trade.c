#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <signal.h>
#include <string.h>

#include "common/base/prng.h"
#include "common/domain/cap.h"
#include "common/domain/trade.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NOW_MS INT64_C(1000000)
#define DCS 3
#define NOT_AWAY (-1) /* the home is here, or its part makes no difference */

static const struct trade_context long_before_the_end = {.now_ms = NOW_MS, .ends_in_ms = 3600000};

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

static const struct {
    const char *name; /* reads as a claim */
    int64_t total, granted, wanted, rate_milli, ends_in_ms;
    bool has_share_only;
} shares_only[] = {
    {"both have the same total in mind", 400, 0, 0, 0, 1, true},
    {"a definition is on its way", 500, 0, 0, 0, 1, false},
    {"where units were granted they may have been asked for", 400, 1, 0, 0, 1, false},
    {"where units are wanted they are needed", 400, 0, 1, 0, 1, false},
    {"where there is demand they were asked for", 400, 0, 0, 1, 1, false},
    {"from a window that is over nothing is sent", 400, 0, 0, 0, 0, false},
};

Test(trade, who_was_never_asked_for_units_has_a_share_only_of_the_total_that_both_know)
{
    for (size_t i = 0; i < COUNT(shares_only); i++) {
        const struct pool p = {.requested = 400,
                               .granted = shares_only[i].granted,
                               .wanted = shares_only[i].wanted,
                               .rate_milli = shares_only[i].rate_milli};
        const struct trade_row row = {.total = shares_only[i].total};
        const struct trade_context ctx = {.ends_in_ms = shares_only[i].ends_in_ms};

        cr_expect_eq(trade_has_share_only(&p, &row, &ctx), shares_only[i].has_share_only, "%s",
                     shares_only[i].name);
    }
}

/* ---- units on their way */

Test(trade, units_that_are_sent_belong_to_the_receiver_at_once)
{
    struct pool p = pool_of(1000, true);
    struct trade_peer q = {0};

    trade_send(&p, &q, 400, NOW_MS);
    cr_expect(eq(i64, pool_free(&p), 600));
    cr_expect(eq(i64, trade_in_transit(&q), 400));
    q.echoed = 100;
    cr_expect(eq(i64, trade_in_transit(&q), 300));
}

Test(trade, more_than_is_free_cannot_be_sent, .signal = SIGABRT)
{
    struct pool p = pool_of(10, true);
    struct trade_peer q = {0};

    trade_send(&p, &q, 11, NOW_MS);
}

Test(trade, a_row_is_credited_once_whatever_the_network_does)
{
    struct pool p = pool_of(0, false);
    struct trade_peer q = {0};
    const int64_t sent[] = {10, 10, 30, 20, 30, 0};
    const int64_t received[] = {10, 10, 30, 30, 30, 30};

    p.requested = p.requested_max = 100;
    for (size_t i = 0; i < COUNT(sent); i++) {
        struct trade_result t =
            trade_receive(&p, &q, &(struct trade_row){.sent = sent[i]}, &long_before_the_end);

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
    {"more than we know that we sent was forgotten", {.received = 401}, TRADE_FORGOTTEN},
    {"so was a later incarnation of ours", {.heard = 1}, TRADE_FORGOTTEN},
    {"a negative incarnation is absurd", {.incarnation = -1}, TRADE_ABSURD},
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

/* It is told of the raise when its meta-svc is back; what would fit anyway does not wait for that.
 */
Test(trade, units_of_a_raise_not_heard_of_are_credited_as_far_as_they_fit)
{
    struct pool p = pool_of(70, false);
    struct trade_row row = {.sent = 100, .total_max = 200};

    p.requested = p.requested_max = 100;
    struct trade_result t = trade_receive(&p, &(struct trade_peer){0}, &row, &long_before_the_end);
    cr_assert(t.verdict == TRADE_APPLIED);
    cr_expect(eq(i64, t.credited, 30));
    t.pool.requested_max = 200;
    t = trade_receive(&t.pool, &t.peer, &row, &long_before_the_end);
    cr_expect(eq(i64, t.peer.received, 100));
}

Test(trade, nothing_is_used_up_while_others_have_heard_of_a_raise)
{
    struct pool p = pool_of(50, false);
    const struct trade_row row = {.sent = 100, .free = 100, .total_max = 300, .version = 1};

    p.requested = p.requested_max = 150;
    p.spent_elsewhere = 50;
    struct trade_result t = trade_receive(&p, &(struct trade_peer){0}, &row, &long_before_the_end);
    p = t.pool;
    p.granted = p.consumed = pool_holding(&p);
    cr_expect(gt(i64, pool_abroad(&p), 0));
    p.wanted = 1;
    cr_expect(trade_is_needed(&p, &long_before_the_end));
    p.requested = p.requested_max = 300;
    p.spent_elsewhere = 150;
    cr_expect(eq(i64, pool_abroad(&p), 0));
}

/* ---- totals of other versions */

/* Where all units are spent that this DC has ever heard of; it follows version 3, of 100. */
static struct pool all_spent(void)
{
    struct pool p = pool_of(100, false);

    p.definition = 3;
    p.granted = p.consumed = 100;
    return p;
}

static struct pool after_row(const struct pool *p, const struct trade_row *row)
{
    struct trade_result t = trade_receive(p, &(struct trade_peer){0}, row, &long_before_the_end);

    cr_assert(t.verdict == TRADE_APPLIED);
    return t.pool;
}

static struct trade_row told_by(const struct pool *p)
{
    return trade_row_for(p, &(struct trade_peer){0}, &(struct trade_ask){0},
                         &(struct trade_teller){.version = 1});
}

static const struct {
    const char *name; /* reads as a claim */
    struct trade_row row;
    bool is_used_up;
} versions[] = {
    {"a total that was lowered before we heard of the cap is history",
     {.definition = 3, .total = 100, .total_max = 1000},
     true},
    {"who has not heard that it was lowered knows of no unit that is left",
     {.definition = 2, .total = 1000, .total_max = 1000},
     true},
    {"a raise in a newer version is on its way",
     {.definition = 4, .total = 1000, .total_max = 1000},
     false},
    {"who passes it on need not have heard of it", {.definition = 4, .total_max = 1000}, false},
    {"a newer version without a raise changes nothing",
     {.definition = 4, .total = 50, .total_max = 100},
     true},
    {"of a number that was given twice, the larger total may be the newer one",
     {.definition = 3, .total = 200, .total_max = 200},
     false},
    {"a raise of a version that is not said is newer", {.total = 100, .total_max = 1000}, false},
    {"no raise is none, of whatever version", {.total = 100, .total_max = 100}, true},
};

Test(trade, only_a_raise_of_a_newer_version_keeps_a_window_from_being_used_up)
{
    for (size_t i = 0; i < COUNT(versions); i++) {
        const struct pool before = all_spent();
        const struct pool p = after_row(&before, &versions[i].row);

        cr_expect(eq(int, pool_abroad(&p) == 0, versions[i].is_used_up), "%s", versions[i].name);
    }
}

/* As after an update: interval-svc says which with the cap's next version only. */
Test(trade, who_does_not_know_the_version_of_its_total_takes_any_raise_for_newer)
{
    struct pool p = all_spent();

    p.definition = 0;
    p = after_row(&p, &(struct trade_row){.definition = 1, .total = 100, .total_max = 1000});
    cr_expect(gt(i64, pool_abroad(&p), 0));
}

Test(trade, a_raise_that_is_lowered_again_before_it_comes_is_heard_of_no_more)
{
    struct pool p = all_spent();

    p = after_row(&p, &(struct trade_row){.definition = 4, .total = 1000, .total_max = 1000});
    p.definition = 5;
    p = pool_retarget(&p, 100);
    cr_expect(eq(i64, pool_abroad(&p), 0));
    p = after_row(&p, &(struct trade_row){.definition = 4, .total = 1000, .total_max = 1000});
    cr_expect(eq(i64, pool_abroad(&p), 0));
}

/* Its version may be any: also one after the next that comes here. */
Test(trade, a_raise_of_a_version_that_is_not_said_is_newer_than_all_until_it_is_here)
{
    struct pool p = all_spent();

    p = after_row(&p, &(struct trade_row){.total_max = 1000});
    p.definition = 4;
    cr_expect(gt(i64, pool_abroad(&p), 0));
    cr_expect(eq(i64, told_by(&p).definition, 0));
    p.definition = 5;
    p = pool_retarget(&p, 1000);
    p.consumed = p.granted = p.received = 1000;
    cr_expect(eq(i64, pool_abroad(&p), 0));
    p = pool_retarget(&p, 100);
    cr_expect(eq(i64, pool_abroad(&p), 0));
}

/* Else a third that follows it, and came after the raise, would take the old total for its own. */
Test(trade, who_is_outdated_says_of_which_version_but_not_his_own_total)
{
    struct pool p = all_spent();
    struct trade_row row = told_by(&p);

    cr_expect(row.definition == 3 && row.total == 100 && row.total_max == 100);
    p = after_row(&p, &(struct trade_row){.definition = 5, .total = 50, .total_max = 1000});
    row = told_by(&p);
    cr_expect(row.definition == 5 && row.total == 0 && row.total_max == 1000);

    struct pool late = pool_of(50, false);
    late.definition = 5;
    late.granted = late.consumed = 50;
    late = after_row(&late, &row);
    cr_expect(eq(i64, pool_abroad(&late), 0));
}

Test(trade, a_definition_out_of_range_is_absurd)
{
    const struct pool p = all_spent();

    for (int64_t d = -1; d <= UNITS_MAX + 1; d += UNITS_MAX + 2) {
        const struct trade_row row = {.definition = d};
        struct trade_result t =
            trade_receive(&p, &(struct trade_peer){0}, &row, &long_before_the_end);
        cr_expect(t.verdict == TRADE_ABSURD);
    }
}

/* It passes on what it has heard, and is not taken for a liar by one that has not. */
Test(trade, who_sends_units_of_a_raise_that_he_was_not_told_of_is_honest)
{
    struct pool here = pool_of(150, false), there = pool_of(0, false);
    struct trade_peer q = {0};

    there.requested = there.requested_max = 150;
    here.requested = here.requested_max = 150;
    there = trade_receive(&there, &q, &(struct trade_row){.sent = 100, .total_max = 300},
                          &long_before_the_end)
                .pool;
    trade_send(&there, &q, 25, NOW_MS);
    const struct trade_row row =
        trade_row_for(&there, &q, &(struct trade_ask){0}, &(struct trade_teller){.version = 1});
    struct trade_result t =
        trade_receive(&here, &(struct trade_peer){0}, &row, &long_before_the_end);
    cr_expect(t.verdict == TRADE_APPLIED);
    cr_expect(eq(i64, t.credited, 0));
}

Test(trade, no_peer_can_make_a_counter_run_over)
{
    struct pool p = pool_of(0, false);
    struct trade_peer evil = {0}, honest = {0};

    p.requested = p.requested_max = UNITS_MAX;
    const struct trade_row row = {.sent = UNITS_MAX - 10, .burn = UNITS_MAX, .version = 1};
    struct trade_result t = trade_receive(&p, &evil, &row, &long_before_the_end);
    cr_assert(eq(i64, t.given, UNITS_MAX - 10));
    t = trade_receive(&t.pool, &honest, &(struct trade_row){.sent = 1000}, &long_before_the_end);
    cr_expect(eq(i64, t.credited, 10));
}

Test(trade, a_window_never_comes_long_after_its_end)
{
    cr_expect(not(trade_never_comes(0, NOW_MS)));
    cr_expect(not(trade_never_comes(NOW_MS, NOW_MS + 600000)));
    cr_expect(trade_never_comes(NOW_MS, NOW_MS + 600001));
}

Test(trade, absurd_rows_change_nothing)
{
    for (size_t i = 0; i < COUNT(claims); i++) {
        struct pool p = pool_of(1000, true);
        struct trade_peer q = {0};

        trade_send(&p, &q, 400, NOW_MS);
        struct trade_result t = trade_receive(&p, &q, &claims[i].row, &long_before_the_end);
        cr_expect(t.verdict == claims[i].verdict, "%s", claims[i].name);
        if (t.verdict != TRADE_APPLIED)
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
        struct trade_result t = trade_receive(&p, &q, &gifts[i].row, &long_before_the_end);
        cr_expect(t.given == gifts[i].given, "%s: %lld", gifts[i].name, (long long)t.given);
        cr_expect(t.peer.sent == gifts[i].given, "%s", gifts[i].name);
        cr_expect(pool_free(&t.pool) == gifts[i].free - gifts[i].given, "%s", gifts[i].name);
    }
}

static const struct {
    const char *name; /* reads as a claim */
    bool has_turn;
    int64_t free, wanted;
    struct trade_row row;
    int64_t given;
} turns[] = {
    {"what is of no use here goes to the one whose turn it is",
     true,
     17,
     23,
     {.want = 23, .lack = 23, .version = 1},
     17},
    {"and no more than it asks for", true, 17, 23, {.want = 6, .lack = 6, .version = 1}, 6},
    {"and to no other: two that both lack units would divide them again",
     false,
     17,
     23,
     {.want = 23, .lack = 23, .version = 1},
     0},
    {"who would only like to have more waits", true, 17, 23, {.want = 23, .version = 1}, 0},
    {"where nothing is free there is nothing",
     true,
     0,
     40,
     {.want = 5, .lack = 5, .version = 1},
     0},
};

Test(trade, of_those_who_all_lack_units_one_has_its_turn)
{
    for (size_t i = 0; i < COUNT(turns); i++) {
        struct pool p = pool_with_free(1000, turns[i].free);
        struct trade_peer q = {0};
        struct trade_context ctx = long_before_the_end;

        p.wanted = turns[i].wanted;
        ctx.peer_has_turn = turns[i].has_turn;
        struct trade_result t = trade_receive(&p, &q, &turns[i].row, &ctx);
        cr_expect(t.given == turns[i].given, "%s: %lld", turns[i].name, (long long)t.given);
    }
}

Test(trade, at_each_moment_one_has_its_turn_and_each_often)
{
    int turns_of[DCS] = {0};

    for (int64_t at_ms = NOW_MS; at_ms < NOW_MS + 300000; at_ms += 500) {
        int having = 0;

        for (size_t i = 0; i < DCS; i++) {
            having += trade_has_turn(DCS, i, at_ms);
            turns_of[i] += trade_has_turn(DCS, i, at_ms);
        }
        cr_assert(having == 1);
    }
    for (size_t i = 0; i < DCS; i++)
        cr_expect(turns_of[i] > 100, "%d of 600", turns_of[i]);
}

/* ---- what is on its way already */

static const struct {
    const char *name; /* reads as a claim */
    int64_t sent;     /* to the asker, before */
    struct trade_row row;
    int64_t given, want, lack, burn; /* left to be wished for */
} repeats[] = {
    {"all that was sent had arrived: the whole wish counts",
     100,
     {.received = 100, .want = 50, .lack = 20, .version = 1},
     50,
     0,
     0,
     0},
    {"what it did not know of is deducted",
     100,
     {.received = 70, .want = 50, .lack = 20, .version = 1},
     20,
     0,
     0,
     0},
    {"if as much is on its way as was wished for, nothing more is given",
     50,
     {.want = 50, .lack = 20, .version = 1},
     0,
     0,
     0,
     0},
    {"if more is, likewise", 300, {.want = 50, .lack = 50, .version = 1}, 0, 0, 0, 0},
    {"of what is to be burned, too",
     30,
     {.want = 50, .lack = 50, .burn = 50, .version = 1},
     20,
     0,
     0,
     0},
};

Test(trade, whoever_asks_again_is_not_sent_again_what_is_on_its_way)
{
    for (size_t i = 0; i < COUNT(repeats); i++) {
        struct pool p = pool_of(1000, true);
        struct trade_peer q = {0};

        trade_send(&p, &q, repeats[i].sent, NOW_MS);
        struct trade_result t = trade_receive(&p, &q, &repeats[i].row, &long_before_the_end);
        cr_expect(t.given == repeats[i].given, "%s: %lld", repeats[i].name, (long long)t.given);
        cr_expect(t.peer.want == repeats[i].want, "%s", repeats[i].name);
        cr_expect(t.peer.lack == repeats[i].lack, "%s", repeats[i].name);
        cr_expect(t.peer.burn == repeats[i].burn, "%s", repeats[i].name);
        cr_expect(t.pool.wanted_elsewhere == repeats[i].lack, "%s", repeats[i].name);
    }
}

Test(trade, a_wish_that_is_not_met_is_answered_at_once_and_then_now_and_then)
{
    struct pool p = pool_with_free(1000, 0);
    struct trade_row row = {.want = 40, .lack = 30, .version = 1};
    struct trade_result t = trade_receive(&p, &(struct trade_peer){0}, &row, &long_before_the_end);

    cr_expect(t.answer, "it may count on what is here no more");
    row.version = 2;
    t = trade_receive(&t.pool, &t.peer, &row, &long_before_the_end);
    cr_expect(not(t.answer));
    cr_expect(t.answer_wish);
    row.version = 3;
    row.lack = 31;
    t = trade_receive(&t.pool, &t.peer, &row, &long_before_the_end);
    cr_expect(t.answer);
    t = trade_receive(&t.pool, &t.peer, &row, &long_before_the_end);
    cr_expect(not(t.answer || t.answer_wish), "a repeated row asks for nothing");
}

/* It is heard, and nothing gets through to it: each quarter of a second it asks again. */
Test(trade, a_donor_is_not_drained_by_one_who_is_cut_off_one_way)
{
    struct pool p = pool_of(1000, true);
    struct trade_peer q = {0};

    for (int i = 1; i <= 100; i++) {
        const struct trade_row row = {.want = 40, .lack = 30, .version = i};
        const struct trade_context ctx = {NOW_MS + i * TRADE_ASK_AGAIN_MS, 3600000, 0, false};
        struct trade_result t = trade_receive(&p, &q, &row, &ctx);

        p = t.pool;
        q = t.peer;
        cr_expect(t.answer == (i == 1));
        cr_expect(t.answer_wish == (i > 1), "what was lost may be said again");
    }
    cr_expect(eq(i64, q.sent, 40));
    cr_expect(eq(i64, pool_free(&p), 960));
    cr_expect(eq(i64, p.wanted_elsewhere, 0));
}

static const struct {
    const char *name; /* reads as a claim */
    int64_t total, sent, echoed, ago_ms;
    struct trade_row row; /* its want grows by what is in transit: it did not know */
    int64_t given;
} bounds[] = {
    {"who answers gets all it asks for", 1000, 10, 0, 1999, {.want = 400, .version = 1}, 390},
    {"who does not for long: a tenth of the share, with what is under way",
     1000,
     10,
     0,
     2000,
     {.want = 400, .version = 1},
     89},
    {"so that more than that is not topped up", 1000, 200, 0, 2000, {.want = 400, .version = 1}, 0},
    {"if nothing is under way there is nobody to wait for",
     1000,
     10,
     10,
     9999,
     {.received = 10, .want = 400, .version = 1},
     400},
    {"of a small share one unit, which is under way", 5, 1, 0, 2000, {.want = 4, .version = 1}, 0},
    {"a clock that was set back is long ago", 1000, 10, 0, -5, {.want = 400, .version = 1}, 89},
    {"what is to be burned may wait in transit as well",
     1000,
     10,
     0,
     2000,
     {.want = 400, .lack = 400, .burn = 400, .version = 1},
     390},
    {"an echo of anything new is an answer",
     1000,
     10,
     0,
     2000,
     {.received = 1, .want = 400, .version = 1},
     391},
};

Test(trade, little_is_put_on_its_way_to_who_does_not_answer)
{
    for (size_t i = 0; i < COUNT(bounds); i++) {
        struct pool p = pool_of(bounds[i].total, true);
        struct trade_peer q = {0};
        const struct trade_context ctx = {NOW_MS + bounds[i].ago_ms, 3600000, 0, false};

        trade_send(&p, &q, bounds[i].sent, NOW_MS);
        q.echoed = bounds[i].echoed;
        struct trade_result t = trade_receive(&p, &q, &bounds[i].row, &ctx);
        cr_expect(t.given == bounds[i].given, "%s: %lld", bounds[i].name, (long long)t.given);
    }
}

Test(trade, the_time_without_an_echo_counts_from_the_oldest_units_under_way)
{
    struct pool p = pool_of(1000, true);
    struct trade_peer q = {0};

    trade_send(&p, &q, 10, NOW_MS);
    trade_send(&p, &q, 10, NOW_MS + 500);
    cr_expect(eq(i64, q.unechoed_since_ms, NOW_MS));

    const struct trade_context ctx = {NOW_MS + 900, 3600000, 0, false};
    struct trade_result t = trade_receive(&p, &q, &(struct trade_row){.received = 5}, &ctx);
    cr_expect(eq(i64, t.peer.unechoed_since_ms, NOW_MS + 900));
    t = trade_receive(&t.pool, &t.peer, &(struct trade_row){.received = 4, .version = 9}, &ctx);
    cr_expect(eq(i64, t.peer.unechoed_since_ms, NOW_MS + 900), "an older echo is none");
}

Test(trade, units_sent_for_another_reason_meet_a_wish_as_well)
{
    struct pool p = pool_with_free(1000, 0);
    const struct trade_row row = {.want = 40, .lack = 30, .version = 1};
    struct trade_result t = trade_receive(&p, &(struct trade_peer){0}, &row, &long_before_the_end);

    cr_assert(eq(i64, t.pool.wanted_elsewhere, 30));
    t.pool.returned += 100;
    trade_send(&t.pool, &t.peer, 25, NOW_MS);
    cr_expect(eq(i64, t.peer.want, 15));
    cr_expect(eq(i64, t.peer.lack, 5));
    cr_expect(eq(i64, t.pool.wanted_elsewhere, 5));
}

Test(trade, what_comes_free_later_goes_to_who_was_left_short)
{
    struct pool p = pool_with_free(1000, 0);
    const struct trade_row row = {.want = 40, .lack = 30, .version = 1};
    struct trade_result t = trade_receive(&p, &(struct trade_peer){0}, &row, &long_before_the_end);

    cr_assert(eq(i64, t.given, 0));
    t.pool.returned += 20;
    cr_expect(eq(i64, trade_give(&t.pool, &t.peer, &long_before_the_end), 10));
    cr_expect(eq(i64, t.peer.lack, 20));
    cr_expect(eq(i64, t.pool.wanted_elsewhere, 20));
    cr_expect(eq(i64, pool_free(&t.pool), 10));
}

/* ---- in doubt */

#define LIFE (INT64_C(7) << 20)

static const struct trade_context in_new_life = {
    .now_ms = 1000000, .ends_in_ms = 3600000, .incarnation = LIFE};

Test(trade, in_doubt_the_echo_restores_what_was_sent_and_nothing_is_given)
{
    struct pool p = pool_with_free(1000, 100);
    const struct trade_row row = {.received = 40, .want = 50, .version = 1, .heard = LIFE};

    p.in_doubt = true;
    struct trade_result t = trade_receive(&p, &(struct trade_peer){0}, &row, &in_new_life);
    cr_assert(t.verdict == TRADE_APPLIED);
    cr_expect(eq(i64, t.peer.sent, 40));
    cr_expect(eq(i64, t.pool.sent, 40));
    cr_expect(eq(i64, t.peer.echoed, 40));
    cr_expect(eq(i64, t.given, 0));
    cr_expect(trade_has_answered(&t.peer, LIFE));
}

Test(trade, in_doubt_only_who_has_heard_so_is_believed_to_have_sent)
{
    struct pool p = pool_of(1000, false);
    struct trade_row row = {.sent = 30, .version = 1};

    p.requested_max = 1030;
    p.in_doubt = true;
    struct trade_result t = trade_receive(&p, &(struct trade_peer){0}, &row, &in_new_life);
    cr_expect(eq(i64, t.credited, 0));
    cr_expect(false == trade_has_answered(&t.peer, LIFE));
    row.heard = LIFE;
    t = trade_receive(&t.pool, &t.peer, &row, &in_new_life);
    cr_expect(eq(i64, t.credited, 30));
}

/* At home 50 of 100 were sent to one who says that he got one more, and then claims a million. */
Test(trade, who_makes_doubt_cannot_make_units)
{
    struct pool p = pool_of(100, true);
    struct trade_peer evil = {0};

    trade_send(&p, &evil, 50, NOW_MS);
    p.in_doubt = true;
    const struct trade_row doubt = {.received = 51, .version = 1, .total_max = 100};
    struct trade_result t = trade_receive(&p, &evil, &doubt, &in_new_life);
    cr_assert(t.verdict == TRADE_APPLIED);
    const struct trade_row claim = {
        .sent = 1000000, .received = 51, .version = 2, .total_max = 100, .heard = LIFE};
    t = trade_receive(&t.pool, &t.peer, &claim, &in_new_life);
    cr_expect(t.verdict == TRADE_ABSURD && t.credited == 0);
    cr_expect(false == trade_has_answered(&t.peer, LIFE));
    cr_expect(eq(i64, pool_free(&t.pool), 49));
}

Test(trade, in_doubt_a_larger_total_that_only_a_peer_has_heard_of_makes_no_room)
{
    struct pool p = pool_of(100, false);
    const struct trade_row row = {.sent = 1000, .total_max = 2000, .version = 1, .heard = LIFE};

    p.in_doubt = true;
    struct trade_result t = trade_receive(&p, &(struct trade_peer){0}, &row, &in_new_life);
    cr_expect(t.verdict == TRADE_APPLIED);
    cr_expect(eq(i64, pool_holding(&t.pool), 100));
    cr_expect(false == trade_has_answered(&t.peer, LIFE), "more of it may be missing here");
    t.pool = pool_retarget(&t.pool, 2000);
    t = trade_receive(&t.pool, &t.peer, &row, &in_new_life);
    cr_expect(eq(i64, t.peer.received, 1000));
    cr_expect(trade_has_answered(&t.peer, LIFE));
}

static const struct {
    const char *name; /* reads as a claim */
    struct trade_row row;
    enum trade_verdict verdict;
} claims_in_doubt[] = {
    {"all that was ever here, and as much again, may have been sent",
     {.received = 200},
     TRADE_APPLIED},
    {"more is absurd", {.received = 201}, TRADE_ABSURD},
    {"unless as much came back", {.sent = 500, .received = 700, .heard = LIFE}, TRADE_APPLIED},
    {"no counter is spoiled", {.received = INT64_C(1) << 50}, TRADE_ABSURD},
    {"a thousand lives may have been forgotten",
     {.heard = LIFE + (INT64_C(1000) << 20)},
     TRADE_FORGOTTEN},
    {"more are absurd", {.heard = LIFE + (INT64_C(1001) << 20)}, TRADE_ABSURD},
    {"a peer may have had many lives", {.incarnation = INT64_C(100000) << 20}, TRADE_APPLIED},
    {"but not all that there can be", {.incarnation = UNITS_MAX}, TRADE_ABSURD},
};

Test(trade, in_doubt_no_single_row_can_spoil_a_window)
{
    for (size_t i = 0; i < COUNT(claims_in_doubt); i++) {
        struct pool p = pool_of(100, true);
        p.in_doubt = true;

        struct trade_result t =
            trade_receive(&p, &(struct trade_peer){0}, &claims_in_doubt[i].row, &in_new_life);
        cr_expect(t.verdict == claims_in_doubt[i].verdict, "%s", claims_in_doubt[i].name);
    }
}

Test(trade, a_row_of_before_the_senders_database_went_back_is_void)
{
    struct pool p = pool_of(0, false);
    const struct trade_row old = {.sent = 30, .version = 9},
                           new = {.sent = 10, .incarnation = LIFE};

    p.requested = p.requested_max = 100;
    struct trade_result t =
        trade_receive(&p, &(struct trade_peer){.version = 5}, &new, &long_before_the_end);
    cr_expect(t.verdict == TRADE_APPLIED && t.answer, "it waits to hear what arrived");
    cr_expect(eq(i64, t.peer.version, 0));
    t = trade_receive(&t.pool, &t.peer, &old, &long_before_the_end);
    cr_expect(t.verdict == TRADE_STALE);
    cr_expect(eq(i64, t.pool.received, 10));
    const struct trade_row again = {.sent = 10, .incarnation = LIFE, .in_doubt = true};
    t = trade_receive(&t.pool, &t.peer, &again, &long_before_the_end);
    cr_expect(t.answer_wish, "the answer may have been lost");
}

Test(trade, who_is_in_doubt_answers_when_his_servers_have_spoken)
{
    struct pool p = pool_with_free(1000, 100);
    const struct trade_peer q = {.incarnation = LIFE};
    const struct trade_ask nothing = {0};
    struct trade_teller teller = {.version = 1};

    cr_expect(eq(i64, trade_row_for(&p, &q, &nothing, &teller).heard, LIFE));
    p.in_doubt = true;
    cr_expect(eq(i64, trade_row_for(&p, &q, &nothing, &teller).heard, 0));
    teller.answers = true;
    cr_expect(eq(i64, trade_row_for(&p, &q, &nothing, &teller).heard, LIFE));
    p.granted += 200;
    cr_expect(eq(i64, trade_row_for(&p, &q, &nothing, &teller).heard, 0));
}

/* ---- near the end, and after it */

static const struct {
    const char *name; /* reads as a claim */
    int64_t ends_in_ms, rate_milli, given;
} ends[] = {
    {"before the last seconds: half", 5001, 0, 25},
    {"in them all that has no demand of its own", 5000, 0, 50},
    {"less what they still need here", 2000, 10000, 30},
    {"of which there is less and less", 100, 10000, 49},
    {"a window that is over gives nothing", 0, 0, 0},
};

Test(trade, near_the_end_all_is_given_that_nobody_here_needs)
{
    for (size_t i = 0; i < COUNT(ends); i++) {
        struct pool p = pool_with_free(1000, 50);
        const struct trade_context ctx = {NOW_MS, ends[i].ends_in_ms, 0, false};
        const struct trade_row row = {.want = 50, .version = 1};

        p.rate_milli = ends[i].rate_milli;
        struct trade_result t = trade_receive(&p, &(struct trade_peer){0}, &row, &ctx);
        cr_expect(t.given == ends[i].given, "%s: %lld", ends[i].name, (long long)t.given);
    }
}

Test(trade, units_for_a_window_that_is_over_are_booked)
{
    struct pool p = pool_of(0, false);
    const struct trade_context over = {.now_ms = NOW_MS};
    const struct trade_row row = {
        .sent = 30, .want = 5, .lack = 5, .burn = 5, .spent = 7, .version = 1};

    p.requested = p.requested_max = 100;
    p.accepts = false;
    struct trade_result t = trade_receive(&p, &(struct trade_peer){0}, &row, &over);
    cr_expect(eq(i64, t.credited, 30));
    cr_expect(eq(i64, t.given, 0));
    cr_expect(eq(i64, pool_free(&t.pool), 30));
    cr_expect(eq(i64, t.pool.spent_elsewhere, 7));
    cr_expect(t.answer, "its sender hears that they arrived");
}

Test(trade, what_was_given_is_wanted_no_more)
{
    struct pool p = pool_with_free(1000, 50);
    struct trade_result t = trade_receive(&p, &(struct trade_peer){0},
                                          &(struct trade_row){.want = 40, .lack = 30, .version = 1},
                                          &long_before_the_end);

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
    struct trade_result t =
        trade_receive(&p, &(struct trade_peer){0}, &new_row, &long_before_the_end);
    struct trade_result late = trade_receive(
        &t.pool, &t.peer, &(struct trade_row){.lack = 50, .version = 4}, &long_before_the_end);

    cr_expect(eq(i64, late.peer.lack, 7));
    cr_expect(eq(i64, late.pool.wanted_elsewhere, 7));
    cr_expect(eq(i64, late.pool.spent_elsewhere, 100));
    cr_expect(not(late.answer));

    struct trade_result newer = trade_receive(
        &t.pool, &t.peer, &(struct trade_row){.spent = 90, .version = 6}, &long_before_the_end);
    cr_expect(eq(i64, newer.pool.wanted_elsewhere, 0));
    cr_expect(eq(i64, newer.pool.spent_elsewhere, 90));
}

Test(trade, what_comes_home_to_be_burned_is_burned_before_anyone_gets_it)
{
    struct pool p = pool_of(1000, true);
    struct trade_peer q = {0};

    trade_send(&p, &q, 500, NOW_MS);
    p = pool_retarget(&p, 300);
    cr_assert(eq(i64, pool_pending(&p), 200));
    struct trade_result t = trade_receive(
        &p, &q, &(struct trade_row){.sent = 250, .received = 500, .want = 9, .version = 1},
        &long_before_the_end);
    cr_expect(eq(i64, pool_pending(&t.pool), 0));
    cr_expect(eq(i64, t.pool.burned, 700));
    cr_expect(eq(i64, t.given, 9));
}

/* Rows of three others, lost, repeated and out of order: the sums are those of what was heard last.
 */
Test(trade, hints_stay_exact_sums_whatever_the_network_does)
{
    struct prng prng = {.state = 20261125};
    struct pool p = pool_of(100000, true);
    struct trade_peer peers[DCS] = {{0}};

    for (int i = 0; i < 2000; i++) {
        int64_t lack = 0, spent = 0, from = prng_below(&prng, DCS);
        struct trade_peer *q = &peers[from];
        const struct trade_row row = {
            .received = prng_below(&prng, q->sent + 1),
            .want = 30 + prng_below(&prng, 30),
            .lack = prng_below(&prng, 30),
            .burn = prng_below(&prng, 3),
            .spent = prng_below(&prng, 500),
            .version = prng_below(&prng, 400) + i / 2,
        };
        struct trade_result t = trade_receive(&p, q, &row, &long_before_the_end);

        cr_assert(t.verdict == TRADE_APPLIED);
        p = t.pool;
        *q = t.peer;
        p.granted = prng_below(&prng, 3) == 0 ? pool_holding(&p) : p.granted;
        for (int j = 0; j < DCS; j++) {
            (void)trade_give(&p, &peers[j], &long_before_the_end);
            lack += peers[j].lack;
            spent += peers[j].spent;
        }
        cr_assert(eq(i64, p.wanted_elsewhere, lack));
        cr_assert(eq(i64, p.spent_elsewhere, spent));
    }
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
        struct trade_result t =
            trade_receive(&p, &(struct trade_peer){0}, &news[i].row, &long_before_the_end);
        cr_expect(t.news == news[i].news, "%s: %d", news[i].name, (int)t.news);
    }
}

Test(trade, the_share_of_a_new_window_is_news)
{
    struct pool p = pool_of(0, false);

    p.requested = p.requested_max = 1000;
    struct trade_result t = trade_receive(&p, &(struct trade_peer){0},
                                          &(struct trade_row){.sent = 5}, &long_before_the_end);
    cr_expect(t.news == POOL_NEWS_CHANGED);
    t = trade_receive(&t.pool, &t.peer, &(struct trade_row){.sent = 6}, &long_before_the_end);
    cr_expect(t.news == POOL_NO_NEWS);
}

Test(trade, a_refund_elsewhere_after_all_was_spent_is_news)
{
    struct pool p = pool_of(500, false);
    struct trade_peer q = {.spent = 500, .version = 1};

    p.requested = p.requested_max = 1000;
    p.granted = p.consumed = 500;
    p.spent_elsewhere = 500;
    cr_assert(eq(i64, pool_abroad(&p), 0));
    struct trade_result t = trade_receive(&p, &q, &(struct trade_row){.spent = 499, .version = 2},
                                          &long_before_the_end);
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
        trade_plan(&p, &q, 1, NOT_AWAY, &long_before_the_end, &ask);
        cr_expect(ask.want == asks[i].want, "%s: want %lld", asks[i].name, (long long)ask.want);
        cr_expect(ask.lack == asks[i].lack, "%s: lack %lld", asks[i].name, (long long)ask.lack);
        cr_expect(trade_is_needed(&p, &long_before_the_end) == (ask.want > 0), "%s", asks[i].name);
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
    trade_plan(&p, &(struct trade_peer){0}, 1, NOT_AWAY, &long_before_the_end, &ask);
    cr_expect(eq(i64, ask.want, 0));
    cr_expect(not(trade_is_needed(&p, &long_before_the_end)));
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
    trade_plan(&p, peers, 3, NOT_AWAY, &long_before_the_end, ask);
    cr_expect(eq(i64, ask[0].want, 41));
    cr_expect(eq(i64, ask[0].lack, 40));
    cr_expect(eq(i64, ask[1].want, 0));
    cr_expect(eq(i64, ask[2].want, 0));
}

Test(trade, of_a_new_window_only_the_home_is_asked_until_it_was_heard_or_is_silent)
{
    struct pool p = pool_of(0, false);
    struct trade_peer peers[] = {{.free = 100, .version = 3}, {0}};
    const struct trade_context later = {NOW_MS + 1000, 3600000, 0, false};
    struct trade_ask ask[2];

    p.requested = p.requested_max = 1000;
    p.wanted = 40;
    trade_plan(&p, peers, 2, /* home= */ 1, &long_before_the_end, ask);
    cr_expect(eq(i64, ask[0].want, 0));
    cr_expect(eq(i64, ask[1].lack, 40));
    trade_note_ask(&peers[1], &ask[1], NOW_MS);

    trade_plan(&p, peers, 2, /* home= */ 1, &later, ask);
    cr_expect(eq(i64, ask[0].lack, 40));

    peers[1].version = 1;
    trade_plan(&p, peers, 2, /* home= */ 1, &long_before_the_end, ask);
    cr_expect(eq(i64, ask[0].lack, 40));
}

Test(trade, who_does_not_answer_is_asked_as_before_and_the_others_as_if_it_were_not_there)
{
    struct pool p = pool_of(100, false);
    struct trade_peer peers[] = {{.free = 300}, {.free = 10}, {.free = 10}};
    const struct trade_context later = {NOW_MS + 1000, 3600000, 0, false};
    struct trade_ask ask[3];

    p.requested = p.requested_max = 1000;
    p.granted = 100;
    p.wanted = 40;
    trade_plan(&p, peers, 3, NOT_AWAY, &long_before_the_end, ask);
    cr_assert(eq(i64, ask[0].lack, 38));
    for (int j = 0; j < 3; j++)
        trade_note_ask(&peers[j], &ask[j], NOW_MS);
    for (int j = 1; j < 3; j++) {
        const struct trade_row row = {.free = 10, .version = 1};
        struct pool full = pool_of(1000, true);
        peers[j] = trade_receive(&full, &peers[j], &row, &later).peer;
        cr_expect(eq(i64, peers[j].unanswered_since_ms, 0));
    }
    trade_plan(&p, peers, 3, NOT_AWAY, &later, ask);
    cr_expect(eq(i64, ask[0].lack, 38));
    cr_expect(eq(i64, ask[1].lack, 21));
    cr_expect(eq(i64, ask[2].lack, 21));
}

Test(trade, who_is_asked_for_nothing_owes_no_answer)
{
    struct trade_peer q = {0};

    trade_note_ask(&q, &(struct trade_ask){.want = 5}, NOW_MS);
    trade_note_ask(&q, &(struct trade_ask){.want = 6}, NOW_MS + 10);
    cr_expect(eq(i64, q.unanswered_since_ms, NOW_MS));
    trade_note_ask(&q, &(struct trade_ask){0}, NOW_MS + 20);
    cr_expect(eq(i64, q.unanswered_since_ms, 0));
}

static const struct {
    const char *name; /* reads as a claim */
    struct trade_ask told, now;
    int64_t ago_ms; /* of 600, after which it would be told again */
    bool is_told;
} tellings[] = {
    {"a first ask is told at once, whatever was told just now", {0}, {.want = 1}, 0, true},
    {"so is the first lack", {.want = 5}, {.want = 5, .lack = 1}, 0, true},
    {"and much more than before", {.want = 5}, {.want = 12}, 0, true},
    {"a little more is told a little later", {.want = 5}, {.want = 7}, 19, false},
    {"that is now", {.want = 5}, {.want = 7}, 20, true},
    {"less need not be told", {.want = 5}, {.want = 4}, 599, false},
    {"but what is not met is said again", {.want = 5}, {.want = 4}, 600, true},
    {"that nobody lacks anything is told", {.want = 5, .lack = 5}, {0}, 600, true},
    {"but only then, for soon somebody may", {.want = 5, .lack = 5}, {0}, 599, false},
    {"what was to be burned and is here is told at once",
     {.want = 5, .lack = 5, .burn = 5},
     {0},
     20,
     true},
    {"that nobody needs more is left to the rounds", {.want = 5}, {0}, 600, false},
    {"nothing is never told", {0}, {0}, 99999, false},
    {"a clock that was set back silences nobody", {.want = 5}, {.want = 7}, -5, true},
};

Test(trade, an_ask_is_told_when_it_is_new_and_again_until_it_is_met)
{
    const struct pool nobody_waits = {.wanted = 0};

    for (size_t i = 0; i < COUNT(tellings); i++)
        cr_expect(trade_is_to_be_told(&nobody_waits, &tellings[i].told, &tellings[i].now,
                                      tellings[i].ago_ms,
                                      /* again_ms= */ 600) == tellings[i].is_told,
                  "%s", tellings[i].name);
}

/* Else those who were asked as well would hand back what their own consumers need. */
Test(trade, a_wish_that_is_met_is_withdrawn_at_once)
{
    const struct trade_ask told = {.want = 5, .lack = 5}, now = {.want = 3};
    const struct pool waited_for = {.wanted = 5}, left = {.wanted = 0};

    cr_expect(trade_is_to_be_told(&waited_for, &told, &now, 20, 600));
    cr_expect(not(trade_is_to_be_told(&left, &told, &now, 20, 600)));
}

static const struct {
    const char *name;      /* reads as a claim */
    int64_t unanswered_ms; /* when it was told last; -1: it has answered since */
    int64_t again_ms;
} repetitions[] = {
    {"who has answered knows the wish", -1, TRADE_ASK_AGAIN_MAX_MS},
    {"words that were lost are said again soon", 0, TRADE_ASK_AGAIN_MS},
    {"then after twice the time", 500, 500},
    {"but not more seldom than each turn", 60000, TRADE_ASK_AGAIN_MAX_MS},
};

Test(trade, an_ask_is_said_again_less_and_less_often)
{
    for (size_t i = 0; i < COUNT(repetitions); i++) {
        int64_t ms = repetitions[i].unanswered_ms;
        const struct trade_peer q = {.unanswered_since_ms = ms < 0 ? 0 : NOW_MS - ms};

        cr_expect(eq(i64, trade_ask_again_ms(&q, NOW_MS), repetitions[i].again_ms), "%s",
                  repetitions[i].name);
    }
}

/* ---- data centres that hear each other at once */

struct dc {
    struct pool pool;
    struct trade_peer peers[DCS];
};

/* One asks another for what it needs; the answer arrives.  Returns what was given. */
static int64_t exchange(struct dc dcs[DCS], int asker, int donor, int64_t version)
{
    struct dc *a = &dcs[asker], *d = &dcs[donor];
    struct trade_peer others[DCS - 1];
    struct trade_ask wishes[DCS - 1];
    size_t count = 0, at = 0;

    for (int j = 0; j < DCS; j++) {
        at = j == donor ? count : at;
        if (j != asker)
            others[count++] = a->peers[j];
    }
    trade_plan(&a->pool, others, count, NOT_AWAY, &long_before_the_end, wishes);
    const struct trade_teller teller = {.version = version};
    struct trade_row row = trade_row_for(&a->pool, &a->peers[donor], &wishes[at], &teller);
    struct trade_result t = trade_receive(&d->pool, &d->peers[asker], &row, &long_before_the_end);
    cr_assert(t.verdict == TRADE_APPLIED);
    d->pool = t.pool;
    d->peers[asker] = t.peer;
    row = trade_row_for(&d->pool, &d->peers[asker], &(struct trade_ask){0}, &teller);
    struct trade_result back =
        trade_receive(&a->pool, &a->peers[donor], &row, &long_before_the_end);
    cr_assert(back.verdict == TRADE_APPLIED);
    a->pool = back.pool;
    a->peers[donor] = back.peer;
    return t.given;
}

static void share_out(struct dc dcs[DCS], int64_t total)
{
    for (int i = 0; i < DCS; i++) {
        dcs[i] = (struct dc){.pool = pool_of(0, i == 0)};
        dcs[i].pool = pool_retarget(&dcs[i].pool, total);
    }
    for (int j = 1; j < DCS; j++) {
        int64_t share = trade_share(total, DCS, (size_t)j);
        trade_send(&dcs[0].pool, &dcs[0].peers[j], share, NOW_MS);
        dcs[j].pool.received = dcs[j].peers[0].received = share;
        dcs[0].peers[j].echoed = share;
    }
}

Test(trade, if_all_demand_is_in_one_of_three_it_gets_everything_in_few_rounds)
{
    struct dc dcs[DCS];
    int rounds = 0;

    share_out(dcs, 1000);
    while (pool_holding(&dcs[1].pool) < 1000) {
        cr_assert_lt(++rounds, 30, "%lld", (long long)pool_holding(&dcs[1].pool));
        /* All that is here gets granted, and another 700 are asked for. */
        dcs[1].pool.granted += pool_free(&dcs[1].pool);
        dcs[1].pool.wanted = 700;
        (void)exchange(dcs, 1, 0, rounds);
        (void)exchange(dcs, 1, 2, rounds);
    }
}

/* Whatever they need: after a few gifts, each bounded by the wish, all is at rest. */
Test(trade, no_unit_goes_to_and_fro_for_ever)
{
    static const int64_t rates[] = {0, 1000, 9000, 40000, 200000};
    int64_t version = 0;

    for (size_t n = 0; n < COUNT(rates) * COUNT(rates) * COUNT(rates) * 2; n++) {
        struct dc dcs[DCS];
        int last_gift = 0;

        share_out(dcs, 240);
        for (int i = 0; i < DCS; i++) {
            size_t at = i == 0 ? n % 5 : i == 1 ? n / 5 % 5 : n / 25 % 5;
            dcs[i].pool.rate_milli = rates[at];
            /* Some have been granted all, and somebody waits for more. */
            dcs[i].pool.granted = n / 125 == 1 && i != 1 ? pool_free(&dcs[i].pool) : 0;
            dcs[i].pool.wanted = n / 125 == 1 && i == 2 ? 3 : 0;
        }
        for (int round = 1; round <= 60; round++)
            for (int i = 0; i < DCS * DCS; i++)
                if (i / DCS != i % DCS && exchange(dcs, i / DCS, i % DCS, ++version) > 0)
                    last_gift = round;
        cr_expect_lt(last_gift, 20, "demands of number %zu", n);
    }
}

Test(trade, if_nothing_is_known_of_anyone_all_are_asked_evenly)
{
    struct pool p = pool_of(100, false);
    const struct trade_peer peers[3] = {{0}};
    struct trade_ask ask[3];

    p.requested = p.requested_max = 1000;
    p.granted = 100;
    p.wanted = 40;
    trade_plan(&p, peers, 3, NOT_AWAY, &long_before_the_end, ask);
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

    trade_send(&p, &sent, 1000, NOW_MS);
    p = pool_retarget(&p, 800);
    trade_plan(&p, peers, 2, NOT_AWAY, &long_before_the_end, ask);
    cr_expect(eq(i64, ask[0].burn, 151));
    cr_expect(eq(i64, ask[1].burn, 51));
    for (int j = 0; j < 2; j++) {
        cr_expect(eq(i64, ask[j].want, ask[j].burn));
        cr_expect(eq(i64, ask[j].lack, ask[j].burn));
    }
    cr_expect(trade_is_needed(&p, &long_before_the_end));
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
    const struct trade_row row = trade_row_for(&p, &q, &ask, &(struct trade_teller){.version = 77});
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
    {"no echo has been missing since before all time", {.unechoed_since_ms = -1}},
    {"nor an answer", {.unanswered_since_ms = -1}},
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
