#include "services/local-svc/store_trade.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "services/local-svc/store_learn.h"
#include "services/local-svc/trading.h"

const char *const trade_outcome_names[] = {
#define X(outcome, name) name,
    TRADE_OUTCOMES(X)
#undef X
        NULL};

struct work {
    struct trade_batch *batch;
    struct store_pool *pools; /* distinct, by key */
    size_t pools_count;
    size_t *pool_of;     /* of each row */
    bool *must_hear;     /* of each pool: the sender of the rows */
    int64_t calendar_ms; /* calendar time; 0: not needed */
    struct store_peer *peers;
    struct learn_guard guard;
};

static void work_done(struct work *w)
{
    free(w->pools);
    free(w->pool_of);
    free(w->must_hear);
    free(w->peers);
}

#define auto_work __attribute__((cleanup(work_done)))

static int compare_rows(const void *a, const void *b)
{
    const struct told_row *left = *(const struct told_row *const *)a,
                          *right = *(const struct told_row *const *)b;

    return window_key_compare(&left->key, &right->key);
}

/* Several rows may be about one window: a late one, and a repeated one. */
static void collect_pools(struct work *w, const struct told_row **sorted)
{
    for (size_t i = 0; i < w->batch->count; i++) {
        if (i == 0 || compare_rows(&sorted[i - 1], &sorted[i]) != 0)
            w->pools[w->pools_count++] = (struct store_pool){.key = sorted[i]->key};
        w->pool_of[sorted[i] - w->batch->rows] = w->pools_count - 1;
    }
}

static void prepare(struct work *w)
{
    const struct trade_batch *b = w->batch;
    auto_free const struct told_row **sorted = calloc(b->count, sizeof(struct told_row *));

    w->pools = calloc(b->count, sizeof(*w->pools));
    w->pool_of = calloc(b->count, sizeof(*w->pool_of));
    w->must_hear = calloc(b->count, sizeof(*w->must_hear));
    w->peers = calloc(b->count * b->peers->count, sizeof(*w->peers));
    CHECK(sorted && w->pools && w->pool_of && w->must_hear && w->peers);
    for (size_t i = 0; i < b->count; i++)
        sorted[i] = &b->rows[i];
    qsort(sorted, b->count, sizeof(struct told_row *), compare_rows);
    collect_pools(w, sorted);
}

static void apply(struct store_pool *p, struct store_peer *q, const struct trade_result *t)
{
    p->is_changed = p->is_changed || memcmp(&p->pool, &t->pool, sizeof(t->pool)) != 0;
    q->is_changed = q->is_changed || memcmp(&q->row, &t->peer, sizeof(t->peer)) != 0;
    p->pool = t->pool;
    q->row = t->peer;
    store_pool_add_news(p, t->news);
}

/*
 * Two that could not hear each other may have defined a cap of the same name.
 * Their windows may start at the same time, and share no unit.
 */
static bool is_same_home(const struct trade_batch *b, const struct store_pool *p,
                         const struct told_row *told)
{
    const char *here = p->home[0] != '\0' ? p->home : b->peers->self;
    const char *there = told->home[0] != '\0' ? told->home : b->peers->names[b->from];

    return strcmp(here, there) == 0;
}

/* Two that are both short would else answer each other's wishes as fast as the network can. */
static bool may_answer_wish(const struct store_pool *p, const struct store_peer *q)
{
    return !trade_is_within(p->now_ms - q->told_at_ms, TRADE_ANSWER_EVERY_MS);
}

/*
 * It does not know of all that arrived here, or has not got all that we sent:
 * the row that told it was lost, or came before its window did.
 */
static bool lacks_news(const struct told_row *told, const struct store_pool *p,
                       const struct store_peer *q)
{
    return told->echoed < q->row.received ||
           (told->row.received < q->row.sent &&
            !trade_is_within(p->now_ms - q->told_at_ms, TRADE_TELL_EVERY_MS));
}

static enum trade_outcome receive(struct work *w, const struct told_row *told, size_t pool,
                                  struct err *e)
{
    struct store_pool *p = &w->pools[pool];

    if (!p->is_found)
        return trade_never_comes(told->ends_at_ms, w->calendar_ms) ? OUTCOME_OVER : OUTCOME_UNKNOWN;
    if (!is_same_home(w->batch, p, told))
        return OUTCOME_OTHER_HOME;
    struct store_peer *q = &p->peers[w->batch->from];
    if (!pool_is_sound(&p->pool) || !trade_peer_is_sound(&q->row))
        return OUTCOME_ABSURD;

    /* Units for a window that is over are booked, and nothing more is given away from it. */
    struct trade_context ctx = trading_context(p);
    ctx.peer_has_turn = peers_has_turn(w->batch->peers, w->batch->from, p->now_ms);
    const struct pool before = p->pool;
    struct trade_result t = trade_receive(&p->pool, &q->row, &told->row, &ctx);
    if (t.verdict == TRADE_FORGOTTEN)
        (void)learn_found(&w->guard, told->row.heard, w->batch->peers->names[w->batch->from],
                          "knows more than this database", e);
    /* It is told of what it said since, in case that has gone back, too. */
    w->must_hear[pool] |= t.verdict == TRADE_STALE;
    if (t.verdict != TRADE_APPLIED)
        return t.verdict == TRADE_STALE ? OUTCOME_STALE : OUTCOME_ABSURD;
    apply(p, q, &t);
    if (trading_is_home(p, w->batch->peers, w->batch->from) &&
        trade_has_share_only(&p->pool, &told->row, &ctx))
        trading_send_home(p, w->batch->peers);
    units_moved_add(&w->batch->moved, &before, &p->pool);
    if (t.answer || lacks_news(told, p, q) || (t.answer_wish && may_answer_wish(p, q)))
        w->must_hear[pool] = true;
    return OUTCOME_APPLIED;
}

/* What arrived, and nobody here waits for any more, goes on to who was left short. */
static void trade_on(struct work *w, size_t pool)
{
    struct store_pool *p = &w->pools[pool];
    const struct pool before = p->pool;

    if (!p->peers || !pool_is_sound(&p->pool))
        return;
    trading_give(p, w->batch->peers);
    units_moved_add(&w->batch->moved, &before, &p->pool);
    trading_plan(p, w->batch->peers, w->must_hear[pool] ? (int)w->batch->from : -1);
}

static bool receive_all(struct work *w, struct err *e)
{
    w->batch->moved = (struct units_moved){0};
    memset(w->must_hear, 0, w->batch->count * sizeof(*w->must_hear));
    for (size_t i = 0; i < w->batch->count; i++)
        w->batch->outcomes[i] = receive(w, &w->batch->rows[i], w->pool_of[i], e);
    if (w->guard.has_evidence)
        return false;
    for (size_t i = 0; i < w->pools_count; i++)
        trade_on(w, i);
    return true;
}

static struct told_row row_for(const struct work *w, const struct store_pool *p)
{
    const struct store_peer *q = &p->peers[w->batch->from];
    const struct trade_teller teller = {
        .version = p->changes + p->is_changed,
        .incarnation = p->incarnation,
        .answers = p->has_heard,
    };
    struct told_row told = {
        .key = p->key,
        .row = trade_row_for(&p->pool, &q->row, &q->asked, &teller),
        .echoed = q->row.echoed,
    };

    memcpy(told.peer, w->batch->peers->names[w->batch->from], sizeof(told.peer));
    memcpy(told.home, p->home, sizeof(told.home));
    return told;
}

/*
 * There will never be a window here that these units could be of, and whoever
 * sent them need not say so again: it hears that all of them arrived.  What
 * else the row says of us is nothing.
 */
static struct told_row gone(const struct work *w, const struct told_row *told)
{
    const struct trade_batch *b = w->batch;
    struct told_row answer = {
        .key = told->key,
        .row = {.received = told->row.sent, .incarnation = w->guard.incarnation},
    };
    const char *home = told->home[0] != '\0' ? told->home : b->peers->names[b->from];

    memcpy(answer.peer, b->peers->names[b->from], sizeof(answer.peer));
    (void)snprintf(answer.home, sizeof(answer.home), "%s", home);
    return answer;
}

static void collect_answers(struct work *w)
{
    struct trade_batch *b = w->batch;

    b->answers_count = 0;
    for (size_t i = 0; i < w->pools_count; i++)
        if (w->must_hear[i])
            b->answers[b->answers_count++] = row_for(w, &w->pools[i]);
    for (size_t i = 0; i < b->count; i++)
        if ((b->outcomes[i] == OUTCOME_OTHER_HOME || b->outcomes[i] == OUTCOME_OVER) &&
            b->rows[i].row.sent > b->rows[i].echoed)
            b->answers[b->answers_count++] = gone(w, &b->rows[i]);
}

static bool save(struct db_conn *c, const struct peers *peers, const struct store_pool *pools,
                 size_t count, struct err *e)
{
    return store_pools_save(c, pools, count, e) && store_peers_save(c, peers, pools, count, e) &&
           store_news(c, pools, count, e) && store_peers_tell(c, peers, pools, count, e);
}

static bool load(struct db_conn *c, const struct peers *peers, struct store_pool *pools,
                 size_t count, struct store_peer *rows, struct err *e)
{
    if (!store_pools_lock(c, pools, count, e))
        return false;
    for (size_t i = 0; i < count; i++)
        pools[i].is_trading = true;
    return store_peers_load(c, peers, pools, count, rows, e);
}

/* Only for windows that are not here. */
static bool look_at_calendar(struct db_conn *c, struct work *w, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;
    bool all_here = true;

    for (size_t i = 0; i < w->pools_count; i++)
        all_here = all_here && w->pools[i].is_found;
    w->calendar_ms = 0;
    if (all_here)
        return true;
    if (!db_query(c, "SELECT calendar.to_ms(calendar.now())", DB_NO_ARGS, &rows, e))
        return false;
    w->calendar_ms = db_get_i64(rows, 0, 0);
    return true;
}

static bool trade_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct work *w = arg;
    const struct peers *peers = w->batch->peers;

    if (!store_by_key(c, e) || !load(c, peers, w->pools, w->pools_count, w->peers, e) ||
        !look_at_calendar(c, w, e))
        return false;
    if (!receive_all(w, e))
        return false;
    collect_answers(w);
    return save(c, peers, w->pools, w->pools_count, e);
}

/* Somebody has to look at why two data centres disagree. */
static void report_absurd(const struct trade_batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        const struct told_row *r = &b->rows[i];

        if (b->outcomes[i] != OUTCOME_ABSURD)
            continue;
        log_event(LOG_ERROR, "row.absurd", log_str("peer", b->peers->names[b->from]),
                  log_str("cap", r->key.cap), log_i64("starts_at_ms", r->key.starts_at_ms),
                  log_i64("sent", r->row.sent), log_i64("received", r->row.received));
    }
}

bool store_trade(struct db *db, struct witness *witness, struct trade_batch *batch, struct err *e)
{
    auto_work struct work w = {.batch = batch};

    CHECK(batch->count > 0 && batch->from < batch->peers->count);
    prepare(&w);
    if (!store_guarded(db, witness, &w.guard, trade_tx, &w, e))
        return err_while(e, "rows of %s", batch->peers->names[batch->from]);
    report_absurd(batch);
    return true;
}

struct again_tx {
    const struct peers *peers;
    struct store_pool *pools; /* TRADE_POOLS_MAX */
    struct store_peer *rows;
    size_t count;
};

/* As trade_ask_again_ms() says.  Without a lock: they are only where to look. */
static bool find_asking(struct db_conn *c, struct again_tx *tx, struct err *e)
{
    auto_rows struct db_rows *rows = NULL;
    const char *names[TRADE_PEERS_MAX];

    for (size_t j = 0; j < tx->peers->count; j++)
        names[j] = tx->peers->names[j];
    const struct db_param peers = {.type = DB_TEXTS, .count = tx->peers->count, .texts = names};
    if (!db_query(
            c,
            "SELECT DISTINCT cap, calendar.to_ms(starts_at) AS starts_at_ms"
            "  FROM local.peer_row, calendar.to_ms(clock_timestamp()) AS now_ms"
            " WHERE (asked_want > 0 OR asked_lack > 0 OR asked_burn > 0)"
            "   AND told_at_ms NOT BETWEEN now_ms + 1 - CASE WHEN unanswered_since_ms = 0"
            "       THEN $2 ELSE least(greatest(told_at_ms - unanswered_since_ms, $1), $2) END"
            "       AND now_ms"
            "   AND peer = ANY ($3)"
            " ORDER BY cap, starts_at_ms LIMIT $4",
            DB_ARGS(db_i64(TRADE_ASK_AGAIN_MS), db_i64(TRADE_ASK_AGAIN_MAX_MS), peers,
                    db_i64(TRADE_POOLS_MAX)),
            &rows, e))
        return false;
    tx->count = (size_t)db_count(rows);
    for (size_t i = 0; i < tx->count; i++) {
        tx->pools[i] = (struct store_pool){.key.starts_at_ms = db_get_i64(rows, (int)i, 1)};
        (void)snprintf(tx->pools[i].key.cap, NAME_SIZE, "%s", db_get_text(rows, (int)i, 0));
    }
    return true;
}

static bool again_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct again_tx *tx = arg;

    if (!store_by_key(c, e) || !find_asking(c, tx, e))
        return false;
    if (tx->count == 0)
        return true;
    if (!load(c, tx->peers, tx->pools, tx->count, tx->rows, e))
        return false;
    for (size_t i = 0; i < tx->count; i++)
        if (tx->pools[i].peers && pool_is_sound(&tx->pools[i].pool))
            trading_plan(&tx->pools[i], tx->peers, /* answered= */ -1);
    return save(c, tx->peers, tx->pools, tx->count, e);
}

bool store_trade_again(struct db *db, const struct peers *peers, bool *ret_more, struct err *e)
{
    auto_free struct store_pool *pools = calloc(TRADE_POOLS_MAX, sizeof(*pools));
    auto_free struct store_peer *rows = calloc(TRADE_POOLS_MAX * TRADE_PEERS_MAX, sizeof(*rows));
    struct again_tx tx = {.peers = peers, .pools = pools, .rows = rows};

    CHECK(pools != NULL && rows != NULL);
    if (!store_tx(db, again_tx, &tx, e))
        return err_while(e, "asking other data centres again");
    *ret_more = tx.count == TRADE_POOLS_MAX;
    return true;
}
