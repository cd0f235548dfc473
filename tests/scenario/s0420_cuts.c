/*
 * s042x: three data centres are cut apart, in every shape.  Each spends its
 * share meanwhile and says 503, never 429, of what it cannot reach; when the
 * links are whole again, the rest is spent where it is asked for.
 */

#include <stdio.h>

#include "tests/scenario/scenes_cut.h"

SCENES_SUITE(.count = 3);

enum { ONE, TWO, THREE };

/* Cut off, it keeps what it has: so much. */
static int64_t cut_off(const struct scenes *s, int at, const char *cap)
{
    links_isolate(s->folder, at);
    return share_at(s, at, cap, TODAY);
}

static struct client *server(const struct scenes *s, int at)
{
    return s->at[at]->servers[0];
}

Test(scenario, s0420_cut_off_it_spends_its_share_the_others_theirs_and_the_rest_after_the_heal)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_shared(s, ONE, (struct cap){"s0420", .total = 300}, TODAY);
    int64_t own = cut_off(s, THREE, "s0420");
    cr_expect_eq(spend(server(s, THREE), "s0420", 60), 60);
    cr_expect_eq(spend(server(s, ONE), "s0420", 300 - own), 300 - own);
    cr_expect(is_out_of_reach(s, ONE, "s0420"));
    cr_expect(is_out_of_reach(s, TWO, "s0420"));

    heal(s, "s0420", TODAY);
    cr_expect_eq(spend(server(s, TWO), "s0420", 1000), own - 60);
    all_used_up(s, "s0420");
}

static bool sees(const struct scenes *s, int at, int peer, const char *state)
{
    return dcs_peer_is(s->dcs, at, peer, state);
}

/* What it cannot reach may be there: 503, also when the others have long been given up for lost. */
Test(scenario, s0421_it_is_seen_to_be_lost_and_found_and_says_503_meanwhile)
{
    auto_scenes struct scenes *s = scenes_join();
    int64_t lost = remote_log_lines(s, THREE, "peer.lost", "peer=dc1");
    int64_t found = remote_log_lines(s, THREE, "peer.found", "peer=dc1");

    cap_shared(s, ONE, (struct cap){"s0421", .total = 300}, TODAY);
    int64_t own = cut_off(s, THREE, "s0421");
    cr_expect_eq(spend(server(s, THREE), "s0421", own), own);
    eventually(sees(s, THREE, ONE, "lost") && sees(s, THREE, TWO, "lost"));
    eventually(sees(s, ONE, THREE, "lost") && sees(s, TWO, THREE, "lost"));
    /* A busy machine may make them silent for a moment, too. */
    eventually(sees(s, ONE, TWO, "up") && sees(s, TWO, ONE, "up"));
    cr_expect(is_out_of_reach(s, THREE, "s0421"));
    eventually(remote_log_lines(s, THREE, "peer.lost", "peer=dc1") > lost);

    heal(s, "s0421", TODAY);
    eventually(all_is_well(s));
    eventually(remote_log_lines(s, THREE, "peer.found", "peer=dc1") > found);
    cr_expect_eq(spend(server(s, THREE), "s0421", 1000), 300 - own);
    all_used_up(s, "s0421");
}

/* What dc1 says does not get to dc3; what dc3 says is heard, and dc2 trades with both. */
Test(scenario, s0422_cut_in_one_way_the_other_works_and_no_unit_is_lost)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_shared(s, ONE, (struct cap){"s0422", .total = 300}, TODAY);
    links_cut(s->folder, ONE, THREE);
    cap_put(s->at[THREE], (struct cap){"s0422-there", .total = 3});
    eventually(pool_is(s->at[ONE], "s0422-there", TODAY, "open"));
    eventually(sees(s, THREE, ONE, "lost"));
    eventually(sees(s, ONE, THREE, "up"));

    /* More than its share: the rest comes from dc2. */
    cr_expect_eq(spend(server(s, THREE), "s0422", 150), 150);
    eventually(at_pool(s->at[ONE], "s0422", TODAY, "spent_elsewhere") == 150);

    heal(s, "s0422", TODAY);
    cr_expect_eq(spend(server(s, ONE), "s0422", 1000), 150);
    all_used_up(s, "s0422");
}

/* Each says something to the next only; so what is asked for does not get to who asks. */
Test(scenario, s0423_in_a_ring_of_three_each_hears_the_one_before_and_spends_what_it_has)
{
    auto_scenes struct scenes *s = scenes_join();
    int64_t granted = 0;

    cap_shared(s, ONE, (struct cap){"s0423", .total = 300}, TODAY);
    for (int i = 0; i < 3; i++)
        links_cut(s->folder, i, (i + 2) % 3);
    for (int i = 0; i < 3; i++)
        eventually(sees(s, i, (i + 1) % 3, "lost"));
    for (int i = 0; i < 3; i++) {
        int64_t before = granted;
        while (consume(s->at[i], 0, "s0423", 1).verdict == VERDICT_GRANTED)
            granted++;
        cr_expect_gt(granted, before);
        cr_log_info("s0423: %" PRId64 " granted in %s", granted - before, dcs_name(i));
    }
    /* The first 503 need not be the last word: what was on its way before the cut may be granted.
     */
    for (int i = 0; i < 3; i++) {
        enum verdict v = consume(s->at[i], 0, "s0423", 1).verdict;
        cr_expect(v == VERDICT_GRANTED || v == VERDICT_UNREACHABLE, "%s", verdict_name(v));
        granted += v == VERDICT_GRANTED;
    }

    heal(s, "s0423", TODAY);
    cr_expect_eq(granted + spend(server(s, TWO), "s0423", 1000), 300);
    all_used_up(s, "s0423");
}

static int64_t granted_by(struct hammer *const *hammers)
{
    int64_t sum = 0;

    for (int i = 0; i < 3; i++)
        sum += hammer_granted(hammers[i]);
    return sum;
}

/* Each has 17 units of 51, and somebody always waits for 40: nobody is cut off but by waiting. */
Test(scenario, s0435_of_three_that_each_wait_for_most_of_what_is_left_one_gets_it)
{
    auto_scenes struct scenes *s = scenes_join();
    struct hammer *hammers[24];
    int64_t granted = 0;

    cap_shared(s, ONE, (struct cap){"s0435", .total = 51}, TODAY);
    for (int i = 0; i < 24; i++)
        hammers[i] = hammer_start_amount(dc_port(s->at[i % 3]->dc, DC_SERVER, 0), "s0435", 40);
    eventually(at_meta(s->at[ONE], "s0435", TODAY, "spent") == 40);
    for (int i = 0; i < 24; i++)
        granted += hammer_stop(hammers[i]).granted;
    cr_expect_eq(granted, 1);
    cr_expect_eq(spend(server(s, TWO), "s0435", 51), 11);
    all_used_up(s, "s0435");
}

/* Every second time the data centre is only not heard by the next one. */
static void flap(const struct scenes *s, int n)
{
    int dc = n % 3;

    if (n % 2 == 0)
        links_isolate(s->folder, dc);
    else
        links_cut(s->folder, dc, (dc + 1) % 3);
}

/* One after the other is cut off, while clients spend everywhere and the total is raised. */
Test(scenario, s0424_flapping_links_under_load_lose_nothing_and_make_nothing)
{
    auto_scenes struct scenes *s = scenes_join();
    struct hammer *hammers[3];
    int64_t total = 300, sum = 0;

    cap_shared(s, ONE, (struct cap){"s0424", .total = total}, TODAY);
    for (int i = 0; i < 3; i++)
        hammers[i] = hammer_start(dc_port(s->at[i]->dc, DC_SERVER, 0), "s0424");
    for (int n = 0; n < 60; n++) {
        int64_t before = granted_by(hammers);
        flap(s, n);
        cr_expect_leq(granted_by(hammers), total);
        total += 300;
        cap_put(s->at[ONE], (struct cap){"s0424", .total = total});
        /* What the home keeps of it is in reach of its own clients at least. */
        eventually(granted_by(hammers) >= before + 50);
        links_heal(s->folder);
    }
    eventually(granted_by(hammers) == total);
    for (int i = 0; i < 3; i++) {
        struct hammered done = hammer_stop(hammers[i]);
        sum += done.granted;
        cr_expect_eq(done.unanswered, 0);
    }
    cr_expect_eq(sum, total);
    all_used_up(s, "s0424");
    eventually(at_all_pools(s, "s0424", TODAY, "spent") == total);
}

/* ---- the home changes a definition, cut off itself */

static bool all_told(const struct scenes *s, const char *cap, int64_t total)
{
    for (int i = 0; i < s->count; i++)
        if (at_pool(s->at[i], cap, TODAY, "requested") != total)
            return false;
    return true;
}

Test(scenario, s0425_a_total_that_a_cut_off_home_raises_is_in_force_everywhere_after_the_heal)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_shared(s, ONE, (struct cap){"s0425", .total = 300}, TODAY);
    int64_t own = cut_off(s, ONE, "s0425");
    cap_put(s->at[ONE], (struct cap){"s0425", .total = 600});
    cr_expect_eq(spend(server(s, ONE), "s0425", own + 100), own + 100);
    cr_expect(is_out_of_reach(s, ONE, "s0425"));
    cr_expect_eq(spend(server(s, THREE), "s0425", 300 - own), 300 - own);
    cr_expect(is_out_of_reach(s, TWO, "s0425"));
    cr_expect_eq(at_pool(s->at[TWO], "s0425", TODAY, "requested"), 300);

    heal(s, "s0425", TODAY);
    eventually(all_told(s, "s0425", 600));
    cr_expect_eq(spend(server(s, TWO), "s0425", 1000), 200);
    all_used_up(s, "s0425");
    eventually(at_all_pools(s, "s0425", TODAY, "spent") == 600);
}

/* The others go on with some 200 of the 300 that were in force, 50 above what is wanted now. */
Test(scenario, s0426_a_total_that_a_cut_off_home_lowers_is_reported_as_overspent_by_the_others)
{
    auto_scenes struct scenes *s = scenes_join();
    const struct scene *home = s->at[ONE];

    cap_shared(s, ONE, (struct cap){"s0426", .total = 300}, TODAY);
    int64_t theirs = 300 - cut_off(s, ONE, "s0426");
    cap_put(home, (struct cap){"s0426", .total = 150});
    eventually(at_meta(home, "s0426", TODAY, "effective") == theirs);
    cr_expect_eq(at_meta(home, "s0426", TODAY, "pending"), theirs - 150);
    cr_expect(is_out_of_reach(s, ONE, "s0426"));
    cr_expect_eq(spend(server(s, TWO), "s0426", theirs), theirs);
    cr_expect(is_out_of_reach(s, THREE, "s0426"));

    heal(s, "s0426", TODAY);
    eventually(all_told(s, "s0426", 150));
    all_used_up(s, "s0426");
    for (int i = 0; i < 3; i++)
        eventually(at_pool(s->at[i], "s0426", TODAY, "overspent") == theirs - 150);
    cr_expect_eq(at_meta(home, "s0426", TODAY, "effective"), theirs);
    cr_expect_eq(at_meta(home, "s0426", TODAY, "pending"), theirs - 150);
    eventually(at_meta(home, "s0426", TODAY, "spent") == theirs);
}

Test(scenario, s0427_a_cap_that_a_cut_off_home_pauses_stops_there_now_and_elsewhere_after_the_heal)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_shared(s, ONE, (struct cap){"s0427", .total = 300}, TODAY);
    links_isolate(s->folder, ONE);
    cap_put(s->at[ONE], (struct cap){"s0427", .total = 300, .more = "\"paused\":true"});
    eventually(consume(s->at[ONE], 0, "s0427", 1).verdict == VERDICT_NOT_OPEN);
    cr_expect_eq(spend(server(s, TWO), "s0427", 50), 50);

    heal(s, "s0427", TODAY);
    for (int i = 1; i < 3; i++)
        eventually(consume(s->at[i], 0, "s0427", 1).verdict == VERDICT_NOT_OPEN);
    cap_put(s->at[ONE], (struct cap){"s0427", .total = 300});
    for (int i = 0; i < 3; i++)
        eventually(consume(s->at[i], 0, "s0427", 1).verdict == VERDICT_GRANTED);
    (void)spend(server(s, THREE), "s0427", 1000);
    all_used_up(s, "s0427");
    eventually(at_all_pools(s, "s0427", TODAY, "spent") == 300);
}

Test(scenario, s0428_a_cap_that_a_cut_off_home_deletes_is_closed_everywhere_after_the_heal)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_shared(s, ONE, (struct cap){"s0428", .total = 300}, TODAY);
    int64_t theirs = 300 - cut_off(s, ONE, "s0428");
    cap_delete(s->at[ONE], "s0428");
    eventually(pool_is(s->at[ONE], "s0428", TODAY, "closed"));
    cr_expect_neq(take(server(s, ONE), "s0428", 1), VERDICT_GRANTED);
    cr_expect_eq(spend(server(s, THREE), "s0428", theirs), theirs);
    cr_expect(is_out_of_reach(s, TWO, "s0428"));

    heal(s, "s0428", TODAY);
    for (int i = 0; i < 3; i++) {
        eventually(pool_is(s->at[i], "s0428", TODAY, "closed"));
        cr_expect_neq(take(server(s, i), "s0428", 1), VERDICT_GRANTED);
        eventually(status_of(s->at[i]->meta, "GET", "/caps/s0428", NULL) == 404);
    }
    cr_expect_eq(at_all_pools(s, "s0428", TODAY, "spent"), theirs);
}

/* ---- the home is with the many, another is cut off */

Test(scenario, s0429_a_raised_total_is_shared_with_those_in_reach_and_the_last_share_follows)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_shared(s, ONE, (struct cap){"s0429", .total = 300}, TODAY);
    int64_t own = cut_off(s, THREE, "s0429");
    cap_put(s->at[ONE], (struct cap){"s0429", .total = 600});
    cr_expect_eq(spend(server(s, TWO), "s0429", 500 - own), 500 - own);
    cr_expect(is_out_of_reach(s, ONE, "s0429"));
    cr_expect_eq(spend(server(s, THREE), "s0429", own), own);
    cr_expect(is_out_of_reach(s, THREE, "s0429"));

    heal(s, "s0429", TODAY);
    cr_expect_eq(spend(server(s, THREE), "s0429", 1000), 100);
    all_used_up(s, "s0429");
}

/* All in reach of the home is burned; what dc3 spends of its share is above the new total. */
Test(scenario, s0430_a_lowered_total_burns_what_is_in_reach_and_reports_what_was_not)
{
    auto_scenes struct scenes *s = scenes_join();
    const struct scene *home = s->at[ONE];

    cap_shared(s, ONE, (struct cap){"s0430", .total = 300}, TODAY);
    int64_t own = cut_off(s, THREE, "s0430");
    cap_put(home, (struct cap){"s0430", .total = 60});
    eventually(at_meta(home, "s0430", TODAY, "effective") == own);
    cr_expect_eq(at_meta(home, "s0430", TODAY, "pending"), own - 60);
    cr_expect_eq(spend(server(s, THREE), "s0430", own), own);
    cr_expect(is_out_of_reach(s, THREE, "s0430"));
    cr_expect(is_out_of_reach(s, TWO, "s0430"));

    heal(s, "s0430", TODAY);
    eventually(all_told(s, "s0430", 60));
    all_used_up(s, "s0430");
    for (int i = 0; i < 3; i++)
        eventually(at_pool(s->at[i], "s0430", TODAY, "overspent") == own - 60);
    cr_expect_eq(at_meta(home, "s0430", TODAY, "effective"), own);
    cr_expect_eq(at_meta(home, "s0430", TODAY, "pending"), own - 60);
}

/* Unspent units of who was cut off are handed back and burned, as if there had been no cut. */
Test(scenario, s0431_a_total_lowered_and_not_spent_is_in_force_once_all_can_be_reached)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_shared(s, ONE, (struct cap){"s0431", .total = 300}, TODAY);
    int64_t own = cut_off(s, THREE, "s0431");
    cr_expect_eq(spend(server(s, THREE), "s0431", 30), 30);
    cap_put(s->at[ONE], (struct cap){"s0431", .total = 60});
    eventually(at_meta(s->at[ONE], "s0431", TODAY, "effective") == own);

    heal(s, "s0431", TODAY);
    eventually(at_meta(s->at[ONE], "s0431", TODAY, "effective") == 60);
    cr_expect_eq(spend(server(s, TWO), "s0431", 1000), 30);
    all_used_up(s, "s0431");
    for (int i = 0; i < 3; i++)
        cr_expect_eq(at_pool(s->at[i], "s0431", TODAY, "overspent"), 0);
}

/* ---- definitions */

Test(scenario, s0432_a_cap_defined_while_one_is_cut_off_is_known_there_after_the_heal)
{
    auto_scenes struct scenes *s = scenes_join();
    int64_t healed_ms = 0;

    links_isolate(s->folder, THREE);
    cap_put(s->at[TWO], (struct cap){"s0432", .total = 300});
    eventually(pool_is(s->at[ONE], "s0432", TODAY, "open"));
    cr_expect_eq(consume(s->at[THREE], 0, "s0432", 1).verdict, VERDICT_UNKNOWN);

    healed_ms = clk_now_ms();
    links_heal(s->folder);
    eventually(share_at(s, THREE, "s0432", TODAY) >= 50);
    cr_log_info("s0432: known %" PRId64 " ms after the heal", clk_now_ms() - healed_ms);
    cr_expect_eq(spend(server(s, THREE), "s0432", 1000), 300);
    all_used_up(s, "s0432");
}

/* ---- by reset instead of silence */

static void reset_all_of(const struct scenes *s, int dc)
{
    for (int i = 0; i < s->count; i++)
        if (i != dc) {
            links_reset(s->folder, i, dc);
            links_reset(s->folder, dc, i);
        }
}

/* What the broker had not got yet is lost with the connection, and told again. */
Test(scenario, s0433_with_connections_that_are_reset_it_is_the_same)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_shared(s, ONE, (struct cap){"s0433", .total = 300}, TODAY);
    reset_all_of(s, THREE);
    cap_put(s->at[ONE], (struct cap){"s0433", .total = 600});
    int64_t own = share_at(s, THREE, "s0433", TODAY);
    cr_expect_eq(spend(server(s, THREE), "s0433", own), own);
    cr_expect(is_out_of_reach(s, THREE, "s0433"));
    cr_expect_eq(spend(server(s, ONE), "s0433", 500 - own), 500 - own);
    cr_expect(is_out_of_reach(s, ONE, "s0433"));
    eventually(sees(s, THREE, ONE, "lost") && sees(s, ONE, THREE, "lost"));

    heal(s, "s0433", TODAY);
    cr_expect_eq(spend(server(s, TWO), "s0433", 1000), 100);
    all_used_up(s, "s0433");
    eventually(sees(s, THREE, ONE, "up") && sees(s, ONE, THREE, "up"));
}

/* The next messages for dc3, among them its share of what is minted, are taken from its queue. */
Test(scenario, s0434_rows_that_are_lost_on_the_way_are_told_again)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_shared(s, ONE, (struct cap){"s0434", .total = 300}, TODAY);
    links_deliveries(s->folder, THREE, WIRE_DROP, "rows", 3);
    cap_put(s->at[ONE], (struct cap){"s0434", .total = 600});
    eventually(links_deliveries_pending(s->folder, THREE) == 0);
    heal(s, "s0434", TODAY);
    cr_expect_eq(spend(server(s, THREE), "s0434", 1000), 600);
    all_used_up(s, "s0434");
}

/* ---- two definitions */

/* When the cap's next window begins, as that data centre sees it; -1: it has not got just one. */
static int64_t next_start(const struct scenes *s, int at, const char *cap)
{
    return pg_i64(dc_conninfo(s->at[at]->dc),
                  "SELECT CASE count(*) WHEN 1 THEN min(calendar.to_ms(starts_at)) ELSE -1 END"
                  "  FROM local.pool WHERE cap = '%s' AND state = 'planned'",
                  cap);
}

/*
 * dc1 wins over dc3.  What each has spent is of a window of its own; the cap
 * goes on with new windows, the same for all, which neither has spent of.
 */
Test(scenario, s0439_one_id_defined_on_both_sides_of_a_cut_is_the_lower_names)
{
    auto_scenes struct scenes *s = scenes_join();

    links_isolate(s->folder, THREE);
    cap_put(s->at[ONE], (struct cap){"s0439", .total = 300});
    cap_put(s->at[THREE], (struct cap){"s0439", .total = 90});
    eventually(share_at(s, TWO, "s0439", TODAY) >= 50);
    eventually(share_at(s, THREE, "s0439", TODAY) == 30);
    cr_expect_eq(spend(server(s, TWO), "s0439", 120), 120);
    cr_expect_eq(spend(server(s, THREE), "s0439", 30), 30);
    cr_expect(is_out_of_reach(s, THREE, "s0439"));

    links_heal(s->folder);
    for (int i = 0; i < 3; i++) {
        eventually(cap_text_is(s, i, "s0439", "home", "dc1"));
        eventually(pool_is(s->at[i], "s0439", TODAY, "closed"));
    }
    eventually(cap_text_is(s, THREE, "s0439", "conflict", "dc1"));
    cr_expect(cap_text_is(s, ONE, "s0439", "conflict", NULL));
    eventually(at_pool(s->at[THREE], "s0439", TODAY, "spent") == 30);
    eventually(at_pool(s->at[ONE], "s0439", TODAY, "spent") +
                   at_pool(s->at[TWO], "s0439", TODAY, "spent") ==
               120);
    cr_expect_eq(at_pool(s->at[THREE], "s0439", TODAY, "received"), 0);
    eventually(next_start(s, ONE, "s0439") > 0);
    for (int i = 0; i < 3; i++)
        eventually(next_start(s, i, "s0439") == next_start(s, ONE, "s0439"));
    eventually(consume(s->at[THREE], 0, "s0439", 1).verdict == VERDICT_GRANTED);
    cr_expect_eq(spend(server(s, TWO), "s0439", 1000), 299);
    all_used_up(s, "s0439");
}
