/* meta-svc: the definitions of caps. */

#include "common/io/httpc.h"
#include "common/io/service.h"
#include "services/meta-svc/app.h"
#include "services/meta-svc/config.h"

/* A batch of a peer's definitions. */
#define BODY_MAX (INT64_C(512) * 1024)

extern const char openapi_json[];

static bool is_ready(void *arg, struct buf *out)
{
    const struct meta_app *app = arg;

    if (!db_is_ready(app->here.db, out))
        return false;
    struct err e = {0};
    if (meta_store_check_dc(&app->here, &e))
        return true;
    buf_printf(out, "data centre: %s\n", e.msg);
    return false;
}

static bool start_http(const struct meta_config *config, struct meta_app *app,
                       struct metrics *metrics, struct httpd **ret, struct err *e)
{
    const struct httpd_config http = {
        .settings = config->http,
        .body_max = BODY_MAX,
        .routes = meta_routes,
        .routes_count = meta_routes_count,
        .openapi = openapi_json,
        .ready = is_ready,
        .arg = app,
        .metrics = metrics,
    };

    return httpd_start(&http, ret, e);
}

static bool start_relay(struct db *db, struct replicas *intervals, struct metrics *metrics,
                        struct outbox_relay **ret, struct err *e)
{
    const struct outbox_config outbox = {
        .db = db,
        .schema = "meta",
        .target = intervals,
        .metrics = metrics,
    };

    return outbox_relay_start(&outbox, ret, e);
}

static bool serve(const struct meta_config *config, struct metrics *metrics, struct err *e)
{
    struct replicas intervals;
    auto_db struct db *db = NULL;
    auto_zones struct zones *zones = NULL;
    auto_outbox_relay struct outbox_relay *relay = NULL;
    auto_meta_watch struct meta_watch *watch = NULL;
    auto_httpd struct httpd *httpd = NULL;

    if (!replicas_parse("META_INTERVAL_URL", config->interval_url, &intervals, e) ||
        !db_open(&config->db, metrics, &db, e) || !zones_new(db, &zones, e) ||
        !start_relay(db, &intervals, metrics, &relay, e))
        return false;

    struct meta_app app = {
        .here = {.db = db, .dc = config->dc},
        .zones = zones,
        .relay = relay,
        .intervals = &intervals,
        .changes =
            metric_new(metrics, METRIC_COUNTER, "volumecap_definitions_changed_total",
                       "PUT and DELETE of caps that succeeded, by what they came to", "outcome"),
        .received = metric_new(metrics, METRIC_COUNTER, "volumecap_definitions_received_total",
                               "Definitions of other data centres that were news, those passed "
                               "over since they could not be read, and batches refused because an "
                               "earlier one is missing",
                               "outcome"),
    };
    if (!meta_watch_start(&app.here, config->db.conninfo, config->watchers_max, &watch, e))
        return false;
    app.watch = watch;
    if (!start_http(config, &app, metrics, &httpd, e))
        return false;

    service_wait();
    httpd_drain(httpd);
    meta_watch_drain(watch);
    return true;
}

int main(int argc, char **argv)
{
    struct meta_config config = {0};
    int status = 0;
    struct err e;

    if (!service_begin(argc, argv, &meta_config_table, &config, &status))
        return status;
    httpc_global_init();

    auto_metrics struct metrics *metrics = metrics_new();
    if (!serve(&config, metrics, &e))
        return service_failed(&e);
    return 0;
}
