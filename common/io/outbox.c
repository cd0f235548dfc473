#include "common/io/outbox.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/base/prng.h"
#include "common/base/wait.h"
#include "common/io/httpc.h"
#include "common/io/outbox_internal.h"

#define SEND_TIMEOUT_MS 3000
#define SETTLE_MS 1000 /* of a lease, for writing down what became of it */
#define REPLY_MAX ((int64_t)64 * 1024)
#define PAUSE_FIRST_MS 50 /* doubles with every failure */
#define PAUSE_MAX_MS 5000
#define IDLE_MS 1000 /* another replica's messages do not wake us */
#define STANDBY_MS 50
#define NO_EPOCH INT64_C(-1)
#define SILENT_MAX 2 /* messages in a row without an answer: the receiver is away */

struct outbox_relay {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool woken;    /* guarded by mutex */
    bool stopping; /* guarded by mutex */
    pthread_t thread;
    bool started;

    struct db *db;
    const struct outbox_sql *sql;
    struct leader *leader; /* NULL: every relay may send */
    struct replicas *target;
    struct httpc *http; /* the thread's, as is all below */
    struct httpc_reply reply;
    struct prng prng;
    int64_t failures; /* of the database or of the receiver, in a row */
    int64_t measured_at_ms;
    int64_t epoch; /* in which it has taken messages; NO_EPOCH: none */
    struct outbox_batch batch;

    struct metric *depth;
    struct metric *oldest_age;
    struct metric *delivered;
    struct metric *parked;
    struct metric *retries;
};

/* What the thread does after a tick. */
struct rest {
    int64_t ms;
    bool wakeable; /* a pause after a failure is not cut short by new messages */
};

static int64_t pause_ms(struct outbox_relay *r, int64_t failures)
{
    int64_t longest_ms = min_i64(PAUSE_FIRST_MS << min_i64(failures, 10), PAUSE_MAX_MS);

    return longest_ms / 2 + prng_below(&r->prng, longest_ms / 2 + 1);
}

static bool is_stopping(struct outbox_relay *r)
{
    pthread_mutex_lock(&r->mutex);
    bool stopping = r->stopping;
    pthread_mutex_unlock(&r->mutex);
    return stopping;
}

static enum outbox_verdict verdict_of(int status)
{
    if (status >= 200 && status < 300)
        return OUTBOX_DELIVERED;
    if (status == 408 || status == 425 || status == 429)
        return OUTBOX_DELAYED; /* "later", in three ways */
    return status >= 400 && status < 500 ? OUTBOX_PARKED : OUTBOX_DELAYED;
}

static bool call(struct outbox_relay *r, const struct outbox_message *m, struct err *e)
{
    const struct httpc_request req = {
        .method = "PUT",
        .to = r->target,
        .url = m->path,
        .body = m->body,
        .body_len = strlen(m->body),
        .timeout_ms = SEND_TIMEOUT_MS,
    };
    return httpc_call(r->http, &req, &r->reply, e);
}

static void note_delay(struct outbox_relay *r, struct outbox_message *m)
{
    m->pause_ms = pause_ms(r, m->attempts);
    metric_inc(r->retries, 1);
    log_event(LOG_WARN, "outbox.delayed", log_str("path", m->path), log_str("error", m->error),
              log_i64("failures", m->attempts + 1), log_i64("will_retry_in_ms", m->pause_ms));
}

static void note(struct outbox_relay *r, struct outbox_message *m)
{
    if (m->verdict == OUTBOX_DELIVERED) {
        metric_inc(r->delivered, 1);
        log_event(LOG_DEBUG, "outbox.delivered", log_str("path", m->path));
    } else if (m->verdict == OUTBOX_PARKED) {
        metric_inc(r->parked, 1);
        log_event(LOG_ERROR, "outbox.parked", log_str("path", m->path), log_str("error", m->error));
    } else {
        note_delay(r, m);
    }
}

/* False if no answer came.  Cancelled is nobody's failure: the message goes back as it was. */
static bool send_one(struct outbox_relay *r, struct outbox_message *m)
{
    struct err e = {0};
    bool answered = call(r, m, &e);

    if (!answered && is_stopping(r))
        return false;
    m->verdict = answered ? verdict_of(r->reply.status) : OUTBOX_DELAYED;
    if (answered && m->verdict != OUTBOX_DELIVERED && httpc_expect_success(&r->reply, &e))
        CHECK(!"a refusal that is a success");
    snprintf(m->error, sizeof(m->error), "%s", e.msg);
    note(r, m);
    return answered;
}

static bool may_act(struct outbox_relay *r, int64_t *ret_epoch)
{
    *ret_epoch = LEADER_ALONE;
    return !r->leader || leader_epoch(r->leader, ret_epoch);
}

/* False if the receiver is away: what is left of the batch goes back unsent. */
static bool send_batch(struct outbox_relay *r)
{
    int64_t until_ms = clk_now_ms() + OUTBOX_LEASE_MS - SEND_TIMEOUT_MS - SETTLE_MS;
    int64_t epoch = 0;
    int silent = 0;

    for (size_t i = 0; i < r->batch.count && silent < SILENT_MAX; i++) {
        if (clk_now_ms() >= until_ms || is_stopping(r) || !may_act(r, &epoch))
            break;
        struct outbox_message *m = &r->batch.messages[i];
        log_request_id_set(m->request_id[0] ? m->request_id : NULL);
        silent = send_one(r, m) ? 0 : silent + 1;
    }
    log_request_id_set(NULL);
    return silent < SILENT_MAX;
}

static struct rest rest_after_failure(struct outbox_relay *r)
{
    return (struct rest){.ms = pause_ms(r, r->failures++)};
}

static struct rest database_away(struct outbox_relay *r, const char *event, const struct err *e)
{
    struct rest rest = rest_after_failure(r);

    log_event(LOG_WARN, event, log_str("error", e->msg), log_i64("will_retry_in_ms", rest.ms));
    return rest;
}

/* Sets the gauges and finds out until when there is nothing to do. */
static struct rest measure(struct outbox_relay *r)
{
    struct outbox_depth depth = {0};
    struct err e = {0};

    if (!outbox_measure(r->db, r->sql, &depth, &e))
        return database_away(r, "outbox.measure_failed", &e);
    r->measured_at_ms = clk_now_ms();
    metric_put(r->depth, depth.rows);
    metric_put(r->oldest_age, depth.oldest_age_ms / 1000);
    int64_t due_ms = depth.next_due_ms < 0 ? IDLE_MS : depth.next_due_ms;
    return (struct rest){.ms = min_i64(max_i64(due_ms, 1), IDLE_MS), .wakeable = true};
}

static bool lease(struct outbox_relay *r, int64_t epoch, struct err *e)
{
    const struct outbox_term term = {.role = r->leader ? leader_role(r->leader) : NULL,
                                     .epoch = epoch,
                                     .begins = epoch != r->epoch};

    if (!outbox_lease(r->db, r->sql, &term, &r->batch, e))
        return false;
    r->epoch = epoch;
    return true;
}

/* One batch at the most, and when to come back. */
static struct rest tick(struct outbox_relay *r)
{
    int64_t epoch = 0;
    struct err e = {0};

    if (!may_act(r, &epoch))
        return (struct rest){.ms = STANDBY_MS};
    if (!lease(r, epoch, &e))
        return database_away(r, "outbox.lease_failed", &e);
    size_t count = r->batch.count;
    bool there = send_batch(r);
    bool settled = count == 0 || outbox_settle(r->db, r->sql, &r->batch, &e);
    outbox_batch_done(&r->batch);
    if (!settled) /* when the lease ends all of it is sent again: at least once */
        return database_away(r, "outbox.settle_failed", &e);
    if (!there)
        return rest_after_failure(r);
    r->failures = 0;
    if (count == OUTBOX_BATCH_MAX && clk_now_ms() - r->measured_at_ms < IDLE_MS)
        return (struct rest){.wakeable = true};
    return measure(r);
}

/* False when the relay is to stop. */
static bool sleep_for(struct outbox_relay *r, struct rest rest)
{
    const struct timespec deadline = wait_deadline(rest.ms);

    pthread_mutex_lock(&r->mutex);
    while (!r->stopping && !(rest.wakeable && r->woken) &&
           wait_until(&r->changed, &r->mutex, deadline))
        continue;
    r->woken = false;
    bool go_on = !r->stopping;
    pthread_mutex_unlock(&r->mutex);
    return go_on;
}

static void *loop(void *arg)
{
    struct outbox_relay *r = arg;
    struct rest rest = {0};

    while (sleep_for(r, rest))
        rest = tick(r);
    return NULL;
}

static void open_metrics(struct outbox_relay *r, struct metrics *m)
{
    r->depth = metric_new(m, METRIC_GAUGE, "volumecap_outbox_depth_rows",
                          "Messages that wait for delivery.", NULL);
    r->oldest_age = metric_new(m, METRIC_GAUGE, "volumecap_outbox_oldest_age_seconds",
                               "Age of the oldest message that waits for delivery.", NULL);
    r->delivered = metric_new(m, METRIC_COUNTER, "volumecap_outbox_delivered_total",
                              "Messages that the receiver took.", NULL);
    r->parked = metric_new(m, METRIC_COUNTER, "volumecap_outbox_parked_total",
                           "Messages that the receiver refused for good.", NULL);
    r->retries = metric_new(m, METRIC_COUNTER, "volumecap_outbox_retries_total",
                            "Deliveries that failed and are tried again.", NULL);
}

bool outbox_relay_start(const struct outbox_config *config, struct outbox_relay **ret,
                        struct err *e)
{
    struct outbox_relay *new = calloc(1, sizeof(*new));

    if (!new)
        return err_set(e, ERR_INTERNAL, "out of memory");
    CHECK(pthread_mutex_init(&new->mutex, NULL) == 0);
    wait_init(&new->changed);
    auto_outbox_relay struct outbox_relay *r = new;
    r->db = config->db;
    r->sql = outbox_sql_of(config->schema);
    r->leader = config->leader;
    r->target = config->target;
    r->epoch = NO_EPOCH;
    r->prng.state = prng_entropy();
    open_metrics(r, config->metrics);
    if (!httpc_new(REPLY_MAX, &r->http, e))
        return false;
    if (pthread_create(&r->thread, NULL, loop, r) != 0)
        return err_set(e, ERR_INTERNAL, "no thread for the outbox");
    r->started = true;
    *ret = TAKE(r);
    return true;
}

void outbox_relay_wake(struct outbox_relay *r)
{
    pthread_mutex_lock(&r->mutex);
    r->woken = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->mutex);
}

static void stop_thread(struct outbox_relay *r)
{
    pthread_mutex_lock(&r->mutex);
    r->stopping = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->mutex);
    httpc_cancel(r->http);
    CHECK(pthread_join(r->thread, NULL) == 0);
}

struct outbox_relay *outbox_relay_stop(struct outbox_relay *r)
{
    if (!r)
        return NULL;
    if (r->started)
        stop_thread(r);
    httpc_free(r->http);
    buf_done(&r->reply.body);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->mutex);
    free(r);
    return NULL;
}
