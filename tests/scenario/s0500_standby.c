/*
 * s050x: interval-svc and its standby.  Whatever happens to the primary, the
 * other acts soon, what is open stays so, midnight comes on time, and no window
 * is opened twice.  Times are printed.
 */

#include <stdio.h>

#include "tests/scenario/scene_standby.h"

/* Its own for each: what is killed is the child of whoever started it. */
static struct scene *start(void)
{
    return scene_start(&(struct dc_options){.servers = 1, .standby = true, .db_line = true});
}

static const enum dc_kind pair[] = {DC_INTERVAL, DC_COORDINATOR};

/* The primary and the coordinator beside it are the first of their kinds. */
static void for_both(struct scene *s, void (*fault)(struct dc *dc, enum dc_kind kind, int i))
{
    for (int k = 0; k < 2; k++)
        fault(s->dc, pair[k], 0);
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

static void kill_service(struct scene *s)
{
    dc_kill(s->dc, DC_INTERVAL, 0);
}

static void kill_coordinator(struct scene *s)
{
    dc_kill(s->dc, DC_COORDINATOR, 0);
}

static void cut_off(struct scene *s)
{
    dc_db_cut(s->dc);
}

static void mend(struct scene *s)
{
    dc_db_mend(s->dc);
}

/* On a busy machine there may be nobody for a moment. */
static void terminate_backend(struct scene *s)
{
    eventually(pg_i64(dc_conninfo(s->dc),
                      "SELECT count(pg_terminate_backend(pid)) FROM pg_locks"
                      " WHERE locktype = 'advisory' AND granted AND objsubid = 1"
                      "   AND ((classid::bigint << 32) | objid::bigint)"
                      "     = (SELECT lock_key FROM coordinator.leadership"
                      "         WHERE role = 'interval-svc')") == 1);
}

static void hand_over(struct scene *s)
{
    step_down(s, DC_INTERVAL);
}

static void restart_postgresql(struct scene *s)
{
    pg_stop(dc_pg(s->dc));
    pg_restart(dc_pg(s->dc));
}

/* As after a power cut: nobody is there, then all come at once. */
static void start_all_at_once(struct scene *s)
{
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 2; i++)
            dc_kill(s->dc, pair[k], i);
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 2; i++)
            dc_launch(s->dc, pair[k], i);
}

static void expect(const struct fault *f)
{
    auto_scene struct scene *s = start();

    expect_takeover(s, f);
}

Test(scenario, s0501_the_primary_is_killed)
{
    expect(&(struct fault){
        .cap = "s0501", .what = "kill -9", .promised_ms = 1000, .strike = kill_both});
}

Test(scenario, s0502_the_primary_is_frozen_and_changes_nothing_when_it_wakes)
{
    expect(&(struct fault){.cap = "s0502",
                           .what = "freeze",
                           .promised_ms = 5000,
                           .strike = freeze_both,
                           .repair = thaw_both});
}

Test(scenario, s0503_the_primary_is_cut_off_from_the_database_and_stops_by_itself)
{
    expect(&(struct fault){.cap = "s0503",
                           .what = "cut off",
                           .promised_ms = 5000,
                           .strike = cut_off,
                           .repair = mend,
                           .old_lives = true});
}

Test(scenario, s0504_an_administrator_ends_the_primarys_session)
{
    expect(&(struct fault){.cap = "s0504",
                           .either = true,
                           .what = "session ended",
                           .promised_ms = 1000,
                           .strike = terminate_backend});
}

Test(scenario, s0505_the_primary_steps_down)
{
    expect(&(struct fault){.cap = "s0505",
                           .what = "step-down",
                           .promised_ms = 1000,
                           .strike = hand_over,
                           .old_lives = true});
}

Test(scenario, s0506_both_replicas_die_and_are_started_at_once)
{
    expect(&(struct fault){.cap = "s0506",
                           .counts_from_end = true,
                           .either = true,
                           .what = "both started at once",
                           .promised_ms = 3000,
                           .strike = start_all_at_once});
}

/* The service hears no word of it, and rests. */
Test(scenario, s0507_the_primarys_coordinator_alone_is_killed)
{
    expect(&(struct fault){.cap = "s0507",
                           .what = "coordinator killed",
                           .promised_ms = 1000,
                           .strike = kill_coordinator,
                           .old_lives = true});
}

/* Its coordinator is not asked any more, and hands over. */
Test(scenario, s0508_the_primarys_service_alone_is_killed)
{
    expect(&(struct fault){
        .cap = "s0508", .what = "service killed", .promised_ms = 4000, .strike = kill_service});
}

Test(scenario, s0509_postgresql_is_restarted)
{
    expect(&(struct fault){.cap = "s0509",
                           .counts_from_end = true,
                           .either = true,
                           .what = "PostgreSQL restarted",
                           .promised_ms = 3000,
                           .strike = restart_postgresql});
}

/* ---- two at once */

#define CAPS 12

static void name_of(int i, char ret[NAME_SIZE])
{
    (void)snprintf(ret, NAME_SIZE, "s0510-%d", i);
}

static void put_all(const struct scene *s, int64_t total)
{
    for (int i = 0; i < CAPS; i++) {
        char id[NAME_SIZE];
        name_of(i, id);
        cap_put(s, (struct cap){id, .total = total});
    }
}

/* Of each cap three windows, each with the total minted once. */
static bool all_have(const struct scene *s, int windows, int64_t total)
{
    return pg_i64(dc_conninfo(s->dc),
                  "SELECT count(*) FROM local.pool WHERE cap LIKE 's0510-%%'"
                  " AND minted - burned = %" PRId64,
                  total) == windows * CAPS;
}

/*
 * No coordinator would allow it: a second one that believes to be alone, and
 * writes without a fence.  They do the work twice, and it is there once.
 */
Test(scenario, s0510_two_primaries_at_once_make_no_unit_and_open_nothing_twice)
{
    auto_scene struct scene *s = start();

    calendar_set(s, "2026-07-01T12:00:00Z", 1);
    dc_make_primary(s->dc, DC_INTERVAL, 0);
    dc_kill(s->dc, DC_INTERVAL, 1);
    dc_launch_alone(s->dc, DC_INTERVAL, 1);
    eventually(is_acting(s, DC_INTERVAL, 0) && is_acting(s, DC_INTERVAL, 1));

    put_all(s, 100);
    eventually(all_have(s, 2, 100));
    calendar_set(s, "2026-07-01T23:59:59Z", 1);
    eventually(all_have(s, 3, 100));
    put_all(s, 200);
    eventually(pg_i64(dc_conninfo(s->dc), "SELECT count(*) FROM local.pool WHERE cap LIKE"
                                          " 's0510-%%' AND minted = 200") == 2 * CAPS);
    for (int i = 0; i < 3; i++) {
        char id[NAME_SIZE];
        name_of(i, id);
        cr_expect_eq(spend(s->servers[0], id, 1000), 200);
    }
    eventually(is_acting(s, DC_INTERVAL, 0) && is_acting(s, DC_INTERVAL, 1));
    cr_expect_eq(
        pg_i64(dc_conninfo(s->dc), "SELECT count(*) FROM local.pool WHERE cap LIKE 's0510-%%'"),
        3 * CAPS);
    cr_expect(audit_is_clean(s));

    dc_kill(s->dc, DC_INTERVAL, 1);
    stand_by_again(s, DC_INTERVAL);
}
