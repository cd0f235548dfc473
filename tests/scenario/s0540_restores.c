/*
 * s054x: a database that goes back to an earlier state, by a failover to a
 * standby that lags or by a restored backup.  Whatever it has forgotten, no unit
 * is given twice; and once all have spoken, everything that is left can be spent.
 */

#include <stdio.h>
#include <stdlib.h>

#include "tests/scenario/scene.h"

#define TOTAL 1000
#define QUICKLY "LOCAL_LEARN_MS=5000" /* longer than two heartbeats of a server take */

static bool is_learning(const struct scene *s)
{
    return metric_sum(s->local, "volumecap_learning", "") == 1;
}

static struct scene *start_with(const char *cap, bool standby)
{
    static const char *const env[] = {QUICKLY, NULL};
    struct scene *s =
        scene_start(&(struct dc_options){.servers = 2, .standby = standby, .env = env});

    cap_open(s, (struct cap){cap, .total = TOTAL}, TODAY);
    return s;
}

static struct scene *start(const char *cap)
{
    return start_with(cap, /* standby= */ false);
}

/* Of so many units, those of both servers; fewer if it says 503 meanwhile. */
static int64_t spend_both(const struct scene *s, const char *cap, int64_t each)
{
    return spend(s->servers[0], cap, each) + spend(s->servers[1], cap, each);
}

/* Asks for one unit after the other without waiting for anything, as long as doubt lasts. */
static int64_t snatch(const struct scene *s, int server, const char *cap, int64_t asks)
{
    int64_t granted = 0;

    for (int64_t i = 0; i < asks; i++)
        granted += consume(s, server, cap, 1).verdict == VERDICT_GRANTED;
    return granted;
}

/* All of it, and not one unit more. */
static void expect_exactly_all(const struct scene *s, const char *cap, int64_t spent)
{
    spent += spend_both(s, cap, TOTAL + 1);
    cr_expect_eq(spent, TOTAL, "%" PRId64, spent);
    cr_expect_eq(take(s->servers[0], cap, 1), VERDICT_USED_UP);
    eventually(at_pool(s, cap, TODAY, "spent") == TOTAL);
    eventually(audit_is_clean(s));
}

/* One of the two that may open its window acts again. */
static void expect_that_windows_open(const struct scene *s, const char *cap)
{
    cap_open(s, (struct cap){cap, .total = 1}, TODAY);
    cr_expect_eq(take(s->servers[0], cap, 1), VERDICT_GRANTED);
    cr_expect_eq(take(s->servers[0], cap, 1), VERDICT_USED_UP);
}

Test(scenario, s0541_a_failover_to_a_standby_that_lags_gives_no_unit_twice)
{
    auto_scene struct scene *s = start_with("s0541", /* standby= */ true);
    auto_pg_cluster struct pg *standby =
        pg_start_standby(dc_pg(s->dc), /* is_synchronous= */ false);

    int64_t spent = spend_both(s, "s0541", 50);
    pg_await_standby(dc_pg(s->dc), standby);
    pg_cut_standby(standby);
    spent += spend_both(s, "s0541", 350);
    cr_assert_eq(spent, 800);

    pg_fail_over(dc_pg(s->dc), standby);
    int64_t began_ms = clk_now_ms();
    eventually(learning(s, "is_lost") == 1);
    spent += snatch(s, 0, "s0541", 100) + snatch(s, 1, "s0541", 100);
    cr_expect_leq(spent, TOTAL);
    eventually(learning(s, "learning") == 0);
    printf("s0541: spent again %" PRId64 " ms after the failover\n", clk_now_ms() - began_ms);
    expect_exactly_all(s, "s0541", spent);
    expect_that_windows_open(s, "s0541-after");
    dc_stop_services(s->dc);
}

/* One that may hold units of it is silent: the window stays frozen, and shows why, until it speaks.
 */
Test(scenario, s0542_a_restored_backup_freezes_what_a_silent_server_may_hold)
{
    auto_scene struct scene *s = start("s0542");

    int64_t spent = spend_both(s, "s0542", 50);
    pg_back_up(dc_pg(s->dc));
    spent += spend_both(s, "s0542", 300);
    cr_assert_eq(spent, 700);
    dc_kill(s->dc, DC_SERVER, 1);

    pg_go_back(dc_pg(s->dc));
    eventually(is_learning(s) && learning(s, "silent_servers") == 1);
    eventually(learning(s, "for_ms") > 6000);
    cr_expect_eq(learning(s, "windows"), 2); /* today's and tomorrow's */
    cr_expect_gt(learning(s, "units"), 0);
    cr_expect_gt(learning(s, "ends_in_ms"), 0);
    cr_expect_gt(at_pool(s, "s0542", TODAY, "frozen"), 0);
    spent += snatch(s, 0, "s0542", 400);
    cr_expect_leq(spent, TOTAL);
    cr_expect_eq(consume(s, 0, "s0542", 1).verdict, VERDICT_UNREACHABLE);
    cr_expect_eq(learning(s, "learning"), 1);

    dc_restart(s->dc, DC_SERVER, 1);
    eventually(learning(s, "learning") == 0);
    cr_expect_eq(at_pool(s, "s0542", TODAY, "frozen"), 0);
    expect_exactly_all(s, "s0542", spent);
}

/* Nobody remembers what was committed: that the server process is another one is all there is. */
Test(scenario, s0543_a_backup_is_noticed_by_a_local_svc_that_remembers_nothing)
{
    auto_scene struct scene *s = start("s0543");

    int64_t spent = spend_both(s, "s0543", 50);
    pg_back_up(dc_pg(s->dc));
    spent += spend_both(s, "s0543", 300);
    dc_kill(s->dc, DC_LOCAL, 0);
    pg_go_back(dc_pg(s->dc));
    dc_restart(s->dc, DC_LOCAL, 0);

    spent += snatch(s, 0, "s0543", 300) + snatch(s, 1, "s0543", 300);
    cr_expect_leq(spent, TOTAL);
    eventually(learning(s, "incarnation") > 0);
    eventually(learning(s, "learning") == 0);
    expect_exactly_all(s, "s0543", spent);

    /* The same backup again: what was said in the first life after it does not count. */
    pg_go_back(dc_pg(s->dc));
    eventually(learning(s, "incarnation") > 0 && learning(s, "learning") == 0);
    eventually(at_pool(s, "s0543", TODAY, "spent") == TOTAL);
    cr_expect_eq(take(s->servers[0], "s0543", 1), VERDICT_USED_UP);
}

Test(scenario, s0544_a_failover_that_forgets_nothing_freezes_nothing)
{
    auto_scene struct scene *s = start("s0544");
    auto_pg_cluster struct pg *standby = pg_start_standby(dc_pg(s->dc), /* is_synchronous= */ true);

    int64_t spent = spend_both(s, "s0544", 300);
    cr_assert_eq(spent, 600);
    /* No topup is under way when it dies that would be granted only after this look. */
    eventually(at_slice(s, "s0544", TODAY, "server-2", "consumed") == 300 &&
               at_slice(s, "s0544", TODAY, "server-2", "wanted") == 0);
    dc_kill(s->dc, DC_SERVER, 1); /* it may be silent for as long as it likes */
    int64_t held = at_slice(s, "s0544", TODAY, "server-2", "held");

    pg_fail_over(dc_pg(s->dc), standby);
    int64_t began_ms = clk_now_ms();
    spent += spend(s->servers[0], "s0544", TOTAL - spent - held);
    printf("s0544: all spent %" PRId64 " ms after the failover\n", clk_now_ms() - began_ms);
    cr_expect_eq(spent + held, TOTAL);
    cr_expect_eq(learning(s, "incarnation"), 0, "it was never in doubt");
    dc_stop_services(s->dc);
}

/* He has made sure that the silent server is gone, and knows what it had spent. */
Test(scenario, s0545_an_operator_who_knows_better_ends_it)
{
    auto_scene struct scene *s = start("s0545");
    char order[200];

    int64_t spent = spend_both(s, "s0545", 50);
    eventually(at_slice(s, "s0545", TODAY, "server-2", "consumed") == 50);
    pg_back_up(dc_pg(s->dc));
    spent += spend(s->servers[0], "s0545", 300);
    dc_kill(s->dc, DC_SERVER, 1);
    pg_go_back(dc_pg(s->dc));
    eventually(is_learning(s) && learning(s, "silent_servers") == 1);

    cr_expect_eq(status_of(s->local, "POST", "/learning/end", "{\"reason\":\"it is gone\"}"), 400);
    cr_expect_eq(status_of(s->local, "POST", "/learning/end",
                           "{\"incarnation\":1,\"reason\":\"it is gone\"}"),
                 409);
    snprintf(order, sizeof(order), "{\"incarnation\":%" PRId64 ",\"reason\":\"it is gone\"}",
             learning(s, "incarnation"));
    cr_expect_eq(status_of(s->local, "POST", "/learning/end", order), 200);
    eventually(learning(s, "learning") == 0);

    int64_t held = at_slice(s, "s0545", TODAY, "server-2", "held");
    spent += spend(s->servers[0], "s0545", TOTAL - spent - held);
    cr_expect_eq(spent + held, TOTAL);
    cr_expect_eq(status_of(s->local, "POST", "/learning/end", order), 409);
}

/* What has ended for good in the server's eyes is open again in the backup. */
Test(scenario, s0546_a_window_that_was_closed_early_is_not_given_again_by_a_backup)
{
    auto_scene struct scene *s = start_with("s0546", /* standby= */ true);

    int64_t spent = spend_both(s, "s0546", 150);
    pg_back_up(dc_pg(s->dc));
    spent += spend_both(s, "s0546", TOTAL);
    cr_assert_eq(spent, TOTAL);
    cap_delete(s, "s0546");
    for (int i = 0; i < 2; i++)
        eventually(consume(s, i, "s0546", 1).verdict == VERDICT_UNKNOWN);

    pg_go_back(dc_pg(s->dc));
    for (int i = 0; i < 2; i++)
        eventually(at_server(s, i, "s0546", TODAY, "rest") >= 0);
    eventually(learning(s, "incarnation") > 0 && learning(s, "learning") == 0);
    spent += snatch(s, 0, "s0546", 100) + snatch(s, 1, "s0546", 100);
    cr_assert_eq(spent, TOTAL, "%" PRId64, spent);
    expect_exactly_all(s, "s0546", spent);
    expect_that_windows_open(s, "s0546-after");
}

/* Defined anew when the doubt is over: those who spent its units tell when they hear of it. */
Test(scenario, s0547_a_window_that_a_backup_does_not_know_is_not_given_again)
{
    auto_scene struct scene *s = start("s0547");

    pg_back_up(dc_pg(s->dc));
    cap_open(s, (struct cap){"s0547-later", .total = TOTAL}, TODAY);
    int64_t spent = spend_both(s, "s0547-later", TOTAL / 2);
    cr_assert_eq(spent, TOTAL);

    pg_go_back(dc_pg(s->dc));
    eventually(learning(s, "incarnation") > 0 && learning(s, "learning") == 0);
    for (int i = 0; i < 2; i++)
        eventually(at_server(s, i, "s0547-later", TODAY, "rest") == -1);
    cap_open(s, (struct cap){"s0547-later", .total = TOTAL}, TODAY);
    spent += snatch(s, 0, "s0547-later", 100) + snatch(s, 1, "s0547-later", 100);
    cr_assert_eq(spent, TOTAL, "%" PRId64, spent);
    expect_exactly_all(s, "s0547-later", spent);
}
