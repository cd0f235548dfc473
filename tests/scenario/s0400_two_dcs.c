/*
 * s040x: definitions and what they come to in two data centres with a server
 * each: the numbers of the system that this one succeeds, which had two.
 */

#include <stdio.h>

#include "tests/scenario/scenes.h"

SCENES_SUITE(.count = 2);

enum { EAST, WEST };

/* What a data centre has of the window, free, in slices and spent. */
static int64_t share(const struct scenes *s, int at, const char *cap, const char *starts_at)
{
    const struct scene *dc = s->at[at];

    return at_pool(dc, cap, starts_at, "minted") - at_pool(dc, cap, starts_at, "burned") +
           at_pool(dc, cap, starts_at, "received") - at_pool(dc, cap, starts_at, "sent");
}

static bool shares_are(const struct scenes *s, const char *cap, const char *starts_at, int64_t n)
{
    return share(s, EAST, cap, starts_at) == n && share(s, WEST, cap, starts_at) == n;
}

static int64_t rest(const struct scenes *s, int at, const char *cap)
{
    return at_server(s->at[at], 0, cap, TODAY, "rest");
}

Test(scenario, s0401_of_a_daily_cap_of_1000_each_has_500_its_server_50_and_its_pool_450)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0401", .total = 1000}, TODAY);
    for (int i = 0; i < 2; i++) {
        eventually(rest(s, i, "s0401") == 50);
        eventually(at_pool(s->at[i], "s0401", TODAY, "free") == 450);
        eventually(pool_is(s->at[i], "s0401", TOMORROW, "planned"));
    }
    eventually(shares_are(s, "s0401", TOMORROW, 500));
}

Test(scenario, s0402_an_initial_total_of_500_is_250_each_today_and_500_tomorrow)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0402", .total = 1000, .more = "\"initial_total\":500"},
                TODAY);
    eventually(shares_are(s, "s0402", TODAY, 250));
    eventually(shares_are(s, "s0402", TOMORROW, 500));
    eventually(rest(s, EAST, "s0402") == 25 && rest(s, WEST, "s0402") == 25);
}

Test(scenario, s0403_a_cap_that_starts_tomorrow_is_known_everywhere_and_spent_nowhere)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_put(s->at[WEST], (struct cap){"s0403", .total = 1000, .starts_at = TOMORROW});
    for (int i = 0; i < 2; i++) {
        eventually(at_server(s->at[i], 0, "s0403", TOMORROW, "granted") >= 0);
        cr_expect_eq(consume(s->at[i], 0, "s0403", 1).verdict, VERDICT_NOT_OPEN);
    }
    eventually(shares_are(s, "s0403", TOMORROW, 500));
}

Test(scenario, s0404_the_same_definition_again_is_no_new_version_anywhere)
{
    auto_scenes struct scenes *s = scenes_join();
    const char *versions = "SELECT sum(version) + sum(revision) FROM meta.cap";

    cap_open_at(s, EAST, (struct cap){"s0404", .total = 1000}, TODAY);
    int64_t east = pg_i64(dc_conninfo(s->at[EAST]->dc), "%s", versions);
    int64_t west = pg_i64(dc_conninfo(s->at[WEST]->dc), "%s", versions);
    cap_put(s->at[EAST], (struct cap){"s0404", .total = 1000});
    /* A later one has been heard: this one would have been, too. */
    cap_open_at(s, EAST, (struct cap){"s0404-later", .total = 1}, TODAY);

    cr_expect_eq(pg_i64(dc_conninfo(s->at[EAST]->dc), "%s WHERE id <> 's0404-later'", versions),
                 east);
    cr_expect_eq(pg_i64(dc_conninfo(s->at[WEST]->dc), "%s WHERE id <> 's0404-later'", versions),
                 west);
}

Test(scenario, s0405_a_total_raised_to_2000_is_1000_each_in_both_windows)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0405", .total = 1000}, TODAY);
    eventually(shares_are(s, "s0405", TODAY, 500));
    cap_put(s->at[EAST], (struct cap){"s0405", .total = 2000});
    eventually(shares_are(s, "s0405", TODAY, 1000));
    eventually(shares_are(s, "s0405", TOMORROW, 1000));
    for (int i = 0; i < 2; i++)
        eventually(policy_total(s->at[i], 0, "s0405") == 2000);
}

Test(scenario, s0406_a_total_lowered_to_500_is_250_each_in_both_windows)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0406", .total = 1000}, TODAY);
    eventually(shares_are(s, "s0406", TODAY, 500));
    cap_put(s->at[EAST], (struct cap){"s0406", .total = 500});
    eventually(at_meta(s->at[EAST], "s0406", TODAY, "effective") == 500);
    eventually(shares_are(s, "s0406", TODAY, 250));
    eventually(shares_are(s, "s0406", TOMORROW, 250));
    cr_expect_eq(at_meta(s->at[EAST], "s0406", TODAY, "pending"), 0);
}

Test(scenario, s0407_250_spent_and_a_cut_to_400_leaves_exactly_150_here_or_there)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0407", .total = 1000}, TODAY);
    cr_assert_eq(spend(s->at[WEST]->servers[0], "s0407", 250), 250);
    cap_put(s->at[EAST], (struct cap){"s0407", .total = 400});
    eventually(at_meta(s->at[EAST], "s0407", TODAY, "effective") == 400);

    cr_expect_eq(spend(s->at[EAST]->servers[0], "s0407", 100), 100);
    cr_expect_eq(spend(s->at[WEST]->servers[0], "s0407", 1000), 50);
    cr_expect_eq(take(s->at[EAST]->servers[0], "s0407", 1), VERDICT_USED_UP);
    eventually(at_meta(s->at[EAST], "s0407", TODAY, "spent") == 400);
    eventually(at_meta(s->at[WEST], "s0407", TODAY, "spent") == 400);
    eventually(shares_are(s, "s0407", TOMORROW, 200));
}

Test(scenario, s0408_a_cut_below_what_is_spent_stops_everywhere_and_is_reported)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0408", .total = 1000}, TODAY);
    cr_assert_eq(spend(s->at[EAST]->servers[0], "s0408", 100), 100);
    cr_assert_eq(spend(s->at[WEST]->servers[0], "s0408", 150), 150);
    cap_put(s->at[EAST], (struct cap){"s0408", .total = 200});

    eventually(at_meta(s->at[EAST], "s0408", TODAY, "effective") == 250);
    cr_expect_eq(take(s->at[EAST]->servers[0], "s0408", 1), VERDICT_USED_UP);
    cr_expect_eq(take(s->at[WEST]->servers[0], "s0408", 1), VERDICT_USED_UP);
    eventually(at_meta(s->at[EAST], "s0408", TODAY, "spent") == 250);
    cr_expect_eq(at_meta(s->at[EAST], "s0408", TODAY, "requested"), 200);
    cr_expect_eq(at_meta(s->at[EAST], "s0408", TODAY, "pending"), 50);
    for (int i = 0; i < 2; i++)
        eventually(at_pool(s->at[i], "s0408", TODAY, "overspent") == 50);
    eventually(shares_are(s, "s0408", TOMORROW, 100));
}

Test(scenario, s0409_deleting_a_cap_closes_its_windows_everywhere_and_servers_hold_nothing)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0409", .total = 1000}, TODAY);
    cr_assert_eq(spend(s->at[WEST]->servers[0], "s0409", 5), 5);
    cap_delete(s->at[EAST], "s0409");
    for (int i = 0; i < 2; i++) {
        eventually(pool_is(s->at[i], "s0409", TODAY, "closed"));
        eventually(pool_is(s->at[i], "s0409", TOMORROW, "closed"));
        cr_expect_neq(take(s->at[i]->servers[0], "s0409", 1), VERDICT_GRANTED);
        cr_expect_leq(rest(s, i, "s0409"), 0);
        eventually(status_of(s->at[i]->meta, "GET", "/caps/s0409", NULL) == 404);
    }
    cr_expect_eq(at_all_pools(s, "s0409", TODAY, "spent"), 5);
}

Test(scenario, s0410_pausing_a_cap_stops_it_everywhere_and_going_on_too)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, WEST, (struct cap){"s0410", .total = 100}, TODAY);
    cap_put(s->at[WEST], (struct cap){"s0410", .total = 100, .more = "\"paused\":true"});
    for (int i = 0; i < 2; i++)
        eventually(consume(s->at[i], 0, "s0410", 1).verdict == VERDICT_NOT_OPEN);
    int64_t spent = at_all_pools(s, "s0410", TODAY, "consumed");

    cap_put(s->at[WEST], (struct cap){"s0410", .total = 100});
    for (int i = 0; i < 2; i++)
        eventually(consume(s->at[i], 0, "s0410", 1).verdict == VERDICT_GRANTED);
    eventually(at_all_pools(s, "s0410", TODAY, "consumed") > spent);
    int64_t more = spend(s->at[EAST]->servers[0], "s0410", 1000);
    cr_expect_leq(more, 98);
    eventually(at_all_pools(s, "s0410", TODAY, "consumed") == 100);
}

Test(scenario, s0411_an_unknown_cap_is_404_in_both)
{
    auto_scenes struct scenes *s = scenes_join();

    for (int i = 0; i < 2; i++) {
        cr_expect_eq(status_of(s->at[i]->meta, "GET", "/caps/s0411", NULL), 404);
        cr_expect_eq(status_of(s->at[i]->meta, "DELETE", "/caps/s0411", NULL), 404);
        cr_expect_eq(consume(s->at[i], 0, "s0411", 1).verdict, VERDICT_UNKNOWN);
    }
}

Test(scenario, s0412_consuming_5_of_50_leaves_45_and_both_pools_untouched)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0412", .total = 1000}, TODAY);
    eventually(rest(s, WEST, "s0412") == 50);
    eventually(at_all_pools(s, "s0412", TODAY, "free") == 900);
    cr_assert_eq(consume(s->at[WEST], 0, "s0412", 5).verdict, VERDICT_GRANTED);
    cr_expect_eq(rest(s, WEST, "s0412"), 45);
    cr_expect_eq(at_all_pools(s, "s0412", TODAY, "free"), 900);
}

Test(scenario, s0413_with_nothing_left_anywhere_it_is_429)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0413", .total = 0}, TODAY);
    for (int i = 0; i < 2; i++)
        cr_expect_eq(take(s->at[i]->servers[0], "s0413", 1), VERDICT_USED_UP);
}

/* No rate is known yet: 5 left is a tenth of the slice, and the topup is another slice of 50. */
Test(scenario, s0414_45_of_50_and_a_topup_in_the_background_brings_55)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0414", .total = 1000}, TODAY);
    eventually(rest(s, WEST, "s0414") == 50);
    cr_assert_eq(consume(s->at[WEST], 0, "s0414", 45).verdict, VERDICT_GRANTED);
    eventually(rest(s, WEST, "s0414") == 55);
}

Test(scenario, s0415_a_total_of_100_is_a_hundred_ones_in_either_and_the_101st_is_429)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0415", .total = 100}, TODAY);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(take(s->at[i % 2]->servers[0], "s0415", 1), VERDICT_GRANTED, "the %dth",
                     i + 1);
    for (int i = 0; i < 2; i++)
        cr_expect_eq(take(s->at[i]->servers[0], "s0415", 1), VERDICT_USED_UP);
}

Test(scenario, s0416_a_hundred_ones_in_the_data_centre_that_is_not_home)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0416", .total = 100}, TODAY);
    cr_expect_eq(spend(s->at[WEST]->servers[0], "s0416", 101), 100);
    cr_expect_eq(take(s->at[EAST]->servers[0], "s0416", 1), VERDICT_USED_UP);
}

/* 9 of 10 are at home: a consume of 8 elsewhere is for what only both together have. */
Test(scenario, s0417_more_than_a_share_is_granted_where_it_is_asked_for)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0417", .total = 1000}, TODAY);
    cr_expect_eq(take(s->at[WEST]->servers[0], "s0417", 800), VERDICT_GRANTED);
    cr_expect_eq(take(s->at[EAST]->servers[0], "s0417", 300), VERDICT_USED_UP);
    cr_expect_eq(take(s->at[EAST]->servers[0], "s0417", 200), VERDICT_GRANTED);
}

#define DEFINITIONS 1000

/* However long it takes, as long as it becomes more. */
static void await_sum(const char *db, const char *what, int64_t sum)
{
    int64_t now = 0;

    while (now < sum) {
        int64_t before = now;
        eventually((now = pg_i64(db, "SELECT %s FROM local.pool WHERE cap LIKE 's0418-%%'", what)) >
                   before);
    }
    cr_expect_eq(now, sum);
}

Test(scenario, s0418_a_thousand_definitions_are_in_the_other_data_centre)
{
    auto_scenes struct scenes *s = scenes_join();
    const char *there = dc_conninfo(s->at[WEST]->dc);
    int64_t began_ms = clk_now_ms();
    char id[32];

    for (int i = 0; i < DEFINITIONS; i++) {
        snprintf(id, sizeof(id), "s0418-%03d", i);
        cap_put(s->at[EAST], (struct cap){id, .total = 10});
    }
    int64_t put_ms = clk_now_ms() - began_ms;
    await_sum(there, "count(*)", 2 * DEFINITIONS);
    cr_log_info("%d definitions stored in %" PRId64 " ms, their windows there after %" PRId64 " ms",
                DEFINITIONS, put_ms, clk_now_ms() - began_ms);
    await_sum(there, "sum(received)", 10 * DEFINITIONS);
}

Test(scenario, s0419_a_definition_is_changed_at_home_only)
{
    auto_scenes struct scenes *s = scenes_join();
    struct answer answer = {0};
    struct err e = {0};

    cap_open_at(s, EAST, (struct cap){"s0419", .total = 10}, TODAY);
    cr_assert(client_expect(s->at[WEST]->meta, 409, "DELETE", "/caps/s0419", NULL, &answer, &e),
              "%s", e.msg);
    cr_expect_str_eq(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer.json, "home")),
                     "dc1");
    cr_assert(client_expect(s->at[WEST]->meta, 200, "GET", "/caps/s0419", NULL, &answer, &e), "%s",
              e.msg);
    cr_expect_str_eq(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer.json, "home")),
                     "dc1");
    cr_expect(pool_is(s->at[WEST], "s0419", TODAY, "open"));
}
