#include "services/local-svc/store_counts.h"

#include "services/local-svc/store_rows.h"

struct counts_tx {
    int64_t suspect_ms, presume_ms;
    struct store_counts counts;
};

static bool count_pools(struct db_conn *c, struct store_counts *ret, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c, "SELECT state, count(*), sum(presumed)::bigint FROM local.pool GROUP BY state",
                  DB_NO_ARGS, &rows, e))
        return false;
    for (int row = 0; row < db_count(rows); row++) {
        ret->pools[store_state(db_get_text(rows, row, 0))] = db_get_i64(rows, row, 1);
        ret->presumed_units += db_get_i64(rows, row, 2);
    }
    return true;
}

/* Three states, and not all but one: so that the small indexes find what is not closed. */
static bool count_slices(struct db_conn *c, struct store_counts *ret, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "SELECT count(*), count(*) FILTER (WHERE s.frozen)"
                  "  FROM local.pool p"
                  "  JOIN local.slice s ON s.cap = p.cap AND s.starts_at = p.starts_at"
                  " WHERE p.state = 'planned' OR p.state = 'open' OR p.state = 'closing'",
                  DB_NO_ARGS, &rows, e))
        return false;
    ret->slices = db_get_i64(rows, 0, 0);
    ret->frozen = db_get_i64(rows, 0, 1);
    return true;
}

static bool count_servers(struct db_conn *c, struct counts_tx *tx, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "SELECT count(*) FILTER (WHERE silent_ms < $1),"
                  "       count(*) FILTER (WHERE silent_ms >= $1 AND silent_ms < $2),"
                  "       count(*) FILTER (WHERE silent_ms >= $2)"
                  "  FROM (SELECT extract(epoch FROM clock_timestamp() - seen_at) * 1000"
                  "          FROM local.server) AS s (silent_ms)",
                  DB_ARGS(db_i64(tx->suspect_ms), db_i64(tx->presume_ms)), &rows, e))
        return false;
    tx->counts.live = db_get_i64(rows, 0, 0);
    tx->counts.suspect = db_get_i64(rows, 0, 1);
    tx->counts.presumed_spent = db_get_i64(rows, 0, 2);
    return true;
}

static bool counts_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct counts_tx *tx = arg;

    tx->counts = (struct store_counts){0};
    return store_snapshot(c, e) && count_pools(c, &tx->counts, e) &&
           count_slices(c, &tx->counts, e) && count_servers(c, tx, e);
}

bool store_counts(struct db *db, int64_t suspect_ms, int64_t presume_ms, struct store_counts *ret,
                  struct err *e)
{
    struct counts_tx tx = {.suspect_ms = suspect_ms, .presume_ms = presume_ms};

    if (!store_tx(db, counts_tx, &tx, e))
        return err_while(e, "counting");
    *ret = tx.counts;
    return true;
}
