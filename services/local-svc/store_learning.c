#include "services/local-svc/store_learn.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/cleanup.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "services/local-svc/store_rows.h"
#include "services/local-svc/trading.h"

#define REPORT_EVERY_MS 60000 /* of pools that stay in doubt though all have spoken */

struct step_tx {
    const struct peers *peers;
    int64_t learn_ms;
    struct learn_round *round;
    bool in_doubt, is_intact, is_overruled, has_heard, has_just_heard, is_over;
    int64_t trusted, not_trusted;
    const struct store_pool *first; /* of those not trusted */
    size_t count;
    struct store_pool *pools; /* LEARN_POOLS_MAX */
    struct store_peer *rows;
};

/* ---- who has spoken */

/* Without a lock: nearly always nothing is. */
static bool is_in_doubt(struct db_conn *c, bool *ret, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c, "SELECT FROM local.dc WHERE in_doubt", DB_NO_ARGS, &rows, e))
        return false;
    *ret = db_count(rows) == 1;
    return true;
}

static bool load_roll(struct db_conn *c, struct step_tx *tx, struct learn_roll *ret, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "SELECT in_doubt, is_lost, has_heard,"
                  "       (SELECT count(*) FROM local.writer w"
                  "         WHERE w.registered_in < d.incarnation),"
                  "       (SELECT count(*) FROM local.writer w"
                  "         WHERE w.registered_in < d.incarnation"
                  "           AND w.agreed_in = d.incarnation),"
                  "       (SELECT count(*) FROM local.server s WHERE s.heard_in <> d.incarnation),"
                  "       coalesce(greatest(0, calendar.to_ms(clock_timestamp())"
                  "                            - calendar.to_ms(since)), 0), is_overruled"
                  "  FROM local.dc d FOR UPDATE",
                  DB_NO_ARGS, &rows, e))
        return false;
    tx->in_doubt = db_get_bool(rows, 0, 0);
    tx->has_heard = db_get_bool(rows, 0, 2);
    tx->is_overruled = db_get_bool(rows, 0, 7);
    *ret = (struct learn_roll){
        .is_proven_lost = db_get_bool(rows, 0, 1),
        .witnesses = db_get_i64(rows, 0, 3),
        .agreeing = db_get_i64(rows, 0, 4),
        .silent = db_get_i64(rows, 0, 5),
        .waited_ms = db_get_i64(rows, 0, 6),
        .learn_ms = tx->learn_ms,
    };
    return true;
}

static bool note_heard(struct db_conn *c, struct step_tx *tx, const struct learn_roll *roll,
                       struct err *e)
{
    tx->is_intact = learn_is_intact(roll);
    tx->has_just_heard = !tx->has_heard && (tx->is_intact || learn_has_heard(roll));
    tx->has_heard = tx->has_heard || tx->has_just_heard;
    return !tx->has_just_heard ||
           db_query(c, "UPDATE local.dc SET has_heard = true", DB_NO_ARGS, NULL, e);
}

/* ---- the pools */

/*
 * Of windows that ended meanwhile, too, for the accounts.  One page after the other, so that those
 * that wait for another data centre keep none back.
 */
static bool find_pools(struct db_conn *c, struct step_tx *tx, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "SELECT cap, calendar.to_ms(starts_at) FROM local.pool"
                  " WHERE in_doubt AND (cap, starts_at) > ($1, calendar.from_ms($2))"
                  " ORDER BY cap, starts_at LIMIT $3",
                  DB_ARGS(db_text(tx->round->at.cap), db_i64(tx->round->at.starts_at_ms),
                          db_i64(LEARN_POOLS_MAX)),
                  &rows, e))
        return false;
    tx->count = (size_t)db_count(rows);
    for (size_t i = 0; i < tx->count; i++) {
        tx->pools[i] = (struct store_pool){.key.starts_at_ms = db_get_i64(rows, (int)i, 1)};
        (void)snprintf(tx->pools[i].key.cap, NAME_SIZE, "%s", db_get_text(rows, (int)i, 0));
    }
    return true;
}

/* Those who are short of units ask again, and those who have some hear how much they may keep. */
static void trust(struct step_tx *tx, struct store_pool *p)
{
    if (pool_is_sound(&p->pool))
        p->pool = pool_trust(&p->pool);
    if (p->pool.in_doubt) {
        if (tx->not_trusted++ == 0)
            tx->first = p;
        return;
    }
    p->is_changed = true;
    p->news = p->state < INTERVAL_CLOSING ? POOL_NEWS_RECALL : POOL_NO_NEWS;
    tx->trusted++;
}

static bool learn_pools(struct db_conn *c, struct step_tx *tx, struct err *e)
{
    if (!store_by_key(c, e) || !store_pools_lock(c, tx->pools, tx->count, e))
        return false;
    for (size_t i = 0; i < tx->count; i++)
        tx->pools[i].is_trading = tx->peers->count > 0;
    if (!store_peers_load(c, tx->peers, tx->pools, tx->count, tx->rows, e))
        return false;
    for (size_t i = 0; i < tx->count; i++) {
        struct store_pool *p = &tx->pools[i];

        if (p->is_found && p->pool.in_doubt &&
            (tx->is_intact || tx->is_overruled || !p->peers || trading_is_answered(p, tx->peers)))
            trust(tx, p);
    }
    return store_pools_save(c, tx->pools, tx->count, e) &&
           store_peers_save(c, tx->peers, tx->pools, tx->count, e) &&
           store_news(c, tx->pools, tx->count, e) &&
           store_peers_tell(c, tx->peers, tx->pools, tx->count, e);
}

/* Of the silent, too, if the windows ended in which they may hold something. */
static bool end_if_over(struct db_conn *c, struct step_tx *tx, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;

    if (!db_query(c,
                  "UPDATE local.dc SET in_doubt = false, is_lost = false, has_heard = true"
                  " WHERE NOT EXISTS (SELECT FROM local.pool WHERE in_doubt"
                  "                      AND (state = 'planned' OR state = 'open'))",
                  DB_NO_ARGS, &rows, e))
        return false;
    tx->is_over = db_affected(rows) == 1;
    return true;
}

static bool step_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct step_tx *tx = arg;
    struct learn_roll roll = {0};

    tx->trusted = tx->not_trusted = 0;
    tx->is_over = tx->has_just_heard = false;
    if (!is_in_doubt(c, &tx->in_doubt, e))
        return false;
    if (!tx->in_doubt)
        return true;
    if (!load_roll(c, tx, &roll, e))
        return false;
    if (!tx->in_doubt)
        return true;
    if (!note_heard(c, tx, &roll, e) || !find_pools(c, tx, e))
        return false;
    if (tx->count > 0 && tx->has_heard && !learn_pools(c, tx, e))
        return false;
    /* Not before all pages were looked at. */
    bool may_end = tx->count < LEARN_POOLS_MAX && (tx->has_heard || roll.waited_ms >= tx->learn_ms);
    return !may_end || end_if_over(c, tx, e);
}

static void note_not_trusted(const struct step_tx *tx)
{
    struct learn_round *r = tx->round;

    if (r->not_trusted == 0 && tx->not_trusted > 0) {
        r->first_key = tx->first->key;
        r->first = tx->first->pool;
    }
    r->not_trusted += tx->not_trusted;
}

/* Until it is told of a raise that was forgotten, or of what another data centre sent. */
static void report_not_trusted(struct learn_round *r)
{
    const int64_t now_ms = clk_now_ms();
    const struct pool *p = &r->first;

    if (r->not_trusted == 0 || (r->reported_ms != 0 && now_ms - r->reported_ms < REPORT_EVERY_MS))
        return;
    r->reported_ms = now_ms;
    log_event(LOG_ERROR, "learning.not_trusted", log_i64("windows", r->not_trusted),
              log_str("cap", r->first_key.cap), log_i64("starts_at_ms", r->first_key.starts_at_ms),
              log_i64("is_sound", pool_is_sound(p)), log_i64("home", p->home),
              log_i64("minted", p->minted), log_i64("burned", p->burned),
              log_i64("received", p->received), log_i64("sent", p->sent),
              log_i64("granted", p->granted), log_i64("returned", p->returned),
              log_i64("consumed", p->consumed), log_i64("refunded", p->refunded),
              log_i64("total_max", p->requested_max), log_i64("will_retry", 1));
}

static void report(const struct step_tx *tx)
{
    if (tx->has_just_heard)
        log_event(LOG_INFO, "learning.heard", log_i64("nothing_forgotten", tx->is_intact));
    if (tx->trusted > 0)
        log_event(LOG_INFO, "learning.trusted", log_i64("windows", tx->trusted));
    if (tx->is_over)
        log_event(LOG_INFO, "learning.ended", log_str("reason", "all have spoken"));
}

static void begin_round(struct learn_round *r)
{
    *r = (struct learn_round){.reported_ms = r->reported_ms};
}

/* The next page, or the first one again. */
static void move_on(const struct step_tx *tx)
{
    note_not_trusted(tx);
    if (tx->count == LEARN_POOLS_MAX) {
        tx->round->at = tx->pools[tx->count - 1].key;
        return;
    }
    report_not_trusted(tx->round);
    begin_round(tx->round);
}

bool store_learn_step(struct db *db, const struct peers *peers, int64_t learn_ms,
                      struct learn_round *round, bool *ret_more, struct err *e)
{
    auto_free struct store_pool *pools = calloc(LEARN_POOLS_MAX, sizeof(*pools));
    auto_free struct store_peer *rows = calloc(LEARN_POOLS_MAX * (peers->count + 1), sizeof(*rows));
    struct step_tx tx = {
        .peers = peers, .learn_ms = learn_ms, .round = round, .pools = pools, .rows = rows};

    CHECK(pools != NULL && rows != NULL);
    if (!store_tx(db, step_tx, &tx, e))
        return err_while(e, "learning");
    if (!tx.in_doubt) {
        begin_round(round);
        *ret_more = false;
        return true;
    }
    report(&tx);
    move_on(&tx);
    *ret_more = tx.has_heard && tx.count == LEARN_POOLS_MAX;
    return true;
}

/* ---- by hand */

static bool end_tx(struct db_conn *c, void *arg, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;
    const int64_t *incarnation = arg;

    if (!db_query(c,
                  "UPDATE local.dc SET is_overruled = true, has_heard = true"
                  " WHERE in_doubt AND incarnation = $1",
                  DB_ARGS(db_i64(*incarnation)), &rows, e))
        return false;
    return db_affected(rows) == 1 ||
           err_set(e, ERR_CONFLICT, "nothing is in doubt in this incarnation");
}

/* Not store_tx(), for which a conflict is a fault of ours. */
bool store_learn_end(struct db *db, int64_t incarnation, struct err *e)
{
    return db_tx(db, end_tx, &incarnation, e);
}

/* ---- to be seen */

struct status_tx {
    struct learn_status *ret;
};

static bool status_tx(struct db_conn *c, void *arg, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;
    struct status_tx *tx = arg;

    if (!db_query(c,
                  "SELECT d.in_doubt, d.is_lost, d.has_heard, d.incarnation,"
                  "       coalesce(greatest(0, calendar.to_ms(clock_timestamp())"
                  "                            - calendar.to_ms(d.since)), 0),"
                  "       d.reason, p.pools, p.units, p.ends_in_ms,"
                  "       (SELECT count(*) FROM local.server s"
                  "         WHERE d.in_doubt AND s.heard_in <> d.incarnation), d.is_overruled,"
                  "       d.life IS NULL OR d.life = local.current_life()"
                  "  FROM local.dc d,"
                  "       (SELECT count(*) AS pools, coalesce(sum(greatest(0, minted - burned"
                  "               + received - sent - granted + returned)), 0)::bigint AS units,"
                  "               coalesce(greatest(0, calendar.until_ms(max(ends_at))), 0)"
                  "               AS ends_in_ms"
                  "          FROM local.pool"
                  "         WHERE in_doubt AND (state = 'planned' OR state = 'open')) p",
                  DB_NO_ARGS, &rows, e))
        return false;
    if (db_count(rows) != 1)
        return err_set(e, ERR_INTERNAL, "local.dc has not one row");
    bool in_doubt = db_get_bool(rows, 0, 0), is_other_life = !db_get_bool(rows, 0, 11);
    *tx->ret = (struct learn_status){
        .is_learning = in_doubt || is_other_life,
        .in_doubt = in_doubt,
        .is_lost = db_get_bool(rows, 0, 1),
        .has_heard = db_get_bool(rows, 0, 2),
        .incarnation = db_get_i64(rows, 0, 3),
        .for_ms = in_doubt ? db_get_i64(rows, 0, 4) : 0,
        .pools = db_get_i64(rows, 0, 6),
        .units = db_get_i64(rows, 0, 7),
        .ends_in_ms = db_get_i64(rows, 0, 8),
        .silent = db_get_i64(rows, 0, 9),
        .is_overruled = db_get_bool(rows, 0, 10),
    };
    (void)snprintf(tx->ret->reason, sizeof(tx->ret->reason), "%s",
                   is_other_life && !in_doubt ? LEARN_OTHER_LIFE : db_get_text(rows, 0, 5));
    return true;
}

bool store_learn_status(struct db *db, struct learn_status *ret, struct err *e)
{
    struct status_tx tx = {ret};

    return store_tx(db, status_tx, &tx, e) || err_while(e, "looking at what is in doubt");
}
