#include "tests/sim/sim.h"

struct trade_context trade_time(const struct world *w, int dc, int window)
{
    int64_t ends_ms = (int64_t)(window + 1) * WINDOW_MS;

    if (w->breakage == BREAK_LATE_GIFT)
        ends_ms = WINDOWS * WINDOW_MS;
    /* One more, since at 0 nobody could have been asked. */
    return (struct trade_context){.now_ms = w->now_ms + 1,
                                  .ends_in_ms = max_i64(ends_ms - w->now_ms, 0),
                                  .incarnation = w->dcs[dc].incarnation};
}

/* The same, for what is decided about a peer's row. */
static struct trade_context time_with(const struct world *w, int dc, int peer, int window)
{
    struct trade_context ctx = trade_time(w, dc, window);

    ctx.peer_has_turn = w->breakage != BREAK_NO_TURNS &&
                        trade_has_turn((size_t)w->dcs_count, (size_t)peer, ctx.now_ms);
    return ctx;
}

/* Who has forgotten something asks the others until all have spoken. */
static bool somebody_doubts(const struct world *w, int window)
{
    for (int i = 0; i < w->dcs_count; i++)
        if (w->dcs[i].windows[window].pool.in_doubt)
            return true;
    return false;
}

static void count_row(const struct world *w, struct dc_window *here, int window, int peer)
{
    int64_t second = w->now_ms / 1000;

    if (here->rows_second[peer] != second)
        here->rows_told[peer] = 0;
    here->rows_second[peer] = second;
    here->rows_told[peer]++;
    bool is_calm = w->is_calm && !somebody_doubts(w, window);
    SIM_CHECK(w, here->rows_told[peer] <= (is_calm ? ROWS_IN_CALM : ROWS_PER_SECOND));
}

static void tell(struct world *w, int dc, int peer, int window)
{
    struct dc_window *here = &w->dcs[dc].windows[window];
    struct message m = {.kind = MESSAGE_ROW, .from = dc, .to = peer, .window = window};

    const struct trade_teller teller = {
        .version = ++here->versions[peer],
        .incarnation = w->dcs[dc].incarnation,
        .answers = dc_servers_have_spoken(w, dc),
    };
    m.row = trade_row_for(&here->pool, &here->peers[peer], &here->asked[peer], &teller);
    m.more = m.row.sent - here->told_sent[peer];
    here->told_sent[peer] = m.row.sent;
    here->told_ms[peer] = w->now_ms;
    count_row(w, here, window, peer);
    net_send(w, &m);
}

/* They are told with the next tick at the latest: in transit, and not yet told. */
void trade_units(struct world *w, int dc, int peer, int window, int64_t n)
{
    struct dc_window *here = &w->dcs[dc].windows[window];

    if (trade_in_transit(&here->peers[peer]) == 0)
        here->moved_ms[peer] = w->now_ms;
    trade_send(&here->pool, &here->peers[peer], n, trade_time(w, dc, window).now_ms);
    tell(w, dc, peer, window);
}

void trade_send_home(struct world *w, int dc, int window)
{
    const struct pool *p = &w->dcs[dc].windows[window].pool;
    int64_t share = trade_share(p->requested, (size_t)w->dcs_count, (size_t)dc);
    int64_t excess = trade_excess(p, share);

    if (excess > 0)
        trade_units(w, dc, w->home, window, excess);
}

/* M5: acting on a difference instead of the counter doubles on redelivery. */
static struct trade_row believe_difference(const struct trade_peer *q, const struct message *m)
{
    struct trade_row row = m->row;

    row.sent = q->received + m->more;
    return row;
}

/* What is under way to the asker is not deducted from his wish. */
static struct trade_row forget_what_is_under_way(const struct trade_peer *q,
                                                 const struct message *m)
{
    struct trade_row row = m->row;
    int64_t under_way = max_i64(q->sent - row.received, 0);

    row.want += under_way;
    row.lack += row.lack > 0 ? under_way : 0;
    return row;
}

/* A row of before its sender's database went back counts like any other. */
static struct trade_row believe_old_life(const struct trade_peer *q, const struct message *m)
{
    struct trade_row row = m->row;

    row.incarnation = max_i64(row.incarnation, q->incarnation);
    return row;
}

static struct trade_row as_heard(const struct world *w, struct trade_peer *q,
                                 const struct message *m)
{
    switch ((int)w->breakage) {
    case BREAK_CREDIT: return believe_difference(q, m);
    case BREAK_DOUBLE_GIFT: return m->row.want > 0 ? forget_what_is_under_way(q, m) : m->row;
    case BREAK_NO_FENCE: return believe_old_life(q, m);
    case BREAK_NO_BOUND: q->unechoed_since_ms = w->now_ms + 1; return m->row;
    default: return m->row;
    }
}

/* For the checks: what was heard, and when the account with this peer moved last. */
static void note_row(const struct world *w, struct dc_window *here, const struct message *m,
                     const struct trade_peer *before)
{
    const struct trade_row *heard = &here->heard[m->from];

    if (m->row.incarnation > heard->incarnation ||
        (m->row.incarnation == heard->incarnation && m->row.version > heard->version))
        here->heard[m->from] = m->row;
    if (m->row.received > before->echoed)
        here->moved_ms[m->from] = w->now_ms;
}

static void trade_window(struct world *w, int dc, int window, int answered);

static bool may_answer_wish(const struct world *w, const struct dc_window *here, int peer)
{
    return w->breakage == BREAK_ECHO_CHAMBER ||
           !trade_is_within(w->now_ms - here->told_ms[peer], TRADE_ANSWER_EVERY_MS);
}

void trade_row_arrives(struct world *w, const struct message *m)
{
    struct dc_window *here = &w->dcs[m->to].windows[m->window];
    struct trade_peer *q = &here->peers[m->from];
    const struct trade_context ctx = time_with(w, m->to, m->from, m->window);

    struct trade_row row = as_heard(w, q, m);
    struct trade_peer before = *q;
    struct trade_result t = trade_receive(&here->pool, q, &row, &ctx);

    /* A total that was raised may be known later than the units of it: they come again. */
    SIM_CHECK(w, t.verdict != TRADE_FORGOTTEN || w->breakage != BREAK_NOTHING);
    if (t.verdict != TRADE_APPLIED)
        return;
    here->pool = t.pool;
    *q = t.peer;
    w->traded += t.credited;
    note_row(w, here, m, &before);
    check_gift(w, m->to, m->from, m->window, t.given);
    if (m->from == w->home && trade_has_share_only(&here->pool, &row, &ctx))
        trade_send_home(w, m->to, m->window);
    if (trade_in_transit(&before) == 0 && t.given > 0)
        here->moved_ms[m->from] = w->now_ms;
    if (t.news != POOL_NO_NEWS)
        dc_tell_all(w, m->to, m->window, t.news == POOL_NEWS_RECALL);
    if (t.answer || (t.answer_wish && may_answer_wish(w, here, m->from)))
        trade_window(w, m->to, m->window, m->from);
    trade_left_short(w, m->to, m->window);
}

void trade_left_short(struct world *w, int dc, int window)
{
    struct dc_window *here = &w->dcs[dc].windows[window];
    const struct trade_context ctx = trade_time(w, dc, window);

    for (int j = 0; j < w->dcs_count; j++) {
        struct trade_peer *q = &here->peers[j];
        int64_t in_transit = trade_in_transit(q);
        if (q->lack == 0)
            continue;
        int64_t given = trade_give(&here->pool, q, &ctx);
        check_gift(w, dc, j, window, given);
        if (in_transit == 0 && given > 0)
            here->moved_ms[j] = w->now_ms;
        if (given > 0)
            tell(w, dc, j, window);
    }
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

/* remote-svc says again what is in transit, and everything now and then. */
static bool is_said_again(const struct world *w, const struct dc_window *here, int peer)
{
    int64_t ago_ms = w->now_ms - here->told_ms[peer];
    bool is_open = trade_in_transit(&here->peers[peer]) > 0;

    return w->breakage != BREAK_NO_RESEND && ago_ms >= (is_open ? RESEND_MS / 4 : RESEND_MS);
}

static void ask(struct world *w, int dc, int peer, int window, const struct trade_ask *now,
                bool is_answered)
{
    struct dc_window *here = &w->dcs[dc].windows[window];
    int64_t ago_ms = w->now_ms - here->told_ms[peer];
    int64_t again_ms = trade_ask_again_ms(&here->peers[peer], here->told_ms[peer]);
    bool is_late = w->breakage == BREAK_LATE_ASK && trade_is_within(ago_ms, again_ms);
    bool is_told =
        is_answered || is_said_again(w, here, peer) ||
        (!is_late && trade_is_to_be_told(&here->pool, &here->asked[peer], now, ago_ms, again_ms));

    if (!is_told && trade_is_within(ago_ms, again_ms))
        return;
    trade_note_ask(&here->peers[peer], now, trade_time(w, dc, window).now_ms);
    here->asked[peer] = *now;
    if (is_told)
        tell(w, dc, peer, window);
}

static void trade_window(struct world *w, int dc, int window, int answered)
{
    struct dc_window *here = &w->dcs[dc].windows[window];
    const struct trade_context ctx = trade_time(w, dc, window);
    struct trade_peer peers[DCS_MAX] = {0};
    struct trade_ask asks[DCS_MAX];
    size_t count = 0;

    for (int j = 0; j < w->dcs_count; j++)
        if (j != dc)
            peers[count++] = here->peers[j];
    int home = w->home == dc ? -1 : w->home - (w->home > dc);
    trade_plan(&here->pool, peers, count, home, &ctx, asks);
    for (int j = 0; j < w->dcs_count; j++) {
        if (j == dc)
            continue;
        if (w->breakage == BREAK_UNDO_SEND)
            undo_send(w, here, j);
        ask(w, dc, j, window, &asks[j > dc ? j - 1 : j], j == answered);
    }
}

void trade_tick(struct world *w, int dc)
{
    for (int i = 0; i < WINDOWS && w->dcs_count > 1; i++)
        trade_window(w, dc, i, /* answered= */ -1);
}
