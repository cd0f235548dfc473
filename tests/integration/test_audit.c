/* audit: the program, and two data centres over real databases; the test is their transport. */

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clk.h"
#include "tests/harness/local.h"
#include "tests/harness/pg.h"
#include "tests/harness/proc.h"
#include "tests/harness/program.h"

PG_SUITE();

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DCS 2
#define LIMIT_MS 60000

enum { CLEAN = 0, VIOLATED = 1, USAGE = 2, INCOMPLETE = 3 };

static const char *const names[DCS] = {"a", "b"}; /* "a" is the home of every cap */

struct world {
    struct pg_db *dbs[DCS];
    struct svc *svcs[DCS];
    struct client *clients[DCS];
    char urls[DCS][64]; /* "a=http://..." */
    struct program program;
};

static void start(struct world *w)
{
    *w = (struct world){0};
    program_init(&w->program);
    for (int i = 0; i < DCS; i++) {
        char dc[32], peers[32];

        snprintf(dc, sizeof(dc), "LOCAL_DC=%s", names[i]);
        snprintf(peers, sizeof(peers), "LOCAL_PEERS=%s", names[1 - i]);
        const char *const env[] = {dc, peers, "LOCAL_SUSPECT_MS=600000", NULL};
        w->dbs[i] = pg_fresh_db();
        w->svcs[i] = local_start(pg_conninfo_of(w->dbs[i]), env);
        w->clients[i] = svc_client(w->svcs[i]);
        snprintf(w->urls[i], sizeof(w->urls[i]), "%s=http://127.0.0.1:%d", names[i],
                 svc_port(w->svcs[i]));
    }
}

static void stop(struct world *w)
{
    for (int i = 0; i < DCS; i++) {
        w->svcs[i] = svc_stop(w->svcs[i]);
        w->dbs[i] = pg_db_free(w->dbs[i]);
    }
    program_done(&w->program);
}

#define auto_world __attribute__((cleanup(stop)))

static void announce(struct world *w, const char *cap, int64_t total)
{
    for (int i = 0; i < DCS; i++)
        local_announce(w->clients[i], cap,
                       &(struct announced){.version = 1, .total = total, .home = "a"});
}

/* ---- the transport */

/* The rows that one has for the other; more, as a query. */
static const cJSON *rows_of(struct world *w, int from, const char *more)
{
    char path[80];
    struct answer answer = {0};
    struct err e = {0};

    snprintf(path, sizeof(path), "/rows?peer=%s%s", names[1 - from], more);
    cr_assert(client_expect(w->clients[from], 200, "GET", path, NULL, &answer, &e), "%s", e.msg);
    return cJSON_GetObjectItemCaseSensitive(answer.json, "rows");
}

/* All that one has to tell the other; what that one answers is lost. */
static void carry(struct world *w, int from)
{
    auto_free char *rows = cJSON_PrintUnformatted(rows_of(w, from, ""));
    auto_buf struct buf body = {0};
    struct answer answer = {0};
    struct err e = {0};

    if (strcmp(rows, "[]") == 0)
        return;
    buf_printf(&body, "{\"from\":\"%s\",\"rows\":%s}", names[from], rows);
    cr_assert(
        client_expect(w->clients[1 - from], 200, "POST", "/rows", buf_text(&body), &answer, &e),
        "%s", e.msg);
}

static void carry_both(struct world *w)
{
    for (int i = 0; i < DCS; i++)
        carry(w, i);
}

static bool nothing_is_on_its_way(void *arg)
{
    struct world *w = arg;
    int rows = 0;

    carry_both(w);
    for (int i = 0; i < DCS; i++)
        rows += cJSON_GetArraySize(rows_of(w, i, "&in_transit=true"));
    return rows == 0;
}

static void settle(struct world *w)
{
    cr_assert(harness_await(nothing_is_on_its_way, w, LIMIT_MS));
}

/* A server of a data centre spends some of a cap. */
static void spend(struct world *w, int dc, const char *cap, int64_t n)
{
    const struct speaker server = {.number = 1 + dc};
    struct said said = {.want = n};
    struct heard heard = local_topup(w->clients[dc], &server, cap, &said);

    cr_assert_eq(heard.status, 200);
    cr_assert_geq(heard.granted, n);
    said = (struct said){.granted_known = heard.granted, .consumed = n};
    cr_assert_eq(local_topup(w->clients[dc], &server, cap, &said).status, 200);
}

/* Two caps of which each data centre has its share, and has spent something. */
static void start_at_rest(struct world *w)
{
    start(w);
    announce(w, "ad", 1000);
    announce(w, "coupon", 100);
    settle(w);
    spend(w, 0, "ad", 10);
    spend(w, 1, "ad", 20);
    settle(w);
}

/* ---- the program */

/* Of both data centres, with at most one more argument and its value. */
static int audit(struct world *w, const char *option, const char *value)
{
    const char *const args[] = {w->urls[0], w->urls[1], option, value, NULL};

    return program_run(&w->program, "audit", args);
}

static void expect_said(struct world *w, const char *text)
{
    cr_expect(strstr(w->program.output, text) != NULL, "no \"%s\" in: %s", text, w->program.output);
}

static bool is_waiting(void *arg)
{
    struct world *w = arg;

    return strstr(program_output(&w->program), "waited for: ") != NULL;
}

/* ---- what is in order */

Test(audit, at_rest_all_is_accounted_for)
{
    auto_world struct world w;

    start_at_rest(&w);
    cr_expect_eq(audit(&w, NULL, NULL), CLEAN, "%s", w.program.output);
    expect_said(&w, "windows 2, known in only some data centres 0, moving 0");
    expect_said(&w, "all is accounted for");
}

Test(audit, the_result_comes_as_json_too)
{
    auto_world struct world w;

    start_at_rest(&w);
    cr_expect_eq(audit(&w, "--json", NULL), CLEAN, "%s", w.program.output);
    expect_said(&w, "{\"clean\":true,\"complete\":true,\"windows\":2,\"partly_known\":0,"
                    "\"moving\":0,\"unsummed\":0,\"on_the_way\":0,\"violations\":0,"
                    "\"examples\":[],\"moving_examples\":[],\"problems\":[]}");
}

Test(audit, what_was_not_read_is_not_called_clean)
{
    auto_world struct world w;

    start_at_rest(&w);
    const char *const args[] = {w.urls[1], "--json", NULL};
    cr_expect_eq(program_run(&w.program, "audit", args), INCOMPLETE, "%s", w.program.output);
    expect_said(&w, "{\"clean\":false,\"complete\":false,\"windows\":2,");
    expect_said(&w, "\"violations\":0,");
}

Test(audit, what_is_on_its_way_is_waited_for_and_arrives)
{
    auto_world struct world w;

    start(&w);
    announce(&w, "ad", 1000);
    const char *const args[] = {w.urls[0], w.urls[1], "--transit-ms", "600000", NULL};
    program_start(&w.program, "audit", args);

    cr_assert(harness_await(is_waiting, &w, LIMIT_MS), "%s", w.program.output);
    settle(&w);
    cr_expect_eq(program_finish(&w.program), CLEAN, "%s", w.program.output);
    expect_said(&w, "transfers seen on their way 1");
}

Test(audit, what_is_on_its_way_for_too_long_is_found)
{
    auto_world struct world w;

    start(&w);
    announce(&w, "ad", 1000);
    cr_expect_eq(audit(&w, "--transit-ms", "100"), VIOLATED, "%s", w.program.output);
    expect_said(&w, "violation I9 ad 2020-01-01T00:00:00Z: 500 from a are still on their way to b");
    expect_said(&w, "violations 1\n");
}

Test(audit, a_window_that_one_has_not_heard_of_is_no_violation)
{
    auto_world struct world w;

    start_at_rest(&w);
    local_announce(w.clients[0], "new",
                   &(struct announced){.version = 1, .total = 10, .home = "a"});
    local_announce(w.clients[1], "newer",
                   &(struct announced){.version = 1, .total = 10, .home = "a"});
    cr_expect_eq(audit(&w, "--transit-ms", "0"), CLEAN, "%s", w.program.output);
    expect_said(&w, "windows 4, known in only some data centres 2");
}

Test(audit, traffic_is_no_violation)
{
    auto_world struct world w;
    int64_t n = 0;

    start(&w);
    announce(&w, "ad", 100000);
    for (int run = 0; run < 5; run++) {
        const char *const args[] = {w.urls[0], w.urls[1], "--wait-ms", "1000", NULL};
        program_start(&w.program, "audit", args);
        int64_t until_ms = clk_now_ms() + LIMIT_MS;

        while (proc_is_running(w.program.proc)) {
            cr_assert_lt(clk_now_ms(), until_ms, "%s", program_output(&w.program));
            for (int dc = 0; dc < DCS; dc++, n++) {
                const struct speaker server = {.number = 100 + (int)n};
                struct heard heard =
                    local_topup(w.clients[dc], &server, "ad", &(struct said){.want = 10});
                cr_assert_eq(heard.status, 200);
                local_topup(w.clients[dc], &server, "ad",
                            &(struct said){.granted_known = heard.granted,
                                           .consumed = heard.granted / 2,
                                           .refunded = heard.granted / 8});
            }
            carry_both(&w);
        }
        cr_expect_eq(program_finish(&w.program), CLEAN, "%s", w.program.output);
    }
    settle(&w);
    cr_expect_eq(audit(&w, NULL, NULL), CLEAN, "%s", w.program.output);
    expect_said(&w, "moving 0, sum not to be checked 0");
}

/* ---- what is damaged by hand */

#define PAST_TRIGGERS "SET session_replication_role = replica; "
#define OF_AD " WHERE cap = 'ad'; "

/* As if it had received n units more from the other. */
#define RECEIVE(n)                                                                                 \
    "UPDATE local.pool SET received = received + " #n OF_AD                                        \
    "UPDATE local.peer_row SET received = received + " #n OF_AD

static const struct {
    const char *name; /* reads as a claim */
    int dc;
    const char *sql;
    const char *said[3];
} damages[] = {
    {"units received twice",
     1,
     RECEIVE(5),
     {"violation I4 ad 2020-01-01T00:00:00Z: b received 505 from a, which sent 500\n",
      "violation I6 ad 2020-01-01T00:00:00Z: 1005 are free, held, spent or on their way, of 1000"}},
    {"a data centre that forgot what it sent",
     0,
     PAST_TRIGGERS "UPDATE local.pool SET sent = sent - 7" OF_AD
                   "UPDATE local.peer_row SET sent = sent - 7, echoed = 0" OF_AD,
     {"b received 500 from a, which sent 493\n", "1007 are free, held, spent or on their way"}},
    {"units spent that never were",
     1,
     RECEIVE(
         1000) "UPDATE local.pool SET granted = granted + 1000, consumed = consumed + 1000" OF_AD
               "UPDATE local.slice SET granted = granted + 1000,"
               " consumed = consumed + 1000" OF_AD,
     {"violation I5 ad 2020-01-01T00:00:00Z: 1030 are spent, of 1000 in force at home in a\n"}},
    {"more minted than asked for",
     0,
     "UPDATE local.pool SET minted = minted + 1" OF_AD,
     {"violation I5 ad 2020-01-01T00:00:00Z: 1001 are in force at home in a, where at most 1000"}},
    {"units minted away from home",
     1,
     "ALTER TABLE local.pool DROP CONSTRAINT pool_home_mints; "
     "UPDATE local.pool SET minted = 3" OF_AD,
     {"violation I7 ad 2020-01-01T00:00:00Z: b made or destroyed 3, and is not the home\n",
      "violation I7 b's own audit: 1 times"}},
    {"a second home",
     1,
     PAST_TRIGGERS "UPDATE local.pool SET home = NULL" OF_AD,
     {"violation I7 ad 2020-01-01T00:00:00Z: 2 data centres say that they are its home"}},
    {"a pool that is not the sum of its slices",
     1,
     "UPDATE local.pool SET wanted = wanted + 1" OF_AD,
     {"violation I3 b's own audit: 1 times, as: ad "}},
};

Test(audit, what_is_damaged_is_found)
{
    for (size_t i = 0; i < COUNT(damages); i++) {
        auto_world struct world w;

        start_at_rest(&w);
        pg_exec(pg_conninfo_of(w.dbs[damages[i].dc]), "%s", damages[i].sql);
        cr_expect_eq(audit(&w, NULL, NULL), VIOLATED, "%s: %s", damages[i].name, w.program.output);
        for (size_t j = 0; j < COUNT(damages[i].said) && damages[i].said[j]; j++)
            expect_said(&w, damages[i].said[j]);
    }
}

Test(audit, of_a_cap_only_its_own_windows_are_looked_at)
{
    auto_world struct world w;

    start_at_rest(&w);
    announce(&w, "coupon-2", 10);
    pg_exec(pg_conninfo_of(w.dbs[1]), "%s", RECEIVE(5));
    cr_expect_eq(audit(&w, "--cap", "coupon"), CLEAN, "%s", w.program.output);
    expect_said(&w, "windows 1,");
    cr_expect_eq(audit(&w, "--cap", "ad"), VIOLATED, "%s", w.program.output);
    expect_said(&w, "windows 1,");
}

/* A name that is misspelt must not look as if all were well. */
Test(audit, a_cap_that_nobody_knows_is_not_accounted_for)
{
    auto_world struct world w;

    start_at_rest(&w);
    cr_expect_eq(audit(&w, "--cap", "coupo"), INCOMPLETE, "%s", w.program.output);
    expect_said(&w, "incomplete: no data centre that was read knows the cap coupo\n");
    pg_exec(pg_conninfo_of(w.dbs[1]), "UPDATE local.pool SET wanted = 1");
    cr_expect_eq(audit(&w, "--cap", "coupo"), VIOLATED, "what is wrong is wrong: %s",
                 w.program.output);
}

/* ---- many windows */

/* Of "w00001" to "w01300", in one data centre only some; all in one statement. */
static void insert_windows(struct world *w, int dc, const char *where)
{
    pg_exec(pg_conninfo_of(w->dbs[dc]),
            "INSERT INTO local.pool (cap, starts_at, ends_at, state, paused, version, requested,"
            "                        requested_max, minted, home, topup_ppm, slice_max_ppm,"
            "                        autonomy_ms)"
            " SELECT 'w' || lpad(n::text, 5, '0'), '%s', '%s', 'open', false, 1, 10, 10, %s,"
            "        1000, 1000, 1000"
            "   FROM generate_series(1, 1300) n WHERE %s",
            LOCAL_STARTS_AT, LOCAL_ENDS_AT, dc == 0 ? "10, NULL" : "0, 'a'", where);
}

Test(audit, all_of_many_windows_are_looked_at)
{
    auto_world struct world w;

    start(&w);
    insert_windows(&w, 0, "n % 3 <> 0 OR n > 1200");
    insert_windows(&w, 1, "n % 5 <> 0 OR n > 1200");
    cr_expect_eq(audit(&w, NULL, NULL), CLEAN, "%s", w.program.output);
    /* 1200 less those of multiples of 15, of which nobody has heard; 20 % and 33 % of the others.
     */
    expect_said(&w, "windows 1220, known in only some data centres 480, moving 0");

    pg_exec(pg_conninfo_of(w.dbs[1]),
            "INSERT INTO local.peer_row (cap, starts_at, peer, received)"
            " SELECT cap, starts_at, 'a', 1 FROM local.pool WHERE cap IN ('w00001', 'w00499',"
            "        'w00501', 'w01001', 'w01300');"
            "UPDATE local.pool SET received = 1 WHERE (cap, starts_at) IN"
            " (SELECT cap, starts_at FROM local.peer_row)");
    cr_expect_eq(audit(&w, NULL, NULL), VIOLATED, "%s", w.program.output);
    expect_said(&w, "violation I4 w00001");
    expect_said(&w, "violation I4 w00499");
    expect_said(&w, "violation I4 w00501");
    expect_said(&w, "violation I4 w01001");
    expect_said(&w, "violation I4 w01300");
    expect_said(&w, "violations 10\n"); /* each is a sum, too */
}

/* ---- what cannot be looked at */

Test(audit, a_data_centre_that_is_away_makes_it_incomplete)
{
    auto_world struct world w;

    start_at_rest(&w);
    svc_kill(w.svcs[1]);
    cr_expect_eq(audit(&w, NULL, NULL), INCOMPLETE, "%s", w.program.output);
    expect_said(&w, "incomplete: b: ");
    expect_said(&w, "incomplete: a trades with b, whose accounts are not read\n");
    expect_said(&w, "windows 2,");

    pg_exec(pg_conninfo_of(w.dbs[0]), "UPDATE local.pool SET wanted = 1");
    cr_expect_eq(audit(&w, NULL, NULL), VIOLATED, "what is wrong is wrong: %s", w.program.output);
    svc_restart(w.svcs[1]);
}

Test(audit, a_data_centre_that_cannot_audit_itself_makes_it_incomplete)
{
    auto_world struct world w;

    start_at_rest(&w);
    pg_exec(pg_conninfo_of(w.dbs[1]), "ALTER TABLE local.peer_row RENAME TO elsewhere");
    cr_expect_eq(audit(&w, NULL, NULL), INCOMPLETE, "%s", w.program.output);
    expect_said(&w, "incomplete: b: ");
    pg_exec(pg_conninfo_of(w.dbs[1]), "ALTER TABLE local.elsewhere RENAME TO peer_row");
}

Test(audit, a_data_centre_that_dies_meanwhile_makes_it_incomplete)
{
    auto_world struct world w;

    start(&w);
    announce(&w, "ad", 1000);
    const char *const args[] = {w.urls[0], w.urls[1], "--transit-ms", "3600000", NULL};
    program_start(&w.program, "audit", args);

    cr_assert(harness_await(is_waiting, &w, LIMIT_MS), "%s", w.program.output);
    svc_kill(w.svcs[1]);
    cr_expect_eq(program_finish(&w.program), INCOMPLETE, "%s", w.program.output);
    expect_said(&w, "incomplete: b: ");
    expect_said(&w, "windows 1,");
    svc_restart(w.svcs[1]);
}

Test(audit, a_data_centre_that_is_left_out_makes_it_incomplete)
{
    auto_world struct world w;

    start_at_rest(&w);
    const char *const args[] = {w.urls[1], NULL};
    cr_expect_eq(program_run(&w.program, "audit", args), INCOMPLETE, "%s", w.program.output);
    expect_said(&w, "incomplete: b trades with a, whose accounts are not read\n");
}

Test(audit, ctrl_c_ends_it_at_once)
{
    auto_world struct world w;

    start(&w);
    announce(&w, "ad", 1000);
    const char *const args[] = {w.urls[0], w.urls[1], "--transit-ms", "3600000", NULL};
    program_start(&w.program, "audit", args);

    cr_assert(harness_await(is_waiting, &w, LIMIT_MS), "%s", w.program.output);
    proc_signal(w.program.proc, SIGINT);
    cr_expect_eq(program_finish(&w.program), INCOMPLETE, "%s", w.program.output);
    expect_said(&w, "incomplete: stopped before the end\n");
}

/* ---- usage */

Test(audit, names_that_are_mixed_up_are_refused)
{
    auto_world struct world w;
    char mixed[80];

    start(&w);
    snprintf(mixed, sizeof(mixed), "a=http://127.0.0.1:%d/", svc_port(w.svcs[1]));
    const char *const args[] = {mixed, NULL};
    cr_expect_eq(program_run(&w.program, "audit", args), USAGE, "%s", w.program.output);
    expect_said(&w, "is data centre b, not a\n");
}

static const struct {
    const char *name; /* reads as a claim */
    const char *args[3];
    const char *said;
} usages[] = {
    {"at least one data centre", {NULL}, "which data centres?"},
    {"a name and an address", {"a"}, "must be NAME=URL"},
    {"a name", {"=http://x"}, "a name has"},
    {"a name is a name", {"a b=http://x"}, "a name has"},
    {"an address of http", {"a=https://x"}, "http://"},
    {"an address", {"a=http://"}, "an address has"},
    {"each once", {"a=http://x", "a=http://y"}, "a is given twice"},
    {"known options", {"--surprise", "a=http://x"}, "not known"},
    {"a value for an option", {"a=http://x", "--cap"}, "has no value"},
    {"a cap's name", {"--cap=not a name", "a=http://x"}, "a cap's id"},
    {"a number", {"--wait-ms=soon", "a=http://x"}, "--wait-ms"},
    {"a number that is not too large", {"--transit-ms=3600001", "a=http://x"}, "--transit-ms"},
};

Test(audit, what_is_not_understood_is_refused)
{
    struct world w = {0};

    program_init(&w.program);
    for (size_t i = 0; i < COUNT(usages); i++) {
        cr_expect_eq(program_run(&w.program, "audit", usages[i].args), USAGE, "%s: %s",
                     usages[i].name, w.program.output);
        expect_said(&w, usages[i].said);
        expect_said(&w, "usage: audit");
    }
    const char *const help[] = {"--help", NULL};
    cr_expect_eq(program_run(&w.program, "audit", help), CLEAN);
    expect_said(&w, "usage: audit");
    program_done(&w.program);
}
