/*
 * s030x: a server whose way to local-svc is bad.  Whatever is lost, repeated
 * or late, each unit is granted once and none is stranded.
 */

#include <stdio.h>

#include "tests/harness/proxy.h"
#include "tests/scenario/guest.h"

SCENE_SUITE(.servers = 1);

/* 200 of 1000 units in slices of 10, over a network that does that to five topups on the way. */
static void expect_exact(const char *cap, enum proxy_fault fault)
{
    auto_scene struct scene *s = scene_join();
    auto_proxy struct proxy *proxy = proxy_start(dc_port(s->dc, DC_LOCAL, 0));
    auto_guest struct guest g = guest_new(s, cap);

    g.local_port = proxy_port(proxy);
    cap_open(s, (struct cap){cap, .total = 1000, .more = "\"slice_max_fraction\":0.01"}, TODAY);
    eventually(at_server(s, 0, cap, TODAY, "rest") == 10); /* and so it stays */
    guest_start(&g);
    eventually(at_client(g.client, cap, TODAY, "granted") >= 0);

    proxy_inject(proxy, "POST /topup", fault, 5);
    cr_expect_eq(spend(g.client, cap, 200), 200);
    cr_expect_eq(proxy_pending(proxy), 0);
    eventually(at_slice(s, cap, TODAY, cap, "consumed") == 200);
    eventually(at_client(g.client, cap, TODAY, "granted") ==
               at_slice(s, cap, TODAY, cap, "granted"));

    guest_stop(&g);
    eventually(at_slice(s, cap, TODAY, cap, "held") == 0);
    cr_expect_eq(at_slice(s, cap, TODAY, "server-1", "held"), 10);
    cr_expect_eq(at_pool(s, cap, TODAY, "free"), 790);
    cr_expect(audit_is_clean(s));
}

Test(scenario, s0301_a_lost_topup_is_sent_again)
{
    expect_exact("s0301", PROXY_LOSE_REQUEST);
}

Test(scenario, s0302_a_lost_answer_is_repeated_and_grants_nothing_twice)
{
    expect_exact("s0302", PROXY_LOSE_ANSWER);
}

Test(scenario, s0303_a_topup_sent_twice_at_once_is_one_grant)
{
    expect_exact("s0303", PROXY_TWICE);
}

Test(scenario, s0304_a_late_topup_is_as_good)
{
    expect_exact("s0304", PROXY_DELAY);
}

/* The units are back in the pool, whether the server hears of it or not. */
Test(scenario, s0305_a_return_whose_answer_is_lost_strands_nothing)
{
    auto_scene struct scene *s = scene_join();
    auto_proxy struct proxy *proxy = proxy_start(dc_port(s->dc, DC_LOCAL, 0));
    auto_guest struct guest g = guest_new(s, "s0305");

    g.local_port = proxy_port(proxy);
    cap_open(s, (struct cap){"s0305", .total = 1000}, TODAY);
    guest_start(&g);
    eventually(at_client(g.client, "s0305", TODAY, "rest") == 50);

    proxy_inject(proxy, "POST /return", PROXY_LOSE_ANSWER, 2);
    guest_stop(&g);
    cr_expect_eq(proxy_pending(proxy), 0);
    eventually(at_slice(s, "s0305", TODAY, "s0305", "returned") == 50);
    cr_expect_eq(at_slice(s, "s0305", TODAY, "s0305", "held"), 0);
}

/* Units may be left where it cannot reach: that is 503, never 429. */
Test(scenario, s0306_a_server_that_is_cut_off_spends_its_slice_and_then_says_not_now)
{
    auto_scene struct scene *s = scene_join();
    auto_proxy struct proxy *proxy = proxy_start(dc_port(s->dc, DC_LOCAL, 0));
    auto_guest struct guest g = guest_new(s, "s0306");

    g.local_port = proxy_port(proxy);
    cap_open(s, (struct cap){"s0306", .total = 1000}, TODAY);
    guest_start(&g);
    eventually(at_client(g.client, "s0306", TODAY, "rest") == 50);

    proxy_inject(proxy, "", PROXY_LOSE_REQUEST, INT64_MAX);
    for (int i = 0; i < 50; i++)
        cr_assert_eq(client_consume(g.client, "s0306", 1, NULL).verdict, VERDICT_GRANTED);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(client_consume(g.client, "s0306", 1, NULL).verdict, VERDICT_UNREACHABLE);

    proxy_inject(proxy, "", PROXY_PASS, 0);
    cr_expect_eq(spend(g.client, "s0306", 50), 50);
}

/* What it does not understand it refuses as a whole; what it can do without may be left out. */
Test(scenario, s0307_a_server_of_another_version_is_served_rightly_or_refused)
{
    auto_scene struct scene *s = scene_join();
    static const char body[] =
        "{\"server\":\"s0307\",\"incarnation\":\"6a1c2f0e-52a5-4a1c-9b0a-0d3b8a4f2c11\","
        "\"generation\":1,\"process\":\"0f9d7f0a-7a67-4b0e-8d8c-6b2f1d1a9e22\",\"items\":["
        "{\"cap\":\"s0307\",\"starts_at\":\"" TODAY "\",\"granted_known\":0,\"returned\":0,"
        "\"consumed\":0,\"refunded\":0,\"want\":1%s}]}";
    char newer[1024], older[1024];

    snprintf(newer, sizeof(newer), body, ",\"priority\":1");
    snprintf(older, sizeof(older), body, "");
    cap_open(s, (struct cap){"s0307", .total = 1000}, TODAY);
    cr_expect_eq(status_of(s->local, "POST", "/topup", newer), 400);
    cr_expect_eq(at_slice(s, "s0307", TODAY, "s0307", "granted"), -1);
    cr_expect_eq(status_of(s->local, "POST", "/topup", older), 200);
    cr_expect_eq(at_slice(s, "s0307", TODAY, "s0307", "granted"), 50);
}
