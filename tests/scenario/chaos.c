/*
 * chaos [--seconds N] [--seed N] [--dir FOLDER]: clients spend a handful of
 * caps at three servers while servers, services and PostgreSQL are killed -9,
 * or frozen, at random and started again, over many window boundaries, and
 * totals change.  In the end no unit was made and none is lost.
 *
 * The seed decides who is hit when; what it hits depends on the machine.
 */

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/prng.h"
#include "tests/harness/proc.h"
#include "tests/scenario/chaos.h"

#define SERVERS 3
#define LOCALS 2
#define VICTIMS (SERVERS + LOCALS + 3)

/*
 * An hour of the calendar takes 30 s, and so long before its start a window is made.  Nothing
 * stays away for that long, nor does a message lie with relays that were killed (10 s each), be it
 * two in a row: a window that is not open would be a mistake.
 */
#define SPEED 120

/* Even a short run crosses the end of a day. */
#define STARTS_AT "2026-05-20T23:40:00Z"

#define SECONDS_DEFAULT "60"
#define HIT_EVERY_MS 600 /* on average */
#define DOWN_MS_MAX 1200
#define READY_MS 120000

/* clang-format off */
const struct chaos_cap chaos_caps[CHAOS_CAPS] = {
    {"few",    "hour",        20,     0,  1},
    {"some",   "hour",       500,     0,  3},
    {"large",  "hour",      5000,     0, 40},
    {"cut",    "day",       4000,   300,  3},
    {"once",   "single",    3000,     0,  2},
    {"plenty", "day",    1000000,     0,  5},
};

/* Silence is noticed, and found out to be none; no account is closed or purged before the end. */
static const char *const environment[] = {
    "LOCAL_SUSPECT_MS=300",
    "LOCAL_PRESUME_MS=700",
    "LOCAL_CLOSE_MS=31622400000",
    "LOCAL_RETENTION_MS=31622400000",
    "INTERVAL_RETENTION_MS=31622400000",
    NULL,
};
/* clang-format on */

enum fate { UP, KILLED, FROZEN };

struct victim {
    bool is_database;
    enum dc_kind kind;
    int number;
    enum fate fate;
    int64_t back_ms; /* when it comes back */
};

struct chaos {
    int64_t seconds;
    uint64_t seed;
    const char *folder;
    struct prng prng;
    struct dc *dc;
    struct client *meta;
    struct victim victims[VICTIMS];
    int64_t kills, freezes, cuts;
    bool is_cut;
};

static bool define(struct chaos *c, const struct chaos_cap *cap, int64_t total, struct err *e)
{
    char body[256];

    snprintf(body, sizeof(body),
             "{\"starts_at\":\"2026-05-20T00:00:00Z\",\"ends_at\":\"2100-01-01T00:00:00Z\","
             "\"interval\":\"%s\",\"total\":%" PRId64 "}",
             cap->interval, total);
    return client_put_cap(c->meta, cap->name, body, e);
}

static void define_all(struct chaos *c)
{
    struct err e = {0};

    for (int i = 0; i < CHAOS_CAPS; i++)
        if (!define(c, &chaos_caps[i], chaos_caps[i].total, &e))
            harness_fail("%s", e.msg);
}

/* From here on no server may say that it does not know a cap. */
static bool all_know_all(void *arg)
{
    const struct chaos *c = arg;

    for (int i = 0; i < SERVERS; i++) {
        auto_client struct client *server = dc_client(c->dc, DC_SERVER, i);
        for (int k = 0; k < CHAOS_CAPS; k++)
            if (client_consume(server, chaos_caps[k].name, 1, "check").verdict != VERDICT_GRANTED)
                return false;
    }
    return true;
}

/* Whether it arrives is chance: meta-svc may be down. */
static void change_totals(struct chaos *c)
{
    struct err e = {0};

    c->is_cut = !c->is_cut;
    for (int i = 0; i < CHAOS_CAPS; i++) {
        const struct chaos_cap *cap = &chaos_caps[i];
        if (cap->cut_to > 0)
            c->cuts += define(c, cap, c->is_cut ? cap->cut_to : cap->total, &e);
    }
}

static void name_victims(struct chaos *c)
{
    int count = 0;

    for (enum dc_kind kind = 0; kind < DC_KINDS; kind++)
        for (int i = 0; i < dc_count(c->dc, kind); i++)
            c->victims[count++] = (struct victim){.kind = kind, .number = i};
    c->victims[count++] = (struct victim){.is_database = true};
    CHECK(count == VICTIMS);
}

static void say(const struct chaos *c, const char *what, const struct victim *v, int64_t start_ms)
{
    printf("%7" PRId64 " ms: %s %s\n", clk_now_ms() - start_ms, what,
           v->is_database ? "postgresql" : dc_name(c->dc, v->kind, v->number));
}

static void kill_victim(struct chaos *c, struct victim *v)
{
    if (v->is_database)
        pg_kill(dc_pg(c->dc));
    else
        dc_kill(c->dc, v->kind, v->number);
    v->fate = KILLED;
    c->kills++;
}

static void freeze_victim(struct chaos *c, struct victim *v)
{
    if (v->is_database)
        pg_freeze(dc_pg(c->dc));
    else
        dc_freeze(c->dc, v->kind, v->number);
    v->fate = FROZEN;
    c->freezes++;
}

static void bring_back(struct chaos *c, struct victim *v)
{
    if (v->fate == FROZEN && v->is_database)
        pg_thaw(dc_pg(c->dc));
    else if (v->fate == FROZEN)
        dc_thaw(c->dc, v->kind, v->number);
    else if (v->is_database)
        pg_restart(dc_pg(c->dc));
    else
        dc_launch(c->dc, v->kind, v->number);
    v->fate = UP;
}

static void hit(struct chaos *c, int64_t start_ms)
{
    struct victim *v = &c->victims[prng_below(&c->prng, VICTIMS)];
    bool freeze = prng_below(&c->prng, 4) == 0;
    int64_t down_ms = prng_below(&c->prng, DOWN_MS_MAX);

    if (v->fate != UP)
        return;
    say(c, freeze ? "freeze" : "kill", v, start_ms);
    if (freeze)
        freeze_victim(c, v);
    else
        kill_victim(c, v);
    v->back_ms = clk_now_ms() + down_ms;
}

static void bring_back_due(struct chaos *c, int64_t now_ms)
{
    for (int i = 0; i < VICTIMS; i++)
        if (c->victims[i].fate != UP && c->victims[i].back_ms <= now_ms)
            bring_back(c, &c->victims[i]);
}

/* Whoever dies without having been killed has met a bug. */
static void expect_nobody_died(const struct chaos *c)
{
    for (int i = 0; i < VICTIMS; i++) {
        const struct victim *v = &c->victims[i];
        if (v->fate == UP && !v->is_database && !dc_is_running(c->dc, v->kind, v->number))
            harness_fail("%s ended by itself; seed %" PRIu64 ", logs in %s",
                         dc_name(c->dc, v->kind, v->number), c->seed, dc_folder(c->dc));
    }
}

static void rage(struct chaos *c)
{
    int64_t start_ms = clk_now_ms(), hit_ms = start_ms;

    while (clk_now_ms() - start_ms < c->seconds * 1000) {
        if (clk_now_ms() >= hit_ms) {
            hit(c, start_ms);
            if (prng_below(&c->prng, 5) == 0)
                change_totals(c);
            hit_ms = clk_now_ms() + prng_below(&c->prng, 2 * HIT_EVERY_MS);
        }
        bring_back_due(c, clk_now_ms());
        expect_nobody_died(c);
        poll(NULL, 0, 10);
    }
    bring_back_due(c, INT64_MAX);
}

static bool is_sure(void *arg)
{
    const struct chaos *c = arg;
    auto_client struct client *local = dc_client(c->dc, DC_LOCAL, 0);
    struct answer answer = {0};
    struct err e;

    return client_expect(local, 200, "GET", "/learning", NULL, &answer, &e) &&
           cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(answer.json, "learning"));
}

/* Everything runs again, and knows what the database remembers; then the servers stop in order and
 * give back what they hold. */
static void calm_down(struct chaos *c)
{
    for (enum dc_kind kind = 0; kind < DC_KINDS; kind++)
        for (int i = 0; i < dc_count(c->dc, kind); i++)
            dc_wait_ready(c->dc, kind, i);
    if (!harness_await(is_sure, c, READY_MS))
        harness_fail("local-svc does not learn whether something was forgotten");
    for (int i = 0; i < SERVERS; i++)
        (void)dc_terminate(c->dc, DC_SERVER, i);
}

static void report(const struct chaos *c, const struct tally *t, int broken)
{
    int64_t asked = 0;

    for (int v = 0; v < VERDICTS; v++) {
        asked += t->asked[v];
        printf("chaos: %s %" PRId64 "\n", verdict_name((enum verdict)v), t->asked[v]);
    }
    printf("chaos: seed %" PRIu64 ", %" PRId64 " s, %" PRId64 " killed, %" PRId64
           " frozen, %" PRId64 " totals changed, %" PRId64 " asked, %d broken\n",
           c->seed, c->seconds, c->kills, c->freezes, c->cuts, asked, broken);
}

static int run(struct chaos *c)
{
    auto_dc struct dc *dc = dc_start(&(struct dc_options){
        .folder = c->folder,
        .locals = LOCALS,
        .servers = SERVERS,
        .calendar = STARTS_AT,
        .speed = SPEED,
        .env = environment,
    });
    auto_client struct client *meta = dc_client(dc, DC_META, 0);

    c->dc = dc;
    c->meta = meta;
    name_victims(c);
    define_all(c);
    if (!harness_await(all_know_all, c, READY_MS))
        harness_fail("the servers do not get to know the caps");
    struct load *load = load_start(dc, c->seed);
    rage(c);
    auto_tally struct tally *tally = load_stop(load);
    calm_down(c);
    int broken = chaos_check(dc, tally) + dc_stop_services(dc);
    report(c, tally, broken);
    return broken == 0 && tally->asked[VERDICT_GRANTED] > 0 ? 0 : 1;
}

static int usage(void)
{
    fprintf(stderr, "usage: chaos [--seconds N] [--seed N] [--dir FOLDER]\n"
                    "seconds: VOLUMECAP_CHAOS_SECONDS, or " SECONDS_DEFAULT ", if left out\n");
    return 2;
}

static bool read_options(int argc, char **argv, struct chaos *c)
{
    const char *seconds = getenv("VOLUMECAP_CHAOS_SECONDS");
    int64_t seed = (int64_t)(prng_entropy() >> 32);
    struct err e;

    if (!num_parse_i64(seconds ? seconds : SECONDS_DEFAULT, 1, 1000000, &c->seconds, &e))
        return false;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return false;
        if (strcmp(argv[i], "--dir") == 0)
            c->folder = argv[i + 1];
        else if (strcmp(argv[i], "--seconds") == 0) {
            if (!num_parse_i64(argv[i + 1], 1, 1000000, &c->seconds, &e))
                return false;
        } else if (strcmp(argv[i], "--seed") != 0 ||
                   !num_parse_i64(argv[i + 1], 0, INT64_MAX, &seed, &e))
            return false;
    }
    c->seed = (uint64_t)seed;
    c->prng.state = c->seed;
    return true;
}

int main(int argc, char **argv)
{
    struct chaos c = {0};

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (!read_options(argc, argv, &c))
        return usage();
    printf("chaos: seed %" PRIu64 ", %" PRId64 " s\n", c.seed, c.seconds);
    httpc_global_init();
    return run(&c);
}
