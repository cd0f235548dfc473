#include "services/local-svc/store_told.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "services/local-svc/columns.h"
#include "services/local-svc/store_rows.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What a row that is told is made of. */
struct source {
    int64_t starts_at_ms, ends_at_ms, changes;
    struct pool pool;
    struct trade_peer peer;
    struct trade_ask asked;
    int64_t incarnation; /* of this data centre */
};

/* clang-format off */
#define COLUMNS                                                                                    \
    "r.cap, r.peer, coalesce(p.home, ''), calendar.to_ms(r.starts_at),"                            \
    " calendar.to_ms(p.ends_at), p.changes,"                                                       \
    " p.requested, p.requested_max, p.definition, p.heard_max, p.heard_definition,"                \
    " p.minted, p.burned, p.received, p.sent, p.granted, p.returned, p.consumed, p.refunded,"      \
    " p.presumed, p.rate_milli,"                                                                   \
    " r.sent, r.received, r.echoed, r.asked_want, r.asked_lack, r.asked_burn, r.incarnation,"         \
    " (SELECT incarnation FROM local.dc), p.in_doubt, (SELECT has_heard FROM local.dc)"

/* In the order of COLUMNS, from the fourth on. */
static const size_t members[] = {
    offsetof(struct source, starts_at_ms),  offsetof(struct source, ends_at_ms),
    offsetof(struct source, changes),
    offsetof(struct source, pool.requested), offsetof(struct source, pool.requested_max),
    offsetof(struct source, pool.definition),
    offsetof(struct source, pool.heard_max), offsetof(struct source, pool.heard_definition),
    offsetof(struct source, pool.minted),   offsetof(struct source, pool.burned),
    offsetof(struct source, pool.received), offsetof(struct source, pool.sent),
    offsetof(struct source, pool.granted),  offsetof(struct source, pool.returned),
    offsetof(struct source, pool.consumed), offsetof(struct source, pool.refunded),
    offsetof(struct source, pool.presumed), offsetof(struct source, pool.rate_milli),
    offsetof(struct source, peer.sent),     offsetof(struct source, peer.received),
    offsetof(struct source, peer.echoed),   offsetof(struct source, asked.want),
    offsetof(struct source, asked.lack),    offsetof(struct source, asked.burn),
    offsetof(struct source, peer.incarnation), offsetof(struct source, incarnation),
};
/* clang-format on */

#define TEXTS 3
#define FLAGS_COLUMN (TEXTS + (int)COUNT(members))
#define REVISION_COLUMN (FLAGS_COLUMN + 2)

void told_page_done(struct told_page *p)
{
    free(p->rows);
    *p = (struct told_page){0};
}

static void load_row(const struct db_rows *rows, int row, struct told_row *ret)
{
    struct source s = {0};

    columns_read(rows, row, TEXTS, members, COUNT(members), &s);
    s.pool.in_doubt = db_get_bool(rows, row, FLAGS_COLUMN);
    const struct trade_teller teller = {
        .version = s.changes,
        .incarnation = s.incarnation,
        .answers = db_get_bool(rows, row, FLAGS_COLUMN + 1),
    };
    *ret = (struct told_row){
        .key.starts_at_ms = s.starts_at_ms,
        .ends_at_ms = s.ends_at_ms,
        .row = trade_row_for(&s.pool, &s.peer, &s.asked, &teller),
        .echoed = s.peer.echoed,
    };
    (void)snprintf(ret->key.cap, sizeof(ret->key.cap), "%s", db_get_text(rows, row, 0));
    (void)snprintf(ret->peer, sizeof(ret->peer), "%s", db_get_text(rows, row, 1));
    (void)snprintf(ret->home, sizeof(ret->home), "%s", db_get_text(rows, row, 2));
}

/* One row more than the limit was asked for: it only tells that there is more. */
static void load_page(const struct db_rows *rows, int found, int64_t limit, struct told_page *ret)
{
    ret->more = found > limit;
    ret->count = (size_t)min_i64(found, limit);
    ret->rows = calloc(ret->count + 1, sizeof(*ret->rows));
    CHECK(ret->rows != NULL);
    for (size_t i = 0; i < ret->count; i++)
        load_row(rows, (int)i, &ret->rows[i]);
}

struct since_tx {
    int64_t since, limit;
    struct told_page *page;
};

/* The counter is read in the same snapshot: rows of a later one cannot be missed. */
static bool since_tx(struct db_conn *c, void *arg, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;
    struct since_tx *tx = arg;

    told_page_done(tx->page);
    if (!db_query(c,
                  "SELECT " COLUMNS ", t.revision, r.revision FROM local.trade_revision t"
                  "  LEFT JOIN (SELECT * FROM local.peer_row WHERE revision > $1"
                  "              ORDER BY revision LIMIT $2) r ON true"
                  "  LEFT JOIN local.pool p ON p.cap = r.cap AND p.starts_at = r.starts_at"
                  " ORDER BY r.revision",
                  DB_ARGS(db_i64(tx->since), db_i64(tx->limit + 1)), &rows, e))
        return false;
    if (db_count(rows) == 0)
        return err_set(e, ERR_INTERNAL, "local.trade_revision has no row");
    load_page(rows, db_is_null(rows, 0, 0) ? 0 : db_count(rows), tx->limit, tx->page);
    tx->page->revision = tx->page->more
                             ? db_get_i64(rows, (int)tx->page->count - 1, REVISION_COLUMN + 1)
                             : db_get_i64(rows, 0, REVISION_COLUMN);
    return true;
}

bool store_told_since(struct db *db, int64_t since, int64_t limit, struct told_page *ret,
                      struct err *e)
{
    struct since_tx tx = {since, limit, ret};

    return store_tx(db, since_tx, &tx, e) || err_while(e, "loading what others are to be told");
}

struct to_tx {
    const struct told_query *query;
    struct told_page *page;
};

static bool load_in_transit(struct db_conn *c, const char *peer, struct told_sums *ret,
                            struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(
            c,
            "SELECT count(*), least(coalesce(sum(sent - echoed), 0), 9007199254740991)::bigint"
            "  FROM local.peer_row WHERE peer = $1 AND sent > echoed",
            DB_ARGS(db_text(peer)), &rows, e))
        return false;
    *ret = (struct told_sums){.rows = db_get_i64(rows, 0, 0), .units = db_get_i64(rows, 0, 1)};
    return true;
}

/*
 * A page costs what is on it, wherever it begins: the rows come out of the
 * index in order, and the pool of each is looked up by itself.  A join would
 * read all pools for each page.
 */
#define TO_FROM                                                                                    \
    "  FROM local.peer_row r CROSS JOIN LATERAL"                                                   \
    "       (SELECT * FROM local.pool WHERE cap = r.cap AND starts_at = r.starts_at OFFSET 0) p"   \
    " WHERE r.peer = $1 AND (r.cap, r.starts_at) > ($2, calendar.from_ms($3))"
#define TO_ORDER " ORDER BY r.cap, r.starts_at LIMIT $4 + 1"

static bool to_tx(struct db_conn *c, void *arg, struct err *e)
{
    static const char in_transit[] = "SELECT " COLUMNS TO_FROM " AND r.sent > r.echoed" TO_ORDER;
    static const char open[] = "SELECT " COLUMNS TO_FROM " AND p.state <> 'closed'" TO_ORDER;
    auto_rows struct db_rows *rows = NULL;
    struct to_tx *tx = arg;
    const struct told_query *q = tx->query;

    told_page_done(tx->page);
    if (!store_by_key(c, e) || !db_query(c, q->in_transit ? in_transit : open,
                                         DB_ARGS(db_text(q->peer), db_text(q->after.cap),
                                                 db_i64(q->after.starts_at_ms), db_i64(q->limit)),
                                         &rows, e))
        return false;
    load_page(rows, db_count(rows), q->limit, tx->page);
    return !q->in_transit || load_in_transit(c, q->peer, &tx->page->in_transit, e);
}

bool store_told_to(struct db *db, const struct told_query *q, struct told_page *ret, struct err *e)
{
    struct to_tx tx = {q, ret};

    return store_tx(db, to_tx, &tx, e) || err_while(e, "loading rows for %s", q->peer);
}
