#include "services/local-svc/watch.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/base/wait.h"
#include "services/local-svc/waiters.h"
#include "services/local-svc/watch_json.h"

/* A notification may be lost with its connection; news is looked for this often anyhow. */
#define LOOK_EVERY_MS 1000

/* Until the first look: no client knows as much, so nobody is suspended, and the look finds no
 * rows after it, but the counter. */
#define UNKNOWN INT64_MAX

struct watch {
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* an earlier deadline, or stopping */
    struct waiters waiters; /* guarded by mutex */
    int64_t revision;       /* guarded by mutex: waiters know all news up to here */
    bool stopping;          /* guarded by mutex */
    struct watch_config config;
    struct db_listener *listener;
    struct waiter *taken; /* room for all waiters; of the listening thread alone */
    pthread_t listening, expiring;
    bool is_listening, is_expiring;
};

static void lock(struct watch *w)
{
    CHECK(pthread_mutex_lock(&w->mutex) == 0);
}

static void unlock(struct watch *w)
{
    CHECK(pthread_mutex_unlock(&w->mutex) == 0);
}

static int64_t revision_of(struct watch *w)
{
    lock(w);
    int64_t revision = w->revision;
    unlock(w);
    return revision;
}

static bool is_stopping(struct watch *w)
{
    lock(w);
    bool stopping = w->stopping;
    unlock(w);
    return stopping;
}

static void complete(struct watch *w, const struct waiter *one, const struct buf *body)
{
    struct httpd_reply reply = {0};

    buf_add(&reply.body, body->data, body->len);
    metric_inc(w->config.watchers, -1);
    httpd_complete(one->call, &reply, NULL);
}

/* Nobody can be suspended in between with a revision that was just passed: see watch_suspend(). */
static void publish(struct watch *w, const struct watch_page *page)
{
    lock(w);
    w->revision = page->revision;
    /* A window that was purged leaves a revision without a row: nothing to tell. */
    size_t count = page->count > 0 ? waiters_take_behind(&w->waiters, page->revision, w->taken) : 0;
    unlock(w);

    for (size_t i = 0; i < count; i++)
        complete(w, &w->taken[i], &page->body);
}

/* Returns whether there is more to load at once. */
static bool look(struct watch *w)
{
    auto_watch_page struct watch_page page = {0};
    struct err e = {0};

    if (!w->config.load(w->config.db, revision_of(w), WATCH_ROWS_MAX, &page, &e)) {
        log_event(LOG_WARN, "watch.look_failed", log_str("error", e.msg),
                  log_i64("will_retry_in_ms", LOOK_EVERY_MS));
        return false;
    }
    publish(w, &page);
    return page.more;
}

static void *listen_loop(void *arg)
{
    struct watch *w = arg;

    while (!is_stopping(w))
        if (!look(w) && !is_stopping(w))
            (void)db_listener_wait(w->listener, LOOK_EVERY_MS);
    return NULL;
}

/* Under the mutex; until `deadline_ms` or a change. */
static void wait_for_change(struct watch *w, int64_t deadline_ms)
{
    int64_t wait_ms = min_i64(deadline_ms - clk_now_ms(), LOOK_EVERY_MS);

    (void)wait_until(&w->changed, &w->mutex, wait_deadline(wait_ms));
}

/*
 * `revision` is that of the moment in which the call left the waiters: news
 * that comes later is not in this answer.  It may be less than the client's,
 * after a restore of the database: the client then goes on from there.
 */
static void expire(struct watch *w, const struct waiter *one, int64_t revision)
{
    auto_buf struct buf body = {0};

    watch_json_nothing(revision, w->config.member, &body);
    complete(w, one, &body);
}

static void *expire_loop(void *arg)
{
    struct watch *w = arg;
    struct waiter one;

    lock(w);
    while (!w->stopping) {
        if (!waiters_take_expired(&w->waiters, clk_now_ms(), &one)) {
            wait_for_change(w, waiters_next_deadline(&w->waiters));
            continue;
        }
        int64_t revision = w->revision;
        unlock(w);
        expire(w, &one, revision);
        lock(w);
    }
    unlock(w);
    return NULL;
}

/*
 * Under one mutex with publish(): a call is suspended only if its client knows
 * all that was published, so that whatever is published later reaches it.
 */
bool watch_suspend(struct watch *w, const struct httpd_request *req, int64_t since, int64_t wait_ms,
                   bool *ret_suspended, struct err *e)
{
    lock(w);
    *ret_suspended = !w->stopping && since >= w->revision;
    bool has_room = w->waiters.count < w->waiters.max;
    if (*ret_suspended && has_room) {
        struct waiter one = {httpd_defer(req), since, clk_now_ms() + wait_ms};

        if (one.deadline_ms < waiters_next_deadline(&w->waiters))
            CHECK(pthread_cond_signal(&w->changed) == 0);
        CHECK(waiters_add(&w->waiters, &one));
        metric_inc(w->config.watchers, 1);
    }
    unlock(w);
    if (*ret_suspended && !has_room)
        return err_set(e, ERR_UNAVAILABLE, "too many watchers");
    return true;
}

bool watch_start(const struct watch_config *config, struct watch **ret, struct err *e)
{
    auto_watch struct watch *w = calloc(1, sizeof(*w));

    CHECK(w != NULL);
    w->config = *config;
    w->revision = UNKNOWN;
    CHECK(pthread_mutex_init(&w->mutex, NULL) == 0);
    wait_init(&w->changed);
    waiters_init(&w->waiters, (size_t)config->watchers_max);
    w->taken = calloc((size_t)config->watchers_max, sizeof(*w->taken));
    CHECK(w->taken != NULL);
    if (!db_listen(config->conninfo, config->channel, &w->listener, e))
        return false;
    /* Before the first client comes, so that it can be suspended; if it fails, the loop goes on. */
    (void)look(w);
    w->is_listening = pthread_create(&w->listening, NULL, listen_loop, w) == 0;
    w->is_expiring = pthread_create(&w->expiring, NULL, expire_loop, w) == 0;
    if (!w->is_listening || !w->is_expiring)
        return err_set(e, ERR_INTERNAL, "cannot start a thread");
    *ret = TAKE(w);
    return true;
}

static void join(pthread_t thread, bool *is_running)
{
    if (*is_running)
        CHECK(pthread_join(thread, NULL) == 0);
    *is_running = false;
}

void watch_tell_stop(struct watch *w)
{
    lock(w);
    w->stopping = true;
    CHECK(pthread_cond_signal(&w->changed) == 0);
    unlock(w);
    if (w->listener)
        db_listener_wake(w->listener);
}

void watch_drain(struct watch *w)
{
    struct waiter one;

    watch_tell_stop(w);
    join(w->listening, &w->is_listening);
    join(w->expiring, &w->is_expiring);

    /* Nobody else adds or takes from here on. */
    while (waiters_take_expired(&w->waiters, INT64_MAX, &one))
        expire(w, &one, w->revision);
}

struct watch *watch_stop(struct watch *w)
{
    if (!w)
        return NULL;
    watch_drain(w);
    (void)db_listener_free(w->listener);
    waiters_done(&w->waiters);
    CHECK(pthread_cond_destroy(&w->changed) == 0);
    CHECK(pthread_mutex_destroy(&w->mutex) == 0);
    free(w->taken);
    free(w);
    return NULL;
}
