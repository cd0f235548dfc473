#pragma once

/*
 * db: PostgreSQL through libpq: a pool of connections, transactions, typed
 * parameters and rows.
 *
 * The conninfo may name several hosts, of which one takes writes at a time.
 * Whatever connects, connects to that one, and to the next one after a
 * failover.  With synchronous replication, what was committed is there.
 *
 * A connection belongs to one thread from the start of a transaction to its
 * end.  Statements are prepared once per connection, by the address of their
 * text: SQL must be a string literal.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/config.h"
#include "common/base/err.h"
#include "common/base/metric.h"

struct db;
struct db_conn;
struct db_rows;

/* What an operator sets. */
struct db_pool_settings {
    const char *conninfo;
    int64_t conns_max;
    int64_t acquire_timeout_ms; /* then ERR_UNAVAILABLE */
};

/* Their rows: DB_POOL_ROWS("LOCAL_", struct local_config, db, 3), of which 3 is the least
 * number of connections. */
/* clang-format off */
#define DB_POOL_ROWS(prefix, type, member, conns_min)                                              \
    CONFIG_SECRET(prefix "DB", type, member.conninfo,                                              \
                  NULL, "libpq conninfo of the data centre's database"),                           \
    CONFIG_INT(prefix "DB_CONNS_MAX", type, member.conns_max,                                      \
               "8", conns_min, 256, "database connections at most, besides those that listen"),    \
    CONFIG_INT(prefix "DB_ACQUIRE_TIMEOUT_MS", type, member.acquire_timeout_ms,                    \
               "500", 1, 60000, "wait for a database connection, then 503, ms")
/* clang-format on */

/* `metrics` may be NULL.  Does not connect: that happens on first use. */
MUST_CHECK bool db_open(const struct db_pool_settings *settings, struct metrics *metrics,
                        struct db **ret, struct err *e);
struct db *db_close(struct db *db);
CLEANUP_DEFINE(db, struct db, db_close)
#define auto_db CLEANUP(db)

/* The body of a transaction; false rolls back.  It may run again: no side effects but SQL. */
typedef bool db_tx_fn(struct db_conn *c, void *arg, struct err *e);

/*
 * Runs `fn` in a READ COMMITTED transaction and commits.  Serialization
 * failures, deadlocks and connections lost before COMMIT are tried again, a
 * few times, with jitter.  No connection in time or database away:
 * ERR_UNAVAILABLE.  COMMIT's answer lost: ERR_TIMEOUT, it may have happened.
 */
MUST_CHECK bool db_tx(struct db *db, db_tx_fn *fn, void *arg, struct err *e);

struct db_param {
    enum db_type {
        DB_NULL,
        DB_I64,
        DB_TEXT,
        DB_BOOL,
        DB_I64S,  /* bigint[] */
        DB_TEXTS, /* text[] */
        DB_BOOLS, /* boolean[] */
    } type;
    int64_t number;
    const char *text;
    const int64_t *numbers;
    const char *const *texts;
    const bool *bools;
    size_t count;
};

static inline struct db_param db_i64(int64_t v)
{
    return (struct db_param){.type = DB_I64, .number = v};
}
/* NULL is a NULL of type text. */
static inline struct db_param db_text(const char *v)
{
    return (struct db_param){.type = DB_TEXT, .text = v};
}
static inline struct db_param db_bool(bool v)
{
    return (struct db_param){.type = DB_BOOL, .number = v};
}
/* A NULL whose type the statement must make clear. */
static inline struct db_param db_null(void)
{
    return (struct db_param){.type = DB_NULL};
}
static inline struct db_param db_i64s(const int64_t *v, size_t count)
{
    return (struct db_param){.type = DB_I64S, .numbers = v, .count = count};
}
static inline struct db_param db_texts(const char *const *v, size_t count)
{
    return (struct db_param){.type = DB_TEXTS, .texts = v, .count = count};
}
static inline struct db_param db_bools(const bool *v, size_t count)
{
    return (struct db_param){.type = DB_BOOLS, .bools = v, .count = count};
}

/* DB_ARGS(db_i64(1), db_text("a")) or DB_NO_ARGS */
#define DB_ARGS(...)                                                                               \
    (const struct db_param[]){__VA_ARGS__},                                                        \
        sizeof((const struct db_param[]){__VA_ARGS__}) / sizeof(struct db_param)
#define DB_NO_ARGS NULL, 0

/*
 * One statement with parameters $1, $2 ...  `ret` NULL: rows are not wanted.
 * Errors: 23505 unique and other constraint violations are ERR_CONFLICT with
 * the constraint's name in the message; the rest ERR_UNAVAILABLE (connection)
 * or ERR_INTERNAL.
 */
MUST_CHECK bool db_query(struct db_conn *c, const char *sql, const struct db_param *params,
                         size_t count, struct db_rows **ret, struct err *e);

/* Several statements as one text, without parameters: migrations, tests. */
MUST_CHECK bool db_script(struct db_conn *c, const char *sql, struct err *e);

struct db_rows *db_rows_free(struct db_rows *rows);
CLEANUP_DEFINE(rows, struct db_rows, db_rows_free)
#define auto_rows CLEANUP(rows)

int db_count(const struct db_rows *rows);
int64_t db_affected(const struct db_rows *rows);
bool db_is_null(const struct db_rows *rows, int row, int column);
int64_t db_get_i64(const struct db_rows *rows, int row, int column); /* CHECKs the form */
bool db_get_bool(const struct db_rows *rows, int row, int column);
const char *db_get_text(const struct db_rows *rows, int row, int column); /* borrowed */

/* Is the database there, and does it take writes?  A short query, bounded. */
MUST_CHECK bool db_ping(struct db *db, struct err *e);

/* The same for /readyz?verbose: appends a line "database: ok", or why not. */
bool db_is_ready(struct db *db, struct buf *out);

/*
 * One connection for what lives and dies with its session: advisory locks.
 * It belongs to one thread and never reconnects by itself.  Each call waits
 * `answer_ms` for the database at most, with all its statements; whatever fails
 * for another reason than the SQL ends the session (db_session_is_open() is
 * false then).
 */
struct db_session;

/* Does not connect: only a conninfo that is no good fails. */
MUST_CHECK bool db_session_new(const char *conninfo, int64_t answer_ms, struct db_session **ret,
                               struct err *e);

/*
 * Connects and runs `setup` (SETs, which win over the conninfo's options).
 * ERR_INTERNAL if a pooler is in between: what asks is not what answers, and a
 * session's lock would be anybody's.
 */
MUST_CHECK bool db_session_open(struct db_session *s, const char *setup, struct err *e);
void db_session_close(struct db_session *s);
bool db_session_is_open(const struct db_session *s);

/* Once: no second try, since the session may not be the same.  Errors as of db_tx(). */
MUST_CHECK bool db_session_tx(struct db_session *s, db_tx_fn *fn, void *arg, struct err *e);

/* Sleeps until the time, a wake, or the end of the session, which is seen at once. */
void db_session_wait(struct db_session *s, int64_t timeout_ms);
void db_session_wake(struct db_session *s); /* from any thread */

struct db_session *db_session_free(struct db_session *s);
CLEANUP_DEFINE(db_session, struct db_session, db_session_free)
#define auto_db_session CLEANUP(db_session)

/*
 * A connection of its own that waits for NOTIFY on one channel; one thread.
 * Reconnects by itself; a reconnect counts as a notification, since some may
 * have been missed.  A server that is frozen, or no longer the primary, is left
 * within 7 s.
 */
struct db_listener;
MUST_CHECK bool db_listen(const char *conninfo, const char *channel, struct db_listener **ret,
                          struct err *e);
struct db_listener *db_listener_free(struct db_listener *l);
CLEANUP_DEFINE(db_listener, struct db_listener, db_listener_free)
#define auto_db_listener CLEANUP(db_listener)
bool db_listener_wait(struct db_listener *l, int64_t timeout_ms); /* true: something happened */
void db_listener_wake(struct db_listener *l);                     /* from another thread */
