/*
 * Two remote-svcs with a real broker each, which the tests share, and a local-svc and a meta-svc
 * for each that only remember what they were told.
 */

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/io/httpd.h"
#include "common/io/js.h"
#include "services/remote-svc/app.h"
#include "tests/harness/client.h"
#include "tests/harness/proc.h"
#include "tests/harness/rabbit.h"
#include "tests/harness/stand_in.h"

#define SOON_MS 40000 /* by then what is to happen has happened, on a busy machine too */
#define WINDOW "2026-05-20T00:00:00Z"
#define KEY_EAST "e00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_WEST "f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

RABBIT_SUITE(2);

/* ---- local-svc and meta-svc of one data centre, as far as remote-svc sees them */

#define MORE_MAX 3000
#define DEFINITIONS_MAX 15

struct fake {
    struct stand_in server;
    const char *peer;
    pthread_mutex_t lock;           /* guards all below */
    int64_t sent, echoed, revision; /* one row, of one window, in which units move */
    int64_t received, posts;
    int64_t definitions, applied;      /* ours, by number; theirs, up to */
    int64_t told[DEFINITIONS_MAX + 1]; /* how often each of theirs came, applied or not */
    int status;                        /* instead of taking rows; 0: none */

    /* More windows, w-1 and so on, in which nothing moves. */
    int more;
    int64_t versions[MORE_MAX + 1], revisions[MORE_MAX + 1];
    int64_t heard_versions[MORE_MAX + 1]; /* what the peer told of its own */
    int64_t heard;                        /* how many rows of them came */
    int64_t news, pages,
        looks; /* rows of them told as news, pages given, and asks for the sums alone */
};

static void write_row(struct js_writer *w, const struct fake *f, int i)
{
    char cap[16];

    snprintf(cap, sizeof(cap), "w-%06d", i);
    js_object(w, NULL);
    js_text(w, "peer", f->peer);
    js_text(w, "cap", i == 0 ? "ad-1" : cap);
    js_text(w, "starts_at", WINDOW);
    js_i64(w, "sent", i == 0 ? f->sent : 0);
    js_i64(w, "received", i == 0 ? f->received : 0);
    js_i64(w, "version", i == 0 ? f->revision : f->versions[i]);
    js_i64(w, "echoed", i == 0 ? f->echoed : 0);
    js_object_end(w);
}

static void write_news(struct js_writer *w, struct fake *f, int64_t since)
{
    js_array(w, "rows");
    for (int i = 0; i <= f->more; i++) {
        if (since >= (i == 0 ? f->revision : f->revisions[i]))
            continue;
        f->news += i > 0;
        write_row(w, f, i);
    }
    js_array_end(w);
}

/* A page from the cursor on; the window's number is at its end. */
static void write_page(struct js_writer *w, struct fake *f, const struct httpd_request *req)
{
    const char *after = httpd_query(req, "after"), *limit = httpd_query(req, "limit");
    const bool in_transit = httpd_query(req, "in_transit"), any = f->sent > f->echoed;
    int i = after && strncmp(after, "w-", 2) == 0 ? atoi(after + 2) + 1 : after ? 1 : 0;
    const int end = in_transit ? any : f->more + 1, most = atoi(limit);
    char next[64];

    if (most == 1)
        f->looks++;
    else
        f->pages++;
    js_array(w, "rows");
    for (int n = 0; i < end && n < most; i++, n++)
        write_row(w, f, i);
    js_array_end(w);
    if (i < end) {
        snprintf(next, sizeof(next), i == 1 ? "ad-1/" WINDOW : "w-%06d/" WINDOW, i - 1);
        js_text(w, "next", next);
    } else {
        js_null(w, "next");
    }
    if (in_transit) {
        js_i64(w, "in_transit_rows", any);
        js_i64(w, "in_transit_units", f->sent - f->echoed);
    }
}

/* GET /rows: news, or what is in transit, or everything; it never waits long. */
static bool get_rows(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                     struct err *e)
{
    struct fake *f = arg;
    struct js_writer w = {.out = &reply->body};
    const char *since = httpd_query(req, "since");
    int64_t known = 0;

    if (since && !num_parse_i64(since, 0, UNITS_MAX, &known, e))
        return false;
    pthread_mutex_lock(&f->lock);
    bool any = !since || f->revision > known;
    js_object(&w, NULL);
    if (since) {
        js_i64(&w, "revision", f->revision);
        js_bool(&w, "more", false);
        write_news(&w, f, known);
    } else {
        write_page(&w, f, req);
    }
    js_object_end(&w);
    pthread_mutex_unlock(&f->lock);
    if (!any)
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    return true;
}

static int64_t number(const cJSON *object, const char *name)
{
    return (int64_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

/* True if it is of the window in which units move. */
static bool hear_row(struct fake *f, const cJSON *row)
{
    const char *cap = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(row, "cap"));
    int i = strncmp(cap, "w-", 2) == 0 ? atoi(cap + 2) : 0;

    cr_assert(i >= 0 && i <= MORE_MAX);
    if (i > 0) {
        f->heard++;
        f->heard_versions[i] = number(row, "version");
        return false;
    }
    f->received = number(row, "sent") > f->received ? number(row, "sent") : f->received;
    f->echoed = number(row, "received") > f->echoed ? number(row, "received") : f->echoed;
    return true;
}

/* POST /rows: credits, and answers with its own row so that the sender hears the echo. */
static bool post_rows(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                      struct err *e)
{
    struct fake *f = arg;
    struct js_writer w = {.out = &reply->body};
    auto_js cJSON *body = NULL;
    const cJSON *row = NULL;

    if (!js_parse(req->body, req->body_len, &body, e))
        return false;
    pthread_mutex_lock(&f->lock);
    f->posts++;
    bool ok = !f->status || err_set(e, err_kind_of_status(f->status), "as the test wants it");
    bool any = false;
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(body, "rows"))
    {
        if (!ok)
            break;
        any = hear_row(f, row) || any;
    }
    f->revision += any;
    js_object(&w, NULL);
    js_array(&w, "rows");
    if (any)
        write_row(&w, f, 0);
    js_array_end(&w);
    js_object_end(&w);
    pthread_mutex_unlock(&f->lock);
    return ok;
}

static bool get_definitions(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                            struct err *e)
{
    struct fake *f = arg;
    struct js_writer w = {.out = &reply->body};
    int64_t since = 0;

    if (!num_parse_i64(httpd_query(req, "since"), 0, UNITS_MAX, &since, e))
        return false;
    pthread_mutex_lock(&f->lock);
    bool any = f->definitions > since;
    js_object(&w, NULL);
    js_i64(&w, "revision", f->definitions);
    js_bool(&w, "more", false);
    js_array(&w, "definitions");
    for (int64_t i = since + 1; i <= f->definitions; i++) {
        js_object(&w, NULL);
        js_text(&w, "id", "a \"strange\\\" name, }]");
        js_i64(&w, "revision", i);
        js_object_end(&w);
    }
    js_array_end(&w);
    js_object_end(&w);
    pthread_mutex_unlock(&f->lock);
    if (!any)
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    return true;
}

static void write_applied(const struct fake *f, struct httpd_reply *reply)
{
    struct js_writer w = {.out = &reply->body};

    js_object(&w, NULL);
    js_i64(&w, "applied_revision", f->applied);
    js_object_end(&w);
}

static bool get_applied(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                        struct err *e)
{
    struct fake *f = arg;

    (void)req;
    (void)e;
    pthread_mutex_lock(&f->lock);
    write_applied(f, reply);
    pthread_mutex_unlock(&f->lock);
    return true;
}

static bool put_applied(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                        struct err *e)
{
    struct fake *f = arg;
    auto_js cJSON *body = NULL;

    if (!js_parse(req->body, req->body_len, &body, e))
        return false;
    const cJSON *definitions = cJSON_GetObjectItemCaseSensitive(body, "definitions");
    int64_t first = number(body, "from_revision"), last = number(body, "to_revision");
    if (cJSON_GetArraySize(definitions) != last - first)
        return err_set(e, ERR_INVALID, "definitions are missing");
    pthread_mutex_lock(&f->lock);
    for (int64_t i = first + 1; i <= last && i <= DEFINITIONS_MAX; i++)
        f->told[i]++;
    if (first <= f->applied && last > f->applied)
        f->applied = last;
    write_applied(f, reply);
    pthread_mutex_unlock(&f->lock);
    return true;
}

static const struct httpd_route fake_routes[] = {
    {"GET", "/rows", "listRows", 200, get_rows, false},
    {"POST", "/rows", "postRows", 200, post_rows, true},
    {"GET", "/definitions", "listDefinitions", 200, get_definitions, false},
    {"GET", "/peers/{dc}/definitions", "getPeer", 200, get_applied, false},
    {"PUT", "/peers/{dc}/definitions", "putPeer", 200, put_applied, true},
};

static void fake_start(struct fake *f, const char *peer)
{
    f->peer = peer;
    cr_assert(pthread_mutex_init(&f->lock, NULL) == 0);
    stand_in_start(&f->server, fake_routes, sizeof(fake_routes) / sizeof(fake_routes[0]), f);
}

/* Its meta-svc has so many definitions now: more, or those of a backup. */
static void fake_define(struct fake *f, int64_t definitions)
{
    pthread_mutex_lock(&f->lock);
    f->definitions = definitions;
    pthread_mutex_unlock(&f->lock);
}

/* Sends so many more units. */
static void fake_send(struct fake *f, int64_t units)
{
    pthread_mutex_lock(&f->lock);
    f->sent += units;
    f->revision++;
    pthread_mutex_unlock(&f->lock);
}

/* So many more windows change; the others hear it at once, or it is left to the rounds. */
static void fake_touch(struct fake *f, int first, int count, bool is_news)
{
    pthread_mutex_lock(&f->lock);
    f->more = first + count - 1 > f->more ? first + count - 1 : f->more;
    f->revision += is_news;
    for (int i = first; i < first + count; i++) {
        f->versions[i]++;
        if (is_news)
            f->revisions[i] = f->revision;
    }
    pthread_mutex_unlock(&f->lock);
}

static int64_t fake_read(struct fake *f, const int64_t *member)
{
    pthread_mutex_lock(&f->lock);
    int64_t value = *member;
    pthread_mutex_unlock(&f->lock);
    return value;
}

static void fake_answer(struct fake *f, int status)
{
    pthread_mutex_lock(&f->lock);
    f->status = status;
    pthread_mutex_unlock(&f->lock);
}

/* ---- two data centres */

struct side {
    char dc[32], queue[48]; /* other tests have others, on the same brokers */
    struct rabbit *broker;
    struct fake fake;
    struct remote_config config;
    char peers[256];
    struct remote_app *app;
};

static struct side east, west;
static char keys_path[256];
static char forged_rows[256];    /* as east would tell them: the end of a message */
static char forged_message[512]; /* with them, which could be taken */

static void name_side(struct side *s, const char *name)
{
    snprintf(s->dc, sizeof(s->dc), "%s-%d", name, getpid());
    snprintf(s->queue, sizeof(s->queue), "volumecap.%s", s->dc);
}

static void write_keys(void)
{
    char *folder = folder_scratch();

    snprintf(keys_path, sizeof(keys_path), "%s/keys", folder);
    FILE *f = fopen(keys_path, "we");
    cr_assert(f && fchmod(fileno(f), 0600) == 0);
    fprintf(f, "%s k1 " KEY_EAST "\n%s k1 " KEY_WEST "\nnorth k1 " KEY_WEST "\n", east.dc, west.dc);
    fclose(f);
    free(folder);
}

static void forge_rows(void)
{
    snprintf(forged_rows, sizeof(forged_rows),
             "\"rows\":[{\"peer\":\"%s\",\"cap\":\"ad-1\",\"starts_at\":\"" WINDOW
             "\",\"sent\":1000000,\"received\":0,\"version\":1}]}",
             west.dc);
    snprintf(forged_message, sizeof(forged_message), "{\"run\":%lld,\"seq\":1,%s",
             (long long)UNITS_MAX / 4, forged_rows);
}

static void side_up(struct side *s)
{
    struct err e = {0};

    cr_assert(remote_app_start(&s->config, "{}", &s->app, &e), "%s", e.msg);
}

static void side_begin(struct side *s, const struct side *o)
{
    snprintf(s->peers, sizeof(s->peers), "%s=%s", o->dc, rabbit_url(o->broker));
    fake_start(&s->fake, o->dc);
    s->config = (struct remote_config){
        .dc = s->dc,
        .http = {.address = "127.0.0.1",
                 .threads = 1,
                 .connections_max = 100,
                 .request_timeout_ms = 3000},
        .broker = rabbit_url(s->broker),
        .peers = s->peers,
        .keys = keys_path,
        .local_url = s->fake.server.url,
        .meta_url = s->fake.server.url,
        .leader = {.coordinator_url = "", .alone = 1},
        .resend_ms = 100,
        .sync_ms = 60000,
        .lost_ms = 3000,
        .queue_rows_max = 1000,
    };
}

/* As it is, with another setting. */
static void side_again(struct side *s)
{
    s->app = remote_app_stop(s->app);
    side_up(s);
}

static void begin(void)
{
    log_level_set(LOG_ERROR);
    httpc_global_init();
    name_side(&east, "east");
    name_side(&west, "west");
    write_keys();
    forge_rows();
    east.broker = rabbit_shared(0);
    west.broker = rabbit_shared(1);
    side_begin(&east, &west);
    side_begin(&west, &east);
    side_up(&east);
    side_up(&west);
}

static void side_end(struct side *s)
{
    s->app = remote_app_stop(s->app);
    stand_in_stop(&s->fake.server);
    s->broker = rabbit_free(s->broker);
}

static void end(void)
{
    side_end(&east);
    side_end(&west);
}

TestSuite(remote_svc, .init = begin, .fini = end);

/* ---- what is waited for */

struct wish {
    struct side *side;
    const int64_t *member;
    int64_t value;
    const char *array_member, *state;
};

static bool has_value(void *arg)
{
    const struct wish *w = arg;

    return fake_read(&w->side->fake, w->member) >= w->value;
}

#define EXPECT_SOON(s, name, least)                                                                \
    cr_assert(                                                                                     \
        harness_await(has_value,                                                                   \
                      &(struct wish){.side = &(s), .member = &(s).fake.name, .value = (least)},    \
                      SOON_MS),                                                                    \
        "%s of %s stays at %lld", #name, (s).dc, (long long)fake_read(&(s).fake, &(s).fake.name))

/* GET /peers says so: of the other one, or of whom was refused. */
static bool says(struct side *s, const char *array, const char *member, const char *value)
{
    auto_client struct client *client = client_new("remote-svc", (int)httpd_port(s->app->httpd));
    struct answer answer = {0};
    struct err e = {0};
    const cJSON *row = NULL;
    bool found = false;

    if (!client_expect(client, 200, "GET", "/peers", NULL, &answer, &e))
        return false;
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(answer.json, array))
    {
        auto_free char *text =
            cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(row, member));
        found = found || (text && strcmp(text, value) == 0);
    }
    return found;
}

static bool has_state(void *arg)
{
    const struct wish *w = arg;

    return says(w->side, "peers", w->array_member, w->state);
}

static void expect_of_peer(struct side *s, const char *member, const char *value)
{
    struct wish w = {.side = s, .array_member = member, .state = value};

    cr_assert(harness_await(has_state, &w, SOON_MS), "%s never says %s: %s", s->dc, member, value);
}

static void expect_state(struct side *s, const char *state)
{
    char quoted[32];

    snprintf(quoted, sizeof(quoted), "\"%s\"", state);
    expect_of_peer(s, "state", quoted);
}

static bool has_refused_one(void *arg)
{
    const struct wish *w = arg;

    return says(w->side, "refused", w->array_member, w->state);
}

/* It is counted first, and listed in a moment. */
static void expect_refusal(struct side *s, const char *member, const char *value)
{
    struct wish w = {.side = s, .array_member = member, .state = value};

    cr_assert(harness_await(has_refused_one, &w, SOON_MS), "%s is not shown", value);
}

static void expect_both_up(void)
{
    expect_state(&east, "up");
    expect_state(&west, "up");
}

static int64_t refused(struct side *s, const char *reason)
{
    return metric_value(metric_at(s->app->metrics.refused, reason, NULL, NULL));
}

static bool has_refused(void *arg)
{
    return refused(&west, "local_svc") > *(int64_t *)arg;
}

/* ---- claims */

Test(remote_svc, units_arrive_and_are_echoed)
{
    expect_both_up();
    fake_send(&east.fake, 100);
    EXPECT_SOON(west, received, 100);
    EXPECT_SOON(east, echoed, 100);
    fake_send(&west.fake, 30);
    EXPECT_SOON(east, received, 30);
    EXPECT_SOON(west, echoed, 30);
}

Test(remote_svc, definitions_arrive_whatever_is_in_them)
{
    expect_both_up();
    fake_define(&east.fake, 7);
    EXPECT_SOON(west, applied, 7);
}

/* Of what west has heard, east's database forgets some.  Twice: one walk is due at first anyhow. */
Test(remote_svc, definitions_are_told_again_when_the_database_has_gone_back)
{
    fake_define(&east.fake, 9);
    EXPECT_SOON(west, applied, 9);
    for (int life = 0; life < 2; life++) {
        int64_t first = fake_read(&west.fake, &west.fake.told[1]);
        fake_define(&east.fake, 3);
        EXPECT_SOON(west, told[1], first + 1);
        int64_t new = fake_read(&west.fake, &west.fake.told[4]);
        fake_define(&east.fake, 4);
        EXPECT_SOON(west, told[4], new + 1);
    }
}

/* It went back while nobody looked. */
Test(remote_svc, definitions_below_what_a_peer_has_heard_before_are_told_when_it_is_found)
{
    east.app = remote_app_stop(east.app);
    west.app = remote_app_stop(west.app);
    west.fake.applied = 9;
    east.fake.definitions = 12;
    side_up(&west);
    side_up(&east);
    EXPECT_SOON(west, told[12], 1);
    EXPECT_SOON(west, told[5], 1);
}

Test(remote_svc, all_definitions_are_told_again_now_and_then)
{
    east.config.sync_ms = 100;
    side_again(&east);
    fake_define(&east.fake, 7);
    EXPECT_SOON(west, told[1], 5);
    EXPECT_SOON(west, told[7], 5);
}

Test(remote_svc, what_was_lost_is_told_again)
{
    expect_both_up();
    /* It reaches west's broker and no further. */
    west.app = remote_app_stop(west.app);
    fake_send(&east.fake, 100);
    fake_define(&east.fake, 3);
    expect_state(&east, "lost");
    rabbit_purge(west.broker, west.queue);

    side_up(&west);
    EXPECT_SOON(west, received, 100);
    EXPECT_SOON(east, echoed, 100);
    EXPECT_SOON(west, applied, 3);
    expect_both_up();
}

Test(remote_svc, a_broker_that_dies_and_forgets_loses_nothing)
{
    expect_both_up();
    rabbit_kill(west.broker);
    fake_send(&east.fake, 100);
    expect_state(&west, "lost");
    rabbit_wipe(west.broker);
    rabbit_restart(west.broker);
    EXPECT_SOON(west, received, 100);
    EXPECT_SOON(east, echoed, 100);
    expect_both_up();
}

Test(remote_svc, a_local_svc_that_is_away_gets_it_later)
{
    expect_both_up();
    fake_answer(&west.fake, 503);
    fake_send(&east.fake, 100);
    EXPECT_SOON(west, posts, 3);
    cr_assert(fake_read(&west.fake, &west.fake.received) == 0);
    fake_answer(&west.fake, 0);
    EXPECT_SOON(west, received, 100);
    EXPECT_SOON(east, echoed, 100);
    cr_assert(refused(&west, "replayed") == 0, "what the broker gives out again is no replay");
}

/* Whatever it fails at: a message that always fails must not come for ever. */
static void expect_refused(int status)
{
    int64_t before = refused(&west, "local_svc");

    fake_answer(&west.fake, status);
    fake_send(&east.fake, 100);
    cr_assert(harness_await(has_refused, &before, SOON_MS), "%d is not counted", status);
    fake_answer(&west.fake, 0);
}

Test(remote_svc, what_local_svc_refuses_is_counted_and_not_repeated_for_ever)
{
    char from[48];

    expect_both_up();
    expect_refused(400);
    EXPECT_SOON(west, received, 100);
    expect_refused(500);
    EXPECT_SOON(west, received, 200);
    snprintf(from, sizeof(from), "\"%s\"", east.dc);
    expect_refusal(&west, "reason", "\"local_svc\"");
    expect_refusal(&west, "from", from);
}

/* ---- rounds */

#define PENDING_MAX 1000 /* two pages */

static int64_t pending(struct side *s)
{
    return outgoing_count(s->app->links[0].peer.rows);
}

/* East's rows, and how many of them ever waited at once. */
struct stream {
    int first, count;
    int64_t pending_max;
};

static bool is_told(void *arg)
{
    struct stream *st = arg;
    int64_t waiting = pending(&east);
    bool ok = true;

    st->pending_max = waiting > st->pending_max ? waiting : st->pending_max;
    pthread_mutex_lock(&east.fake.lock);
    pthread_mutex_lock(&west.fake.lock);
    for (int i = st->first; i < st->first + st->count; i++)
        ok = ok && west.fake.heard_versions[i] == east.fake.versions[i];
    pthread_mutex_unlock(&west.fake.lock);
    pthread_mutex_unlock(&east.fake.lock);
    return ok;
}

static void expect_told(int first, int count)
{
    struct stream st = {.first = first, .count = count};

    cr_assert(harness_await(is_told, &st, 3 * SOON_MS), "not all rows arrive");
    cr_assert(st.pending_max <= PENDING_MAX, "%lld rows waited", (long long)st.pending_max);
}

struct metric_wish {
    struct metric_series *series;
    int64_t least;
};

static bool is_reached(void *arg)
{
    const struct metric_wish *w = arg;

    return metric_value(w->series) >= w->least;
}

/* So many more. */
static void expect_more(struct metric_series *series, int64_t more, const char *what)
{
    struct metric_wish w = {series, metric_value(series) + more};

    cr_assert(harness_await(is_reached, &w, 3 * SOON_MS), "not soon: %s", what);
}

#define ROUNDS_TOLD_ONCE 20 /* after so many everything is told again */
#define METRIC(s, name) ((s).app->links[0].peer.metrics.name)

/*
 * What was under way when west was found is over after a few rounds, and after
 * them there is nothing to tell; how many rows west has heard by then.
 */
static int64_t expect_quiet_rounds(void)
{
    for (int tries = 0; tries < 10; tries++) {
        int64_t heard = fake_read(&west.fake, &west.fake.heard);
        expect_more(METRIC(east, rounds), 2, "two more rounds");
        if (fake_read(&west.fake, &west.fake.heard) == heard)
            return heard;
    }
    cr_assert(false, "told again without need");
    return 0;
}

/*
 * Of seven changes there are seven rows.  False: a slow machine has come to the round that tells
 * everything again in any case, and nothing was seen.
 */
static bool expect_seven_told(void)
{
    int64_t began = metric_value(METRIC(east, rounds)), heard = expect_quiet_rounds();

    fake_touch(&east.fake, 700, 7, false);
    expect_told(700, 7);
    expect_more(METRIC(east, rounds), 1, "one more round");
    int64_t told = fake_read(&west.fake, &west.fake.heard) - heard;
    if (metric_value(METRIC(east, rounds)) / ROUNDS_TOLD_ONCE > began / ROUNDS_TOLD_ONCE)
        return false;
    cr_assert(told == 7, "told again without need");
    return true;
}

Test(remote_svc, a_round_is_a_stream_of_pages_and_the_next_tells_only_what_changed)
{
    fake_touch(&east.fake, 1, MORE_MAX, false);
    east.config.sync_ms = 1000;
    east.config.queue_rows_max = 10000;
    east.config.lost_ms = west.config.lost_ms = 60000;
    side_again(&west);
    side_again(&east);
    expect_told(1, MORE_MAX);

    bool is_seen = false;
    for (int tries = 0; tries < 5 && !is_seen; tries++)
        is_seen = expect_seven_told();
    cr_assert(is_seen, "each round tells everything");
}

Test(remote_svc, a_restart_replays_no_news_and_tells_everything_in_a_round)
{
    east.app = remote_app_stop(east.app);
    fake_touch(&east.fake, 1, MORE_MAX, true);
    side_up(&east);
    expect_told(1, MORE_MAX);
    cr_assert(fake_read(&east.fake, &east.fake.news) == 0, "news are replayed");
    fake_touch(&east.fake, 5, 5, true);
    expect_told(5, 5);
}

Test(remote_svc, a_peer_that_was_found_again_gets_its_round_at_once)
{
    fake_touch(&east.fake, 1, MORE_MAX, false);
    side_again(&east);
    expect_told(1, MORE_MAX);
    west.app = remote_app_stop(west.app);
    expect_state(&east, "lost");
    /* What it was told went where its broker forgets it. */
    rabbit_purge(west.broker, west.queue);
    pthread_mutex_lock(&west.fake.lock);
    memset(west.fake.heard_versions, 0, sizeof(west.fake.heard_versions));
    pthread_mutex_unlock(&west.fake.lock);
    side_up(&west);
    expect_told(1, MORE_MAX);
}

/* West is there all the time, and only its broker loses what waited for it. */
Test(remote_svc, a_peer_that_misses_messages_says_so_and_is_told_everything)
{
    east.config.lost_ms = west.config.lost_ms = 60000;
    east.config.sync_ms = 10000;
    side_again(&west);
    side_again(&east);
    expect_both_up();
    fake_answer(&west.fake, 503);
    for (int i = 1; i <= 5; i++) {
        struct metric_wish w = {METRIC(east, sent_rows), metric_value(METRIC(east, sent_rows)) + 1};
        fake_touch(&east.fake, i, 1, true);
        cr_assert(harness_await(is_reached, &w, SOON_MS), "not published");
    }
    rabbit_kill(west.broker);
    rabbit_wipe(west.broker);
    fake_answer(&west.fake, 0);
    rabbit_restart(west.broker);
    expect_told(1, 5);
}

static int64_t messages_with_rows(struct side *s)
{
    struct peer *p = &s->app->links[0].peer;

    pthread_mutex_lock(&p->lock);
    int64_t messages = p->rows_seq;
    pthread_mutex_unlock(&p->lock);
    return messages;
}

/* One window after the other changes, each a message if it may go. */
static bool is_said_or_waits(void *arg)
{
    const struct metric_wish *w = arg;

    return metric_value(w->series) + pending(&east) >= w->least;
}

Test(remote_svc, rows_wait_where_newer_ones_replace_them_and_not_in_a_queue)
{
    east.config.lost_ms = west.config.lost_ms = 60000;
    side_again(&west);
    side_again(&east);
    expect_both_up();
    fake_answer(&west.fake, 503);
    int64_t began_ms = clk_now_ms(), before = messages_with_rows(&east);
    int64_t sent = metric_value(METRIC(east, sent_rows));
    for (int i = 1; i <= 60; i++) {
        struct metric_wish w = {METRIC(east, sent_rows), sent + i};
        fake_touch(&east.fake, i, 1, true);
        cr_assert(harness_await(is_said_or_waits, &w, SOON_MS), "not heard of");
    }
    int64_t messages = messages_with_rows(&east) - before;
    int64_t tries = 1 + (clk_now_ms() - began_ms) / PEER_ROWS_TRY_MS;
    cr_expect(messages <= PEER_ROWS_UNDER_WAY_MAX + tries, "%lld messages", (long long)messages);

    fake_answer(&west.fake, 0);
    expect_told(1, 60);
}

Test(remote_svc, a_broker_that_is_away_costs_local_svc_no_pages)
{
    expect_both_up();
    rabbit_kill(west.broker);
    expect_of_peer(&east, "broker", "\"down\"");
    fake_send(&east.fake, 70);
    EXPECT_SOON(east, looks, fake_read(&east.fake, &east.fake.looks) + 2);
    int64_t pages = fake_read(&east.fake, &east.fake.pages);
    EXPECT_SOON(east, looks, fake_read(&east.fake, &east.fake.looks) + 3);
    cr_assert(fake_read(&east.fake, &east.fake.pages) == pages, "pages were read in vain");
    /* The sums are right all the same. */
    expect_of_peer(&east, "units_in_transit", "70");
    rabbit_restart(west.broker);
    EXPECT_SOON(west, received, 70);
    expect_of_peer(&east, "units_in_transit", "0");
}

/* ---- what operators see */

static bool shows_one_way(void *arg)
{
    (void)arg;
    return metric_value(METRIC(east, hears_us)) == 0 && metric_value(METRIC(east, up)) == 1;
}

Test(remote_svc, a_link_that_works_one_way_only_is_shown)
{
    expect_both_up();
    expect_of_peer(&east, "hears_us", "true");
    expect_of_peer(&west, "hears_us", "true");
    /* East speaks to nobody any more, and is spoken to. */
    snprintf(east.peers, sizeof(east.peers), "%s=amqp://guest:guest@127.0.0.1:1", west.dc);
    side_again(&east);
    expect_state(&west, "lost");
    expect_of_peer(&west, "hears_us", "null");
    expect_state(&east, "up");
    expect_of_peer(&east, "hears_us", "false");
    expect_of_peer(&east, "broker", "\"down\"");
    cr_assert(harness_await(shows_one_way, NULL, SOON_MS), "not in the metrics");
}

Test(remote_svc, a_broker_without_the_peers_queue_is_shown)
{
    expect_both_up();
    west.app = remote_app_stop(west.app);
    cr_assert(rabbit_ctl(west.broker, NULL, "delete_queue", west.queue, NULL));
    expect_of_peer(&east, "broker", "\"no_queue\"");
    side_up(&west);
    expect_of_peer(&east, "broker", "\"connected\"");
    expect_both_up();
}

/* Into the buffer: they say that the other one is up. */
static bool is_written(void *arg)
{
    struct buf *out = arg;
    char up[80];

    buf_clear(out);
    metrics_write(east.app->registry, out);
    snprintf(up, sizeof(up), "\nvolumecap_peer_up{peer=\"%s\"} 1\n", west.dc);
    return strstr(buf_text(out), up) != NULL;
}

Test(remote_svc, the_metrics_are_clean_for_promtool)
{
    auto_buf struct buf out = BUF_INIT(0);

    cr_assert(system("command -v promtool > /dev/null") == 0, "promtool is not installed");
    expect_both_up();
    cr_assert(harness_await(is_written, &out, SOON_MS));
    FILE *promtool = popen("promtool check metrics", "w");
    cr_assert_not_null(promtool);
    cr_assert(fputs(buf_text(&out), promtool) >= 0);
    cr_assert(pclose(promtool) == 0);
}

/* ---- forgers */

struct forgery {
    const char *from, *to, *key_id, *secret; /* "": no key at all */
    const char *body;
    bool flip_body, flip_sig;
    const char *version;
    const char *reason;
    int64_t refused; /* for this reason, before */
    bool said;
};

static void copy_headers(const struct bus_message *from, const struct forgery *f,
                         struct bus_message *to)
{
    for (size_t i = 0; i < from->headers_count; i++) {
        const struct bus_header *h = &from->headers[i];
        char value[80];
        snprintf(value, sizeof(value), "%s", h->value);
        if (strcmp(h->name, "sig") == 0 && f->flip_sig)
            value[10] = value[10] == '0' ? '1' : '0';
        bus_header_set(to, h->name, strcmp(h->name, "v") == 0 && f->version ? f->version : value);
    }
}

static bool say_forgery(void *arg, struct bus_message *ret)
{
    struct forgery *f = arg;
    struct sign_key key = {.secret_len = 32};

    if (f->said)
        return false;
    f->said = true;
    snprintf(key.dc, sizeof(key.dc), "%s", f->from);
    snprintf(key.id, sizeof(key.id), "%s", f->key_id);
    for (size_t i = 0; i < 32; i++) {
        unsigned byte = 0;
        cr_assert(sscanf(f->secret + 2 * i, "%2x", &byte) == 1);
        key.secret[i] = (unsigned char)byte;
    }
    struct bus_message honest = {.headers_count = 0};
    buf_str(&honest.body, f->body);
    envelope_seal(&key, f->to, ENVELOPE_ROWS, &honest);
    copy_headers(&honest, f, ret);
    if (f->flip_body)
        honest.body.data[honest.body.len / 2] ^= 1;
    buf_add(&ret->body, honest.body.data, honest.body.len);
    buf_done(&honest.body);
    return true;
}

static bool is_counted(void *arg)
{
    const struct forgery *f = arg;

    /* Twice, if the broker gives it out again. */
    return refused(&west, f->reason) > f->refused;
}

static void forge(struct forgery f)
{
    struct bus_sender *s = NULL;
    struct err e = {0};
    char shown[32];
    const struct bus_sender_config config = {.name = "forger",
                                             .url = rabbit_url(west.broker),
                                             .queue = west.queue,
                                             .next = say_forgery,
                                             .arg = &f};

    f.refused = refused(&west, f.reason);
    cr_assert(bus_sender_start(&config, &s, &e), "%s", e.msg);
    cr_assert(harness_await(is_counted, &f, SOON_MS), "not counted as %s", f.reason);
    (void)bus_sender_stop(s);
    cr_assert(fake_read(&west.fake, &west.fake.received) == 0, "%s was believed", f.reason);
    snprintf(shown, sizeof(shown), "\"%s\"", f.reason);
    expect_refusal(&west, "reason", shown);
}

#define HONEST                                                                                     \
    .from = east.dc, .to = west.dc, .key_id = "k1", .secret = KEY_EAST, .body = forged_message

Test(remote_svc, forgeries_change_nothing_and_are_counted)
{
    expect_both_up();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
    forge((struct forgery){HONEST, .secret = KEY_WEST, .reason = "signature"});
    forge((struct forgery){HONEST, .key_id = "k2", .reason = "key"});
    forge((struct forgery){HONEST, .from = "nobody", .reason = "stranger"});
    forge((struct forgery){HONEST, .to = "north", .reason = "not_for_us"});
    forge((struct forgery){HONEST, .version = "2", .reason = "version"});
    forge((struct forgery){HONEST, .body = "{\"rows\":[", .reason = "malformed"});
#pragma GCC diagnostic pop
}

Test(remote_svc, a_flipped_bit_changes_nothing)
{
    expect_both_up();
    forge((struct forgery){HONEST, .flip_body = true, .reason = "signature"});
}

Test(remote_svc, a_flipped_bit_of_the_signature_changes_nothing)
{
    expect_both_up();
    forge((struct forgery){HONEST, .flip_sig = true, .reason = "signature"});
}

/* Whoever could say that again could say it always. */
Test(remote_svc, a_message_that_does_not_say_which_it_is_is_refused)
{
    const char *const beginnings[] = {"", "\"seq\":1,", "\"run\":2000000000000000,",
                                      "\"run\":-1,\"seq\":1,",
                                      "\"run\":2000000000000000,\"seq\":\"1\","};
    char words[512];

    expect_both_up();
    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
        snprintf(words, sizeof(words), "{%s%s", beginnings[i], forged_rows);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
        forge((struct forgery){HONEST, .body = words, .reason = "malformed"});
#pragma GCC diagnostic pop
    }
}

/* It has a key here, but is no peer. */
Test(remote_svc, whoever_is_no_peer_is_not_heard)
{
    expect_both_up();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
    forge((struct forgery){HONEST, .from = "north", .secret = KEY_WEST, .reason = "stranger"});
#pragma GCC diagnostic pop
}

/* ---- mistakes of operators */

static bool has_rows_without_peer(void *arg)
{
    (void)arg;
    return metric_value(metric_at(east.app->metrics.without_peer, NULL, NULL, NULL)) > 0;
}

/* local-svc trades with it: whoever forgot it in REMOTE_PEERS has to hear so. */
Test(remote_svc, rows_for_a_data_centre_that_is_no_peer_are_counted)
{
    expect_both_up();
    fake_send(&east.fake, 100);
    EXPECT_SOON(west, received, 100);
    cr_assert(!has_rows_without_peer(NULL));
    pthread_mutex_lock(&east.fake.lock);
    east.fake.peer = "nowhere";
    pthread_mutex_unlock(&east.fake.lock);
    fake_send(&east.fake, 100);
    cr_assert(harness_await(has_rows_without_peer, NULL, SOON_MS), "nobody notices");
    cr_assert(fake_read(&west.fake, &west.fake.received) == 100);
}

/* ---- what was said before */

static int64_t run_of(struct side *s)
{
    struct peer *p = &s->app->links[0].peer;

    pthread_mutex_lock(&p->lock);
    int64_t run = p->run;
    pthread_mutex_unlock(&p->lock);
    return run;
}

/* West has heard this run of east, or a later one. */
static bool is_run_heard(void *arg)
{
    struct peer *p = &west.app->links[0].peer;

    pthread_mutex_lock(&p->lock);
    int64_t run = p->ears.run;
    pthread_mutex_unlock(&p->lock);
    return run >= *(const int64_t *)arg;
}

static void expect_run_heard(int64_t run)
{
    cr_assert(harness_await(is_run_heard, &run, SOON_MS), "the run is not heard");
}

/* As east said it once, with rows that nobody is to hear again. */
static void replay(int64_t run, int64_t seq)
{
    char words[512];

    snprintf(words, sizeof(words), "{\"run\":%lld,\"seq\":%lld,\"heard_ms_ago\":0,%s",
             (long long)run, (long long)seq, forged_rows);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
    forge((struct forgery){HONEST, .body = words, .reason = "replayed"});
#pragma GCC diagnostic pop
}

Test(remote_svc, what_is_recorded_and_replayed_does_not_keep_a_lost_peer_up)
{
    expect_both_up();
    int64_t first = run_of(&east);
    expect_run_heard(first);
    side_again(&east);
    int64_t second = run_of(&east);
    cr_assert(second > first, "runs are not in order");
    expect_run_heard(second);
    east.app = remote_app_stop(east.app);
    expect_state(&west, "lost");

    int64_t posts = fake_read(&west.fake, &west.fake.posts);
    for (int i = 0; i < 3; i++) {
        replay(first, 1000);
        replay(second, 1);
    }
    cr_assert(says(&west, "peers", "state", "\"lost\""), "replays were taken for news");
    cr_assert(fake_read(&west.fake, &west.fake.posts) == posts, "replayed rows were passed on");
    side_up(&east);
    expect_both_up();
}

/* What east says in a run that is not the latest is refused, until it hears so. */
Test(remote_svc, a_peer_whose_clock_went_back_is_believed_again_in_a_later_run)
{
    struct peer *p = &east.app->links[0].peer;

    expect_both_up();
    int64_t run = run_of(&east);
    expect_run_heard(run);
    pthread_mutex_lock(&p->lock);
    p->run = 1000;
    p->seq = 0;
    pthread_mutex_unlock(&p->lock);
    expect_run_heard(run + 1);
    fake_send(&east.fake, 100);
    EXPECT_SOON(west, received, 100);
    EXPECT_SOON(east, echoed, 100);
    expect_both_up();
}

/* No run could follow it in the end. */
Test(remote_svc, a_run_that_leaves_no_room_for_later_ones_is_not_begun)
{
    struct peer_said said = PEER_SAID_NOTHING;

    expect_both_up();
    int64_t run = run_of(&east);
    said.run = UNITS_MAX;
    said.seq = 1;
    said.heard_run = UNITS_MAX / 2;
    cr_assert(peer_heard(&east.app->links[0].peer, &said, 0, false));
    cr_assert(run_of(&east) == run);
}
