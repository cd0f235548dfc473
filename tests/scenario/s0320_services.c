/*
 * s032x: services and PostgreSQL die and come back.  Nothing that was
 * acknowledged is lost, no window is missed, no unit is made, and everyone
 * recovers by itself.
 */

#include <stdio.h>

#include "tests/harness/promise.h"
#include "tests/scenario/scene.h"

/* Two servers, each with a local-svc of its own; both on one database. */
static struct scene *start(void)
{
    return scene_start(&(struct dc_options){.locals = 2, .servers = 2});
}

/* Both servers stop; then every unit is in the pool, or spent by those who were told so. */
static void expect_rest(struct scene *s, const char *cap, const struct hammered done[2])
{
    int64_t granted = done[0].granted + done[1].granted;
    int64_t unanswered = done[0].unanswered + done[1].unanswered;

    for (int i = 0; i < 2; i++)
        cr_expect_eq(dc_terminate(s->dc, DC_SERVER, i), 0);
    eventually(is_at_rest(s, cap, TODAY));
    int64_t spent = at_pool(s, cap, TODAY, "spent");
    cr_expect(spent >= granted && spent <= granted + unanswered,
              "%" PRId64 " granted, %" PRId64 " not answered, %" PRId64 " spent", granted,
              unanswered, spent);
    cr_expect(audit_is_clean(s));
}

Test(scenario, s0321_two_replicas_of_local_svc_share_one_pool)
{
    auto_scene struct scene *s = start();

    cap_open(s, (struct cap){"s0321", .total = 100}, TODAY);
    cr_expect_eq(spend(s->servers[0], "s0321", 60), 60);
    cr_expect_eq(spend(s->servers[1], "s0321", 60), 40);
    cr_expect_eq(take(s->servers[0], "s0321", 1), VERDICT_USED_UP);
}

Test(scenario, s0322_local_svc_is_killed_under_load_and_no_unit_is_made_or_lost)
{
    auto_scene struct scene *s = start();
    struct hammer *hammers[2];
    struct hammered done[2];

    cap_open(s, (struct cap){"s0322", .total = 100000}, TODAY);
    for (int i = 0; i < 2; i++)
        hammers[i] = hammer_start(dc_port(s->dc, DC_SERVER, i), "s0322");
    for (int round = 1; round <= 6; round++) {
        eventually(hammer_granted(hammers[round % 2]) >= 200 * round);
        dc_kill(s->dc, DC_LOCAL, round % 2);
        dc_restart(s->dc, DC_LOCAL, round % 2);
    }
    for (int i = 0; i < 2; i++)
        done[i] = hammer_stop(hammers[i]);
    expect_rest(s, "s0322", done);
}

/* Each round one of the two is killed just after an answer; what was acknowledged arrives. */
Test(scenario, s0323_killing_meta_svc_and_interval_svc_loses_no_definition)
{
    auto_scene struct scene *s = scene_start(&(struct dc_options){.servers = 1});
    char id[16];

    for (int i = 0; i < 8; i++) {
        enum dc_kind victim = i % 2 ? DC_META : DC_INTERVAL;
        snprintf(id, sizeof(id), "s0323-%d", i);
        cap_put(s, (struct cap){id, .total = 10});
        dc_kill(s->dc, victim, 0);
        dc_restart(s->dc, victim, 0);
    }
    for (int i = 0; i < 8; i++) {
        snprintf(id, sizeof(id), "s0323-%d", i);
        eventually(pool_is(s, id, TODAY, "open") && pool_is(s, id, TOMORROW, "planned"));
    }
}

Test(scenario, s0324_with_interval_svc_down_over_midnight_no_window_is_missed)
{
    auto_scene struct scene *s = scene_start(&(struct dc_options){.servers = 1});
    struct consumed first = {0}, c = {0};

    cap_open(s, (struct cap){"s0324", .total = 100}, TODAY);
    eventually(pool_is(s, "s0324", TOMORROW, "planned"));
    eventually((first = consume(s, 0, "s0324", 1)).verdict == VERDICT_GRANTED);
    dc_kill(s->dc, DC_INTERVAL, 0);
    dc_kill(s->dc, DC_META, 0);
    calendar_set(s, "2026-05-20T23:59:57Z", 1);
    eventually(pool_is(s, "s0324", TOMORROW, "open"));
    eventually((c = consume(s, 0, "s0324", 1)).verdict == VERDICT_GRANTED &&
               c.starts_at_ms > first.starts_at_ms);
    cr_expect_eq(spend(s->servers[0], "s0324", 100), 99);

    dc_restart(s->dc, DC_INTERVAL, 0);
    eventually(pool_is(s, "s0324", "2026-05-22T00:00:00Z", "planned"));
}

Test(scenario, s0325_without_postgresql_servers_spend_what_they_hold)
{
    auto_scene struct scene *s = scene_start(&(struct dc_options){.servers = 1});

    cap_open(s, (struct cap){"s0325", .total = 1000}, TODAY);
    eventually(at_server(s, 0, "s0325", TODAY, "rest") == 50);
    pg_kill(dc_pg(s->dc));
    for (int i = 0; i < 50; i++)
        cr_assert_eq(consume(s, 0, "s0325", 1).verdict, VERDICT_GRANTED);
    cr_expect_eq(consume(s, 0, "s0325", 1).verdict, VERDICT_UNREACHABLE);
    cr_expect_eq(status_of(s->local, "GET", "/pools", NULL), 503);

    pg_restart(dc_pg(s->dc));
    int64_t back_ms = clk_now_ms();
    cr_expect_eq(take(s->servers[0], "s0325", 1), VERDICT_GRANTED);
    cr_expect(
        promise_kept("s0325: PostgreSQL back to a unit granted", clk_now_ms() - back_ms, 1000));
    cr_expect_eq(spend(s->servers[0], "s0325", 1000), 949);
    cr_expect(audit_is_clean(s));
}

/* Somewhere between BEGIN and the answer to COMMIT: what is unknown is asked again. */
Test(scenario, s0326_connections_cut_around_commits_double_nothing)
{
    auto_scene struct scene *s = start();
    struct hammer *hammers[2];
    struct hammered done[2];

    cap_open(s, (struct cap){"s0326", .total = 100000}, TODAY);
    for (int i = 0; i < 2; i++)
        hammers[i] = hammer_start(dc_port(s->dc, DC_SERVER, i), "s0326");
    for (int round = 1; round <= 40; round++) {
        eventually(hammer_granted(hammers[0]) >= 40 * round);
        pg_exec(dc_conninfo(s->dc),
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()");
    }
    for (int i = 0; i < 2; i++)
        done[i] = hammer_stop(hammers[i]);
    expect_rest(s, "s0326", done);
}
