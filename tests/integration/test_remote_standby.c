/* remote-svc beside a coordinator: while it stands by it says and hears nothing. */

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/io/httpc.h"
#include "services/remote-svc/app.h"
#include "tests/harness/client.h"
#include "tests/harness/proc.h"
#include "tests/harness/rabbit.h"

#define SOON_MS 30000
#define VALID_MS 60000 /* a machine that is slow to ask again is no reason to stand by */
#define KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* The coordinator, and local-svc, which only counts that it was asked, and from the present on. */
static atomic_bool is_primary;
static atomic_llong asked, begun, questions, questioned_ms;

static bool get_leadership(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                           struct err *e)
{
    bool acts = atomic_load(&is_primary);

    atomic_fetch_add(&questions, 1);
    atomic_store(&questioned_ms, clk_now_ms());
    (void)arg;
    (void)req;
    (void)e;
    buf_printf(&reply->body,
               "{\"role\":\"remote-svc\",\"name\":\"a\",\"state\":\"%s\",\"epoch\":1,"
               "\"valid_for_ms\":%d,\"holder\":\"a\",\"since\":null}",
               acts ? "primary" : "standby", acts ? VALID_MS : 0);
    return true;
}

static bool get_rows(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                     struct err *e)
{
    const char *since = httpd_query(req, "since");
    const struct timespec pause = {.tv_nsec = 20000000};

    (void)arg;
    (void)e;
    atomic_fetch_add(&asked, 1);
    if (since && strtoll(since, NULL, 10) == UNITS_MAX)
        atomic_fetch_add(&begun, 1);
    (void)nanosleep(&pause, NULL);
    buf_str(&reply->body, "{\"revision\":7,\"more\":false,\"rows\":[],\"next\":null,"
                          "\"in_transit_rows\":1,\"in_transit_units\":70}");
    return true;
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
                     .request_timeout_ms = 30000},
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
    const char *path, *text;
};

static bool says(void *arg)
{
    const struct expected *x = arg;
    const struct call call = {.method = "GET", .path = x->path};
    struct answer a = {0};
    struct err e;

    return client_call(x->client, &call, &a, &e) && a.status == 200 &&
           strstr(buf_text(&a.reply->body), x->text) != NULL;
}

static bool is_asked(void *arg)
{
    return atomic_load(&asked) > *(const long long *)arg;
}

static bool is_begun(void *arg)
{
    return atomic_load(&begun) > *(const long long *)arg;
}

static void await_says(struct client *c, const char *path, const char *text)
{
    struct expected x = {c, path, text};

    cr_assert(harness_await(says, &x, SOON_MS), "%s never says: %s", path, text);
}

static void await_ready(struct client *c, const char *text)
{
    await_says(c, "/readyz?verbose", text);
}

/* ---- the other data centre, which greets */

struct greeter {
    struct sign_keys *keys;
    struct bus_sender *sender;
    int64_t seq;
    atomic_bool is_silent;
};

static bool greet(void *arg, struct bus_message *ret)
{
    struct greeter *g = arg;

    if (atomic_load(&g->is_silent))
        return false;
    buf_printf(&ret->body, "{\"run\":1000,\"seq\":%lld,\"heard_ms_ago\":0}", (long long)++g->seq);
    envelope_seal(sign_key_of(g->keys, "west", NULL), "east", ENVELOPE_HELLO, ret);
    atomic_store(&g->is_silent, true);
    return true;
}

static void greeter_start(struct greeter *g, const char *keys, const char *url)
{
    const struct bus_sender_config config = {
        .name = "west", .url = url, .queue = "volumecap.east", .next = greet, .arg = g};
    struct err e = {0};

    atomic_store(&g->is_silent, true);
    cr_assert(sign_keys_load(keys, &g->keys, &e), "%s", e.msg);
    cr_assert(bus_sender_start(&config, &g->sender, &e), "%s", e.msg);
}

static void greeter_stop(struct greeter *g)
{
    g->sender = bus_sender_stop(g->sender);
    g->keys = sign_keys_free(g->keys);
}

static bool is_greeted(void *arg)
{
    const struct greeter *g = arg;

    return atomic_load(&g->is_silent) && bus_sender_counts(g->sender).unconfirmed == 0;
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

/* ---- one replica */

struct scene {
    struct rabbit *broker;
    struct metrics *metrics;
    struct httpd *fake;
    struct remote_app *app;
    struct client *client;
    char keys[256], url[64], peers[256]; /* borrowed by the app */
};

static void write_keys(struct scene *s)
{
    auto_free char *folder = folder_scratch();

    (void)snprintf(s->keys, sizeof(s->keys), "%s/keys", folder);
    FILE *f = fopen(s->keys, "we");
    cr_assert(f != NULL && fchmod(fileno(f), 0600) == 0);
    cr_assert(fputs("east k1 " KEY "\nwest k1 " KEY "\n", f) >= 0 && fclose(f) == 0);
}

/* `broker`: of the other data centre; NULL: this one's. */
static void begin_with(struct scene *s, const char *broker)
{
    struct err e;

    log_level_set(LOG_ERROR);
    httpc_global_init();
    s->broker = rabbit_start();
    s->metrics = metrics_new();
    s->fake = start_fake(s->metrics, s->url);
    write_keys(s);
    (void)snprintf(s->peers, sizeof(s->peers), "west=%s", broker ? broker : rabbit_url(s->broker));
    const struct remote_config config = {
        .dc = "east",
        .http = {.address = "127.0.0.1",
                 .threads = 1,
                 .connections_max = 100,
                 .request_timeout_ms = 3000},
        .broker = rabbit_url(s->broker),
        .peers = s->peers,
        .keys = s->keys,
        .local_url = s->url,
        .meta_url = s->url,
        .leader = {.coordinator_url = s->url},
        .resend_ms = 100,
        .sync_ms = 60000,
        .lost_ms = 60000,
        .queue_rows_max = 1000,
    };
    cr_assert(remote_app_start(&config, "{}", &s->app, &e), "%s", e.msg);
    s->client = client_new("remote-svc", (int)httpd_port(s->app->httpd));
}

static void begin(struct scene *s)
{
    begin_with(s, NULL);
}

static void end(struct scene *s)
{
    s->client = client_free(s->client);
    s->app = remote_app_stop(s->app);
    s->fake = httpd_stop(s->fake);
    s->metrics = metrics_free(s->metrics);
    s->broker = rabbit_free(s->broker);
}

Test(remote_standby, has_no_connections_until_it_is_primary_and_none_afterwards)
{
    struct scene s = {0};
    long long before = 0;

    begin(&s);
    await_ready(s.client, "leadership: standby, epoch 1\n");
    cr_expect(is_closed(s.app));
    cr_expect(atomic_load(&asked) == 0);

    atomic_store(&is_primary, true);
    cr_assert(harness_await(is_open, s.app, SOON_MS), "it never connects");
    await_ready(s.client, "leadership: primary, epoch 1\n");
    cr_assert(harness_await(is_asked, &before, SOON_MS), "it never asks for rows");

    atomic_store(&is_primary, false);
    cr_assert(harness_await(is_closed, s.app, SOON_MS), "it stays connected");
    await_ready(s.client, "leadership: standby, epoch 1\n");

    atomic_store(&is_primary, true);
    cr_assert(harness_await(is_open, s.app, SOON_MS), "it does not come back");
    end(&s);
}

static int64_t run_of(struct peer *p)
{
    cr_assert(pthread_mutex_lock(&p->lock) == 0);
    int64_t run = p->run;
    cr_assert(pthread_mutex_unlock(&p->lock) == 0);
    return run;
}

/* What it had heard as a primary says nothing of how things are, and what it had read is over. */
Test(remote_standby, knows_nothing_any_more_and_begins_anew_when_it_is_primary_again)
{
    struct scene s = {0};
    struct greeter west = {0};
    long long before = 0;

    begin(&s);
    atomic_store(&is_primary, true);
    cr_assert(harness_await(is_open, s.app, SOON_MS), "it never connects");
    greeter_start(&west, s.keys, rabbit_url(s.broker));
    atomic_store(&west.is_silent, false);
    await_says(s.client, "/peers", "\"state\":\"up\"");
    await_says(s.client, "/peers", "\"units_in_transit\":70");
    cr_assert(harness_await(is_begun, &before, SOON_MS), "it never begins");
    int64_t run = run_of(&s.app->links[0].peer);

    atomic_store(&is_primary, false);
    await_says(s.client, "/peers", "\"state\":\"never\",\"heard_ms_ago\":null");
    await_says(s.client, "/peers", "\"units_in_transit\":0");
    await_says(s.client, "/metrics", "volumecap_peer_up{peer=\"west\"} 0\n");
    cr_assert(harness_await(is_closed, s.app, SOON_MS), "it stays connected");

    /* Meanwhile many messages went to another replica: they are not missed here. */
    west.seq += 1000;
    before = atomic_load(&begun);
    atomic_store(&is_primary, true);
    cr_assert(harness_await(is_begun, &before, SOON_MS), "it replays what was news once");
    cr_assert(harness_await(is_open, s.app, SOON_MS), "it does not come back");
    atomic_store(&west.is_silent, false);
    cr_assert(harness_await(is_greeted, &west, SOON_MS));
    await_says(s.client, "/peers", "\"state\":\"up\"");
    cr_expect(s.app->links[0].peer.ears.missed == 0);
    cr_expect(run_of(&s.app->links[0].peer) > run, "it goes on in its old run");
    greeter_stop(&west);
    end(&s);
}

/* ---- a broker that cannot be reached */

#define CALLERS 8

/* A host that answers to no one: its queue of callers is full. */
struct dark {
    int fd, callers[CALLERS];
    char url[64];
};

static void dark_start(struct dark *d)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);

    d->fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(bind(d->fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(d->fd, 0) == 0 &&
              getsockname(d->fd, (struct sockaddr *)&a, &len) == 0);
    (void)snprintf(d->url, sizeof(d->url), "amqp://127.0.0.1:%d", ntohs(a.sin_port));
    for (int i = 0; i < CALLERS; i++) {
        d->callers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(d->callers[i], (struct sockaddr *)&a, sizeof(a));
    }
}

static void dark_stop(struct dark *d)
{
    for (int i = 0; i < CALLERS; i++)
        (void)close(d->callers[i]);
    (void)close(d->fd);
}

static bool has_failed(void *arg)
{
    const struct remote_app *app = arg;

    return bus_sender_counts(app->links[0].peer.sender).failures > 0;
}

static bool is_questioned(void *arg)
{
    return atomic_load(&questions) > *(const long long *)arg;
}

/* While a sender connects for seconds, another replica is to act. */
Test(remote_standby, gives_up_the_lead_before_it_waits_for_a_broker_that_is_away)
{
    struct scene s = {0};
    struct dark dark;
    long long before = 0;

    dark_start(&dark);
    begin_with(&s, dark.url);
    atomic_store(&is_primary, true);
    cr_assert(harness_await(has_failed, s.app, SOON_MS), "it never connects");
    before = atomic_load(&questions) + 1; /* by then it tries again */
    cr_assert(harness_await(is_questioned, &before, SOON_MS), "it asks no more");
    before = atomic_load(&questions);
    int64_t began_ms = clk_now_ms();
    s.app = remote_app_stop(s.app);
    int64_t half_ms = (clk_now_ms() - began_ms) / 2;
    /* One may be under way; more of them only if we were slow to begin. */
    cr_expect(atomic_load(&questions) <= before + 1 ||
                  atomic_load(&questioned_ms) <= began_ms + half_ms,
              "%lld questions while it stops", atomic_load(&questions) - before);
    dark_stop(&dark);
    end(&s);
}
