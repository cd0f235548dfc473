#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/bench/bench.h"
#include "tests/bench/rivals.h"

/* Each connection is a server of its own; one item a call, so that gathering is local-svc's work.
 */
#define SERVERS 256
#define POOLS 10000
#define STARTS_AT "2020-01-01T00:00:00Z"
#define WANT "10"

/* ---- the servers */

/* A slice's cumulative counter; all that was granted is consumed at once. */
struct slice {
    int64_t granted;
};

/*
 * With one window all servers share it; with many, each has every SERVERS-th
 * of them, in turn, so that no two calls at a time are for the same one.
 */
struct fleet {
    const char *prefix;
    int windows;
    struct slice *slices; /* one a server, or one a window */
    int turn[SERVERS];
};

static int window_of(const struct fleet *f, int server)
{
    return f->windows == 1 ? 0 : server + f->turn[server] * SERVERS;
}

static struct slice *slice_of(const struct fleet *f, int server)
{
    return &f->slices[f->windows == 1 ? server : window_of(f, server)];
}

static size_t topup_next(void *arg, int server, char *out, size_t size)
{
    struct fleet *f = arg;
    char body[600];

    f->turn[server]++;
    if (window_of(f, server) >= f->windows)
        f->turn[server] = 0;
    long long granted = slice_of(f, server)->granted;
    snprintf(body, sizeof(body),
             "{\"server\":\"bench-%d\",\"incarnation\":\"00000000-0000-4000-8000-%012d\","
             "\"generation\":1,\"process\":\"00000000-0000-4000-9000-%012d\",\"items\":[{"
             "\"cap\":\"%s-%d\",\"starts_at\":\"" STARTS_AT "\",\"granted_known\":%lld,"
             "\"returned\":0,\"consumed\":%lld,\"refunded\":0,\"want\":" WANT
             ",\"rate_milli\":1000}]}",
             server, server, server, f->prefix, window_of(f, server), granted, granted);
    return load_http_request(out, size, "POST", "/topup", body);
}

/* Good is only what was granted: a refusal, however quick, is no topup. */
static enum load_verdict topup_answer(void *arg, int server, const char *data, size_t len)
{
    static const char key[] = "\"granted\":";
    struct slice *slice = slice_of(arg, server);
    enum load_verdict verdict = load_http_answer(data, len);
    const char *at = verdict == LOAD_GOOD ? strstr(data, key) : NULL;

    if (verdict != LOAD_GOOD)
        return verdict;
    int64_t granted = at ? strtoll(at + strlen(key), NULL, 10) : 0;
    bool is_more = granted > slice->granted;
    slice->granted = granted;
    return is_more ? LOAD_GOOD : LOAD_BAD;
}

/* ---- the two figures */

/* Takes effect in sessions that are open, too. */
static void set_durability(const char *conninfo, const char *value)
{
    pg_exec(conninfo, "ALTER SYSTEM SET synchronous_commit = %s", value);
    pg_exec(conninfo, "SELECT pg_reload_conf()");
}

/*
 * Opens the windows and makes every slice, so that what is measured is the
 * steady state.  Preparation, which nobody measures, does not wait for the disk.
 */
static void prepare(const struct dc *dc, const struct load_target *ours, const struct fleet *fleet)
{
    set_durability(dc_conninfo(dc), "off");
    bench_open_windows(&(struct bench_windows){.port = dc_port(dc, DC_LOCAL, 0),
                                               .prefix = fleet->prefix,
                                               .starts_at = STARTS_AT,
                                               .ends_at = "2100-01-01T00:00:00Z",
                                               .state = "open",
                                               .total = UNITS_MAX,
                                               .slice = 0.000001},
                       fleet->windows);
    if (!load_all(ours, SERVERS, fleet->windows == 1 ? SERVERS : fleet->windows))
        harness_fail("bench: a first topup was refused");
    pgbench_prepare(dc_conninfo(dc), fleet->windows);
    set_durability(dc_conninfo(dc), "on");
}

static void measure(struct dc *dc, const struct bench_plan *plan, const char *name,
                    const char *prefix, int windows)
{
    struct fleet fleet = {.prefix = prefix, .windows = windows};
    auto_free struct slice *slices = calloc((size_t)(windows + SERVERS), sizeof(*slices));
    const struct load_target ours = {.port = dc_port(dc, DC_LOCAL, 0),
                                     .pid = dc_pid(dc, DC_LOCAL, 0),
                                     .next = topup_next,
                                     .answer = topup_answer,
                                     .arg = &fleet};
    const struct load_plan load = {.connections = SERVERS, .ms = plan->ms};
    struct bench_figure gathered = {0}, single = {0};

    CHECK(slices != NULL);
    fleet.slices = slices;
    prepare(dc, &ours, &fleet);
    for (int i = 0; i < plan->rounds; i++) {
        struct load_result run = bench_run(name, &ours, &load);
        bench_add(&gathered, &run);
        run = (struct load_result){.per_second = pgbench_run(dc_conninfo(dc), windows, plan->ms)};
        bench_add(&single, &run);
    }
    bench_print(name, &gathered);
    bench_print_ratio(&gathered, "one transaction each", &single);
    bench_print_end();
}

void bench_topup(struct dc *dc, const struct bench_plan *plan)
{
    auto_client struct client *local = dc_client(dc, DC_LOCAL, 0);
    struct err e = {0};

    measure(dc, plan, "topup hot", "hot", 1);
    measure(dc, plan, "topup 10,000 caps", "cold", POOLS);
    if (!client_audit(local, &e))
        harness_fail("bench: %s", e.msg);
}
