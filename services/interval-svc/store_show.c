#include "services/interval-svc/store.h"

#include "services/interval-svc/store_rows.h"

struct show_tx {
    const char *cap;
    struct interval_shown shown;
};

static bool show_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct show_tx *tx = arg;
    auto_rows struct db_rows *definition = NULL;
    auto_rows struct db_rows *windows = NULL;

    if (!db_query(c,
                  "SELECT version, calendar.to_ms(calendar.now())"
                  "  FROM interval.definition WHERE id = $1",
                  DB_ARGS(db_text(tx->cap)), &definition, e))
        return false;
    if (db_count(definition) == 0)
        return err_set(e, ERR_NOT_FOUND, "there is no cap %s", tx->cap);
    if (!db_query(c,
                  "SELECT cap, " INTERVAL_COLUMNS " FROM interval.interval"
                  " WHERE cap = $1 ORDER BY starts_at DESC LIMIT $2",
                  DB_ARGS(db_text(tx->cap), db_i64(INTERVAL_SHOWN_MAX)), &windows, e))
        return false;

    tx->shown = (struct interval_shown){.version = db_get_i64(definition, 0, 0)};
    for (int row = 0; row < db_count(windows); row++) {
        struct interval *w = &tx->shown.list[tx->shown.count++];
        *w = interval_row(windows, row, /* first= */ 1);
        w->state = interval_state_at(w, db_get_i64(definition, 0, 1));
    }
    return true;
}

bool interval_store_show(struct db *db, const char *cap, struct interval_shown *ret, struct err *e)
{
    struct show_tx tx = {.cap = cap};

    if (!db_tx(db, show_tx, &tx, e))
        return false;
    *ret = tx.shown;
    return true;
}
