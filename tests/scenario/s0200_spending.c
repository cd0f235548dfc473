/*
 * s02xx: spending at three servers, and what the system before this one got
 * wrong: each of its faults has a scenario here.
 */

#include "tests/scenario/scene.h"

SCENE_SUITE(.servers = 3);

Test(scenario, s0201_a_total_of_100_is_a_hundred_units_wherever_they_are_asked_for)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s, (struct cap){"s0201", .total = 100}, TODAY);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(take(s->servers[i % 3], "s0201", 1), VERDICT_GRANTED, "the %dth", i + 1);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(take(s->servers[i], "s0201", 1), VERDICT_USED_UP);
}

Test(scenario, s0202_with_4_left_who_asks_for_up_to_5_gets_them)
{
    auto_scene struct scene *s = scene_join();
    struct consumed c = {0};
    int64_t got = 0;

    cap_open(s, (struct cap){"s0202", .total = 4}, TODAY);
    do {
        eventually((c = client_consume(s->servers[0], "s0202", 5, "best_effort")).verdict !=
                   VERDICT_UNREACHABLE);
        got += c.granted;
    } while (c.verdict == VERDICT_GRANTED);
    cr_expect_eq(c.verdict, VERDICT_USED_UP);
    cr_expect_eq(got, 4);
}

/* 50 are here and 700 in the pool: that is no reason for a no. */
Test(scenario, s0203_more_than_the_slice_is_not_refused_while_the_pool_has_units)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s, (struct cap){"s0203", .total = 1000}, TODAY);
    eventually(at_server(s, 0, "s0203", TODAY, "rest") == 50);
    cr_expect_eq(take(s->servers[0], "s0203", 600), VERDICT_GRANTED);
}

/* A slice is 50 units, and the last ones come in smaller slices and by recalls. */
Test(scenario, s0204_a_thousand_consumes_take_few_topups)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s, (struct cap){"s0204", .total = 1000}, TODAY);
    int64_t before = metric_sum(s->servers[0], "volumecap_topups_total", "");
    cr_assert_eq(spend(s->servers[0], "s0204", 1001), 1000);
    int64_t topups = metric_sum(s->servers[0], "volumecap_topups_total", "") - before;
    cr_expect_lt(topups, 200, "%" PRId64 " calls of local-svc", topups);
}

Test(scenario, s0205_a_single_cap_has_one_window)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s,
             (struct cap){"s0205", .total = 10, .interval = "single", .starts_at = TODAY,
                          .ends_at = "2026-06-20T00:00:00Z"},
             TODAY);
    cr_expect_eq(spend(s->servers[1], "s0205", 11), 10);
    cr_expect_eq(pg_i64(dc_conninfo(s->dc), "SELECT count(*) FROM local.pool WHERE cap = 's0205'"),
                 1);
}

/* The new window begins now: what was spent before stays with the old one. */
Test(scenario, s0206_a_changed_kind_of_interval_closes_the_window_and_keeps_its_account)
{
    auto_scene struct scene *s = scene_join();
    struct consumed first = {0}, c = {0};

    cap_open(s, (struct cap){"s0206", .total = 100}, TODAY);
    cr_assert_eq(spend(s->servers[0], "s0206", 7), 7);
    eventually((first = consume(s, 0, "s0206", 1)).verdict == VERDICT_GRANTED);
    cap_put(s, (struct cap){"s0206", .total = 100, .interval = "hour"});
    eventually((c = consume(s, 0, "s0206", 1)).verdict == VERDICT_GRANTED &&
               c.starts_at_ms > first.starts_at_ms);

    cr_expect_eq(spend(s->servers[0], "s0206", 101), 99);
    eventually(pool_is(s, "s0206", TODAY, "closed") && is_at_rest(s, "s0206", TODAY));
    cr_expect_geq(at_pool(s, "s0206", TODAY, "spent"), 8);
    /* Windows of another grid have a phase of their own, so that no start is used twice. */
    eventually(pool_is(s, "s0206", "2026-05-20T11:00:00.001Z", "planned"));
    cr_expect_eq(hours_of(s, "s0206", "2026-05-20T11:00:00.001Z"), 1);
}

Test(scenario, s0207_negative_amounts_make_no_units)
{
    auto_scene struct scene *s = scene_join();
    struct client *server = s->servers[0];

    cap_open(s, (struct cap){"s0207", .total = 10}, TODAY);
    cr_assert_eq(take(server, "s0207", 2), VERDICT_GRANTED);
    cr_expect_eq(status_of(server, "POST", "/consume", "{\"cap\":\"s0207\",\"amount\":-5}"), 400);
    cr_expect_eq(status_of(server, "POST", "/consume", "{\"cap\":\"s0207\",\"amount\":0}"), 400);
    cr_expect_eq(status_of(server, "POST", "/consume", "{\"cap\":\"s0207\",\"amount\":1.5}"), 400);
    cr_expect_eq(status_of(server, "POST", "/refund", "{\"cap\":\"s0207\",\"amount\":-5}"), 400);
    cr_expect_eq(status_of(server, "POST", "/refund", "{\"cap\":\"s0207\",\"amount\":3}"), 409);
    cr_expect_eq(spend(server, "s0207", 100), 8);
}

Test(scenario, s0208_a_raised_total_reaches_servers_that_said_used_up)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s, (struct cap){"s0208", .total = 20}, TODAY);
    cr_assert_eq(spend(s->servers[0], "s0208", 21), 20);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(take(s->servers[i], "s0208", 1), VERDICT_USED_UP);

    cap_put(s, (struct cap){"s0208", .total = 23});
    for (int i = 0; i < 3; i++)
        eventually(take(s->servers[i], "s0208", 1) == VERDICT_GRANTED);
    cr_expect_eq(take(s->servers[0], "s0208", 1), VERDICT_USED_UP);
}

/* Each server has one of the three. */
Test(scenario, s0209_the_last_units_are_served_wherever_they_are_asked_for)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s, (struct cap){"s0209", .total = 3}, TODAY);
    eventually(at_pool(s, "s0209", TODAY, "free") == 0);
    cr_expect_eq(spend(s->servers[2], "s0209", 4), 3);
}

Test(scenario, s0210_many_clients_at_once_get_exactly_the_total)
{
    auto_scene struct scene *s = scene_join();
    struct hammer *hammers[6];
    int64_t granted = 0, unanswered = 0;

    cap_open(s, (struct cap){"s0210", .total = 2000}, TODAY);
    for (int i = 0; i < 6; i++)
        hammers[i] = hammer_start(dc_port(s->dc, DC_SERVER, i % 3), "s0210");
    eventually(at_pool(s, "s0210", TODAY, "spent") == 2000);
    for (int i = 0; i < 6; i++) {
        struct hammered done = hammer_stop(hammers[i]);
        granted += done.granted;
        unanswered += done.unanswered;
    }
    cr_expect(granted <= 2000 && granted + unanswered >= 2000,
              "%" PRId64 " granted, %" PRId64 " not answered", granted, unanswered);
}

Test(scenario, s0211_a_refund_after_used_up_can_be_spent_elsewhere)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s, (struct cap){"s0211", .total = 10}, TODAY);
    cr_assert_eq(spend(s->servers[0], "s0211", 11), 10);
    cr_assert_eq(take(s->servers[1], "s0211", 1), VERDICT_USED_UP);

    cr_assert_eq(status_of(s->servers[0], "POST", "/refund", "{\"cap\":\"s0211\",\"amount\":4}"),
                 200);
    eventually(take(s->servers[1], "s0211", 1) == VERDICT_GRANTED);
    cr_expect_eq(spend(s->servers[1], "s0211", 10), 3);
}

/*
 * Reports and heartbeats go on, a few in a second; 500 refusals add nothing to them.  What the
 * watch still tells of the last units is asked about once more, and may be 503 for a moment.
 */
Test(scenario, s0212_a_used_up_window_is_refused_from_memory)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s, (struct cap){"s0212", .total = 5}, TODAY);
    cr_assert_eq(spend(s->servers[0], "s0212", 6), 5);
    int64_t before = metric_sum(s->local, "volumecap_topup_items_total", "");
    for (int i = 0; i < 500; i++)
        cr_assert_eq(take(s->servers[0], "s0212", 1), VERDICT_USED_UP);
    int64_t items = metric_sum(s->local, "volumecap_topup_items_total", "") - before;
    cr_expect_lt(items, 100, "%" PRId64 " items at local-svc", items);
}

Test(scenario, s0213_a_paused_cap_grants_nothing_until_it_goes_on)
{
    auto_scene struct scene *s = scene_join();

    cap_open(s, (struct cap){"s0213", .total = 100}, TODAY);
    cr_assert_eq(spend(s->servers[0], "s0213", 10), 10);
    cap_put(s, (struct cap){"s0213", .total = 100, .more = "\"paused\":true"});
    for (int i = 0; i < 3; i++)
        eventually(consume(s, i, "s0213", 1).verdict == VERDICT_NOT_OPEN);
    eventually(at_pool(s, "s0213", TODAY, "free") + at_pool(s, "s0213", TODAY, "spent") == 100);
    int64_t spent = at_pool(s, "s0213", TODAY, "spent");

    cap_put(s, (struct cap){"s0213", .total = 100});
    eventually(consume(s, 0, "s0213", 1).verdict == VERDICT_GRANTED);
    cr_expect_eq(spend(s->servers[0], "s0213", 100), 100 - spent - 1);
}

Test(scenario, s0214_items_of_a_batch_decide_for_themselves_and_a_check_takes_nothing)
{
    auto_scene struct scene *s = scene_join();
    struct answer answer = {0};
    struct err e = {0};

    cap_open(s, (struct cap){"s0214", .total = 1000}, TODAY);
    eventually(at_server(s, 0, "s0214", TODAY, "rest") == 50);
    cr_assert(client_expect(s->servers[0], 200, "POST", "/consume",
                            "{\"items\":[{\"cap\":\"s0214\",\"amount\":5},{\"cap\":\"s0214-no\"},"
                            "{\"cap\":\"s0214\",\"amount\":9,\"mode\":\"check\"}]}",
                            &answer, &e),
              "%s", e.msg);
    const cJSON *items = cJSON_GetObjectItemCaseSensitive(answer.json, "items");
    static const char *const verdicts[] = {"granted", "unknown", "granted"};
    cr_assert_eq(cJSON_GetArraySize(items), 3);
    for (int i = 0; i < 3; i++)
        cr_expect_str_eq(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(
                             cJSON_GetArrayItem(items, i), "verdict")),
                         verdicts[i]);
    cr_expect_eq(at_server(s, 0, "s0214", TODAY, "rest"), 45);
}

/*
 * Each server holds a unit or two when 51 are there at last, and from then on
 * somebody waits for 50 at each of them.
 */
Test(scenario, s0215_of_servers_that_each_wait_for_most_of_what_is_left_one_gets_it)
{
    auto_scene struct scene *s = scene_join();
    struct hammer *hammers[24];
    int64_t granted = 0;

    cap_open(s, (struct cap){"s0215", .total = 49}, TODAY);
    for (int i = 0; i < 3; i++)
        eventually(at_server(s, i, "s0215", TODAY, "rest") > 0);
    for (int i = 0; i < 24; i++)
        hammers[i] = hammer_start_amount(dc_port(s->dc, DC_SERVER, i % 3), "s0215", 50);
    cap_put(s, (struct cap){"s0215", .total = 51});
    eventually(at_pool(s, "s0215", TODAY, "spent") == 50);
    for (int i = 0; i < 24; i++)
        granted += hammer_stop(hammers[i]).granted;
    cr_expect_eq(granted, 1);
    cr_expect_eq(spend(s->servers[0], "s0215", 51), 1);
}

Test(scenario, s0299_after_all_of_this_the_audit_is_clean)
{
    auto_scene struct scene *s = scene_join();

    cr_assert(audit_is_clean(s));
}
