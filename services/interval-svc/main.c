/* interval-svc: the windows of caps. */

#include "common/io/httpc.h"
#include "common/io/service.h"
#include "services/interval-svc/app.h"
#include "services/interval-svc/config.h"
#include "services/interval-svc/store.h"

#define BODY_MAX 16384

extern const char openapi_json[];

static bool is_ready(void *arg, struct buf *out)
{
    const struct interval_app *app = arg;
    bool ok = db_is_ready(app->db, out);

    /* A standby is ready; one that can never become primary is a mistake that must show. */
    leader_describe(app->leader, out);
    return ok && leader_is_configured(app->leader);
}

static bool start_http(const struct interval_config *config, struct interval_app *app,
                       struct metrics *metrics, struct httpd **ret, struct err *e)
{
    const struct httpd_config http = {
        .settings = config->http,
        .body_max = BODY_MAX,
        .routes = interval_routes,
        .routes_count = interval_routes_count,
        .openapi = openapi_json,
        .ready = is_ready,
        .arg = app,
        .metrics = metrics,
    };

    return httpd_start(&http, ret, e);
}

static bool start_leader(const struct interval_config *config, struct metrics *metrics,
                         struct leader **ret, struct err *e)
{
    const struct leader_config leadership = {
        .role = INTERVAL_ROLE,
        .settings = config->leader,
        .prefix = interval_config_table.prefix,
        .metrics = metrics,
    };

    return leader_start(&leadership, ret, e);
}

static bool start_relay(struct db *db, struct replicas *locals, struct leader *leader,
                        struct metrics *metrics, struct outbox_relay **ret, struct err *e)
{
    const struct outbox_config outbox = {
        .db = db,
        .schema = "interval",
        .target = locals,
        .metrics = metrics,
        .leader = leader,
    };

    return outbox_relay_start(&outbox, ret, e);
}

static bool serve(const struct interval_config *config, struct metrics *metrics, struct err *e)
{
    struct replicas locals;
    auto_db struct db *db = NULL;
    auto_zones struct zones *zones = NULL;
    auto_leader struct leader *leader = NULL;
    auto_outbox_relay struct outbox_relay *relay = NULL;
    auto_interval_worker struct interval_worker *worker = NULL;
    auto_httpd struct httpd *httpd = NULL;
    struct interval_worker_config work = {
        .conninfo = config->db.conninfo, .metrics = metrics, .retention_ms = config->retention_ms};

    if (!replicas_parse("INTERVAL_LOCAL_URL", config->local_url, &locals, e) ||
        !db_open(&config->db, metrics, &db, e) || !zones_new(db, &zones, e) ||
        !start_leader(config, metrics, &leader, e) ||
        !start_relay(db, &locals, leader, metrics, &relay, e))
        return false;
    work.db = db;
    work.leader = leader;
    work.relay = relay;
    if (!interval_worker_new(&work, &worker, e) || !interval_worker_start(worker, e))
        return false;

    struct interval_app app = {
        .db = db,
        .zones = zones,
        .leader = leader,
        .worker = worker,
        .locals = &locals,
        .definitions = metric_new(
            metrics, METRIC_COUNTER, "volumecap_definitions_applied_total",
            "Definitions received: applied, old ones passed over, or put off since their "
            "time zone is unknown",
            "outcome"),
    };
    if (!start_http(config, &app, metrics, &httpd, e))
        return false;

    service_wait();
    httpd_drain(httpd);
    return true;
}

int main(int argc, char **argv)
{
    struct interval_config config = {0};
    int status = 0;
    struct err e;

    if (!service_begin(argc, argv, &interval_config_table, &config, &status))
        return status;
    httpc_global_init();

    auto_metrics struct metrics *metrics = metrics_new();
    if (!serve(&config, metrics, &e))
        return service_failed(&e);
    return 0;
}
