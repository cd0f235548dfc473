/*
 * s022x: windows and the calendar, which these scenarios move on, forwards
 * only, each to a time of its own.
 */

#include <string.h>

#include "tests/scenario/scene.h"

#define HOUR_MS "3600000"

static const char *const environment[] = {"LOCAL_RETENTION_MS=" HOUR_MS, "LOCAL_CLOSE_MS=" HOUR_MS,
                                          "INTERVAL_RETENTION_MS=" HOUR_MS, NULL};
SCENE_SUITE(.servers = 1, .calendar = "2026-03-28T12:00:00Z", .env = environment);

/* It says so in one answer: a slice of a window that is planned, and that it does not serve yet. */
static bool holds_slice_ahead(const struct scene *s, const char *path)
{
    const struct call call = {.method = "GET", .path = path};
    struct answer answer = {0};
    const cJSON *w = NULL;
    struct err e;

    if (!client_call(s->servers[0], &call, &answer, &e) || answer.status != 200)
        return false;
    cJSON_ArrayForEach(w, cJSON_GetObjectItemCaseSensitive(answer.json, "windows"))
    {
        const char *state = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(w, "state"));
        const cJSON *rest = cJSON_GetObjectItemCaseSensitive(w, "rest");
        if (state && strcmp(state, "planned") == 0 && rest && rest->valueint == 50 &&
            cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(w, "current")))
            return true;
    }
    return false;
}

/* An hour takes 20 s, so that who looks away for the last seconds of one can look at the next. */
Test(scenario, s0221_the_next_windows_slice_is_on_the_server_before_it_opens)
{
    auto_scene struct scene *s = scene_join();

    calendar_set(s, "2026-03-28T18:00:00Z", 180);
    cap_put(s, (struct cap){"s0221", .total = 1000, .interval = "hour"});
    eventually(holds_slice_ahead(s, "/caps/s0221"));
}

Test(scenario, s0222_the_day_on_which_berlin_loses_an_hour_has_23)
{
    auto_scene struct scene *s = scene_join();

    calendar_set(s, "2026-03-29T10:00:00Z", 1);
    cap_open(s, (struct cap){"s0222", .total = 10, .more = "\"time_zone\":\"Europe/Berlin\""},
             "2026-03-28T23:00:00Z");
    cr_expect_eq(hours_of(s, "s0222", "2026-03-28T23:00:00Z"), 23);
    eventually(hours_of(s, "s0222", "2026-03-29T22:00:00Z") == 24);
}

Test(scenario, s0223_the_day_on_which_berlin_gains_an_hour_has_25)
{
    auto_scene struct scene *s = scene_join();

    calendar_set(s, "2026-10-25T10:00:00Z", 1);
    cap_open(s, (struct cap){"s0223", .total = 10, .more = "\"time_zone\":\"Europe/Berlin\""},
             "2026-10-24T22:00:00Z");
    cr_expect_eq(hours_of(s, "s0223", "2026-10-24T22:00:00Z"), 25);
    eventually(hours_of(s, "s0223", "2026-10-25T23:00:00Z") == 24);
}

/*
 * There, it might have taken twelve hours.  The bounds are for busy machines:
 * a server counts from before it asked, and so may be early by an answer's time.
 * The new total makes it ask, since nobody tells it of a calendar that jumped.
 */
Test(scenario, s0224_a_cap_that_starts_later_opens_on_time_by_itself)
{
    auto_scene struct scene *s = scene_join();

    calendar_set(s, "2026-11-01T12:00:00Z", 1);
    cap_put(s, (struct cap){"s0224", .total = 10, .starts_at = "2026-11-02T00:00:00Z"});
    eventually(consume(s, 0, "s0224", 1).verdict == VERDICT_NOT_OPEN);
    calendar_set(s, "2026-11-01T23:59:50Z", 1);
    cap_put(s, (struct cap){"s0224", .total = 11, .starts_at = "2026-11-02T00:00:00Z"});
    eventually(consume(s, 0, "s0224", 1).verdict == VERDICT_GRANTED);
    cr_expect_eq(pg_i64(dc_conninfo(s->dc), "SELECT (calendar.now() BETWEEN '2026-11-01T23:59:55Z'"
                                            " AND '2026-11-02T00:10:00Z')::int"),
                 1);
}

/* Over: no window is open, and soon the server has forgotten the cap. */
static bool is_over(struct scene *s, const char *cap)
{
    enum verdict v = client_consume(s->servers[0], cap, 1, "check").verdict;

    return v == VERDICT_NOT_OPEN || v == VERDICT_UNKNOWN;
}

Test(scenario, s0225_a_single_cap_ends)
{
    auto_scene struct scene *s = scene_join();

    calendar_set(s, "2026-11-03T12:00:00Z", 1);
    cap_open(s,
             (struct cap){"s0225", .total = 10, .interval = "single",
                          .starts_at = "2026-11-01T00:00:00Z", .ends_at = "2026-11-04T00:00:00Z"},
             "2026-11-01T00:00:00Z");
    cr_assert_eq(spend(s->servers[0], "s0225", 3), 3);
    calendar_set(s, "2026-11-03T23:59:57Z", 1);
    eventually(is_over(s, "s0225"));
    eventually(is_at_rest(s, "s0225", "2026-11-01T00:00:00Z"));
}

/*
 * Hours of 10 s each: who asks all the time is never refused, and seldom told to come again more
 * than five times.  A busy machine may be late at one or two of four boundaries; a dead second
 * would be there each time.  Of the first one the server hears only when it has come, since the
 * calendar jumped.
 */
Test(scenario, s0226_there_is_no_dead_second_between_two_windows)
{
    auto_scene struct scene *s = scene_join();
    int windows = 0, in_a_row = 0, gaps = 0;
    int64_t latest_ms = 0;

    calendar_set(s, "2026-11-05T00:00:00Z", 1);
    cap_open(s, (struct cap){"s0226", .total = 1000000, .interval = "hour"},
             "2026-11-05T00:00:00Z");
    eventually(consume(s, 0, "s0226", 1).verdict == VERDICT_GRANTED);
    calendar_set(s, "2026-11-05T00:50:00Z", 360);
    while (windows < 6) {
        struct consumed c = consume(s, 0, "s0226", 1);
        cr_assert(c.verdict == VERDICT_GRANTED || c.verdict == VERDICT_UNREACHABLE, "%s",
                  verdict_name(c.verdict));
        in_a_row = c.verdict == VERDICT_GRANTED ? 0 : in_a_row + 1;
        gaps += in_a_row == 6 && windows > 1;
        if (c.verdict == VERDICT_GRANTED && c.starts_at_ms != latest_ms) {
            windows++;
            latest_ms = c.starts_at_ms;
        }
        scene_breathe(0);
    }
    cr_expect_leq(gaps, 2, "%d times a long 'not now'", gaps);
}

/* An hour after their end the first hours are gone. */
Test(scenario, s0227_accounts_of_old_windows_are_deleted)
{
    auto_scene struct scene *s = scene_join();
    const char *db = dc_conninfo(s->dc);
    static const char old[] = "WHERE cap = 's0226' AND starts_at < '2026-11-05T04:00:00Z'";

    calendar_set(s, "2026-11-05T12:00:00Z", 1);
    eventually(pg_i64(db, "SELECT count(*) FROM local.pool %s", old) == 0);
    eventually(pg_i64(db, "SELECT count(*) FROM interval.interval %s", old) == 0);
}

/* How many of up to ten units are granted of the window that begins then. */
static int64_t spend_of(const struct scene *s, const char *cap, int64_t starts_at_ms)
{
    int64_t granted = 0;

    for (int i = 0; i < 10; i++) {
        struct consumed c = {0};
        eventually((c = consume(s, 0, cap, 1)).verdict != VERDICT_UNREACHABLE);
        granted += c.verdict == VERDICT_GRANTED && c.starts_at_ms == starts_at_ms;
    }
    return granted;
}

/* An early or late clock may book a unit in the old window; it never makes one. */
Test(scenario, s0228_a_clock_that_jumps_back_over_midnight_opens_nothing_twice)
{
    auto_scene struct scene *s = scene_join();
    static const char today[] = "2026-11-10T00:00:00Z";
    struct consumed first = {0};
    struct cap cap = {"s0228", .total = 10};
    int64_t granted = 1;

    calendar_set(s, "2026-11-10T01:00:00Z", 1);
    cap_open(s, cap, today);
    eventually((first = consume(s, 0, "s0228", 1)).verdict == VERDICT_GRANTED);
    calendar_set(s, "2026-11-09T23:00:00Z", 1);
    granted += spend_of(s, "s0228", first.starts_at_ms);
    calendar_set(s, "2026-11-10T02:00:00Z", 1);
    eventually((granted += spend_of(s, "s0228", first.starts_at_ms)) >= 10);

    cr_expect_eq(spend_of(s, "s0228", first.starts_at_ms), 0);
    cr_expect_eq(granted, 10);
}

Test(scenario, s0229_after_all_of_this_the_audit_is_clean)
{
    auto_scene struct scene *s = scene_join();

    cr_assert(audit_is_clean(s));
}
