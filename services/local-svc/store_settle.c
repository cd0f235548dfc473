#include "services/local-svc/store_time.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/prng.h"
#include "services/local-svc/columns.h"
#include "services/local-svc/store_rows.h"

struct settle_tx {
    enum silence silence;
    int64_t silent_ms;
    bool more;
    char server[NAME_SIZE];
    char incarnation[UUID_SIZE];
    size_t count;
    struct store_pool *pools; /* SETTLE_SLICES_MAX: a server has one slice of a pool */
    struct store_slice *slices;
};

/* A row that is locked is a server that speaks at this moment, or another replica's work. */
static bool lock_silent(struct db_conn *c, struct settle_tx *tx, bool *ret_found, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "SELECT name, incarnation FROM local.server"
                  " WHERE silence < $1"
                  "   AND seen_at < clock_timestamp() - $2 * interval '1 millisecond'"
                  " ORDER BY seen_at LIMIT 1 FOR UPDATE SKIP LOCKED",
                  DB_ARGS(db_i64(tx->silence), db_i64(tx->silent_ms)), &rows, e))
        return false;
    *ret_found = db_count(rows) == 1;
    if (!*ret_found)
        return true;
    (void)snprintf(tx->server, sizeof(tx->server), "%s", db_get_text(rows, 0, 0));
    (void)snprintf(tx->incarnation, sizeof(tx->incarnation), "%s", db_get_text(rows, 0, 1));
    return true;
}

/* The slices about which something is left to be done; sorted like the locks. */
static bool find_slices(struct db_conn *c, struct settle_tx *tx, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "SELECT cap, calendar.to_ms(starts_at) FROM local.slice"
                  " WHERE server = $1 AND incarnation = $2::uuid"
                  "   AND (wanted > 0"
                  "        OR ($3 AND presumed < granted - returned - consumed + refunded))"
                  " ORDER BY cap, starts_at LIMIT $4",
                  DB_ARGS(db_text(tx->server), db_text(tx->incarnation),
                          db_bool(tx->silence == SILENCE_PRESUMED), db_i64(SETTLE_SLICES_MAX)),
                  &rows, e))
        return false;
    tx->count = (size_t)db_count(rows);
    for (size_t i = 0; i < tx->count; i++) {
        struct store_slice *s = &tx->slices[i];

        *s = (struct store_slice){.key.starts_at_ms = db_get_i64(rows, (int)i, 1), .pool = i};
        (void)snprintf(s->key.cap, sizeof(s->key.cap), "%s", db_get_text(rows, (int)i, 0));
        (void)snprintf(s->server, sizeof(s->server), "%s", tx->server);
        (void)snprintf(s->incarnation, sizeof(s->incarnation), "%s", tx->incarnation);
        tx->pools[i] = (struct store_pool){.key = s->key};
    }
    return true;
}

static void settle_one(enum silence silence, struct store_pool *p, struct store_slice *s)
{
    struct pool_topup t = pool_forget_wish(&p->pool, &s->slice);

    store_apply(p, s, &t);
    if (silence != SILENCE_PRESUMED)
        return;
    t = pool_presume(&p->pool, &s->slice);
    store_apply(p, s, &t);
}

static void settle(struct settle_tx *tx)
{
    for (size_t i = 0; i < tx->count; i++) {
        struct store_pool *p = &tx->pools[i];
        struct store_slice *s = &tx->slices[i];

        if (p->is_found && !store_is_damaged(p, s))
            settle_one(tx->silence, p, s);
    }
}

static bool settle_slices(struct db_conn *c, struct settle_tx *tx, struct err *e)
{
    if (!store_pools_lock(c, tx->pools, tx->count, e) ||
        !store_slices_load(c, tx->slices, tx->count, e))
        return false;
    settle(tx);
    return store_pools_save(c, tx->pools, tx->count, e) &&
           store_slices_save(c, tx->slices, tx->count, e) && store_news(c, tx->pools, tx->count, e);
}

static bool mark_settled(struct db_conn *c, const struct settle_tx *tx, struct err *e)
{
    return db_query(c,
                    "UPDATE local.server SET silence = $3"
                    " WHERE name = $1 AND incarnation = $2::uuid",
                    DB_ARGS(db_text(tx->server), db_text(tx->incarnation), db_i64(tx->silence)),
                    NULL, e);
}

static bool settle_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct settle_tx *tx = arg;

    if (!store_by_key(c, e) || !lock_silent(c, tx, &tx->more, e))
        return false;
    if (!tx->more)
        return true;
    if (!find_slices(c, tx, e))
        return false;
    /* The last part of its slices: with them, nothing is left to be done about this server. */
    if (tx->count < SETTLE_SLICES_MAX && !mark_settled(c, tx, e))
        return false;
    return tx->count == 0 || settle_slices(c, tx, e);
}

bool store_settle(struct db *db, enum silence silence, int64_t silent_ms, bool *ret_more,
                  struct err *e)
{
    auto_free struct store_pool *pools = calloc(SETTLE_SLICES_MAX, sizeof(*pools));
    auto_free struct store_slice *slices = calloc(SETTLE_SLICES_MAX, sizeof(*slices));
    struct settle_tx tx = {
        .silence = silence, .silent_ms = silent_ms, .pools = pools, .slices = slices};

    CHECK(pools != NULL && slices != NULL);
    if (!store_tx(db, settle_tx, &tx, e))
        return err_while(e, "accounting for silent servers");
    *ret_more = tx.more;
    return true;
}
