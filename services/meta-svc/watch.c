#include "services/meta-svc/watch.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/num.h"
#include "services/meta-svc/body.h"
#include "services/meta-svc/store_rows.h"

/* A notification may be lost with its connection; news is looked for this often anyhow. */
#define LOOK_EVERY_MS 1000

struct meta_watch {
    pthread_mutex_t mutex;
    struct meta_watcher *list; /* guarded by mutex; in no order */
    size_t count;              /* guarded by mutex */
    bool stopping;             /* guarded by mutex */
    size_t max;
    const struct meta_home *here;
    struct db_listener *listener;
    pthread_t thread;
    bool is_running;
};

static void lock(struct meta_watch *w)
{
    CHECK(pthread_mutex_lock(&w->mutex) == 0);
}

static void unlock(struct meta_watch *w)
{
    CHECK(pthread_mutex_unlock(&w->mutex) == 0);
}

/* Completes the call if there is news for it, its wait is over, or the database is away. */
static bool answer(const struct meta_watch *w, const struct meta_watcher *one, bool is_last)
{
    auto_meta_news struct meta_news *news = NULL;
    struct httpd_reply reply = {0};
    struct err e;

    if (!meta_store_news(w->here, one->since, one->limit, &news, &e)) {
        httpd_complete(one->call, &reply, &e);
        return true;
    }
    if (news->count == 0 && !is_last && clk_now_ms() < one->deadline_ms)
        return false;
    meta_body_news(news, &reply.body);
    httpd_complete(one->call, &reply, NULL);
    return true;
}

/* Those who came while others were being answered are looked at, too: they stand at the end. */
static void answer_all(struct meta_watch *w)
{
    lock(w);
    for (size_t i = 0; i < w->count;) {
        const struct meta_watcher one = w->list[i];
        bool is_last = w->stopping;

        unlock(w);
        bool is_done = answer(w, &one, is_last);
        lock(w);
        if (is_done)
            w->list[i] = w->list[--w->count];
        else
            i++;
    }
    unlock(w);
}

/* Real time until the next call's wait is over. */
static int64_t wait_ms(struct meta_watch *w)
{
    int64_t until_ms = clk_now_ms() + LOOK_EVERY_MS;

    lock(w);
    for (size_t i = 0; i < w->count; i++)
        until_ms = min_i64(until_ms, w->list[i].deadline_ms);
    unlock(w);
    return max_i64(until_ms - clk_now_ms(), 1);
}

static bool is_stopping(struct meta_watch *w)
{
    lock(w);
    bool stopping = w->stopping;
    unlock(w);
    return stopping;
}

static void *run(void *arg)
{
    struct meta_watch *w = arg;

    while (!is_stopping(w)) {
        (void)db_listener_wait(w->listener, wait_ms(w));
        answer_all(w);
    }
    return NULL;
}

bool meta_watch_suspend(struct meta_watch *w, const struct httpd_request *http,
                        const struct meta_watcher *asked, struct err *e)
{
    lock(w);
    bool has_room = w->count < w->max && !w->stopping;
    if (has_room) {
        w->list[w->count] = *asked;
        w->list[w->count++].call = httpd_defer(http);
    }
    unlock(w);
    if (!has_room)
        return err_set(e, ERR_UNAVAILABLE, "too many watchers, or stopping");
    db_listener_wake(w->listener);
    return true;
}

bool meta_watch_start(const struct meta_home *here, const char *conninfo, int64_t watchers_max,
                      struct meta_watch **ret, struct err *e)
{
    auto_meta_watch struct meta_watch *w = calloc(1, sizeof(*w));

    CHECK(w != NULL);
    w->here = here;
    w->max = (size_t)watchers_max;
    w->list = calloc(w->max, sizeof(*w->list));
    CHECK(w->list != NULL && pthread_mutex_init(&w->mutex, NULL) == 0);
    if (!db_listen(conninfo, META_CHANNEL, &w->listener, e))
        return false;
    w->is_running = pthread_create(&w->thread, NULL, run, w) == 0;
    if (!w->is_running)
        return err_set(e, ERR_INTERNAL, "the watch's thread cannot be started");
    *ret = TAKE(w);
    return true;
}

void meta_watch_drain(struct meta_watch *w)
{
    lock(w);
    w->stopping = true;
    unlock(w);
    if (!w->is_running)
        return;
    db_listener_wake(w->listener);
    CHECK(pthread_join(w->thread, NULL) == 0);
    w->is_running = false;
    answer_all(w);
}

struct meta_watch *meta_watch_stop(struct meta_watch *w)
{
    if (w == NULL)
        return NULL;
    meta_watch_drain(w);
    (void)db_listener_free(w->listener);
    CHECK(pthread_mutex_destroy(&w->mutex) == 0);
    free(w->list);
    free(w);
    return NULL;
}
