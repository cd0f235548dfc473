#include "services/local-svc/ticker.h"

#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "services/local-svc/app.h"
#include "services/local-svc/audit.h"
#include "services/local-svc/store_counts.h"
#include "services/local-svc/store_learn.h"
#include "services/local-svc/store_servers.h"
#include "services/local-svc/store_time.h"
#include "services/local-svc/store_trade.h"
#include "services/local-svc/trading.h"

#define TICK_MS 1000
#define TICK_MIN_MS 20           /* between two, when much is due */
#define LOOK_MS 10000            /* between two looks of an idle process at the database */
#define SETTLES_MAX 20           /* a tick */
#define FORGET_SERVER_MS 3600000 /* of silence at least: a host may be restarting */

static void failed(const struct err *e)
{
    log_event(LOG_WARN, "tick.failed", log_str("error", e->msg), log_i64("will_retry", 1));
}

/* Lowers `next_ms` to the time in which the next tick is needed for it. */
typedef bool tick_step(struct local_app *app, int64_t *next_ms, struct err *e);

static bool advance(struct local_app *app, int64_t *next_ms, struct err *e)
{
    int64_t moved = 0, due_ms = 0;

    if (!store_advance(app->db, app->config.close_ms, &moved, &due_ms, e))
        return false;
    if (moved > 0)
        log_event(LOG_DEBUG, "windows.advanced", log_i64("windows", moved));
    *next_ms = min_i64(*next_ms, moved == ADVANCE_POOLS_MAX ? 0 : due_ms);
    return true;
}

static bool settle(struct local_app *app, enum silence silence, int64_t silent_ms, int64_t *next_ms,
                   struct err *e)
{
    bool more = true;

    for (int i = 0; i < SETTLES_MAX && more; i++)
        if (!store_settle(app->db, silence, silent_ms, &more, e))
            return false;
    if (more)
        *next_ms = 0;
    return true;
}

static bool settle_suspects(struct local_app *app, int64_t *next_ms, struct err *e)
{
    return settle(app, SILENCE_SUSPECT, app->config.suspect_ms, next_ms, e);
}

static bool settle_silent(struct local_app *app, int64_t *next_ms, struct err *e)
{
    return settle(app, SILENCE_PRESUMED, app->config.presume_ms, next_ms, e);
}

static bool purge(struct local_app *app, int64_t *next_ms, struct err *e)
{
    int64_t silent_ms = max_i64(app->config.presume_ms, FORGET_SERVER_MS), purged = 0;

    if (!store_purge(app->db, app->config.retention_ms, silent_ms, &purged, e))
        return false;
    if (purged == PURGE_POOLS_MAX)
        *next_ms = 0;
    return true;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): all steps have this form. */
static bool count_active(struct local_app *app, int64_t *next_ms, struct err *e)
{
    int64_t active = 0;

    (void)next_ms;
    if (!store_servers_active(app->db, app->config.suspect_ms, &active, e))
        return false;
    atomic_store(&app->active_servers, active);
    return true;
}

/* A database that went back is found also if nobody asks for anything. */
/* NOLINTNEXTLINE(readability-non-const-parameter): all steps have this form. */
static bool look(struct local_app *app, int64_t *next_ms, struct err *e)
{
    struct learn_status s;
    int64_t now_ms = clk_now_ms();

    (void)next_ms;
    if (!store_learn_status(app->db, &s, e))
        return false;
    metric_put(app->metrics.learning, s.is_learning);
    metric_put(app->metrics.frozen_pools, s.pools);
    metric_put(app->metrics.frozen_units, s.units);
    if (!s.is_learning && app->looked_ms != 0 && now_ms - app->looked_ms < LOOK_MS)
        return true;
    app->looked_ms = now_ms;
    return store_learn_look(app->db, app->witness, &app->others, now_ms, e);
}

static bool learn(struct local_app *app, int64_t *next_ms, struct err *e)
{
    bool more = false;

    if (!store_learn_step(app->db, &app->peers, app->config.learn_ms, &app->learning, &more, e))
        return false;
    if (more)
        *next_ms = 0;
    return true;
}

/* What clients notice first comes first. */
static tick_step *const steps[] = {look,          learn, advance, count_active, settle_suspects,
                                   settle_silent, purge};

/* Each step may wait long for a silent database: when it is away, the first one has told so. */
int64_t ticker_tick(void *arg)
{
    int64_t began_ms = clk_now_ms(), next_ms = TICK_MS;

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct err e = {0};

        if (steps[i](arg, &next_ms, &e))
            continue;
        failed(&e);
        if (e.kind == ERR_UNAVAILABLE)
            return TICK_MS;
    }
    return max_i64(next_ms - (clk_now_ms() - began_ms), TICK_MIN_MS);
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
    return more ? TICK_MIN_MS : TRADE_ASK_AGAIN_MS;
}

static bool audit(struct local_app *app, struct err *e)
{
    struct audit result;

    if (!audit_run(app->db, &result, e))
        return false;
    app->audited_ms = clk_now_ms();
    metric_put(app->metrics.audit_violations, result.violations);
    for (size_t i = 0; i < AUDIT_CHECKS; i++)
        if (result.results[i].violations > 0)
            log_event(LOG_ERROR, "audit.violation", log_str("id", result.results[i].id),
                      log_i64("violations", result.results[i].violations),
                      log_str("example", result.results[i].examples[0]));
    return true;
}

static bool count(struct local_app *app, struct err *e)
{
    struct store_counts counts;

    if (!store_counts(app->db, app->config.suspect_ms, app->config.presume_ms, &counts, e))
        return false;
    local_metrics_counts(&app->metrics, &counts);
    return true;
}

int64_t auditor_tick(void *arg)
{
    struct local_app *app = arg;
    struct err e = {0};

    if (app->audited_ms == 0)
        app->audited_ms = clk_now_ms();
    if (!count(app, &e) || !audit(app, &e))
        failed(&e);
    /* The number of violations is that of the last audit, and must not look new if this failed. */
    metric_put(app->metrics.audit_age, (clk_now_ms() - app->audited_ms) / 1000);
    return app->config.audit_ms;
}
