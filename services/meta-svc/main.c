/* meta-svc: the definitions of caps. */

#include "common/base/log.h"
#include "common/io/httpc.h"
#include "common/io/service.h"
#include "services/meta-svc/app.h"
#include "services/meta-svc/config.h"

#define BODY_MAX 16384

extern const char openapi_json[];

static struct metrics *free_metrics(struct metrics *m)
{
    return metrics_free(m);
}
CLEANUP_DEFINE(metrics, struct metrics, free_metrics)

static bool is_ready(void *arg, struct buf *out)
{
    const struct meta_app *app = arg;
    struct err e;
    bool ok = db_ping(app->db, &e);

    buf_printf(out, "database: %s\n", ok ? "ok" : e.msg);
    return ok;
}

static struct httpd_config http_settings(const struct meta_config *config, struct meta_app *app,
                                         struct metrics *metrics)
{
    return (struct httpd_config){
        .service = meta_config_table.program,
        .address = config->address,
        .port = config->port,
        .threads = config->threads,
        .connections_max = config->connections_max,
        .body_max = BODY_MAX,
        .request_timeout_ms = config->request_timeout_ms,
        .routes = meta_routes,
        .routes_count = meta_routes_count,
        .openapi = openapi_json,
        .ready = is_ready,
        .arg = app,
        .metrics = metrics,
    };
}

static bool serve(const struct meta_config *config, struct metrics *metrics, struct err *e)
{
    auto_db struct db *db = NULL;
    auto_zones struct zones *zones = NULL;
    auto_outbox_relay struct outbox_relay *relay = NULL;
    auto_httpd struct httpd *httpd = NULL;

    if (!log_level_set_name(config->log_level, e) ||
        !db_open(config->db, config->db_conns_max, config->db_acquire_timeout_ms, metrics, &db,
                 e) ||
        !zones_new(db, &zones, e) ||
        !outbox_relay_start(
            &(struct outbox_config){
                .db = db, .schema = "meta", .target = config->interval_url, .metrics = metrics},
            &relay, e))
        return false;

    struct meta_app app = {
        .db = db,
        .zones = zones,
        .relay = relay,
        .interval_url = config->interval_url,
        .changes =
            metric_new(metrics, METRIC_COUNTER, "volumecap_definitions_changed_total",
                       "PUT and DELETE of caps that succeeded, by what they came to", "outcome"),
    };
    const struct httpd_config http = http_settings(config, &app, metrics);
    if (!httpd_start(&http, &httpd, e))
        return false;

    service_wait();
    httpd_drain(httpd);
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

    CLEANUP(metrics) struct metrics *metrics = metrics_new();
    if (!serve(&config, metrics, &e))
        return service_failed(&e);
    return 0;
}
