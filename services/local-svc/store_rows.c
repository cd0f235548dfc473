#include "services/local-svc/store_rows.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "services/local-svc/columns.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The columns of local.pool that topups change, in the order of the SQL below. */
static const size_t pool_counters[] = {
    offsetof(struct pool, requested),
    offsetof(struct pool, minted),
    offsetof(struct pool, burned),
    offsetof(struct pool, granted),
    offsetof(struct pool, returned),
    offsetof(struct pool, consumed),
    offsetof(struct pool, refunded),
    offsetof(struct pool, presumed),
    offsetof(struct pool, wanted),
    offsetof(struct pool, recalled_at_ms),
    offsetof(struct pool, requested_max),
    offsetof(struct pool, received),
    offsetof(struct pool, sent),
    offsetof(struct pool, wanted_elsewhere),
    offsetof(struct pool, spent_elsewhere),
    offsetof(struct pool, rate_milli),
    offsetof(struct pool, heard_max),
    offsetof(struct pool, heard_definition),
};

static const size_t pool_settings[] = {
    offsetof(struct pool, topup_ppm), offsetof(struct pool, slice_max_ppm),
    offsetof(struct pool, autonomy_ms),
    offsetof(struct pool, definition), /* saved with the definition: store_interval.c */
};

static const size_t slice_counters[] = {
    offsetof(struct pool_slice, granted),    offsetof(struct pool_slice, returned),
    offsetof(struct pool_slice, consumed),   offsetof(struct pool_slice, refunded),
    offsetof(struct pool_slice, presumed),   offsetof(struct pool_slice, wanted),
    offsetof(struct pool_slice, rate_milli),
};

bool store_tx(struct db *db, db_tx_fn *fn, void *arg, struct err *e)
{
    if (db_tx(db, fn, arg, e))
        return true;
    if (e->kind == ERR_TIMEOUT)
        e->kind = ERR_UNAVAILABLE;
    if (e->kind == ERR_CONFLICT)
        e->kind = ERR_INTERNAL;
    return false;
}

bool store_snapshot(struct db_conn *c, struct err *e)
{
    return db_query(c, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", DB_NO_ARGS,
                    NULL, e);
}

/* A plan with a penalty counts as so dear that PostgreSQL would compile it, hence no jit. */
bool store_by_key(struct db_conn *c, struct err *e)
{
    return db_query(c,
                    "SELECT set_config('enable_seqscan', 'off', true),"
                    "       set_config('enable_hashjoin', 'off', true),"
                    "       set_config('enable_mergejoin', 'off', true),"
                    "       set_config('jit', 'off', true)",
                    DB_NO_ARGS, NULL, e);
}

int store_state(const char *name)
{
    int state = 0;

    while (strcmp(interval_state_names[state], name) != 0)
        CHECK(interval_state_names[++state] != NULL);
    return state;
}

bool store_is_damaged(const struct store_pool *p, const struct store_slice *s)
{
    return !pool_is_sound(&p->pool) || !pool_slice_is_sound(&s->slice) ||
           !pool_has_slice(&p->pool, &s->slice);
}

void store_pool_add_news(struct store_pool *p, enum pool_news news)
{
    if (p->news != POOL_NEWS_RECALL && news != POOL_NO_NEWS)
        p->news = news;
}

/* Padding may make equal structs look different, which costs a write and harms nothing. */
void store_apply(struct store_pool *p, struct store_slice *s, const struct pool_topup *t)
{
    p->is_changed = p->is_changed || memcmp(&p->pool, &t->pool, sizeof(t->pool)) != 0;
    s->is_changed = s->is_changed || memcmp(&s->slice, &t->slice, sizeof(t->slice)) != 0;
    p->pool = t->pool;
    s->slice = t->slice;
    store_pool_add_news(p, t->news);
}

static void load_pool(const struct db_rows *rows, int row, struct store_pool *p)
{
    const int settings = 1 + (int)COUNT(pool_counters), rest = settings + (int)COUNT(pool_settings);

    p->is_found = true;
    columns_read(rows, row, 1, pool_counters, COUNT(pool_counters), &p->pool);
    columns_read(rows, row, settings, pool_settings, COUNT(pool_settings), &p->pool);
    p->state = store_state(db_get_text(rows, row, rest + 1));
    /* Who hears "paused" waits for it to go on, and a window that is over never does. */
    p->pool.paused = db_get_bool(rows, row, rest) && p->state <= INTERVAL_OPEN;
    p->starts_in_ms = db_get_i64(rows, row, rest + 2);
    p->ends_in_ms = db_get_i64(rows, row, rest + 3);
    p->now_ms = db_get_i64(rows, row, rest + 4);
    (void)snprintf(p->home, sizeof(p->home), "%s", db_get_text(rows, row, rest + 5));
    p->pool.home = p->home[0] == '\0';
    p->changes = db_get_i64(rows, row, rest + 6);
    p->pool.in_doubt = db_get_bool(rows, row, rest + 7);
    p->incarnation = db_get_i64(rows, row, rest + 8);
    p->has_heard = db_get_bool(rows, row, rest + 9);
    p->pool.accepts = p->state <= INTERVAL_OPEN && !p->pool.paused && p->ends_in_ms > 0;
}

/* The real time of each is read when its lock is there: before, it could be older than its row. */
bool store_pools_lock(struct db_conn *c, struct store_pool *pools, size_t count, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;
    auto_columns struct columns keys = COLUMNS_INIT(count);
    const char **caps = columns_texts(&keys);
    int64_t *starts = columns_i64s(&keys);

    for (size_t i = 0; i < count; i++) {
        CHECK(i == 0 || window_key_compare(&pools[i - 1].key, &pools[i].key) < 0);
        pools[i] = (struct store_pool){.key = pools[i].key};
        caps[i] = pools[i].key.cap;
        starts[i] = pools[i].key.starts_at_ms;
    }
    if (!db_query(c,
                  "WITH t AS MATERIALIZED (SELECT calendar.now() AS now, speed, incarnation,"
                  "                               has_heard"
                  "                          FROM calendar.clock, local.dc)"
                  "SELECT k.i, p.requested, p.minted, p.burned, p.granted, p.returned,"
                  "       p.consumed, p.refunded, p.presumed, p.wanted, p.recalled_at_ms,"
                  "       p.requested_max, p.received, p.sent, p.wanted_elsewhere,"
                  "       p.spent_elsewhere, p.rate_milli, p.heard_max, p.heard_definition,"
                  "       p.topup_ppm, p.slice_max_ppm, p.autonomy_ms, p.definition,"
                  "       p.paused, p.state,"
                  "       local.until_ms(p.starts_at, t.now, t.speed),"
                  "       local.until_ms(p.ends_at, t.now, t.speed),"
                  "       calendar.to_ms(clock_timestamp()), coalesce(p.home, ''), p.changes,"
                  "       p.in_doubt, t.incarnation, t.has_heard"
                  "  FROM t, unnest($1, $2) WITH ORDINALITY AS k (cap, starts_at_ms, i)"
                  " CROSS JOIN LATERAL (SELECT * FROM local.pool WHERE " STORE_IS_KEY
                  "                     FOR UPDATE) p",
                  keys.params, keys.count, &rows, e))
        return false;
    for (int row = 0; row < db_count(rows); row++)
        load_pool(rows, row, &pools[db_get_i64(rows, row, 0) - 1]);
    return true;
}

/* The key columns of every statement about slices. */
static void add_slice_keys(struct columns *keys, const struct store_slice *slices, size_t count,
                           bool only_changed)
{
    const char **caps = columns_texts(keys);
    int64_t *starts = columns_i64s(keys);
    const char **servers = columns_texts(keys), **incarnations = columns_texts(keys);

    for (size_t i = 0, n = 0; i < count; i++) {
        if (only_changed && !slices[i].is_changed)
            continue;
        caps[n] = slices[i].key.cap;
        starts[n] = slices[i].key.starts_at_ms;
        servers[n] = slices[i].server;
        incarnations[n++] = slices[i].incarnation;
    }
}

bool store_slices_load(struct db_conn *c, struct store_slice *slices, size_t count, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;
    auto_columns struct columns keys = COLUMNS_INIT(count);

    add_slice_keys(&keys, slices, count, false);
    for (size_t i = 0; i < count; i++) {
        slices[i].slice = (struct pool_slice){0};
        slices[i].is_changed = false;
    }
    if (!db_query(c,
                  "SELECT k.i, s.granted, s.returned, s.consumed, s.refunded, s.presumed,"
                  "       s.wanted, s.rate_milli, s.frozen"
                  "  FROM unnest($1, $2, $3, $4::uuid[]) WITH ORDINALITY"
                  "       AS k (cap, starts_at_ms, server, incarnation, i)"
                  " CROSS JOIN LATERAL (SELECT * FROM local.slice WHERE " STORE_IS_KEY
                  "                        AND server = k.server AND incarnation = k.incarnation"
                  "                     OFFSET 0) s",
                  keys.params, keys.count, &rows, e))
        return false;
    for (int row = 0; row < db_count(rows); row++) {
        struct pool_slice *s = &slices[db_get_i64(rows, row, 0) - 1].slice;

        columns_read(rows, row, 1, slice_counters, COUNT(slice_counters), s);
        s->frozen = db_get_bool(rows, row, 1 + (int)COUNT(slice_counters));
    }
    return true;
}

static size_t changed_pools(const struct store_pool *pools, size_t count)
{
    size_t changed = 0;

    for (size_t i = 0; i < count; i++)
        changed += pools[i].is_changed;
    return changed;
}

bool store_pools_save(struct db_conn *c, const struct store_pool *pools, size_t count,
                      struct err *e)
{
    auto_columns struct columns values = COLUMNS_INIT(changed_pools(pools, count));
    const char **caps = columns_texts(&values);
    int64_t *starts = columns_i64s(&values), *counters[COUNT(pool_counters)];

    if (values.rows == 0)
        return true;
    for (size_t k = 0; k < COUNT(pool_counters); k++)
        counters[k] = columns_i64s(&values);
    bool *in_doubt = columns_bools(&values);
    for (size_t i = 0, n = 0; i < count; i++) {
        if (!pools[i].is_changed)
            continue;
        caps[n] = pools[i].key.cap;
        starts[n] = pools[i].key.starts_at_ms;
        for (size_t k = 0; k < COUNT(pool_counters); k++)
            counters[k][n] = columns_member(&pools[i].pool, pool_counters[k]);
        in_doubt[n] = pools[i].pool.in_doubt;
        n++;
    }
    return db_query(
        c,
        "UPDATE local.pool p"
        "   SET requested = k.requested, minted = k.minted, burned = k.burned,"
        "       granted = k.granted, returned = k.returned, consumed = k.consumed,"
        "       refunded = k.refunded, presumed = k.presumed, wanted = k.wanted,"
        "       recalled_at_ms = k.recalled_at_ms, requested_max = k.requested_max,"
        "       received = k.received, sent = k.sent, wanted_elsewhere = k.wanted_elsewhere,"
        "       spent_elsewhere = k.spent_elsewhere, rate_milli = k.rate_milli,"
        "       heard_max = k.heard_max, heard_definition = k.heard_definition,"
        "       in_doubt = k.in_doubt,"
        "       changes = p.changes + 1"
        "  FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,"
        "              $17, $18, $19, $20, $21)"
        "       AS k (cap, starts_at_ms, requested, minted, burned, granted, returned,"
        "             consumed, refunded, presumed, wanted, recalled_at_ms, requested_max,"
        "             received, sent, wanted_elsewhere, spent_elsewhere,"
        "             rate_milli, heard_max, heard_definition, in_doubt)" STORE_POOL_PLACE,
        values.params, values.count, NULL, e);
}

static size_t changed_slices(const struct store_slice *slices, size_t count)
{
    size_t changed = 0;

    for (size_t i = 0; i < count; i++)
        changed += slices[i].is_changed;
    return changed;
}

static void add_slice_values(struct columns *values, const struct store_slice *slices, size_t count)
{
    int64_t *counters[COUNT(slice_counters)];

    for (size_t k = 0; k < COUNT(slice_counters); k++)
        counters[k] = columns_i64s(values);
    bool *frozen = columns_bools(values);
    for (size_t i = 0, n = 0; i < count; i++) {
        if (!slices[i].is_changed)
            continue;
        for (size_t k = 0; k < COUNT(slice_counters); k++)
            counters[k][n] = columns_member(&slices[i].slice, slice_counters[k]);
        frozen[n++] = slices[i].slice.frozen;
    }
}

bool store_slices_save(struct db_conn *c, const struct store_slice *slices, size_t count,
                       struct err *e)
{
    auto_columns struct columns values = COLUMNS_INIT(changed_slices(slices, count));

    if (values.rows == 0)
        return true;
    add_slice_keys(&values, slices, count, true);
    add_slice_values(&values, slices, count);
    return db_query(c,
                    "INSERT INTO local.slice AS s (cap, starts_at, server, incarnation, granted,"
                    "       returned, consumed, refunded, presumed, wanted, rate_milli, frozen)"
                    "SELECT k.cap, calendar.from_ms(k.starts_at_ms), k.server, k.incarnation,"
                    "       k.granted, k.returned, k.consumed, k.refunded, k.presumed, k.wanted,"
                    "       k.rate_milli, k.frozen"
                    "  FROM unnest($1, $2, $3, $4::uuid[], $5, $6, $7, $8, $9, $10, $11, $12)"
                    "       AS k (cap, starts_at_ms, server, incarnation, granted, returned,"
                    "             consumed, refunded, presumed, wanted, rate_milli, frozen)"
                    "    ON CONFLICT (cap, starts_at, server, incarnation) DO UPDATE"
                    "   SET granted = excluded.granted, returned = excluded.returned,"
                    "       consumed = excluded.consumed, refunded = excluded.refunded,"
                    "       presumed = excluded.presumed, wanted = excluded.wanted,"
                    "       rate_milli = excluded.rate_milli, frozen = excluded.frozen",
                    values.params, values.count, NULL, e);
}

static size_t pools_with_news(const struct store_pool *pools, size_t count)
{
    size_t with_news = 0;

    for (size_t i = 0; i < count; i++)
        with_news += pools[i].news != POOL_NO_NEWS;
    return with_news;
}

bool store_news(struct db_conn *c, const struct store_pool *pools, size_t count, struct err *e)
{
    auto_columns struct columns news = COLUMNS_INIT(pools_with_news(pools, count));
    const char **caps = columns_texts(&news);
    int64_t *starts = columns_i64s(&news);
    bool *recall = columns_bools(&news);

    if (news.rows == 0)
        return true;
    for (size_t i = 0, n = 0; i < count; i++) {
        if (pools[i].news == POOL_NO_NEWS)
            continue;
        caps[n] = pools[i].key.cap;
        starts[n] = pools[i].key.starts_at_ms;
        recall[n++] = pools[i].news == POOL_NEWS_RECALL;
    }
    return db_query(c,
                    "WITH counter AS (UPDATE local.revision"
                    "                    SET revision = revision + cardinality($1)"
                    "              RETURNING revision - cardinality($1) AS before)"
                    "UPDATE local.pool p SET revision = counter.before + k.i, recall = k.recall"
                    "  FROM counter, unnest($1, $2, $3) WITH ORDINALITY"
                    "       AS k (cap, starts_at_ms, recall, i)" STORE_POOL_PLACE,
                    news.params, news.count, NULL, e) &&
           db_query(c, "SELECT pg_notify($1, '')", DB_ARGS(db_text(STORE_CHANNEL)), NULL, e);
}
