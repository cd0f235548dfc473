#include "services/volumecap-server/app.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/prng.h"
#include "common/io/httpc.h"

#define BODY_MAX (INT64_C(256) << 10)
#define RETURN_BUDGET_MS INT64_C(4000) /* of the 10 s that a stop may take */

bool server_ready(void *arg, struct buf *out)
{
    struct server_app *app = arg;
    const bool synced = atomic_load(&app->windows->synced);
    const bool refused = atomic_load(&app->windows->refused);
    const int64_t used = ledger_entries_used(app->ledger);
    const int64_t max = ledger_entries_max(app->ledger);

    upstream_write(&app->topup_upstream, out);
    upstream_write(&app->watch_upstream, out);
    buf_printf(out, "windows: %s\n", synced ? "ok" : "the first snapshot is not here yet");
    if (refused)
        buf_str(out, "ledger: refused by the pool\n");
    else
        buf_printf(out, "ledger: %s, %lld of %lld entries used\n", used < max ? "ok" : "full",
                   (long long)used, (long long)max);
    return synced && !refused;
}

/* ---- start */

static bool open_ledger(struct server_app *app, const struct server_config *config, struct err *e)
{
    if (!ledger_open(config->ledger, config->name, config->ledger_entries, &app->ledger, e))
        return false;
    log_event(LOG_INFO, "ledger.opened", log_str("incarnation", ledger_incarnation(app->ledger)),
              log_i64("generation", ledger_generation(app->ledger)),
              log_str("new_because", ledger_why_new(app->ledger)),
              log_i64("entries", ledger_entries_used(app->ledger)));
    return windows_new(app->ledger, &app->windows, e);
}

static bool start_waiting(struct server_app *app, const struct server_config *config, struct err *e)
{
    const struct waiting_config waiting = {
        .spender = app->spender,
        .metrics = &app->metrics,
        .wait_ms = config->wait_ms,
        .items_max = config->waiting_max,
    };

    return waiting_start(&waiting, &app->waiting, e);
}

static bool start_topper(struct server_app *app, const struct server_config *config,
                         void (*refused)(void *arg, const struct err *e), struct err *e)
{
    const struct topper_config topper = {
        .upkeep = {.windows = app->windows,
                   .attention = app->attention,
                   .waiting = app->waiting,
                   .metrics = &app->metrics,
                   .report_ms = config->report_ms,
                   .remember_ms = config->remember_ms},
        .sender = {.server = config->name,
                   .incarnation = ledger_incarnation(app->ledger),
                   .generation = ledger_generation(app->ledger),
                   .process = app->process},
        .locals = &app->locals,
        .upstream = &app->topup_upstream,
        .refused = refused,
        .refused_arg = app,
    };

    return topper_start(&topper, &app->topper, e);
}

static bool start_watcher(struct server_app *app, struct err *e)
{
    const struct watcher_config watcher = {
        .windows = app->windows,
        .attention = app->attention,
        .metrics = &app->metrics,
        .upstream = &app->watch_upstream,
        .locals = &app->locals,
    };

    return watcher_start(&watcher, &app->watcher, e);
}

static bool start_httpd(struct server_app *app, const struct server_config *config,
                        const char *openapi, struct err *e)
{
    const struct httpd_config httpd = {
        .settings = config->http,
        .body_max = BODY_MAX,
        .routes = server_routes,
        .routes_count = server_routes_count,
        .openapi = openapi,
        .ready = server_ready,
        .arg = app,
        .metrics = app->registry,
    };

    return httpd_start(&httpd, &app->httpd, e);
}

bool server_app_start(const struct server_config *config, const char *openapi,
                      void (*refused)(void *arg, const struct err *e), struct server_app **ret,
                      struct err *e)
{
    auto_server_app struct server_app *app = calloc(1, sizeof(*app));

    if (!app)
        return err_set(e, ERR_INTERNAL, "out of memory");
    upstream_init(&app->topup_upstream, "topup");
    upstream_init(&app->watch_upstream, "watch");
    uuid_random(app->process);
    app->registry = metrics_new();
    server_metrics_init(&app->metrics, app->registry);
    app->attention = attention_new();
    if (!app->attention)
        return err_set(e, ERR_INTERNAL, "out of memory");
    if (!replicas_parse("SERVER_LOCAL_URL", config->local_url, &app->locals, e) ||
        !open_ledger(app, config, e))
        return false;
    app->spender = (struct spender){.windows = app->windows, .attention = app->attention};
    if (!start_waiting(app, config, e) || !start_topper(app, config, refused, e) ||
        !start_watcher(app, e) || !start_httpd(app, config, openapi, e))
        return false;
    *ret = TAKE(app);
    return true;
}

/* ---- stop */

static void return_all(struct server_app *app)
{
    int64_t open = 0;
    int64_t confirmed = topper_return_all(app->topper, RETURN_BUDGET_MS, &open);

    log_event(open > 0 ? LOG_WARN : LOG_INFO, "server.returned", log_i64("windows", confirmed),
              log_i64("left_in_ledger", open));
}

/* Clients first, so that nobody spends while everything is handed back. */
struct server_app *server_app_stop(struct server_app *app)
{
    if (!app)
        return NULL;
    if (app->httpd)
        httpd_drain(app->httpd);
    if (app->waiting)
        waiting_drain(app->waiting);
    app->httpd = httpd_stop(app->httpd);
    app->watcher = watcher_stop(app->watcher);
    if (app->topper) {
        topper_stop(app->topper);
        return_all(app);
    }
    app->topper = topper_free(app->topper);
    app->waiting = waiting_stop(app->waiting);
    app->windows = windows_free(app->windows);
    app->attention = attention_free(app->attention);
    app->ledger = ledger_close(app->ledger);
    app->registry = metrics_free(app->registry);
    upstream_done(&app->topup_upstream);
    upstream_done(&app->watch_upstream);
    free(app);
    return NULL;
}
