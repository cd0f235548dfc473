#include "common/io/db_internal.h"

#include <pthread.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/prng.h"
#include "common/base/wait.h"

struct db {
    pthread_mutex_t mutex;
    pthread_cond_t returned; /* a connection came back, or room for another did */
    struct db_conn **idle;   /* guarded by mutex; the last returned is taken first */
    int64_t idle_count;      /* guarded by mutex */
    int64_t open_count;      /* guarded by mutex: idle, lent, and being connected */
    int64_t generation;      /* guarded by mutex: grows when a connection breaks */
    struct prng prng;        /* guarded by mutex */
    int64_t conns_max;
    int64_t acquire_timeout_ms;
    struct db_settings *settings;
    struct metric *waits; /* the metrics are NULL without a registry */
    struct metric *connections;
    struct metric *transactions;
};

static const char *const outcomes[DB_OUTCOMES] = {
    [DB_COMMITTED] = "committed", [DB_ROLLED_BACK] = "rolled_back", [DB_RETRIED] = "retried",
    [DB_UNKNOWN] = "unknown",     [DB_UNAVAILABLE] = "unavailable",
};

static void open_metrics(struct db *db, struct metrics *m)
{
    if (!m)
        return;
    db->waits = metric_new(m, METRIC_HISTOGRAM_SECONDS, "volumecap_db_acquire_wait_seconds",
                           "Wait for a database connection, connecting included.", NULL);
    db->connections =
        metric_new(m, METRIC_GAUGE, "volumecap_db_connections", "Database connections open.", NULL);
    db->transactions = metric_new(m, METRIC_COUNTER, "volumecap_db_transactions_total",
                                  "Database transactions by outcome.", "outcome");
}

bool db_open(const struct db_pool_settings *settings, struct metrics *metrics, struct db **ret,
             struct err *e)
{
    CHECK(settings->conns_max >= 1 && settings->acquire_timeout_ms >= 1);

    struct db *new = calloc(1, sizeof(*new));
    if (!new)
        return err_set(e, ERR_INTERNAL, "out of memory");
    CHECK(pthread_mutex_init(&new->mutex, NULL) == 0);
    wait_init(&new->returned);
    auto_db struct db *db = new;
    db->prng.state = prng_entropy();
    db->conns_max = settings->conns_max;
    db->acquire_timeout_ms = settings->acquire_timeout_ms;
    db->idle = calloc((size_t)settings->conns_max, sizeof(struct db_conn *));
    if (!db->idle)
        return err_set(e, ERR_INTERNAL, "out of memory");
    if (!db_settings_new(settings->conninfo, &db->settings, e))
        return false;
    open_metrics(db, metrics);
    *ret = TAKE(db);
    return true;
}

struct db *db_close(struct db *db)
{
    if (!db)
        return NULL;
    CHECK(db->idle_count == db->open_count);
    for (int64_t i = 0; i < db->idle_count; i++)
        db_conn_free(db->idle[i]);
    free(db->idle);
    db_settings_free(db->settings);
    pthread_cond_destroy(&db->returned);
    pthread_mutex_destroy(&db->mutex);
    free(db);
    return NULL;
}

/* With the mutex. */
static bool has_room(const struct db *db)
{
    return db->idle_count > 0 || db->open_count < db->conns_max;
}

/* With the mutex.  False when no connection and no room for one came in time. */
static bool wait_for_room(struct db *db)
{
    const struct timespec deadline = wait_deadline(db->acquire_timeout_ms);

    while (!has_room(db) && wait_until(&db->returned, &db->mutex, deadline))
        continue;
    return has_room(db);
}

static void count_connections(struct db *db, int64_t open_count)
{
    if (db->connections)
        metric_put(db->connections, open_count);
}

/* The place of a connection that is gone, or never came about. */
static void give_up_place(struct db *db)
{
    pthread_mutex_lock(&db->mutex);
    db->open_count--;
    count_connections(db, db->open_count);
    pthread_cond_signal(&db->returned);
    pthread_mutex_unlock(&db->mutex);
}

/* `*ret` NULL: the caller has a place in the pool and connects. */
static bool take(struct db *db, struct db_conn **ret, int64_t *ret_generation)
{
    pthread_mutex_lock(&db->mutex);
    bool ok = wait_for_room(db);
    if (ok && db->idle_count > 0)
        *ret = db->idle[--db->idle_count];
    else if (ok)
        count_connections(db, ++db->open_count);
    *ret_generation = db->generation;
    pthread_mutex_unlock(&db->mutex);
    return ok;
}

static bool connect_in_place(struct db *db, int64_t generation, struct db_conn **ret, struct err *e)
{
    if (!db_conn_new(db->settings, ret, e)) {
        give_up_place(db);
        return false;
    }
    (*ret)->generation = generation;
    return true;
}

static bool acquire(struct db *db, struct db_conn **ret, struct err *e)
{
    struct db_conn *c = NULL;
    int64_t generation = 0;

    if (!take(db, &c, &generation))
        return err_set(e, ERR_UNAVAILABLE, "all %lld database connections are busy",
                       (long long)db->conns_max);
    if (c && c->generation == generation) {
        *ret = c;
        return true;
    }
    /* Since this one was opened another broke: the server has probably gone, and come back. */
    db_conn_free(c);
    return connect_in_place(db, generation, ret, e);
}

bool db_acquire(struct db *db, struct db_conn **ret, struct err *e)
{
    int64_t start_ns = clk_now_ns();
    bool ok = acquire(db, ret, e);

    if (db->waits)
        metric_observed(db->waits, clk_now_ns() - start_ns);
    if (ok)
        (*ret)->trouble = DB_TROUBLE_NONE;
    return ok;
}

static void keep(struct db *db, struct db_conn *c)
{
    pthread_mutex_lock(&db->mutex);
    CHECK(db->idle_count < db->open_count);
    db->idle[db->idle_count++] = c;
    pthread_cond_signal(&db->returned);
    pthread_mutex_unlock(&db->mutex);
}

static void drop(struct db *db, struct db_conn *c)
{
    pthread_mutex_lock(&db->mutex);
    if (db->generation == c->generation)
        db->generation++;
    pthread_mutex_unlock(&db->mutex);
    db_conn_free(c);
    give_up_place(db);
}

void db_release(struct db *db, struct db_conn *c)
{
    if (db_conn_is_of_use(c))
        keep(db, c);
    else
        drop(db, c);
}

void db_count_outcome(struct db *db, enum db_outcome outcome)
{
    if (db->transactions)
        metric_add(metric_at(db->transactions, outcomes[outcome], NULL, NULL), 1);
}

int64_t db_jitter(struct db *db, int64_t below)
{
    pthread_mutex_lock(&db->mutex);
    int64_t n = prng_below(&db->prng, below);
    pthread_mutex_unlock(&db->mutex);
    return n;
}
