#include "services/local-svc/ticker.h"

#include "common/base/log.h"
#include "common/base/num.h"
#include "services/local-svc/app.h"
#include "services/local-svc/audit.h"
#include "services/local-svc/store_counts.h"
#include "services/local-svc/store_servers.h"
#include "services/local-svc/store_time.h"
#include "services/local-svc/store_trade.h"
#include "services/local-svc/trading.h"

#define TICK_MS 1000
#define TICK_MIN_MS 20 /* between two, when much is due */
#define SETTLES_MAX 20 /* a tick */

static void failed(const struct err *e)
{
    log_event(LOG_WARN, "tick.failed", log_str("error", e->msg), log_i64("will_retry", 1));
}

/* Each step returns in how many ms the next tick is needed for it. */
static int64_t advance(struct local_app *app)
{
    int64_t moved = 0, due_ms = 0;
    struct err e = {0};

    if (!store_advance(app->db, app->config.close_ms, &moved, &due_ms, &e)) {
        failed(&e);
        return TICK_MS;
    }
    if (moved > 0)
        log_event(LOG_DEBUG, "windows.advanced", log_i64("windows", moved));
    return moved == ADVANCE_POOLS_MAX ? 0 : due_ms;
}

static int64_t settle(struct local_app *app, enum silence silence, int64_t silent_ms)
{
    struct err e = {0};
    bool more = true;

    for (int i = 0; i < SETTLES_MAX && more; i++) {
        if (!store_settle(app->db, silence, silent_ms, &more, &e)) {
            failed(&e);
            return TICK_MS;
        }
    }
    return more ? 0 : TICK_MS;
}

static int64_t purge(struct local_app *app)
{
    int64_t purged = 0;
    struct err e = {0};

    if (!store_purge(app->db, app->config.retention_ms, &purged, &e))
        failed(&e);
    return purged == PURGE_POOLS_MAX ? 0 : TICK_MS;
}

static int64_t count_active(struct local_app *app)
{
    int64_t active = 0;
    struct err e = {0};

    if (store_servers_active(app->db, app->config.suspect_ms, &active, &e))
        atomic_store(&app->active_servers, active);
    else
        failed(&e);
    return TICK_MS;
}

int64_t ticker_tick(void *arg)
{
    struct local_app *app = arg;
    int64_t next_ms = count_active(app);

    next_ms = min_i64(next_ms, settle(app, SILENCE_SUSPECT, app->config.suspect_ms));
    next_ms = min_i64(next_ms, settle(app, SILENCE_PRESUMED, app->config.presume_ms));
    next_ms = min_i64(next_ms, purge(app));
    next_ms = min_i64(next_ms, advance(app));
    return max_i64(next_ms, TICK_MIN_MS);
}

int64_t trader_tick(void *arg)
{
    struct local_app *app = arg;
    struct err e = {0};
    bool more = false;

    if (!store_trade_again(app->db, &app->peers, &more, &e)) {
        failed(&e);
        return TICK_MS;
    }
    return more ? TICK_MIN_MS : TRADING_ASK_AGAIN_MS;
}

static void audit(struct local_app *app)
{
    struct audit result;
    struct err e = {0};

    if (!audit_run(app->db, &result, &e)) {
        failed(&e);
        return;
    }
    metric_put(app->metrics.audit_violations, result.violations);
    for (size_t i = 0; i < AUDIT_CHECKS; i++)
        if (result.results[i].violations > 0)
            log_event(LOG_ERROR, "audit.violation", log_str("id", result.results[i].id),
                      log_i64("violations", result.results[i].violations),
                      log_str("example", result.results[i].examples[0]));
}

int64_t auditor_tick(void *arg)
{
    struct local_app *app = arg;
    struct store_counts counts;
    struct err e = {0};

    if (store_counts(app->db, app->config.suspect_ms, app->config.presume_ms, &counts, &e))
        local_metrics_counts(&app->metrics, &counts);
    else
        failed(&e);
    audit(app);
    return app->config.audit_ms;
}
