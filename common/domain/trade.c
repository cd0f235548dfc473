#include "common/domain/trade.h"

#include "common/base/check.h"
#include "common/base/prng.h"
#include "common/domain/learn.h"

#define RATE_MAX (INT64_C(1) << 40)
#define LOW_MS 2000          /* of demand: then others are asked */
#define AHEAD_MS 5000        /* of demand: what is asked for, and what a donor keeps */
#define UNECHOED_MS 2000     /* in transit for so long: the peer may be away */
#define UNANSWERED_MS 1000   /* asked for so long: the same */
#define TURN_MS 1000         /* within it units come from where they are of no use */
#define SHORT_MS 2000        /* after a wish was not met: the next one may be on its way */
#define NEVER_MS 600000      /* calendar time after its end, until which a window may still come */
#define OWN_LIVES_AHEAD 1000 /* of this DC, that its database may have forgotten at most */
#define PEER_LIVES_AHEAD 100000 /* of a peer, more than of any DC that we know */
#define UNECHOED_PART 10 /* of this DC's share: no more may be in transit to who may be away */

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
           is_amount(q->spent) && is_amount(q->incarnation) && is_amount(q->heard) &&
           q->unechoed_since_ms >= 0 && q->unanswered_since_ms >= 0;
}

int64_t trade_in_transit(const struct trade_peer *q)
{
    return q->sent - q->echoed;
}

static int64_t demand(int64_t rate_milli, int64_t ms)
{
    return mul_div(min_i64(max_i64(rate_milli, 0), RATE_MAX), ms, 1000000);
}

/* A window needs nothing for the time after it. */
static int64_t ahead(const struct trade_context *ctx, int64_t ms)
{
    return min_i64(ms, ctx->ends_in_ms);
}

bool trade_never_comes(int64_t ends_at_ms, int64_t calendar_ms)
{
    return ends_at_ms > 0 && calendar_ms > ends_at_ms + NEVER_MS;
}

bool trade_is_within(int64_t ago_ms, int64_t ms)
{
    return ago_ms >= 0 && ago_ms < ms;
}

/* What may still come here: no DC ever holds more than the largest total. */
static int64_t room(const struct pool *p)
{
    int64_t range = UNITS_MAX - p->received;

    return min_i64(max_i64(p->requested_max - pool_holding(p), 0), range);
}

/*
 * No honest peer claims so: that this DC holds more than the total ever was,
 * while nobody has heard of a larger one; or, in doubt, that this DC sent away
 * more than that on top of all that it ever had.  In doubt this DC may have
 * forgotten a raise, and others may know of units that it has yet to hear of:
 * then a true row is refused until they have said so, and is told again.
 */
static bool is_absurd(const struct pool *p, const struct trade_peer *q, const struct trade_row *row)
{
    int64_t credit = max_i64(row->sent - q->received, 0);
    int64_t forgotten = max_i64(row->received - q->sent, 0);
    int64_t holding = pool_holding(p) - forgotten;

    if (forgotten > UNITS_MAX - p->sent || holding + credit < -p->requested_max)
        return true;
    return credit > p->requested_max - holding &&
           max_i64(row->total_max, p->heard_max) <= p->requested_max;
}

/* It has received what we do not know that we sent, or heard of a later life of ours. */
static bool is_forgotten(const struct pool *p, const struct trade_peer *q,
                         const struct trade_row *row, const struct trade_context *ctx)
{
    return row->heard > ctx->incarnation || (row->received > q->sent && !p->in_doubt);
}

static void learn_sent(struct trade_result *t, const struct trade_row *row)
{
    int64_t forgotten = max_i64(row->received - t->peer.sent, 0);

    t->peer.sent += forgotten;
    t->pool.sent += forgotten;
}

/* An incarnation that is out of reach would be the last one that there can be. */
static bool row_is_in_reach(const struct trade_peer *q, const struct trade_row *row,
                            const struct trade_context *ctx)
{
    int64_t known = max_i64(q->incarnation, ctx->incarnation);

    return learn_is_in_reach(row->heard, ctx->incarnation, OWN_LIVES_AHEAD) &&
           learn_is_in_reach(row->incarnation, known, PEER_LIVES_AHEAD);
}

static bool row_is_in_range(const struct trade_row *row)
{
    return is_amount(row->sent) && is_amount(row->received) && is_amount(row->want) &&
           is_amount(row->lack) && is_amount(row->burn) && is_amount(row->free) &&
           is_amount(row->spent) && is_amount(row->total) && is_amount(row->total_max) &&
           is_amount(row->definition) && row->rate_milli >= 0 && row->version >= 0 &&
           is_amount(row->incarnation) && is_amount(row->heard);
}

/* Whoever asks again while units are on their way to him must not be sent them again. */
static void take_hints(struct trade_result *t, const struct trade_row *row)
{
    struct trade_peer *q = &t->peer;
    int64_t on_its_way = q->sent - row->received, lack = max_i64(row->lack - on_its_way, 0);

    t->pool.wanted_elsewhere += lack - q->lack;
    t->pool.spent_elsewhere += row->spent - q->spent;
    q->want = max_i64(row->want - on_its_way, 0);
    q->lack = lack;
    q->burn = max_i64(row->burn - on_its_way, 0);
    q->free = row->free;
    q->spent = row->spent;
    q->rate_milli = row->rate_milli;
    q->version = row->version;
    q->incarnation = row->incarnation;
    q->unanswered_since_ms = 0;
}

static void take_echo(struct trade_peer *q, int64_t received, int64_t now_ms)
{
    if (received <= q->echoed)
        return;
    q->echoed = received;
    q->unechoed_since_ms = now_ms;
}

static void forget_part(int64_t *part, int64_t n)
{
    *part -= min_i64(*part, n);
}

int64_t trade_sendable(const struct pool *p, const struct trade_peer *q)
{
    return min_i64(pool_free(p), UNITS_MAX - max_i64(p->sent, q->sent));
}

/* Whatever it is sent for, it is so much less that the peer wishes for. */
void trade_send(struct pool *p, struct trade_peer *q, int64_t n, int64_t now_ms)
{
    CHECK(n >= 1 && n <= trade_sendable(p, q));
    if (trade_in_transit(q) == 0)
        q->unechoed_since_ms = now_ms;
    q->sent += n;
    p->sent += n;
    p->wanted_elsewhere -= min_i64(q->lack, n);
    forget_part(&q->want, n);
    forget_part(&q->lack, n);
    forget_part(&q->burn, n);
}

/* Our own servers wait for more than there is, or did a moment ago and will again. */
static bool is_short(const struct pool *p, const struct trade_context *ctx)
{
    return p->wanted > 0 || trade_is_within(ctx->now_ms - p->recalled_at_ms, SHORT_MS);
}

/*
 * Half of what this DC's own servers do not lack and their next seconds do not
 * need; in the window's last seconds all of it, since then no more can be
 * needed.  (If only the seconds counted, two that are short could hand the same
 * units to and fro until a server takes them.)  If they need all of it but the
 * asker lacks units already: the part that the asker's demand has in both, and
 * at least one unit; so the last one goes to where it is asked for.  If our own
 * servers are short too, what is free is too little for any of them; unless that
 * part is all that the asker lacks, it is for the one DC whose turn it is.
 */
static int64_t spare(const struct pool *p, const struct trade_peer *q,
                     const struct trade_context *ctx)
{
    int64_t free = pool_free(p), need = p->wanted + demand(p->rate_milli, ahead(ctx, AHEAD_MS));

    if (free > need)
        return ctx->ends_in_ms <= AHEAD_MS ? free - need : (free - need + 1) / 2;
    if (q->lack == 0 || free == 0)
        return 0;
    int64_t here = min_i64(p->rate_milli, RATE_MAX), there = min_i64(q->rate_milli, RATE_MAX);
    int64_t part = max_i64(1, here + there > 0 ? mul_div(free, there, here + there) : 0);
    if (is_short(p, ctx) && (p->wanted > 0 || part < q->lack))
        return ctx->peer_has_turn ? free : 0;
    return part;
}

bool trade_has_turn(size_t count, size_t place, int64_t now_ms)
{
    struct prng lots = {.state = (uint64_t)(now_ms / TURN_MS)};

    CHECK(place < count);
    return prng_below(&lots, (int64_t)count) == (int64_t)place;
}

/*
 * What may still be put on its way to a peer for it to spend.  If nothing has
 * been heard of the last units for long, a tenth of the share, that is of all
 * that this DC holds, spent or not: it does not shrink as the window goes on,
 * and does not depend on how many DCs there are.  A single unit always.
 */
static int64_t risk(const struct pool *p, const struct trade_peer *q,
                    const struct trade_context *ctx)
{
    int64_t in_transit = trade_in_transit(q);

    if (in_transit == 0 || trade_is_within(ctx->now_ms - q->unechoed_since_ms, UNECHOED_MS))
        return UNITS_MAX;
    return max_i64(max_i64(pool_holding(p) / UNECHOED_PART, 1) - in_transit, 0);
}

/* What is to be burned is of no use to anyone here: it may wait in transit as well. */
int64_t trade_give(struct pool *p, struct trade_peer *q, const struct trade_context *ctx)
{
    if (ctx->ends_in_ms == 0 || p->in_doubt)
        return 0;

    int64_t to_burn = min_i64(q->burn, pool_free(p));
    int64_t to_spend = min_i64(q->want, min_i64(spare(p, q, ctx), risk(p, q, ctx)));
    int64_t given = min_i64(max_i64(to_burn, to_spend), trade_sendable(p, q));

    if (given == 0)
        return 0;
    trade_send(p, q, given, ctx->now_ms);
    return given;
}

/* The share of a new window: servers that asked for a first slice before it came have given up. */
static bool is_first_share(const struct pool *before, const struct trade_result *t)
{
    return t->credited > 0 && before->granted == 0 && pool_free(before) == 0;
}

static enum pool_news news_of(const struct pool *before, const struct trade_result *t,
                              bool is_newer)
{
    int64_t had = pool_available(before) + pool_abroad(before);
    int64_t has = pool_available(&t->pool) + pool_abroad(&t->pool);

    if (is_newer && t->peer.lack > 0 && pool_held(&t->pool) > 0)
        return POOL_NEWS_RECALL;
    if (t->pool.wanted > 0 && (t->credited > 0 || (had > 0 && has == 0)))
        return POOL_NEWS_CHANGED;
    if (is_first_share(before, t) || (had == 0 && has > 0))
        return POOL_NEWS_CHANGED;
    return POOL_NO_NEWS;
}

/*
 * In doubt, of rows that were made since: an older one may be of a life of the
 * peer that is over, and we would have forgotten that too.
 */
static int64_t credit_of(const struct pool *p, const struct trade_peer *q,
                         const struct trade_row *row, const struct trade_context *ctx)
{
    if (p->in_doubt && row->heard != ctx->incarnation)
        return 0;
    return min_i64(max_i64(row->sent - q->received, 0), room(p));
}

/* In doubt it counts as one only when all is booked that it says was sent: what had no room may
 * be missing here. */
static bool is_answer(const struct trade_result *t, const struct trade_row *row)
{
    return !t->pool.in_doubt || t->peer.received >= row->sent;
}

/*
 * The newest version that the sender knows to be there.  If it has a larger total of our own
 * version, its home has forgotten some, and given their numbers again: the next one will tell.
 */
static int64_t definition_of(const struct pool *p, const struct trade_row *row)
{
    if (row->definition == 0)
        return row->total_max > p->requested_max ? POOL_DEFINITION_UNSAID : 0;
    bool is_given_again = row->definition == p->definition && row->total > p->requested;
    return min_i64(row->definition + is_given_again, POOL_DEFINITION_UNSAID);
}

static void take_total(struct pool *p, const struct trade_row *row)
{
    p->heard_definition = max_i64(p->heard_definition, definition_of(p, row));
    p->heard_max = max_i64(p->heard_max, row->total_max);
}

static enum trade_verdict judge(const struct pool *p, const struct trade_peer *q,
                                const struct trade_row *row, const struct trade_context *ctx)
{
    if (!row_is_in_range(row) || !row_is_in_reach(q, row, ctx))
        return TRADE_ABSURD;
    if (is_forgotten(p, q, row, ctx))
        return TRADE_FORGOTTEN;
    if (row->incarnation < q->incarnation)
        return TRADE_STALE;
    return is_absurd(p, q, row) ? TRADE_ABSURD : TRADE_APPLIED;
}

struct trade_result trade_receive(const struct pool *p, const struct trade_peer *q,
                                  const struct trade_row *row, const struct trade_context *ctx)
{
    struct trade_result t = {.pool = *p, .peer = *q};
    bool is_reborn = row->incarnation > q->incarnation;
    bool is_newer = is_reborn || row->version > q->version;

    CHECK(pool_is_sound(p) && trade_peer_is_sound(q) && ctx->ends_in_ms >= 0);
    t.verdict = judge(p, q, row, ctx);
    t.answer = t.verdict == TRADE_STALE;
    if (t.verdict != TRADE_APPLIED)
        return t;
    if (p->in_doubt)
        learn_sent(&t, row);
    t.credited = credit_of(&t.pool, q, row, ctx);
    t.pool.received += t.credited;
    t.peer.received += t.credited;
    if (is_answer(&t, row))
        t.peer.heard = max_i64(q->heard, row->heard);
    take_total(&t.pool, row);
    take_echo(&t.peer, row->received, ctx->now_ms);
    if (is_newer)
        take_hints(&t, row);
    pool_burn_excess(&t.pool);
    if (is_newer)
        t.given = trade_give(&t.pool, &t.peer, ctx);
    t.news = news_of(p, &t, is_newer);
    t.answer = is_reborn || t.credited > 0 || t.given > 0 || t.peer.want > q->want ||
               t.peer.lack > q->lack;
    t.answer_wish = (row->in_doubt || (is_newer && row->want > 0)) && !t.answer;

    CHECK(pool_is_sound(&t.pool) && trade_peer_is_sound(&t.peer));
    return t;
}

/* The newest version that is known, for others may need it who heard of a smaller total; 0: any. */
static int64_t definition_to_tell(const struct pool *p)
{
    if (p->heard_definition == POOL_DEFINITION_UNSAID)
        return pool_is_outdated(p) ? 0 : p->definition;
    return max_i64(p->definition, p->heard_definition);
}

struct trade_row trade_row_for(const struct pool *p, const struct trade_peer *q,
                               const struct trade_ask *ask, const struct trade_teller *teller)
{
    bool answers = !p->in_doubt || (teller->answers && pool_free(p) >= 0);
    int64_t definition = definition_to_tell(p);

    return (struct trade_row){
        .sent = q->sent,
        .received = q->received,
        .want = ask->want,
        .lack = ask->lack,
        .burn = ask->burn,
        .free = p->in_doubt ? 0 : pool_free(p),
        .spent = p->consumed - p->refunded + p->presumed,
        .rate_milli = p->rate_milli,
        .total = definition == p->definition ? p->requested : 0,
        .total_max = max_i64(p->requested_max, p->heard_max),
        .definition = definition,
        .version = teller->version,
        .incarnation = teller->incarnation,
        .heard = answers ? q->incarnation : 0,
        .in_doubt = p->in_doubt,
    };
}

bool trade_has_answered(const struct trade_peer *q, int64_t incarnation)
{
    return q->heard == incarnation;
}

static bool is_silent(const struct trade_peer *q, const struct trade_context *ctx)
{
    return q->unanswered_since_ms > 0 &&
           !trade_is_within(ctx->now_ms - q->unanswered_since_ms, UNANSWERED_MS);
}

/* What a peer could give, as far as we know. */
static int64_t spare_there(const struct trade_peer *q, const struct trade_context *ctx)
{
    int64_t kept = demand(q->rate_milli, ahead(ctx, AHEAD_MS));

    return min_i64(max_i64(q->free - kept, 0), RATE_MAX);
}

/* Whom a wish is divided among, and what they have. */
struct crowd {
    int64_t count, spare, free;
};

static void join(struct crowd *c, const struct trade_peer *q, const struct trade_context *ctx)
{
    c->count++;
    c->spare += spare_there(q, ctx);
    c->free += min_i64(q->free, RATE_MAX);
}

/* Splits n over a crowd in proportion to `weights`; evenly, rounded up, if those are unknown. */
static int64_t part_of(int64_t n, int64_t weight, int64_t weights, int64_t count)
{
    if (n == 0)
        return 0;
    if (weights == 0)
        return div_ceil(n, count);
    return min_i64(n, mul_div(n, weight, weights) + (weight > 0));
}

/* What our servers lack now, or soon will. */
static struct trade_ask needs(const struct pool *p, const struct trade_context *ctx)
{
    int64_t free = pool_free(p), abroad = pool_abroad(p);

    if (!p->accepts || p->in_doubt ||
        (p->wanted == 0 && free >= demand(p->rate_milli, ahead(ctx, LOW_MS))))
        return (struct trade_ask){0};
    int64_t target = p->wanted + max_i64(demand(p->rate_milli, ahead(ctx, AHEAD_MS)), 1);
    return (struct trade_ask){
        .want = min_i64(max_i64(target - free, 0), abroad),
        .lack = min_i64(max_i64(p->wanted - free, 0), abroad),
    };
}

bool trade_is_needed(const struct pool *p, const struct trade_context *ctx)
{
    return ctx->ends_in_ms > 0 && !p->in_doubt && (needs(p, ctx).want > 0 || pool_pending(p) > 0);
}

static struct trade_ask part_for(const struct trade_peer *q, const struct trade_ask *all,
                                 const struct crowd *among, const struct trade_context *ctx)
{
    int64_t spare = spare_there(q, ctx);
    int64_t burn = part_of(all->burn, min_i64(q->free, RATE_MAX), among->free, among->count);

    return (struct trade_ask){
        .want = min_i64(part_of(all->want, spare, among->spare, among->count) + burn, UNITS_MAX),
        .lack = min_i64(part_of(all->lack, spare, among->spare, among->count) + burn, UNITS_MAX),
        .burn = burn,
    };
}

void trade_plan(const struct pool *p, const struct trade_peer *peers, size_t count, int home,
                const struct trade_context *ctx, struct trade_ask *ret)
{
    struct crowd everyone = {0}, talking = {0};
    struct trade_ask all = needs(p, ctx);

    all.burn = p->in_doubt ? 0 : pool_pending(p);
    for (size_t j = 0; j < count; j++)
        ret[j] = (struct trade_ask){0};
    if (ctx->ends_in_ms == 0 || (all.want == 0 && all.burn == 0))
        return;
    if (home >= 0 && peers[home].version == 0 && !is_silent(&peers[home], ctx)) {
        ret[home] = all;
        return;
    }
    for (size_t j = 0; j < count; j++) {
        join(&everyone, &peers[j], ctx);
        if (!is_silent(&peers[j], ctx))
            join(&talking, &peers[j], ctx);
    }
    for (size_t j = 0; j < count; j++)
        ret[j] = part_for(&peers[j], &all, is_silent(&peers[j], ctx) ? &everyone : &talking, ctx);
}

void trade_note_ask(struct trade_peer *q, const struct trade_ask *ask, int64_t now_ms)
{
    if (ask->want == 0)
        q->unanswered_since_ms = 0;
    else if (q->unanswered_since_ms == 0)
        q->unanswered_since_ms = now_ms;
}

static bool asks_more(const struct trade_ask *told, const struct trade_ask *now)
{
    return now->want > told->want || now->lack > told->lack || now->burn > told->burn;
}

/* So much more that it must not wait: it cannot double often. */
static bool asks_much_more(const struct trade_ask *told, const struct trade_ask *now)
{
    return now->want / 2 > told->want || now->lack / 2 > told->lack || now->burn / 2 > told->burn ||
           (told->want == 0 && now->want > 0) || (told->lack == 0 && now->lack > 0);
}

/* Not since those who waited have gone, and may come again: what they waited for is here. */
static bool is_met(const struct pool *p, const struct trade_ask *told, const struct trade_ask *now)
{
    return told->lack > 0 && now->lack == 0 && (p->wanted > 0 || told->burn > 0);
}

/*
 * Whoever was heard since knows the wish, and gives as soon as it can.  If nothing was heard, the
 * words were lost, or the answer was, or both are slow: then after twice the time.
 */
int64_t trade_ask_again_ms(const struct trade_peer *q, int64_t told_at_ms)
{
    if (q->unanswered_since_ms == 0)
        return TRADE_ASK_AGAIN_MAX_MS;
    return min_i64(max_i64(told_at_ms - q->unanswered_since_ms, TRADE_ASK_AGAIN_MS),
                   TRADE_ASK_AGAIN_MAX_MS);
}

bool trade_is_to_be_told(const struct pool *p, const struct trade_ask *told,
                         const struct trade_ask *now, int64_t ago_ms, int64_t again_ms)
{
    if (trade_is_within(ago_ms, TRADE_TELL_EVERY_MS))
        return asks_much_more(told, now);
    if (asks_more(told, now) || is_met(p, told, now))
        return true;
    return (now->want > 0 || told->lack > 0) && !trade_is_within(ago_ms, again_ms);
}

int64_t trade_share(int64_t total, size_t count, size_t index)
{
    CHECK(count >= 1 && index < count);
    return total / (int64_t)count + ((int64_t)index < total % (int64_t)count);
}

int64_t trade_excess(const struct pool *p, int64_t share)
{
    return p->home || p->in_doubt ? 0 : min_i64(pool_free(p), max_i64(pool_holding(p) - share, 0));
}

bool trade_has_share_only(const struct pool *p, const struct trade_row *row,
                          const struct trade_context *ctx)
{
    bool was_asked = p->granted > 0 || p->wanted > 0 || p->rate_milli > 0;

    return ctx->ends_in_ms > 0 && row->total == p->requested && !was_asked;
}
