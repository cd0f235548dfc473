#include "services/local-svc/store_topup.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "services/local-svc/store_learn.h"
#include "services/local-svc/store_rows.h"
#include "services/local-svc/store_servers.h"
#include "services/local-svc/trading.h"

/* One item of one request, and the rows it is about. */
struct ask {
    struct topup_request *request;
    const struct topup_item *item;
    struct topup_answer *answer;
    size_t pool, slice;
};

struct work {
    struct topup_batch *batch;
    struct ask *asks; /* in the order they came */
    size_t asks_count;
    struct store_pool *pools; /* distinct, by key */
    size_t pools_count;
    struct store_slice *slices; /* distinct */
    size_t slices_count;
    struct store_peer *peers; /* room for the rows of all pools */
    struct learn_guard guard;
};

static void work_done(struct work *w)
{
    free(w->asks);
    free(w->pools);
    free(w->slices);
    free(w->peers);
}

#define auto_work __attribute__((cleanup(work_done)))

static size_t count_items(const struct topup_batch *b)
{
    size_t items = 0;

    for (size_t i = 0; i < b->count; i++)
        items += b->requests[i]->count;
    return items;
}

static int compare_asks(const void *a, const void *b)
{
    const struct ask *left = *(struct ask *const *)a, *right = *(struct ask *const *)b;
    int order = window_key_compare(&left->item->key, &right->item->key);

    if (order == 0)
        order = strcmp(left->request->server.name, right->request->server.name);
    if (order == 0)
        order = strcmp(left->request->server.incarnation, right->request->server.incarnation);
    return order;
}

static void collect_asks(struct work *w)
{
    for (size_t i = 0; i < w->batch->count; i++) {
        struct topup_request *r = w->batch->requests[i];

        for (size_t k = 0; k < r->count; k++)
            w->asks[w->asks_count++] = (struct ask){r, &r->items[k], &r->answers[k], 0, 0};
    }
}

static struct store_slice slice_of(const struct ask *a, size_t pool)
{
    struct store_slice s = {.key = a->item->key, .pool = pool};

    memcpy(s.server, a->request->server.name, sizeof(s.server));
    memcpy(s.incarnation, a->request->server.incarnation, sizeof(s.incarnation));
    return s;
}

/* Several asks may be about one pool, and (a repeated request) about one slice. */
static void collect_rows(struct work *w, struct ask **sorted)
{
    for (size_t i = 0; i < w->asks_count; i++) {
        const struct ask *before = i > 0 ? sorted[i - 1] : NULL;
        struct ask *a = sorted[i];

        if (!before || window_key_compare(&before->item->key, &a->item->key) != 0)
            w->pools[w->pools_count++] = (struct store_pool){.key = a->item->key};
        a->pool = w->pools_count - 1;
        if (!before || compare_asks(&before, &a) != 0)
            w->slices[w->slices_count++] = slice_of(a, a->pool);
        a->slice = w->slices_count - 1;
    }
}

static void prepare(struct work *w)
{
    /* One more than needed, since a batch of heartbeats has no items at all. */
    size_t items = count_items(w->batch), room = items + 1;
    auto_free struct ask **sorted = calloc(room, sizeof(struct ask *));

    w->asks = calloc(room, sizeof(*w->asks));
    w->pools = calloc(room, sizeof(*w->pools));
    w->slices = calloc(room, sizeof(*w->slices));
    w->peers = calloc(items * w->batch->peers->count + 1, sizeof(*w->peers));
    CHECK(sorted && w->asks && w->pools && w->slices && w->peers);
    collect_asks(w);
    for (size_t i = 0; i < items; i++)
        sorted[i] = &w->asks[i];
    qsort(sorted, items, sizeof(struct ask *), compare_asks);
    collect_rows(w, sorted);
}

void units_moved_add(struct units_moved *m, const struct pool *before, const struct pool *after)
{
    m->minted += after->minted - before->minted;
    m->burned += after->burned - before->burned;
    m->granted += after->granted - before->granted;
    m->returned += after->returned - before->returned;
    m->consumed += after->consumed - before->consumed;
    m->refunded += after->refunded - before->refunded;
    m->received += after->received - before->received;
    m->sent += after->sent - before->sent;
}

/* While it learns what it forgot, the database may have forgotten the window, too. */
static struct pool_answer answer_unknown(const struct work *w)
{
    if (!w->guard.in_doubt)
        return (struct pool_answer){.state = POOL_UNKNOWN};
    return (struct pool_answer){.keep = UNITS_MAX, .left = UNITS_MAX, .state = POOL_DRY};
}

static struct pool_answer decide(struct work *w, const struct ask *a, struct store_pool *p,
                                 struct store_slice *s, struct err *e)
{
    const struct pool_context context = {w->batch->active_servers, p->now_ms};
    const struct pool before = p->pool;

    if (!p->is_found)
        return answer_unknown(w);
    if (store_is_damaged(p, s))
        return (struct pool_answer){.granted = s->slice.granted, .state = POOL_FROZEN};

    struct pool_topup t = pool_topup(&p->pool, &s->slice, &a->item->report, &context);
    if (t.is_forgotten)
        (void)learn_found(&w->guard, /* heard= */ 0, a->request->server.name,
                          "was granted more than this database knows of", e);
    store_apply(p, s, &t);
    units_moved_add(&w->batch->moved, &before, &p->pool);
    return t.answer;
}

/*
 * All that a process ever reported was in its ledger before.  If the next one
 * to open it knows less, the file is an old copy: what was spent since would be
 * spent again.  Asked of the rows as they were loaded.
 */
static void refuse_old_ledgers(struct work *w)
{
    for (size_t i = 0; i < w->asks_count; i++) {
        const struct ask *a = &w->asks[i];
        const struct pool_slice *s = &w->slices[a->slice].slice;
        const struct pool_report *r = &a->item->report;
        bool knows_less =
            r->returned < s->returned || r->consumed < s->consumed || r->refunded < s->refunded;

        if (knows_less && a->request->is_first && a->request->refusal == TOPUP_ADMITTED)
            a->request->refusal = TOPUP_OLD_LEDGER;
    }
}

static bool decide_all(struct work *w, struct err *e)
{
    w->batch->moved = (struct units_moved){0};
    for (size_t i = 0; i < w->asks_count; i++) {
        const struct ask *a = &w->asks[i];
        struct store_pool *p = &w->pools[a->pool];

        if (a->request->refusal != TOPUP_ADMITTED)
            continue;
        *a->answer = (struct topup_answer){
            .pool = decide(w, a, p, &w->slices[a->slice], e),
            .starts_in_ms = max_i64(p->starts_in_ms, 0),
            .ends_in_ms = max_i64(p->ends_in_ms, 0),
        };
    }
    return !w->guard.has_evidence;
}

/* A server may have heard of a life of this data centre that its database does not know. */
static bool greet(struct work *w, struct err *e)
{
    for (size_t i = 0; i < w->batch->count; i++) {
        struct topup_request *r = w->batch->requests[i];

        r->answered = w->guard.incarnation;
        if (r->heard > w->guard.incarnation)
            return learn_found(&w->guard, r->heard, r->server.name,
                               "has heard of a later incarnation", e);
    }
    return true;
}

/* Are other data centres asked for something, or could one that is short be given something? */
static bool is_trading(const struct store_pool *p)
{
    const struct trade_context ctx = trading_context(p);

    return p->is_found && (trade_is_needed(&p->pool, &ctx) ||
                           (p->pool.wanted_elsewhere > 0 && pool_free(&p->pool) > 0));
}

static void trade(struct work *w, struct store_pool *p)
{
    const struct pool before = p->pool;

    if (!pool_is_sound(&p->pool))
        return;
    trading_give(p, w->batch->peers);
    trading_plan(p, w->batch->peers, /* answered= */ -1);
    units_moved_add(&w->batch->moved, &before, &p->pool);
}

/*
 * Those that are short ask other data centres; what is no more needed the
 * trader withdraws.  What servers handed back goes to those who lack it.
 */
static bool plan_trades(struct db_conn *c, struct work *w, struct err *e)
{
    const struct peers *peers = w->batch->peers;

    for (size_t i = 0; i < w->pools_count; i++)
        w->pools[i].is_trading = is_trading(&w->pools[i]);
    if (!store_peers_load(c, peers, w->pools, w->pools_count, w->peers, e))
        return false;
    for (size_t i = 0; i < w->pools_count; i++)
        if (w->pools[i].peers)
            trade(w, &w->pools[i]);
    return true;
}

static bool save(struct db_conn *c, struct work *w, struct err *e)
{
    return store_pools_save(c, w->pools, w->pools_count, e) &&
           store_slices_save(c, w->slices, w->slices_count, e) &&
           store_peers_save(c, w->batch->peers, w->pools, w->pools_count, e) &&
           store_news(c, w->pools, w->pools_count, e) &&
           store_peers_tell(c, w->batch->peers, w->pools, w->pools_count, e);
}

static bool topup_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct work *w = arg;

    if (!greet(w, e) || !store_by_key(c, e) ||
        !store_servers_admit(c, w->batch->requests, w->batch->count, e) ||
        !store_pools_lock(c, w->pools, w->pools_count, e) ||
        !store_slices_load(c, w->slices, w->slices_count, e))
        return false;
    refuse_old_ledgers(w);
    if (!decide_all(w, e))
        return false;
    return (w->batch->peers->count == 0 || plan_trades(c, w, e)) &&
           store_servers_spoke(c, w->batch->requests, w->batch->count, e) && save(c, w, e);
}

/* Somebody has to look at why a server and its pool disagree. */
static void report_frozen(const struct work *w)
{
    for (size_t i = 0; i < w->asks_count; i++) {
        const struct ask *a = &w->asks[i];

        if (a->request->refusal != TOPUP_ADMITTED || a->answer->pool.state != POOL_FROZEN)
            continue;
        log_event(LOG_ERROR, "slice.frozen", log_str("cap", a->item->key.cap),
                  log_i64("starts_at_ms", a->item->key.starts_at_ms),
                  log_str("server", a->request->server.name),
                  log_i64("granted", a->answer->pool.granted),
                  log_i64("granted_known", a->item->report.granted_known),
                  log_i64("returned", a->item->report.returned),
                  log_i64("consumed", a->item->report.consumed),
                  log_i64("refunded", a->item->report.refunded));
    }
}

static void report_old_ledgers(const struct topup_batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        const struct topup_server *s = &b->requests[i]->server;

        if (b->requests[i]->refusal == TOPUP_OLD_LEDGER)
            log_event(LOG_ERROR, "ledger.old", log_str("server", s->name),
                      log_str("incarnation", s->incarnation), log_i64("generation", s->generation));
    }
}

bool store_topup(struct db *db, struct witness *witness, struct topup_batch *batch, struct err *e)
{
    auto_work struct work w = {.batch = batch};

    prepare(&w);
    if (!store_guarded(db, witness, &w.guard, topup_tx, &w, e))
        return err_while(e, "topup of %zu items", w.asks_count);
    report_frozen(&w);
    report_old_ledgers(batch);
    return true;
}
