#include "common/io/outbox_internal.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/num.h"
#include "common/io/outbox.h"

struct outbox_sql {
    const char *schema;
    const char *put;
    const char *end_leases;
    const char *lease;
    const char *delivered;
    const char *failed;
    const char *measure;
};

/* clang-format off */
/*
 * Statements are literals (see db.h): each schema has its own, made by the
 * preprocessor.  A relay waits for no lock: a row that is locked is either
 * another relay's, or about to be replaced, and then its turn comes again.
 */
#define OUTBOX_SQL(schema_)                                                                       \
    {                                                                                             \
        .schema = schema_,                                                                        \
        .put =                                                                                    \
            "INSERT INTO " schema_ ".outbox AS o (path, body, request_id)"                        \
            " VALUES ($1, $2, $3)"                                                                \
            " ON CONFLICT (path) DO UPDATE"                                                       \
            "   SET body = excluded.body, request_id = excluded.request_id,"                      \
            "       version = o.version + 1, attempts = 0, last_error = NULL,"                    \
            "       parked_at = NULL, due_at = excluded.due_at,"                                  \
            "       created_at = CASE WHEN o.parked_at IS NULL"                                   \
            "                         THEN o.created_at ELSE excluded.created_at END",            \
        .end_leases =                                                                             \
            "WITH taken AS MATERIALIZED ("                                                        \
            "  SELECT id FROM " schema_ ".outbox"                                                 \
            "   WHERE parked_at IS NULL AND due_at > statement_timestamp()"                       \
            "   ORDER BY id FOR UPDATE SKIP LOCKED)"                                              \
            " UPDATE " schema_ ".outbox AS o SET due_at = statement_timestamp()"                  \
            "   FROM taken WHERE o.id = taken.id",                                                \
        .lease =                                                                                  \
            "WITH due AS MATERIALIZED ("                                                          \
            "  SELECT id FROM " schema_ ".outbox"                                                 \
            "   WHERE parked_at IS NULL AND due_at <= statement_timestamp()"                      \
            "   ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED),"                                    \
            " leased AS ("                                                                        \
            "  UPDATE " schema_ ".outbox AS o"                                                    \
            "     SET due_at = clock_timestamp() + $2 * interval '1 ms'"                          \
            "    FROM due WHERE o.id = due.id"                                                    \
            "  RETURNING o.id, o.version, o.attempts, o.path, o.body, o.request_id)"              \
            " SELECT * FROM leased ORDER BY id",                                                  \
        .delivered =                                                                              \
            "WITH mine AS MATERIALIZED ("                                                         \
            "  SELECT o.id FROM " schema_ ".outbox AS o"                                          \
            "    JOIN unnest($1, $2) AS done (id, version) USING (id, version)"                   \
            "   ORDER BY o.id FOR UPDATE OF o)"                                                   \
            " DELETE FROM " schema_ ".outbox AS o USING mine WHERE o.id = mine.id",               \
        .failed =                                                                                 \
            "WITH mine AS MATERIALIZED ("                                                         \
            "  SELECT o.id, f.attempts, f.pause_ms, f.error, f.parked"                            \
            "    FROM " schema_ ".outbox AS o"                                                    \
            "    JOIN unnest($1, $2, $3, $4, $5, $6)"                                             \
            "         AS f (id, version, attempts, pause_ms, error, parked) USING (id, version)"  \
            "   ORDER BY o.id FOR UPDATE OF o)"                                                   \
            " UPDATE " schema_ ".outbox AS o"                                                     \
            "    SET attempts = mine.attempts, last_error = coalesce(mine.error, o.last_error),"  \
            "        due_at = clock_timestamp() + mine.pause_ms * interval '1 ms',"               \
            "        parked_at = CASE WHEN mine.parked THEN clock_timestamp() END"                \
            "   FROM mine WHERE o.id = mine.id",                                                  \
        .measure =                                                                                \
            "SELECT count(*),"                                                                    \
            "       coalesce(ceil(extract(epoch FROM"                                             \
            "         clock_timestamp() - min(created_at)) * 1000), 0)::bigint,"                  \
            "       CASE WHEN count(*) = 0 THEN -1 ELSE greatest(ceil(extract(epoch FROM"         \
            "         min(due_at) - clock_timestamp()) * 1000), 0) END::bigint"                   \
            "  FROM " schema_ ".outbox WHERE parked_at IS NULL",                                  \
    }
/* clang-format on */

static const struct outbox_sql schemas[] = {OUTBOX_SQL("meta"), OUTBOX_SQL("interval")};

const struct outbox_sql *outbox_sql_of(const char *schema)
{
    const struct outbox_sql *found = NULL;

    for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++) {
        if (strcmp(schemas[i].schema, schema) == 0)
            found = &schemas[i];
    }
    CHECK(found);
    return found;
}

bool outbox_put(struct db_conn *c, const char *schema, const char *path, const char *body,
                struct err *e)
{
    CHECK(path[0] == '/');
    return db_query(c, outbox_sql_of(schema)->put,
                    DB_ARGS(db_text(path), db_text(body), db_text(log_request_id())), NULL, e);
}

struct lease_tx {
    const struct outbox_sql *sql;
    const struct outbox_term *term;
    struct db_rows *rows;
};

/* A message that was put off after a failure is not told from a leased one: it is tried once more.
 */
static bool begin_term(struct db_conn *c, const struct lease_tx *tx, struct err *e)
{
    const struct outbox_term *t = tx->term;

    return leader_fence(c, t->role, t->epoch, e) &&
           (!t->begins || db_query(c, tx->sql->end_leases, DB_NO_ARGS, NULL, e));
}

static bool lease_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct lease_tx *tx = arg;

    tx->rows = db_rows_free(tx->rows); /* of an earlier try */
    if (tx->term->role && !begin_term(c, tx, e))
        return false;
    return db_query(c, tx->sql->lease, DB_ARGS(db_i64(OUTBOX_BATCH_MAX), db_i64(OUTBOX_LEASE_MS)),
                    &tx->rows, e);
}

static struct outbox_message message_of(const struct db_rows *rows, int row)
{
    return (struct outbox_message){
        .id = db_get_i64(rows, row, 0),
        .version = db_get_i64(rows, row, 1),
        .attempts = db_get_i64(rows, row, 2),
        .path = db_get_text(rows, row, 3),
        .body = db_get_text(rows, row, 4),
        .request_id = db_get_text(rows, row, 5),
    };
}

bool outbox_lease(struct db *db, const struct outbox_sql *sql, const struct outbox_term *term,
                  struct outbox_batch *ret, struct err *e)
{
    struct lease_tx tx = {.sql = sql, .term = term};

    if (!db_tx(db, lease_tx, &tx, e)) {
        db_rows_free(tx.rows);
        return false;
    }
    ret->rows = tx.rows;
    ret->count = (size_t)db_count(tx.rows);
    CHECK(ret->count <= OUTBOX_BATCH_MAX);
    for (size_t i = 0; i < ret->count; i++)
        ret->messages[i] = message_of(tx.rows, (int)i);
    return true;
}

void outbox_batch_done(struct outbox_batch *batch)
{
    batch->rows = db_rows_free(batch->rows);
    batch->count = 0;
}

/* The columns of a settlement. */
struct columns {
    size_t count;
    int64_t ids[OUTBOX_BATCH_MAX];
    int64_t versions[OUTBOX_BATCH_MAX];
    int64_t attempts[OUTBOX_BATCH_MAX];
    int64_t pauses_ms[OUTBOX_BATCH_MAX];
    const char *errors[OUTBOX_BATCH_MAX];
    bool parked[OUTBOX_BATCH_MAX];
};

struct settle_tx {
    const struct outbox_sql *sql;
    struct columns delivered;
    struct columns failed;
};

static void add(struct columns *c, const struct outbox_message *m)
{
    size_t i = c->count++;
    bool was_sent = m->verdict != OUTBOX_UNSENT;

    c->ids[i] = m->id;
    c->versions[i] = m->version;
    c->attempts[i] = m->attempts + was_sent;
    c->pauses_ms[i] = m->pause_ms;
    c->errors[i] = was_sent ? m->error : NULL;
    c->parked[i] = m->verdict == OUTBOX_PARKED;
}

static bool delete_delivered(struct db_conn *c, const struct settle_tx *tx, struct err *e)
{
    const struct columns *d = &tx->delivered;

    return d->count == 0 ||
           db_query(c, tx->sql->delivered,
                    DB_ARGS(db_i64s(d->ids, d->count), db_i64s(d->versions, d->count)), NULL, e);
}

static bool put_off_failed(struct db_conn *c, const struct settle_tx *tx, struct err *e)
{
    const struct columns *f = &tx->failed;

    return f->count == 0 ||
           db_query(c, tx->sql->failed,
                    DB_ARGS(db_i64s(f->ids, f->count), db_i64s(f->versions, f->count),
                            db_i64s(f->attempts, f->count), db_i64s(f->pauses_ms, f->count),
                            db_texts(f->errors, f->count), db_bools(f->parked, f->count)),
                    NULL, e);
}

static bool settle_tx(struct db_conn *c, void *arg, struct err *e)
{
    const struct settle_tx *tx = arg;

    return delete_delivered(c, tx, e) && put_off_failed(c, tx, e);
}

bool outbox_settle(struct db *db, const struct outbox_sql *sql, const struct outbox_batch *batch,
                   struct err *e)
{
    struct settle_tx tx = {.sql = sql};

    for (size_t i = 0; i < batch->count; i++) {
        const struct outbox_message *m = &batch->messages[i];
        add(m->verdict == OUTBOX_DELIVERED ? &tx.delivered : &tx.failed, m);
    }
    return db_tx(db, settle_tx, &tx, e);
}

struct measure_tx {
    const struct outbox_sql *sql;
    struct outbox_depth depth;
};

static bool measure_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct measure_tx *tx = arg;
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c, tx->sql->measure, DB_NO_ARGS, &rows, e))
        return false;
    tx->depth = (struct outbox_depth){
        .rows = db_get_i64(rows, 0, 0),
        .oldest_age_ms = db_get_i64(rows, 0, 1),
        .next_due_ms = db_get_i64(rows, 0, 2),
    };
    return true;
}

bool outbox_measure(struct db *db, const struct outbox_sql *sql, struct outbox_depth *ret,
                    struct err *e)
{
    struct measure_tx tx = {.sql = sql};

    if (!db_tx(db, measure_tx, &tx, e))
        return false;
    *ret = tx.depth;
    return true;
}
