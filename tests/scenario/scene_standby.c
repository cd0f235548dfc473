#include "tests/scenario/scene_standby.h"

#include <stdio.h>
#include <string.h>

#include "common/base/num.h"
#include "tests/harness/promise.h"

#define TOTAL 100000
#define DAY_AFTER "2026-05-22T00:00:00Z"
#define BEFORE_MS 300 /* midnight comes so long after the fault, or earlier */

bool is_acting(const struct scene *s, enum dc_kind kind, int i)
{
    return dc_is_acting(s->dc, kind, i);
}

bool is_resting(const struct scene *s, enum dc_kind kind, int i)
{
    return dc_is_resting(s->dc, kind, i);
}

static bool one_acts(const struct scene *s, enum dc_kind kind)
{
    int primary = dc_primary(s->dc, kind);

    return primary >= 0 && is_acting(s, kind, primary) && is_resting(s, kind, 1 - primary);
}

void step_down(struct scene *s, enum dc_kind kind)
{
    auto_client struct client *coordinator =
        dc_client(s->dc, DC_COORDINATOR, dc_coordinator_of(s->dc, kind, 0));

    /* 409: a busy machine's heartbeat was late, and the other one has won meanwhile. */
    for (int status = 0; (status = status_of(coordinator, "POST", "/step-down", NULL)) != 200;) {
        cr_assert_eq(status, 409);
        dc_make_primary(s->dc, kind, 0);
    }
}

void stand_by_again(struct scene *s, enum dc_kind kind)
{
    dc_heal(s->dc);
    eventually(one_acts(s, kind));
}

/* ---- the clock of the calendar */

static int64_t calendar_ms(const struct scene *s)
{
    return pg_i64(dc_conninfo(s->dc), "SELECT (extract(epoch FROM calendar.now()) * 1000)::bigint");
}

/* ---- what users see */

struct sight {
    int64_t struck_ms;
    int64_t midnight_ms; /* by the real clock */
    int64_t served_ms;   /* when a unit of the new day was first granted; 0: not yet */
    int64_t acted_ms;    /* when one of the new cap was */
    int64_t other_ms;    /* when the other replica said that it acts */
    int64_t stopped_ms;  /* when the old primary said that it does not act */
    int64_t refused;
};

static void look_at_spending(const struct scene *s, const char *cap, int64_t tomorrow_ms,
                             struct sight *sight)
{
    const struct consumed c = consume(s, 0, cap, 1);

    sight->refused += c.verdict != VERDICT_GRANTED;
    if (sight->served_ms == 0 && c.verdict == VERDICT_GRANTED && c.starts_at_ms == tomorrow_ms)
        sight->served_ms = clk_now_ms();
}

/* A server that does not know a cap lets its client wait: it is asked only when it does. */
static void look_at_new(const struct scene *s, const char *cap, struct sight *sight)
{
    if (sight->acted_ms == 0 &&
        (at_server(s, 0, cap, TOMORROW, "granted") >= 0 ||
         at_server(s, 0, cap, TODAY, "granted") >= 0) &&
        consume(s, 0, cap, 1).verdict == VERDICT_GRANTED)
        sight->acted_ms = clk_now_ms();
}

static bool look(const struct scene *s, const struct fault *f, const char *new_cap,
                 int64_t tomorrow_ms, struct sight *sight)
{
    look_at_spending(s, f->cap, tomorrow_ms, sight);
    look_at_new(s, new_cap, sight);
    if (f->old_lives && sight->stopped_ms == 0 && is_resting(s, DC_INTERVAL, 0))
        sight->stopped_ms = clk_now_ms();
    if (sight->other_ms == 0 && is_acting(s, DC_INTERVAL, 1))
        sight->other_ms = clk_now_ms();
    return sight->served_ms > 0 && sight->acted_ms > 0 && (f->either || sight->other_ms > 0) &&
           (!f->old_lives || sight->stopped_ms > 0);
}

static void report_sight(const struct fault *f, const struct sight *sight)
{
    char what[128];

    (void)snprintf(what, sizeof(what), "%s to a new definition in force", f->what);
    cr_expect(promise_kept(what, sight->acted_ms - sight->struck_ms, f->promised_ms));
    if (!f->either) {
        (void)snprintf(what, sizeof(what), "%s to the other one acting", f->what);
        cr_expect(promise_kept(what, sight->other_ms - sight->struck_ms, f->promised_ms));
    }
    (void)snprintf(what, sizeof(what), "%s: midnight (%+" PRId64 " ms) to the new day served",
                   f->what, sight->midnight_ms - sight->struck_ms);
    cr_expect(promise_kept(what, max_i64(0, sight->served_ms - sight->midnight_ms), 1000));
    if (f->old_lives) {
        (void)snprintf(what, sizeof(what), "%s to the old primary at rest", f->what);
        cr_expect(promise_kept(what, sight->stopped_ms - sight->struck_ms, 2000));
    }
    cr_expect_eq(sight->refused, 0, "%s: %" PRId64 " consumes were refused", f->what,
                 sight->refused);
}

/* ---- what the old primary changes */

/* Every version of every row that an interval-svc has written of these caps. */
static char *written(const struct scene *s, const char *cap)
{
    return pg_text(dc_conninfo(s->dc),
                   "SELECT md5(string_agg(xmin::text || i::text, ';' ORDER BY cap, starts_at))"
                   " FROM interval.interval AS i WHERE cap LIKE '%s%%'",
                   cap);
}

static bool outbox_is_empty(const struct scene *s)
{
    return pg_i64(dc_conninfo(s->dc), "SELECT count(*) FROM interval.outbox") == 0;
}

static void expect_repair_changes_nothing(struct scene *s, const struct fault *f)
{
    eventually(outbox_is_empty(s));
    auto_free char *before = written(s, f->cap);
    if (f->repair)
        f->repair(s);
    stand_by_again(s, DC_INTERVAL);
    auto_free char *after = written(s, f->cap);
    cr_expect_str_eq(before, after);
}

/* Each of the three days was opened once, with its total. */
static void expect_accounts(const struct scene *s, const char *cap)
{
    cr_expect_eq(
        pg_i64(dc_conninfo(s->dc), "SELECT count(*) FROM local.pool WHERE cap = '%s'", cap), 3);
    cr_expect_eq(
        pg_i64(dc_conninfo(s->dc), "SELECT sum(minted) FROM local.pool WHERE cap = '%s'", cap),
        3 * TOTAL);
    cr_expect(audit_is_clean(s));
}

void expect_takeover(struct scene *s, const struct fault *f)
{
    int64_t tomorrow_ms = 0;
    struct sight sight = {0};
    char new_cap[NAME_SIZE];
    struct err e;

    cr_assert(time_parse(TOMORROW, &tomorrow_ms, &e));
    (void)snprintf(new_cap, sizeof(new_cap), "%s-new", f->cap);
    /* Long before midnight: a busy machine may need more than two seconds for it. */
    cap_open(s, (struct cap){f->cap, .total = TOTAL}, TODAY);
    eventually(at_server(s, 0, f->cap, TODAY, "rest") > 0);
    dc_make_primary(s->dc, DC_INTERVAL, 0);
    calendar_set(s, "2026-05-20T23:59:58Z", 1);
    eventually(at_server(s, 0, f->cap, TOMORROW, "rest") > 0);
    eventually(consume(s, 0, f->cap, 1).verdict == VERDICT_GRANTED);
    eventually(calendar_ms(s) >= tomorrow_ms - BEFORE_MS);

    sight.midnight_ms = clk_now_ms() + tomorrow_ms - calendar_ms(s);
    sight.struck_ms = clk_now_ms();
    f->strike(s);
    if (f->counts_from_end)
        sight.struck_ms = clk_now_ms();
    cap_put(s, (struct cap){new_cap, .total = TOTAL});
    eventually(look(s, f, new_cap, tomorrow_ms, &sight));
    report_sight(f, &sight);

    eventually(pool_is(s, f->cap, DAY_AFTER, "planned"));
    eventually(pool_is(s, new_cap, DAY_AFTER, "planned"));
    expect_repair_changes_nothing(s, f);
    expect_accounts(s, f->cap);
}
