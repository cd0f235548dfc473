#include "services/local-svc/store_watch.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "services/local-svc/store_rows.h"

struct watch_tx {
    int64_t since, limit;
    struct watch_news *news;
};

struct watch_news *watch_news_free(struct watch_news *n)
{
    if (!n)
        return NULL;
    free(n->rows);
    free(n);
    return NULL;
}

static void load_row(const struct db_rows *rows, int row, struct watch_row *ret)
{
    *ret = (struct watch_row){
        .key.starts_at_ms = db_get_i64(rows, row, 2),
        .ends_at_ms = db_get_i64(rows, row, 3),
        .starts_in_ms = max_i64(db_get_i64(rows, row, 4), 0),
        .ends_in_ms = max_i64(db_get_i64(rows, row, 5), 0),
        .state = store_state(db_get_text(rows, row, 6)),
        .paused = db_get_bool(rows, row, 7),
        .total = db_get_i64(rows, row, 8),
        .autonomy_ms = db_get_i64(rows, row, 9),
        .recall = db_get_bool(rows, row, 10),
        .revision = db_get_i64(rows, row, 11),
    };
    (void)snprintf(ret->key.cap, sizeof(ret->key.cap), "%s", db_get_text(rows, row, 1));
}

/*
 * The counter is read in the same snapshot: rows of a later one cannot be
 * missed.  Who knows nothing yet need not hear of what is over for good.
 */
static bool query(struct db_conn *c, int64_t since, int64_t limit, struct db_rows **ret,
                  struct err *e)
{
    return db_query(
        c,
        "WITH t AS MATERIALIZED (SELECT calendar.now() AS now, speed FROM calendar.clock)"
        "SELECT r.revision, p.cap, calendar.to_ms(p.starts_at), calendar.to_ms(p.ends_at),"
        "       local.until_ms(p.starts_at, t.now, t.speed),"
        "       local.until_ms(p.ends_at, t.now, t.speed), p.state, p.paused,"
        "       p.requested, p.autonomy_ms, p.recall, p.revision"
        "  FROM local.revision r CROSS JOIN t"
        "  LEFT JOIN (SELECT * FROM local.pool"
        "              WHERE revision > $1 AND ($1 > 0 OR state <> 'closed')"
        "              ORDER BY revision LIMIT $2) p ON true"
        " ORDER BY p.revision",
        DB_ARGS(db_i64(since), db_i64(limit + 1)), ret, e);
}

static bool watch_tx(struct db_conn *c, void *arg, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;
    struct watch_tx *tx = arg;
    struct watch_news *n = tx->news;

    if (!query(c, tx->since, tx->limit, &rows, e))
        return false;
    if (db_count(rows) == 0)
        return err_set(e, ERR_INTERNAL, "local.revision has no row");
    int found = db_is_null(rows, 0, 1) ? 0 : db_count(rows);
    n->more = found > tx->limit;
    n->count = (size_t)min_i64(found, tx->limit);
    free(n->rows);
    n->rows = calloc(n->count + 1, sizeof(*n->rows));
    CHECK(n->rows != NULL);
    for (size_t i = 0; i < n->count; i++)
        load_row(rows, (int)i, &n->rows[i]);
    n->revision = n->more ? n->rows[n->count - 1].revision : db_get_i64(rows, 0, 0);
    return true;
}

bool store_watch(struct db *db, int64_t since, int64_t limit, struct watch_news **ret,
                 struct err *e)
{
    auto_watch_news struct watch_news *news = calloc(1, sizeof(*news));

    CHECK(news != NULL);
    if (!store_tx(db, watch_tx, &(struct watch_tx){since, limit, news}, e))
        return err_while(e, "loading news");
    *ret = TAKE(news);
    return true;
}
