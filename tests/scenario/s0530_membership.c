/*
 * s053x: a data centre joins those that trade, and leaves them, while clients
 * spend.  Nobody is kept waiting, no unit is made, and what the one that left
 * still had is neither spent by others nor called used up.  What all have spent
 * is, also where a total was lowered before that data centre came.
 *
 * One test, since data centres take longer to start than all of this.
 */

#include <string.h>

#include "tests/scenario/scenes_cut.h"

#define CAP "s0531"
#define LOWERED "s0531-lowered" /* before the last one joins */
/*
 * An hour; clients take fifty a second at the most.  A slice is a twentieth: it lasts for longer
 * than any machine needs to start a local-svc again, and the hour for longer than one to join.
 */
#define TOTAL 90000
#define MORE "\"autonomy_ms\":60000"
#define PAUSE_MS 20

#define TEN "2026-05-20T10:00:00Z"
#define ELEVEN "2026-05-20T11:00:00Z"
#define TWELVE "2026-05-20T12:00:00Z"
#define LONG_AGO "2015-01-01T00:00:00Z"

enum { ONE, TWO, THREE };

static void await_open(const struct scenes *s, const char *starts_at)
{
    for (int i = 0; i < s->count; i++)
        eventually(pool_is(s->at[i], CAP, starts_at, "open"));
}

static struct hammer *hammer_at(const struct scenes *s, int at)
{
    return hammer_start_paced(dc_port(s->at[at]->dc, DC_SERVER, 0), CAP, PAUSE_MS);
}

static void await_more(const struct hammer *h)
{
    int64_t before = hammer_granted(h);

    eventually(hammer_granted(h) >= before + 50);
}

static int64_t stop(struct hammer *h)
{
    struct hammered told = hammer_stop(h);

    cr_expect_eq(told.refused, 0);
    cr_expect_eq(told.unanswered, 0);
    return told.granted;
}

/* What was spent there of all three hours; one that joined late does not have the first. */
static int64_t spent_at(const struct scenes *s, int at)
{
    static const char *const hours[] = {TEN, ELEVEN, TWELVE};
    int64_t sum = 0;

    for (size_t i = 0; i < sizeof(hours) / sizeof(hours[0]); i++) {
        int64_t spent = at_pool(s->at[at], CAP, hours[i], "consumed");
        sum += spent > 0 ? spent : 0;
    }
    return sum;
}

/* It is told of the cap, and has its share of a window that was made after it came. */
static void expect_to_join(struct scenes *s)
{
    dcs_join(s->dcs);
    s->at[THREE] = scene_of(dcs_dc(s->dcs, THREE));
    s->count = 3;
    dcs_calendar_set(s->dcs, "2026-05-20T11:20:00Z", 1);
    await_open(s, ELEVEN);
    eventually(share_at(s, THREE, CAP, TWELVE) == TOTAL / 3);
    dcs_calendar_set(s->dcs, "2026-05-20T12:20:00Z", 1);
    await_open(s, TWELVE);
    eventually(at_server(s->at[THREE], 0, CAP, TWELVE, "rest") > 0);
}

static void lower_a_total(const struct scenes *s)
{
    struct cap cap = {LOWERED, .total = 300, .interval = "single"};

    cap_open_at(s, ONE, cap, LONG_AGO);
    cap.total = 30;
    cap_put(s->at[ONE], cap);
    for (int i = 0; i < s->count; i++)
        eventually(at_pool(s->at[i], LOWERED, LONG_AGO, "requested") == 30);
    eventually(at_meta(s->at[ONE], LOWERED, LONG_AGO, "effective") == 30);
}

/* Also to who was not there when the total was more. */
static void expect_it_to_be_used_up(const struct scenes *s)
{
    eventually(pool_is(s->at[THREE], LOWERED, LONG_AGO, "open"));
    cr_expect_eq(spend(s->at[ONE]->servers[0], LOWERED, 1000), 30);
    for (int i = 0; i < s->count; i++)
        eventually(take(s->at[i]->servers[0], LOWERED, 1) == VERDICT_USED_UP);
}

/* What is left to the others of the last hour is all that it does not take with it. */
static void expect_to_leave(struct scenes *s)
{
    cr_expect_eq(dc_terminate(s->at[THREE]->dc, DC_SERVER, 0), 0);
    eventually(in_transit(s, CAP, TWELVE) == 0);
    cr_expect(joint_audit_is_clean(s));
    dcs_leave(s->dcs);
    s->count = 2;
}

/* The others' accounts name it, and break no rule. */
static void expect_audit_to_miss_it(const struct scenes *s)
{
    auto_free char *said = NULL;

    cr_expect_not(dcs_audit(s->dcs, &said));
    cr_expect(said && strstr(said, "trades with dc3, whose accounts are not read"), "%s", said);
    cr_expect(said && strstr(said, "violations 0"), "%s", said);
}

/* Units of the last hour that the one that left has got from there, by that one's own account. */
static int64_t gone_from(const struct scenes *s, int at)
{
    return pg_i64(dc_conninfo(s->at[at]->dc),
                  "SELECT coalesce(sum(sent - received), 0)::bigint FROM local.peer_row"
                  " WHERE cap = '" CAP "' AND starts_at = '" TWELVE "' AND peer = '%s'",
                  dcs_name(THREE));
}

static int64_t spend_the_rest(const struct scenes *s, int64_t left)
{
    int64_t granted = 0;

    while (left - granted > 1000 && take(s->at[ONE]->servers[0], CAP, 500) == VERDICT_GRANTED)
        granted += 500;
    return granted + spend(s->at[ONE]->servers[0], CAP, left - granted);
}

Test(scenario, s0531_a_data_centre_joins_and_leaves_under_load_and_no_unit_is_made_or_lost)
{
    /* The calendar jumps: of the next hour nobody has a slice yet, and its first topup may take
     * long. */
    static const char *const env[] = {"REMOTE_SYNC_MS=3000", "SERVER_REPORT_MS=1000",
                                      "SERVER_WAIT_MS=3000", NULL};
    auto_dcs struct dcs *dcs = dcs_start(
        &(struct dcs_options){.count = 2, .each = {.servers = 1, .calendar = NOW, .env = env}});
    struct scenes s = {.dcs = dcs, .folder = dcs_folder(dcs), .count = 2};
    struct hammer *hammers[3];

    for (int i = 0; i < s.count; i++)
        s.at[i] = scene_of(dcs_dc(dcs, i));
    cap_open_at(&s, ONE, (struct cap){CAP, .total = TOTAL, .interval = "hour", .more = MORE}, TEN);
    hammers[ONE] = hammer_at(&s, ONE);
    hammers[TWO] = hammer_at(&s, TWO);
    await_more(hammers[TWO]);
    lower_a_total(&s);
    expect_to_join(&s);
    expect_it_to_be_used_up(&s);
    hammers[THREE] = hammer_at(&s, THREE);
    await_more(hammers[THREE]);

    int64_t there = stop(hammers[THREE]);
    eventually(spent_at(&s, THREE) == there);
    expect_to_leave(&s);
    await_more(hammers[ONE]);
    await_more(hammers[TWO]);
    int64_t granted = stop(hammers[ONE]) + stop(hammers[TWO]);
    eventually(spent_at(&s, ONE) + spent_at(&s, TWO) == granted);
    int64_t had = TOTAL - gone_from(&s, ONE) - gone_from(&s, TWO);
    int64_t left = had - at_all_pools(&s, CAP, TWELVE, "consumed");
    cr_expect_eq(spend_the_rest(&s, left), left);
    cr_expect(is_out_of_reach(&s, ONE, CAP), "it may have left some");
    expect_audit_to_miss_it(&s);

    for (int i = 0; i < 3; i++)
        (void)scene_leave(s.at[i]);
    cr_expect_eq(dcs_stop_services(dcs), 0);
}
