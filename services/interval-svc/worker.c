#include "services/interval-svc/worker.h"

#include <pthread.h>
#include <stdatomic.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "services/interval-svc/store.h"

/* Without news the calendar is looked at this often: another replica may have taken a message. */
#define IDLE_MS 1000

/* A definition that somebody else has locked is due still; do not ask in a busy loop. */
#define BUSY_MS 10

#define RETRY_MS 500

/* How soon a standby notices that it is to act. */
#define STANDBY_MS 50

/* After a longer stop, or a jump of the calendar, how late it was says nothing more. */
#define LATE_MAX_MS 3600000

#define SWEEP_MS 10000

struct interval_worker {
    struct interval_worker_config config;
    struct db_listener *listener;
    pthread_t thread;
    bool is_running;
    atomic_bool stopping;
    size_t limit; /* definitions a transaction; 1 while looking for one that fails */
    int64_t sweep_at_ms;
    int64_t epoch; /* of this tick */

    struct metric *caps;
    struct metric *opened;
    struct metric *lateness;
    struct metric *postponed;
};

static void register_metrics(struct interval_worker *w, struct metrics *m)
{
    w->caps =
        metric_new(m, METRIC_GAUGE, "volumecap_caps",
                   "Caps by what they are at: waiting, running, paused, over, deleted", "state");
    w->opened = metric_new(m, METRIC_COUNTER, "volumecap_intervals_opened_total",
                           "Windows that were made", NULL);
    w->lateness = metric_new(m, METRIC_HISTOGRAM_SECONDS, "volumecap_interval_lateness_seconds",
                             "How late a cap's windows were looked at, in real time", NULL);
    w->postponed = metric_new(m, METRIC_COUNTER, "volumecap_definitions_postponed_total",
                              "Times that a definition could not be planned and was put off", NULL);
}

bool interval_worker_new(const struct interval_worker_config *config, struct interval_worker **ret,
                         struct err *e)
{
    auto_interval_worker struct interval_worker *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return err_set(e, ERR_INTERNAL, "out of memory");
    w->config = *config;
    w->limit = INTERVAL_BATCH_MAX;
    register_metrics(w, config->metrics);
    if (!db_listen(config->conninfo, "calendar", &w->listener, e))
        return false;
    *ret = TAKE(w);
    return true;
}

struct interval_worker *interval_worker_free(struct interval_worker *w)
{
    if (w == NULL)
        return NULL;
    atomic_store(&w->stopping, true);
    if (w->is_running) {
        interval_worker_wake(w);
        CHECK(pthread_join(w->thread, NULL) == 0);
    }
    (void)db_listener_free(w->listener);
    free(w);
    return NULL;
}

void interval_worker_wake(struct interval_worker *w)
{
    db_listener_wake(w->listener);
}

static void count_batch(struct interval_worker *w, const struct interval_batch *batch)
{
    for (size_t i = 0; i < batch->due; i++)
        metric_observed(w->lateness, min_i64(max_i64(0, batch->late_ms[i]), LATE_MAX_MS) * 1000000);
    metric_inc(w->opened, (int64_t)batch->opened);
    if (batch->told > 0 && w->config.relay != NULL)
        outbox_relay_wake(w->config.relay);
}

/*
 * One definition that the database refuses (its zone is gone after an update,
 * say) must not stop all the others that are due with it: they are taken one
 * by one until it is found, and it is put off.
 */
static int64_t survive(struct interval_worker *w, const struct interval_batch *batch,
                       const struct err *why)
{
    struct err e;

    if (why->kind == ERR_PRECONDITION) {
        log_event(LOG_WARN, "worker.fenced", log_str("error", why->msg));
        return STANDBY_MS;
    }
    log_event(LOG_ERROR, "worker.plan_failed", log_str("cap", w->limit == 1 ? batch->first : ""),
              log_str("error", why->msg), log_str("then", "will retry"));
    if (err_is_retryable(why->kind) || batch->due == 0)
        return RETRY_MS;
    if (w->limit > 1) {
        w->limit = 1;
        return 0;
    }
    metric_inc(w->postponed, 1);
    if (interval_store_postpone(w->config.db, w->epoch, batch->first, &e))
        return 0;
    log_event(LOG_ERROR, "worker.postpone_failed", log_str("cap", batch->first),
              log_str("error", e.msg), log_str("then", "will retry"));
    return RETRY_MS;
}

/* True if there is more to do at once.  A failure is only logged: the next sweep makes up for it.
 */
static bool sweep(struct interval_worker *w)
{
    int64_t counts[INTERVAL_CAP_STATES_COUNT];
    bool more = false;
    struct err e;

    if (!interval_store_sweep(w->config.db, w->epoch, w->config.retention_ms, &more, &e) ||
        !interval_store_count(w->config.db, counts, &e)) {
        log_event(LOG_WARN, "worker.sweep_failed", log_str("error", e.msg),
                  log_str("then", "will retry"));
        more = false;
    } else {
        for (int i = 0; i < INTERVAL_CAP_STATES_COUNT; i++)
            metric_set(metric_at(w->caps, interval_cap_state_names[i], NULL, NULL), counts[i]);
    }
    w->sweep_at_ms = clk_now_ms() + (more ? 0 : SWEEP_MS);
    return more;
}

static int64_t until_due(struct interval_worker *w)
{
    int64_t until_ms = 0;
    struct err e;

    if (!interval_store_until_due(w->config.db, IDLE_MS, &until_ms, &e)) {
        log_event(LOG_WARN, "worker.wait_failed", log_str("error", e.msg),
                  log_str("then", "will retry"));
        return RETRY_MS;
    }
    return max_i64(until_ms, BUSY_MS);
}

static bool may_act(struct interval_worker *w)
{
    w->epoch = LEADER_ALONE;
    return w->config.leader == NULL || leader_epoch(w->config.leader, &w->epoch);
}

int64_t interval_worker_tick(struct interval_worker *w)
{
    struct interval_batch batch = {.due = 0};
    struct err e;

    if (!may_act(w))
        return STANDBY_MS;
    if (!interval_store_plan(w->config.db, w->epoch, w->limit, &batch, &e))
        return survive(w, &batch, &e);
    count_batch(w, &batch);
    if (batch.due == w->limit)
        return 0;
    w->limit = INTERVAL_BATCH_MAX;
    if (clk_now_ms() >= w->sweep_at_ms && sweep(w))
        return 0;
    return until_due(w);
}

static void *run(void *arg)
{
    struct interval_worker *w = arg;

    while (!atomic_load(&w->stopping)) {
        int64_t wait_ms = interval_worker_tick(w);
        if (wait_ms > 0)
            (void)db_listener_wait(w->listener, wait_ms);
    }
    return NULL;
}

bool interval_worker_start(struct interval_worker *w, struct err *e)
{
    CHECK(!w->is_running);
    if (pthread_create(&w->thread, NULL, run, w) != 0)
        return err_set(e, ERR_INTERNAL, "the worker's thread cannot be started");
    w->is_running = true;
    return true;
}
