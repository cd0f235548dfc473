/* db: what goes in comes out, transactions are whole, and a database that dies is survived. */

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clk.h"
#include "common/base/metric.h"
#include "common/base/num.h"
#include "common/io/db.h"
#include "tests/harness/pg.h"
#include "tests/harness/proc.h"
#include "tests/harness/promise.h"

PG_SUITE();

#define WAIT_MS 60000
#define ANSWER_MS 8000 /* how long a connection waits for an answer: DB_ANSWER_MS */

static struct db *open_db(const char *conninfo, int64_t conns, int64_t timeout_ms,
                          struct metrics *m)
{
    struct db *db = NULL;
    struct err e = {0};

    cr_assert(db_open(&(struct db_pool_settings){conninfo, conns, timeout_ms}, m, &db, &e), "%s",
              e.msg);
    return db;
}

/* One statement as a transaction. */
struct statement {
    const char *sql;
    const struct db_param *params;
    size_t count;
    struct db_rows *rows;
};

static bool statement_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct statement *s = arg;

    s->rows = db_rows_free(s->rows);
    return db_query(c, s->sql, s->params, s->count, &s->rows, e);
}

static struct db_rows *ask(struct db *db, const char *sql, const struct db_param *params,
                           size_t count)
{
    struct statement s = {.sql = sql, .params = params, .count = count};
    struct err e = {0};

    cr_assert(db_tx(db, statement_tx, &s, &e), "%s", e.msg);
    return s.rows;
}

static bool fails(struct db *db, const char *sql, struct err *e)
{
    struct statement s = {.sql = sql};
    bool ok = db_tx(db, statement_tx, &s, e);

    db_rows_free(s.rows);
    return !ok;
}

Test(db, integers_round_trip)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_db struct db *db = open_db(pg_conninfo_of(d), 1, WAIT_MS, NULL);
    static const int64_t numbers[] = {0, 1, -1, UNITS_MAX, UNITS_MAX + 1, INT64_MAX, INT64_MIN};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        auto_rows struct db_rows *rows = ask(db, "SELECT $1", DB_ARGS(db_i64(numbers[i])));
        cr_assert_eq(db_get_i64(rows, 0, 0), numbers[i]);
    }
}

Test(db, texts_round_trip)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_db struct db *db = open_db(pg_conninfo_of(d), 1, WAIT_MS, NULL);
    static const char *const texts[] = {"", "NULL", "'; DROP TABLE x; --", "a\nb\\\"{},",
                                        "Zürich ☃"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        auto_rows struct db_rows *rows = ask(db, "SELECT $1", DB_ARGS(db_text(texts[i])));
        cr_assert_str_eq(db_get_text(rows, 0, 0), texts[i]);
    }
}

Test(db, booleans_and_nulls_round_trip)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_db struct db *db = open_db(pg_conninfo_of(d), 1, WAIT_MS, NULL);
    auto_rows struct db_rows *rows =
        ask(db, "SELECT $1, $2, $3, $4::bigint",
            DB_ARGS(db_bool(true), db_bool(false), db_text(NULL), db_null()));

    cr_assert(db_get_bool(rows, 0, 0));
    cr_assert_not(db_get_bool(rows, 0, 1));
    cr_assert(db_is_null(rows, 0, 2));
    cr_assert(db_is_null(rows, 0, 3));
}

Test(db, arrays_round_trip_in_order)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_db struct db *db = open_db(pg_conninfo_of(d), 1, WAIT_MS, NULL);
    static const int64_t numbers[] = {UNITS_MAX, -7, 0, INT64_MIN};
    static const char *const texts[] = {"a,b", "{\"\\", NULL, ""};
    static const bool flags[] = {true, false, false, true};
    auto_rows struct db_rows *rows =
        ask(db, "SELECT * FROM unnest($1, $2, $3)",
            DB_ARGS(db_i64s(numbers, 4), db_texts(texts, 4), db_bools(flags, 4)));

    cr_assert_eq(db_count(rows), 4);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(db_get_i64(rows, i, 0), numbers[i]);
        cr_assert_eq(db_is_null(rows, i, 1), texts[i] == NULL);
        cr_assert(!texts[i] || strcmp(db_get_text(rows, i, 1), texts[i]) == 0);
        cr_assert_eq(db_get_bool(rows, i, 2), flags[i]);
    }
}

Test(db, an_empty_array_is_an_array)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_db struct db *db = open_db(pg_conninfo_of(d), 1, WAIT_MS, NULL);
    auto_rows struct db_rows *rows = ask(db, "SELECT cardinality($1)", DB_ARGS(db_i64s(NULL, 0)));

    cr_assert_eq(db_get_i64(rows, 0, 0), 0);
}

Test(db, an_array_larger_than_the_socket_goes_through)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_db struct db *db = open_db(pg_conninfo_of(d), 1, WAIT_MS, NULL);
    size_t count = 500000;
    auto_free int64_t *numbers = calloc(count, sizeof(int64_t));

    for (size_t i = 0; i < count; i++)
        numbers[i] = UNITS_MAX;
    auto_rows struct db_rows *rows = ask(db, "SELECT count(*) FROM unnest($1) AS n WHERE n = $2",
                                         DB_ARGS(db_i64s(numbers, count), db_i64(UNITS_MAX)));
    cr_assert_eq(db_get_i64(rows, 0, 0), (int64_t)count);
}

/* A NULL of no type and a text need two plans: which came first must not matter. */
static struct db_rows *length_of(struct db *db, struct db_param p)
{
    return ask(db, "SELECT length($1)", &p, 1);
}

Test(db, a_statement_takes_null_before_and_after_text)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_db struct db *db = open_db(pg_conninfo_of(d), 1, WAIT_MS, NULL);
    auto_rows struct db_rows *first = length_of(db, db_text(NULL));
    auto_rows struct db_rows *second = length_of(db, db_text("four"));
    auto_rows struct db_rows *third = length_of(db, db_null());

    cr_assert(db_is_null(first, 0, 0));
    cr_assert_eq(db_get_i64(second, 0, 0), 4);
    cr_assert(db_is_null(third, 0, 0));
}

Test(db, affected_counts_rows)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    pg_exec(pg_conninfo_of(d), "CREATE TABLE t AS SELECT generate_series(1, 5) AS n");
    auto_db struct db *db = open_db(pg_conninfo_of(d), 1, WAIT_MS, NULL);
    auto_rows struct db_rows *rows = ask(db, "UPDATE t SET n = n WHERE n > $1", DB_ARGS(db_i64(2)));

    cr_assert_eq(db_affected(rows), 3);
    cr_assert_eq(db_count(rows), 0);
}

Test(db, a_violated_constraint_is_a_conflict_and_named)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    pg_exec(pg_conninfo_of(d), "CREATE TABLE t (n int CONSTRAINT n_is_small CHECK (n < 10))");
    auto_db struct db *db = open_db(pg_conninfo_of(d), 1, WAIT_MS, NULL);
    struct err e = {0};

    cr_assert(fails(db, "INSERT INTO t VALUES (10)", &e));
    cr_assert_eq(e.kind, ERR_CONFLICT);
    cr_assert_not_null(strstr(e.msg, "n_is_small"), "%s", e.msg);
}

Test(db, wrong_sql_is_an_internal_error_and_the_connection_goes_on)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_db struct db *db = open_db(pg_conninfo_of(d), 1, WAIT_MS, NULL);
    struct err e = {0};

    cr_assert(fails(db, "SELEKT 1", &e));
    cr_assert_eq(e.kind, ERR_INTERNAL);
    cr_assert(db_ping(db, &e), "%s", e.msg);
}

Test(db, a_statement_that_takes_too_long_is_ended)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    char conninfo[300];
    struct err e = {0};

    snprintf(conninfo, sizeof(conninfo), "%s options='-c statement_timeout=50'", pg_conninfo_of(d));
    auto_db struct db *db = open_db(conninfo, 1, WAIT_MS, NULL);
    cr_assert(fails(db, "SELECT pg_sleep(60)", &e));
    cr_assert_eq(e.kind, ERR_UNAVAILABLE, "%s", e.msg);
}

Test(db, connections_have_limits_by_default)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_db struct db *db = open_db(pg_conninfo_of(d), 1, WAIT_MS, NULL);
    auto_rows struct db_rows *rows =
        ask(db,
            "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),"
            "       current_setting('TimeZone'), current_setting('application_name')",
            DB_NO_ARGS);

    cr_assert_str_eq(db_get_text(rows, 0, 0), "5s");
    cr_assert_str_eq(db_get_text(rows, 0, 1), "3s");
    cr_assert_str_eq(db_get_text(rows, 0, 2), "UTC");
    cr_assert_str_eq(db_get_text(rows, 0, 3), program_invocation_short_name);
}

Test(db, a_bad_conninfo_is_refused)
{
    struct db *db = NULL;
    struct err e = {0};

    cr_assert_not(db_open(&(struct db_pool_settings){"hosst=here", 1, 1}, NULL, &db, &e));
    cr_assert_eq(e.kind, ERR_INVALID);
}

/* Transactions. */

static bool insert_then_fail(struct db_conn *c, void *arg, struct err *e)
{
    (void)arg;
    return db_query(c, "INSERT INTO t VALUES (1)", DB_NO_ARGS, NULL, e) &&
           err_set(e, ERR_NOT_FOUND, "changed my mind");
}

Test(tx, false_rolls_back_and_the_reason_stays)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    pg_exec(pg_conninfo_of(d), "CREATE TABLE t (n int)");
    auto_db struct db *db = open_db(pg_conninfo_of(d), 1, WAIT_MS, NULL);
    struct err e = {0};

    cr_assert_not(db_tx(db, insert_then_fail, NULL, &e));
    cr_assert_eq(e.kind, ERR_NOT_FOUND);
    cr_assert_eq(pg_i64(pg_conninfo_of(d), "SELECT count(*) FROM t"), 0);
}

static bool ignore_a_failure(struct db_conn *c, void *arg, struct err *e)
{
    struct err ignored = {0};

    (void)arg;
    return db_query(c, "INSERT INTO t VALUES (1)", DB_NO_ARGS, NULL, e) &&
           !db_query(c, "SELECT 1 / 0", DB_NO_ARGS, NULL, &ignored);
}

Test(tx, a_failure_that_is_ignored_is_not_taken_for_a_commit)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    pg_exec(pg_conninfo_of(d), "CREATE TABLE t (n int)");
    auto_db struct db *db = open_db(pg_conninfo_of(d), 1, WAIT_MS, NULL);
    struct err e = {0};

    cr_assert_not(db_tx(db, ignore_a_failure, NULL, &e));
    cr_assert_eq(e.kind, ERR_INTERNAL);
}

struct rival {
    struct db *db;
    int64_t first, second;
    pthread_barrier_t *both_locked; /* passed in the first try only */
    int tries;
    bool ok;
};

static bool lock_row(struct db_conn *c, int64_t n, struct err *e)
{
    return db_query(c, "UPDATE t SET count = count + 1 WHERE n = $1", DB_ARGS(db_i64(n)), NULL, e);
}

static bool cross(struct db_conn *c, void *arg, struct err *e)
{
    struct rival *r = arg;

    if (!lock_row(c, r->first, e))
        return false;
    if (r->tries++ == 0)
        pthread_barrier_wait(r->both_locked);
    return lock_row(c, r->second, e);
}

static void *run_rival(void *arg)
{
    struct rival *r = arg;
    struct err e = {0};

    r->ok = db_tx(r->db, cross, r, &e);
    return NULL;
}

Test(tx, a_deadlock_is_tried_again_and_both_get_through)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    char conninfo[300];

    pg_exec(pg_conninfo_of(d),
            "CREATE TABLE t AS SELECT n, 0 AS count FROM generate_series(1, 2) n");
    /* Found out soon: the tries of a transaction are over after 3 s. */
    snprintf(conninfo, sizeof(conninfo), "%s options='-c deadlock_timeout=50'", pg_conninfo_of(d));
    auto_db struct db *db = open_db(conninfo, 2, WAIT_MS, NULL);
    pthread_barrier_t barrier;
    pthread_t thread;

    pthread_barrier_init(&barrier, NULL, 2);
    struct rival a = {.db = db, .first = 1, .second = 2, .both_locked = &barrier};
    struct rival b = {.db = db, .first = 2, .second = 1, .both_locked = &barrier};
    cr_assert_eq(pthread_create(&thread, NULL, run_rival, &a), 0);
    run_rival(&b);
    pthread_join(thread, NULL);

    cr_assert(a.ok && b.ok);
    /* Whoever gave way may be quick enough to meet the other again. */
    cr_assert_geq(a.tries + b.tries, 3, "one of them was the victim");
    cr_assert_eq(pg_i64(pg_conninfo_of(d), "SELECT sum(count) FROM t"), 4);
}

struct holder {
    struct db *db;
    pthread_barrier_t *barrier; /* passed when holding, and again to let go */
};

static bool hold(struct db_conn *c, void *arg, struct err *e)
{
    struct holder *h = arg;

    (void)c;
    (void)e;
    pthread_barrier_wait(h->barrier);
    pthread_barrier_wait(h->barrier);
    return true;
}

static void *run_holder(void *arg)
{
    struct holder *h = arg;
    struct err e = {0};

    return db_tx(h->db, hold, h, &e) ? h : NULL;
}

Test(pool, no_connection_in_time_is_unavailable_and_the_next_is_served)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    struct metrics *metrics = metrics_new();
    pthread_barrier_t barrier;
    pthread_t thread;
    struct err e = {0};
    void *committed = NULL;

    pthread_barrier_init(&barrier, NULL, 2);
    struct holder h = {.db = open_db(pg_conninfo_of(d), 1, 100, metrics), .barrier = &barrier};
    cr_assert_eq(pthread_create(&thread, NULL, run_holder, &h), 0);
    pthread_barrier_wait(&barrier);
    int64_t start_ms = clk_now_ms();
    cr_assert_not(db_ping(h.db, &e));
    int64_t waited_ms = clk_now_ms() - start_ms;
    pthread_barrier_wait(&barrier);
    pthread_join(thread, &committed);

    cr_assert_eq(e.kind, ERR_UNAVAILABLE);
    cr_assert(waited_ms >= 99, "%" PRId64, waited_ms);
    cr_assert_not_null(committed);
    cr_assert(db_ping(h.db, &e), "%s", e.msg);
    db_close(h.db);

    auto_buf struct buf text = BUF_INIT(0);
    metrics_write(metrics, &text);
    cr_assert_not_null(strstr(buf_text(&text), "volumecap_db_connections 1\n"));
    cr_assert_not_null(
        strstr(buf_text(&text), "volumecap_db_transactions_total{outcome=\"committed\"} 1\n"));
    metrics_free(metrics);
}

struct hammer {
    struct db *db;
    atomic_int failures;
};

static void *run_hammer(void *arg)
{
    struct hammer *h = arg;
    struct err e = {0};

    for (int i = 0; i < 50; i++) {
        if (fails(h->db, "UPDATE t SET n = n + 1", &e))
            atomic_fetch_add(&h->failures, 1);
    }
    return NULL;
}

Test(pool, sixteen_threads_share_four_connections_on_one_hot_row)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    pg_exec(pg_conninfo_of(d), "CREATE TABLE t AS SELECT 0 AS n");
    struct hammer h = {.db = open_db(pg_conninfo_of(d), 4, WAIT_MS, NULL)};
    pthread_t threads[16];

    for (size_t i = 0; i < 16; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, run_hammer, &h), 0);
    for (size_t i = 0; i < 16; i++)
        pthread_join(threads[i], NULL);
    db_close(h.db);

    cr_assert_eq(atomic_load(&h.failures), 0);
    cr_assert_eq(pg_i64(pg_conninfo_of(d), "SELECT n FROM t"), 800);
}

/* A database that goes away. */

static bool ping_ok(void *arg)
{
    struct err e = {0};

    return db_ping(arg, &e);
}

static bool meet(struct db_conn *c, void *arg, struct err *e)
{
    (void)c;
    (void)e;
    pthread_barrier_wait(arg);
    return true;
}

struct guest {
    struct db *db;
    pthread_barrier_t *all_have_one;
};

static void *run_guest(void *arg)
{
    struct guest *g = arg;
    struct err e = {0};

    return db_tx(g->db, meet, g->all_have_one, &e) ? g : NULL;
}

/* So many at once that the pool has as many connections afterwards. */
static void open_connections(struct db *db, unsigned count)
{
    pthread_barrier_t all_have_one;
    auto_free pthread_t *threads = calloc(count, sizeof(pthread_t));
    struct guest g = {.db = db, .all_have_one = &all_have_one};

    pthread_barrier_init(&all_have_one, NULL, count);
    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, run_guest, &g), 0);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

/* More than there are tries: the first that turns out broken condemns the others. */
Test(outage, twelve_broken_connections_are_replaced_without_an_error)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_db struct db *db = open_db(pg_conninfo_of(d), 12, WAIT_MS, NULL);
    struct err e = {0};

    open_connections(db, 12);
    cr_assert_eq(pg_i64(pg_conninfo_of(d),
                        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                        "   AND backend_type = 'client backend'"),
                 12);
    cr_assert_not(fails(db, "SELECT 1", &e), "%s", e.msg);
}

Test(outage, a_killed_database_is_unavailable_and_found_again)
{
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){.fsync = true});
    auto_db struct db *db = open_db(pg_conninfo(pg), 4, 1000, NULL);
    struct err e = {0};

    cr_assert_not(fails(db, "CREATE TABLE t AS SELECT 1 AS n", &e), "%s", e.msg);
    pg_kill(pg);
    int64_t start_ms = clk_now_ms();
    cr_assert(fails(db, "SELECT n FROM t", &e));
    cr_assert_eq(e.kind, ERR_UNAVAILABLE, "%s", e.msg);
    cr_assert_lt(clk_now_ms() - start_ms, ANSWER_MS, "a silent one is given up then");
    pg_restart(pg);
    cr_assert(harness_await(ping_ok, db, WAIT_MS));
    cr_assert_not(fails(db, "SELECT n FROM t", &e), "%s", e.msg);
}

Test(outage, a_frozen_database_is_waited_for_in_bounds)
{
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){.fsync = false});
    auto_db struct db *db = open_db(pg_conninfo(pg), 1, 1000, NULL);
    struct err e = {0};

    cr_assert(db_ping(db, &e), "%s", e.msg);
    pg_freeze(pg);
    int64_t start_ms = clk_now_ms();
    cr_assert(fails(db, "SELECT 1", &e));
    int64_t waited_ms = clk_now_ms() - start_ms;
    pg_thaw(pg);

    cr_assert_eq(e.kind, ERR_UNAVAILABLE, "%s", e.msg);
    cr_assert(promise_kept("a frozen database to its error", waited_ms, 10000));
    cr_assert(harness_await(ping_ok, db, WAIT_MS));
}

struct killer {
    struct pg *pg;
    int tries;
};

static bool kill_before_commit(struct db_conn *c, void *arg, struct err *e)
{
    struct killer *k = arg;

    if (k->tries++ == 0)
        pg_kill(k->pg);
    return db_query(c, "SELECT 1", DB_NO_ARGS, NULL, e);
}

Test(outage, lost_before_commit_is_tried_again_until_the_database_refuses)
{
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){.fsync = false});
    auto_db struct db *db = open_db(pg_conninfo(pg), 1, 1000, NULL);
    struct killer k = {.pg = pg};
    struct err e = {0};

    cr_assert_not(db_tx(db, kill_before_commit, &k, &e));
    cr_assert_eq(e.kind, ERR_UNAVAILABLE, "%s", e.msg);
    cr_assert_eq(k.tries, 1, "the second try found nobody to connect to");
}

static bool kill_at_commit(struct db_conn *c, void *arg, struct err *e)
{
    if (!db_query(c, "SELECT 1", DB_NO_ARGS, NULL, e))
        return false;
    pg_kill(arg);
    return true;
}

Test(outage, a_lost_answer_to_commit_is_an_unknown_outcome)
{
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){.fsync = false});
    auto_db struct db *db = open_db(pg_conninfo(pg), 1, 1000, NULL);
    struct err e = {0};

    cr_assert_not(db_tx(db, kill_at_commit, pg, &e));
    cr_assert_eq(e.kind, ERR_TIMEOUT, "%s", e.msg);
}

/* Notifications. */

static struct db_listener *listen_to(const char *conninfo)
{
    struct db_listener *l = NULL;
    struct err e = {0};

    cr_assert(db_listen(conninfo, "news", &l, &e), "%s", e.msg);
    cr_assert(db_listener_wait(l, WAIT_MS), "the first connection counts as a notification");
    return l;
}

Test(listener, hears_a_notification_and_nothing_else)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_db_listener struct db_listener *l = listen_to(pg_conninfo_of(d));

    cr_assert_not(db_listener_wait(l, 20));
    pg_exec(pg_conninfo_of(d), "NOTIFY other");
    cr_assert_not(db_listener_wait(l, 20));
    pg_exec(pg_conninfo_of(d), "NOTIFY news");
    cr_assert(db_listener_wait(l, WAIT_MS));
    cr_assert_not(db_listener_wait(l, 20));
}

static void *wake(void *arg)
{
    db_listener_wake(arg);
    return NULL;
}

Test(listener, is_woken_by_another_thread)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_db_listener struct db_listener *l = listen_to(pg_conninfo_of(d));
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, wake, l), 0);
    cr_assert(db_listener_wait(l, WAIT_MS));
    pthread_join(thread, NULL);
}

Test(listener, reports_a_reconnect_and_hears_again)
{
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){.fsync = false});
    auto_db_listener struct db_listener *l = listen_to(pg_conninfo(pg));

    pg_kill(pg);
    cr_assert_not(db_listener_wait(l, 100));
    pg_restart(pg);
    cr_assert(db_listener_wait(l, WAIT_MS), "something may have been missed");
    pg_exec(pg_conninfo(pg), "NOTIFY news");
    cr_assert(db_listener_wait(l, WAIT_MS));
}

/* Several hosts, of which one takes writes at a time. */

struct hosts {
    struct pg *first, *second;
    char conninfo[200];
};

struct mode {
    const struct pg *pg;
    const char *read_only;
};

static bool is_in_mode(void *arg)
{
    const struct mode *m = arg;
    auto_free char *found = pg_text(pg_conninfo(m->pg), "SHOW default_transaction_read_only");

    return strcmp(found, m->read_only) == 0;
}

/* For whoever connects from now on; sessions that are there meet it in their own time. */
static void become_read_only(const struct pg *pg, bool read_only)
{
    struct mode m = {pg, read_only ? "on" : "off"};

    pg_exec(pg_conninfo(pg), "ALTER SYSTEM SET default_transaction_read_only = %s", m.read_only);
    pg_exec(pg_conninfo(pg), "SELECT pg_reload_conf()");
    cr_assert(harness_await(is_in_mode, &m, WAIT_MS));
}

/* The second is like a standby: it answers, and takes no writes. */
static struct hosts hosts_start(void)
{
    struct hosts h = {.first = pg_start(&(struct pg_options){.fsync = false}),
                      .second = pg_start(&(struct pg_options){.fsync = false})};

    pg_exec(pg_conninfo(h.first), "CREATE TABLE t (n int)");
    pg_exec(pg_conninfo(h.second), "CREATE TABLE t (n int)");
    become_read_only(h.second, true);
    snprintf(h.conninfo, sizeof(h.conninfo),
             "host=127.0.0.1,127.0.0.1 port=%" PRId64 ",%" PRId64
             " user=volumecap dbname=volumecap",
             pg_port(h.first), pg_port(h.second));
    return h;
}

static void hosts_done(struct hosts *h)
{
    pg_free(h->first);
    pg_free(h->second);
}
#define auto_hosts __attribute__((cleanup(hosts_done)))

/* The port of who answers; the statement writes. */
static int64_t port_of_writer(struct db *db)
{
    auto_rows struct db_rows *rows = ask(db,
                                         "WITH w AS (INSERT INTO t VALUES (1))"
                                         " SELECT current_setting('port')::bigint",
                                         DB_NO_ARGS);

    return db_get_i64(rows, 0, 0);
}

struct expected_writer {
    struct db *db;
    int64_t port;
};

/* No write may fail on the way. */
static bool is_writer(void *arg)
{
    const struct expected_writer *w = arg;

    return port_of_writer(w->db) == w->port;
}

Test(hosts, the_one_that_takes_writes_is_found_wherever_it_stands)
{
    auto_hosts struct hosts h = hosts_start();
    auto_db struct db *db = open_db(h.conninfo, 1, WAIT_MS, NULL);

    cr_assert_eq(port_of_writer(db), pg_port(h.first));
    become_read_only(h.second, false);
    become_read_only(h.first, true);
    struct expected_writer w = {.db = db, .port = pg_port(h.second)};
    cr_assert(harness_await(is_writer, &w, WAIT_MS));
}

/* All twelve are connections to the dead one. */
Test(hosts, when_one_is_killed_the_next_statement_is_answered_by_the_other)
{
    auto_hosts struct hosts h = hosts_start();
    auto_db struct db *db = open_db(h.conninfo, 12, WAIT_MS, NULL);

    open_connections(db, 12);
    become_read_only(h.second, false);
    pg_kill(h.first);
    cr_assert_eq(port_of_writer(db), pg_port(h.second));
}

/* Connections are taken, and nothing is ever answered: the limit is for each host. */
Test(hosts, one_that_is_frozen_is_passed_over_in_bounds)
{
    auto_hosts struct hosts h = hosts_start();

    become_read_only(h.second, false);
    pg_freeze(h.first);
    auto_db struct db *db = open_db(h.conninfo, 1, WAIT_MS, NULL);
    int64_t start_ms = clk_now_ms();
    cr_expect_eq(port_of_writer(db), pg_port(h.second));
    cr_expect(promise_kept("a frozen host to the other's answer", clk_now_ms() - start_ms, 4000));
    pg_thaw(h.first);
}

Test(hosts, with_none_that_takes_writes_the_database_is_unavailable)
{
    auto_hosts struct hosts h = hosts_start();
    auto_db struct db *db = open_db(h.conninfo, 1, WAIT_MS, NULL);
    struct err e = {0};

    pg_kill(h.first);
    cr_assert(fails(db, "INSERT INTO t VALUES (1)", &e));
    cr_assert_eq(e.kind, ERR_UNAVAILABLE, "%s", e.msg);
    cr_assert_not(db_ping(db, &e));
}

static bool becomes_not_ready(void *arg)
{
    struct err e = {0};

    return !db_ping(arg, &e);
}

/* Reading goes on working there, and shows what was. */
Test(hosts, a_server_that_has_become_read_only_is_left_by_those_who_only_read)
{
    auto_hosts struct hosts h = hosts_start();
    auto_db struct db *db = open_db(pg_conninfo(h.first), 1, WAIT_MS, NULL);
    struct err e = {0};

    cr_assert(db_ping(db, &e), "%s", e.msg);
    become_read_only(h.first, true);
    cr_assert(harness_await(becomes_not_ready, db, WAIT_MS));
    become_read_only(h.first, false);
    cr_assert(harness_await(ping_ok, db, WAIT_MS));
}

static bool insert_tx(struct db_conn *c, void *arg, struct err *e)
{
    (void)arg;
    return db_query(c, "INSERT INTO t VALUES (1)", DB_NO_ARGS, NULL, e);
}

/* A machine that halts lets any of its answers come too late. */
static bool session_opens(void *arg)
{
    struct err e = {0};

    return db_session_open(arg, "SELECT 1", &e);
}

static bool session_has_ended(void *arg)
{
    struct db_session *s = arg;
    struct err e = {0};

    return !db_session_tx(s, insert_tx, NULL, &e) && !db_session_is_open(s);
}

Test(hosts, a_session_ends_with_the_server_s_writing)
{
    auto_hosts struct hosts h = hosts_start();
    auto_db_session struct db_session *s = NULL;
    struct err e = {0};

    cr_assert(db_session_new(h.conninfo, WAIT_MS, &s, &e), "%s", e.msg);
    cr_assert(harness_await(session_opens, s, WAIT_MS));
    become_read_only(h.second, false);
    become_read_only(h.first, true);
    cr_assert(harness_await(session_has_ended, s, WAIT_MS));
    cr_assert(harness_await(session_opens, s, WAIT_MS));
    cr_assert(db_session_tx(s, insert_tx, NULL, &e), "%s", e.msg);
    cr_assert(pg_i64(pg_conninfo(h.second), "SELECT count(*) FROM t") > 0);
}

static bool slowly(struct db_conn *c, void *arg, struct err *e)
{
    (void)arg;
    for (int i = 0; i < 5; i++)
        if (!db_query(c, "SELECT pg_sleep(0.5)", DB_NO_ARGS, NULL, e))
            return false;
    return true;
}

/* Each of its statements is answered in time. */
Test(session, a_transaction_that_is_too_slow_as_a_whole_ends_the_session)
{
    auto_pg_db struct pg_db *d = pg_fresh_db();
    auto_db_session struct db_session *s = NULL;
    struct err e = {0};

    cr_assert(db_session_new(pg_conninfo_of(d), 2000, &s, &e), "%s", e.msg);
    cr_assert(harness_await(session_opens, s, WAIT_MS));
    cr_expect_not(db_session_tx(s, slowly, NULL, &e));
    cr_assert_not(db_session_is_open(s));
    cr_assert(harness_await(session_opens, s, WAIT_MS));
}

static bool hears(struct db_listener *l, const struct pg *pg)
{
    cr_assert(db_listener_wait(l, WAIT_MS), "a reconnect counts as a notification");
    pg_exec(pg_conninfo(pg), "NOTIFY news");
    return db_listener_wait(l, WAIT_MS);
}

Test(hosts, a_listener_follows_when_its_server_is_killed)
{
    auto_hosts struct hosts h = hosts_start();
    auto_db_listener struct db_listener *l = listen_to(h.conninfo);

    become_read_only(h.second, false);
    pg_kill(h.first);
    cr_assert(hears(l, h.second));
}

/* Nothing breaks, and nothing will ever be heard there again. */
Test(hosts, a_listener_follows_when_its_server_becomes_read_only)
{
    auto_hosts struct hosts h = hosts_start();
    auto_db_listener struct db_listener *l = listen_to(h.conninfo);

    become_read_only(h.second, false);
    become_read_only(h.first, true);
    cr_assert(hears(l, h.second));
}

Test(hosts, a_listener_follows_when_its_server_is_frozen)
{
    auto_hosts struct hosts h = hosts_start();
    auto_db_listener struct db_listener *l = listen_to(h.conninfo);

    become_read_only(h.second, false);
    pg_freeze(h.first);
    bool heard = hears(l, h.second);
    pg_thaw(h.first);
    cr_assert(heard);
}

/* What is committed here and not yet there. */

/* 1 if the row can be seen, which it must not before the standby has it. */
static int64_t rows_of(const struct pg *pg)
{
    return pg_i64(pg_conninfo(pg), "SELECT count(*) FROM t");
}

static bool has_row(void *arg)
{
    return rows_of(arg) == 1;
}

/*
 * A wait that is cancelled ends with a warning, and COMMIT is answered as if it
 * were done, which a failover could undo: no limit of ours may do that.
 */
Test(sync, a_commit_that_no_standby_has_is_an_unknown_outcome_whatever_the_limits)
{
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){.fsync = false});
    auto_db_session struct db_session *s = NULL;
    char conninfo[300];
    struct err e = {0};

    pg_exec(pg_conninfo(pg), "CREATE TABLE t (n int)");
    pg_wait_for_standby(pg, "nobody");
    /* Time enough for all statements before COMMIT, and for COMMIT more than the limit. */
    snprintf(conninfo, sizeof(conninfo), "%s options='-c statement_timeout=2000'", pg_conninfo(pg));
    cr_assert(db_session_new(conninfo, 7000, &s, &e), "%s", e.msg);
    cr_assert(harness_await(session_opens, s, WAIT_MS));
    cr_expect_not(db_session_tx(s, insert_tx, NULL, &e));
    cr_expect_eq(e.kind, ERR_TIMEOUT, "%s", e.msg);
    cr_expect_eq(rows_of(pg), 0, "nobody may act on what may be undone");

    pg_wait_for_standby(pg, "");
    cr_expect(harness_await(has_row, pg, WAIT_MS));
}

struct committing {
    struct db *db;
    bool done;
    struct err e;
};

static void *commit_a_row(void *arg)
{
    struct committing *c = arg;

    c->done = db_tx(c->db, insert_tx, NULL, &c->e);
    return NULL;
}

static bool cancels_a_commit(void *arg)
{
    return pg_i64(arg, "SELECT count(*) FROM (SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                       " WHERE wait_event = 'SyncRep' AND query = 'COMMIT') c") == 1;
}

Test(sync, a_commit_whose_wait_for_a_standby_is_cancelled_is_an_unknown_outcome)
{
    auto_pg_cluster struct pg *pg = pg_start(&(struct pg_options){.fsync = false});
    auto_db struct db *db = open_db(pg_conninfo(pg), 1, 1000, NULL);
    struct committing c = {.db = db};
    char conninfo[300];
    pthread_t thread;

    pg_exec(pg_conninfo(pg), "CREATE TABLE t (n int)");
    pg_wait_for_standby(pg, "nobody");
    snprintf(conninfo, sizeof(conninfo), "%s", pg_conninfo(pg));
    cr_assert(pthread_create(&thread, NULL, commit_a_row, &c) == 0);
    bool cancelled = harness_await(cancels_a_commit, conninfo, WAIT_MS);
    cr_assert(pthread_join(thread, NULL) == 0);
    cr_assert(cancelled);
    cr_expect_not(c.done);
    cr_expect_eq(c.e.kind, ERR_TIMEOUT, "%s", c.e.msg);
    cr_expect_eq(rows_of(pg), 1, "it is committed here, and nowhere else");

    pg_wait_for_standby(pg, "");
    struct err e = {0};
    cr_expect(db_tx(db, insert_tx, NULL, &e), "%s: the next one has nothing to do with it", e.msg);
}
