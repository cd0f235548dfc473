#include "services/local-svc/store_time.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "services/local-svc/columns.h"
#include "services/local-svc/store_rows.h"

struct advance_tx {
    int64_t close_ms;
    int64_t moved;
    int64_t due_ms;
    struct store_pool *pools; /* ADVANCE_POOLS_MAX */
};

/* The pools whose time has come, locked in key order like everywhere. */
static bool lock_due(struct db_conn *c, int64_t close_ms, struct db_rows **ret, struct err *e)
{
    return db_query(c,
                    "SELECT cap, calendar.to_ms(starts_at), state,"
                    "       ends_at <= (SELECT calendar.now()) AS is_over"
                    "  FROM local.pool"
                    " WHERE (state = 'planned' AND starts_at <= (SELECT calendar.now()))"
                    "    OR (state = 'open' AND ends_at <= (SELECT calendar.now()))"
                    "    OR (state = 'closing'"
                    "        AND (granted - returned - consumed + refunded <= presumed"
                    "             OR closing_at <= (SELECT calendar.now())"
                    "                              - $1 * interval '1 millisecond'))"
                    " ORDER BY cap, starts_at LIMIT $2 FOR UPDATE",
                    DB_ARGS(db_i64(close_ms), db_i64(ADVANCE_POOLS_MAX)), ret, e);
}

/* A window may be over before anybody looked at it. */
static int next_state(int state, bool is_over)
{
    return state == INTERVAL_PLANNED && is_over ? INTERVAL_CLOSING : state + 1;
}

static void load_due(const struct db_rows *rows, struct store_pool *pools)
{
    for (int row = 0; row < db_count(rows); row++) {
        struct store_pool *p = &pools[row];

        *p = (struct store_pool){
            .key.starts_at_ms = db_get_i64(rows, row, 1),
            .state = next_state(store_state(db_get_text(rows, row, 2)), db_get_bool(rows, row, 3)),
            .news = POOL_NEWS_CHANGED,
        };
        (void)snprintf(p->key.cap, sizeof(p->key.cap), "%s", db_get_text(rows, row, 0));
    }
}

static bool save_states(struct db_conn *c, const struct store_pool *pools, size_t count,
                        struct err *e)
{
    auto_columns struct columns values = COLUMNS_INIT(count);
    const char **caps = columns_texts(&values);
    int64_t *starts = columns_i64s(&values);
    const char **states = columns_texts(&values);

    for (size_t i = 0; i < count; i++) {
        caps[i] = pools[i].key.cap;
        starts[i] = pools[i].key.starts_at_ms;
        states[i] = interval_state_names[pools[i].state];
    }
    return db_query(c,
                    "UPDATE local.pool p"
                    "   SET state = k.state,"
                    "       closing_at = CASE WHEN k.state IN ('closing', 'closed')"
                    "                         THEN coalesce(p.closing_at, calendar.now()) END"
                    "  FROM unnest($1, $2, $3) AS k (cap, starts_at_ms, state)" STORE_POOL_PLACE,
                    values.params, values.count, NULL, e);
}

/* A boundary that was missed by the limit of one transaction is due at once. */
static bool load_next_due(struct db_conn *c, int64_t *ret, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "SELECT calendar.until_ms(least("
                  "           (SELECT min(starts_at) FROM local.pool WHERE state = 'planned'),"
                  "           (SELECT min(ends_at) FROM local.pool WHERE state = 'open')))",
                  DB_NO_ARGS, &rows, e))
        return false;
    *ret = db_is_null(rows, 0, 0) ? INT64_MAX : max_i64(db_get_i64(rows, 0, 0), 0);
    return true;
}

static bool advance_tx(struct db_conn *c, void *arg, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;
    struct advance_tx *tx = arg;

    if (!store_by_key(c, e) || !lock_due(c, tx->close_ms, &rows, e))
        return false;
    tx->moved = db_count(rows);
    load_due(rows, tx->pools);
    return (tx->moved == 0 || save_states(c, tx->pools, (size_t)tx->moved, e)) &&
           load_next_due(c, &tx->due_ms, e) && store_news(c, tx->pools, (size_t)tx->moved, e);
}

bool store_advance(struct db *db, int64_t close_ms, int64_t *ret_moved, int64_t *ret_due_ms,
                   struct err *e)
{
    auto_free struct store_pool *pools = calloc(ADVANCE_POOLS_MAX, sizeof(*pools));
    struct advance_tx tx = {.close_ms = close_ms, .pools = pools};

    CHECK(pools != NULL);
    if (!store_tx(db, advance_tx, &tx, e))
        return err_while(e, "opening and closing windows");
    *ret_moved = tx.moved;
    *ret_due_ms = tx.due_ms;
    return true;
}
