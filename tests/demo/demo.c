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
#include "tests/harness/dcs.h"

#define SERVERS 3                 /* of one data centre */
#define SERVERS_OF_MANY 2         /* of each */
#define CUT_OFF 1                 /* the data centre that is cut off from the others for a while */
#define SETTLE_MS INT64_C(120000) /* for the accounts to be complete after the last window */
#define NAP_MS INT64_C(50)
#define PROGRESS_LINES 14
#define BUSIEST 6

struct demo {
    const struct demo_options *options;
    struct plan *plan;
    struct dcs *dcs;
    int count, servers; /* data centres, and servers of each */
    struct tally *tally;
    struct replay *replay;
    int64_t first_due_ms;
    int killed_interval, killed_remote; /* which replica; -1: none */
    struct page_event events[16];
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

/* The first data centre, where most happens. */
static struct dc *busiest(const struct demo *d)
{
    return dcs_dc(d->dcs, 0);
}

static void kill_server(struct demo *d)
{
    dc_kill(busiest(d), DC_SERVER, 1);
    say(d, "server-2 killed with -9");
}

static void start_server(struct demo *d)
{
    dc_launch(busiest(d), DC_SERVER, 1);
    say(d, "server-2 started again on its ledger");
}

/* The primary and the coordinator beside it; somebody else acts a second later. */
static void kill_primary(struct demo *d, enum dc_kind kind, int *ret_killed, const char *what)
{
    struct dc *dc = busiest(d);

    if (dc_coordinator_of(dc, kind, 0) < 0 || dc_count(dc, kind) == 0)
        return;
    *ret_killed = dc_primary(dc, kind);
    if (*ret_killed < 0)
        return;
    dc_kill(dc, kind, *ret_killed);
    dc_kill(dc, DC_COORDINATOR, dc_coordinator_of(dc, kind, *ret_killed));
    say(d, what);
}

static void start_killed(struct demo *d, enum dc_kind kind, int killed, const char *what)
{
    struct dc *dc = busiest(d);

    if (killed < 0)
        return;
    dc_launch(dc, DC_COORDINATOR, dc_coordinator_of(dc, kind, killed));
    dc_launch(dc, kind, killed);
    say(d, what);
}

static void kill_interval(struct demo *d)
{
    kill_primary(d, DC_INTERVAL, &d->killed_interval, "the primary interval-svc killed with -9");
}

static void start_interval(struct demo *d)
{
    start_killed(d, DC_INTERVAL, d->killed_interval, "it is started again, and stands by");
}

static void kill_remote(struct demo *d)
{
    kill_primary(d, DC_REMOTE, &d->killed_remote, "the primary remote-svc of dc1 killed with -9");
}

static void start_remote(struct demo *d)
{
    start_killed(d, DC_REMOTE, d->killed_remote, "it is started again, and stands by");
}

static void restart_database(struct demo *d)
{
    say(d, "PostgreSQL restarts");
    pg_restart(dc_pg(busiest(d)));
}

static void cut_off(struct demo *d)
{
    if (d->count == 1)
        return;
    links_isolate(dcs_folder(d->dcs), CUT_OFF);
    replay_cut_off(d->replay, CUT_OFF, true);
    say(d, "dc2 and its broker are cut off from the others");
}

static void join(struct demo *d)
{
    if (d->count == 1)
        return;
    links_heal(dcs_folder(d->dcs));
    say(d, "the network is whole again");
}

/* Without an open request nothing is left to wait for. */
static bool hears_again(const struct demo *d)
{
    return dcs_hear_each_other(d->dcs) || replay_is_done(d->replay);
}

/* Its clients wait for an answer again. */
static void rejoined(struct demo *d)
{
    replay_cut_off(d->replay, CUT_OFF, false);
}

/*
 * What happens on the way, one after the other: after so many hundredths of the trace, and so many
 * ms, and not before that is so.
 */
static const struct incident {
    int64_t percent;
    int64_t plus_ms;
    bool (*may)(const struct demo *d); /* NULL: yes */
    void (*happens)(struct demo *d);
} incidents[] = {
    {15, 0, NULL, kill_interval},   {22, 0, NULL, start_interval},   {30, 0, NULL, kill_server},
    {30, 1000, NULL, start_server}, {45, 0, NULL, cut_off},          {60, 0, NULL, join},
    {60, 0, hears_again, rejoined}, {75, 0, NULL, restart_database}, {85, 0, NULL, kill_remote},
    {92, 0, NULL, start_remote},
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

static bool incident_is_due(const struct demo *d, const struct incident *i)
{
    return clk_now_ms() >= incident_due_ms(d, i) && (!i->may || i->may(d));
}

static void show_progress(const struct demo *d)
{
    char now[24];

    clock_text(calendar_now_s(d), now);
    printf("      %s  asked %6lld  granted %6lld  refused %6lld\n", now, (long long)d->tally->asked,
           (long long)d->tally->granted, (long long)d->tally->refused);
}

static void start_data_centres(struct demo *d)
{
    char calendar[TIME_TEXT_SIZE], retention[64];
    const char *const env[] = {retention, "LOCAL_LOG_LEVEL=warn", NULL};

    /* Windows are read at the end: none may be purged before. */
    snprintf(retention, sizeof(retention), "LOCAL_RETENTION_MS=%lld",
             (long long)(d->plan->ends_at_s - d->plan->starts_at_s) * 1000 + 604800000);
    /* At first time passes as it does: a slow machine has as long as it needs. */
    time_format(trace_first_s(d) * 1000, calendar);
    d->dcs = dcs_start(&(struct dcs_options){.count = d->count,
                                             .folder = d->options->folder,
                                             .links = true,
                                             .each = {.servers = d->servers,
                                                      .standby = d->options->standby,
                                                      .calendar = calendar,
                                                      .env = env}});
}

static void show_data_centres(const struct demo *d)
{
    if (d->count == 1)
        printf("  data centre up: PostgreSQL, meta-svc, interval-svc, local-svc, %d servers\n",
               d->servers);
    else
        printf("  %d data centres up, each with PostgreSQL, RabbitMQ, meta-svc, interval-svc, "
               "local-svc, remote-svc, %d servers; seven tenths of the clients are at dc1\n",
               d->count, d->servers);
    if (d->options->standby)
        printf("  two of what acts once, each with a coordinator: one acts, one stands by\n");
}

static bool define_caps(const struct demo *d, struct err *e)
{
    auto_client struct client *meta = dc_client(busiest(d), DC_META, 0);
    auto_buf struct buf body = BUF_INIT(4096);

    for (int i = 0; i < d->plan->caps_count; i++) {
        plan_cap_body(d->plan, i, &body);
        if (!client_put_cap(meta, plan_cap_id(d->plan, i), buf_text(&body), e))
            return false;
    }
    return true;
}

/* Does this server know a window of each cap? */
static enum demo_outcome await_caps_at(const struct demo *d, const struct dc *dc, int server,
                                       struct err *e)
{
    auto_client struct client *client = dc_client(dc, DC_SERVER, server);
    int64_t deadline_ms = clk_now_ms() + SETTLE_MS;
    struct answer answer = {0};
    char path[NAME_SIZE + 8];

    for (int i = 0; i < d->plan->caps_count; i++) {
        snprintf(path, sizeof(path), "/caps/%s", plan_cap_id(d->plan, i));
        while (!client_expect(client, 200, "GET", path, NULL, &answer, e)) {
            if (clk_now_ms() >= deadline_ms)
                return DEMO_BROKEN;
            if (nap(NAP_MS))
                return DEMO_INTERRUPTED;
        }
    }
    return DEMO_HELD;
}

static enum demo_outcome await_caps(const struct demo *d, struct err *e)
{
    enum demo_outcome outcome = DEMO_HELD;

    for (int i = 0; i < d->count && outcome == DEMO_HELD; i++)
        for (int k = 0; k < d->servers && outcome == DEMO_HELD; k++)
            outcome = await_caps_at(d, dcs_dc(d->dcs, i), k, e);
    return outcome;
}

/* Real time until a calendar instant. */
static int64_t until_ms(const struct demo *d, int64_t at_s)
{
    return pg_i64(dc_conninfo(busiest(d)), "SELECT calendar.until_ms(calendar.from_ms(%lld))",
                  (long long)at_s * 1000);
}

/* Replays the trace and lets the incidents happen; false if it was interrupted. */
static bool play(struct demo *d)
{
    struct replay_config config = {.plan = d->plan,
                                   .tally = d->tally,
                                   .first_due_ms = d->first_due_ms,
                                   .dcs = d->count,
                                   .servers = d->servers};
    size_t happened = 0;
    int64_t line_ms = max_i64(1000, trace_length_ms(d) / PROGRESS_LINES);
    int64_t next_line_ms = d->first_due_ms + line_ms;

    for (int i = 0; i < d->count * d->servers; i++)
        config.ports[i] = dc_port(dcs_dc(d->dcs, i / d->servers), DC_SERVER, i % d->servers);
    auto_replay struct replay *replay = replay_start(&config);
    d->replay = replay;
    while (!replay_is_done(replay) || happened < INCIDENTS) {
        if (nap(NAP_MS))
            return false;
        while (happened < INCIDENTS && incident_is_due(d, &incidents[happened]))
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
        printf("  all %zu windows settled within %lld ms of their end\n", r->count,
               (long long)took_ms);
    else
        printf("  %lld of %zu windows still not settled %lld ms after their end\n",
               (long long)r->unsettled, r->count, (long long)took_ms);
}

/*
 * Waits until the last window is over and the servers have given back what
 * they held of it; the accounts are then what they will ever be.
 */
static enum demo_outcome settle(const struct demo *d, struct report *ret, struct err *e)
{
    const int64_t over_ms = clk_now_ms() + max_i64(0, until_ms(d, d->plan->ends_at_s));

    while (clk_now_ms() < over_ms)
        if (nap(NAP_MS))
            return DEMO_INTERRUPTED;
    for (;;) {
        report_done(ret);
        if (!report_read(d->tally, d->dcs, ret, e))
            return DEMO_BROKEN;
        if (ret->unsettled == 0 || clk_now_ms() >= over_ms + SETTLE_MS)
            break;
        if (nap(4 * NAP_MS))
            return DEMO_INTERRUPTED;
    }
    show_settled(ret, clk_now_ms() - over_ms);
    return DEMO_HELD;
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
static bool judge(const struct demo *d, const struct report *r)
{
    auto_free char *said = NULL;
    struct err e = {0};
    bool clean = dcs_audit(d->dcs, &said);

    printf("audit: %s\n", clean ? "clean" : said);
    if (!page_write(d->tally, d->events, d->events_count, d->options->page, &e))
        printf("no page: %s\n", e.msg);
    else
        printf("page: %s\n", d->options->page);
    printf("demo: asked %lld, granted %lld, refused %lld, ", (long long)d->tally->asked,
           (long long)d->tally->granted, (long long)d->tally->refused);
    if (d->count > 1)
        printf("refused-cut-off %lld, ", (long long)d->tally->cut_off);
    printf("over-granted %lld, refused-early %lld\n", (long long)r->over_granted,
           (long long)r->refused_early);
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
    struct report report = {.count = 0};
    struct err e = {0};

    enum demo_outcome settled = settle(d, &report, &e);
    if (settled != DEMO_HELD) {
        report_done(&report);
        return settled == DEMO_BROKEN ? failed(&e) : settled;
    }
    printf("\n");
    report_print(&report, d->plan, BUSIEST, d->count, stdout);
    show_retries(d->tally);
    bool held = judge(d, &report);
    report_done(&report);
    return held ? DEMO_HELD : DEMO_BROKEN;
}

enum demo_outcome demo_run(const struct trace *t, const struct demo_options *o)
{
    auto_plan struct plan *plan = plan_new(t, o->seconds);
    auto_tally struct tally *tally = tally_new(plan);
    struct demo d = {.options = o,
                     .plan = plan,
                     .tally = tally,
                     .count = (int)o->dcs,
                     .killed_interval = -1,
                     .killed_remote = -1,
                     .servers = o->dcs == 1 ? SERVERS : SERVERS_OF_MANY};
    struct err e = {0};

    printf("  %zu requests, %lld of them for one of the %d capped paths; an hour takes %lld ms\n",
           t->count, (long long)plan_demand(plan), plan->caps_count,
           (long long)(3600000 / plan->speed));
    start_data_centres(&d);
    auto_dcs struct dcs *dcs = d.dcs;
    show_data_centres(&d);
    if (!define_caps(&d, &e))
        return failed(&e);
    enum demo_outcome known = await_caps(&d, &e);
    if (known != DEMO_HELD)
        return known == DEMO_BROKEN ? failed(&e) : known;
    printf("  %d caps defined, and known to all servers\n", plan->caps_count);
    dcs_calendar_speed(dcs, plan->speed);
    d.first_due_ms = clk_now_ms() + until_ms(&d, trace_first_s(&d));
    if (!play(&d))
        return DEMO_INTERRUPTED;
    return conclude(&d);
}
