/*
 * s044x: three data centres are cut apart while one window ends and the next
 * begins.  The calendar moves forwards only, each scenario to days of its own.
 */

#include "tests/harness/promise.h"
#include "tests/scenario/scenes_cut.h"

SCENES_SUITE(.count = 3);

enum { ONE, TWO, THREE };

static struct client *server(const struct scenes *s, int at)
{
    return s->at[at]->servers[0];
}

static void await_open(const struct scenes *s, const char *cap, const char *starts_at)
{
    for (int i = 0; i < s->count; i++)
        eventually(pool_is(s->at[i], cap, starts_at, "open"));
}

static void await_served(const struct scenes *s, const char *cap, const char *starts_at)
{
    for (int i = 0; i < s->count; i++)
        eventually(serves(s, i, cap, starts_at));
}

/* What its calendar shows, after that instant. */
static int64_t late_ms(const struct scenes *s, int at, const char *instant)
{
    return pg_i64(dc_conninfo(s->at[at]->dc),
                  "SELECT calendar.to_ms(calendar.now()) - calendar.to_ms('%s')", instant);
}

/* A unit is granted there, and is one of the window that begins then. */
static bool spends_of(const struct scenes *s, int at, const char *cap, const char *starts_at)
{
    struct consumed c = consume(s->at[at], 0, cap, 1);
    int64_t starts_at_ms = 0;
    struct err e;

    cr_assert(time_parse(starts_at, &starts_at_ms, &e));
    return c.verdict == VERDICT_GRANTED && c.starts_at_ms == starts_at_ms;
}

/* What is spent of the window, as the servers themselves know. */
static int64_t spent_by_servers(const struct scenes *s, const char *cap, const char *starts_at)
{
    int64_t sum = 0;

    for (int i = 0; i < s->count; i++)
        sum += at_server(s->at[i], 0, cap, starts_at, "consumed");
    return sum;
}

Test(scenario, s0440_cut_off_across_a_boundary_the_next_window_opens_on_time_with_its_share)
{
    auto_scenes struct scenes *s = scenes_join();
    static const char before[] = "2026-05-20T00:00:00Z", after[] = "2026-05-21T00:00:00Z";

    cap_shared(s, ONE, (struct cap){"s0440", .total = 300}, before);
    eventually(is_shared(s, "s0440", 300, after));
    links_isolate(s->folder, THREE);
    int64_t own = share_at(s, THREE, "s0440", after);
    cr_expect_eq(spend(server(s, THREE), "s0440", 10), 10);

    dcs_calendar_set(s->dcs, "2026-05-20T23:59:55Z", 1);
    await_open(s, "s0440", after);
    cr_expect(promise_kept("s0440: midnight to the new day open", late_ms(s, THREE, after), 1000));
    for (int i = 0; i < 3; i++)
        eventually(spends_of(s, i, "s0440", after));
    cr_expect_eq(spend(server(s, THREE), "s0440", own - 1), own - 1);
    cr_expect(is_out_of_reach(s, THREE, "s0440"));
    cr_expect_eq(spend(server(s, TWO), "s0440", 298 - own), 298 - own);
    cr_expect(is_out_of_reach(s, ONE, "s0440"));

    heal(s, "s0440", after);
    all_used_up(s, "s0440");
    cr_expect_eq(spent_by_servers(s, "s0440", after), 300);
}

/* A counter of the account that a data centre keeps with another one. */
static int64_t account(const struct scenes *s, int at, const char *counter, int peer,
                       const char *cap, const char *starts_at)
{
    return pg_i64(dc_conninfo(s->at[at]->dc),
                  "SELECT coalesce(sum(%s), 0)::bigint FROM local.peer_row"
                  " WHERE cap = '%s' AND starts_at = '%s' AND peer = '%s'",
                  counter, cap, starts_at, dcs_name(peer));
}

/* One more unit is asked for at dc3: at last of dc1, too, whose units do not arrive. */
static bool asks_in_vain(const struct scenes *s, const char *cap, const char *starts_at)
{
    (void)consume(s->at[THREE], 0, cap, 1);
    return account(s, ONE, "sent", THREE, cap, starts_at) >
           account(s, THREE, "received", ONE, cap, starts_at);
}

/* What dc1 says does not arrive: neither do the units that it gave to dc3. */
Test(scenario, s0441_units_of_the_old_window_in_transit_are_booked_and_not_granted)
{
    auto_scenes struct scenes *s = scenes_join();
    static const char before[] = "2026-05-22T00:00:00Z", after[] = "2026-05-23T00:00:00Z";

    dcs_calendar_set(s->dcs, "2026-05-22T10:00:00Z", 1);
    cap_shared(s, ONE, (struct cap){"s0441", .total = 300}, before);
    eventually(is_shared(s, "s0441", 300, after));
    links_cut(s->folder, ONE, THREE);
    cr_expect_eq(spend(server(s, THREE), "s0441", 120), 120);
    eventually(asks_in_vain(s, "s0441", before));

    dcs_calendar_set(s->dcs, "2026-05-22T23:59:57Z", 1);
    await_open(s, "s0441", after);
    for (int i = 0; i < 3; i++)
        eventually(spends_of(s, i, "s0441", after));
    /* Of a window that is over nothing more is sent. */
    int64_t sent = account(s, ONE, "sent", THREE, "s0441", before);
    cr_expect_gt(sent, account(s, THREE, "received", ONE, "s0441", before));

    heal(s, "s0441", before);
    cr_expect_eq(account(s, THREE, "received", ONE, "s0441", before), sent);
    cr_expect(!pool_is(s->at[THREE], "s0441", before, "open"));
    eventually(at_all_pools(s, "s0441", before, "free") +
                   at_all_pools(s, "s0441", before, "spent") ==
               300);
    for (int i = 0; i < 3; i++)
        eventually(spends_of(s, i, "s0441", after));
}

/* What the home mints meanwhile is on its way until it can be reached again. */
Test(scenario, s0442_without_the_home_what_it_minted_ahead_opens_and_the_next_share_comes_later)
{
    auto_scenes struct scenes *s = scenes_join();
    static const char first[] = "2026-05-24T00:00:00Z", second[] = "2026-05-25T00:00:00Z",
                      third[] = "2026-05-26T00:00:00Z";

    dcs_calendar_set(s->dcs, "2026-05-24T10:00:00Z", 1);
    cap_shared(s, ONE, (struct cap){"s0442", .total = 300}, first);
    eventually(is_shared(s, "s0442", 300, second));
    links_isolate(s->folder, ONE);
    int64_t own = share_at(s, ONE, "s0442", second);

    dcs_calendar_set(s->dcs, "2026-05-25T10:00:00Z", 1);
    await_open(s, "s0442", second);
    for (int i = 0; i < 3; i++)
        eventually(spends_of(s, i, "s0442", second));
    cr_expect_eq(spend(server(s, THREE), "s0442", 298 - own), 298 - own);
    cr_expect(is_out_of_reach(s, TWO, "s0442"));
    for (int i = 0; i < 3; i++)
        eventually(pool_is(s->at[i], "s0442", third, "planned"));

    dcs_calendar_set(s->dcs, "2026-05-26T10:00:00Z", 1);
    await_open(s, "s0442", third);
    eventually(spends_of(s, ONE, "s0442", third));
    await_served(s, "s0442", third);
    eventually(consume(s->at[TWO], 0, "s0442", 1).verdict == VERDICT_UNREACHABLE);
    cr_expect(is_out_of_reach(s, TWO, "s0442"));
    cr_expect_eq(share_at(s, TWO, "s0442", third), 0);

    heal(s, "s0442", third);
    cr_expect_eq(spend(server(s, TWO), "s0442", 1000), 299);
    all_used_up(s, "s0442");
}

/* Lowered behind the back of dc3, whose share of the next window was there already. */
Test(scenario, s0443_a_total_lowered_during_a_cut_binds_the_next_window_as_far_as_it_is_heard_of)
{
    auto_scenes struct scenes *s = scenes_join();
    static const char before[] = "2026-05-27T00:00:00Z", after[] = "2026-05-28T00:00:00Z";

    dcs_calendar_set(s->dcs, "2026-05-27T10:00:00Z", 1);
    cap_shared(s, ONE, (struct cap){"s0443", .total = 300}, before);
    eventually(is_shared(s, "s0443", 300, after));
    links_isolate(s->folder, THREE);
    int64_t own = share_at(s, THREE, "s0443", after);
    cap_put(s->at[ONE], (struct cap){"s0443", .total = 60});
    eventually(at_meta(s->at[ONE], "s0443", after, "effective") == own);

    dcs_calendar_set(s->dcs, "2026-05-28T10:00:00Z", 1);
    await_open(s, "s0443", after);
    await_served(s, "s0443", after);
    eventually(spends_of(s, THREE, "s0443", after));
    cr_expect_eq(spend(server(s, THREE), "s0443", own - 1), own - 1);
    cr_expect(is_out_of_reach(s, TWO, "s0443"));

    heal(s, "s0443", after);
    all_used_up(s, "s0443");
    for (int i = 0; i < 3; i++)
        eventually(at_pool(s->at[i], "s0443", after, "overspent") == own - 60);
    cr_expect_eq(at_meta(s->at[ONE], "s0443", after, "effective"), own);
}

static const enum dc_kind services[] = {DC_REMOTE, DC_META, DC_INTERVAL, DC_LOCAL};

static void each_service(const struct scene *s, void (*apply)(struct dc *dc, enum dc_kind, int))
{
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
        apply(s->dc, services[i], 0);
}

/* Not cut off but down, so that it does not even mint. */
Test(scenario, s0444_with_the_homes_services_down_across_two_boundaries_it_mints_when_it_is_back)
{
    auto_scenes struct scenes *s = scenes_join();
    static const char first[] = "2026-05-29T00:00:00Z", second[] = "2026-05-30T00:00:00Z",
                      third[] = "2026-05-31T00:00:00Z";

    dcs_calendar_set(s->dcs, "2026-05-29T10:00:00Z", 1);
    cap_shared(s, ONE, (struct cap){"s0444", .total = 300}, first);
    eventually(is_shared(s, "s0444", 300, second));
    each_service(s->at[ONE], dc_freeze);

    dcs_calendar_set(s->dcs, "2026-05-30T10:00:00Z", 1);
    for (int i = TWO; i <= THREE; i++) {
        eventually(pool_is(s->at[i], "s0444", second, "open"));
        eventually(spends_of(s, i, "s0444", second));
    }
    dcs_calendar_set(s->dcs, "2026-05-31T10:00:00Z", 1);
    for (int i = TWO; i <= THREE; i++) {
        eventually(pool_is(s->at[i], "s0444", third, "open"));
        eventually(serves(s, i, "s0444", third));
        eventually(consume(s->at[i], 0, "s0444", 1).verdict == VERDICT_UNREACHABLE);
        cr_expect(is_out_of_reach(s, i, "s0444"));
    }

    each_service(s->at[ONE], dc_thaw);
    eventually(pool_is(s->at[ONE], "s0444", third, "open"));
    await_served(s, "s0444", third);
    eventually(spends_of(s, TWO, "s0444", third));
    cr_expect_eq(spend(server(s, THREE), "s0444", 1000), 299);
    all_used_up(s, "s0444");
}
