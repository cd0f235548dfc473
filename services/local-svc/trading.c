#include "services/local-svc/trading.h"

#include <string.h>

/* News that follow each other quicker than this are said in one row. */
#define TELL_EVERY_MS 20

static void tell(struct store_pool *p, struct store_peer *q)
{
    /* Saving the pool makes the row that is told newer than all before. */
    p->is_changed = q->is_changed = q->is_to_be_told = true;
    q->told_at_ms = p->now_ms;
}

static void send_units(struct store_pool *p, struct store_peer *q, int64_t units)
{
    if (units == 0)
        return;
    trade_send(&p->pool, &q->row, units);
    tell(p, q);
}

void trading_share(struct store_pool *p, const struct peers *peers, int64_t minted)
{
    for (size_t j = 0; j < peers->count; j++)
        send_units(p, &p->peers[j], min_i64(peers_share(peers, minted, j), pool_free(&p->pool)));
}

void trading_send_home(struct store_pool *p, const struct peers *peers, const char *home)
{
    int at = peers_find(peers, home);

    if (at >= 0)
        send_units(p, &p->peers[at],
                   trade_excess(&p->pool, peers_own_share(peers, p->pool.requested)));
}

/* More than before, or that nobody lacks anything any more: so that others need not hand back. */
static bool asks_anew(const struct trade_ask *before, const struct trade_ask *now)
{
    return now->want > before->want || now->lack > before->lack || now->burn > before->burn ||
           (before->lack > 0 && now->lack == 0);
}

/* A clock that was set back must not silence anyone. */
static bool was_told_within(const struct store_pool *p, const struct store_peer *q, int64_t ms)
{
    return p->now_ms >= q->told_at_ms && p->now_ms < q->told_at_ms + ms;
}

static void ask(struct store_pool *p, struct store_peer *q, const struct trade_ask *now)
{
    bool is_new = asks_anew(&q->asked, now);
    bool too_soon = was_told_within(p, q, TELL_EVERY_MS);

    /* What is asked for no more stays as it was until it can be told: it is looked at again. */
    if (too_soon && now->want == 0)
        return;
    q->is_changed = q->is_changed || memcmp(&q->asked, now, sizeof(*now)) != 0;
    q->asked = *now;
    if ((is_new && !too_soon) || (now->want > 0 && !was_told_within(p, q, TRADING_ASK_AGAIN_MS)))
        tell(p, q);
}

void trading_plan(struct store_pool *p, const struct peers *peers)
{
    struct trade_peer rows[TRADE_PEERS_MAX];
    struct trade_ask asks[TRADE_PEERS_MAX] = {0};

    for (size_t j = 0; j < peers->count; j++)
        rows[j] = p->peers[j].row;
    /* A window that is over needs nothing: what was asked for is withdrawn. */
    if (p->state < INTERVAL_CLOSING)
        trade_plan(&p->pool, rows, peers->count, asks);
    for (size_t j = 0; j < peers->count; j++)
        ask(p, &p->peers[j], &asks[j]);
}
