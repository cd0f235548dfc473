/*
 * volumecap-server against a local-svc that tests can hold, break and look
 * into: the real quota law, but no database.
 */

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clk.h"
#include "common/base/log.h"
#include "services/volumecap-server/app.h"
#include "tests/harness/client.h"
#include "tests/harness/fake_local.h"
#include "tests/harness/proc.h"
#include "tests/harness/promise.h"

#define SOON_MS 30000 /* by then what is to happen has happened, on a busy machine too */
#define WAIT_MS 20000 /* who waits for units that are there gets them by then, likewise */
#define DAY INT64_C(1779235200000) /* 2026-05-20T00:00:00Z */
#define DAY_MS INT64_C(86400000)

static struct fake_local *local;
static struct server_config config;
static struct server_app *server;
static struct client *client;
static char ledger[200];

static atomic_int refusals;

static void on_refused(void *arg, const struct err *e)
{
    (void)arg;
    (void)e;
    atomic_fetch_add(&refusals, 1);
}

static void start_server(void)
{
    struct err e = {0};

    cr_assert(server_app_start(&config, "{}", on_refused, &server, &e), "%s", e.msg);
    client = client_new("volumecap-server", (int)httpd_port(server->httpd));
}

static void stop_server(void)
{
    client = client_free(client);
    server = server_app_stop(server);
}

/* For who waits in vain; what a slice covers does not wait. */
static void wait_briefly(void)
{
    stop_server();
    config.wait_ms = 100;
    start_server();
}

static void begin(void)
{
    char *folder = folder_scratch();

    log_level_set(LOG_ERROR);
    local = fake_local_start();
    snprintf(ledger, sizeof(ledger), "%s/ledger", folder);
    free(folder);
    config = (struct server_config){
        .name = "front-1",
        .http = {.address = "127.0.0.1",
                 .threads = 2,
                 .connections_max = 100,
                 .request_timeout_ms = 3000},
        .local_url = fake_local_url(local),
        .ledger = ledger,
        .ledger_entries = 64,
        .wait_ms = WAIT_MS,
        .waiting_max = 100,
        .report_ms = 100,
    };
    start_server();
}

static void end(void)
{
    stop_server();
    local = fake_local_stop(local);
}

TestSuite(server, .init = begin, .fini = end);

/* ---- what there is, and what is said of it */

static struct fake_window day(const char *cap, int64_t total)
{
    return (struct fake_window){
        .cap = cap,
        .starts_at_ms = DAY,
        .ends_at_ms = DAY + DAY_MS,
        .starts_in_ms = -1000,
        .ends_in_ms = 3600000,
        .state = INTERVAL_OPEN,
        .total = total,
    };
}

static struct pool pool_of(const char *cap)
{
    return fake_local_pool(local, cap, DAY);
}

struct wish {
    const char *cap;
    int64_t starts_at_ms;
    int64_t free, held, consumed; /* -1: whatever */
};

static bool pool_is(void *arg)
{
    const struct wish *w = arg;
    const struct pool p = fake_local_pool(local, w->cap, w->starts_at_ms);

    return (w->free < 0 || pool_free(&p) == w->free) && (w->held < 0 || pool_held(&p) == w->held) &&
           (w->consumed < 0 || p.consumed == w->consumed);
}

static void await_window(const char *cap, int64_t starts_at_ms, int64_t free_units, int64_t held,
                         int64_t consumed)
{
    struct wish w = {cap, starts_at_ms, free_units, held, consumed};
    bool ok = harness_await(pool_is, &w, SOON_MS);
    const struct pool p = fake_local_pool(local, cap, starts_at_ms);

    cr_assert(ok, "%s: free %lld, held %lld, consumed %lld; expected %lld, %lld, %lld", cap,
              (long long)pool_free(&p), (long long)pool_held(&p), (long long)p.consumed,
              (long long)free_units, (long long)held, (long long)consumed);
}

static void await_pool(const char *cap, int64_t free_units, int64_t held, int64_t consumed)
{
    await_window(cap, DAY, free_units, held, consumed);
}

static bool is_known(void *cap)
{
    struct spend_view views[SPEND_VIEWS_MAX];

    return spend_look(&server->spender, cap, clk_now_ms(), views) > 0;
}

static bool is_unknown(void *cap)
{
    return !is_known(cap);
}

/* Announces it, and waits until the server has heard of it. */
static void announce_window(const struct fake_window *w)
{
    char cap[NAME_SIZE];

    snprintf(cap, sizeof(cap), "%s", w->cap);
    fake_local_set(local, w);
    cr_assert(harness_await(is_known, cap, SOON_MS));
}

static int64_t rest_of(const char *cap)
{
    struct spend_view views[SPEND_VIEWS_MAX];
    size_t count = spend_look(&server->spender, cap, clk_now_ms(), views);
    int64_t rest = -1;

    for (size_t i = 0; i < count; i++)
        if (views[i].current)
            rest = views[i].rest;
    return rest;
}

static bool has_rest(void *cap)
{
    return rest_of(cap) > 0;
}

struct rest_wish {
    const char *cap;
    int64_t rest;
};

static bool rest_is(void *arg)
{
    const struct rest_wish *w = arg;

    return rest_of(w->cap) == w->rest;
}

static void await_rest(const char *cap, int64_t rest)
{
    struct rest_wish w = {cap, rest};

    cr_assert(harness_await(rest_is, &w, SOON_MS), "%s: rest %lld, expected %lld", cap,
              (long long)rest_of(cap), (long long)rest);
}

static struct answer ask(int expected, const char *method, const char *path, const char *body)
{
    struct answer a = {0};
    struct err e = {0};

    cr_assert(client_expect(client, expected, method, path, body, &a, &e), "%s", e.msg);
    return a;
}

static int64_t number(const cJSON *j, const char *name)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(j, name);

    cr_assert(cJSON_IsNumber(member), "%s", name);
    return (int64_t)member->valuedouble;
}

static const char *text(const cJSON *j, const char *name)
{
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(j, name));

    return value ? value : "";
}

static const cJSON *item(struct answer a, int index)
{
    return cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(a.json, "items"), index);
}

static void consume_to(enum verdict expected, const char *cap, int64_t amount)
{
    struct consumed c = client_consume(client, cap, amount, NULL);

    cr_assert(c.verdict == expected, "%s: %s, expected %s", cap, verdict_name(c.verdict),
              verdict_name(expected));
}

static bool verbose_says(const char *what)
{
    struct answer a = ask(200, "GET", "/readyz?verbose", NULL);

    return strstr(buf_text(&a.reply->body), what) != NULL;
}

static bool is_said(void *what)
{
    return verbose_says(what);
}

static bool is_not_said(void *what)
{
    return !verbose_says(what);
}

static bool is_ready(void *arg)
{
    struct answer a = {0};
    struct err e = {0};
    const struct call call = {.method = "GET", .path = "/readyz"};

    (void)arg;
    return client_call(client, &call, &a, &e) && a.status == 200;
}

/* ---- slices */

Test(server, takes_a_first_slice_before_anyone_asks)
{
    struct fake_window w = day("ad", 1000);

    announce_window(&w);
    await_pool("ad", 900, 100, 0);
    await_rest("ad", 100);
}

Test(server, a_consume_that_the_slice_covers_says_what_is_left)
{
    struct fake_window w = day("ad", 1000);

    announce_window(&w);
    await_rest("ad", 100);
    struct answer a = ask(200, "POST", "/consume", "{\"cap\":\"ad\",\"amount\":5}");
    cr_assert_str_eq(text(a.json, "cap"), "ad");
    cr_assert(number(a.json, "granted") == 5);
    cr_assert(number(a.json, "remaining") == 95);
    cr_assert_str_eq(text(a.json, "starts_at"), "2026-05-20T00:00:00Z");
    cr_assert(number(a.json, "ends_in_ms") > 3500000 && number(a.json, "ends_in_ms") <= 3600000);
    await_pool("ad", 900, 95, 5);
}

/* The accounts follow, but no topup is made of a consume that leaves enough. */
Test(server, no_units_are_asked_for_while_there_are_enough)
{
    struct fake_window w = day("ad", 1000);

    announce_window(&w);
    await_rest("ad", 100);
    for (int i = 0; i < 50; i++)
        consume_to(VERDICT_GRANTED, "ad", 1);
    await_pool("ad", 900, 50, 50);
}

static bool holds_more_than_5(void *arg)
{
    struct pool p = pool_of("ad");

    (void)arg;
    return pool_held(&p) > 5;
}

Test(server, a_low_slice_is_topped_up_in_the_background)
{
    struct fake_window w = day("ad", 1000);

    announce_window(&w);
    await_rest("ad", 100);
    consume_to(VERDICT_GRANTED, "ad", 95);
    await_pool("ad", -1, -1, 95);
    cr_assert(harness_await(holds_more_than_5, NULL, SOON_MS));
}

Test(server, a_consume_larger_than_the_slice_waits_for_its_topup)
{
    struct fake_window w = day("ad", 1000);

    announce_window(&w);
    await_rest("ad", 100);
    consume_to(VERDICT_GRANTED, "ad", 700);
    consume_to(VERDICT_GRANTED, "ad", 300);
    consume_to(VERDICT_USED_UP, "ad", 1);
}

Test(server, exactly_the_total_is_granted_one_by_one)
{
    struct fake_window w = day("ad", 100);
    int granted = 0;

    announce_window(&w);
    await_rest("ad", 10);
    for (int i = 0; i < 120; i++)
        granted += client_consume(client, "ad", 1, NULL).verdict == VERDICT_GRANTED;
    cr_assert(granted == 100, "%d", granted);
    await_pool("ad", 0, 0, 100);
}

struct spree {
    pthread_t thread;
    int64_t asked, granted, used_up;
    const char *cap;
    int64_t amount; /* 0: one unit */
};

static void *spend_all(void *arg)
{
    struct spree *s = arg;
    struct client *c = client_new("volumecap-server", (int)httpd_port(server->httpd));

    for (int64_t i = 0; i < s->asked; i++) {
        struct consumed done = client_consume(c, s->cap, max_i64(s->amount, 1), NULL);
        s->granted += done.verdict == VERDICT_GRANTED;
        s->used_up += done.verdict == VERDICT_USED_UP;
    }
    (void)client_free(c);
    return NULL;
}

Test(server, exactly_the_total_is_granted_to_many_clients_at_once)
{
    struct fake_window w = day("ad", 1000);
    struct spree sprees[4];
    int64_t granted = 0, used_up = 0;

    announce_window(&w);
    await_rest("ad", 100);
    for (int i = 0; i < 4; i++) {
        sprees[i] = (struct spree){.asked = 300, .cap = "ad"};
        cr_assert(pthread_create(&sprees[i].thread, NULL, spend_all, &sprees[i]) == 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(sprees[i].thread, NULL);
        granted += sprees[i].granted;
        used_up += sprees[i].used_up;
    }
    cr_assert(granted == 1000 && used_up == 200, "%lld granted, %lld used up", (long long)granted,
              (long long)used_up);
    await_pool("ad", 0, 0, 1000);
}

static bool somebody_waits(void *arg)
{
    return waiting_wish(server->waiting, arg).units > 0;
}

/* Defined a moment ago: the client may be quicker than the watch. */
Test(server, a_consume_waits_for_a_cap_that_is_on_its_way)
{
    struct spree spree = {.asked = 1, .cap = "ad"};
    struct fake_window w = day("ad", 1000);
    char cap[] = "ad";

    cr_assert(pthread_create(&spree.thread, NULL, spend_all, &spree) == 0);
    cr_assert(harness_await(somebody_waits, cap, SOON_MS));
    announce_window(&w);
    pthread_join(spree.thread, NULL);
    cr_assert(spree.granted == 1);
}

/* ---- used up, out of reach */

Test(server, used_up_is_answered_from_memory)
{
    struct fake_window w = day("ad", 3);

    announce_window(&w);
    consume_to(VERDICT_GRANTED, "ad", 3);
    consume_to(VERDICT_USED_UP, "ad", 1);
    await_pool("ad", 0, 0, 3);
    int64_t topups = fake_local_topups(local), began_ms = clk_now_ms();
    for (int i = 0; i < 200; i++)
        consume_to(VERDICT_USED_UP, "ad", 1);
    /* Heartbeats, one in three seconds, may have fallen into that time. */
    int64_t seconds = (clk_now_ms() - began_ms) / 1000;
    cr_assert(fake_local_topups(local) - topups <= 2 + seconds);
}

Test(server, used_up_says_when_to_come_back)
{
    struct fake_window w = day("ad", 0);

    announce_window(&w);
    struct answer a = ask(429, "POST", "/consume", "{\"cap\":\"ad\"}");
    cr_assert(a.reply->retry_after_s > 3500 && a.reply->retry_after_s <= 3600);
    cr_assert_str_eq(a.reply->content_type, "application/problem+json");
    cr_assert_str_eq(text(a.json, "type"),
                     "https://iana.org/assignments/http-problem-types#quota-exceeded");
    cr_assert_str_eq(text(a.json, "cap"), "ad");
    cr_assert_str_eq(text(a.json, "starts_at"), "2026-05-20T00:00:00Z");
    cr_assert(number(a.json, "remaining") == 0);
}

Test(server, a_raised_total_ends_used_up)
{
    struct fake_window w = day("ad", 3);

    announce_window(&w);
    consume_to(VERDICT_GRANTED, "ad", 3);
    consume_to(VERDICT_USED_UP, "ad", 1);
    w.total = 5;
    announce_window(&w);
    await_rest("ad", 1);
    consume_to(VERDICT_GRANTED, "ad", 2);
    consume_to(VERDICT_USED_UP, "ad", 1);
}

Test(server, units_that_others_hold_are_out_of_reach_and_not_used_up)
{
    struct fake_window w = day("ad", 10);
    char name[] = "ad";

    stop_server();
    config.wait_ms = 100;
    fake_local_set(local, &w);
    fake_local_take(local, "ad", DAY, 10);
    start_server();
    cr_assert(harness_await(is_known, name, SOON_MS));
    struct answer a = ask(503, "POST", "/consume", "{\"cap\":\"ad\"}");
    cr_assert(a.reply->retry_after_s == 1);
    cr_assert_str_eq(text(a.json, "cap"), "ad");
    cr_assert_str_eq(text(a.json, "starts_at"), "2026-05-20T00:00:00Z");
}

/* Waiting for caps that may be on their way must leave room for those who wait for units. */
Test(server, unknown_caps_wait_in_a_tenth_of_the_room_only)
{
    struct fake_window w = day("known", 1000);

    fake_local_set(local, &w);
    stop_server();
    config.waiting_max = 19;
    config.wait_ms = 1000;
    start_server();
    await_rest("known", 100);
    int64_t began_ms = clk_now_ms();
    (void)ask(200, "POST", "/consume", "{\"items\":[{\"cap\":\"a\"},{\"cap\":\"b\"}]}");
    cr_assert(clk_now_ms() - began_ms >= 1000, "there is room for one of the two");

    stop_server();
    config.waiting_max = 9;
    config.wait_ms = 60000;
    start_server();
    await_rest("known", 100);
    began_ms = clk_now_ms();
    (void)ask(404, "POST", "/consume", "{\"cap\":\"a\"}");
    cr_assert(clk_now_ms() - began_ms < 60000, "there is no room");
}

Test(server, without_local_svc_it_goes_on_with_what_it_holds)
{
    struct fake_window w = day("ad", 1000);
    char ok[] = "local-svc topup: ok", name[] = "ad";

    wait_briefly();
    announce_window(&w);
    await_rest("ad", 100);
    fake_local_answer(local, 503);
    fake_local_answer_watch(local, 503);
    consume_to(VERDICT_GRANTED, "ad", 100);
    consume_to(VERDICT_UNREACHABLE, "ad", 1);
    cr_assert(harness_await(is_not_said, ok, SOON_MS));
    fake_local_answer(local, 0);
    fake_local_answer_watch(local, 0);
    await_pool("ad", -1, -1, 100);
    cr_assert(harness_await(has_rest, name, SOON_MS));
    consume_to(VERDICT_GRANTED, "ad", 1);
    cr_assert(harness_await(is_said, ok, SOON_MS));
}

#define GOOD 20

/* One item that local-svc cannot digest fails all of its call. */
Test(server, an_item_that_cannot_be_digested_holds_up_only_itself)
{
    struct fake_window w = day("bad", 1000);
    char name[NAME_SIZE];

    fake_local_choke_on(local, "bad");
    fake_local_set(local, &w);
    for (int i = 0; i < GOOD; i++) {
        snprintf(name, sizeof(name), "good-%d", i);
        w = day(name, 1000);
        fake_local_set(local, &w);
    }
    for (int i = 0; i < GOOD; i++) {
        snprintf(name, sizeof(name), "good-%d", i);
        await_rest(name, 100);
        consume_to(VERDICT_GRANTED, name, 100);
    }
    fake_local_choke_on(local, "");
    await_rest("bad", 100);
}

Test(server, a_lost_answer_is_repeated_and_not_doubled)
{
    struct fake_window w = day("ad", 1000);

    fake_local_lose_answers(local, true);
    announce_window(&w);
    struct wish granted = {"ad", DAY, 900, 100, 0};
    cr_assert(harness_await(pool_is, &granted, SOON_MS));
    cr_assert(rest_of("ad") <= 0);
    fake_local_lose_answers(local, false);
    await_rest("ad", 100);
    await_pool("ad", 900, 100, 0);
}

/* ---- a pool that has forgotten */

static bool is_told(void *arg)
{
    const int64_t *incarnation = arg;

    return fake_local_told_in(local) == *incarnation;
}

/* What it holds without having anything to say of it, too; then it says that this was all. */
Test(server, tells_all_it_holds_to_a_pool_that_has_forgotten)
{
    struct fake_window used = day("used", 1000), idle = day("idle", 1000);
    int64_t incarnation = 7;

    wait_briefly();
    announce_window(&used);
    announce_window(&idle);
    await_rest("used", 100);
    await_rest("idle", 100);
    consume_to(VERDICT_GRANTED, "used", 30);
    await_pool("used", 900, 70, 30);

    fake_local_go_back(local, incarnation);
    cr_assert(harness_await(is_told, &incarnation, SOON_MS));
    cr_expect_eq(fake_local_pool(local, "used", DAY).granted, 100);
    cr_expect_eq(fake_local_pool(local, "used", DAY).consumed, 30);
    cr_expect_eq(fake_local_pool(local, "idle", DAY).granted, 100);
    consume_to(VERDICT_GRANTED, "used", 70);
    consume_to(VERDICT_UNREACHABLE, "used", 1);
}

/* Its revisions may have caught up by then, so that the watch would miss what it has lost. */
Test(server, looks_at_all_windows_anew_when_the_pool_has_gone_back)
{
    struct fake_window lost = day("lost", 1000), other = day("other", 1000);
    int64_t incarnation = 7;
    char name[] = "lost";

    announce_window(&lost);
    await_rest("lost", 100);
    fake_local_forget(local, "lost", DAY);
    fake_local_go_back(local, incarnation);
    cr_assert(harness_await(is_told, &incarnation, SOON_MS));
    announce_window(&other);
    cr_assert(harness_await(is_unknown, name, SOON_MS));
}

/* The pool, which goes back to before its first grant, has the window open again. */
Test(server, tells_what_it_spent_of_a_window_that_is_over_for_it)
{
    struct fake_window w = day("ad", 1000);
    int64_t incarnation = 7;

    stop_server();
    config.remember_ms = 3600000;
    start_server();
    announce_window(&w);
    await_rest("ad", 100);
    consume_to(VERDICT_GRANTED, "ad", 60);
    fake_local_close(local, "ad", DAY);
    await_pool("ad", 940, 0, 60);
    stop_server();
    start_server();
    fake_local_go_back(local, incarnation);
    cr_assert(harness_await(is_told, &incarnation, SOON_MS));
    cr_expect_eq(fake_local_pool(local, "ad", DAY).granted, 100);
    cr_expect_eq(fake_local_pool(local, "ad", DAY).consumed, 60);
    cr_assert(verbose_says("ledger: ok, 1 of 64"));
}

/* An answer of an earlier life grants what nobody knows of any more. */
Test(server, takes_no_answer_of_an_earlier_life_of_the_pool)
{
    struct fake_window w = day("ad", 1000), late = day("late", 1000);
    int64_t incarnation = 7;

    announce_window(&w);
    await_rest("ad", 100);
    fake_local_go_back(local, incarnation);
    cr_assert(harness_await(is_told, &incarnation, SOON_MS));
    fake_local_go_back(local, 6);
    fake_local_set(local, &late);
    struct wish granted = {"late", DAY, 900, 100, 0};
    cr_assert(harness_await(pool_is, &granted, SOON_MS));
    cr_expect(rest_of("late") <= 0);
}

/* ---- modes, batches, refunds */

Test(server, best_effort_takes_what_is_left)
{
    struct fake_window w = day("ad", 4);

    announce_window(&w);
    await_rest("ad", 1);
    consume_to(VERDICT_USED_UP, "ad", 5);
    consume_to(VERDICT_GRANTED, "ad", 1);
    struct consumed c = client_consume(client, "ad", 5, "best_effort");
    cr_assert(c.verdict == VERDICT_GRANTED && c.granted >= 1 && c.granted <= 3);
    int64_t granted = 1;
    for (; c.verdict == VERDICT_GRANTED; c = client_consume(client, "ad", 5, "best_effort"))
        granted += c.granted;
    cr_assert(c.verdict == VERDICT_USED_UP);
    cr_assert(granted == 4);
    await_pool("ad", 0, 0, 4);
}

Test(server, a_check_takes_nothing)
{
    struct fake_window w = day("ad", 1000);

    announce_window(&w);
    await_rest("ad", 100);
    struct consumed c = client_consume(client, "ad", 7, "check");
    cr_assert(c.verdict == VERDICT_GRANTED && c.granted == 7 && c.remaining == 100);
    cr_assert(rest_of("ad") == 100);
    c = client_consume(client, "ad", 1001, "check");
    cr_assert(c.verdict == VERDICT_USED_UP);
}

Test(server, each_item_of_a_batch_decides_for_itself)
{
    struct fake_window plenty = day("plenty", 1000), none = day("none", 0);
    struct fake_window paused = day("paused", 10), later = day("later", 10);

    stop_server();
    config.waiting_max = 9; /* there is no room to wait for a cap that there is not */
    start_server();
    paused.paused = true;
    later.starts_in_ms = 1000000;
    later.state = INTERVAL_PLANNED;
    fake_local_set(local, &none);
    fake_local_set(local, &paused);
    fake_local_set(local, &later);
    fake_local_set(local, &plenty);
    await_rest("plenty", 100);
    struct answer a = ask(200, "POST", "/consume",
                          "{\"items\":[{\"cap\":\"plenty\",\"amount\":2},{\"cap\":\"none\"},"
                          "{\"cap\":\"paused\"},{\"cap\":\"later\"},{\"cap\":\"nobody\"},"
                          "{\"cap\":\"plenty\",\"amount\":500},{\"cap\":\"plenty\","
                          "\"mode\":\"check\"}]}");
    static const char *const verdicts[] = {"granted", "used_up", "paused", "not_open",
                                           "unknown", "granted", "granted"};
    for (int i = 0; i < 7; i++)
        cr_expect_str_eq(text(item(a, i), "verdict"), verdicts[i], "item %d: %s", i,
                         text(item(a, i), "verdict"));
    cr_assert(number(item(a, 0), "granted") == 2);
    cr_assert(number(item(a, 5), "granted") == 500);
    cr_assert(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(item(a, 4), "starts_at")));
    await_pool("plenty", -1, -1, 502);
}

Test(server, a_refund_can_be_consumed_again_even_when_all_was_used_up)
{
    struct fake_window w = day("ad", 3);

    announce_window(&w);
    consume_to(VERDICT_GRANTED, "ad", 3);
    consume_to(VERDICT_USED_UP, "ad", 1);
    struct answer a = ask(200, "POST", "/refund", "{\"cap\":\"ad\",\"amount\":2}");
    cr_assert(number(a.json, "refunded") == 2);
    cr_assert(number(a.json, "remaining") == 2);
    cr_assert_str_eq(text(a.json, "starts_at"), "2026-05-20T00:00:00Z");
    consume_to(VERDICT_GRANTED, "ad", 2);
    consume_to(VERDICT_USED_UP, "ad", 1);
    (void)ask(409, "POST", "/refund", "{\"cap\":\"ad\",\"amount\":4}");
    (void)ask(200, "POST", "/refund", "{\"cap\":\"ad\",\"amount\":3}");
    (void)ask(409, "POST", "/refund", "{\"cap\":\"ad\",\"amount\":1}");
}

Test(server, a_batch_of_refunds_decides_each)
{
    struct fake_window w = day("ad", 100);

    announce_window(&w);
    consume_to(VERDICT_GRANTED, "ad", 5);
    struct answer a = ask(200, "POST", "/refund",
                          "{\"items\":[{\"cap\":\"ad\",\"amount\":2},{\"cap\":\"ad\",\"amount\":9},"
                          "{\"cap\":\"nobody\",\"amount\":1},"
                          "{\"cap\":\"ad\",\"amount\":1,\"starts_at\":\"2026-05-20T00:00:00Z\"},"
                          "{\"cap\":\"ad\",\"amount\":1,\"starts_at\":\"2026-05-19T00:00:00Z\"}]}");
    static const char *const verdicts[] = {"refunded", "too_much", "unknown", "refunded",
                                           "not_open"};
    for (int i = 0; i < 5; i++)
        cr_expect_str_eq(text(item(a, i), "verdict"), verdicts[i], "item %d", i);
    struct answer view = ask(200, "GET", "/caps/ad", NULL);
    const cJSON *window =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(view.json, "windows"), 0);
    cr_assert(number(window, "consumed") == 5);
    cr_assert(number(window, "refunded") == 3);
    cr_assert(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(window, "current")));
    cr_assert_str_eq(text(window, "state"), "open");
}

Test(server, a_cap_that_nobody_defined_is_not_found)
{
    struct fake_window w = day("ad", 10);

    wait_briefly();
    announce_window(&w);
    await_rest("ad", 1);
    (void)ask(404, "POST", "/consume", "{\"cap\":\"nobody\"}");
    (void)ask(404, "POST", "/refund", "{\"cap\":\"nobody\",\"amount\":1}");
    (void)ask(404, "GET", "/caps/nobody", NULL);
}

Test(server, a_paused_cap_is_refused_and_its_units_go_back_and_come_again)
{
    struct fake_window w = day("ad", 100);

    announce_window(&w);
    consume_to(VERDICT_GRANTED, "ad", 3);
    w.paused = true;
    announce_window(&w);
    await_pool("ad", 97, 0, 3);
    struct answer a = ask(409, "POST", "/consume", "{\"cap\":\"ad\"}");
    cr_assert_str_eq(text(a.json, "starts_at"), "2026-05-20T00:00:00Z");
    w.paused = false;
    announce_window(&w);
    await_rest("ad", 10);
    consume_to(VERDICT_GRANTED, "ad", 97);
    consume_to(VERDICT_USED_UP, "ad", 1);
    await_pool("ad", 0, 0, 100);
}

/* ---- windows come and go */

Test(server, a_window_that_has_not_begun_is_not_open)
{
    struct fake_window w = day("ad", 10);

    w.starts_in_ms = 3600000;
    w.ends_in_ms = 7200000;
    w.state = INTERVAL_PLANNED;
    announce_window(&w);
    consume_to(VERDICT_NOT_OPEN, "ad", 1);
}

/* Two days that touch, of which the first ends in a moment. */
static void two_days(const char *cap, int64_t total, int64_t boundary_in_ms)
{
    struct fake_window today = day(cap, total), tomorrow = day(cap, total);

    today.ends_in_ms = boundary_in_ms;
    tomorrow.starts_at_ms = DAY + DAY_MS;
    tomorrow.ends_at_ms = DAY + 2 * DAY_MS;
    tomorrow.starts_in_ms = boundary_in_ms;
    tomorrow.state = INTERVAL_PLANNED;
    fake_local_set(local, &today);
    fake_local_set(local, &tomorrow);
}

struct next_day {
    const char *cap;
    bool is_open, is_held;
};

/* True when there is a slice, or the window has opened. */
static bool is_held_or_open(void *arg)
{
    struct next_day *d = arg;
    const struct pool p = fake_local_pool(local, d->cap, DAY + DAY_MS);
    struct spend_view views[SPEND_VIEWS_MAX];
    const size_t count = spend_look(&server->spender, d->cap, clk_now_ms(), views);

    d->is_open = d->is_held = false;
    for (size_t i = 0; i < count; i++) {
        if (views[i].starts_at_ms != DAY + DAY_MS)
            continue;
        d->is_open = views[i].current;
        d->is_held = views[i].rest == 10000 && pool_held(&p) == 10000;
    }
    return d->is_open || d->is_held;
}

/* On a machine that is too slow to look before it opens: once more. */
Test(server, the_next_slice_is_there_before_its_window_opens)
{
    struct next_day d = {.is_open = true};
    char cap[16], path[32];

    d.cap = cap;
    for (int i = 0; i < 10 && d.is_open; i++) {
        snprintf(cap, sizeof(cap), "ad-%d", i);
        two_days(cap, 100000, 4000);
        cr_assert(harness_await(is_held_or_open, &d, SOON_MS), "neither fetched nor open");
    }
    cr_assert(d.is_held && !d.is_open);
    snprintf(path, sizeof(path), "/caps/%s", cap);
    struct answer a = ask(200, "GET", path, NULL);
    cr_assert(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(a.json, "windows")) == 2);
}

#define PLENTY INT64_C(1000000000)

/* Consumes from one day into the next; how many units are of which. */
static void cross_the_boundary(const char *cap, int64_t boundary_in_ms, int64_t by_window[2])
{
    const int64_t until_ms = clk_now_ms() + boundary_in_ms + SOON_MS;
    char name[16];

    snprintf(name, sizeof(name), "%s", cap);
    two_days(cap, PLENTY, boundary_in_ms);
    cr_assert(harness_await(has_rest, name, SOON_MS));
    by_window[0] = by_window[1] = 0;
    for (int64_t after = 0; after<300; after += by_window[1]> 0) {
        struct consumed c = client_consume(client, cap, 1, NULL);
        cr_assert(c.verdict == VERDICT_GRANTED, "%s", verdict_name(c.verdict));
        by_window[c.starts_at_ms != DAY]++;
        cr_assert(clk_now_ms() < until_ms, "the next day does not come");
    }
}

/*
 * Everyone is served at each moment, and each unit is booked in one of the two windows.  On a
 * machine so slow that the first day is over before it begins: once more, with a longer one.
 */
Test(server, there_is_no_gap_at_the_boundary)
{
    int64_t by_window[2] = {0};
    char cap[16];

    for (int i = 0; i < 6 && by_window[0] == 0; i++) {
        snprintf(cap, sizeof(cap), "ad-%d", i);
        cross_the_boundary(cap, 600 << i, by_window);
    }
    fake_local_close(local, cap, DAY);
    await_window(cap, DAY, PLENTY - by_window[0], 0, by_window[0]);
    await_window(cap, DAY + DAY_MS, -1, -1, by_window[1]);
    cr_assert(by_window[0] > 0 && by_window[1] > 0);
}

Test(server, a_closed_window_is_handed_back_and_forgotten)
{
    struct fake_window w = day("ad", 1000);
    char empty[] = "ledger: ok, 0 of 64";

    wait_briefly();
    announce_window(&w);
    await_rest("ad", 100);
    consume_to(VERDICT_GRANTED, "ad", 7);
    fake_local_close(local, "ad", DAY);
    await_pool("ad", 993, 0, 7);
    /* The pool's word may come before the watch's. */
    const int64_t until_ms = clk_now_ms() + SOON_MS;
    struct consumed c = {.verdict = VERDICT_NOT_OPEN};
    while ((c.verdict == VERDICT_NOT_OPEN || c.verdict == VERDICT_UNREACHABLE) &&
           clk_now_ms() < until_ms)
        c = client_consume(client, "ad", 1, NULL);
    cr_assert(c.verdict == VERDICT_UNKNOWN, "%s", verdict_name(c.verdict));
    cr_assert(harness_await(is_said, empty, SOON_MS));
}

Test(server, a_recall_is_answered_with_a_report)
{
    struct fake_window w = day("ad", 1000);

    stop_server();
    config.report_ms = 30000;
    start_server();
    announce_window(&w);
    await_rest("ad", 100);
    /* A heartbeat, every three seconds, tells of it, too. */
    int64_t spent = 0;
    do
        consume_to(VERDICT_GRANTED, "ad", 1);
    while (pool_of("ad").consumed == ++spent && spent < 10);
    cr_assert(pool_of("ad").consumed < spent, "each unit is told of at once");
    fake_local_recall(local, "ad", DAY);
    await_pool("ad", -1, -1, spent);
}

/* Somebody is short and the pool is empty: the surplus here goes back without a word of a client.
 */
Test(server, the_surplus_of_a_recall_goes_back)
{
    struct fake_window w = day("ad", 1000);

    announce_window(&w);
    await_rest("ad", 100);
    fake_local_take(local, "ad", DAY, 900);
    fake_local_take(local, "ad", DAY, 50);
    struct wish back = {"ad", DAY, 100, -1, 0};
    cr_assert(harness_await(pool_is, &back, SOON_MS));
}

static bool is_wanted(void *units)
{
    return pool_of("ad").wanted >= *(int64_t *)units;
}

static bool some_is_returned(void *arg)
{
    (void)arg;
    return pool_of("ad").returned > 0;
}

/* It has 100 of the 150 that somebody waits for here, and others want 30. */
Test(server, who_waits_in_vain_hands_back_what_others_want_and_gets_all_when_it_is_there)
{
    struct fake_window w = day("ad", 1000), larger = day("ad", 2000);
    struct spree spree = {.asked = 1, .cap = "ad", .amount = 150};
    int64_t missing = 50;

    announce_window(&w);
    await_rest("ad", 100);
    fake_local_take(local, "ad", DAY, 900);
    cr_assert(pthread_create(&spree.thread, NULL, spend_all, &spree) == 0);
    cr_assert(harness_await(is_wanted, &missing, SOON_MS));
    fake_local_take(local, "ad", DAY, 30);
    cr_assert(harness_await(some_is_returned, NULL, SOON_MS));
    announce_window(&larger);
    pthread_join(spree.thread, NULL);
    cr_assert(spree.granted == 1);
}

/* ---- stopping, starting */

Test(server, stopping_hands_everything_back)
{
    struct fake_window a = day("a", 1000), b = day("b", 1000);

    fake_local_set(local, &a);
    fake_local_set(local, &b);
    await_rest("a", 100);
    await_rest("b", 100);
    consume_to(VERDICT_GRANTED, "a", 7);
    stop_server();
    cr_assert(fake_local_returns(local) >= 1);
    struct pool pa = pool_of("a"), pb = pool_of("b");
    cr_assert(pool_held(&pa) == 0 && pa.consumed == 7);
    cr_assert(pool_held(&pb) == 0 && pb.returned == 100);
    start_server();
    await_rest("a", 100);
    consume_to(VERDICT_GRANTED, "a", 1);
}

Test(server, stopping_without_local_svc_keeps_the_slices_for_the_next_start)
{
    struct fake_window w = day("ad", 1000);
    char name[] = "ad";

    announce_window(&w);
    await_rest("ad", 100);
    consume_to(VERDICT_GRANTED, "ad", 7);
    fake_local_answer(local, 503);
    const int64_t started_ms = clk_now_ms();
    stop_server();
    cr_assert(promise_kept("a server that stops alone", clk_now_ms() - started_ms, 5000));
    fake_local_answer(local, 0);
    start_server();
    await_pool("ad", -1, -1, 7);
    cr_assert(harness_await(is_known, name, SOON_MS));
    consume_to(VERDICT_GRANTED, "ad", 993);
    consume_to(VERDICT_USED_UP, "ad", 1);
}

Test(server, slices_of_windows_that_nobody_knows_any_more_are_released)
{
    struct fake_window w = day("ad", 1000);

    announce_window(&w);
    await_rest("ad", 100);
    fake_local_answer(local, 503);
    stop_server();
    fake_local_answer(local, 0);
    fake_local_forget(local, "ad", DAY);
    start_server();
    const int64_t until_ms = clk_now_ms() + SOON_MS;
    while (clk_now_ms() < until_ms && ledger_entries_used(server->ledger) > 0)
        usleep(5000);
    cr_assert(ledger_entries_used(server->ledger) == 0);
}

Test(server, a_refused_ledger_serves_nothing_more)
{
    struct fake_window w = day("ad", 1000);

    announce_window(&w);
    await_rest("ad", 100);
    fake_local_answer(local, 409);
    fake_local_recall(local, "ad", DAY);
    const int64_t until_ms = clk_now_ms() + SOON_MS;
    while (clk_now_ms() < until_ms && atomic_load(&refusals) == 0)
        usleep(5000);
    cr_assert(atomic_load(&refusals) == 1);
    consume_to(VERDICT_UNREACHABLE, "ad", 1);
    (void)ask(503, "GET", "/readyz", NULL);
    (void)ask(503, "POST", "/refund", "{\"cap\":\"ad\",\"amount\":1}");
}

Test(server, before_the_first_snapshot_nothing_is_said_to_be_unknown)
{
    struct fake_window w = day("ad", 1000);

    stop_server();
    fake_local_set(local, &w);
    fake_local_answer_watch(local, 503);
    config.wait_ms = 100;
    start_server();
    (void)ask(503, "GET", "/readyz", NULL);
    consume_to(VERDICT_UNREACHABLE, "ad", 1);
    (void)ask(503, "GET", "/caps/ad", NULL);
    (void)ask(503, "POST", "/refund", "{\"cap\":\"ad\",\"amount\":1}");
    fake_local_answer_watch(local, 0);
    await_rest("ad", 100);
    cr_assert(harness_await(is_ready, NULL, SOON_MS));
}

Test(server, a_full_ledger_takes_no_more_windows_and_says_so)
{
    char name[16], full[] = "ledger: full, 16 of 16";

    stop_server();
    config.ledger_entries = 16;
    config.wait_ms = 50;
    unlink(ledger);
    start_server();
    for (int i = 0; i < 17; i++) {
        snprintf(name, sizeof(name), "ad-%d", i);
        struct fake_window w = day(name, 1000);
        announce_window(&w);
        if (i < 16)
            await_rest(name, 100);
    }
    consume_to(VERDICT_UNREACHABLE, "ad-16", 1);
    cr_assert(harness_await(is_said, full, SOON_MS));
}

/* ---- the process itself */

struct process {
    struct proc *proc;
    int port;
    char log[240];
    char env[8][320];
    const char *env_list[9];
};

/* The real program, on the ledger and the local-svc of this test, instead of the one in here. */
static void set_process(struct process *p)
{
    int n = 0;

    stop_server();
    p->port = (int)port_free();
    snprintf(p->log, sizeof(p->log), "%s.log", ledger);
    snprintf(p->env[n++], sizeof(p->env[0]), "SERVER_NAME=front-1");
    snprintf(p->env[n++], sizeof(p->env[0]), "SERVER_PORT=%d", p->port);
    snprintf(p->env[n++], sizeof(p->env[0]), "SERVER_LEDGER=%s", ledger);
    snprintf(p->env[n++], sizeof(p->env[0]), "SERVER_LOCAL_URL=%s", fake_local_url(local));
    snprintf(p->env[n++], sizeof(p->env[0]), "SERVER_REPORT_MS=30000");
    snprintf(p->env[n++], sizeof(p->env[0]), "SERVER_WAIT_MS=5000");
    for (int i = 0; i < n; i++)
        p->env_list[i] = p->env[i];
    client = client_new("volumecap-server", p->port);
}

static void start_process(struct process *p)
{
    static const char *const argv[] = {VOLUMECAP_BIN "/volumecap-server", NULL};
    const struct proc_options o = {.argv = argv, .env = p->env_list, .log = p->log};

    p->proc = proc_start(&o);
    cr_assert(harness_await(is_ready, p, SOON_MS), "%s", file_tail(p->log));
}

/* What the killed process had granted without a word to the pool is known from the ledger. */
Test(server, killed_and_started_again_it_goes_on_and_nothing_is_stranded)
{
    struct fake_window w = day("ad", 1000);
    struct process p = {0};

    set_process(&p);
    fake_local_set(local, &w);
    start_process(&p);
    await_pool("ad", 900, 100, 0);
    consume_to(VERDICT_GRANTED, "ad", 60);
    proc_kill(p.proc);
    p.proc = proc_free(p.proc);
    start_process(&p);
    await_pool("ad", 900, 40, 60);
    consume_to(VERDICT_GRANTED, "ad", 940);
    consume_to(VERDICT_USED_UP, "ad", 1);
    await_pool("ad", 0, 0, 1000);
    p.proc = proc_free(p.proc);
}

Test(server, told_to_stop_it_returns_everything_and_exits_with_0)
{
    struct fake_window w = day("ad", 1000);
    struct process p = {0};
    int status = 0;

    set_process(&p);
    fake_local_set(local, &w);
    start_process(&p);
    await_pool("ad", 900, 100, 0);
    consume_to(VERDICT_GRANTED, "ad", 5);
    proc_signal(p.proc, SIGTERM);
    cr_assert(proc_wait(p.proc, SOON_MS, &status) && status == 0, "%s", file_tail(p.log));
    await_pool("ad", 995, 0, 5);
    p.proc = proc_free(p.proc);
}

static bool is_returning(void *arg)
{
    (void)arg;
    return fake_local_returns(local) > 0;
}

/* The pool may have granted what no answer has brought: nobody else would give it back. */
Test(server, told_to_stop_it_returns_what_it_has_not_heard_of)
{
    struct fake_window w = day("ad", 1000);
    struct process p = {0};
    int status = 0;

    set_process(&p);
    start_process(&p);
    fake_local_lose_answers(local, true);
    fake_local_set(local, &w);
    await_pool("ad", 900, 100, 0);
    proc_signal(p.proc, SIGTERM);
    cr_assert(harness_await(is_returning, NULL, SOON_MS));
    fake_local_lose_answers(local, false);
    cr_assert(proc_wait(p.proc, SOON_MS, &status) && status == 0, "%s", file_tail(p.log));
    await_pool("ad", 1000, 0, 0);
    p.proc = proc_free(p.proc);
}

Test(server, refused_by_the_pool_it_ends_with_1)
{
    struct fake_window w = day("ad", 1000);
    struct process p = {0};
    int status = 0;

    set_process(&p);
    fake_local_set(local, &w);
    start_process(&p);
    await_pool("ad", 900, 100, 0);
    fake_local_answer(local, 409);
    fake_local_recall(local, "ad", DAY);
    cr_assert(proc_wait(p.proc, SOON_MS, &status), "%s", file_tail(p.log));
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    p.proc = proc_free(p.proc);
}

/* ---- bad input */

static const struct {
    const char *name; /* reads as: refused: ... */
    const char *path, *body, *pointer;
} bad[] = {
    {"no object", "/consume", "[]", ""},
    {"no cap", "/consume", "{}", "/cap"},
    {"an id with a slash", "/consume", "{\"cap\":\"a/b\"}", "/cap"},
    {"an unknown member", "/consume", "{\"cap\":\"a\",\"count\":1}", "/count"},
    {"no units", "/consume", "{\"cap\":\"a\",\"amount\":0}", "/amount"},
    {"a negative amount", "/consume", "{\"cap\":\"a\",\"amount\":-1}", "/amount"},
    {"half a unit", "/consume", "{\"cap\":\"a\",\"amount\":0.5}", "/amount"},
    {"2^53 units", "/consume", "{\"cap\":\"a\",\"amount\":9007199254740992}", "/amount"},
    {"another mode", "/consume", "{\"cap\":\"a\",\"mode\":\"some\"}", "/mode"},
    {"an empty batch", "/consume", "{\"items\":[]}", "/items"},
    {"a batch and an item", "/consume", "{\"items\":[{\"cap\":\"a\"}],\"cap\":\"a\"}", "/cap"},
    {"a bad second item", "/consume", "{\"items\":[{\"cap\":\"a\"},{\"cap\":\"\"}]}",
     "/items/1/cap"},
    {"no amount to refund", "/refund", "{\"cap\":\"a\"}", "/amount"},
    {"no time", "/refund", "{\"cap\":\"a\",\"amount\":1,\"starts_at\":\"now\"}", "/starts_at"},
    {"a bad refund in a batch", "/refund", "{\"items\":[{\"cap\":\"a\",\"amount\":0}]}",
     "/items/0/amount"},
};

Test(server, bad_input_is_refused_with_a_pointer)
{
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct answer a = ask(400, "POST", bad[i].path, bad[i].body);
        const cJSON *errors = cJSON_GetObjectItemCaseSensitive(a.json, "errors");
        cr_expect_str_eq(text(cJSON_GetArrayItem(errors, 0), "pointer"), bad[i].pointer, "%s: %s",
                         bad[i].name, buf_text(&a.reply->body));
    }
}

Test(server, what_is_no_consume_at_all_is_refused)
{
    static char large[300000];
    struct answer a = {0};
    struct err e = {0};
    static const char *const plain[] = {"Content-Type: text/plain", NULL};
    struct call call = {.method = "POST", .path = "/consume", .body = "{}", .headers = plain};

    memset(large, ' ', sizeof(large) - 1);
    (void)ask(413, "POST", "/consume", large);
    (void)ask(413, "POST", "/refund", large);
    cr_assert(client_call(client, &call, &a, &e) && a.status == 415);
    call.path = "/refund";
    cr_assert(client_call(client, &call, &a, &e) && a.status == 415);
    (void)ask(400, "GET", "/caps/a%20b", NULL);
    (void)ask(400, "GET", "/caps/a?x=1", NULL);
    (void)ask(400, "POST", "/consume", "{\"cap\":\"a\",\"cap\":\"b\"}");
}
