/*
 * s01xx: definitions and what they come to, with one server, where a data
 * centre's share is the total.  The numbers are those of the system that this
 * one succeeds, halved nowhere: there were two data centres there.
 */

#include "tests/scenario/scene.h"

SCENE_SUITE(.servers = 1);

/*
 * 10 % of 1000 is more than the largest slice, 5 %: 50.  Tomorrow's slice comes
 * shortly before the boundary: see s0221.
 */
Test(scenario, s0101_of_a_daily_cap_of_1000_the_server_holds_50_and_the_pool_950)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s, (struct cap){"s0101", .total = 1000}, TODAY);
    eventually(at_server(s, 0, "s0101", TODAY, "rest") == 50);
    cr_expect_eq(at_pool(s, "s0101", TODAY, "effective"), 1000);
    cr_expect_eq(at_pool(s, "s0101", TODAY, "free"), 950);
    eventually(pool_is(s, "s0101", TOMORROW, "planned"));
    cr_expect_eq(at_pool(s, "s0101", TOMORROW, "effective"), 1000);
}

Test(scenario, s0102_an_initial_total_is_for_the_current_window_only)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s, (struct cap){"s0102", .total = 1000, .more = "\"initial_total\":500"}, TODAY);
    eventually(at_server(s, 0, "s0102", TODAY, "rest") == 25);
    cr_expect_eq(at_pool(s, "s0102", TODAY, "effective"), 500);
    eventually(pool_is(s, "s0102", TOMORROW, "planned"));
    cr_expect_eq(at_pool(s, "s0102", TOMORROW, "effective"), 1000);
}

Test(scenario, s0103_of_a_cap_that_starts_tomorrow_nothing_is_spent_today)
{
    auto_scene struct scene *s = scene_join();

    cap_put(s, (struct cap){"s0103", .total = 1000, .starts_at = TOMORROW});
    eventually(pool_is(s, "s0103", TOMORROW, "planned"));
    eventually(at_server(s, 0, "s0103", TOMORROW, "granted") >= 0);
    cr_expect_eq(consume(s, 0, "s0103", 1).verdict, VERDICT_NOT_OPEN);
    cr_expect_eq(at_pool(s, "s0103", TODAY, "effective"), -1);
}

Test(scenario, s0104_the_same_definition_again_is_no_new_version_and_no_message)
{
    auto_scene struct scene *s = scene_join();
    const char *db = dc_conninfo(s->dc);
    const char *messages = "SELECT last_value FROM pg_sequences WHERE schemaname = 'meta'";

    cap_open(s, (struct cap){"s0104", .total = 1000}, TODAY);
    int64_t sent = pg_i64(db, "%s", messages);
    cap_put(s, (struct cap){"s0104", .total = 1000});

    cr_expect_eq(pg_i64(db, "SELECT version FROM meta.cap WHERE id = 's0104'"), 1);
    cr_expect_eq(pg_i64(db, "%s", messages), sent);
}

Test(scenario, s0105_a_raised_total_is_seen_at_the_server)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s, (struct cap){"s0105", .total = 1000}, TODAY);
    cr_expect_eq(policy_total(s, 0, "s0105"), 1000);

    cap_put(s, (struct cap){"s0105", .total = 2000});
    eventually(policy_total(s, 0, "s0105") == 2000);
    eventually(at_pool(s, "s0105", TODAY, "effective") == 2000);
    eventually(at_pool(s, "s0105", TOMORROW, "effective") == 2000);
}

Test(scenario, s0106_a_lowered_total_burns_what_is_free)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s, (struct cap){"s0106", .total = 1000}, TODAY);
    cap_put(s, (struct cap){"s0106", .total = 500});
    eventually(at_pool(s, "s0106", TODAY, "effective") == 500);
    eventually(at_pool(s, "s0106", TOMORROW, "effective") == 500);
    cr_expect_eq(at_meta(s, "s0106", TODAY, "pending"), 0);
}

Test(scenario, s0107_250_spent_and_a_cut_to_400_leaves_exactly_150)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s, (struct cap){"s0107", .total = 1000}, TODAY);
    cr_assert_eq(spend(s->servers[0], "s0107", 250), 250);
    cap_put(s, (struct cap){"s0107", .total = 400});
    eventually(at_pool(s, "s0107", TODAY, "effective") == 400);

    cr_expect_eq(spend(s->servers[0], "s0107", 1000), 150);
    eventually(at_meta(s, "s0107", TODAY, "spent") == 400);
    eventually(at_pool(s, "s0107", TOMORROW, "effective") == 400);
}

Test(scenario, s0108_a_cut_below_what_is_spent_stops_at_once_and_is_reported)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s, (struct cap){"s0108", .total = 1000}, TODAY);
    cr_assert_eq(spend(s->servers[0], "s0108", 250), 250);
    cap_put(s, (struct cap){"s0108", .total = 200});

    eventually(at_pool(s, "s0108", TODAY, "effective") == 250);
    cr_expect_eq(take(s->servers[0], "s0108", 1), VERDICT_USED_UP);
    cr_expect_eq(at_pool(s, "s0108", TODAY, "overspent"), 50);
    cr_expect_eq(at_meta(s, "s0108", TODAY, "requested"), 200);
    cr_expect_eq(at_meta(s, "s0108", TODAY, "pending"), 50);
    cr_expect_eq(at_meta(s, "s0108", TODAY, "spent"), 250);
    eventually(at_pool(s, "s0108", TOMORROW, "effective") == 200);
}

Test(scenario, s0109_deleting_an_unknown_cap_is_404_and_nothing_else)
{
    auto_scene struct scene *s = scene_join();

    cr_expect_eq(status_of(s->meta, "DELETE", "/caps/s0109", NULL), 404);
    cr_expect_eq(pg_i64(dc_conninfo(s->dc), "SELECT count(*) FROM meta.cap WHERE id = 's0109'"), 0);
}

Test(scenario, s0110_deleting_a_cap_closes_both_windows_and_servers_hold_nothing)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s, (struct cap){"s0110", .total = 1000}, TODAY);
    cr_assert_eq(spend(s->servers[0], "s0110", 5), 5);
    cap_delete(s, "s0110");

    eventually(pool_is(s, "s0110", TODAY, "closed") && pool_is(s, "s0110", TOMORROW, "closed"));
    cr_expect_neq(take(s->servers[0], "s0110", 1), VERDICT_GRANTED);
    cr_expect_leq(at_server(s, 0, "s0110", TODAY, "rest"), 0);
    cr_expect_leq(at_server(s, 0, "s0110", TOMORROW, "rest"), 0);
    cr_expect(is_at_rest(s, "s0110", TODAY) && is_at_rest(s, "s0110", TOMORROW));
    cr_expect_eq(status_of(s->meta, "GET", "/caps/s0110", NULL), 404);
}

Test(scenario, s0111_an_unknown_cap_is_404_everywhere)
{
    auto_scene struct scene *s = scene_join();

    cr_expect_eq(status_of(s->meta, "GET", "/caps/s0111", NULL), 404);
    cr_expect_eq(status_of(s->interval, "GET", "/caps/s0111/intervals", NULL), 404);
    cr_expect_eq(status_of(s->local, "GET", "/pools/s0111", NULL), 404);
    cr_expect_eq(status_of(s->servers[0], "GET", "/caps/s0111", NULL), 404);
    cr_expect_eq(consume(s, 0, "s0111", 1).verdict, VERDICT_UNKNOWN);
}

Test(scenario, s0112_consuming_5_of_50_leaves_45_and_the_pool_untouched)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s, (struct cap){"s0112", .total = 1000}, TODAY);
    eventually(at_server(s, 0, "s0112", TODAY, "rest") == 50);
    struct consumed c = consume(s, 0, "s0112", 5);

    cr_expect_eq(c.verdict, VERDICT_GRANTED);
    cr_expect_eq(c.granted, 5);
    cr_expect_eq(at_server(s, 0, "s0112", TODAY, "rest"), 45);
    cr_expect_eq(at_pool(s, "s0112", TODAY, "free"), 950);
}

Test(scenario, s0113_with_nothing_left_anywhere_it_is_429)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s, (struct cap){"s0113", .total = 0}, TODAY);
    cr_expect_eq(take(s->servers[0], "s0113", 1), VERDICT_USED_UP);
}

/* No rate is known yet: 5 left is a tenth of the slice, and the topup is another slice of 50. */
Test(scenario, s0114_45_of_50_and_a_topup_in_the_background_brings_55)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s, (struct cap){"s0114", .total = 1000}, TODAY);
    eventually(at_server(s, 0, "s0114", TODAY, "rest") == 50);
    cr_assert_eq(consume(s, 0, "s0114", 45).verdict, VERDICT_GRANTED);

    eventually(at_server(s, 0, "s0114", TODAY, "rest") == 55);
    cr_expect_eq(at_pool(s, "s0114", TODAY, "free"), 900);
}

Test(scenario, s0115_with_an_empty_pool_5_are_left_then_0_then_429)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s, (struct cap){"s0115", .total = 50}, TODAY);
    cr_assert_eq(take(s->servers[0], "s0115", 45), VERDICT_GRANTED);
    eventually(at_pool(s, "s0115", TODAY, "spent") == 45);

    cr_assert_eq(take(s->servers[0], "s0115", 5), VERDICT_GRANTED);
    cr_expect_eq(at_server(s, 0, "s0115", TODAY, "rest"), 0);
    cr_expect_eq(take(s->servers[0], "s0115", 1), VERDICT_USED_UP);
}

Test(scenario, s0199_after_all_of_this_the_audit_is_clean)
{
    auto_scene struct scene *s = scene_join();

    cr_assert(audit_is_clean(s));
}
