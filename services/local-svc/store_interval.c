#include "services/local-svc/store_interval.h"

#include "services/local-svc/store_learn.h"
#include "services/local-svc/store_rows.h"
#include "services/local-svc/trading.h"

struct interval_tx {
    const struct peers *peers;
    const struct announcement *announced;
    struct units_moved moved;
    struct learn_guard guard;
};

/* What an announcement is compared with. */
struct known {
    int64_t version;
    bool is_of_other_home;
};

/* No doubt begins until this transaction has ended: the window would be left out. */
static bool lock_doubt(struct db_conn *c, struct learn_guard *guard, struct err *e)
{
    static const char update[] = "SELECT in_doubt, incarnation FROM local.dc FOR UPDATE";
    static const char share[] = "SELECT in_doubt, incarnation FROM local.dc FOR SHARE";
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c, guard->in_doubt ? update : share, DB_NO_ARGS, &rows, e))
        return false;
    guard->incarnation = db_get_i64(rows, 0, 1);
    return db_get_bool(rows, 0, 0) == guard->in_doubt ||
           err_set(e, ERR_UNAVAILABLE, "the database was just put in doubt; say it again");
}

/*
 * A window that is new here may have been here before, and been forgotten with all
 * its grants: the one that was open when the database went back, or the next.
 * Whoever holds something of it has to say so again.
 */
static bool doubt(struct db_conn *c, const struct announcement *a, struct learn_guard *guard,
                  struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "UPDATE local.pool p SET in_doubt = true"
                  " WHERE p.cap = $1 AND p.starts_at = calendar.from_ms($2)"
                  "   AND NOT EXISTS (SELECT FROM local.pool o, local.dc d"
                  "                    WHERE o.cap = p.cap AND o.starts_at > d.since_calendar"
                  "                      AND o.starts_at < p.starts_at)",
                  DB_ARGS(db_text(a->key.cap), db_i64(a->key.starts_at_ms)), &rows, e))
        return false;
    if (db_affected(rows) == 0)
        return true;
    guard->incarnation = learn_next_incarnation(guard->incarnation, /* heard= */ 0, prng_entropy());
    return db_query(c,
                    "UPDATE local.dc SET incarnation = $1, has_heard = false,"
                    "       is_overruled = false, since = clock_timestamp()",
                    DB_ARGS(db_i64(guard->incarnation)), NULL, e);
}

/*
 * A pool of nothing, of version 0: every announcement is newer.  Makes two first ones queue up.
 * While no definition is said, processes of an older release may trade on it, who note none that
 * they hear of.
 */
static bool insert_missing(struct db_conn *c, const struct announcement *a, bool *ret_is_new,
                           struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "INSERT INTO local.pool (cap, starts_at, ends_at, state, paused, version,"
                  "                        topup_ppm, slice_max_ppm, autonomy_ms, home,"
                  "                        heard_definition)"
                  "VALUES ($1, calendar.from_ms($2), calendar.from_ms($3), 'planned', $4, 0,"
                  "        $5, $6, $7, nullif($8, ''), $9)"
                  "    ON CONFLICT DO NOTHING",
                  DB_ARGS(db_text(a->key.cap), db_i64(a->key.starts_at_ms), db_i64(a->ends_at_ms),
                          db_bool(a->paused), db_i64(a->topup_ppm), db_i64(a->slice_max_ppm),
                          db_i64(a->autonomy_ms), db_text(a->home),
                          db_i64(a->definition > 0 ? 0 : POOL_DEFINITION_UNSAID)),
                  &rows, e))
        return false;
    *ret_is_new = db_affected(rows) == 1;
    return true;
}

/* Of a pool that is locked. */
static bool load_known(struct db_conn *c, const struct announcement *a, struct known *ret,
                       struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "SELECT version, home IS DISTINCT FROM nullif($3, '') FROM local.pool"
                  " WHERE cap = $1 AND starts_at = calendar.from_ms($2)",
                  DB_ARGS(db_text(a->key.cap), db_i64(a->key.starts_at_ms), db_text(a->home)),
                  &rows, e))
        return false;
    ret->version = db_get_i64(rows, 0, 0);
    ret->is_of_other_home = db_get_bool(rows, 0, 1);
    return true;
}

static bool save_definition(struct db_conn *c, const struct announcement *a,
                            const struct store_pool *p, struct err *e)
{
    return db_query(c,
                    "UPDATE local.pool"
                    "   SET version = $3, ends_at = calendar.from_ms($4), state = $5, paused = $6,"
                    "       topup_ppm = $7, slice_max_ppm = $8, autonomy_ms = $9,"
                    "       definition = $10,"
                    "       closing_at = CASE WHEN $5 IN ('closing', 'closed')"
                    "                         THEN coalesce(closing_at, calendar.now()) END"
                    " WHERE cap = $1 AND starts_at = calendar.from_ms($2)",
                    DB_ARGS(db_text(a->key.cap), db_i64(a->key.starts_at_ms), db_i64(a->version),
                            db_i64(a->ends_at_ms), db_text(interval_state_names[p->state]),
                            db_bool(a->paused), db_i64(a->topup_ppm), db_i64(a->slice_max_ppm),
                            db_i64(a->autonomy_ms), db_i64(p->pool.definition)),
                    NULL, e);
}

/* The new total; with other data centres, what that moves between them. */
static void retarget(struct store_pool *p, const struct peers *peers, const struct announcement *a,
                     bool is_new)
{
    const struct pool before = p->pool;

    p->pool.definition = max_i64(before.definition, a->definition);
    p->pool.requested_max = max_i64(before.requested_max, a->total_max);
    p->pool = pool_retarget(&p->pool, a->total);
    if (peers->count == 0)
        return;
    trading_share(p, peers, p->pool.minted - before.minted);
    if (a->total < before.requested) {
        trading_tell_all(p, peers);
        trading_send_home(p, peers);
    }
    if (is_new)
        trading_begin(p, peers);
    trading_plan(p, peers, /* answered= */ -1);
}

/*
 * What the pool becomes.  A window that is over takes no new total.  One that
 * has another home than before is over: its units were minted by somebody else.
 */
static void change(struct store_pool *p, const struct peers *peers, const struct known *known,
                   const struct announcement *a, struct units_moved *ret)
{
    const struct pool before = p->pool;

    p->state = (int)max_i64(p->state, known->is_of_other_home ? INTERVAL_CLOSING : a->state);
    p->pool.topup_ppm = a->topup_ppm;
    p->pool.slice_max_ppm = a->slice_max_ppm;
    p->pool.autonomy_ms = a->autonomy_ms;
    if (p->state < INTERVAL_CLOSING)
        retarget(p, peers, a, known->version == 0);
    p->is_changed = true;
    /* Holders hear of it at once, and if units are to be burned they report what they hold. */
    p->news = pool_pending(&p->pool) > 0 ? POOL_NEWS_RECALL : POOL_NEWS_CHANGED;
    units_moved_add(ret, &before, &p->pool);
}

static bool interval_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct interval_tx *tx = arg;
    const struct announcement *a = tx->announced;
    struct store_pool pool = {.key = a->key};
    struct store_peer rows[TRADE_PEERS_MAX];
    struct known known = {0};
    bool is_new = false;

    tx->moved = (struct units_moved){0};
    if (!store_by_key(c, e) || !lock_doubt(c, &tx->guard, e) || !insert_missing(c, a, &is_new, e) ||
        (is_new && tx->guard.in_doubt && !doubt(c, a, &tx->guard, e)) ||
        !store_pools_lock(c, &pool, 1, e))
        return false;
    if (!pool.is_found)
        return err_set(e, ERR_UNAVAILABLE, "the window was just purged; say it again");
    if (!load_known(c, a, &known, e))
        return false;
    if (a->version <= known.version)
        return true;
    pool.is_trading = tx->peers->count > 0;
    if (!store_peers_load(c, tx->peers, &pool, 1, rows, e))
        return false;

    change(&pool, tx->peers, &known, a, &tx->moved);
    return store_pools_save(c, &pool, 1, e) && save_definition(c, a, &pool, e) &&
           store_peers_save(c, tx->peers, &pool, 1, e) && store_news(c, &pool, 1, e) &&
           store_peers_tell(c, tx->peers, &pool, 1, e);
}

bool store_interval(struct db *db, struct witness *witness, const struct peers *peers,
                    const struct announcement *a, struct units_moved *ret_moved, struct err *e)
{
    struct interval_tx tx = {.peers = peers, .announced = a};

    if (!store_guarded(db, witness, &tx.guard, interval_tx, &tx, e))
        return err_while(e, "announcement of %s", a->key.cap);
    *ret_moved = tx.moved;
    return true;
}
