/* interval-svc: the real store, worker and program on a real database. */

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/metric.h"
#include "common/base/prng.h"
#include "common/io/httpd.h"
#include "common/io/leader.h"
#include "services/interval-svc/store.h"
#include "services/interval-svc/worker.h"
#include "tests/harness/local.h"
#include "tests/harness/pg.h"
#include "tests/harness/stand_in.h"
#include "tests/harness/svc.h"

PG_SUITE();

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define WAIT_MS 60000
#define WEEK_MS (INT64_C(7) * 86400000)

/* A database whose calendar stands almost still, and a worker that ticks when it is told to. */
struct world {
    struct pg_db *pg;
    const char *conninfo;
    struct db *db;
    struct metrics *metrics;
    struct interval_worker *worker;
};

static void set_calendar(const struct world *w, const char *now)
{
    pg_exec(w->conninfo, "SELECT calendar.set('%s', 0.001)", now);
}

static struct world world_new(const char *now)
{
    struct world w = {.pg = pg_fresh_db(), .metrics = metrics_new()};
    struct err e;

    w.conninfo = pg_conninfo_of(w.pg);
    log_level_set(LOG_ERROR);
    cr_assert(db_open(&(struct db_pool_settings){w.conninfo, 4, 5000}, NULL, &w.db, &e), "%s",
              e.msg);
    const struct interval_worker_config config = {
        .db = w.db, .conninfo = w.conninfo, .metrics = w.metrics, .retention_ms = WEEK_MS};
    cr_assert(interval_worker_new(&config, &w.worker, &e), "%s", e.msg);
    set_calendar(&w, now);
    return w;
}

static void world_done(struct world *w)
{
    w->worker = interval_worker_free(w->worker);
    w->db = db_close(w->db);
    w->metrics = metrics_free(w->metrics);
    w->pg = pg_db_free(w->pg);
}
#define auto_world __attribute__((cleanup(world_done)))

static int64_t ms(const char *time)
{
    int64_t value = 0;
    struct err e;

    cr_assert(time_parse(time, &value, &e), "%s: %s", time, e.msg);
    return value;
}

static struct interval_definition definition(const char *id, int64_t version, int kind,
                                             const char *zone)
{
    struct interval_definition d = {
        .cap = cap_defaults(),
        .origin = {.changed_at_ms = INTERVAL_NOW, .grid_since_ms = CAP_GRID_ALWAYS},
        .version = version,
    };

    (void)snprintf(d.cap.id, sizeof(d.cap.id), "%s", id);
    (void)snprintf(d.cap.time_zone, sizeof(d.cap.time_zone), "%s", zone);
    d.cap.interval = kind;
    d.cap.total = 1000;
    d.cap.starts_at_ms = ms("2026-01-01T00:00:00Z");
    d.cap.ends_at_ms = ms("2028-01-01T00:00:00Z");
    return d;
}

static bool put(const struct world *w, const struct interval_definition *d)
{
    bool is_new = false;
    struct err e;

    cr_assert(interval_store_put(w->db, d, false, &is_new, &e), "%s", e.msg);
    return is_new;
}

/* Until there is nothing more to do. */
static void tick(const struct world *w)
{
    for (int i = 0; interval_worker_tick(w->worker) == 0; i++)
        cr_assert(i < 1000, "the worker does not come to rest");
}

static void put_and_tick(const struct world *w, const struct interval_definition *d)
{
    cr_assert(put(w, d));
    tick(w);
}

/* The windows of a cap by their starts: "11-20T00:00/11-21T00:00 open 1000, ...". */
static char *windows(const struct world *w, const char *cap)
{
    return pg_text(w->conninfo,
                   "SELECT coalesce(string_agg(to_char(starts_at, 'MM-DD\"T\"HH24:MI') || '/' ||"
                   "    to_char(ends_at, 'MM-DD\"T\"HH24:MI') || ' ' || state || ' ' || total ||"
                   "    CASE WHEN paused THEN ' paused' ELSE '' END, ', ' ORDER BY starts_at), '')"
                   "  FROM interval.interval WHERE cap = '%s'",
                   cap);
}

static void expect_windows(const struct world *w, const char *name, const char *cap,
                           const char *expected)
{
    auto_free char *found = windows(w, cap);

    cr_expect(strcmp(found, expected) == 0, "%s:\n  %s, not\n  %s", name, found, expected);
}

/* Messages for local-svc: how many wait, and those are forgotten. */
static int64_t take_messages(const struct world *w)
{
    int64_t count = pg_i64(w->conninfo, "SELECT count(*) FROM interval.outbox");

    pg_exec(w->conninfo, "DELETE FROM interval.outbox");
    return count;
}

static const struct cut_row {
    const char *name;
    int kind;
    const char *zone, *now, *expected;
} cut_rows[] = {
    {"a day in UTC", CAP_DAY, "UTC", "2026-11-20T10:00:00Z",
     "11-20T00:00/11-21T00:00 open 1000, 11-21T00:00/11-22T00:00 planned 1000"},
    {"a day in Berlin begins an hour earlier", CAP_DAY, "Europe/Berlin", "2026-11-20T23:30:00Z",
     "11-20T23:00/11-21T23:00 open 1000, 11-21T23:00/11-22T23:00 planned 1000"},
    {"a day in Kolkata begins at half past", CAP_DAY, "Asia/Kolkata", "2026-11-20T10:00:00Z",
     "11-19T18:30/11-20T18:30 open 1000, 11-20T18:30/11-21T18:30 planned 1000"},
    {"a day of 23 hours", CAP_DAY, "Europe/Berlin", "2026-03-29T10:00:00Z",
     "03-28T23:00/03-29T22:00 open 1000, 03-29T22:00/03-30T22:00 planned 1000"},
    {"a day of 25 hours comes next", CAP_DAY, "Europe/Berlin", "2026-10-24T10:00:00Z",
     "10-23T22:00/10-24T22:00 open 1000, 10-24T22:00/10-25T23:00 planned 1000"},
    {"midnight comes twice in Havana: before the second", CAP_DAY, "America/Havana",
     "2026-11-01T04:30:00Z",
     "10-31T04:00/11-01T05:00 open 1000, 11-01T05:00/11-02T05:00 planned 1000"},
    {"midnight comes twice in Havana: after the second", CAP_DAY, "America/Havana",
     "2026-11-01T05:30:00Z",
     "11-01T05:00/11-02T05:00 open 1000, 11-02T05:00/11-03T05:00 planned 1000"},
    {"no midnight in Cairo", CAP_DAY, "Africa/Cairo", "2026-04-23T22:30:00Z",
     "04-23T22:00/04-24T21:00 open 1000, 04-24T21:00/04-25T21:00 planned 1000"},
    {"weeks begin on Monday", CAP_WEEK, "UTC", "2026-11-22T23:59:59Z",
     "11-16T00:00/11-23T00:00 open 1000, 11-23T00:00/11-30T00:00 planned 1000"},
    {"a week with a change of clocks", CAP_WEEK, "Europe/Berlin", "2026-10-25T10:00:00Z",
     "10-18T22:00/10-25T23:00 open 1000, 10-25T23:00/11-01T23:00 planned 1000"},
    {"months have their own lengths", CAP_MONTH, "UTC", "2026-01-31T10:00:00Z",
     "01-01T00:00/02-01T00:00 open 1000, 02-01T00:00/03-01T00:00 planned 1000"},
    {"a leap year's February", CAP_MONTH, "UTC", "2028-01-31T10:00:00Z", ""},
    {"months in a zone with a change of clocks", CAP_MONTH, "Europe/Berlin", "2026-02-28T23:30:00Z",
     "02-28T23:00/03-31T22:00 open 1000, 03-31T22:00/04-30T22:00 planned 1000"},
    {"hours in a zone at half past", CAP_HOUR, "Asia/Kolkata", "2026-11-20T10:10:00Z",
     "11-20T09:30/11-20T10:30 open 1000, 11-20T10:30/11-20T11:30 planned 1000"},
    {"the hour that comes twice is two windows", CAP_HOUR, "Europe/Berlin", "2026-10-25T00:10:00Z",
     "10-25T00:00/10-25T01:00 open 1000, 10-25T01:00/10-25T02:00 planned 1000"},
    {"Lord Howe's clock goes back half an hour: a half hour follows", CAP_HOUR,
     "Australia/Lord_Howe", "2026-04-04T14:10:00Z",
     "04-04T14:00/04-04T15:00 open 1000, 04-04T15:00/04-04T15:30 planned 1000"},
    {"Lord Howe: and that half hour is the same one when it runs", CAP_HOUR, "Australia/Lord_Howe",
     "2026-04-04T15:10:00Z",
     "04-04T15:00/04-04T15:30 open 1000, 04-04T15:30/04-04T16:30 planned 1000"},
    {"Lord Howe's clock goes forward", CAP_HOUR, "Australia/Lord_Howe", "2026-10-03T15:40:00Z",
     "10-03T15:30/10-03T16:00 open 1000, 10-03T16:00/10-03T17:00 planned 1000"},
    {"a single cap has one window", CAP_SINGLE, "UTC", "2026-11-20T10:00:00Z",
     "01-01T00:00/01-01T00:00 open 1000"},
};

Test(interval_svc, windows_are_cut_in_the_zone_of_the_cap)
{
    auto_world struct world w = world_new("2026-01-01T00:00:00Z");

    for (size_t i = 0; i < COUNT(cut_rows); i++) {
        const struct cut_row *r = &cut_rows[i];
        char id[16];
        (void)snprintf(id, sizeof(id), "cap-%zu", i);
        const struct interval_definition d = definition(id, 1, r->kind, r->zone);

        set_calendar(&w, r->now);
        put_and_tick(&w, &d);
        expect_windows(&w, r->name, id, r->expected);
    }
}

/* Each window must start where the one before ends, whatever the zone's clock does. */
Test(interval_svc, a_year_of_windows_has_neither_gaps_nor_overlaps)
{
    auto_world struct world w = world_new("2026-01-01T00:00:00Z");

    int64_t wrong = pg_i64(
        w.conninfo,
        "SELECT count(*)"
        "  FROM unnest(ARRAY['Europe/Berlin', 'America/Havana', 'Africa/Cairo',"
        "                    'Australia/Lord_Howe', 'America/Sao_Paulo', 'Asia/Beirut',"
        "                    'Asia/Kathmandu', 'Pacific/Apia', 'Africa/Casablanca']) AS zone"
        " CROSS JOIN unnest(ARRAY['hour', 'day', 'week', 'month']) AS kind"
        " CROSS JOIN generate_series(timestamptz '2018-01-01T00:10:00Z', '2019-01-01T00:00:00Z',"
        "                            interval '95 minutes') AS instant"
        " CROSS JOIN interval.grid(kind, zone, instant) AS g"
        " CROSS JOIN interval.grid(kind, zone, g.ends_at) AS n"
        " WHERE NOT (g.starts_at <= instant AND instant < g.ends_at"
        "            AND n.starts_at = g.ends_at AND n.ends_at = g.next_ends_at)");
    cr_expect(wrong == 0, "%lld", (long long)wrong);
}

Test(interval_svc, an_initial_total_is_for_the_current_window_only)
{
    auto_world struct world w = world_new("2026-11-20T10:00:00Z");
    struct interval_definition d = definition("a", 1, CAP_DAY, "UTC");

    d.cap.initial_total = 500;
    put_and_tick(&w, &d);
    expect_windows(&w, "today", "a",
                   "11-20T00:00/11-21T00:00 open 500, 11-21T00:00/11-22T00:00 planned 1000");
    set_calendar(&w, "2026-11-21T00:00:00Z");
    tick(&w);
    expect_windows(&w, "tomorrow", "a",
                   "11-20T00:00/11-21T00:00 closed 500, 11-21T00:00/11-22T00:00 open 1000, "
                   "11-22T00:00/11-23T00:00 planned 1000");
}

Test(interval_svc, a_cap_that_starts_later_opens_on_time_by_itself)
{
    auto_world struct world w = world_new("2026-11-20T10:00:00Z");
    struct interval_definition d = definition("a", 1, CAP_DAY, "UTC");

    d.cap.starts_at_ms = ms("2026-11-21T12:00:00Z");
    d.cap.ends_at_ms = ms("2026-11-22T06:00:00Z");
    d.cap.initial_total = 5;
    put_and_tick(&w, &d);
    expect_windows(&w, "before", "a",
                   "11-21T12:00/11-22T00:00 planned 5, 11-22T00:00/11-22T06:00 planned 1000");
    set_calendar(&w, "2026-11-21T12:00:00Z");
    tick(&w);
    expect_windows(&w, "begun", "a",
                   "11-21T12:00/11-22T00:00 open 5, 11-22T00:00/11-22T06:00 planned 1000");
    set_calendar(&w, "2026-11-22T00:00:00Z");
    tick(&w);
    expect_windows(&w, "last", "a",
                   "11-21T12:00/11-22T00:00 closed 5, 11-22T00:00/11-22T06:00 open 1000");
    set_calendar(&w, "2026-11-22T06:00:00Z");
    tick(&w);
    expect_windows(&w, "over", "a",
                   "11-21T12:00/11-22T00:00 closed 5, 11-22T00:00/11-22T06:00 closed 1000");
    cr_expect(pg_i64(w.conninfo, "SELECT count(*) FROM interval.definition"
                                 " WHERE next_look_at IS NULL") == 1);
}

Test(interval_svc, an_old_or_repeated_version_changes_nothing)
{
    auto_world struct world w = world_new("2026-11-20T10:00:00Z");
    struct interval_definition d = definition("a", 2, CAP_DAY, "UTC");

    put_and_tick(&w, &d);
    cr_expect(take_messages(&w) == 2);
    d.cap.total = 5;
    cr_expect(!put(&w, &d));
    d.version = 1;
    cr_expect(!put(&w, &d));
    tick(&w);
    expect_windows(&w, "unchanged", "a",
                   "11-20T00:00/11-21T00:00 open 1000, 11-21T00:00/11-22T00:00 planned 1000");
    cr_expect(take_messages(&w) == 0);
}

Test(interval_svc, a_new_total_or_a_pause_goes_to_both_windows)
{
    auto_world struct world w = world_new("2026-11-20T10:00:00Z");
    struct interval_definition d = definition("a", 1, CAP_DAY, "UTC");

    put_and_tick(&w, &d);
    (void)take_messages(&w);
    d.version = 2;
    d.cap.total = 2000;
    put_and_tick(&w, &d);
    expect_windows(&w, "raised", "a",
                   "11-20T00:00/11-21T00:00 open 2000, 11-21T00:00/11-22T00:00 planned 2000");
    auto_free char *message = pg_text(
        w.conninfo,
        "SELECT body FROM interval.outbox WHERE path = '/intervals/a/2026-11-20T00:00:00Z'");
    cr_expect_str_eq(message, "{\"version\":2,\"ends_at\":\"2026-11-21T00:00:00Z\",\"state\":"
                              "\"open\",\"total\":2000,\"paused\":false,\"topup_fraction\":0.1,"
                              "\"slice_max_fraction\":0.05,\"autonomy_ms\":10000,"
                              "\"total_max\":2000}");
    d.version = 3;
    d.cap.paused = true;
    put_and_tick(&w, &d);
    expect_windows(&w, "paused", "a",
                   "11-20T00:00/11-21T00:00 open 2000 paused, "
                   "11-21T00:00/11-22T00:00 planned 2000 paused");
    cr_expect(take_messages(&w) == 2);
}

Test(interval_svc, a_new_grid_closes_the_current_window_and_opens_one_now)
{
    auto_world struct world w = world_new("2026-11-20T10:00:00Z");
    struct interval_definition d = definition("a", 1, CAP_DAY, "UTC");

    put_and_tick(&w, &d);
    (void)take_messages(&w);
    d.version = 2;
    d.cap.interval = CAP_WEEK;
    put_and_tick(&w, &d);
    expect_windows(&w, "weekly", "a",
                   "11-20T00:00/11-21T00:00 closing 1000, 11-20T10:00/11-23T00:00 open 1000, "
                   "11-21T00:00/11-22T00:00 closing 1000, 11-23T00:00/11-30T00:00 planned 1000");
    cr_expect(take_messages(&w) == 4);

    /* Looked at again, the week's window is what the plan wants, though it started late. */
    set_calendar(&w, "2026-11-23T00:00:00Z");
    tick(&w);
    expect_windows(&w, "a week later", "a",
                   "11-20T00:00/11-21T00:00 closing 1000, 11-20T10:00/11-23T00:00 closed 1000, "
                   "11-21T00:00/11-22T00:00 closing 1000, 11-23T00:00/11-30T00:00 open 1000, "
                   "11-30T00:00/12-07T00:00 planned 1000");
}

Test(interval_svc, a_grid_that_goes_there_and_back_reuses_no_start)
{
    auto_world struct world w = world_new("2026-11-20T10:00:00Z");
    struct interval_definition d = definition("a", 1, CAP_DAY, "UTC");

    for (int i = 1; i <= 9; i++) {
        char now[TIME_TEXT_SIZE];
        (void)snprintf(now, sizeof(now), "2026-11-20T1%d:00:00Z", i);
        set_calendar(&w, now);
        d.version = i;
        d.cap.interval = i % 2 ? CAP_DAY : CAP_WEEK;
        put_and_tick(&w, &d);
    }
    cr_expect(pg_i64(w.conninfo, "SELECT count(*) FROM interval.interval"
                                 " WHERE state IN ('planned', 'open')") == 2);
    cr_expect(pg_i64(w.conninfo, "SELECT count(*) FROM interval.interval") == 18);
}

Test(interval_svc, deleting_closes_both_windows)
{
    auto_world struct world w = world_new("2026-11-20T10:00:00Z");
    struct interval_definition d = definition("a", 1, CAP_DAY, "UTC");

    put_and_tick(&w, &d);
    (void)take_messages(&w);
    d.version = 2;
    d.deleted = true;
    put_and_tick(&w, &d);
    expect_windows(&w, "deleted", "a",
                   "11-20T00:00/11-21T00:00 closing 1000, 11-21T00:00/11-22T00:00 closing 1000");
    cr_expect(take_messages(&w) == 2);

    d.version = 3;
    d.deleted = false;
    put_and_tick(&w, &d);
    cr_expect(pg_i64(w.conninfo, "SELECT count(*) FROM interval.interval WHERE state = 'open'"
                                 " AND starts_at >= '2026-11-20T10:00:00Z'") == 1);
}

Test(interval_svc, after_a_long_stop_the_current_and_the_next_window_are_there)
{
    auto_world struct world w = world_new("2026-11-20T10:00:00Z");
    struct interval_definition d = definition("a", 1, CAP_DAY, "UTC");

    put_and_tick(&w, &d);
    set_calendar(&w, "2026-11-24T10:00:00Z");
    tick(&w);
    expect_windows(&w, "four days later", "a",
                   "11-20T00:00/11-21T00:00 closed 1000, 11-21T00:00/11-22T00:00 closed 1000, "
                   "11-24T00:00/11-25T00:00 open 1000, 11-25T00:00/11-26T00:00 planned 1000");
}

Test(interval_svc, more_caps_than_a_batch_are_all_planned)
{
    auto_world struct world w = world_new("2026-11-20T10:00:00Z");

    for (int i = 0; i < 2 * INTERVAL_BATCH_MAX + 50; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "cap-%d", i);
        const struct interval_definition d = definition(id, 1, CAP_DAY, "UTC");
        cr_assert(put(&w, &d));
    }
    tick(&w);
    cr_expect(pg_i64(w.conninfo, "SELECT count(*) FROM interval.interval") ==
              2 * (2 * INTERVAL_BATCH_MAX + 50));
}

/* The zone has gone with an update of the database's host, say. */
Test(interval_svc, a_definition_that_cannot_be_planned_holds_up_no_other)
{
    auto_world struct world w = world_new("2026-11-20T10:00:00Z");
    static const char *const ids[] = {"a", "b", "c", "d"};

    log_level_set(LOG_ERROR);
    for (size_t i = 0; i < COUNT(ids); i++) {
        const struct interval_definition d = definition(ids[i], 1, CAP_DAY, "UTC");
        cr_assert(put(&w, &d));
    }
    pg_exec(w.conninfo,
            "UPDATE interval.definition SET time_zone = 'Atlantis/City' WHERE id = 'b'");
    tick(&w);
    cr_expect(pg_i64(w.conninfo, "SELECT count(DISTINCT cap) FROM interval.interval") == 3);
    cr_expect(pg_i64(w.conninfo,
                     "SELECT count(*) FROM interval.definition WHERE id = 'b'"
                     " AND applied_version = 0 AND next_look_at > calendar.now()") == 1);

    /* And it is planned as soon as it can be. */
    pg_exec(w.conninfo, "UPDATE interval.definition SET time_zone = 'UTC' WHERE id = 'b'");
    set_calendar(&w, "2026-11-20T12:00:00Z");
    tick(&w);
    cr_expect(pg_i64(w.conninfo, "SELECT count(DISTINCT cap) FROM interval.interval") == 4);
}

static void *run_ticks(void *arg)
{
    const struct world *w = arg;

    for (int i = 0; i < 50; i++)
        (void)interval_worker_tick(w->worker);
    return NULL;
}

/* Primary and standby at once, by mistake: work is done once all the same. */
Test(interval_svc, two_planners_at_once_make_each_window_once)
{
    auto_world struct world w = world_new("2026-11-20T10:00:00Z");
    struct world other = w;
    struct metrics *metrics = metrics_new();
    pthread_t thread;
    struct err e;

    const struct interval_worker_config config = {
        .db = w.db, .conninfo = w.conninfo, .metrics = metrics, .retention_ms = WEEK_MS};
    cr_assert(interval_worker_new(&config, &other.worker, &e), "%s", e.msg);
    cr_assert(pthread_create(&thread, NULL, run_ticks, &other) == 0);
    for (int i = 0; i < 200; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "cap-%d", i);
        const struct interval_definition d = definition(id, 1, CAP_DAY, "UTC");
        cr_assert(put(&w, &d));
        (void)interval_worker_tick(w.worker);
    }
    cr_assert(pthread_join(thread, NULL) == 0);
    tick(&w);
    cr_expect(pg_i64(w.conninfo, "SELECT count(*) FROM interval.interval") == 400);
    cr_expect(pg_i64(w.conninfo, "SELECT count(*) FROM interval.interval WHERE version = 1") ==
              400);
    other.worker = interval_worker_free(other.worker);
    metrics = metrics_free(metrics);
}

Test(interval_svc, old_windows_are_forgotten_and_early_ended_ones_close)
{
    auto_world struct world w = world_new("2026-11-20T10:00:00Z");
    struct interval_definition d = definition("a", 1, CAP_DAY, "UTC");
    bool more = false;
    struct err e;

    put_and_tick(&w, &d);
    d.version = 2;
    d.deleted = true;
    put_and_tick(&w, &d);
    set_calendar(&w, "2026-11-21T10:00:00Z");
    cr_assert(interval_store_sweep(w.db, LEADER_ALONE, WEEK_MS, &more, &e), "%s", e.msg);
    expect_windows(&w, "a day later", "a",
                   "11-20T00:00/11-21T00:00 closed 1000, 11-21T00:00/11-22T00:00 closing 1000");
    set_calendar(&w, "2026-11-28T10:00:00Z");
    cr_assert(interval_store_sweep(w.db, LEADER_ALONE, WEEK_MS, &more, &e), "%s", e.msg);
    expect_windows(&w, "a week later", "a", "11-21T00:00/11-22T00:00 closed 1000");
    cr_expect(!more);
}

Test(interval_svc, caps_are_counted_by_what_they_are_at)
{
    auto_world struct world w = world_new("2026-11-20T10:00:00Z");
    int64_t counts[INTERVAL_CAP_STATES_COUNT];
    struct interval_definition d[] = {
        definition("waiting", 1, CAP_DAY, "UTC"), definition("running", 1, CAP_DAY, "UTC"),
        definition("paused", 1, CAP_DAY, "UTC"), definition("over", 1, CAP_DAY, "UTC"),
        definition("deleted", 1, CAP_DAY, "UTC")};
    struct err e;

    d[0].cap.starts_at_ms = ms("2027-01-01T00:00:00Z");
    d[2].cap.paused = true;
    d[3].cap.ends_at_ms = ms("2026-02-01T00:00:00Z");
    d[4].deleted = true;
    for (size_t i = 0; i < COUNT(d); i++)
        put_and_tick(&w, &d[i]);
    cr_assert(interval_store_count(w.db, counts, &e), "%s", e.msg);
    for (size_t i = 0; i < COUNT(counts); i++)
        cr_expect(counts[i] == 1, "%s", interval_cap_state_names[i]);
}

/* The last line of defence against a bug of ours. */
Test(interval_svc, the_database_refuses_what_goes_back)
{
    auto_world struct world w = world_new("2026-11-20T10:00:00Z");
    struct interval_definition d = definition("a", 2, CAP_DAY, "UTC");
    static const char *const statements[] = {
        "UPDATE interval.definition SET version = 1",
        "UPDATE interval.definition SET applied_version = 1",
        "UPDATE interval.definition SET applied_version = 3",
        "DELETE FROM interval.definition",
        "UPDATE interval.interval SET version = 0",
        "UPDATE interval.interval SET state = 'planned' WHERE state = 'open'",
        "UPDATE interval.interval SET state = 'over'",
        "UPDATE interval.interval SET total = -1",
        "INSERT INTO interval.interval SELECT cap, starts_at + interval '1 s', ends_at,"
        " grid_starts_at, version, state, total, paused, home, total_max FROM interval.interval",
        "UPDATE interval.interval SET total_max = total_max - 1",
        "UPDATE interval.interval SET total = total_max + 1",
        "UPDATE interval.interval SET home = 'elsewhere'",
    };

    put_and_tick(&w, &d);
    for (size_t i = 0; i < COUNT(statements); i++) {
        auto_free char *state = pg_sqlstate(w.conninfo, "%s", statements[i]);
        cr_expect(strcmp(state, "00000") != 0, "%s", statements[i]);
    }
}

/*
 * Two data centres.  Only one has heard of every version; what both have in
 * the end is cut from the newest one alone, by each in its own database.
 */

/* The live windows, with all that must be the same. */
static char *live_windows(const struct world *w)
{
    return pg_text(w->conninfo,
                   "SELECT coalesce(string_agg(concat_ws(' ', cap, calendar.to_ms(starts_at),"
                   "    calendar.to_ms(ends_at), state, total, home), ', '"
                   "    ORDER BY cap, starts_at), '')"
                   "  FROM interval.interval WHERE state IN ('planned', 'open')");
}

/* Another version of each cap; meta-svc's part is in cap_moves_windows() and the like. */
static void redefine(struct interval_definition *d, struct prng *prng, int64_t now_ms)
{
    static const char *const zones[] = {"UTC", "Europe/Berlin", "Asia/Kolkata", "America/Havana"};
    struct cap cap = d->cap;

    switch (prng_below(prng, 4)) {
    case 0: cap.interval = (int)prng_below(prng, CAP_MONTH + 1); break;
    case 1:
        (void)snprintf(cap.time_zone, sizeof(cap.time_zone), "%s", zones[prng_below(prng, 4)]);
        break;
    case 2: cap.ends_at_ms = now_ms + (1 + prng_below(prng, 60)) * 86400000; break;
    default: cap.initial_total = prng_below(prng, 100) - 1; break;
    }
    cap.total = prng_below(prng, 1000);
    if (cap_moves_windows(&d->cap, &cap, now_ms))
        d->origin.grid_since_ms = cap_next_grid_since(d->origin.grid_since_ms, now_ms);
    d->origin.changed_at_ms = now_ms;
    d->cap = cap;
    d->version++;
}

Test(interval_svc, data_centres_that_saw_other_versions_have_the_same_windows)
{
    auto_world struct world all = world_new("2026-10-20T10:00:00Z");
    struct interval_definition d[8];
    struct prng prng = {.state = 4711};
    int64_t now_ms = ms("2026-10-20T10:00:00Z");
    char now[TIME_TEXT_SIZE];

    for (size_t i = 0; i < COUNT(d); i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "cap-%zu", i);
        d[i] = definition(id, 1, CAP_DAY, "UTC");
        d[i].origin.changed_at_ms = now_ms;
        memcpy(d[i].origin.home, "dc1", sizeof("dc1"));
        cr_assert(put(&all, &d[i]));
    }
    for (int step = 0; step < 25; step++) {
        now_ms += prng_below(&prng, 20 * 3600000);
        time_format(now_ms, now);
        set_calendar(&all, now);
        for (size_t i = 0; i < COUNT(d); i++) {
            if (prng_below(&prng, 3) == 0)
                redefine(&d[i], &prng, now_ms);
            (void)put(&all, &d[i]);
        }
        tick(&all);
    }

    auto_world struct world newest = world_new(now);
    for (size_t i = 0; i < COUNT(d); i++)
        cr_assert(put(&newest, &d[i]));
    tick(&newest);
    auto_free char *of_all = live_windows(&all);
    auto_free char *of_newest = live_windows(&newest);
    cr_expect_str_eq(of_all, of_newest);
    cr_expect(strlen(of_all) > 100, "%s", of_all);
}

static int64_t said_of(const struct world *w, int definition)
{
    return pg_i64(w->conninfo,
                  "SELECT count(*) FROM interval.outbox"
                  " WHERE (body::json ->> 'definition')::bigint = %d",
                  definition);
}

/* Also of windows that time alone brings, which are of the definition that is here then. */
Test(interval_svc, each_message_says_which_version_of_its_home_the_total_is_of)
{
    auto_world struct world w = world_new("2026-11-20T10:00:00Z");
    struct interval_definition d = definition("a", 5, CAP_DAY, "UTC");

    d.home_version = 3;
    put_and_tick(&w, &d);
    cr_expect(said_of(&w, 3) == 2);
    (void)take_messages(&w);
    d.version = 6;
    d.home_version = 4;
    put_and_tick(&w, &d);
    cr_expect(said_of(&w, 4) == 2);
    (void)take_messages(&w);
    set_calendar(&w, "2026-11-21T10:00:00Z");
    tick(&w);
    cr_expect(said_of(&w, 4) == 1);
}

Test(interval_svc, a_window_knows_its_home_and_the_largest_total_that_was_asked)
{
    auto_world struct world w = world_new("2026-11-20T10:00:00Z");
    struct interval_definition d = definition("a", 1, CAP_SINGLE, "UTC");

    memcpy(d.origin.home, "dc2", sizeof("dc2"));
    put_and_tick(&w, &d);
    d.version = 2;
    d.cap.total = 10;
    put_and_tick(&w, &d);
    auto_free char *message = pg_text(w.conninfo, "SELECT body FROM interval.outbox");
    cr_expect(strstr(message, "\"total\":10,") != NULL, "%s", message);
    cr_expect(strstr(message, ",\"home\":\"dc2\",\"total_max\":1000}") != NULL, "%s", message);

    /* The lower home has won: other windows, and the old ones are still the other home's. */
    (void)take_messages(&w);
    d.version = 3;
    memcpy(d.origin.home, "dc1", sizeof("dc1"));
    d.origin.grid_since_ms = ms("2026-11-20T09:59:59.001Z");
    put_and_tick(&w, &d);
    expect_windows(&w, "another home", "a",
                   "01-01T00:00/01-01T00:00 closing 10, 11-20T09:59/01-01T00:00 open 10");
    cr_expect(pg_i64(w.conninfo,
                     "SELECT count(*) FROM interval.outbox"
                     " WHERE (body LIKE '%%\"closing\"%%' AND body LIKE '%%\"dc2\"%%')"
                     "    OR (body LIKE '%%\"open\"%%' AND body LIKE '%%\"dc1\"%%')") == 2);
}

/* ---- what a primary of the past would write */

static void set_epoch(const struct world *w, int64_t epoch)
{
    pg_exec(w->conninfo,
            "INSERT INTO coordinator.leadership AS l (role, lock_key, epoch, holder, holder_name,"
            "    since, acts_at)"
            " VALUES ('" INTERVAL_ROLE "', coordinator.lock_key('" INTERVAL_ROLE "'), %lld,"
            "    gen_random_uuid(), 'a', now(), now())"
            " ON CONFLICT (role) DO UPDATE SET epoch = excluded.epoch, holder = excluded.holder",
            (long long)epoch);
}

/* All that the worker writes, with that epoch: how many of its transactions are refused. */
static int refused_with(const struct world *w, int64_t epoch)
{
    auto_free struct interval_batch *batch = calloc(1, sizeof(*batch));
    bool more = false;
    struct err e[3] = {{0}};

    cr_assert(batch != NULL);
    bool ok[3] = {interval_store_plan(w->db, epoch, 10, batch, &e[0]),
                  interval_store_sweep(w->db, epoch, WEEK_MS, &more, &e[1]),
                  interval_store_postpone(w->db, epoch, "a", &e[2])};
    int refused = 0;
    for (int i = 0; i < 3; i++) {
        cr_assert(ok[i] || e[i].kind == ERR_PRECONDITION, "%s", e[i].msg);
        refused += !ok[i];
    }
    return refused;
}

Test(fence, a_primary_of_the_past_changes_nothing)
{
    auto_world struct world w = world_new("2026-11-20T12:00:00Z");
    struct interval_definition d = definition("a", 1, CAP_DAY, "UTC");

    cr_assert(put(&w, &d));
    cr_expect(refused_with(&w, 4) == 3, "without any epoch in the database");
    set_epoch(&w, 5);
    cr_expect(refused_with(&w, 4) == 3);
    cr_expect(refused_with(&w, 6) == 3);
    cr_expect(pg_i64(w.conninfo, "SELECT count(*) FROM interval.interval") == 0);
    cr_expect(pg_i64(w.conninfo, "SELECT applied_version FROM interval.definition") == 0);
    cr_expect(refused_with(&w, 5) == 0);
    cr_expect(pg_i64(w.conninfo, "SELECT count(*) FROM interval.interval") == 2);
}

/* The rest is about the program as it runs. */

static struct svc *start(const char *conninfo, const char *local_url)
{
    char upstream[128];
    const char *const env[] = {upstream, "INTERVAL_ALONE=1", NULL};

    (void)snprintf(upstream, sizeof(upstream), "INTERVAL_LOCAL_URL=%s",
                   local_url != NULL ? local_url : "http://127.0.0.1:9");
    return svc_start(&(struct svc_options){
        .name = "interval-svc", .prefix = "INTERVAL", .conninfo = conninfo, .env = env});
}

static struct answer expect(struct client *c, int status, const char *method, const char *path,
                            const char *body)
{
    struct answer answer = {0};
    struct err e;

    cr_assert(client_expect(c, status, method, path, body, &answer, &e), "%s", e.msg);
    return answer;
}

#define DEFINITION(version, more)                                                                  \
    "{\"version\":" version ",\"deleted\":false,\"starts_at\":\"2026-01-01T00:00:00Z\","           \
    "\"ends_at\":\"2028-01-01T00:00:00Z\",\"total\":1000,\"initial_total\":null,"                  \
    "\"topup_fraction\":0.1,\"slice_max_fraction\":0.05,\"autonomy_ms\":10000,\"paused\":"         \
    "false" more "}"
#define DAILY ",\"interval\":\"day\",\"time_zone\":\"UTC\""

static const struct refused_row {
    const char *name, *method, *path, *body;
    int status;
} refused_rows[] = {
    {"no interval", "PUT", "/definitions/a", DEFINITION("1", ",\"time_zone\":\"UTC\""), 400},
    {"version 0", "PUT", "/definitions/a", DEFINITION("0", DAILY), 400},
    {"an unknown member", "PUT", "/definitions/a", DEFINITION("1", DAILY ",\"x\":1"), 400},
    {"a member twice", "PUT", "/definitions/a", DEFINITION("1", DAILY ",\"total\":1"), 400},
    {"no JSON", "PUT", "/definitions/a", "{", 400},
    {"an id that is none", "PUT", "/definitions/a%20b", DEFINITION("1", DAILY), 400},
    {"a query", "PUT", "/definitions/a?x=1", DEFINITION("1", DAILY), 400},
    {"an id that is none", "GET", "/caps/a%20b/intervals", NULL, 400},
    {"a query", "GET", "/caps/a/intervals?x=1", NULL, 400},
    {"an unknown cap", "GET", "/caps/a/intervals", NULL, 404},
    {"an unknown path", "GET", "/caps/a", NULL, 404},
    {"another method", "DELETE", "/definitions/a", NULL, 405},
    {"another method", "DELETE", "/caps/a/intervals", NULL, 405},
    {"another method", "DELETE", "/livez", NULL, 405},
    {"another method", "DELETE", "/readyz", NULL, 405},
    {"another method", "DELETE", "/metrics", NULL, 405},
    {"another method", "DELETE", "/openapi.json", NULL, 405},
};

Test(interval_svc, requests_that_are_none_are_refused)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);

    for (size_t i = 0; i < COUNT(refused_rows); i++) {
        const struct refused_row *r = &refused_rows[i];
        (void)expect(svc_client(s), r->status, r->method, r->path, r->body);
    }
    char body[20000];
    memset(body, ' ', sizeof(body) - 1);
    body[sizeof(body) - 1] = '\0';
    (void)expect(svc_client(s), 413, "PUT", "/definitions/a", body);

    static const char *const text[] = {"Content-Type: text/plain", NULL};
    const struct call call = {
        .method = "PUT", .path = "/definitions/a", .body = DEFINITION("1", DAILY), .headers = text};
    struct answer a = {0};
    struct err e;
    cr_assert(client_call(svc_client(s), &call, &a, &e) && a.status == 415);
}

#define ATLANTIS ",\"interval\":\"day\",\"time_zone\":\"Atlantis/City\""

/* Another data centre's database may know it; a 4xx would have it given up. */
Test(interval_svc, a_definition_with_an_unknown_zone_is_to_come_again)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);

    struct answer a =
        expect(svc_client(s), 503, "PUT", "/definitions/a", DEFINITION("1", ATLANTIS));
    cr_expect(strstr(buf_text(&a.reply->body), "Atlantis/City") != NULL, "%s",
              buf_text(&a.reply->body));
    a = expect(svc_client(s), 200, "GET", "/metrics", NULL);
    cr_expect(strstr(buf_text(&a.reply->body),
                     "volumecap_definitions_applied_total{outcome=\"zone_unknown\"} 1\n") != NULL);
    cr_expect(pg_i64(pg_conninfo_of(d), "SELECT count(*) FROM interval.definition") == 0);
    /* With a zone that is known it is taken. */
    (void)expect(svc_client(s), 204, "PUT", "/definitions/a", DEFINITION("2", DAILY));
}

/* A local-svc that notes what it is told and knows about one window. */
struct fake {
    pthread_mutex_t mutex;
    int told; /* messages that came */
    char pools[512];
    struct stand_in server;
};

static bool fake_get(void *arg, const struct httpd_request *http, struct httpd_reply *reply,
                     struct err *e)
{
    struct fake *f = arg;

    (void)http;
    if (f->pools[0] == '\0')
        return err_set(e, ERR_NOT_FOUND, "not yet");
    buf_str(&reply->body, f->pools);
    return true;
}

static bool fake_put(void *arg, const struct httpd_request *http, struct httpd_reply *reply,
                     struct err *e)
{
    struct fake *f = arg;

    (void)http;
    (void)reply;
    (void)e;
    (void)pthread_mutex_lock(&f->mutex);
    f->told++;
    (void)pthread_mutex_unlock(&f->mutex);
    return true;
}

static void fake_start(struct fake *f)
{
    static const struct httpd_route routes[] = {
        {"GET", "/pools/{cap}", "getPools", 200, fake_get, false},
        {"PUT", "/intervals/{cap}/{starts_at}", "putInterval", 204, fake_put, true},
    };

    *f = (struct fake){.mutex = PTHREAD_MUTEX_INITIALIZER};
    stand_in_start(&f->server, routes, COUNT(routes), f);
}

static void fake_stop(struct fake *f)
{
    stand_in_stop(&f->server);
}

static bool was_told_twice(void *arg)
{
    struct fake *f = arg;

    (void)pthread_mutex_lock(&f->mutex);
    bool told = f->told >= 2;
    (void)pthread_mutex_unlock(&f->mutex);
    return told;
}

static const struct shown_row {
    const char *name, *pools, *expected;
} shown_rows[] = {
    {"all is known",
     "{\"cap\":\"a\",\"pools\":[{\"starts_at\":\"2026-11-20T00:00:00Z\",\"requested\":1000,"
     "\"effective\":900,\"pending\":10,\"spent\":9007199254740991,\"free\":1,\"slices\":[]}]}",
     "\"state\":\"open\",\"total\":1000,\"requested\":1000,\"effective\":900,\"pending\":10,"
     "\"spent\":9007199254740991}]}"},
    {"what others spent counts, and what only the home knows is unknown",
     "{\"cap\":\"a\",\"pools\":[{\"starts_at\":\"2026-11-20T00:00:00Z\",\"requested\":1000,"
     "\"effective\":null,\"pending\":null,\"spent\":30,\"spent_elsewhere\":12}]}",
     "\"state\":\"open\",\"total\":1000,\"requested\":1000,\"effective\":null,\"pending\":null,"
     "\"spent\":42}]}"},
    {"local-svc has not heard of it", "",
     "\"state\":\"open\",\"total\":1000,\"requested\":null,\"effective\":null,\"pending\":null,"
     "\"spent\":null}]}"},
    {"an answer that makes no sense", "{\"pools\":[1]}", "\"spent\":null}]}"},
};

struct show {
    struct client *client;
    const char *expected, *shown;
};

/* What local-svc does not say in time is shown as unknown, and with the next question as it is. */
static bool is_shown(void *arg)
{
    struct show *s = arg;
    struct answer a = expect(s->client, 200, "GET", "/caps/a/intervals", NULL);

    s->shown = buf_text(&a.reply->body);
    return strstr(s->shown, s->expected) != NULL;
}

Test(interval_svc, windows_are_pushed_and_shown_with_what_became_of_them)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    struct fake fake __attribute__((cleanup(fake_stop))) = {.told = 0};

    fake_start(&fake);
    pg_exec(pg_conninfo_of(d), "SELECT calendar.set('2026-11-20T10:00:00Z', 1)");
    auto_svc struct svc *s = start(pg_conninfo_of(d), fake.server.url);
    (void)expect(svc_client(s), 204, "PUT", "/definitions/a", DEFINITION("1", DAILY));
    cr_assert(harness_await(was_told_twice, &fake, WAIT_MS));
    for (size_t i = 0; i < COUNT(shown_rows); i++) {
        const struct shown_row *r = &shown_rows[i];
        (void)snprintf(fake.pools, sizeof(fake.pools), "%s", r->pools);
        struct show show = {.client = svc_client(s), .expected = r->expected};
        cr_expect(harness_await(is_shown, &show, WAIT_MS), "%s: %s", r->name, show.shown);
    }
}

struct question {
    const char *conninfo, *sql; /* of a boolean as 0 or 1 */
};

static bool holds(void *arg)
{
    const struct question *q = arg;

    return pg_i64(q->conninfo, "%s", q->sql) == 1;
}

/*
 * Each hour of this calendar takes 0.6 s: the worker must be there in time, again and again.  After
 * a longer halt of the machine there are windows that never were, as it should be.
 */
Test(interval_svc, keeps_up_with_a_calendar_of_four_days_a_minute)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);
    struct question has_many = {
        pg_conninfo_of(d),
        "SELECT (coalesce(max(n), 0) >= 10)::int"
        "  FROM (SELECT count(*) AS n"
        "          FROM (SELECT sum(begins) OVER (ORDER BY starts_at) AS row"
        "                  FROM (SELECT starts_at, (starts_at IS DISTINCT FROM"
        "                                lag(ends_at) OVER (ORDER BY starts_at))::int AS begins"
        "                          FROM interval.interval WHERE state = 'closed') AS w) AS r"
        "         GROUP BY row) AS rows"};

    pg_exec(pg_conninfo_of(d), "SELECT calendar.set('2026-11-20T10:00:00Z', 5760)");
    (void)expect(svc_client(s), 204, "PUT", "/definitions/a",
                 DEFINITION("1", ",\"interval\":\"hour\",\"time_zone\":\"UTC\""));
    cr_assert(harness_await(holds, &has_many, WAIT_MS), "never ten in a row");
}

/* It sleeps until something is due; a calendar that jumps wakes it. */
Test(interval_svc, a_jump_of_the_calendar_is_noticed)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);
    struct question planned = {pg_conninfo_of(d), "SELECT (count(*) = 2)::int"
                                                  "  FROM interval.interval"};
    struct question moved = {pg_conninfo_of(d),
                             "SELECT (count(*) = 1)::int FROM interval.interval"
                             " WHERE state = 'open' AND starts_at = '2026-11-25T00:00:00Z'"};

    pg_exec(pg_conninfo_of(d), "SELECT calendar.set('2026-11-20T10:00:00Z', 1)");
    (void)expect(svc_client(s), 204, "PUT", "/definitions/a", DEFINITION("1", DAILY));
    cr_assert(harness_await(holds, &planned, WAIT_MS));
    pg_exec(pg_conninfo_of(d), "SELECT calendar.set('2026-11-25T10:00:00Z', 1)");
    cr_assert(harness_await(holds, &moved, WAIT_MS));
}

/* Killed after it has kept a definition: the windows are made when it is back. */
Test(interval_svc, a_definition_survives_the_service)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);
    struct question planned = {pg_conninfo_of(d), "SELECT (count(*) = 40)::int"
                                                  "  FROM interval.interval"};

    for (int i = 0; i < 20; i++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "/definitions/a%d", i);
        (void)expect(svc_client(s), 204, "PUT", path, DEFINITION("1", DAILY));
        if (i % 5 == 4) {
            svc_kill(s);
            svc_restart(s);
        }
    }
    cr_expect(harness_await(holds, &planned, WAIT_MS));
}

static bool is_ready(void *arg)
{
    const struct call call = {.method = "GET", .path = "/readyz?verbose"};
    struct answer a = {0};
    struct err e;

    return client_call(arg, &call, &a, &e) && a.status == 200;
}

Test(interval_svc, without_the_database_it_says_so_and_recovers_by_itself)
{
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){.fsync = false});
    pg_migrate(pg_conninfo(pg));
    auto_svc struct svc *s = start(pg_conninfo(pg), NULL);
    struct client *c = svc_client(s);
    struct question planned = {pg_conninfo(pg), "SELECT (count(*) = 4)::int"
                                                "  FROM interval.interval"};

    (void)expect(c, 204, "PUT", "/definitions/a", DEFINITION("1", DAILY));
    pg_kill(pg);
    (void)expect(c, 503, "PUT", "/definitions/b", DEFINITION("1", DAILY));
    (void)expect(c, 503, "GET", "/caps/a/intervals", NULL);
    (void)expect(c, 503, "GET", "/readyz", NULL);
    (void)expect(c, 200, "GET", "/livez", NULL);
    pg_restart(pg);
    cr_assert(harness_await(is_ready, c, WAIT_MS));
    (void)expect(c, 204, "PUT", "/definitions/b", DEFINITION("1", DAILY));
    cr_expect(harness_await(holds, &planned, WAIT_MS));
}

Test(interval_svc, has_a_document_and_metrics)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_svc struct svc *s = start(pg_conninfo_of(d), NULL);

    (void)expect(svc_client(s), 204, "PUT", "/definitions/a", DEFINITION("1", DAILY));
    struct answer a = expect(svc_client(s), 200, "GET", "/openapi.json", NULL);
    cr_expect(cJSON_GetObjectItemCaseSensitive(a.json, "paths") != NULL);
    a = expect(svc_client(s), 200, "GET", "/metrics", NULL);
    cr_expect(strstr(buf_text(&a.reply->body),
                     "\nvolumecap_definitions_applied_total{outcome=\"applied\"} 1\n") != NULL);
}

/* ---- of several replicas one acts */

/* A replica, and the coordinator beside it. */
struct replica {
    struct svc *coordinator, *service;
};

static struct replica replica_new(const char *conninfo, const char *name)
{
    char name_env[64], url_env[96];
    const char *const coordinator_env[] = {"COORDINATOR_ROLE=" INTERVAL_ROLE, name_env, NULL};
    const char *const service_env[] = {"INTERVAL_LOCAL_URL=http://127.0.0.1:9", url_env, NULL};
    struct replica r = {NULL};

    (void)snprintf(name_env, sizeof(name_env), "COORDINATOR_NAME=%s", name);
    r.coordinator = svc_start(&(struct svc_options){.name = "coordinator",
                                                    .prefix = "COORDINATOR",
                                                    .conninfo = conninfo,
                                                    .env = coordinator_env});
    (void)snprintf(url_env, sizeof(url_env), "INTERVAL_COORDINATOR_URL=http://127.0.0.1:%d",
                   svc_port(r.coordinator));
    r.service = svc_start(&(struct svc_options){
        .name = "interval-svc", .prefix = "INTERVAL", .conninfo = conninfo, .env = service_env});
    return r;
}

/* The service first, so that it stops while it knows how it stands. */
static void replica_done(struct replica *r)
{
    r->service = svc_stop(r->service);
    r->coordinator = svc_stop(r->coordinator);
}
#define auto_replica __attribute__((cleanup(replica_done)))

static bool says(struct client *c, const char *path, const char *text)
{
    const struct call call = {.method = "GET", .path = path};
    struct answer a = {0};
    struct err e;

    return client_call(c, &call, &a, &e) && strstr(buf_text(&a.reply->body), text) != NULL;
}

static bool acts(void *arg)
{
    const struct replica *r = arg;

    return says(svc_client(r->service), "/metrics", "\nvolumecap_acting 1\n");
}

static bool stands_by(void *arg)
{
    const struct replica *r = arg;

    return says(svc_client(r->service), "/readyz?verbose", "leadership: standby");
}

static void await_windows(const char *conninfo, const char *sql)
{
    struct question q = {conninfo, sql};

    cr_assert(harness_await(holds, &q, WAIT_MS), "never: %s", sql);
}

static int64_t opened_by(const struct replica *r)
{
    return local_metric(svc_client(r->service), "volumecap_intervals_opened_total");
}

static int64_t epoch_at(const struct replica *r)
{
    return local_metric(svc_client(r->coordinator), "volumecap_leader_epoch");
}

struct opened {
    struct replica *a, *b;
    int64_t count;
};

/* They are counted when they are there. */
static bool are_counted(void *arg)
{
    const struct opened *o = arg;

    return opened_by(o->a) + opened_by(o->b) == o->count;
}

static bool rests(void *arg)
{
    const struct replica *r = arg;

    return says(svc_client(r->service), "/metrics", "\nvolumecap_acting 0\n");
}

static bool one_acts(void *arg)
{
    const struct opened *o = arg;

    return acts(o->a) != acts(o->b);
}

Test(replicas, the_primary_acts_on_what_a_standby_took_and_is_replaced)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    const char *conninfo = pg_conninfo_of(d);
    auto_replica struct replica a = replica_new(conninfo, "a");

    cr_assert(harness_await(acts, &a, WAIT_MS));
    auto_replica struct replica b = replica_new(conninfo, "b");
    cr_assert(harness_await(stands_by, &b, WAIT_MS));
    (void)expect(svc_client(b.service), 200, "GET", "/readyz", NULL);

    struct opened opened = {.a = &a, .b = &b, .count = 2};
    int64_t epoch = epoch_at(&a);
    (void)expect(svc_client(b.service), 204, "PUT", "/definitions/x", DEFINITION("1", DAILY));
    await_windows(conninfo, "SELECT (count(*) = 2)::int FROM interval.interval");
    cr_assert(harness_await(are_counted, &opened, WAIT_MS));
    /* On a machine that halts for seconds a heartbeat may be late, and then B has taken over. */
    cr_expect(opened_by(&b) == 0 || epoch_at(&b) > epoch);

    svc_kill(a.coordinator);
    cr_assert(harness_await(acts, &b, WAIT_MS));
    cr_assert(harness_await(rests, &a, WAIT_MS));
    int64_t before = opened_by(&a);
    (void)expect(svc_client(a.service), 204, "PUT", "/definitions/y", DEFINITION("1", DAILY));
    await_windows(conninfo, "SELECT (count(*) = 4)::int FROM interval.interval");
    opened.count = 4;
    cr_assert(harness_await(are_counted, &opened, WAIT_MS));
    cr_expect(opened_by(&a) == before);
    svc_restart(a.coordinator);
    cr_assert(harness_await(stands_by, &a, WAIT_MS));
}

Test(replicas, a_host_that_was_frozen_wakes_as_a_standby)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    const char *conninfo = pg_conninfo_of(d);
    auto_replica struct replica a = replica_new(conninfo, "a");

    cr_assert(harness_await(acts, &a, WAIT_MS));
    auto_replica struct replica b = replica_new(conninfo, "b");
    cr_assert(harness_await(stands_by, &b, WAIT_MS));
    for (int i = 0; i < 10; i++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "/definitions/x%d", i);
        (void)expect(svc_client(b.service), 204, "PUT", path, DEFINITION("1", DAILY));
        if (i == 4) {
            svc_freeze(a.service);
            svc_freeze(a.coordinator);
        }
    }
    await_windows(conninfo, "SELECT (count(*) = 20)::int FROM interval.interval");
    cr_assert(harness_await(acts, &b, WAIT_MS));
    svc_thaw(a.service);
    svc_thaw(a.coordinator);
    cr_assert(harness_await(stands_by, &a, WAIT_MS));
    struct opened both = {.a = &a, .b = &b};
    cr_expect(harness_await(one_acts, &both, WAIT_MS));
}

Test(replicas, without_a_coordinator_none_acts)
{
    static const char *const env[] = {"INTERVAL_LOCAL_URL=http://127.0.0.1:9", NULL};
    auto_pg_db struct pg_db *d = pg_fresh_db();
    const char *conninfo = pg_conninfo_of(d);
    struct svc *s = svc_start(&(struct svc_options){
        .name = "interval-svc", .prefix = "INTERVAL", .conninfo = conninfo, .env = env});

    /* One that acts has cut the first windows long before the last definition is here. */
    for (int i = 0; i < 50; i++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "/definitions/x%d", i);
        (void)expect(svc_client(s), 204, "PUT", path, DEFINITION("1", DAILY));
    }
    cr_expect(says(svc_client(s), "/readyz?verbose", "INTERVAL_COORDINATOR_URL or INTERVAL_ALONE"));
    (void)expect(svc_client(s), 503, "GET", "/readyz", NULL);
    cr_expect(pg_i64(conninfo, "SELECT count(*) FROM interval.interval") == 0);
    s = svc_stop(s);

    s = start(conninfo, NULL);
    await_windows(conninfo, "SELECT (count(*) = 100)::int FROM interval.interval");
    s = svc_stop(s);
}
