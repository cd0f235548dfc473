/*
 * Many threads on one pool, one relay and one listener, while connections are
 * torn away: for ThreadSanitizer, which does not get on with Criterion, hence
 * a main() of its own.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/metric.h"
#include "common/io/db.h"
#include "common/io/outbox.h"
#include "tests/harness/pg.h"
#include "tests/harness/proc.h"

#define WRITERS 6
#define WRITES 60
#define CUTS 8
#define WAIT_MS 30000

struct world {
    const char *conninfo;
    struct db *db;
    struct outbox_relay *relay;
    struct db_listener *listener;
    atomic_int committed;
    atomic_int unknown;
    atomic_bool done;
};

struct put {
    char path[32];
};

static bool put_tx(struct db_conn *c, void *arg, struct err *e)
{
    const struct put *p = arg;

    return db_query(c, "UPDATE t SET n = n + 1", DB_NO_ARGS, NULL, e) &&
           outbox_put(c, "meta", p->path, "{}", e);
}

/* What was surely not done is done again, until it is done or nobody knows. */
static void write_once(struct world *w, struct put *p)
{
    struct err e = {0};

    while (!db_tx(w->db, put_tx, p, &e) && e.kind != ERR_TIMEOUT)
        CHECK(e.kind == ERR_UNAVAILABLE);
    atomic_fetch_add(e.kind == ERR_TIMEOUT ? &w->unknown : &w->committed, 1);
}

static void *writer(void *arg)
{
    struct world *w = arg;

    for (int i = 0; i < WRITES; i++) {
        struct put p = {""};
        snprintf(p.path, sizeof(p.path), "/%d", i);
        write_once(w, &p);
        outbox_relay_wake(w->relay);
        db_listener_wake(w->listener);
    }
    return NULL;
}

static void *listen_until_done(void *arg)
{
    struct world *w = arg;

    while (!atomic_load(&w->done))
        (void)db_listener_wait(w->listener, 100);
    return NULL;
}

static void cut_connections(const struct world *w)
{
    for (int i = 0; i < CUTS; i++)
        pg_exec(w->conninfo, "SELECT pg_terminate_backend(pid), pg_sleep(0.02)"
                             "  FROM pg_stat_activity"
                             " WHERE datname = current_database() AND pid <> pg_backend_pid()");
}

static void run(struct world *w)
{
    pthread_t writers[WRITERS], ear;

    CHECK(pthread_create(&ear, NULL, listen_until_done, w) == 0);
    for (size_t i = 0; i < WRITERS; i++)
        CHECK(pthread_create(&writers[i], NULL, writer, w) == 0);
    cut_connections(w);
    for (size_t i = 0; i < WRITERS; i++)
        CHECK(pthread_join(writers[i], NULL) == 0);
    atomic_store(&w->done, true);
    db_listener_wake(w->listener);
    CHECK(pthread_join(ear, NULL) == 0);
}

int main(void)
{
    log_level_set(LOG_ERROR);
    pg_suite_start();
    log_level_set(LOG_ERROR);
    auto_pg_db struct pg_db *d = pg_fresh_db();
    struct metrics *metrics = metrics_new();
    struct world w = {.conninfo = pg_conninfo_of(d)};
    struct replicas nobody;
    struct err e = {0};

    pg_exec(w.conninfo, "CREATE TABLE t AS SELECT 0 AS n");
    CHECK(db_open(&(struct db_pool_settings){w.conninfo, 3, WAIT_MS}, metrics, &w.db, &e));
    CHECK(db_listen(w.conninfo, "news", &w.listener, &e));
    CHECK(replicas_parse("target", "http://127.0.0.1:1", &nobody, &e));
    /* Nobody listens there: leasing and giving back is what is raced here. */
    const struct outbox_config config = {
        .db = w.db, .schema = "meta", .target = &nobody, .metrics = metrics};
    CHECK(outbox_relay_start(&config, &w.relay, &e));
    run(&w);
    outbox_relay_stop(w.relay);
    db_listener_free(w.listener);
    db_close(w.db);
    metrics_free(metrics);

    int64_t n = pg_i64(w.conninfo, "SELECT n FROM t");
    int64_t committed = atomic_load(&w.committed), unknown = atomic_load(&w.unknown);
    printf("committed %lld, unknown %lld, found %lld\n", (long long)committed, (long long)unknown,
           (long long)n);
    CHECK(committed + unknown == WRITERS * WRITES);
    CHECK(n >= committed && n <= committed + unknown);
    return 0;
}
