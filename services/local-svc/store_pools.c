#include "services/local-svc/store_pools.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "services/local-svc/columns.h"
#include "services/local-svc/store_rows.h"

/* clang-format off */
#define POOL_COLUMNS                                                                               \
    "cap, calendar.to_ms(starts_at), calendar.to_ms(ends_at), version, requested,"     \
    " minted, burned, granted, returned, consumed, refunded, presumed, wanted, topup_ppm,"         \
    " slice_max_ppm, autonomy_ms, requested_max, received, sent, wanted_elsewhere,"                \
    " spent_elsewhere, paused, state, home, in_doubt"

/* In the order of POOL_COLUMNS, from the second on. */
static const size_t pool_members[] = {
    offsetof(struct pool_view, key.starts_at_ms), offsetof(struct pool_view, ends_at_ms),
    offsetof(struct pool_view, version),
    offsetof(struct pool_view, pool.requested),   offsetof(struct pool_view, pool.minted),
    offsetof(struct pool_view, pool.burned),      offsetof(struct pool_view, pool.granted),
    offsetof(struct pool_view, pool.returned),    offsetof(struct pool_view, pool.consumed),
    offsetof(struct pool_view, pool.refunded),    offsetof(struct pool_view, pool.presumed),
    offsetof(struct pool_view, pool.wanted),      offsetof(struct pool_view, pool.topup_ppm),
    offsetof(struct pool_view, pool.slice_max_ppm), offsetof(struct pool_view, pool.autonomy_ms),
    offsetof(struct pool_view, pool.requested_max), offsetof(struct pool_view, pool.received),
    offsetof(struct pool_view, pool.sent),
    offsetof(struct pool_view, pool.wanted_elsewhere),
    offsetof(struct pool_view, pool.spent_elsewhere),
};

#define PEER_COLUMNS                                                                               \
    "cap, peer, calendar.to_ms(starts_at), sent, received, echoed, want, free"

/* In the order of PEER_COLUMNS, from the third on. */
static const size_t peer_members[] = {
    offsetof(struct peer_view, key.starts_at_ms),
    offsetof(struct peer_view, row.sent),   offsetof(struct peer_view, row.received),
    offsetof(struct peer_view, row.echoed), offsetof(struct peer_view, row.want),
    offsetof(struct peer_view, row.free),
};

static const size_t slice_members[] = {
    offsetof(struct slice_view, starts_at_ms),
    offsetof(struct slice_view, slice.granted),  offsetof(struct slice_view, slice.returned),
    offsetof(struct slice_view, slice.consumed), offsetof(struct slice_view, slice.refunded),
    offsetof(struct slice_view, slice.presumed), offsetof(struct slice_view, slice.wanted),
    offsetof(struct slice_view, seen_ms_ago),
};
/* clang-format on */

#define LIST_PEERS_MAX (POOLS_LIMIT_MAX * (TRADE_PEERS_MAX + 1))
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void pool_views_done(struct pool_views *v)
{
    free(v->pools);
    free(v->slices);
    free(v->peers);
    *v = (struct pool_views){0};
}

static void load_pool(const struct db_rows *rows, int row, struct pool_view *ret)
{
    const int rest = 1 + (int)COUNT(pool_members);

    (void)snprintf(ret->key.cap, sizeof(ret->key.cap), "%s", db_get_text(rows, row, 0));
    columns_read(rows, row, 1, pool_members, COUNT(pool_members), ret);
    ret->pool.paused = db_get_bool(rows, row, rest);
    ret->state = store_state(db_get_text(rows, row, rest + 1));
    ret->pool.home = db_is_null(rows, row, rest + 2);
    ret->pool.in_doubt = db_get_bool(rows, row, rest + 3);
    if (!ret->pool.home)
        (void)snprintf(ret->home, sizeof(ret->home), "%s", db_get_text(rows, row, rest + 2));
}

static void load_slice(const struct db_rows *rows, int row, struct slice_view *ret)
{
    (void)snprintf(ret->server, sizeof(ret->server), "%s", db_get_text(rows, row, 0));
    (void)snprintf(ret->incarnation, sizeof(ret->incarnation), "%s", db_get_text(rows, row, 1));
    columns_read(rows, row, 2, slice_members, COUNT(slice_members), ret);
    ret->slice.frozen = db_get_bool(rows, row, 2 + (int)COUNT(slice_members));
}

/* One row more than the limit was asked for: it only tells that there is more. */
static void load_pools(const struct db_rows *rows, int64_t limit, struct pool_views *ret)
{
    ret->more = db_count(rows) > limit;
    ret->pools_count = (size_t)min_i64(db_count(rows), limit);
    ret->pools = calloc(ret->pools_count + 1, sizeof(*ret->pools));
    CHECK(ret->pools != NULL);
    for (size_t i = 0; i < ret->pools_count; i++)
        load_pool(rows, (int)i, &ret->pools[i]);
}

static void load_slices(const struct db_rows *rows, struct pool_views *ret)
{
    ret->more = ret->more || db_count(rows) > POOL_SLICES_MAX;
    ret->slices_count = (size_t)min_i64(db_count(rows), POOL_SLICES_MAX);
    ret->slices = calloc(ret->slices_count + 1, sizeof(*ret->slices));
    CHECK(ret->slices != NULL);
    for (size_t i = 0; i < ret->slices_count; i++)
        load_slice(rows, (int)i, &ret->slices[i]);
}

static void load_peers(const struct db_rows *rows, struct pool_views *ret)
{
    ret->peers_count = (size_t)db_count(rows);
    ret->peers = calloc(ret->peers_count + 1, sizeof(*ret->peers));
    CHECK(ret->peers != NULL);
    for (int row = 0; row < db_count(rows); row++) {
        struct peer_view *q = &ret->peers[row];

        (void)snprintf(q->key.cap, sizeof(q->key.cap), "%s", db_get_text(rows, row, 0));
        (void)snprintf(q->peer, sizeof(q->peer), "%s", db_get_text(rows, row, 1));
        columns_read(rows, row, 2, peer_members, COUNT(peer_members), q);
    }
}

struct list_tx {
    const struct pools_query *query;
    struct pool_views *ret;
};

/* Of the pools between two keys, the second included; these are all of one page. */
static bool query_peers_between(struct db_conn *c, const struct window_key *after,
                                const struct window_key *last, struct db_rows **ret, struct err *e)
{
    return db_query(c,
                    "SELECT " PEER_COLUMNS "  FROM local.peer_row"
                    " WHERE (cap, starts_at) > ($1, calendar.from_ms($2))"
                    "   AND (cap, starts_at) <= ($3, calendar.from_ms($4))"
                    " ORDER BY cap, starts_at, peer LIMIT $5",
                    DB_ARGS(db_text(after->cap), db_i64(after->starts_at_ms), db_text(last->cap),
                            db_i64(last->starts_at_ms), db_i64(LIST_PEERS_MAX)),
                    ret, e);
}

static bool list_tx(struct db_conn *c, void *arg, struct err *e)
{
    auto_rows struct db_rows *rows = NULL, *peers = NULL;
    struct list_tx *tx = arg;
    const struct pools_query *q = tx->query;

    pool_views_done(tx->ret);
    if (!store_snapshot(c, e) ||
        !db_query(c,
                  "SELECT " POOL_COLUMNS "  FROM local.pool"
                  " WHERE (cap, starts_at) > ($1, calendar.from_ms($2))"
                  " ORDER BY cap, starts_at LIMIT $3 + 1",
                  DB_ARGS(db_text(q->after.cap), db_i64(q->after.starts_at_ms), db_i64(q->limit)),
                  &rows, e))
        return false;
    load_pools(rows, q->limit, tx->ret);
    if (!q->peers || tx->ret->pools_count == 0)
        return true;

    const struct pool_view *last = &tx->ret->pools[tx->ret->pools_count - 1];
    if (!query_peers_between(c, &q->after, &last->key, &peers, e))
        return false;
    load_peers(peers, tx->ret);
    return true;
}

bool store_pools_list(struct db *db, const struct pools_query *q, struct pool_views *ret,
                      struct err *e)
{
    struct list_tx tx = {.query = q, .ret = ret};

    return store_tx(db, list_tx, &tx, e) || err_while(e, "listing pools");
}

static bool query_slices(struct db_conn *c, const char *cap, int64_t oldest_ms,
                         struct db_rows **ret, struct err *e)
{
    return db_query(c,
                    "SELECT s.server, s.incarnation, calendar.to_ms(s.starts_at), s.granted,"
                    "       s.returned, s.consumed, s.refunded, s.presumed, s.wanted,"
                    "       greatest(0, calendar.to_ms(clock_timestamp())"
                    "                   - calendar.to_ms(v.seen_at)), s.frozen"
                    "  FROM local.slice s JOIN local.server v"
                    "    ON v.name = s.server AND v.incarnation = s.incarnation"
                    " WHERE s.cap = $1 AND s.starts_at >= calendar.from_ms($2)"
                    " ORDER BY s.starts_at DESC, s.server, s.incarnation LIMIT $3",
                    DB_ARGS(db_text(cap), db_i64(oldest_ms), db_i64(POOL_SLICES_MAX + 1)), ret, e);
}

static bool query_peers(struct db_conn *c, const char *cap, int64_t oldest_ms, struct db_rows **ret,
                        struct err *e)
{
    return db_query(c,
                    "SELECT " PEER_COLUMNS "  FROM local.peer_row"
                    " WHERE cap = $1 AND starts_at >= calendar.from_ms($2)"
                    " ORDER BY starts_at DESC, peer LIMIT $3",
                    DB_ARGS(db_text(cap), db_i64(oldest_ms), db_i64(POOL_PEERS_MAX)), ret, e);
}

struct of_tx {
    const char *cap;
    struct pool_views *ret;
};

static bool of_tx(struct db_conn *c, void *arg, struct err *e)
{
    auto_rows struct db_rows *pools = NULL, *slices = NULL, *peers = NULL;
    struct of_tx *tx = arg;

    pool_views_done(tx->ret);
    if (!store_snapshot(c, e) ||
        !db_query(c,
                  "SELECT " POOL_COLUMNS "  FROM local.pool WHERE cap = $1"
                  " ORDER BY starts_at DESC LIMIT $2",
                  DB_ARGS(db_text(tx->cap), db_i64(POOL_WINDOWS_MAX + 1)), &pools, e))
        return false;
    if (db_count(pools) == 0)
        return err_set(e, ERR_NOT_FOUND, "no pool of cap %s here", tx->cap);
    load_pools(pools, POOL_WINDOWS_MAX, tx->ret);

    const struct pool_view *oldest = &tx->ret->pools[tx->ret->pools_count - 1];
    if (!query_slices(c, tx->cap, oldest->key.starts_at_ms, &slices, e) ||
        !query_peers(c, tx->cap, oldest->key.starts_at_ms, &peers, e))
        return false;
    load_slices(slices, tx->ret);
    load_peers(peers, tx->ret);
    return true;
}

bool store_pools_of(struct db *db, const char *cap, struct pool_views *ret, struct err *e)
{
    struct of_tx tx = {.cap = cap, .ret = ret};

    /* "Not found" is said as it is; only accidents need to know what was being done. */
    return store_tx(db, of_tx, &tx, e);
}
