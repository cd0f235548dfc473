#include "services/interval-svc/store.h"

#include "common/io/leader.h"

struct put_tx {
    const struct interval_definition *d;
    bool tell_others;
    bool is_new;
};

/*
 * One statement, so that two versions that arrive at once need no lock of their own: the row's
 * decides, and the older one finds the newer one there.  It is due at once; in whole
 * milliseconds, as the worker reads the calendar.
 */
static bool put_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct put_tx *tx = arg;
    const struct cap *cap = &tx->d->cap;
    const struct cap_origin *origin = &tx->d->origin;
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "INSERT INTO interval.definition AS d (id, version, deleted, starts_at, ends_at,"
                  "    interval, total, initial_total, time_zone, topup_ppm, slice_max_ppm,"
                  "    autonomy_ms, paused, home, changed_at, grid_since, home_version,"
                  "    next_look_at)"
                  " SELECT $1, $2, $3, calendar.from_ms($4), calendar.from_ms($5), $6, $7,"
                  "    nullif($8, -1), $9, $10, $11, $12, $13, $14,"
                  "    coalesce(calendar.from_ms(nullif($15, -1)), now),"
                  "    calendar.from_ms(nullif($16, -1)), $17, now"
                  "   FROM calendar.from_ms(calendar.to_ms(calendar.now())) AS now"
                  " ON CONFLICT (id) DO UPDATE SET version = EXCLUDED.version,"
                  "    deleted = EXCLUDED.deleted, starts_at = EXCLUDED.starts_at,"
                  "    ends_at = EXCLUDED.ends_at, interval = EXCLUDED.interval,"
                  "    total = EXCLUDED.total, initial_total = EXCLUDED.initial_total,"
                  "    time_zone = EXCLUDED.time_zone, topup_ppm = EXCLUDED.topup_ppm,"
                  "    slice_max_ppm = EXCLUDED.slice_max_ppm, autonomy_ms = EXCLUDED.autonomy_ms,"
                  "    paused = EXCLUDED.paused, home = EXCLUDED.home,"
                  "    changed_at = EXCLUDED.changed_at, grid_since = EXCLUDED.grid_since,"
                  "    home_version = EXCLUDED.home_version,"
                  "    next_look_at = EXCLUDED.next_look_at"
                  "  WHERE d.version < EXCLUDED.version"
                  " RETURNING d.version",
                  DB_ARGS(db_text(cap->id), db_i64(tx->d->version), db_bool(tx->d->deleted),
                          db_i64(cap->starts_at_ms), db_i64(cap->ends_at_ms),
                          db_text(cap_interval_names[cap->interval]), db_i64(cap->total),
                          db_i64(cap->initial_total), db_text(cap->time_zone),
                          db_i64(cap->topup_ppm), db_i64(cap->slice_max_ppm),
                          db_i64(cap->autonomy_ms), db_bool(cap->paused), db_text(origin->home),
                          db_i64(origin->changed_at_ms), db_i64(origin->grid_since_ms),
                          db_i64(tx->d->home_version)),
                  &rows, e))
        return false;
    tx->is_new = db_count(rows) == 1;
    /* The workers listen to this channel for changes of the calendar, and look at what is due. */
    return !tx->is_new || !tx->tell_others ||
           db_query(c, "SELECT pg_notify('calendar', '')", DB_NO_ARGS, NULL, e);
}

bool interval_store_put(struct db *db, const struct interval_definition *d, bool tell_others,
                        bool *ret_is_new, struct err *e)
{
    struct put_tx tx = {.d = d, .tell_others = tell_others};

    if (!db_tx(db, put_tx, &tx, e))
        return false;
    *ret_is_new = tx.is_new;
    return true;
}

struct postpone_tx {
    int64_t epoch;
    const char *cap;
};

static bool postpone_tx(struct db_conn *c, void *arg, struct err *e)
{
    const struct postpone_tx *tx = arg;

    return leader_fence(c, INTERVAL_ROLE, tx->epoch, e) &&
           db_query(c,
                    "UPDATE interval.definition"
                    "   SET next_look_at = calendar.now() + interval '1 hour' WHERE id = $1",
                    DB_ARGS(db_text(tx->cap)), NULL, e);
}

bool interval_store_postpone(struct db *db, int64_t epoch, const char *cap, struct err *e)
{
    struct postpone_tx tx = {.epoch = epoch, .cap = cap};

    return db_tx(db, postpone_tx, &tx, e);
}

struct due_tx {
    int64_t max_ms;
    int64_t until_ms;
};

static bool due_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct due_tx *tx = arg;
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "SELECT coalesce(calendar.until_ms(min(next_look_at)), $1)"
                  "  FROM interval.definition",
                  DB_ARGS(db_i64(tx->max_ms)), &rows, e))
        return false;
    tx->until_ms = max_i64(0, min_i64(tx->max_ms, db_get_i64(rows, 0, 0)));
    return true;
}

bool interval_store_until_due(struct db *db, int64_t max_ms, int64_t *ret_ms, struct err *e)
{
    struct due_tx tx = {.max_ms = max_ms};

    if (!db_tx(db, due_tx, &tx, e))
        return false;
    *ret_ms = tx.until_ms;
    return true;
}
