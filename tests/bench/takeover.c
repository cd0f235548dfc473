/*
 * takeover: how long it takes after a fault of the primary interval-svc until
 * the other replica acts, and until a cap that was defined in the moment of the
 * fault can be spent.
 */

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clk.h"
#include "tests/bench/bench.h"
#include "tests/harness/proc.h"

#define SAMPLES 10
#define SAMPLES_QUICK 3
#define PATIENCE_MS 30000

static const enum dc_kind pair[] = {DC_INTERVAL, DC_COORDINATOR};

/* The primary is the first of its kind, and so is the coordinator beside it. */
static void for_both(struct dc *dc, void (*fault)(struct dc *dc, enum dc_kind kind, int i))
{
    for (int k = 0; k < 2; k++)
        fault(dc, pair[k], 0);
}

static void kill_both(struct dc *dc)
{
    for_both(dc, dc_kill);
}

static void freeze_both(struct dc *dc)
{
    for_both(dc, dc_freeze);
}

static void thaw_both(struct dc *dc)
{
    for_both(dc, dc_thaw);
}

static void step_down(struct dc *dc)
{
    auto_client struct client *coordinator = dc_client(dc, DC_COORDINATOR, 0);
    struct answer answer = {0};
    struct err e = {0};

    if (!client_expect(coordinator, 200, "POST", "/step-down", NULL, &answer, &e))
        harness_fail("bench: %s", e.msg);
}

static const struct {
    const char *name;
    void (*strike)(struct dc *dc);
    void (*repair)(struct dc *dc); /* NULL: nothing */
} faults[] = {
    {"kill -9", kill_both, NULL},
    {"freeze", freeze_both, thaw_both},
    {"cut off", dc_db_cut, dc_db_mend},
    {"step-down", step_down, NULL},
};

struct sample {
    struct dc *dc;
    struct client *server;
    char cap[32];
    int64_t acts_ms, spent_ms; /* when it was first seen; 0: not yet */
};

static bool is_acting(void *arg)
{
    const struct sample *s = arg;

    return dc_is_acting(s->dc, DC_INTERVAL, 0);
}

static bool is_over(void *arg)
{
    struct sample *s = arg;

    if (s->acts_ms == 0 && dc_is_acting(s->dc, DC_INTERVAL, 1))
        s->acts_ms = clk_now_ms();
    if (s->spent_ms == 0 && client_consume(s->server, s->cap, 1, NULL).verdict == VERDICT_GRANTED)
        s->spent_ms = clk_now_ms();
    return s->acts_ms > 0 && s->spent_ms > 0;
}

static void put_cap(struct sample *s)
{
    static const char body[] =
        "{\"starts_at\":\"2020-01-01T00:00:00Z\",\"ends_at\":\"2100-01-01T00:00:00Z\","
        "\"interval\":\"single\",\"total\":1000}";
    auto_client struct client *meta = dc_client(s->dc, DC_META, 0);
    struct err e = {0};

    if (!client_put_cap(meta, s->cap, body, &e))
        harness_fail("bench: %s", e.msg);
}

static void take_sample(struct sample *s, size_t fault, double *ret_acts, double *ret_spent)
{
    static int caps;

    s->acts_ms = s->spent_ms = 0;
    (void)snprintf(s->cap, sizeof(s->cap), "takeover-%d", caps++);
    dc_make_primary(s->dc, DC_INTERVAL, 0);
    if (!harness_await(is_acting, s, PATIENCE_MS))
        harness_fail("bench: %s does not act", dc_name(s->dc, DC_INTERVAL, 0));
    int64_t began_ms = clk_now_ms();
    faults[fault].strike(s->dc);
    put_cap(s);
    if (!harness_await(is_over, s, PATIENCE_MS))
        harness_fail("bench: %s: nobody takes over", faults[fault].name);
    *ret_acts = (double)(s->acts_ms - began_ms);
    *ret_spent = (double)(s->spent_ms - began_ms);
    if (faults[fault].repair)
        faults[fault].repair(s->dc);
    dc_heal(s->dc);
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void print(const char *what, double ms[SAMPLES], int samples)
{
    qsort(ms, (size_t)samples, sizeof(ms[0]), compare);
    printf("%s %.0f ms (median of %d, %.0f to %.0f)", what, ms[samples / 2], samples, ms[0],
           ms[samples - 1]);
}

static void measure(struct sample *s, size_t fault, int samples)
{
    double acts[SAMPLES], spent[SAMPLES];

    for (int i = 0; i < samples; i++)
        take_sample(s, fault, &acts[i], &spent[i]);
    printf("bench: takeover, %s: ", faults[fault].name);
    print("another acts after", acts, samples);
    print("; a new cap is spent after", spent, samples);
    printf("\n");
}

void bench_takeover(struct dc *dc, const struct bench_plan *plan)
{
    struct sample s = {.acts_ms = 0};

    (void)dc;
    s.dc = dc_start(
        &(struct dc_options){.servers = 1, .standby = true, .db_line = true, .fsync = true});
    auto_dc struct dc *ours = s.dc;
    s.server = dc_client(ours, DC_SERVER, 0);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        measure(&s, i, plan->rounds > 1 ? SAMPLES : SAMPLES_QUICK);
    (void)client_free(s.server);
}
