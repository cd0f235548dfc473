#include "tests/sim/sim.h"

static void tell(struct world *w, int dc, int peer, int window)
{
    struct dc_window *here = &w->dcs[dc].windows[window];
    struct message m = {.kind = MESSAGE_ROW, .from = dc, .to = peer, .window = window};

    m.row =
        trade_row_for(&here->pool, &here->peers[peer], &here->asked[peer], ++here->versions[peer]);
    m.more = m.row.sent - here->told_sent[peer];
    here->told_sent[peer] = m.row.sent;
    here->told_ms[peer] = w->now_ms;
    net_send(w, &m);
}

/* M5: acting on a difference instead of the counter doubles on redelivery. */
static struct trade_row believe_difference(const struct trade_peer *q, const struct message *m)
{
    struct trade_row row = m->row;

    row.sent = q->received + m->more;
    return row;
}

void trade_row_arrives(struct world *w, const struct message *m)
{
    struct dc_window *here = &w->dcs[m->to].windows[m->window];
    struct trade_peer *q = &here->peers[m->from];
    struct trade_row row = w->breakage == BREAK_CREDIT ? believe_difference(q, m) : m->row;
    struct trade_result t = trade_receive(&here->pool, q, &row);

    /* A total that was raised may be known later than the units of it: they come again. */
    if (t.verdict != TRADE_APPLIED)
        return;
    here->pool = t.pool;
    *q = t.peer;
    w->traded += t.credited;
    if (t.news != POOL_NO_NEWS)
        dc_tell_all(w, m->to, m->window, t.news == POOL_NEWS_RECALL);
    if (t.answer)
        tell(w, m->to, m->from, m->window);
}

/* There is no cancel: what was sent belongs to the receiver. */
static void undo_send(struct world *w, struct dc_window *here, int peer)
{
    struct trade_peer *q = &here->peers[peer];

    if (trade_in_transit(q) > 0 && chance(w, 5)) {
        here->pool.sent -= trade_in_transit(q);
        q->sent = q->echoed;
    }
}

static bool asks_anew(const struct trade_ask *before, const struct trade_ask *now)
{
    return now->want > before->want || now->lack > before->lack || now->burn > before->burn ||
           (before->lack > 0 && now->lack == 0);
}

static void trade_window(struct world *w, int dc, int window)
{
    struct dc_window *here = &w->dcs[dc].windows[window];
    struct trade_peer peers[DCS_MAX] = {0};
    struct trade_ask asks[DCS_MAX];
    int index[DCS_MAX];
    size_t count = 0;

    for (int j = 0; j < w->dcs_count; j++)
        if (j != dc) {
            index[count] = j;
            peers[count++] = here->peers[j];
        }
    trade_plan(&here->pool, peers, count, asks);
    for (size_t k = 0; k < count; k++) {
        int j = index[k];
        bool is_new = asks_anew(&here->asked[j], &asks[k]);
        bool is_open = asks[k].want > 0 || trade_in_transit(&here->peers[j]) > 0;

        here->asked[j] = asks[k];
        if (w->breakage == BREAK_UNDO_SEND)
            undo_send(w, here, j);
        if ((is_new && w->now_ms >= here->told_ms[j] + 20) ||
            (is_open && w->now_ms >= here->told_ms[j] + RESEND_MS / 4) ||
            w->now_ms >= here->told_ms[j] + RESEND_MS)
            tell(w, dc, j, window);
    }
}

void trade_tick(struct world *w, int dc)
{
    for (int i = 0; i < WINDOWS && w->dcs_count > 1; i++)
        trade_window(w, dc, i);
}
