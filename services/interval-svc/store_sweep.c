#include "services/interval-svc/store.h"

#include "common/io/leader.h"

const char *const interval_cap_state_names[] = {
#define X(state, name) name,
    INTERVAL_CAP_STATES(X)
#undef X
};

static bool count_tx(struct db_conn *c, void *arg, struct err *e)
{
    int64_t *counts = arg;
    auto_rows struct db_rows *rows = NULL;

    /* In the order of INTERVAL_CAP_STATES. */
    if (!db_query(c,
                  "SELECT count(*) FILTER (WHERE NOT deleted AND starts_at > now),"
                  "       count(*) FILTER (WHERE NOT deleted AND starts_at <= now"
                  "                          AND ends_at > now AND NOT paused),"
                  "       count(*) FILTER (WHERE NOT deleted AND starts_at <= now"
                  "                          AND ends_at > now AND paused),"
                  "       count(*) FILTER (WHERE NOT deleted AND ends_at <= now),"
                  "       count(*) FILTER (WHERE deleted)"
                  "  FROM interval.definition, calendar.now() AS now",
                  DB_NO_ARGS, &rows, e))
        return false;
    for (int i = 0; i < INTERVAL_CAP_STATES_COUNT; i++)
        counts[i] = db_get_i64(rows, 0, i);
    return true;
}

bool interval_store_count(struct db *db, int64_t ret[INTERVAL_CAP_STATES_COUNT], struct err *e)
{
    return db_tx(db, count_tx, ret, e);
}

struct sweep_tx {
    int64_t epoch;
    int64_t retention_ms;
    bool more;
};

static bool sweep_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct sweep_tx *tx = arg;
    auto_rows struct db_rows *closed = NULL;
    auto_rows struct db_rows *purged = NULL;

    if (!leader_fence(c, INTERVAL_ROLE, tx->epoch, e) ||
        !db_query(c,
                  "WITH over AS MATERIALIZED ("
                  "  SELECT cap, starts_at FROM interval.interval"
                  "   WHERE state = 'closing' AND ends_at <= (SELECT calendar.now())"
                  "   ORDER BY ends_at LIMIT $1 FOR UPDATE SKIP LOCKED)"
                  " UPDATE interval.interval AS w SET state = 'closed'"
                  "   FROM over WHERE w.cap = over.cap AND w.starts_at = over.starts_at",
                  DB_ARGS(db_i64(INTERVAL_SWEEP_MAX)), &closed, e) ||
        !db_query(c,
                  "WITH old AS MATERIALIZED ("
                  "  SELECT cap, starts_at FROM interval.interval"
                  "   WHERE state = 'closed' AND ends_at <= (SELECT calendar.now())"
                  "                                         - $2 * interval '1 millisecond'"
                  "   ORDER BY ends_at LIMIT $1 FOR UPDATE SKIP LOCKED)"
                  " DELETE FROM interval.interval AS w USING old"
                  "  WHERE w.cap = old.cap AND w.starts_at = old.starts_at",
                  DB_ARGS(db_i64(INTERVAL_SWEEP_MAX), db_i64(tx->retention_ms)), &purged, e))
        return false;
    tx->more =
        db_affected(closed) == INTERVAL_SWEEP_MAX || db_affected(purged) == INTERVAL_SWEEP_MAX;
    return true;
}

bool interval_store_sweep(struct db *db, int64_t epoch, int64_t retention_ms, bool *ret_more,
                          struct err *e)
{
    struct sweep_tx tx = {.epoch = epoch, .retention_ms = retention_ms};

    if (!db_tx(db, sweep_tx, &tx, e))
        return false;
    *ret_more = tx.more;
    return true;
}
