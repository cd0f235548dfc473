#include "common/domain/pool.h"

#include "common/base/check.h"
#include "common/domain/cap.h"

/* A recall makes every holder report; more often than this it would only repeat itself. */
#define RECALL_EVERY_MS 50

/* A single slice's unmet wish counts up to this, so that sums of wishes cannot overflow. */
#define WANTED_MAX (INT64_C(1) << 40)

const char *const pool_state_names[] = {
#define X(state, name) name,
    POOL_STATES(X)
#undef X
        NULL};

static bool is_amount(int64_t n)
{
    return n >= 0 && n <= UNITS_MAX;
}

bool pool_slice_is_sound(const struct pool_slice *s)
{
    return is_amount(s->granted) && is_amount(s->returned) && is_amount(s->consumed) &&
           is_amount(s->refunded) && s->refunded <= s->consumed && pool_slice_rest(s) >= 0 &&
           s->presumed >= 0 && s->wanted >= 0;
}

bool pool_is_sound(const struct pool *p)
{
    return is_amount(p->requested) && is_amount(p->minted) && is_amount(p->burned) &&
           is_amount(p->granted) && is_amount(p->returned) && is_amount(p->consumed) &&
           is_amount(p->refunded) && is_amount(p->received) && is_amount(p->sent) &&
           p->requested <= p->requested_max && p->definition >= 0 && p->heard_max >= 0 &&
           p->heard_definition >= 0 && p->burned <= p->minted && p->refunded <= p->consumed &&
           (p->in_doubt || pool_free(p) >= 0) && pool_held(p) >= 0 && p->presumed >= 0 &&
           p->wanted >= 0 && p->wanted_elsewhere >= 0;
}

bool pool_has_slice(const struct pool *p, const struct pool_slice *s)
{
    return s->granted <= p->granted && s->returned <= p->returned && s->consumed <= p->consumed &&
           s->refunded <= p->refunded && s->presumed <= p->presumed && s->wanted <= p->wanted;
}

int64_t pool_free(const struct pool *p)
{
    return pool_holding(p) - p->granted + p->returned;
}

int64_t pool_held(const struct pool *p)
{
    return p->granted - p->returned - p->consumed + p->refunded;
}

int64_t pool_holding(const struct pool *p)
{
    return p->minted - p->burned + p->received - p->sent;
}

int64_t pool_effective(const struct pool *p)
{
    return p->minted - p->burned;
}

int64_t pool_pending(const struct pool *p)
{
    return p->home ? max_i64(pool_effective(p) - p->requested, 0) : 0;
}

int64_t pool_overspent(const struct pool *p)
{
    return max_i64(p->consumed - p->refunded + p->spent_elsewhere - p->requested, 0);
}

int64_t pool_slice_rest(const struct pool_slice *s)
{
    return s->granted - s->returned - s->consumed + s->refunded;
}

int64_t pool_slice_max(const struct pool *p)
{
    return max_i64(1, mul_div(p->requested, p->slice_max_ppm, PPM));
}

/* A server asks again at half a slice at the latest, and is then given one more. */
int64_t pool_strand_max(const struct pool *p)
{
    return pool_slice_max(p) + pool_slice_max(p) / 2;
}

int64_t pool_available(const struct pool *p)
{
    return max_i64(pool_free(p) + pool_held(p) - p->presumed - pool_pending(p), 0);
}

bool pool_is_outdated(const struct pool *p)
{
    return p->heard_max > p->requested_max && p->heard_definition > p->definition;
}

/*
 * What is neither spent, as far as we heard, nor here; units under way to us
 * are in it.  If others have heard of a raise that we have not, nobody can say
 * here that everything is spent.
 */
int64_t pool_abroad(const struct pool *p)
{
    int64_t gone = p->consumed - p->refunded + p->presumed + p->spent_elsewhere;
    bool is_outdated = pool_is_outdated(p);
    int64_t total = is_outdated ? p->heard_max : p->requested;

    return max_i64(total - gone - pool_available(p), is_outdated);
}

/* Without a measured rate: a fixed part of the DC's share; else what lasts for `autonomy`. */
static int64_t slice_by_demand(const struct pool *p, int64_t rate_milli)
{
    if (rate_milli < 0)
        return mul_div(pool_holding(p), p->topup_ppm, PPM);
    return mul_div(min_i64(rate_milli, WANTED_MAX), p->autonomy_ms, 1000000);
}

int64_t pool_slice_size(const struct pool *p, const struct pool_context *ctx, int64_t want,
                        int64_t rate_milli)
{
    CHECK(want >= 1 && ctx->active_servers >= 1);

    /* Half of an even share, so that slices shrink as the pool drains and little is left idle. */
    int64_t even = pool_free(p) / (2 * ctx->active_servers);
    int64_t size = min_i64(slice_by_demand(p, rate_milli), min_i64(pool_slice_max(p), even));

    return min_i64(max_i64(size, want), pool_free(p));
}

/* Units that are above the requested total are burned as soon as they are free. */
void pool_burn_excess(struct pool *p)
{
    if (!p->in_doubt)
        p->burned += min_i64(pool_free(p), pool_pending(p));
}

struct pool pool_retarget(const struct pool *p, int64_t requested)
{
    struct pool after = *p;

    CHECK(pool_is_sound(p) && is_amount(requested));
    after.requested = requested;
    after.requested_max = max_i64(p->requested_max, requested);
    /* Minting past what a counter can hold would need 2^53 units minted and burned before. */
    if (p->home)
        after.minted += min_i64(max_i64(requested - pool_effective(p), 0), UNITS_MAX - p->minted);
    pool_burn_excess(&after);
    CHECK(pool_is_sound(&after));
    return after;
}

/* No server of ours says such a thing: its ledger is not what it was. */
static bool contradicts(const struct pool *p, const struct pool_slice *s,
                        const struct pool_report *r)
{
    int64_t granted = max_i64(s->granted, r->granted_known);

    return r->refunded > r->consumed || r->returned + r->consumed - r->refunded > granted ||
           granted - s->granted > UNITS_MAX - p->granted;
}

static void raise(int64_t *slice, int64_t *pool, int64_t reported)
{
    int64_t more = max_i64(reported - *slice, 0);

    *slice += more;
    *pool += more;
}

/* The maximum of each counter: reports may be lost, repeated, late or out of order. */
static void apply_report(struct pool *p, struct pool_slice *s, const struct pool_report *r)
{
    if (p->in_doubt)
        raise(&s->granted, &p->granted, r->granted_known);
    raise(&s->returned, &p->returned, r->returned);
    raise(&s->consumed, &p->consumed, r->consumed);
    raise(&s->refunded, &p->refunded, r->refunded);
}

/* Who speaks is not silent, and says anew what it wants. */
static void forget_silence(struct pool *p, struct pool_slice *s)
{
    p->rate_milli -= s->rate_milli;
    s->rate_milli = 0;
    p->presumed -= s->presumed;
    s->presumed = 0;
    p->wanted -= s->wanted;
    s->wanted = 0;
}

static void note_rate(struct pool *p, struct pool_slice *s, const struct pool_report *r)
{
    s->rate_milli = min_i64(max_i64(r->rate_milli, 0), WANTED_MAX);
    p->rate_milli += s->rate_milli;
}

static void grant(struct pool *p, struct pool_slice *s, int64_t units)
{
    s->granted += units;
    p->granted += units;
}

/* What the pool may give this slice now for its wish; all counters stay within their range. */
static int64_t grantable(const struct pool *p, const struct pool_slice *s,
                         const struct pool_report *r, const struct pool_context *ctx)
{
    int64_t range = UNITS_MAX - max_i64(p->granted, s->granted);

    if (pool_free(p) < r->want_min)
        return 0;
    return min_i64(pool_slice_size(p, ctx, r->want, r->rate_milli), range);
}

/* What may still come to this slice from elsewhere. */
static int64_t left_elsewhere(const struct pool *p, const struct pool_slice *s)
{
    return max_i64(pool_available(p) - pool_slice_rest(s), 0) + pool_abroad(p);
}

/*
 * How much of its rest a slice may keep.  If nobody else is short, up to the
 * bound on what a lost server may strand.  Otherwise it gives its part of what
 * is wanted, and all that its own demand does not need; at least one unit, so
 * that the last one gets to where it is asked for.  What was granted just now
 * is kept: someone waits for it.
 */
static int64_t keep_of(const struct pool *p, const struct pool_slice *s,
                       const struct pool_report *r, bool granted_now)
{
    int64_t rest = pool_slice_rest(s);
    int64_t wanted = p->wanted - s->wanted + p->wanted_elsewhere + pool_pending(p);

    if (granted_now || rest == 0)
        return UNITS_MAX;
    if (wanted == 0)
        return r->want > 0 ? UNITS_MAX : pool_strand_max(p);

    int64_t own_need = r->rate_milli < 0 ? 0 : slice_by_demand(p, r->rate_milli);
    int64_t part = mul_div(rest, min_i64(wanted, pool_held(p)), pool_held(p));
    int64_t give = max_i64(1, max_i64(part, rest - own_need));
    return rest - min_i64(give, rest);
}

/* A wish that nothing here can meet: others may hold units, or everything is spent. */
static void go_dry(struct pool_topup *t, const struct pool_report *r,
                   const struct pool_context *ctx)
{
    if (left_elsewhere(&t->pool, &t->slice) == 0) {
        t->answer.state = POOL_USED_UP;
        return;
    }
    t->answer.state = POOL_DRY;
    /* Nobody anywhere has so much: that is a 429, and no reason to ask others. */
    if (left_elsewhere(&t->pool, &t->slice) < r->want_min)
        return;
    t->slice.wanted = min_i64(r->want, WANTED_MAX);
    t->pool.wanted += t->slice.wanted;
    if (ctx->now_ms - t->pool.recalled_at_ms >= RECALL_EVERY_MS ||
        ctx->now_ms < t->pool.recalled_at_ms) {
        t->pool.recalled_at_ms = ctx->now_ms;
        t->news = POOL_NEWS_RECALL;
    }
}

/* So that who only reports need not ask to know.  What others wait for is not free for him. */
static int state_without_wish(const struct pool_topup *t)
{
    if (pool_free(&t->pool) > t->pool.wanted)
        return POOL_OPEN;
    return left_elsewhere(&t->pool, &t->slice) > 0 ? POOL_DRY : POOL_USED_UP;
}

/* Grants what is wanted, if the server knows of all that it was granted before. */
static void decide(struct pool_topup *t, const struct pool_report *r,
                   const struct pool_context *ctx)
{
    t->answer.state = state_without_wish(t);
    if (r->want == 0 || r->granted_known < t->slice.granted)
        return;
    /* What those who wait could not get yet is not for stock. */
    if (r->want_min == 0 && t->pool.wanted > 0 && t->answer.state != POOL_OPEN)
        return;

    int64_t units = grantable(&t->pool, &t->slice, r, ctx);
    if (units == 0) {
        go_dry(t, r, ctx);
        return;
    }
    if (r->want_min == 0)
        units = min_i64(units, pool_free(&t->pool) - t->pool.wanted);
    t->answer.state = POOL_OPEN;
    grant(&t->pool, &t->slice, units);
}

/*
 * What others must hear: units came free for those who are short; the last one
 * was spent; or more can be spent than they remember (a refund, a server that
 * speaks again), and some of them say "used up" from memory.
 */
static enum pool_news news_of(const struct pool *before, const struct pool_topup *t)
{
    int64_t had = pool_available(before) + pool_abroad(before);
    int64_t has = pool_available(&t->pool) + pool_abroad(&t->pool);
    bool others_want = t->pool.wanted - t->slice.wanted > 0;
    bool came_free = pool_free(&t->pool) > pool_free(before);

    if (t->news != POOL_NO_NEWS)
        return t->news;
    if (has > had || (others_want && (came_free || (had > 0 && has == 0))))
        return POOL_NEWS_CHANGED;
    return POOL_NO_NEWS;
}

/* Nothing is granted, and everything is to be handed back. */
static struct pool_answer refusal(const struct pool_slice *s, enum pool_state state)
{
    return (struct pool_answer){.granted = s->granted, .state = (int)state};
}

/* Nobody can say yet what is left: consumers are told to come again, not that it is used up. */
static struct pool_answer unsure(const struct pool *p)
{
    return (struct pool_answer){
        .keep = UNITS_MAX, .left = max_i64(p->requested, 1), .state = POOL_DRY};
}

/* Nobody knows what such a server let through: its rest counts as spent from now on. */
static struct pool_topup freeze(const struct pool *p, const struct pool_slice *s)
{
    struct pool_topup t = pool_presume(p, s);

    t.slice.frozen = true;
    t.answer = refusal(s, POOL_FROZEN);
    return t;
}

struct pool_topup pool_topup(const struct pool *p, const struct pool_slice *s,
                             const struct pool_report *r, const struct pool_context *ctx)
{
    struct pool_topup t = {.pool = *p, .slice = *s};

    CHECK(pool_is_sound(p) && pool_slice_is_sound(s));
    CHECK(is_amount(r->granted_known) && is_amount(r->returned) && is_amount(r->consumed) &&
          is_amount(r->refunded) && is_amount(r->want));
    CHECK(r->want == 0 || is_amount(r->want_min));

    if (s->frozen || contradicts(p, s, r))
        return freeze(p, s);
    if (r->granted_known > s->granted && !p->in_doubt) {
        t.is_forgotten = true;
        return t;
    }
    forget_silence(&t.pool, &t.slice);
    apply_report(&t.pool, &t.slice, r);
    note_rate(&t.pool, &t.slice, r);
    pool_burn_excess(&t.pool);

    if (!p->accepts) {
        t.answer = refusal(&t.slice, p->paused ? POOL_PAUSED : POOL_CLOSED);
    } else if (p->in_doubt) {
        t.answer = unsure(p);
        t.answer.granted = t.slice.granted;
    } else {
        decide(&t, r, ctx);
        t.answer.granted = t.slice.granted;
        t.answer.left = left_elsewhere(&t.pool, &t.slice);
        t.answer.keep = keep_of(&t.pool, &t.slice, r, t.slice.granted > s->granted);
    }
    t.news = news_of(p, &t);

    CHECK(pool_is_sound(&t.pool) && pool_slice_is_sound(&t.slice));
    return t;
}

/* What this DC's servers hold or spent was minted, though it may be above every total that is
 * known here.  Nobody else's word raises that bound. */
static int64_t minted_at_most(const struct pool *p)
{
    return max_i64(p->requested_max, p->home ? p->granted - p->returned : 0);
}

struct pool pool_trust(const struct pool *p)
{
    struct pool after = *p;
    int64_t missing = max_i64(-pool_free(p), 0);

    CHECK(pool_is_sound(p));
    if (missing > 0 && (!p->home || missing > UNITS_MAX - p->minted))
        return after;
    after.minted += missing;
    after.requested_max = minted_at_most(p);
    if (max_i64(pool_holding(&after), pool_effective(&after)) > after.requested_max)
        return *p;
    after.in_doubt = false;
    pool_burn_excess(&after);
    CHECK(pool_is_sound(&after));
    return after;
}

struct pool_topup pool_presume(const struct pool *p, const struct pool_slice *s)
{
    struct pool_topup t = {.pool = *p, .slice = *s};

    CHECK(pool_is_sound(p) && pool_slice_is_sound(s));
    forget_silence(&t.pool, &t.slice);
    t.slice.presumed = pool_slice_rest(s);
    t.pool.presumed += t.slice.presumed;
    if (t.slice.presumed != s->presumed)
        t.news = POOL_NEWS_CHANGED;
    return t;
}

struct pool_topup pool_forget_wish(const struct pool *p, const struct pool_slice *s)
{
    struct pool_topup t = {.pool = *p, .slice = *s};

    CHECK(pool_is_sound(p) && pool_slice_is_sound(s));
    t.pool.wanted -= s->wanted;
    t.pool.rate_milli -= s->rate_milli;
    t.slice.wanted = 0;
    t.slice.rate_milli = 0;
    return t;
}
