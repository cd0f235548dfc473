#include "services/remote-svc/loop.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/check.h"

#define REPLY_MAX ((int64_t)4 * 1024 * 1024)
#define STANDBY_MS 100

struct loop {
    struct loop_work work;
    struct leader *leader;
    struct httpc *http;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stop;
    bool stopping; /* guarded by lock */
};

/* Under the lock. */
static void pause_for(struct loop *l, int64_t ms)
{
    struct timespec until;

    CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    int64_t ns = until.tv_nsec + ms % 1000 * 1000000;
    until.tv_sec += ms / 1000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    while (!l->stopping && pthread_cond_timedwait(&l->stop, &l->lock, &until) == 0)
        continue;
}

static bool may_act(const struct loop *l)
{
    int64_t epoch = 0;

    return leader_epoch(l->leader, &epoch);
}

/* Returns in how many ms to come back. */
static int64_t step(struct loop *l)
{
    if (may_act(l))
        return l->work.tick(l->work.arg, l->http);
    l->work.rest(l->work.arg);
    return STANDBY_MS;
}

static void *run(void *arg)
{
    struct loop *l = arg;

    CHECK(pthread_mutex_lock(&l->lock) == 0);
    while (!l->stopping) {
        CHECK(pthread_mutex_unlock(&l->lock) == 0);
        int64_t pause_ms = step(l);
        CHECK(pthread_mutex_lock(&l->lock) == 0);
        pause_for(l, pause_ms);
    }
    CHECK(pthread_mutex_unlock(&l->lock) == 0);
    return NULL;
}

bool loop_start(const struct loop_work *work, struct leader *leader, struct loop **ret,
                struct err *e)
{
    struct loop *l = calloc(1, sizeof(*l));
    pthread_condattr_t monotonic;

    CHECK(l != NULL);
    if (!httpc_new(REPLY_MAX, &l->http, e)) {
        free(l);
        return false;
    }
    l->work = *work;
    l->leader = leader;
    CHECK(pthread_mutex_init(&l->lock, NULL) == 0);
    CHECK(pthread_condattr_init(&monotonic) == 0);
    CHECK(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&l->stop, &monotonic) == 0);
    CHECK(pthread_create(&l->thread, NULL, run, l) == 0);
    *ret = l;
    return true;
}

struct loop *loop_stop(struct loop *l)
{
    if (!l)
        return NULL;
    httpc_cancel(l->http);
    CHECK(pthread_mutex_lock(&l->lock) == 0);
    l->stopping = true;
    CHECK(pthread_cond_signal(&l->stop) == 0);
    CHECK(pthread_mutex_unlock(&l->lock) == 0);
    CHECK(pthread_join(l->thread, NULL) == 0);
    CHECK(pthread_cond_destroy(&l->stop) == 0);
    CHECK(pthread_mutex_destroy(&l->lock) == 0);
    (void)httpc_free(l->http);
    free(l);
    return NULL;
}
