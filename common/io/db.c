#include "common/io/db_internal.h"

#include <string.h>
#include <time.h>

#include "common/base/check.h"
#include "common/base/clk.h"

#define TRIES_MAX 6
#define TRIES_WITHIN_MS 3000
#define PAUSE_FIRST_MS 4 /* doubles with every try */

bool db_query(struct db_conn *c, const char *sql, const struct db_param *params, size_t count,
              struct db_rows **ret, struct err *e)
{
    auto_result PGresult *result = NULL;

    if (!db_conn_query(c, sql, params, count, &result, e))
        return false;
    if (!ret)
        return true;
    *ret = db_rows_new(TAKE(result));
    return *ret || err_set(e, ERR_INTERNAL, "out of memory");
}

bool db_script(struct db_conn *c, const char *sql, struct err *e)
{
    return db_conn_script(c, sql, DB_SCRIPT_MS, NULL, e);
}

/* COMMIT of a transaction that has failed answers ROLLBACK: only the tag tells. */
static bool command(struct db_conn *c, const char *sql, const char *tag, struct err *e)
{
    auto_result PGresult *result = NULL;

    if (!db_conn_script(c, sql, DB_ANSWER_MS, &result, e))
        return false;
    if (strcmp(PQcmdStatus(result), tag) != 0)
        return err_set(e, ERR_INTERNAL, "a statement failed and the transaction went on");
    return true;
}

/* Why the transaction failed is known already; a connection that cannot roll back is dropped. */
static void rollback(struct db_conn *c)
{
    struct err ignored = {0};

    if (c->trouble != DB_TROUBLE_LOST && !command(c, "ROLLBACK", "ROLLBACK", &ignored))
        c->trouble = DB_TROUBLE_LOST;
}

static enum db_outcome outcome_of_failure(const struct db_conn *c)
{
    return c->trouble == DB_TROUBLE_NONE ? DB_ROLLED_BACK : DB_RETRIED;
}

/*
 * With synchronous replication the answer comes when a standby has it, or not
 * at all: neither our limits nor the server's end that wait with a success.
 * One that somebody cancels does, and only a warning tells that no standby may
 * have it, so that a failover undoes it.
 */
static enum db_outcome commit(struct db_conn *c, struct err *e)
{
    c->was_warned = false;
    const bool done = command(c, "COMMIT", "COMMIT", e);
    if (done && !c->was_warned)
        return DB_COMMITTED;
    if (!done && c->trouble != DB_TROUBLE_LOST)
        return outcome_of_failure(c);
    err_set_(e, ERR_TIMEOUT, "%s",
             done ? "COMMIT came with a warning: a standby may not have it"
                  : "the answer to COMMIT was lost");
    return DB_UNKNOWN;
}

enum db_outcome db_run(struct db_conn *c, db_tx_fn *fn, void *arg, struct err *e)
{
    if (command(c, "BEGIN ISOLATION LEVEL READ COMMITTED", "BEGIN", e) && fn(c, arg, e))
        return commit(c, e);
    enum db_outcome outcome = outcome_of_failure(c);
    rollback(c);
    return outcome;
}

static enum db_outcome try_tx(struct db *db, db_tx_fn *fn, void *arg, struct err *e)
{
    struct db_conn *c = NULL;

    if (!db_acquire(db, &c, e))
        return DB_UNAVAILABLE;
    enum db_outcome outcome = db_run(c, fn, arg, e);
    db_release(db, c);
    return outcome;
}

/* Rivals that met once would meet again, if they did not wait differently long. */
static void pause_after(struct db *db, int tries)
{
    int64_t us = db_jitter(db, INT64_C(1000) * PAUSE_FIRST_MS << tries);
    struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

    nanosleep(&t, NULL);
}

bool db_tx(struct db *db, db_tx_fn *fn, void *arg, struct err *e)
{
    int64_t deadline_ms = clk_now_ms() + TRIES_WITHIN_MS;

    for (int tries = 1;; tries++) {
        enum db_outcome outcome = try_tx(db, fn, arg, e);

        db_count_outcome(db, outcome);
        if (outcome != DB_RETRIED)
            return outcome == DB_COMMITTED;
        if (tries == TRIES_MAX || clk_now_ms() >= deadline_ms)
            return false;
        pause_after(db, tries);
    }
}

bool db_ping(struct db *db, struct err *e)
{
    struct db_conn *c = NULL;

    if (!db_acquire(db, &c, e))
        return false;
    bool ok = db_conn_query(c, "SELECT 1", DB_NO_ARGS, NULL, e) &&
              (db_conn_is_of_use(c) || err_set(e, ERR_UNAVAILABLE, "database: it is read-only"));
    db_release(db, c);
    return ok;
}

bool db_is_ready(struct db *db, struct buf *out)
{
    struct err e;
    bool ok = db_ping(db, &e);

    buf_printf(out, "database: %s\n", ok ? "ok" : e.msg);
    return ok;
}
