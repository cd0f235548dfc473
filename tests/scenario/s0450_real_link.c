/*
 * s045x: two data centres with a real link between them, on which packets are
 * lost, next to the same with proxies, whose kernel acknowledges everything.
 */

#include <stdio.h>

#include "tests/scenario/scenes_cut.h"
#include "tests/scenario/scenes_net.h"

enum { ONE, TWO };

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    (void)tests;
    bool is_real = net_start();
    scenes_suite_start(
        &(struct dcs_options){.count = 2, .links = true, .route = is_real ? net_route : NULL});
}

static bool both_see(const struct scenes *s, const char *state)
{
    return dcs_peer_is(s->dcs, ONE, TWO, state) && dcs_peer_is(s->dcs, TWO, ONE, state);
}

/* Shared by both, and raised by 200 when they cannot hear each other. */
static void spend_apart(const struct scenes *s, const char *cap)
{
    int64_t own = share_at(s, TWO, cap, TODAY);

    cap_put(s->at[ONE], (struct cap){cap, .total = 400});
    cr_expect_eq(spend(s->at[TWO]->servers[0], cap, own), own);
    cr_expect(is_out_of_reach(s, TWO, cap));
    cr_expect_eq(spend(s->at[ONE]->servers[0], cap, 300 - own), 300 - own);
    cr_expect(is_out_of_reach(s, ONE, cap));
    eventually(both_see(s, "lost"));
}

static void spend_the_rest(const struct scenes *s, const char *cap)
{
    heal(s, cap, TODAY);
    eventually(both_see(s, "up"));
    cr_expect_eq(spend(s->at[ONE]->servers[0], cap, 1000), 100);
    all_used_up(s, cap);
}

Test(scenario, s0450_with_proxies_between_two_each_spends_its_own_and_the_rest_afterwards)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_shared(s, ONE, (struct cap){"s0450", .total = 200}, TODAY);
    links_isolate(s->folder, TWO);
    spend_apart(s, "s0450");
    spend_the_rest(s, "s0450");
}

static void cut_the_real_link(void)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_shared(s, ONE, (struct cap){"s0451", .total = 200}, TODAY);
    net_set(false);
    spend_apart(s, "s0451");
    net_set(true);
    spend_the_rest(s, "s0451");
}

Test(scenario, s0451_with_a_link_that_loses_packets_it_is_the_same)
{
    if (!net_is_there()) {
        /* Criterion would not say it; scripts/count-tests does. */
        (void)fprintf(stderr, "[SKIP] s0451: no network namespaces here (ip netns, as root)\n");
        cr_skip_test("no network namespaces here");
    }
    cut_the_real_link();
}
