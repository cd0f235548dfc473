#include "services/local-svc/store_peers.h"

#include "common/base/check.h"
#include "services/local-svc/columns.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* clang-format off */
/* The columns of local.peer_row, in the order of the SQL below. */
#define COUNTERS                                                                                   \
    "sent, received, echoed, want, lack, burn, free, spent, rate_milli, version,"                  \
    " asked_want, asked_lack, asked_burn, told_at_ms, unechoed_since_ms, unanswered_since_ms,"   \
    " incarnation, heard"

static const size_t counters[] = {
    offsetof(struct store_peer, row.sent),   offsetof(struct store_peer, row.received),
    offsetof(struct store_peer, row.echoed), offsetof(struct store_peer, row.want),
    offsetof(struct store_peer, row.lack),   offsetof(struct store_peer, row.burn),
    offsetof(struct store_peer, row.free),   offsetof(struct store_peer, row.spent),
    offsetof(struct store_peer, row.rate_milli), offsetof(struct store_peer, row.version),
    offsetof(struct store_peer, asked.want), offsetof(struct store_peer, asked.lack),
    offsetof(struct store_peer, asked.burn), offsetof(struct store_peer, told_at_ms),
    offsetof(struct store_peer, row.unechoed_since_ms),
    offsetof(struct store_peer, row.unanswered_since_ms),
    offsetof(struct store_peer, row.incarnation), offsetof(struct store_peer, row.heard),
};
/* clang-format on */

/* Which rows a statement is about. */
typedef bool wanted_fn(const struct store_peer *q);

static bool is_any(const struct store_peer *q)
{
    (void)q;
    return true;
}

static bool is_changed(const struct store_peer *q)
{
    return q->is_changed;
}

static bool is_to_be_told(const struct store_peer *q)
{
    return q->is_to_be_told;
}

static size_t count_rows(const struct peers *peers, const struct store_pool *pools, size_t count,
                         wanted_fn *is_wanted)
{
    size_t found = 0;

    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; pools[i].peers && j < peers->count; j++)
            found += is_wanted(&pools[i].peers[j]);
    return found;
}

static void add_keys(struct columns *to, const struct peers *peers, const struct store_pool *pools,
                     size_t count, wanted_fn *is_wanted)
{
    const char **caps = columns_texts(to);
    int64_t *starts = columns_i64s(to);
    const char **names = columns_texts(to);

    for (size_t i = 0, n = 0; i < count; i++) {
        for (size_t j = 0; pools[i].peers && j < peers->count; j++) {
            if (!is_wanted(&pools[i].peers[j]))
                continue;
            caps[n] = pools[i].key.cap;
            starts[n] = pools[i].key.starts_at_ms;
            names[n++] = peers->names[j];
        }
    }
}

static void add_values(struct columns *to, const struct peers *peers,
                       const struct store_pool *pools, size_t count)
{
    int64_t *values[COUNT(counters)];

    for (size_t k = 0; k < COUNT(counters); k++)
        values[k] = columns_i64s(to);
    for (size_t i = 0, n = 0; i < count; i++) {
        for (size_t j = 0; pools[i].peers && j < peers->count; j++) {
            if (!pools[i].peers[j].is_changed)
                continue;
            for (size_t k = 0; k < COUNT(counters); k++)
                values[k][n] = columns_member(&pools[i].peers[j], counters[k]);
            n++;
        }
    }
}

/* Room for each pool's rows, in the order of the pools. */
static size_t assign_rows(const struct peers *peers, struct store_pool *pools, size_t count,
                          struct store_peer *rows)
{
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        pools[i].peers = NULL;
        if (!pools[i].is_found || !pools[i].is_trading)
            continue;
        pools[i].peers = &rows[used];
        for (size_t j = 0; j < peers->count; j++)
            rows[used++] = (struct store_peer){0};
    }
    return used;
}

bool store_peers_load(struct db_conn *c, const struct peers *peers, struct store_pool *pools,
                      size_t count, struct store_peer *rows, struct err *e)
{
    auto_rows struct db_rows *found = NULL;
    auto_columns struct columns keys = COLUMNS_INIT(assign_rows(peers, pools, count, rows));

    if (keys.rows == 0)
        return true;
    add_keys(&keys, peers, pools, count, is_any);
    if (!db_query(c,
                  "SELECT k.i, " COUNTERS
                  "  FROM unnest($1, $2, $3) WITH ORDINALITY AS k (cap, starts_at_ms, peer, i)"
                  " CROSS JOIN LATERAL (SELECT * FROM local.peer_row WHERE " STORE_IS_KEY
                  "                        AND peer = k.peer OFFSET 0) r",
                  keys.params, keys.count, &found, e))
        return false;
    for (int row = 0; row < db_count(found); row++)
        columns_read(found, row, 1, counters, COUNT(counters),
                     &rows[db_get_i64(found, row, 0) - 1]);
    return true;
}

bool store_peers_save(struct db_conn *c, const struct peers *peers, const struct store_pool *pools,
                      size_t count, struct err *e)
{
    auto_columns struct columns values = COLUMNS_INIT(count_rows(peers, pools, count, is_changed));

    if (values.rows == 0)
        return true;
    add_keys(&values, peers, pools, count, is_changed);
    add_values(&values, peers, pools, count);
    return db_query(
        c,
        "INSERT INTO local.peer_row (cap, starts_at, peer, " COUNTERS ")"
        "SELECT k.cap, calendar.from_ms(k.starts_at_ms), k.peer, " COUNTERS
        "  FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,"
        "              $15, $16, $17, $18, $19, $20, $21) AS k (cap, starts_at_ms, peer, " COUNTERS
        ")"
        "    ON CONFLICT (cap, starts_at, peer) DO UPDATE"
        "   SET (" COUNTERS ") = ROW (excluded.sent, excluded.received,"
        "       excluded.echoed, excluded.want, excluded.lack, excluded.burn,"
        "       excluded.free, excluded.spent, excluded.rate_milli, excluded.version,"
        "       excluded.asked_want, excluded.asked_lack, excluded.asked_burn,"
        "       excluded.told_at_ms, excluded.unechoed_since_ms,"
        "       excluded.unanswered_since_ms, excluded.incarnation, excluded.heard)",
        values.params, values.count, NULL, e);
}

bool store_peers_tell(struct db_conn *c, const struct peers *peers, const struct store_pool *pools,
                      size_t count, struct err *e)
{
    auto_columns struct columns told = COLUMNS_INIT(count_rows(peers, pools, count, is_to_be_told));

    if (told.rows == 0)
        return true;
    add_keys(&told, peers, pools, count, is_to_be_told);
    return db_query(c,
                    "WITH counter AS (UPDATE local.trade_revision"
                    "                    SET revision = revision + cardinality($1)"
                    "              RETURNING revision - cardinality($1) AS before)"
                    "UPDATE local.peer_row r SET revision = counter.before + k.i"
                    "  FROM counter, unnest($1, $2, $3) WITH ORDINALITY"
                    "       AS k (cap, starts_at_ms, peer, i)"
                    " CROSS JOIN LATERAL (SELECT ctid AS place FROM local.peer_row"
                    "                      WHERE " STORE_IS_KEY " AND peer = k.peer"
                    "                     OFFSET 0) found"
                    " WHERE r.ctid = found.place",
                    told.params, told.count, NULL, e) &&
           db_query(c, "SELECT pg_notify($1, '')", DB_ARGS(db_text(STORE_ROWS_CHANNEL)), NULL, e);
}
