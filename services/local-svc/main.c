/* local-svc: this data centre's pools. */

#include "common/base/log.h"
#include "common/io/service.h"
#include "services/local-svc/app.h"
#include "services/local-svc/store_learn.h"
#include "services/local-svc/store_peers.h"
#include "services/local-svc/store_rows.h"
#include "services/local-svc/ticker.h"

#define BODY_MAX ((int64_t)1024 * 1024)
#define ROWS_WATCHERS_MAX 100

extern const char openapi_json[];

/* No reason not to be asked: whoever asks is told what can be told. */
static void show_doubt(const struct local_app *app, struct buf *out)
{
    struct learn_status s;
    struct err e = {0};

    if (!store_learn_status(app->db, &s, &e))
        buf_printf(out, "learning: %s\n", e.msg);
    else if (!s.is_learning)
        buf_printf(out, "learning: no\n");
    else
        buf_printf(out,
                   "learning: %s, for %lld ms; %lld windows with %lld free units are frozen, for "
                   "%lld ms at most; %lld servers are silent\n",
                   s.reason, (long long)s.for_ms, (long long)s.pools, (long long)s.units,
                   (long long)s.ends_in_ms, (long long)s.silent);
}

static bool is_ready(void *arg, struct buf *out)
{
    const struct local_app *app = arg;
    bool ok = db_is_ready(app->db, out);

    if (ok)
        show_doubt(app, out);
    return ok;
}

static struct httpd_config http_settings(struct local_app *app, struct metrics *metrics)
{
    return (struct httpd_config){
        .settings = app->config.http,
        .body_max = BODY_MAX,
        .routes = local_routes,
        .routes_count = local_routes_count,
        .openapi = openapi_json,
        .ready = is_ready,
        .arg = app,
        .metrics = metrics,
    };
}

static struct committer_config committer_settings(struct local_app *app)
{
    return (struct committer_config){
        .db = app->db,
        .witness = app->witness,
        .queue_items_max = app->config.queue_items_max,
        .peers = &app->peers,
        .active_servers = &app->active_servers,
        .metrics = &app->metrics,
        .done = topup_done,
    };
}

static struct watch_config watch_settings(const struct local_app *app)
{
    return (struct watch_config){
        .db = app->db,
        .conninfo = app->config.db.conninfo,
        .channel = STORE_CHANNEL,
        .load = watch_load_windows,
        .member = "windows",
        .watchers_max = app->config.watchers_max,
        .watchers = app->metrics.watchers,
    };
}

/* Whoever tells other data centres is one process, or a few while one replaces another. */
static struct watch_config rows_settings(const struct local_app *app)
{
    return (struct watch_config){
        .db = app->db,
        .conninfo = app->config.db.conninfo,
        .channel = STORE_ROWS_CHANNEL,
        .load = watch_load_rows,
        .member = "rows",
        .watchers_max = ROWS_WATCHERS_MAX,
        .watchers = app->metrics.rows_watchers,
    };
}

/* Who leaves in order is not asked what it knows.  If it cannot be said now, it times out. */
static void leave(const struct local_app *app)
{
    struct err e = {0};

    if (!store_learn_leave(app->db, app->witness, &e))
        log_event(LOG_WARN, "writer.not_left", log_str("error", e.msg));
}

/*
 * Everything stands until the HTTP server is gone, which is stopped first:
 * handlers may still run.  Before that, what is suspended is answered.
 */
static bool serve(struct local_app *app, struct metrics *metrics, struct err *e)
{
    auto_db struct db *db = NULL;
    auto_witness struct witness *witness = witness_new();
    auto_committer struct committer *committer = NULL;
    auto_watch struct watch *watch = NULL, *rows = NULL;
    auto_worker struct worker *ticker = NULL, *auditor = NULL, *trader = NULL;
    auto_httpd struct httpd *httpd = NULL;

    if (!peers_parse(app->config.dc, app->config.peers, &app->peers, e) ||
        !db_open(&app->config.db, metrics, &db, e))
        return false;
    app->db = db;
    app->witness = witness;
    const struct committer_config for_committer = committer_settings(app);
    const struct watch_config for_watch = watch_settings(app), for_rows = rows_settings(app);
    if (!committer_start(&for_committer, &committer, e) || !watch_start(&for_watch, &watch, e) ||
        !watch_start(&for_rows, &rows, e))
        return false;
    app->committer = committer;
    app->watch = watch;
    app->rows = rows;
    const struct httpd_config http = http_settings(app, metrics);
    if (!worker_start(ticker_tick, app, &ticker, e) ||
        !worker_start(auditor_tick, app, &auditor, e) ||
        (app->peers.count > 0 && !worker_start(trader_tick, app, &trader, e)) ||
        !httpd_start(&http, &httpd, e))
        return false;

    service_wait();
    httpd_drain(httpd);
    /* All at once: while the database is silent, each may have to wait for what it has begun. */
    worker_tell_stop(ticker);
    worker_tell_stop(auditor);
    if (trader)
        worker_tell_stop(trader);
    watch_tell_stop(watch);
    watch_tell_stop(rows);
    committer_drain(committer);
    watch_drain(watch);
    watch_drain(rows);
    httpd = httpd_stop(httpd);
    ticker = worker_stop(ticker);
    auditor = worker_stop(auditor);
    trader = worker_stop(trader);
    /* Nobody writes any more. */
    leave(app);
    return true;
}

int main(int argc, char **argv)
{
    struct local_app app = {.active_servers = 1};
    int status = 0;
    struct err e = {0};

    if (!service_begin(argc, argv, &local_config_table, &app.config, &status))
        return status;

    auto_metrics struct metrics *metrics = metrics_new();
    local_metrics_init(&app.metrics, metrics);
    if (!serve(&app, metrics, &e))
        return service_failed(&e);
    return 0;
}
