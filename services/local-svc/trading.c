#include "services/local-svc/trading.h"

#include <string.h>

struct trade_context trading_context(const struct store_pool *p)
{
    return (struct trade_context){
        .now_ms = p->now_ms,
        .ends_in_ms = p->state < INTERVAL_CLOSING ? max_i64(p->ends_in_ms, 0) : 0,
        .incarnation = p->incarnation,
    };
}

static void note_told(struct store_pool *p, struct store_peer *q)
{
    /* Saving the pool makes the row that is told newer than all before. */
    p->is_changed = q->is_changed = true;
    q->told_at_ms = p->now_ms;
}

static void tell(struct store_pool *p, struct store_peer *q)
{
    note_told(p, q);
    q->is_to_be_told = true;
}

/* As many of them as can be sent. */
static void send_units(struct store_pool *p, struct store_peer *q, int64_t units)
{
    int64_t n = min_i64(units, trade_sendable(&p->pool, &q->row));

    if (n == 0)
        return;
    trade_send(&p->pool, &q->row, n, p->now_ms);
    tell(p, q);
}

void trading_share(struct store_pool *p, const struct peers *peers, int64_t minted)
{
    /* Those who have had it before would be sent it twice. */
    if (p->pool.in_doubt)
        return;
    for (size_t j = 0; j < peers->count; j++)
        send_units(p, &p->peers[j], peers_share(peers, minted, j));
}

/* The index of the window's home; -1: that is here, or not one of the others. */
static int home_of(const struct store_pool *p, const struct peers *peers)
{
    return p->pool.home ? -1 : peers_find(peers, p->home);
}

bool trading_is_home(const struct store_pool *p, const struct peers *peers, size_t peer)
{
    return home_of(p, peers) == (int)peer;
}

void trading_tell_all(struct store_pool *p, const struct peers *peers)
{
    if (!p->pool.home)
        return;
    for (size_t j = 0; j < peers->count; j++)
        tell(p, &p->peers[j]);
}

void trading_begin(struct store_pool *p, const struct peers *peers)
{
    int home = home_of(p, peers);

    if (home >= 0)
        tell(p, &p->peers[home]);
}

void trading_send_home(struct store_pool *p, const struct peers *peers)
{
    int home = home_of(p, peers);

    if (home >= 0)
        send_units(p, &p->peers[home],
                   trade_excess(&p->pool, peers_own_share(peers, p->pool.requested)));
}

void trading_give(struct store_pool *p, const struct peers *peers)
{
    const struct trade_context ctx = trading_context(p);

    for (size_t j = 0; j < peers->count; j++) {
        struct store_peer *q = &p->peers[j];

        if (q->row.lack > 0 && trade_give(&p->pool, &q->row, &ctx) > 0)
            tell(p, q);
    }
}

static void ask(struct store_pool *p, struct store_peer *q, const struct trade_ask *now,
                bool is_answered)
{
    if (!is_answered && !q->is_to_be_told) {
        int64_t ago_ms = p->now_ms - q->told_at_ms;
        int64_t again_ms = trade_ask_again_ms(&q->row, q->told_at_ms);

        if (trade_is_to_be_told(&p->pool, &q->asked, now, ago_ms, again_ms))
            tell(p, q);
        else if (trade_is_within(ago_ms, again_ms))
            return; /* What was told stays as it was: it is looked at again. */
    }
    if (is_answered)
        note_told(p, q);
    trade_note_ask(&q->row, now, p->now_ms);
    /* Other words are a newer row, also where it is left to a round to tell them. */
    if (memcmp(&q->asked, now, sizeof(*now)) != 0)
        p->is_changed = q->is_changed = true;
    q->asked = *now;
}

bool trading_is_answered(struct store_pool *p, const struct peers *peers)
{
    bool is_answered = true;

    for (size_t j = 0; j < peers->count; j++) {
        struct store_peer *q = &p->peers[j];
        bool has_answered = trade_has_answered(&q->row, p->incarnation);

        is_answered = is_answered && has_answered;
        if (has_answered || trade_is_within(p->now_ms - q->told_at_ms, LEARN_ASK_EVERY_MS))
            continue;
        q->asked = (struct trade_ask){0}; /* in doubt nothing is asked for but the answer */
        tell(p, q);
    }
    return is_answered;
}

void trading_plan(struct store_pool *p, const struct peers *peers, int answered)
{
    const struct trade_context ctx = trading_context(p);
    struct trade_peer rows[TRADE_PEERS_MAX];
    struct trade_ask asks[TRADE_PEERS_MAX];

    for (size_t j = 0; j < peers->count; j++)
        rows[j] = p->peers[j].row;
    /* A window that is over needs nothing: what was asked for is withdrawn. */
    trade_plan(&p->pool, rows, peers->count, home_of(p, peers), &ctx, asks);
    for (size_t j = 0; j < peers->count; j++)
        ask(p, &p->peers[j], &asks[j], (int)j == answered);
}
