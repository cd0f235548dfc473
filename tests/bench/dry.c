/*
 * dry: how long a data centre that has run dry waits for units of another, in
 * round trips between the two.  One is the least: the ask, and the units.
 */

#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "tests/bench/bench.h"
#include "tests/harness/dcs.h"
#include "tests/harness/proc.h"

#define TOTAL 200
#define SHARE (TOTAL / 2)
#define SAMPLES 15
#define SAMPLES_QUICK 5
#define PATIENCE_MS 60000

/* A consume waits at the server for what it can get: what is measured is not how often one asks. */
#define WAIT "SERVER_WAIT_MS=5000"

struct dry {
    struct dcs *dcs;
    struct client *meta, *local; /* of the first data centre; of the second */
    struct client *server;       /* of the second */
    int caps;
    char cap[32]; /* of the present sample */
};

static int64_t free_units(struct dry *d)
{
    char path[64];
    const struct call call = {.method = "GET", .path = path};
    struct answer answer = {0};
    struct err e;

    snprintf(path, sizeof(path), "/pools/%s", d->cap);
    if (!client_call(d->local, &call, &answer, &e) || answer.status != 200)
        return -1;
    const cJSON *pools = cJSON_GetObjectItemCaseSensitive(answer.json, "pools");
    const cJSON *free = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(pools, 0), "free");
    return cJSON_IsNumber(free) ? (int64_t)free->valuedouble : -1;
}

/* All but the server's slice, which is one unit. */
static bool has_its_share(void *arg)
{
    return free_units(arg) == SHARE - 1;
}

/* Nobody has asked for any of it yet: no demand is known. */
static void new_cap(struct dry *d)
{
    static const char body[] =
        "{\"starts_at\":\"2020-01-01T00:00:00Z\",\"ends_at\":\"2100-01-01T00:00:00Z\","
        "\"interval\":\"single\",\"total\":200,\"slice_max_fraction\":0.005}";
    struct err e = {0};

    snprintf(d->cap, sizeof(d->cap), "dry-%d", d->caps++);
    if (!client_put_cap(d->meta, d->cap, body, &e))
        harness_fail("bench: %s", e.msg);
    if (!harness_await(has_its_share, d, PATIENCE_MS))
        harness_fail("bench: %s does not get its share of %s", dcs_name(1), d->cap);
}

static void consume(struct dry *d, int64_t n)
{
    int64_t deadline_ms = clk_now_ms() + PATIENCE_MS;
    enum verdict v = VERDICT_UNKNOWN;

    while ((v = client_consume(d->server, d->cap, n, NULL).verdict) != VERDICT_GRANTED)
        if (clk_now_ms() >= deadline_ms)
            harness_fail("bench: %s at %s: %s", d->cap, dcs_name(1), verdict_name(v));
}

/* From when it has nothing left to when a consumer there has one more. */
static double sample_ms(struct dry *d)
{
    new_cap(d);
    consume(d, SHARE);
    int64_t dry_ns = clk_now_ns();
    consume(d, 1);
    return (double)(clk_now_ns() - dry_ns) / 1e6;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static void measure(struct dry *d, int64_t round_trip_ms, int samples)
{
    double ms[SAMPLES];

    links_delay(dcs_folder(d->dcs), round_trip_ms / 2);
    for (int i = 0; i < samples; i++)
        ms[i] = sample_ms(d);
    qsort(ms, (size_t)samples, sizeof(ms[0]), compare);
    printf("bench: dry, round trip %lld ms: units after %.1f ms (median of %d, %.1f to %.1f) = "
           "%.2f round trips\n",
           (long long)round_trip_ms, ms[samples / 2], samples, ms[0], ms[samples - 1],
           ms[samples / 2] / (double)round_trip_ms);
}

void bench_dry(struct dc *dc, const struct bench_plan *plan)
{
    static const char *const env[] = {WAIT, NULL};
    int samples = plan->rounds > 1 ? SAMPLES : SAMPLES_QUICK;
    struct dry d = {.caps = 0};

    (void)dc;
    d.dcs = dcs_start(&(struct dcs_options){
        .count = 2, .links = true, .each = {.servers = 1, .fsync = true, .env = env}});
    auto_dcs struct dcs *dcs = d.dcs;
    d.meta = dc_client(dcs_dc(dcs, 0), DC_META, 0);
    d.local = dc_client(dcs_dc(dcs, 1), DC_LOCAL, 0);
    d.server = dc_client(dcs_dc(dcs, 1), DC_SERVER, 0);
    measure(&d, 20, samples);
    measure(&d, 80, samples);
    measure(&d, 200, samples);
    (void)client_free(d.server);
    (void)client_free(d.local);
    (void)client_free(d.meta);
}
