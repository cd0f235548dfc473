/* remote-svc beside a coordinator: while it stands by it says and hears nothing. */

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/io/httpc.h"
#include "services/remote-svc/app.h"
#include "tests/harness/client.h"
#include "tests/harness/proc.h"
#include "tests/harness/rabbit.h"

#define SOON_MS 20000
#define KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* The coordinator, and local-svc, which only counts that it was asked. */
static atomic_bool is_primary;
static atomic_llong asked;

static bool get_leadership(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                           struct err *e)
{
    bool acts = atomic_load(&is_primary);

    (void)arg;
    (void)req;
    (void)e;
    buf_printf(&reply->body,
               "{\"role\":\"remote-svc\",\"name\":\"a\",\"state\":\"%s\",\"epoch\":1,"
               "\"valid_for_ms\":%d,\"holder\":\"a\",\"since\":null}",
               acts ? "primary" : "standby", acts ? 600 : 0);
    return true;
}

static bool get_rows(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                     struct err *e)
{
    (void)arg;
    (void)req;
    (void)reply;
    atomic_fetch_add(&asked, 1);
    return err_set(e, ERR_UNAVAILABLE, "there is nothing here");
}

static bool ready(void *arg, struct buf *out)
{
    (void)arg;
    (void)out;
    return true;
}

static const struct httpd_route routes[] = {
    {"GET", "/leadership", "getLeadership", 200, get_leadership, false},
    {"GET", "/rows", "listRows", 200, get_rows, false},
};

static struct httpd *start_fake(struct metrics *metrics, char url[64])
{
    const struct httpd_config config = {
        .settings = {.address = "127.0.0.1",
                     .threads = 1,
                     .connections_max = 20,
                     .request_timeout_ms = 3000},
        .body_max = 1000,
        .routes = routes,
        .routes_count = sizeof(routes) / sizeof(routes[0]),
        .openapi = "{}",
        .ready = ready,
        .metrics = metrics,
    };
    struct httpd *h = NULL;
    struct err e;

    cr_assert(httpd_start(&config, &h, &e), "%s", e.msg);
    (void)snprintf(url, 64, "http://127.0.0.1:%lld", (long long)httpd_port(h));
    return h;
}

struct expected {
    struct client *client;
    const char *text;
};

static bool says(void *arg)
{
    const struct expected *x = arg;
    const struct call call = {.method = "GET", .path = "/readyz?verbose"};
    struct answer a = {0};
    struct err e;

    return client_call(x->client, &call, &a, &e) && a.status == 200 &&
           strstr(buf_text(&a.reply->body), x->text) != NULL;
}

static bool is_asked(void *arg)
{
    return atomic_load(&asked) > *(const long long *)arg;
}

static void await_ready(struct client *c, const char *text)
{
    struct expected x = {c, text};

    cr_assert(harness_await(says, &x, SOON_MS), "never: %s", text);
}

static bool is_closed(void *arg)
{
    struct remote_app *app = arg;

    return consumer_bus(app->consumer).state == BUS_DOWN &&
           peer_bus(&app->links[0].peer).state == BUS_DOWN;
}

static bool is_open(void *arg)
{
    struct remote_app *app = arg;

    return consumer_bus(app->consumer).state == BUS_CONNECTED &&
           peer_bus(&app->links[0].peer).state == BUS_CONNECTED;
}

Test(remote_standby, has_no_connections_until_it_is_primary_and_none_afterwards, .timeout = 240)
{
    struct rabbit *broker = rabbit_start();
    struct metrics *metrics = metrics_new();
    auto_free char *folder = folder_scratch();
    struct remote_app *app = NULL;
    char url[64], peers[256], keys[256];
    long long before = 0;
    struct err e;

    log_level_set(LOG_ERROR);
    httpc_global_init();
    struct httpd *fake = start_fake(metrics, url);
    (void)snprintf(keys, sizeof(keys), "%s/keys", folder);
    (void)snprintf(peers, sizeof(peers), "west=%s", rabbit_url(broker));
    FILE *f = fopen(keys, "we");
    cr_assert(f != NULL && fputs("east k1 " KEY "\nwest k1 " KEY "\n", f) >= 0 && fclose(f) == 0);
    const struct remote_config config = {
        .dc = "east",
        .http = {.address = "127.0.0.1",
                 .threads = 1,
                 .connections_max = 100,
                 .request_timeout_ms = 3000},
        .broker = rabbit_url(broker),
        .peers = peers,
        .keys = keys,
        .local_url = url,
        .meta_url = url,
        .leader = {.coordinator_url = url},
        .resend_ms = 100,
        .sync_ms = 60000,
        .lost_ms = 3000,
        .queue_rows_max = 1000,
    };
    cr_assert(remote_app_start(&config, "{}", &app, &e), "%s", e.msg);
    auto_client struct client *c = client_new("remote-svc", (int)httpd_port(app->httpd));

    await_ready(c, "leadership: standby, epoch 1\n");
    cr_expect(is_closed(app));
    cr_expect(atomic_load(&asked) == 0);

    atomic_store(&is_primary, true);
    cr_assert(harness_await(is_open, app, SOON_MS), "it never connects");
    await_ready(c, "leadership: primary, epoch 1\n");
    cr_assert(harness_await(is_asked, &before, SOON_MS), "it never asks for rows");

    atomic_store(&is_primary, false);
    cr_assert(harness_await(is_closed, app, SOON_MS), "it stays connected");
    await_ready(c, "leadership: standby, epoch 1\n");

    atomic_store(&is_primary, true);
    cr_assert(harness_await(is_open, app, SOON_MS), "it does not come back");
    app = remote_app_stop(app);
    fake = httpd_stop(fake);
    metrics = metrics_free(metrics);
    broker = rabbit_free(broker);
}
