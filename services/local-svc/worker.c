#include "services/local-svc/worker.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/wait.h"

struct worker {
    pthread_mutex_t mutex;
    pthread_cond_t stop;
    bool stopping; /* guarded by mutex */
    worker_tick *tick;
    void *arg;
    pthread_t thread;
    bool is_running;
};

/* Under the mutex. */
static void pause_for(struct worker *w, int64_t ms)
{
    const struct timespec until = wait_deadline(ms);

    while (!w->stopping && wait_until(&w->stop, &w->mutex, until))
        continue;
}

static void *loop(void *arg)
{
    struct worker *w = arg;

    CHECK(pthread_mutex_lock(&w->mutex) == 0);
    while (!w->stopping) {
        CHECK(pthread_mutex_unlock(&w->mutex) == 0);
        int64_t pause_ms = w->tick(w->arg);
        CHECK(pthread_mutex_lock(&w->mutex) == 0);
        pause_for(w, pause_ms);
    }
    CHECK(pthread_mutex_unlock(&w->mutex) == 0);
    return NULL;
}

bool worker_start(worker_tick *tick, void *arg, struct worker **ret, struct err *e)
{
    auto_worker struct worker *w = calloc(1, sizeof(*w));

    CHECK(w != NULL);
    w->tick = tick;
    w->arg = arg;
    CHECK(pthread_mutex_init(&w->mutex, NULL) == 0);
    wait_init(&w->stop);
    w->is_running = pthread_create(&w->thread, NULL, loop, w) == 0;
    if (!w->is_running)
        return err_set(e, ERR_INTERNAL, "cannot start a thread");
    *ret = TAKE(w);
    return true;
}

void worker_tell_stop(struct worker *w)
{
    CHECK(pthread_mutex_lock(&w->mutex) == 0);
    w->stopping = true;
    CHECK(pthread_cond_signal(&w->stop) == 0);
    CHECK(pthread_mutex_unlock(&w->mutex) == 0);
}

struct worker *worker_stop(struct worker *w)
{
    if (!w)
        return NULL;
    worker_tell_stop(w);
    if (w->is_running)
        CHECK(pthread_join(w->thread, NULL) == 0);
    CHECK(pthread_cond_destroy(&w->stop) == 0);
    CHECK(pthread_mutex_destroy(&w->mutex) == 0);
    free(w);
    return NULL;
}
