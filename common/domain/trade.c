#include "common/domain/trade.h"

#include "common/base/check.h"

#define RATE_MAX (INT64_C(1) << 40)
#define LOW_MS 2000   /* of demand: then others are asked */
#define AHEAD_MS 5000 /* of demand: what is asked for, and what a donor keeps */

const char *const trade_verdict_names[] = {
#define X(verdict, name) name,
    TRADE_VERDICTS(X)
#undef X
        NULL};

static bool is_amount(int64_t n)
{
    return n >= 0 && n <= UNITS_MAX;
}

bool trade_peer_is_sound(const struct trade_peer *q)
{
    return is_amount(q->sent) && is_amount(q->received) && is_amount(q->echoed) &&
           q->echoed <= q->sent && is_amount(q->want) && is_amount(q->lack) && is_amount(q->burn) &&
           is_amount(q->spent);
}

int64_t trade_in_transit(const struct trade_peer *q)
{
    return q->sent - q->echoed;
}

static int64_t demand(int64_t rate_milli, int64_t ms)
{
    return mul_div(min_i64(max_i64(rate_milli, 0), RATE_MAX), ms, 1000000);
}

/*
 * No honest peer claims so: what it sent would make this DC hold more than the
 * total ever was, or it has received what we never sent.
 */
static bool is_absurd(const struct pool *p, const struct trade_peer *q, const struct trade_row *row)
{
    int64_t credit = max_i64(row->sent - q->received, 0);

    return row->received > q->sent || credit > p->requested_max - pool_holding(p);
}

static bool row_is_in_range(const struct trade_row *row)
{
    return is_amount(row->sent) && is_amount(row->received) && is_amount(row->want) &&
           is_amount(row->lack) && is_amount(row->burn) && is_amount(row->free) &&
           is_amount(row->spent) && row->rate_milli >= 0 && row->version >= 0;
}

static void take_hints(struct trade_result *t, const struct trade_row *row)
{
    struct trade_peer *q = &t->peer;

    t->pool.wanted_elsewhere += row->lack - q->lack;
    t->pool.spent_elsewhere += row->spent - q->spent;
    q->want = row->want;
    q->lack = row->lack;
    q->burn = row->burn;
    q->free = row->free;
    q->spent = row->spent;
    q->rate_milli = row->rate_milli;
    q->version = row->version;
}

void trade_send(struct pool *p, struct trade_peer *q, int64_t n)
{
    CHECK(n >= 1 && n <= pool_free(p));
    q->sent += n;
    p->sent += n;
}

/*
 * Half of what this DC's own servers do not lack and their next seconds do not
 * need.  (If only the seconds counted, two that are short could hand the same
 * units to and fro until a server takes them.)  If they need all of it but the
 * asker lacks units already: the part that the asker's demand has in both, and
 * at least one unit unless our own servers lack some too; so the last one goes
 * to where it is asked for.
 */
static int64_t spare(const struct pool *p, const struct trade_peer *q)
{
    int64_t free = pool_free(p), need = p->wanted + demand(p->rate_milli, AHEAD_MS);

    if (free > need)
        return (free - need + 1) / 2;
    if (q->lack == 0 || p->wanted > 0 || free == 0)
        return 0;
    int64_t here = min_i64(p->rate_milli, RATE_MAX), there = min_i64(q->rate_milli, RATE_MAX);
    return max_i64(1, here + there > 0 ? mul_div(free, there, here + there) : 0);
}

static void forget_part(int64_t *part, int64_t given)
{
    *part -= min_i64(*part, given);
}

static void give(struct trade_result *t)
{
    struct trade_peer *q = &t->peer;
    int64_t range = UNITS_MAX - max_i64(t->pool.sent, q->sent);
    int64_t to_burn = min_i64(q->burn, pool_free(&t->pool));
    int64_t to_spend = min_i64(q->want, spare(&t->pool, q));

    t->given = min_i64(max_i64(to_burn, to_spend), range);
    if (t->given == 0)
        return;
    trade_send(&t->pool, q, t->given);
    t->pool.wanted_elsewhere -= min_i64(q->lack, t->given);
    forget_part(&q->want, t->given);
    forget_part(&q->lack, t->given);
    forget_part(&q->burn, t->given);
}

static enum pool_news news_of(const struct pool *before, const struct trade_result *t)
{
    int64_t had = pool_available(before) + pool_abroad(before);
    int64_t has = pool_available(&t->pool) + pool_abroad(&t->pool);

    if (t->peer.lack > 0 && pool_held(&t->pool) > 0)
        return POOL_NEWS_RECALL;
    if (t->pool.wanted > 0 && (t->credited > 0 || (had > 0 && has == 0)))
        return POOL_NEWS_CHANGED;
    return had == 0 && has > 0 ? POOL_NEWS_CHANGED : POOL_NO_NEWS;
}

struct trade_result trade_receive(const struct pool *p, const struct trade_peer *q,
                                  const struct trade_row *row)
{
    struct trade_result t = {.pool = *p, .peer = *q};

    CHECK(pool_is_sound(p) && trade_peer_is_sound(q));
    if (!row_is_in_range(row) || is_absurd(p, q, row)) {
        t.verdict = TRADE_ABSURD;
        return t;
    }
    t.credited = max_i64(row->sent - q->received, 0);
    t.pool.received += t.credited;
    t.peer.received += t.credited;
    t.peer.echoed = max_i64(q->echoed, row->received);
    if (row->version > q->version)
        take_hints(&t, row);
    pool_burn_excess(&t.pool);
    if (row->version > q->version)
        give(&t);
    t.news = news_of(p, &t);
    t.answer = t.credited > 0 || t.given > 0 || (row->version > q->version && row->lack > 0);

    CHECK(pool_is_sound(&t.pool) && trade_peer_is_sound(&t.peer));
    return t;
}

struct trade_row trade_row_for(const struct pool *p, const struct trade_peer *q,
                               const struct trade_ask *ask, int64_t version)
{
    return (struct trade_row){
        .sent = q->sent,
        .received = q->received,
        .want = ask->want,
        .lack = ask->lack,
        .burn = ask->burn,
        .free = pool_free(p),
        .spent = p->consumed - p->refunded + p->presumed,
        .rate_milli = p->rate_milli,
        .version = version,
    };
}

/* What a peer could give, as far as we know. */
static int64_t spare_there(const struct trade_peer *q)
{
    return max_i64(q->free - demand(q->rate_milli, AHEAD_MS), 0);
}

/* Splits n over the peers in proportion to `weights`; evenly, rounded up, if those are unknown. */
static int64_t part_of(int64_t n, int64_t weight, int64_t weights, size_t count)
{
    if (n == 0)
        return 0;
    if (weights == 0)
        return div_ceil(n, (int64_t)count);
    return min_i64(n, mul_div(n, weight, weights) + (weight > 0));
}

/* What our servers lack now, or soon will. */
static struct trade_ask needs(const struct pool *p)
{
    int64_t free = pool_free(p), abroad = pool_abroad(p);

    if (!p->accepts || (p->wanted == 0 && free >= demand(p->rate_milli, LOW_MS)))
        return (struct trade_ask){0};
    int64_t target = p->wanted + max_i64(demand(p->rate_milli, AHEAD_MS), 1);
    return (struct trade_ask){
        .want = min_i64(max_i64(target - free, 0), abroad),
        .lack = min_i64(max_i64(p->wanted - free, 0), abroad),
    };
}

bool trade_is_needed(const struct pool *p)
{
    return needs(p).want > 0 || pool_pending(p) > 0;
}

void trade_plan(const struct pool *p, const struct trade_peer *peers, size_t count,
                struct trade_ask *ret)
{
    struct trade_ask all = needs(p);
    int64_t burn = pool_pending(p), spares = 0, frees = 0;

    for (size_t j = 0; j < count; j++) {
        spares += min_i64(spare_there(&peers[j]), RATE_MAX);
        frees += min_i64(peers[j].free, RATE_MAX);
    }
    for (size_t j = 0; j < count; j++) {
        int64_t spare_j = min_i64(spare_there(&peers[j]), RATE_MAX);
        int64_t burn_j = part_of(burn, min_i64(peers[j].free, RATE_MAX), frees, count);

        ret[j] = (struct trade_ask){
            .want = min_i64(part_of(all.want, spare_j, spares, count) + burn_j, UNITS_MAX),
            .lack = min_i64(part_of(all.lack, spare_j, spares, count) + burn_j, UNITS_MAX),
            .burn = burn_j,
        };
    }
}

int64_t trade_share(int64_t total, size_t count, size_t index)
{
    CHECK(count >= 1 && index < count);
    return total / (int64_t)count + ((int64_t)index < total % (int64_t)count);
}

int64_t trade_excess(const struct pool *p, int64_t share)
{
    return p->home ? 0 : min_i64(pool_free(p), max_i64(pool_holding(p) - share, 0));
}
