#include "services/remote-svc/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"

#define BODY_MAX 1024

struct remote_link *remote_link_of(struct remote_app *app, const char *dc)
{
    for (size_t i = 0; i < app->count; i++)
        if (strcmp(app->links[i].peer.setting.dc, dc) == 0)
            return &app->links[i];
    return NULL;
}

static struct peer_metrics metrics_of(const struct remote_metrics *m, const char *dc)
{
    return (struct peer_metrics){
#define X(member, kind, name, help) .member = metric_at(m->member, dc, NULL, NULL),
        PEER_METRICS(X)
#undef X
    };
}

/* What is told twice is harmless, and needs no fence: cumulative numbers, and versions. */
bool remote_may_act(const struct remote_app *app)
{
    int64_t epoch = 0;

    return leader_epoch(app->leader, &epoch);
}

bool remote_link_is_wanted(void *arg)
{
    const struct remote_link *link = arg;

    return remote_may_act(link->app);
}

static void init_metrics(struct remote_metrics *m, struct metrics *registry)
{
#define X(member, kind, name, help)                                                                \
    m->member = metric_new(registry, METRIC_##kind, name, help, "peer");
    PEER_METRICS(X)
#undef X
    m->refused = metric_new(registry, METRIC_COUNTER, "volumecap_rows_refused_total",
                            "Messages that changed nothing, by what was wrong", "reason");
    m->without_peer = metric_new(registry, METRIC_COUNTER, "volumecap_rows_without_peer_total",
                                 "Rows for data centres that REMOTE_PEERS does not name", NULL);
    metric_inc(m->without_peer, 0);
    for (int i = 1; i < ENVELOPE_VERDICT_COUNT; i++)
        (void)metric_at(m->refused, envelope_verdict_names[i], NULL, NULL);
}

/* Whoever has no key cannot speak, whoever is without one is not believed: both are mistakes. */
static bool load_keys(struct remote_app *app, const struct remote_peer_setting *peers, size_t count,
                      struct err *e)
{
    if (count == 0)
        return true;
    if (!sign_keys_load(app->config.keys, &app->keys, e))
        return err_while(e, "REMOTE_KEYS");
    if (!sign_knows(app->keys, app->config.dc))
        return err_set(e, ERR_INVALID, "REMOTE_KEYS: no key of %s", app->config.dc);
    for (size_t i = 0; i < count; i++)
        if (!sign_knows(app->keys, peers[i].dc))
            return err_set(e, ERR_INVALID, "REMOTE_KEYS: no key of %s", peers[i].dc);
    return true;
}

static void add_link(struct remote_app *app, const struct remote_peer_setting *setting)
{
    struct remote_link *link = &app->links[app->count++];

    link->app = app;
    follow_definitions_rest(link);
    peer_init(&link->peer, &app->config, setting);
    link->peer.metrics = metrics_of(&app->metrics, setting->dc);
}

static bool start_sender(struct remote_link *link, struct err *e)
{
    const struct bus_sender_config config = {.name = link->peer.setting.dc,
                                             .url = link->peer.setting.url,
                                             .ca = link->app->config.ca,
                                             .queue = link->peer.queue,
                                             .next = publisher_next,
                                             .wanted = remote_link_is_wanted,
                                             .arg = link};
    return bus_sender_start(&config, &link->peer.sender, e);
}

static bool start_leader(struct remote_app *app, struct err *e)
{
    const struct leader_config config = {
        .role = "remote-svc",
        .settings = app->config.leader,
        .prefix = remote_config_table.prefix,
        .metrics = app->registry,
    };

    return app->count == 0 || leader_start(&config, &app->leader, e);
}

static bool start_loops(struct remote_link *link, struct err *e)
{
    const struct loop_work definitions = {follow_definitions_tick, follow_definitions_rest, link};
    const struct loop_work resend = {resend_tick, resend_rest, link};

    return loop_start(&definitions, link->app->leader, &link->follow, e) &&
           loop_start(&resend, link->app->leader, &link->remind, e);
}

/* All senders come first: whatever is heard or read may have to be told to any of them. */
static bool start_threads(struct remote_app *app, struct err *e)
{
    const struct loop_work rows = {follow_rows_tick, follow_rows_rest, app};

    for (size_t i = 0; i < app->count; i++)
        if (!start_sender(&app->links[i], e))
            return false;
    for (size_t i = 0; i < app->count; i++)
        if (!start_loops(&app->links[i], e))
            return false;
    return app->count == 0 || (loop_start(&rows, app->leader, &app->follow_rows, e) &&
                               consumer_start(app, &app->consumer, e));
}

static bool is_ready(void *arg, struct buf *out)
{
    struct remote_app *app = arg;

    /* A peer that is away is a state of the world, not one of this service. */
    for (size_t i = 0; i < app->count; i++)
        buf_printf(out, "broker of %s: %s\n", app->links[i].peer.setting.dc,
                   bus_state_names[peer_bus(&app->links[i].peer).state]);
    if (!app->consumer)
        return true;
    /* A standby is ready, and has no connections. */
    leader_describe(app->leader, out);
    if (!remote_may_act(app))
        return leader_is_configured(app->leader);
    enum bus_state own = consumer_bus(app->consumer).state;
    buf_printf(out, "own broker: %s\n", bus_state_names[own]);
    return own != BUS_DOWN;
}

static bool start_http(struct remote_app *app, const char *openapi, struct err *e)
{
    const struct httpd_config config = {
        .settings = app->config.http,
        .body_max = BODY_MAX,
        .routes = remote_routes,
        .routes_count = remote_routes_count,
        .openapi = openapi,
        .ready = is_ready,
        .arg = app,
        .metrics = app->registry,
    };

    return httpd_start(&config, &app->httpd, e);
}

bool remote_app_start(const struct remote_config *config, const char *openapi,
                      struct remote_app **ret, struct err *e)
{
    auto_remote_app struct remote_app *app = calloc(1, sizeof(*app));
    struct remote_peer_setting peers[REMOTE_PEERS_MAX];
    size_t count = 0;

    CHECK(app != NULL);
    app->config = *config;
    app->registry = metrics_new();
    init_metrics(&app->metrics, app->registry);
    app->refusals = refusals_new();
    if (!replicas_parse("REMOTE_LOCAL_URL", config->local_url, &app->locals, e) ||
        !replicas_parse("REMOTE_META_URL", config->meta_url, &app->metas, e) ||
        !remote_config_check(config, peers, &count, e) || !load_keys(app, peers, count, e))
        return false;
    for (size_t i = 0; i < count; i++)
        add_link(app, &peers[i]);
    if (!start_leader(app, e) || !start_threads(app, e) || !start_http(app, openapi, e))
        return false;
    *ret = TAKE(app);
    return true;
}

/* A broker that cannot be reached delays nobody else, least of all the replica that acts next. */
static void tell_stop(struct remote_app *app)
{
    leader_resign(app->leader);
    if (app->consumer)
        consumer_tell_stop(app->consumer);
    for (size_t i = 0; i < app->count; i++)
        if (app->links[i].peer.sender)
            bus_sender_tell_stop(app->links[i].peer.sender);
}

/* Whoever reads or hears is stopped before whoever speaks. */
struct remote_app *remote_app_stop(struct remote_app *app)
{
    if (!app)
        return NULL;
    if (app->httpd)
        httpd_drain(app->httpd);
    tell_stop(app);
    (void)httpd_stop(app->httpd);
    (void)consumer_stop(app->consumer);
    (void)loop_stop(app->follow_rows);
    for (size_t i = 0; i < app->count; i++) {
        (void)loop_stop(app->links[i].follow);
        (void)loop_stop(app->links[i].remind);
    }
    for (size_t i = 0; i < app->count; i++) {
        (void)bus_sender_stop(app->links[i].peer.sender);
        peer_done(&app->links[i].peer);
    }
    (void)refusals_free(app->refusals);
    (void)leader_stop(app->leader);
    (void)sign_keys_free(app->keys);
    (void)metrics_free(app->registry);
    free(app);
    return NULL;
}
