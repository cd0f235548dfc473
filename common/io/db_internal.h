#pragma once

/*
 * db_internal: what the files of db share and nobody else includes.
 *
 *   db.c           transactions, statements
 *   db_pool.c      which thread has which connection
 *   db_conn.c      one connection: prepare, execute, wait, tell what went wrong
 *   db_settings.c  how to connect
 *   db_params.c    parameters as PostgreSQL's text
 *   db_rows.c      results
 *   db_listen.c    notifications
 *   db_session.c   a session that is held on to
 */

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/io/db.h"

/* The server ends a statement after 5 s; whoever has not answered by now is frozen or cut off. */
#define DB_ANSWER_MS 8000
/* Scripts set their own limits on the server. */
#define DB_SCRIPT_MS 600000

/* How to connect: the conninfo and the limits that it leaves out. */
struct db_settings;
MUST_CHECK bool db_settings_new(const char *conninfo, struct db_settings **ret, struct err *e);
struct db_settings *db_settings_free(struct db_settings *s);
CLEANUP_DEFINE(db_settings, struct db_settings, db_settings_free)
#define auto_db_settings CLEANUP(db_settings)

/* A connection that is ready for statements, or ERR_UNAVAILABLE. */
MUST_CHECK bool db_settings_connect(const struct db_settings *s, PGconn **ret, struct err *e);

/* Writes what the server remarks to the log; a PQnoticeProcessor. */
void db_notice(void *arg, const char *message);

/* Sets ERR_UNAVAILABLE with libpq's last message on one line; false. */
bool db_unavailable(PGconn *pg, struct err *e);

/* What a failed statement means for the transaction around it. */
enum db_trouble {
    DB_TROUBLE_NONE,
    DB_TROUBLE_AGAIN, /* rolled back by no fault of its own; the same again may work */
    DB_TROUBLE_LOST,  /* the same again, on another connection */
};

#define DB_PARAMS_MAX 21
#define DB_STATEMENTS_MAX 512 /* a power of two */

struct db_statement {
    const char *sql; /* the key, with `types`; NULL: empty */
    char *text;      /* a copy, to catch SQL that is not a literal */
    uint64_t types;
};

struct db_conn {
    PGconn *pg;
    int64_t generation; /* the pool's, at the time of connecting */
    int64_t until_ms;   /* no answer is waited for beyond that, by clk_now_ms() */
    enum db_trouble trouble;
    bool was_warned; /* by the server, with an answer since it was last set to false */
    size_t statements_count;
    struct db_statement statements[DB_STATEMENTS_MAX];
};

MUST_CHECK bool db_conn_new(const struct db_settings *s, struct db_conn **ret, struct err *e);
struct db_conn *db_conn_free(struct db_conn *c);
CLEANUP_DEFINE(db_conn, struct db_conn, db_conn_free)
#define auto_db_conn CLEANUP(db_conn)

/*
 * Connected to a server that takes writes, outside any transaction, nothing
 * under way: another thread may have it.
 */
bool db_conn_is_of_use(const struct db_conn *c);

MUST_CHECK bool db_conn_query(struct db_conn *c, const char *sql, const struct db_param *params,
                              size_t count, PGresult **ret, struct err *e);
MUST_CHECK bool db_conn_script(struct db_conn *c, const char *sql, int64_t timeout_ms,
                               PGresult **ret, struct err *e);

/* Parameters as libpq wants them; `values` point into the struct and into the parameters. */
struct db_params {
    const char *values[DB_PARAMS_MAX];
    Oid oids[DB_PARAMS_MAX];
    uint64_t types; /* the types as one number */
    char numbers[DB_PARAMS_MAX][24];
    struct buf arrays[DB_PARAMS_MAX];
};

MUST_CHECK bool db_params_init(struct db_params *p, const struct db_param *params, size_t count,
                               struct err *e);
void db_params_done(struct db_params *p);

struct db_rows *db_rows_new(PGresult *result); /* takes it */

/* The pool. */
enum db_outcome {
    DB_COMMITTED,
    DB_ROLLED_BACK,
    DB_RETRIED,
    DB_UNKNOWN,     /* the answer to COMMIT was lost, or a failover may undo it */
    DB_UNAVAILABLE, /* no connection */
    DB_OUTCOMES,
};

/* One transaction on this connection, one try. */
MUST_CHECK enum db_outcome db_run(struct db_conn *c, db_tx_fn *fn, void *arg, struct err *e);

MUST_CHECK bool db_acquire(struct db *db, struct db_conn **ret, struct err *e);
void db_release(struct db *db, struct db_conn *c);
void db_count_outcome(struct db *db, enum db_outcome outcome);
int64_t db_jitter(struct db *db, int64_t below); /* uniform in [0, below) */

static inline PGresult *db_result_free(PGresult *r)
{
    PQclear(r);
    return NULL;
}
CLEANUP_DEFINE(result, PGresult, db_result_free)
#define auto_result CLEANUP(result)

static inline PGconn *db_pg_free(PGconn *pg)
{
    PQfinish(pg);
    return NULL;
}
CLEANUP_DEFINE(pg, PGconn, db_pg_free)
#define auto_pg CLEANUP(pg)
