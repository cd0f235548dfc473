/*
 * More threads than connections add to a table, while connections are killed
 * under them and somebody waits for news: every yes is in the table, once,
 * and what is there without a yes had its answer lost.
 */

#include <stdatomic.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/io/db.h"
#include "tests/harness/pg.h"
#include "tests/race/race.h"

#define WRITERS 5
#define CONNECTIONS 3
#define ACQUIRE_MS 2000
#define WAIT_MS 200

struct world {
    struct db *db;
    struct db_listener *listener;
    _Atomic int64_t committed, unknown, refused, heard, kills;
};

/* ---- writers */

struct addition {
    int64_t writer;
    int64_t amounts[3];
};

static bool add(struct db_conn *c, void *arg, struct err *e)
{
    const struct addition *a = arg;
    auto_rows struct db_rows *rows = NULL;

    return db_query(c, "UPDATE race SET total = total + $2, times = times + 1 WHERE writer = $1",
                    DB_ARGS(db_i64(a->writer), db_i64(1)), NULL, e) &&
           db_query(c,
                    "INSERT INTO journal (writer, amount) SELECT $1, a FROM unnest($2::bigint[]) a "
                    "RETURNING amount",
                    DB_ARGS(db_i64(a->writer), db_i64s(a->amounts, 3)), &rows, e) &&
           db_query(c, "NOTIFY news", DB_NO_ARGS, NULL, e) && db_count(rows) == 3 &&
           db_get_i64(rows, 1, 0) == a->amounts[1];
}

static void writer(struct race_thread *t)
{
    struct world *w = t->arg;
    struct addition a = {.writer = t->index, .amounts = {1, prng_below(&t->prng, 100), 3}};
    struct err e = {0};

    if (db_tx(w->db, add, &a, &e)) {
        atomic_fetch_add(&w->committed, 1);
        return;
    }
    CHECK(e.kind == ERR_TIMEOUT || e.kind == ERR_UNAVAILABLE);
    atomic_fetch_add(e.kind == ERR_TIMEOUT ? &w->unknown : &w->refused, 1);
}

/* ---- disturbances */

static bool kill_others(struct db_conn *c, void *arg, struct err *e)
{
    (void)arg;
    return db_query(c,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND datname = current_database() "
                    "ORDER BY random() LIMIT 1",
                    DB_NO_ARGS, NULL, e);
}

static void killer(struct race_thread *t)
{
    struct world *w = t->arg;
    struct err ignored = {0};

    (void)usleep((useconds_t)prng_below(&t->prng, 50000));
    const bool killed = db_tx(w->db, kill_others, NULL, &ignored);
    atomic_fetch_add(&w->kills, killed);
}

static void pinger(struct race_thread *t)
{
    struct world *w = t->arg;
    struct err e = {0};

    CHECK(db_ping(w->db, &e) || e.kind == ERR_UNAVAILABLE);
    (void)usleep(1000);
}

/* ---- news */

static void listener(struct race_thread *t)
{
    struct world *w = t->arg;

    if (db_listener_wait(w->listener, WAIT_MS))
        atomic_fetch_add(&w->heard, 1);
}

static void waker(struct race_thread *t)
{
    struct world *w = t->arg;

    db_listener_wake(w->listener);
    (void)usleep(10000);
}

/* ---- the race */

static void open_all(struct world *w, const struct pg *pg, struct metrics *registry)
{
    struct err e = {0};

    pg_exec(pg_conninfo(pg), "CREATE TABLE race (writer bigint PRIMARY KEY, total bigint NOT NULL, "
                             "times bigint NOT NULL); "
                             "CREATE TABLE journal (writer bigint, amount bigint)");
    pg_exec(pg_conninfo(pg), "INSERT INTO race SELECT g, 0, 0 FROM generate_series(0, %d) g",
            WRITERS - 1);
    CHECK(db_open(&(struct db_pool_settings){pg_conninfo(pg), CONNECTIONS, ACQUIRE_MS}, registry,
                  &w->db, &e));
    CHECK(db_listen(pg_conninfo(pg), "news", &w->listener, &e));
}

static void check_accounts(const struct world *w, const char *conninfo)
{
    const int64_t committed = atomic_load(&w->committed), unknown = atomic_load(&w->unknown);
    const int64_t times = pg_i64(conninfo, "SELECT sum(times)::bigint FROM race");

    CHECK(committed > 0 && atomic_load(&w->heard) > 0 && atomic_load(&w->kills) > 0);
    CHECK(times >= committed && times <= committed + unknown);
    CHECK(pg_i64(conninfo, "SELECT count(*) FROM journal") == 3 * times);
}

int main(void)
{
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){.fsync = false});
    struct metrics *registry = metrics_new();
    struct world w = {.db = NULL};

    CHECK(registry);
    log_level_set(LOG_ERROR);
    open_all(&w, pg, registry);
    RACE_RUN({writer, WRITERS, &w, false}, {killer, 1, &w, false}, {pinger, 1, &w, false},
             {listener, 1, &w, false}, {waker, 1, &w, false});
    db_listener_free(w.listener);
    db_close(w.db);
    check_accounts(&w, pg_conninfo(pg));
    metrics_free(registry);
    return 0;
}
