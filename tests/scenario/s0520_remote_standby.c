/*
 * s052x: remote-svc and its standby, in two data centres.  Whatever happens to
 * the primary of one, what is defined there is spent in the other soon, and no
 * unit is made or lost between them.  Times are printed.
 *
 * One test, since two data centres take longer to start than all of this.
 */

#include <stdio.h>

#include "tests/harness/promise.h"
#include "tests/scenario/scene_standby.h"
#include "tests/scenario/scenes.h"

#define TOTAL 1000
#define BASE "s0521"

enum { EAST, WEST };

static const enum dc_kind pair[] = {DC_REMOTE, DC_COORDINATOR};

/* The primary of remote-svc, and the coordinator beside it. */
static int number_of(const struct scene *s, enum dc_kind kind)
{
    return kind == DC_COORDINATOR ? dc_coordinator_of(s->dc, DC_REMOTE, 0) : 0;
}

static void for_both(struct scene *s, void (*fault)(struct dc *dc, enum dc_kind kind, int i))
{
    for (int k = 0; k < 2; k++)
        fault(s->dc, pair[k], number_of(s, pair[k]));
}

static void kill_both(struct scene *s)
{
    for_both(s, dc_kill);
}

static void freeze_both(struct scene *s)
{
    for_both(s, dc_freeze);
}

static void thaw_both(struct scene *s)
{
    for_both(s, dc_thaw);
}

static void cut_off(struct scene *s)
{
    dc_db_cut(s->dc);
}

static void mend(struct scene *s)
{
    dc_db_mend(s->dc);
}

static void hand_over(struct scene *s)
{
    step_down(s, DC_REMOTE);
}

static void kill_coordinator(struct scene *s)
{
    dc_kill(s->dc, DC_COORDINATOR, number_of(s, DC_COORDINATOR));
}

static void kill_service(struct scene *s)
{
    dc_kill(s->dc, DC_REMOTE, 0);
}

static const struct {
    const char *cap, *what;
    int64_t promised_ms;
    void (*strike)(struct scene *s);
    void (*repair)(struct scene *s);
} faults[] = {
    {"s0521-kill", "kill -9", 1000, kill_both, NULL},
    {"s0521-freeze", "freeze", 5000, freeze_both, thaw_both},
    {"s0521-cut", "cut off", 5000, cut_off, mend},
    {"s0521-step", "step-down", 1000, hand_over, NULL},
    {"s0521-word", "coordinator killed", 1000, kill_coordinator, NULL},
    {"s0521-hand", "service killed", 4000, kill_service, NULL},
};

#define FAULTS (sizeof(faults) / sizeof(faults[0]))

struct times {
    int64_t acted_ms, there_ms;
};

static bool look(const struct scenes *s, const char *cap, struct times *t)
{
    if (t->acted_ms == 0 && is_acting(s->at[EAST], DC_REMOTE, 1))
        t->acted_ms = clk_now_ms();
    if (t->there_ms == 0 && at_server(s->at[WEST], 0, cap, TODAY, "granted") >= 0 &&
        consume(s->at[WEST], 0, cap, 1).verdict == VERDICT_GRANTED)
        t->there_ms = clk_now_ms();
    return t->acted_ms > 0 && t->there_ms > 0;
}

/* A definition, and the units that it makes, are on their way only after somebody acts. */
static void expect_remote_takeover(const struct scenes *s, size_t i)
{
    struct scene *east = s->at[EAST];
    struct times t = {0};
    char what[96];

    dc_make_primary(east->dc, DC_REMOTE, 0);
    eventually(is_acting(east, DC_REMOTE, 0) && dcs_hear_each_other(s->dcs));
    int64_t struck_ms = clk_now_ms();
    faults[i].strike(east);
    cap_put(east, (struct cap){faults[i].cap, .total = TOTAL});
    eventually(look(s, faults[i].cap, &t));
    (void)snprintf(what, sizeof(what), "remote: %s to the other one acting", faults[i].what);
    cr_expect(promise_kept(what, t.acted_ms - struck_ms, faults[i].promised_ms));
    (void)snprintf(what, sizeof(what), "remote: %s to a new cap spent elsewhere", faults[i].what);
    cr_expect(promise_kept(what, t.there_ms - struck_ms, faults[i].promised_ms + 1000));

    if (faults[i].repair)
        faults[i].repair(east);
    stand_by_again(east, DC_REMOTE);
}

static int64_t granted_tomorrow(const struct scenes *s, int at)
{
    return at_server(s->at[at], 0, BASE, TOMORROW, "granted");
}

/* The window is there with its share, in both; and midnight comes while nobody carries anything. */
static void expect_midnight(const struct scenes *s)
{
    struct scene *east = s->at[EAST];

    dc_make_primary(east->dc, DC_REMOTE, 0);
    dcs_calendar_set(s->dcs, "2026-05-20T23:59:59Z", 1);
    freeze_both(east);
    for (int i = 0; i < 2; i++) {
        eventually(pool_is(s->at[i], BASE, TOMORROW, "open"));
        eventually(granted_tomorrow(s, i) > 0);
        cr_expect_eq(take(s->at[i]->servers[0], BASE, 1), VERDICT_GRANTED);
    }
    eventually(is_acting(east, DC_REMOTE, 1));
    thaw_both(east);
    stand_by_again(east, DC_REMOTE);
}

/*
 * No coordinator would allow it: a second one that believes to be alone.  Both
 * say and hear everything, and what is spent is the total.
 */
static void expect_two_to_make_no_unit(const struct scenes *s)
{
    struct scene *east = s->at[EAST];

    dc_make_primary(east->dc, DC_REMOTE, 0);
    dc_kill(east->dc, DC_REMOTE, 1);
    dc_launch_alone(east->dc, DC_REMOTE, 1);
    eventually(is_acting(east, DC_REMOTE, 0) && is_acting(east, DC_REMOTE, 1));
    cap_open_at(s, EAST, (struct cap){"s0521-two", .total = TOTAL}, TOMORROW);
    cr_expect_eq(spend(s->at[WEST]->servers[0], "s0521-two", 2 * TOTAL), TOTAL);
    cr_expect_eq(take(east->servers[0], "s0521-two", 1), VERDICT_USED_UP);
    eventually(is_acting(east, DC_REMOTE, 0) && is_acting(east, DC_REMOTE, 1));
    dc_kill(east->dc, DC_REMOTE, 1);
    stand_by_again(east, DC_REMOTE);
}

Test(scenario, s0521_remote_svc_is_taken_over_and_no_unit_is_made)
{
    auto_dcs struct dcs *dcs = dcs_start(&(struct dcs_options){
        .count = 2, .each = {.servers = 1, .standby = true, .db_line = true, .calendar = NOW}});
    struct scenes s = {.dcs = dcs, .folder = dcs_folder(dcs), .count = 2};

    for (int i = 0; i < s.count; i++)
        s.at[i] = scene_of(dcs_dc(dcs, i));
    cap_open_at(&s, EAST, (struct cap){BASE, .total = TOTAL}, TODAY);
    eventually(at_pool(s.at[WEST], BASE, TOMORROW, "received") > 0);
    for (size_t i = 0; i < FAULTS; i++)
        expect_remote_takeover(&s, i);
    expect_midnight(&s);
    expect_two_to_make_no_unit(&s);

    eventually(all_is_well(&s));
    cr_expect(joint_audit_is_clean(&s));
    for (int i = 0; i < s.count; i++)
        (void)scene_leave(s.at[i]);
    cr_expect_eq(dcs_stop_services(dcs), 0);
}
