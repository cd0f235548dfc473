#include "services/local-svc/committer.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"

/* Large enough that the cost of a transaction no longer shows, small enough to answer soon. */
#define BATCH_ITEMS_MAX 2000
#define BATCH_REQUESTS_MAX BATCH_ITEMS_MAX

struct committer {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct committer_job *first, **last; /* guarded by mutex */
    size_t waiting_items;                /* guarded by mutex */
    bool stopping;                       /* guarded by mutex */
    struct committer_config config;
    pthread_t thread;
    bool is_running;
    /* The batch; of the thread alone. */
    struct committer_job *jobs[BATCH_REQUESTS_MAX];
    struct topup_request *requests[BATCH_REQUESTS_MAX];
    size_t count;
};

static void lock(struct committer *c)
{
    CHECK(pthread_mutex_lock(&c->mutex) == 0);
}

static void unlock(struct committer *c)
{
    CHECK(pthread_mutex_unlock(&c->mutex) == 0);
}

/* Its share of the queue: a heartbeat has no items, and takes a place all the same. */
static size_t cost_of(const struct committer_job *job)
{
    return job->request.count > 0 ? job->request.count : 1;
}

/* Under the mutex. */
static struct committer_job *pop(struct committer *c)
{
    struct committer_job *job = c->first;

    c->first = job->next;
    if (c->first == NULL)
        c->last = &c->first;
    c->waiting_items -= cost_of(job);
    return job;
}

/* Waits for jobs and takes all that fit in one batch; false when stopping and nothing is left. */
static bool take_batch(struct committer *c)
{
    size_t items = 0;

    c->count = 0;
    lock(c);
    while (c->first == NULL && !c->stopping)
        CHECK(pthread_cond_wait(&c->filled, &c->mutex) == 0);
    while (c->first != NULL && c->count < BATCH_REQUESTS_MAX &&
           items + cost_of(c->first) <= BATCH_ITEMS_MAX) {
        struct committer_job *job = pop(c);
        items += cost_of(job);
        c->requests[c->count] = &job->request;
        c->jobs[c->count++] = job;
    }
    unlock(c);
    return c->count > 0;
}

static size_t items_of(const struct topup_batch *batch)
{
    size_t items = 0;

    for (size_t i = 0; i < batch->count; i++)
        items += batch->requests[i]->count;
    return items;
}

static void count_states(const struct local_metrics *m, const struct topup_batch *batch)
{
    int64_t states[POOL_UNKNOWN + 1] = {0};

    for (size_t i = 0; i < batch->count; i++) {
        const struct topup_request *r = batch->requests[i];
        for (size_t k = 0; k < r->count && r->refusal == TOPUP_ADMITTED; k++)
            states[r->answers[k].pool.state]++;
    }
    for (int i = 0; i <= POOL_UNKNOWN; i++)
        if (states[i] > 0)
            metric_add(metric_at(m->items, pool_state_names[i], NULL, NULL), states[i]);
}

static bool commit(struct committer *c, struct topup_batch *batch, struct err *e)
{
    const struct local_metrics *m = c->config.metrics;
    int64_t began_ns = clk_now_ns();

    batch->active_servers = atomic_load(c->config.active_servers);
    if (!store_topup(c->config.db, c->config.witness, batch, e))
        return false;
    metric_observed(m->commit_seconds, clk_now_ns() - began_ns);
    metric_observed(m->batch_items, (int64_t)items_of(batch));
    local_metrics_moved(m, &batch->moved);
    count_states(m, batch);
    return true;
}

static void complete(struct committer *c, size_t first, size_t count, const struct err *e)
{
    for (size_t i = first; i < first + count; i++)
        c->config.done(c->jobs[i], e);
}

static void refuse(struct committer *c, size_t first, size_t count)
{
    struct err e = {0};

    (void)err_set(&e, ERR_UNAVAILABLE, "the database is away; say it again");
    complete(c, first, count, &e);
}

/*
 * Commits `count` jobs together; a request that cannot be committed must not
 * take others down.  Answers all of them; false: the database is away.
 */
static bool commit_jobs(struct committer *c, size_t first, size_t count)
{
    struct topup_batch batch = {
        .requests = &c->requests[first], .count = count, .peers = c->config.peers};
    struct err e = {0};

    if (commit(c, &batch, &e)) {
        complete(c, first, count, NULL);
        return true;
    }
    log_event(LOG_WARN, "topup.commit_failed", log_i64("requests", (int64_t)count),
              log_str("kind", err_name(e.kind)), log_str("error", e.msg));
    if (count == 1 || e.kind == ERR_UNAVAILABLE) {
        complete(c, first, count, &e);
        return e.kind != ERR_UNAVAILABLE;
    }
    for (size_t done = 1; done <= count; done++) {
        if (commit_jobs(c, first + done - 1, 1))
            continue;
        refuse(c, first + done, count - done);
        return false;
    }
    return true;
}

static bool is_stopping(struct committer *c)
{
    lock(c);
    bool stopping = c->stopping;
    unlock(c);
    return stopping;
}

static void *commit_loop(void *arg)
{
    struct committer *c = arg;

    bool is_there = true;

    while (take_batch(c)) {
        if (is_there || !is_stopping(c))
            is_there = commit_jobs(c, 0, c->count);
        else
            refuse(c, 0, c->count);
    }
    return NULL;
}

bool committer_put(struct committer *c, struct committer_job *job, struct err *e)
{
    job->next = NULL;
    lock(c);
    bool accepted =
        !c->stopping && c->waiting_items + cost_of(job) <= (size_t)c->config.queue_items_max;
    if (accepted) {
        *c->last = job;
        c->last = &job->next;
        c->waiting_items += cost_of(job);
        CHECK(pthread_cond_signal(&c->filled) == 0);
    }
    unlock(c);
    return accepted || err_set(e, ERR_UNAVAILABLE, "too many topups are waiting; say it again");
}

bool committer_start(const struct committer_config *config, struct committer **ret, struct err *e)
{
    auto_committer struct committer *c = calloc(1, sizeof(*c));

    CHECK(c != NULL);
    c->config = *config;
    c->last = &c->first;
    CHECK(pthread_mutex_init(&c->mutex, NULL) == 0);
    CHECK(pthread_cond_init(&c->filled, NULL) == 0);
    c->is_running = pthread_create(&c->thread, NULL, commit_loop, c) == 0;
    if (!c->is_running)
        return err_set(e, ERR_INTERNAL, "cannot start a thread");
    *ret = TAKE(c);
    return true;
}

void committer_drain(struct committer *c)
{
    lock(c);
    c->stopping = true;
    CHECK(pthread_cond_signal(&c->filled) == 0);
    unlock(c);
    if (c->is_running)
        CHECK(pthread_join(c->thread, NULL) == 0);
    c->is_running = false;
}

struct committer *committer_stop(struct committer *c)
{
    if (!c)
        return NULL;
    committer_drain(c);
    CHECK(pthread_cond_destroy(&c->filled) == 0);
    CHECK(pthread_mutex_destroy(&c->mutex) == 0);
    free(c);
    return NULL;
}
