#include "common/domain/slice.h"

#include "common/base/check.h"
#include "common/base/num.h"

#define RATE_SMOOTH_MS 5000 /* the weight of the past halves in about 3.5 s */
#define RATE_KNOWN_MS 1000
#define RATE_STEP_MS 100 /* shorter samples say nothing */
#define RATE_MAX (INT64_C(1) << 40)

void rate_measure(struct rate *r, int64_t asked, int64_t now_ms)
{
    CHECK(asked >= 0);

    if (r->first_ms == 0) {
        if (asked == 0)
            return;
        r->first_ms = now_ms;
        r->since_ms = now_ms;
    }

    int64_t elapsed = max_i64(now_ms - r->since_ms, 0);
    /* Demand that came within one step is spread over a step. */
    int64_t span = max_i64(elapsed, RATE_STEP_MS);
    int64_t sample = mul_div(min_i64(asked, RATE_MAX), 1000000, span);
    int64_t weight = min_i64(span, 60 * 1000);

    r->milli += (min_i64(sample, RATE_MAX) - r->milli) * weight / (weight + RATE_SMOOTH_MS);
    r->since_ms = now_ms;
}

int64_t rate_milli(const struct rate *r, int64_t now_ms)
{
    bool known = r->first_ms != 0 && now_ms - r->first_ms >= RATE_KNOWN_MS;

    return known ? r->milli : RATE_UNKNOWN;
}

/* Units that the measured demand takes in so many milliseconds. */
static int64_t demand(int64_t rate_milli, int64_t ms)
{
    return rate_milli <= 0 ? 0 : mul_div(min_i64(rate_milli, RATE_MAX), ms, 1000000);
}

int64_t slice_low_water(const struct slice *s, int64_t rate_milli)
{
    int64_t tenth = s->last_slice / 10;
    int64_t half_autonomy = demand(rate_milli, s->autonomy_ms / 2);

    /* Never above half a slice: a slice just received must not be low at once. */
    return max_i64(tenth, min_i64(half_autonomy, s->last_slice / 2));
}

struct slice slice_new(int64_t autonomy_ms)
{
    return (struct slice){
        .state = POOL_OPEN,
        .left = UNITS_MAX,
        .keep = UNITS_MAX,
        .autonomy_ms = autonomy_ms,
    };
}

int64_t slice_want(const struct slice *s, int64_t rest, int64_t rate_milli)
{
    CHECK(rest >= 0 && s->short_of >= 0);

    bool first = s->last_slice == 0 && s->state == POOL_OPEN;
    bool low = s->asked && s->state == POOL_OPEN && rest <= slice_low_water(s, rate_milli);

    if (s->short_of == 0 && !first && !low)
        return 0;
    /* Only what consumers wait for: how much more makes sense is the pool's to decide. */
    return max_i64(1, s->short_of);
}

struct pool_report slice_report(struct slice *s, const struct slot *slot, int64_t rate_milli)
{
    struct slot_counts c = slot ? slot_counts(slot) : (struct slot_counts){0};

    s->wished = slice_want(s, slot ? slot_rest(slot) : 0, rate_milli);
    return (struct pool_report){
        .granted_known = c.granted,
        .returned = c.returned,
        .consumed = c.consumed,
        .refunded = c.refunded,
        .want = s->wished,
        .want_min = s->short_of > 0 ? max_i64(min_i64(s->short_min, s->wished), 1) : 0,
        .rate_milli = rate_milli,
    };
}

int64_t slice_apply(struct slice *s, struct slot *slot, const struct pool_answer *a)
{
    int64_t known = slot ? atomic_load(&slot->granted) : 0;
    int64_t units = max_i64(a->granted - known, 0);

    CHECK(slot || units == 0);
    if (units > 0) {
        slot_grant(slot, a->granted);
        s->last_slice = units;
        s->asked = false;
    }
    s->state = a->state;
    s->left = a->left;
    s->keep = a->keep;
    s->is_noted = a->state == POOL_DRY && s->wished > 0;
    return units;
}

bool slice_must_retract(const struct slice *s)
{
    return s->is_noted && s->short_of == 0;
}

void slice_news(struct slice *s)
{
    s->state = POOL_OPEN;
    s->left = UNITS_MAX;
}

int64_t slice_surplus(const struct slice *s, int64_t rest)
{
    bool is_waited_for = s->short_of > 0 && s->state != POOL_DRY;
    int64_t keep = is_waited_for ? rest : s->keep;

    return rest > keep ? rest - keep : 0;
}

void slice_before_return(struct slice *s, int64_t units)
{
    CHECK(units >= 0);
    s->left = min_i64(s->left, UNITS_MAX - units) + units;
}

const char *const slice_verdict_names[] = {
#define X(verdict, name) name,
    SLICE_VERDICTS(X)
#undef X
        NULL};

enum slice_verdict slice_refusal(const struct slice *s, int64_t rest, int64_t n)
{
    CHECK(n >= 1);

    switch (s->state) {
    case POOL_PAUSED: return SLICE_PAUSED;
    case POOL_CLOSED: return SLICE_NOT_OPEN;
    case POOL_UNKNOWN: return SLICE_UNKNOWN;
    case POOL_OPEN:
    case POOL_DRY:
    case POOL_USED_UP:
        return rest + min_i64(s->left, UNITS_MAX) < n ? SLICE_USED_UP : SLICE_UNREACHABLE;
    default: return SLICE_UNREACHABLE;
    }
}
