/*
 * Two remote-svcs with a real broker each, and a local-svc and a meta-svc for
 * each that only remember what they were told.
 */

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/io/httpd.h"
#include "common/io/js.h"
#include "services/remote-svc/app.h"
#include "tests/harness/client.h"
#include "tests/harness/proc.h"
#include "tests/harness/rabbit.h"

#define SOON_MS 20000 /* by then what is to happen has happened, on a busy machine too */
#define WINDOW "2026-05-20T00:00:00Z"
#define KEY_EAST "e00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_WEST "f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* ---- local-svc and meta-svc of one data centre, as far as remote-svc sees them */

struct fake {
    struct httpd *httpd;
    struct metrics *metrics;
    char url[64];
    const char *peer;
    pthread_mutex_t lock;           /* guards all below */
    int64_t sent, echoed, revision; /* one row, of one window */
    int64_t received, posts;
    int64_t definitions, applied; /* ours, by number; theirs, up to */
    int status;                   /* instead of taking rows; 0: none */
};

static void write_row(struct js_writer *w, const struct fake *f)
{
    js_object(w, NULL);
    js_text(w, "peer", f->peer);
    js_text(w, "cap", "ad-1");
    js_text(w, "starts_at", WINDOW);
    js_i64(w, "sent", f->sent);
    js_i64(w, "received", f->received);
    js_i64(w, "version", f->revision);
    js_i64(w, "echoed", f->echoed);
    js_object_end(w);
}

static void write_rows(struct js_writer *w, const struct fake *f, bool any)
{
    js_array(w, "rows");
    if (any)
        write_row(w, f);
    js_array_end(w);
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
    bool any = since ? f->revision > known
                     : f->revision > 0 && (!httpd_query(req, "in_transit") || f->sent > f->echoed);
    js_object(&w, NULL);
    js_i64(&w, "revision", f->revision);
    js_bool(&w, "more", false);
    write_rows(&w, f, any);
    js_null(&w, "next");
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
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(body, "rows"))
    {
        if (!ok)
            break;
        f->received = number(row, "sent") > f->received ? number(row, "sent") : f->received;
        f->echoed = number(row, "received") > f->echoed ? number(row, "received") : f->echoed;
    }
    f->revision++;
    js_object(&w, NULL);
    write_rows(&w, f, ok);
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
    struct err e = {0};

    f->peer = peer;
    f->metrics = metrics_new();
    cr_assert(pthread_mutex_init(&f->lock, NULL) == 0);
    const struct httpd_config config = {
        .service = "fake",
        .address = "127.0.0.1",
        .threads = 4,
        .connections_max = 100,
        .body_max = 2 << 20,
        .request_timeout_ms = 3000,
        .routes = fake_routes,
        .routes_count = sizeof(fake_routes) / sizeof(fake_routes[0]),
        .arg = f,
        .metrics = f->metrics,
    };
    cr_assert(httpd_start(&config, &f->httpd, &e), "%s", e.msg);
    snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%lld", (long long)httpd_port(f->httpd));
}

static void fake_stop(struct fake *f)
{
    (void)httpd_stop(f->httpd);
    (void)metrics_free(f->metrics);
}

/* Sends so many more units. */
static void fake_send(struct fake *f, int64_t units)
{
    pthread_mutex_lock(&f->lock);
    f->sent += units;
    f->revision++;
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
    const char *dc, *other;
    struct rabbit *broker;
    struct fake fake;
    struct remote_config config;
    char peers[256];
    struct remote_app *app;
};

static struct side east = {.dc = "east", .other = "west"}, west = {.dc = "west", .other = "east"};
static char keys_path[256];

static void write_keys(void)
{
    char *folder = folder_scratch();

    snprintf(keys_path, sizeof(keys_path), "%s/keys", folder);
    FILE *f = fopen(keys_path, "we");
    cr_assert(f);
    fprintf(f, "east k1 " KEY_EAST "\nwest k1 " KEY_WEST "\nnorth k1 " KEY_WEST "\n");
    fclose(f);
    free(folder);
}

static void side_up(struct side *s)
{
    struct err e = {0};

    cr_assert(remote_app_start(&s->config, "{}", &s->app, &e), "%s", e.msg);
}

static void side_begin(struct side *s, const struct side *o)
{
    snprintf(s->peers, sizeof(s->peers), "%s=%s", o->dc, rabbit_url(o->broker));
    fake_start(&s->fake, s->other);
    s->config = (struct remote_config){
        .dc = s->dc,
        .address = "127.0.0.1",
        .threads = 1,
        .connections_max = 100,
        .request_timeout_ms = 3000,
        .log_level = "error",
        .broker = rabbit_url(s->broker),
        .peers = s->peers,
        .keys = keys_path,
        .local_url = s->fake.url,
        .meta_url = s->fake.url,
        .coordinator_url = "",
        .alone = 1,
        .resend_ms = 100,
        .sync_ms = 60000,
        .lost_ms = 3000,
        .queue_rows_max = 1000,
    };
}

static void begin(void)
{
    log_level_set(LOG_ERROR);
    httpc_global_init();
    write_keys();
    east.broker = rabbit_start();
    west.broker = rabbit_start();
    side_begin(&east, &west);
    side_begin(&west, &east);
    side_up(&east);
    side_up(&west);
}

static void side_end(struct side *s)
{
    s->app = remote_app_stop(s->app);
    fake_stop(&s->fake);
    s->broker = rabbit_free(s->broker);
}

static void end(void)
{
    side_end(&east);
    side_end(&west);
}

TestSuite(remote_svc, .init = begin, .fini = end, .timeout = 240);

/* ---- what is waited for */

struct wish {
    struct side *side;
    const int64_t *member;
    int64_t value;
    const char *state;
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

/* GET /peers says so of the other one. */
static bool has_state(void *arg)
{
    const struct wish *w = arg;
    auto_client struct client *client =
        client_new("remote-svc", (int)httpd_port(w->side->app->httpd));
    struct answer answer = {0};
    struct err e = {0};

    if (!client_expect(client, 200, "GET", "/peers", NULL, &answer, &e))
        return false;
    const cJSON *peer =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(answer.json, "peers"), 0);
    const cJSON *state = cJSON_GetObjectItemCaseSensitive(peer, "state");
    return state && strcmp(state->valuestring, w->state) == 0;
}

static void expect_state(struct side *s, const char *state)
{
    struct wish w = {.side = s, .state = state};

    cr_assert(harness_await(has_state, &w, SOON_MS), "%s never says %s", s->dc, state);
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
    pthread_mutex_lock(&east.fake.lock);
    east.fake.definitions = 7;
    pthread_mutex_unlock(&east.fake.lock);
    EXPECT_SOON(west, applied, 7);
}

Test(remote_svc, what_was_lost_is_told_again)
{
    expect_both_up();
    /* It reaches west's broker and no further. */
    west.app = remote_app_stop(west.app);
    fake_send(&east.fake, 100);
    pthread_mutex_lock(&east.fake.lock);
    east.fake.definitions = 3;
    pthread_mutex_unlock(&east.fake.lock);
    expect_state(&east, "lost");
    rabbit_purge(west.broker, "volumecap.west");

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
}

Test(remote_svc, what_local_svc_refuses_is_counted_and_not_repeated_for_ever)
{
    expect_both_up();
    fake_answer(&west.fake, 400);
    fake_send(&east.fake, 100);
    EXPECT_SOON(west, posts, 1);
    fake_answer(&west.fake, 0);
    EXPECT_SOON(west, received, 100);
    cr_assert(refused(&west, "local_svc") >= 1);
}

/* ---- forgers */

#define ROWS                                                                                       \
    "{\"rows\":[{\"peer\":\"west\",\"cap\":\"ad-1\",\"starts_at\":\"" WINDOW                       \
    "\",\"sent\":1000000,\"received\":0,\"version\":1}]}"

struct forgery {
    const char *from, *to, *key_id, *secret; /* "": no key at all */
    const char *body;
    bool flip_body, flip_sig;
    const char *version;
    const char *reason;
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

    return refused(&west, f->reason) == 1;
}

static void forge(struct forgery f)
{
    struct bus_sender *s = NULL;
    struct err e = {0};
    const struct bus_sender_config config = {.name = "forger",
                                             .url = rabbit_url(west.broker),
                                             .queue = "volumecap.west",
                                             .next = say_forgery,
                                             .arg = &f};

    cr_assert(bus_sender_start(&config, &s, &e), "%s", e.msg);
    cr_assert(harness_await(is_counted, &f, SOON_MS), "not counted as %s", f.reason);
    (void)bus_sender_stop(s);
    cr_assert(fake_read(&west.fake, &west.fake.received) == 0, "%s was believed", f.reason);
}

#define HONEST .from = "east", .to = "west", .key_id = "k1", .secret = KEY_EAST, .body = ROWS

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

/* It has a key here, but is no peer. */
Test(remote_svc, whoever_is_no_peer_is_not_heard)
{
    expect_both_up();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
    forge((struct forgery){HONEST, .from = "north", .secret = KEY_WEST, .reason = "stranger"});
#pragma GCC diagnostic pop
}
