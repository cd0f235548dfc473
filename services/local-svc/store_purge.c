#include "services/local-svc/store_time.h"

#include "services/local-svc/store_rows.h"

struct purge_tx {
    int64_t retention_ms, silent_ms;
    int64_t purged;
};

/* What somebody else has locked is in use: it is purged another time. */
static bool purge_pools(struct db_conn *c, int64_t retention_ms, int64_t *ret, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "WITH old AS MATERIALIZED ("
                  "     SELECT cap, starts_at FROM local.pool"
                  "      WHERE state = 'closed'"
                  "        AND ends_at < (SELECT calendar.now()) - $1 * interval '1 millisecond'"
                  "      ORDER BY ends_at LIMIT $2 FOR UPDATE SKIP LOCKED)"
                  "DELETE FROM local.pool p USING old"
                  " WHERE p.cap = old.cap AND p.starts_at = old.starts_at",
                  DB_ARGS(db_i64(retention_ms), db_i64(PURGE_POOLS_MAX)), &rows, e))
        return false;
    *ret = db_affected(rows);
    return true;
}

/* Names are free text: whoever makes up new ones must not fill the table for days. */
static bool purge_servers(struct db_conn *c, int64_t silent_ms, struct err *e)
{
    return db_query(c,
                    "WITH gone AS MATERIALIZED ("
                    "     SELECT name, incarnation FROM local.server v"
                    "      WHERE silence = 2 AND NOT (SELECT in_doubt FROM local.dc)"
                    "        AND seen_at < clock_timestamp() - $1 * interval '1 millisecond'"
                    "        AND NOT EXISTS (SELECT FROM local.slice s WHERE s.server = v.name"
                    "                                      AND s.incarnation = v.incarnation)"
                    "      ORDER BY seen_at LIMIT $2 FOR UPDATE SKIP LOCKED)"
                    "DELETE FROM local.server v USING gone"
                    " WHERE v.name = gone.name AND v.incarnation = gone.incarnation",
                    DB_ARGS(db_i64(silent_ms), db_i64(PURGE_SERVERS_MAX)), NULL, e);
}

static bool purge_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct purge_tx *tx = arg;

    return purge_pools(c, tx->retention_ms, &tx->purged, e) && purge_servers(c, tx->silent_ms, e);
}

bool store_purge(struct db *db, int64_t retention_ms, int64_t silent_ms, int64_t *ret_purged,
                 struct err *e)
{
    struct purge_tx tx = {.retention_ms = retention_ms, .silent_ms = silent_ms};

    if (!store_tx(db, purge_tx, &tx, e))
        return err_while(e, "purging");
    *ret_purged = tx.purged;
    return true;
}
