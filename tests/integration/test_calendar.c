/* Calendar time is one straight line over real time, and exact to the millisecond. */

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <inttypes.h>
#include <string.h>

#include "tests/harness/pg.h"

PG_SUITE();

static int64_t distance_ms(const char *db, const char *instant)
{
    return pg_i64(db, "SELECT abs(calendar.to_ms(calendar.now()) - calendar.to_ms(%s))", instant);
}

Test(calendar, is_real_time_unless_set)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    const char *db = pg_conninfo_of(d);

    int64_t before_ms = pg_i64(db, "SELECT calendar.to_ms(clock_timestamp())");
    int64_t now_ms = pg_i64(db, "SELECT calendar.to_ms(calendar.now())");
    int64_t after_ms = pg_i64(db, "SELECT calendar.to_ms(clock_timestamp())");
    cr_assert(before_ms <= now_ms && now_ms <= after_ms);
}

Test(calendar, starts_where_it_is_set)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    const char *db = pg_conninfo_of(d);

    pg_exec(db, "SELECT calendar.set('2015-05-17T10:00:00Z', 1)");
    cr_assert_leq(distance_ms(db, "timestamptz '2015-05-17T10:00:00Z'"), 60000);
}

Test(calendar, runs_as_fast_as_it_is_told)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    const char *db = pg_conninfo_of(d);

    /* An hour of real time has passed: five days and more, over a change of Berlin's clocks. */
    pg_exec(db, "UPDATE calendar.clock SET origin = '2026-03-26T00:00:00Z', speed = 125,"
                " real_origin = clock_timestamp() - interval '1 hour'");
    pg_exec(db, "ALTER ROLE volumecap SET TimeZone = 'Europe/Berlin'");
    int64_t off_ms = distance_ms(db, "timestamptz '2026-03-31T05:00:00Z'");
    pg_exec(db, "ALTER ROLE volumecap RESET TimeZone");

    cr_assert_leq(off_ms, 125 * INT64_C(60000), "%" PRId64 " ms off", off_ms);
}

Test(calendar, until_ms_is_real_time)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    const char *db = pg_conninfo_of(d);

    pg_exec(db, "SELECT calendar.set('2015-05-17T00:00:00Z', 5760)");
    int64_t ahead_ms = pg_i64(db, "SELECT calendar.until_ms(calendar.now() + interval '40 days')");
    int64_t past_ms = pg_i64(db, "SELECT calendar.until_ms(calendar.now() - interval '40 days')");

    /* Ten minutes.  calendar.now() is read twice, and a machine may halt in between. */
    cr_assert(ahead_ms > 540000 && ahead_ms <= 600000, "%" PRId64, ahead_ms);
    cr_assert(past_ms <= -600000 && past_ms > -660000, "%" PRId64, past_ms);
}

Test(calendar, who_waits_until_ms_finds_the_instant_reached)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    const char *db = pg_conninfo_of(d);

    pg_exec(db, "SELECT calendar.set('2015-05-17T00:00:00Z', 7)");
    cr_assert_eq(pg_i64(db, "WITH t AS MATERIALIZED"
                            "  (SELECT calendar.now() + interval '0.3 s' AS at),"
                            " w AS MATERIALIZED"
                            "  (SELECT at, pg_sleep(calendar.until_ms(at) / 1000.0) FROM t)"
                            " SELECT (calendar.now() >= at)::int FROM w"),
                 1);
}

Test(calendar, milliseconds_are_exact_from_year_1_to_9999)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();

    cr_assert_eq(
        pg_i64(pg_conninfo_of(d),
               "SELECT count(*) FROM unnest(ARRAY[-62135596800000, -62135596799999, -1001, -1000,"
               "  -999, -1, 0, 1, 999, 1000, 1763683200123, 9007199254740, 253402300799998,"
               "  253402300799999]) AS ms WHERE calendar.to_ms(calendar.from_ms(ms)) <> ms"),
        0);
    auto_free char *last = pg_text(pg_conninfo_of(d), "SELECT to_char(calendar.from_ms("
                                                      "253402300799999) AT TIME ZONE 'UTC',"
                                                      " 'YYYY-MM-DD HH24:MI:SS.US')");
    cr_assert_str_eq(last, "9999-12-31 23:59:59.999000");
}

Test(calendar, conversions_are_inlined)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    const char *db = pg_conninfo_of(d);

    pg_exec(db, "CREATE TABLE t (at timestamptz, ms bigint)");
    pg_exec(db, "CREATE FUNCTION plan() RETURNS text LANGUAGE plpgsql AS $$ DECLARE r text; BEGIN"
                "  EXECUTE 'EXPLAIN (VERBOSE, FORMAT JSON) SELECT calendar.to_ms(at),"
                " calendar.from_ms(ms) FROM t' INTO r; RETURN r; END $$");
    auto_free char *plan = pg_text(db, "SELECT plan()");
    cr_assert_null(strstr(plan, "_ms("), "%s", plan);
}

Test(calendar, refuses_a_second_clock)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_free char *state =
        pg_sqlstate(pg_conninfo_of(d), "INSERT INTO calendar.clock SELECT true, now(), now(), 1");

    cr_assert_str_eq(state, "23505");
}

Test(calendar, refuses_a_clock_that_stands)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_free char *state = pg_sqlstate(pg_conninfo_of(d), "SELECT calendar.set(now(), 0)");

    cr_assert_str_eq(state, "23514");
}
