#include "services/volumecap-server/watcher.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/io/httpc.h"
#include "services/volumecap-server/watch_wire.h"

#define WAIT_MS 10000
#define GRACE_MS 5000 /* beyond the wait, for the answer to arrive */
#define QUICK_MS INT64_C(100)
#define BACKOFF_MIN_MS INT64_C(50)
#define BACKOFF_MAX_MS INT64_C(1000)
#define PAUSE_STEP_MS 20
#define REPLY_MAX (INT64_C(4) << 20)

struct watcher {
    struct watcher_config config;
    struct httpc *httpc;
    pthread_t thread;
    atomic_bool stopped;

    /* The thread's. */
    struct announcer announcer;
    struct httpc_reply reply;
    int64_t since;      /* the revision up to which everything is applied */
    bool in_snapshot;   /* pages since revision 0 */
    int64_t backoff_ms; /* 0: the last call succeeded */
};

/* ---- one call */

static bool fetch(struct watcher *w, int64_t wait_ms, struct watch_page *ret, struct err *e)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "/watch?since=%lld&wait_ms=%lld", (long long)w->since,
                   (long long)wait_ms);
    const struct httpc_request req = {
        .method = "GET", .to = w->config.locals, .url = path, .timeout_ms = wait_ms + GRACE_MS};

    w->announcer.measured_ms = clk_now_ms();
    return httpc_call(w->httpc, &req, &w->reply, e) && httpc_expect_success(&w->reply, e) &&
           watch_decode(&w->reply.body, ret, e);
}

/* Rows whose boundaries are measured well; a call that had to wait for them is repeated. */
static bool fetch_measured(struct watcher *w, struct watch_page *ret, struct err *e)
{
    /* A snapshot does not wait: nothing is known yet, not even that there is nothing. */
    if (!fetch(w, w->in_snapshot ? 0 : WAIT_MS, ret, e))
        return false;
    if (cJSON_GetArraySize(ret->windows) == 0 ||
        clk_now_ms() - w->announcer.measured_ms <= QUICK_MS)
        return true;
    watch_page_done(ret);
    return fetch(w, 0, ret, e);
}

/* ---- its rows */

/* A row that cannot be read is of a later version of local-svc, or damaged: the others count. */
static bool apply_rows(struct watcher *w, const struct watch_page *page, struct err *e)
{
    struct announcement row;
    const cJSON *j = NULL;
    size_t index = 0;

    cJSON_ArrayForEach(j, page->windows)
    {
        if (!watch_decode_row(j, index++, &row, e))
            log_event(LOG_ERROR, "watch.row", log_str("pointer", e->pointer),
                      log_str("error", e->msg), log_str("then", "ignoring"));
        else if (!announce(&w->announcer, &row))
            return err_set(e, ERR_INTERNAL, "out of memory");
    }
    return true;
}

static void begin_snapshot(struct watcher *w)
{
    w->since = 0;
    w->in_snapshot = true;
    w->announcer.snapshot++;
}

static void end_snapshot(struct watcher *w)
{
    announce_snapshot_end(&w->announcer);
    w->in_snapshot = false;
    log_event(LOG_INFO, "watch.snapshot", log_i64("revision", w->since),
              log_i64("windows", atomic_load(&w->config.windows->count)));
}

static bool take_page(struct watcher *w, const struct watch_page *page, struct err *e)
{
    /* A restored database counts again from an earlier revision, and may have caught up since. */
    if (atomic_exchange(&w->config.windows->outdated, false)) {
        begin_snapshot(w);
        return true;
    }
    if (page->revision < w->since) {
        log_event(LOG_WARN, "watch.revision_went_back", log_i64("from", w->since),
                  log_i64("to", page->revision));
        begin_snapshot(w);
        return true;
    }
    if (!apply_rows(w, page, e))
        return false;
    w->since = page->revision;
    metric_put(w->config.metrics->watch_revision, page->revision);
    if (w->in_snapshot && !page->more)
        end_snapshot(w);
    return true;
}

static bool step(struct watcher *w, struct err *e)
{
    struct watch_page page = {0};
    bool ok = fetch_measured(w, &page, e) && take_page(w, &page, e);

    watch_page_done(&page);
    return ok;
}

/* ---- the thread */

static void pause_for(const struct watcher *w, int64_t ms)
{
    const struct timespec step_time = {.tv_nsec = PAUSE_STEP_MS * 1000000};

    for (; ms > 0 && !atomic_load(&w->stopped); ms -= PAUSE_STEP_MS)
        (void)nanosleep(&step_time, NULL);
}

static void back_off(struct watcher *w, const struct err *e)
{
    metric_inc(w->config.metrics->watch_errors, 1);
    upstream_failed(w->config.upstream, e);
    w->backoff_ms = min_i64(max_i64(2 * w->backoff_ms, BACKOFF_MIN_MS), BACKOFF_MAX_MS);
    /* Half of it at least: servers must not come back in step. */
    pause_for(w, w->backoff_ms / 2 + prng_below(&w->announcer.prng, w->backoff_ms / 2 + 1));
}

static void *run(void *arg)
{
    struct watcher *w = arg;

    begin_snapshot(w);
    while (!atomic_load(&w->stopped)) {
        struct err e = {0};
        if (step(w, &e)) {
            w->backoff_ms = 0;
            upstream_ok(w->config.upstream);
        } else if (!atomic_load(&w->stopped)) {
            back_off(w, &e);
        }
    }
    return NULL;
}

bool watcher_start(const struct watcher_config *config, struct watcher **ret, struct err *e)
{
    struct watcher *w = calloc(1, sizeof(*w));

    if (!w)
        return err_set(e, ERR_INTERNAL, "out of memory");
    w->config = *config;
    w->announcer = (struct announcer){.windows = config->windows,
                                      .attention = config->attention,
                                      .prng = {.state = prng_entropy()}};
    if (!httpc_new(REPLY_MAX, &w->httpc, e)) {
        free(w);
        return false;
    }
    CHECK(pthread_create(&w->thread, NULL, run, w) == 0);
    *ret = w;
    return true;
}

struct watcher *watcher_stop(struct watcher *w)
{
    if (!w)
        return NULL;
    atomic_store(&w->stopped, true);
    httpc_cancel(w->httpc);
    (void)pthread_join(w->thread, NULL);
    (void)httpc_free(w->httpc);
    buf_done(&w->reply.body);
    free(w);
    return NULL;
}
