/*
 * s048x and s049x: what happens to the brokers and services of two data
 * centres while units must cross: they die, freeze, forget and disagree about
 * the time, and no unit is made or lost.
 */

#include <stdio.h>
#include <string.h>

#include "common/base/num.h"
#include "tests/scenario/letter.h"
#include "tests/scenario/spending.h"

SCENES_SUITE(.count = 2);

enum { EAST, WEST }; /* dc1, the home of all caps, and dc2, where they are spent */

#define TEN "2026-05-20T10:00:00Z"
#define ELEVEN "2026-05-20T11:00:00Z"
#define QUEUE_OF_WEST "volumecap.dc2"

/*
 * The client of a fault that meets the trade at work: one who takes a unit
 * each 4 ms.  The own share lasts for two seconds, and so does the other.
 */
#define LOAD_TOTAL 800
#define LOAD_PAUSE_MS 4

static struct hammer *load_start(const struct scenes *s, const char *cap)
{
    cap_open_at(s, EAST, (struct cap){cap, .total = LOAD_TOTAL}, TODAY);
    return hammer_start_paced(dc_port(s->at[WEST]->dc, DC_SERVER, 0), cap, LOAD_PAUSE_MS);
}

/* More is spent than the own share ever was: units have crossed. */
static bool units_cross(const struct hammer *h)
{
    return hammer_granted(h) > LOAD_TOTAL / 2;
}

/* So many more, or all: what is started again may take longer than the rest lasts. */
static void await_more(const struct hammer *h, int64_t units)
{
    int64_t granted = min_i64(hammer_granted(h) + units, LOAD_TOTAL);

    eventually(hammer_granted(h) >= granted);
}

/* Whoever asked gets all of it in the end. */
static void load_end(const struct scenes *s, const char *cap, struct hammer *h)
{
    int64_t began_ms = clk_now_ms();

    eventually(hammer_granted(h) == LOAD_TOTAL);
    cr_log_info("%s: all spent after %" PRId64 " ms", cap, clk_now_ms() - began_ms);
    struct hammered told = hammer_stop(h);
    cr_assert_eq(told.granted, LOAD_TOTAL);
    cr_assert_eq(told.unanswered, 0);
    all_is_spent(s, WEST, cap, LOAD_TOTAL, LOAD_TOTAL);
}

static bool both_serve(const struct scenes *s, const char *cap)
{
    return take(s->at[EAST]->servers[0], cap, 1) == VERDICT_GRANTED &&
           take(s->at[WEST]->servers[0], cap, 1) == VERDICT_GRANTED;
}

static struct rabbit *broker(const struct scenes *s, int at)
{
    return dcs_broker(s->dcs, at);
}

/* ---- brokers */

/* The units are on their way when all that says so is thrown away. */
Test(scenario, s0480_a_queue_that_is_purged_is_filled_again)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0480", .total = 100}, TODAY);
    int64_t sent = share_arrived(s, WEST, "s0480", TODAY, 50);
    (void)dc_terminate(s->at[WEST]->dc, DC_REMOTE, 0);
    cap_put(s->at[EAST], (struct cap){"s0480", .total = 200});
    eventually(at_pool(s->at[EAST], "s0480", TODAY, "sent") >= sent + 50);
    eventually(rabbit_messages(broker(s, WEST), QUEUE_OF_WEST) > 0);
    rabbit_purge(broker(s, WEST), QUEUE_OF_WEST);
    dc_restart(s->at[WEST]->dc, DC_REMOTE, 0);
    eventually(at_pool(s->at[WEST], "s0480", TODAY, "requested") == 200);
    all_is_spent(s, WEST, "s0480", 200, 0);
}

Test(scenario, s0481_a_broker_that_is_killed_costs_time_and_no_unit)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0481-own", .total = 100}, TODAY);
    (void)share_arrived(s, WEST, "s0481-own", TODAY, 50);
    struct hammer *client = load_start(s, "s0481");
    eventually(units_cross(client));
    rabbit_kill(broker(s, WEST));
    cr_expect(both_serve(s, "s0481-own"));
    rabbit_restart(broker(s, WEST));
    load_end(s, "s0481", client);
}

Test(scenario, s0482_a_broker_that_forgets_everything_costs_time_and_no_unit)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0482-own", .total = 100}, TODAY);
    (void)share_arrived(s, WEST, "s0482-own", TODAY, 50);
    struct hammer *client = load_start(s, "s0482");
    eventually(units_cross(client));
    rabbit_stop(broker(s, EAST));
    rabbit_wipe(broker(s, EAST));
    cr_expect(both_serve(s, "s0482-own"));
    rabbit_restart(broker(s, EAST));
    load_end(s, "s0482", client);
}

/* What EAST sees of the broker of WEST. */
static bool broker_is(const struct scenes *s, const char *state)
{
    auto_client struct client *remote = dc_client(s->at[EAST]->dc, DC_REMOTE, 0);
    struct answer answer = {0};
    struct err e = {0};
    char expected[64];

    cr_assert(client_expect(remote, 200, "GET", "/peers", NULL, &answer, &e), "%s", e.msg);
    snprintf(expected, sizeof(expected), "\"broker\":\"%s\"", state);
    return strstr(buf_text(&answer.reply->body), expected) != NULL;
}

/* Who publishes to it is not read any more: its remote-svc answers all the same, and can end. */
Test(scenario, s0483_a_broker_out_of_memory_stops_the_trade_and_nobody_else)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0483", .total = 100}, TODAY);
    (void)share_arrived(s, WEST, "s0483", TODAY, 50);
    rabbit_alarm(broker(s, WEST), true);
    eventually(broker_is(s, "blocked"));
    int64_t received = at_pool(s->at[WEST], "s0483", TODAY, "received");
    cr_assert_eq(spend(s->at[WEST]->servers[0], "s0483", received), received);
    cr_assert_eq(spend(s->at[EAST]->servers[0], "s0483", 10), 10);
    cr_expect_eq(consume(s->at[WEST], 0, "s0483", 1).verdict, VERDICT_UNREACHABLE);
    eventually(dc_is_ready(s->at[EAST]->dc, DC_REMOTE, 0));
    int64_t began_ms = clk_now_ms();
    (void)dc_terminate(s->at[EAST]->dc, DC_REMOTE, 0);
    cr_log_info("s0483: remote-svc ended within %" PRId64 " ms", clk_now_ms() - began_ms);
    dc_restart(s->at[EAST]->dc, DC_REMOTE, 0);
    cr_expect_eq(at_pool(s->at[WEST], "s0483", TODAY, "received"), received);
    rabbit_alarm(broker(s, WEST), false);
    all_is_spent(s, WEST, "s0483", 100, received + 10);
}

Test(scenario, s0484_a_broker_that_is_away_when_services_start_is_found_later)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0484", .total = 100}, TODAY);
    (void)share_arrived(s, WEST, "s0484", TODAY, 50);
    for (int i = 0; i < 2; i++)
        (void)dc_terminate(s->at[i]->dc, DC_REMOTE, 0);
    rabbit_stop(broker(s, WEST));
    for (int i = 0; i < 2; i++)
        dc_launch(s->at[i]->dc, DC_REMOTE, 0);
    dc_wait_ready(s->at[EAST]->dc, DC_REMOTE, 0);
    eventually(broker_is(s, "down"));
    cr_expect_eq(spend(s->at[WEST]->servers[0], "s0484", 50), 50);
    cr_expect_not(dc_is_ready(s->at[WEST]->dc, DC_REMOTE, 0));
    rabbit_restart(broker(s, WEST));
    dc_wait_ready(s->at[WEST]->dc, DC_REMOTE, 0);
    all_is_spent(s, WEST, "s0484", 100, 50);
}

/* ---- services */

Test(scenario, s0485_a_remote_svc_that_is_killed_at_any_moment_loses_and_makes_nothing)
{
    auto_scenes struct scenes *s = scenes_join();
    struct hammer *client = load_start(s, "s0485");

    for (int i = 0; i < 8; i++) {
        await_more(client, 60);
        dc_kill(s->at[i % 2]->dc, DC_REMOTE, 0);
        dc_restart(s->at[i % 2]->dc, DC_REMOTE, 0);
    }
    load_end(s, "s0485", client);
}

Test(scenario, s0486_a_remote_svc_that_is_frozen_is_lost_and_goes_on_when_it_thaws)
{
    auto_scenes struct scenes *s = scenes_join();
    struct hammer *client = load_start(s, "s0486");

    eventually(units_cross(client));
    dc_freeze(s->at[WEST]->dc, DC_REMOTE, 0);
    eventually(dcs_peer_is(s->dcs, EAST, WEST, "lost"));
    dc_thaw(s->at[WEST]->dc, DC_REMOTE, 0);
    load_end(s, "s0486", client);
}

/* A message whose rows were booked, and not acknowledged when local-svc died, comes once more. */
Test(scenario, s0487_a_local_svc_that_is_killed_while_rows_arrive_books_none_twice)
{
    auto_scenes struct scenes *s = scenes_join();
    struct hammer *client = load_start(s, "s0487");

    for (int i = 0; i < 6; i++) {
        await_more(client, 100);
        dc_kill(s->at[i % 2]->dc, DC_LOCAL, 0);
        dc_restart(s->at[i % 2]->dc, DC_LOCAL, 0);
    }
    load_end(s, "s0487", client);
}

Test(scenario, s0488_a_database_that_crashes_while_units_cross_loses_and_makes_nothing)
{
    auto_scenes struct scenes *s = scenes_join();
    struct hammer *client = load_start(s, "s0488");

    for (int i = 0; i < 2; i++) {
        await_more(client, 300);
        dc_crash_database(s->at[i]->dc);
        dc_heal(s->at[i]->dc);
    }
    load_end(s, "s0488", client);
}

/* Units of other caps cross meanwhile: rows do not wait for definitions that nobody takes. */
Test(scenario, s0489_definitions_that_change_while_a_meta_svc_is_away_are_known_when_it_is_back)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0489", .total = 100}, TODAY);
    cap_open_at(s, EAST, (struct cap){"s0489-raised", .total = 100}, TODAY);
    dc_kill(s->at[WEST]->dc, DC_META, 0);
    cap_put(s->at[EAST], (struct cap){"s0489-new", .total = 100});
    cap_put(s->at[EAST], (struct cap){"s0489-raised", .total = 200});
    eventually(at_pool(s->at[EAST], "s0489-raised", TODAY, "minted") == 200);
    all_is_spent(s, WEST, "s0489", 100, 0);
    cr_expect_eq(at_pool(s->at[WEST], "s0489-new", TODAY, "free"), -1);

    dc_restart(s->at[WEST]->dc, DC_META, 0);
    eventually(pool_is(s->at[WEST], "s0489-new", TODAY, "open"));
    eventually(at_meta(s->at[WEST], "s0489-raised", TODAY, "requested") == 200);
    all_is_spent(s, WEST, "s0489-raised", 200, 0);
    all_is_spent(s, WEST, "s0489-new", 100, 0);
}

/*
 * The home has minted the raise and sends its share along with what is asked
 * for; who has not heard of the raise yet must not refuse the one for the other.
 */
Test(scenario, s0494_a_raise_that_is_not_known_yet_does_not_stop_the_trade)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0494", .total = 100}, TODAY);
    cr_assert_eq(spend(s->at[WEST]->servers[0], "s0494", 60), 60);
    dc_kill(s->at[WEST]->dc, DC_META, 0);
    cap_put(s->at[EAST], (struct cap){"s0494", .total = 200});
    eventually(at_pool(s->at[EAST], "s0494", TODAY, "minted") == 200);
    cr_expect_eq(spend(s->at[WEST]->servers[0], "s0494", 40), 40);
    /* It knows of a total of 100, and of others who have heard of more: that is no certain no. */
    eventually(pg_i64(dc_conninfo(s->at[WEST]->dc),
                      "SELECT heard_max FROM local.pool"
                      " WHERE cap = 's0494' AND starts_at = '" TODAY "'") == 200);
    cr_expect_eq(at_pool(s->at[WEST], "s0494", TODAY, "requested"), 100);
    eventually(consume(s->at[WEST], 0, "s0494", 1).verdict == VERDICT_UNREACHABLE);

    dc_restart(s->at[WEST]->dc, DC_META, 0);
    eventually(take(s->at[WEST]->servers[0], "s0494", 1) == VERDICT_GRANTED);
    all_is_spent(s, WEST, "s0494", 200, 101);
}

/* ---- versions and clocks */

/* Each message of the other version claims units that there could be. */
Test(scenario, s0490_messages_of_another_version_are_refused_beside_those_of_ours)
{
    auto_scenes struct scenes *s = scenes_join();
    auto_sign_keys struct sign_keys *keys = letter_keys(s);
    const struct sign_key *key = sign_key_of(keys, "dc1", NULL);
    const struct letter newer = {
        .v = "2",
        .from = "dc1",
        .to = "dc2",
        .kind = "rows",
        .key = key->id,
        .signer = key,
        .body =
            "{\"run\":2000000000000000,\"seq\":1,\"rows\":[{\"cap\":\"s0490\",\"starts_at\":"
            "\"" TODAY "\",\"sent\":700,\"received\":0,\"want\":0,\"lack\":0,\"burn\":0,\"free\":0,"
            "\"spent\":0,\"rate_milli\":0,\"version\":1}]}",
    };
    int64_t refused = letters_refused(s, WEST, "version");
    struct hammer *client = load_start(s, "s0490");

    for (int i = 0; i < 10; i++)
        letter_post(s, WEST, &newer);
    eventually(letters_refused(s, WEST, "version") >= refused + 10);
    cr_expect(letter_is_shown(s, WEST, "dc1", "version"));
    /* A busy machine may make it silent for a moment. */
    eventually(dcs_peer_is(s->dcs, WEST, EAST, "up"));
    load_end(s, "s0490", client);
}

/*
 * One data centre is in the next window already when the other still spends
 * this one, and then they are in the same: each window has its units once.
 */
static void clocks_apart(const struct scenes *s, const char *cap, int ahead, int behind)
{
    const struct cap definition = {cap, .total = 100, .interval = "hour"};

    dcs_calendar_set(s->dcs, "2026-05-20T10:20:00Z", 1);
    cap_open_at(s, EAST, definition, TEN);
    (void)share_arrived(s, WEST, cap, ELEVEN, 50);
    calendar_set(s->at[ahead], "2026-05-20T11:20:00Z", 1);
    eventually(pool_is(s->at[ahead], cap, ELEVEN, "open"));
    eventually(pool_is(s->at[ahead], cap, TEN, "closed"));
    eventually(serves(s, ahead, cap, ELEVEN));
    cr_expect(pool_is(s->at[behind], cap, TEN, "open"));
    cr_assert_eq(spend(s->at[ahead]->servers[0], cap, 20), 20);
    cr_assert_eq(spend(s->at[behind]->servers[0], cap, 20), 20);

    calendar_set(s->at[behind], "2026-05-20T11:20:00Z", 1);
    eventually(pool_is(s->at[behind], cap, TEN, "closed"));
    eventually(serves(s, behind, cap, ELEVEN));
    cr_assert_eq(spend(s->at[behind]->servers[0], cap, 1000), 80);
    cr_expect_eq(take(s->at[ahead]->servers[0], cap, 1), VERDICT_USED_UP);
    all_is_booked(s, cap, ELEVEN, 100);
    cr_expect_eq(at_all_pools(s, cap, TEN, "consumed"), 20);
}

Test(scenario, s0491_a_clock_that_is_an_hour_ahead_opens_no_window_twice)
{
    auto_scenes struct scenes *s = scenes_join();

    clocks_apart(s, "s0491", WEST, EAST);
}

Test(scenario, s0492_a_clock_that_is_an_hour_behind_opens_no_window_twice)
{
    auto_scenes struct scenes *s = scenes_join();

    clocks_apart(s, "s0492", EAST, WEST);
}

/* It was ahead and is set back: what has closed stays closed, and what is open stays open. */
Test(scenario, s0493_a_clock_that_is_set_back_opens_no_window_again)
{
    auto_scenes struct scenes *s = scenes_join();

    dcs_calendar_set(s->dcs, "2026-05-20T10:20:00Z", 1);
    cap_open_at(s, EAST, (struct cap){"s0493", .total = 100, .interval = "hour"}, TEN);
    (void)share_arrived(s, WEST, "s0493", ELEVEN, 50);
    calendar_set(s->at[WEST], "2026-05-20T11:20:00Z", 1);
    eventually(pool_is(s->at[WEST], "s0493", ELEVEN, "open"));
    eventually(pool_is(s->at[WEST], "s0493", TEN, "closed"));
    calendar_set(s->at[WEST], "2026-05-20T10:20:00Z", 1);
    int64_t early = spend(s->at[WEST]->servers[0], "s0493", 10);

    cr_expect_eq(spend(s->at[EAST]->servers[0], "s0493", 30), 30);
    cr_expect(pool_is(s->at[WEST], "s0493", TEN, "closed"));
    cr_expect(pool_is(s->at[WEST], "s0493", ELEVEN, "open"));
    dcs_calendar_set(s->dcs, "2026-05-20T11:30:00Z", 1);
    eventually(pool_is(s->at[EAST], "s0493", TEN, "closed"));
    eventually(serves(s, EAST, "s0493", ELEVEN));
    eventually(serves(s, WEST, "s0493", ELEVEN));
    cr_assert_eq(spend(s->at[EAST]->servers[0], "s0493", 1000), 100 - early);
    cr_expect_eq(take(s->at[WEST]->servers[0], "s0493", 1), VERDICT_USED_UP);
    all_is_booked(s, "s0493", ELEVEN, 100);
    cr_expect_eq(at_all_pools(s, "s0493", TEN, "consumed"), 30);
}
