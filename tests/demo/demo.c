#include "tests/demo/demo.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "tests/demo/page.h"
#include "tests/demo/plan.h"
#include "tests/demo/replay.h"
#include "tests/demo/report.h"
#include "tests/demo/tally.h"
#include "tests/harness/dc.h"

#define SERVERS 3
#define LEAD_MS INT64_C(6000) /* from the calendar's start to the first request: time to set up */
#define SETTLE_MS INT64_C(30000) /* for the accounts to be complete after the last window */
#define NAP_MS INT64_C(50)
#define PROGRESS_LINES 14
#define BUSIEST 6

struct demo {
    const struct demo_options *options;
    struct plan *plan;
    struct dc *dc;
    struct tally *tally;
    int64_t first_due_ms;
    struct page_event events[8];
    size_t events_count;
};

/* Sleeps; true if it was ended by Ctrl-C or SIGTERM, which main() has blocked. */
static bool nap(int64_t ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    sigset_t ends;

    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGHUP);
    return sigtimedwait(&ends, NULL, &time) > 0;
}

static int64_t trace_first_s(const struct demo *d)
{
    return d->plan->trace->rows[0].at_s;
}

/* Where the calendar should be by now. */
static int64_t calendar_now_s(const struct demo *d)
{
    return trace_first_s(d) + (clk_now_ms() - d->first_due_ms) * d->plan->speed / 1000;
}

static void clock_text(int64_t at_s, char ret[24])
{
    time_t t = (time_t)at_s;
    struct tm tm;

    CHECK(gmtime_r(&t, &tm) && strftime(ret, 24, "%d %b %H:%M", &tm) > 0);
}

static void say(struct demo *d, const char *what)
{
    char now[24];

    CHECK(d->events_count < sizeof(d->events) / sizeof(d->events[0]));
    d->events[d->events_count++] = (struct page_event){.at_s = calendar_now_s(d), .what = what};
    clock_text(calendar_now_s(d), now);
    printf("      %s  %s\n", now, what);
}

static void kill_server(struct demo *d)
{
    dc_kill(d->dc, DC_SERVER, 1);
    say(d, "server-2 killed with -9");
}

static void start_server(struct demo *d)
{
    dc_launch(d->dc, DC_SERVER, 1);
    say(d, "server-2 started again on its ledger");
}

static void restart_database(struct demo *d)
{
    say(d, "PostgreSQL restarts");
    pg_restart(dc_pg(d->dc));
}

/* What happens on the way: after so many hundredths of the trace, and so many ms. */
static const struct incident {
    int64_t percent;
    int64_t plus_ms;
    void (*happens)(struct demo *d);
} incidents[] = {
    {40, 0, kill_server},
    {40, 1000, start_server},
    {70, 0, restart_database},
};

#define INCIDENTS (sizeof(incidents) / sizeof(incidents[0]))

static int64_t trace_length_ms(const struct demo *d)
{
    const struct trace *t = d->plan->trace;

    return (t->rows[t->count - 1].at_s - t->rows[0].at_s) * 1000 / d->plan->speed;
}

static int64_t incident_due_ms(const struct demo *d, const struct incident *i)
{
    return d->first_due_ms + trace_length_ms(d) * i->percent / 100 + i->plus_ms;
}

static void show_progress(const struct demo *d)
{
    char now[24];

    clock_text(calendar_now_s(d), now);
    printf("      %s  asked %6lld  granted %6lld  refused %6lld\n", now, (long long)d->tally->asked,
           (long long)d->tally->granted, (long long)d->tally->refused);
}

static void start_data_centre(struct demo *d)
{
    char calendar[TIME_TEXT_SIZE], retention[64];
    const char *const env[] = {retention, "LOCAL_LOG_LEVEL=warn", NULL};

    /* Windows are read at the end: none may be purged before. */
    snprintf(retention, sizeof(retention), "LOCAL_RETENTION_MS=%lld",
             (long long)(d->plan->ends_at_s - d->plan->starts_at_s) * 1000 + 604800000);
    time_format(trace_first_s(d) * 1000 - LEAD_MS * d->plan->speed, calendar);
    d->dc = dc_start(&(struct dc_options){.folder = d->options->folder,
                                          .servers = SERVERS,
                                          .calendar = calendar,
                                          .speed = d->plan->speed,
                                          .env = env});
}

static bool define_caps(const struct demo *d, struct err *e)
{
    auto_client struct client *meta = dc_client(d->dc, DC_META, 0);
    auto_buf struct buf body = BUF_INIT(4096);

    for (int i = 0; i < d->plan->caps_count; i++) {
        plan_cap_body(d->plan, i, &body);
        if (!client_put_cap(meta, plan_cap_id(d->plan, i), buf_text(&body), e))
            return false;
    }
    return true;
}

/* Real time until a calendar instant. */
static int64_t until_ms(const struct demo *d, int64_t at_s)
{
    return pg_i64(dc_conninfo(d->dc), "SELECT calendar.until_ms(calendar.from_ms(%lld))",
                  (long long)at_s * 1000);
}

/* Replays the trace and lets the incidents happen; false if it was interrupted. */
static bool play(struct demo *d)
{
    struct replay_config config = {
        .plan = d->plan, .tally = d->tally, .first_due_ms = d->first_due_ms, .servers = SERVERS};
    size_t happened = 0;
    int64_t line_ms = max_i64(1000, trace_length_ms(d) / PROGRESS_LINES);
    int64_t next_line_ms = d->first_due_ms + line_ms;

    for (int i = 0; i < SERVERS; i++)
        config.ports[i] = dc_port(d->dc, DC_SERVER, i);
    auto_replay struct replay *replay = replay_start(&config);
    while (!replay_is_done(replay) || happened < INCIDENTS) {
        if (nap(NAP_MS))
            return false;
        while (happened < INCIDENTS && clk_now_ms() >= incident_due_ms(d, &incidents[happened]))
            incidents[happened++].happens(d);
        if (clk_now_ms() >= next_line_ms) {
            show_progress(d);
            next_line_ms += line_ms;
        }
    }
    return true;
}

static void show_settled(const struct report *r, int64_t took_ms)
{
    if (r->unsettled == 0)
        printf("  all %zu windows settled within %lld ms of the last answer\n", r->count,
               (long long)took_ms);
    else
        printf("  %lld of %zu windows still not settled %lld ms after the last answer\n",
               (long long)r->unsettled, r->count, (long long)took_ms);
}

/*
 * Waits until the last window is over and the servers have given back what
 * they held of it; the accounts are then what they will ever be.
 */
static bool settle(const struct demo *d, struct client *local, struct report *ret, struct err *e)
{
    int64_t began_ms = clk_now_ms();
    int64_t deadline_ms = began_ms + max_i64(0, until_ms(d, d->plan->ends_at_s)) + SETTLE_MS;

    for (;;) {
        bool is_over = until_ms(d, d->plan->ends_at_s) <= 0;
        report_done(ret);
        if (!report_read(d->tally, local, ret, e))
            return false;
        if ((is_over && ret->unsettled == 0) || clk_now_ms() >= deadline_ms)
            break;
        if (nap(4 * NAP_MS))
            return err_set(e, ERR_TIMEOUT, "interrupted");
    }
    show_settled(ret, clk_now_ms() - began_ms);
    return true;
}

static void show_retries(const struct tally *t)
{
    printf("\nrepeated until the answer was final:");
    for (enum verdict v = 0; v < VERDICTS; v++)
        if (t->retried[v] > 0)
            printf(" %s %lld,", verdict_name(v), (long long)t->retried[v]);
    printf(" given up %lld; the slowest took %lld ms\n", (long long)t->unanswered,
           (long long)t->slowest_ms);
}

/* True if everything held; says what did not. */
static bool judge(const struct demo *d, const struct report *r, struct client *local)
{
    struct err e = {0};
    bool clean = client_audit(local, &e);

    printf("audit: %s\n", clean ? "clean" : e.msg);
    if (!page_write(d->tally, d->events, d->events_count, d->options->page, &e))
        printf("no page: %s\n", e.msg);
    else
        printf("page: %s\n", d->options->page);
    printf("demo: asked %lld, granted %lld, refused %lld, over-granted %lld, refused-early %lld\n",
           (long long)d->tally->asked, (long long)d->tally->granted, (long long)d->tally->refused,
           (long long)r->over_granted, (long long)r->refused_early);
    return clean && r->over_granted == 0 && r->refused_early == 0 && r->unsettled == 0 &&
           d->tally->unanswered == 0;
}

static enum demo_outcome failed(const struct err *e)
{
    printf("demo: failed: %s\n", e->msg);
    return DEMO_BROKEN;
}

static enum demo_outcome conclude(const struct demo *d)
{
    auto_client struct client *local = dc_client(d->dc, DC_LOCAL, 0);
    struct report report = {.count = 0};
    struct err e = {0};

    if (!settle(d, local, &report, &e)) {
        report_done(&report);
        return failed(&e);
    }
    printf("\n");
    report_print(&report, d->plan, BUSIEST, stdout);
    show_retries(d->tally);
    bool held = judge(d, &report, local);
    report_done(&report);
    return held ? DEMO_HELD : DEMO_BROKEN;
}

enum demo_outcome demo_run(const struct trace *t, const struct demo_options *o)
{
    auto_plan struct plan *plan = plan_new(t, o->seconds);
    auto_tally struct tally *tally = tally_new(plan);
    struct demo d = {.options = o, .plan = plan, .tally = tally};
    struct err e = {0};

    printf("  %zu requests, %lld of them for one of the %d capped paths; an hour takes %lld ms\n",
           t->count, (long long)plan_demand(plan), plan->caps_count,
           (long long)(3600000 / plan->speed));
    start_data_centre(&d);
    auto_dc struct dc *dc = d.dc;
    printf("  data centre up: PostgreSQL, meta-svc, interval-svc, local-svc, %d servers\n",
           SERVERS);
    if (!define_caps(&d, &e))
        return failed(&e);
    printf("  %d caps defined\n", plan->caps_count);
    d.first_due_ms = clk_now_ms() + until_ms(&d, trace_first_s(&d));
    if (!play(&d))
        return DEMO_INTERRUPTED;
    return conclude(&d);
}
