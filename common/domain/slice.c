#include "common/domain/slice.h"

#include "common/base/check.h"
#include "common/base/num.h"

#define RATE_SMOOTH_MS 5000 /* the weight of the past halves in about 3.5 s */
#define RATE_KNOWN_MS 1000
#define RATE_STEP_MS 100 /* shorter samples say nothing */
#define RATE_MAX (INT64_C(1) << 40)

/* A slice that is asked for covers at least this much demand ahead. */
#define WANT_AHEAD_MS 1000

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

int64_t slice_want(const struct slice *s, int64_t rest, int64_t rate_milli)
{
    CHECK(rest >= 0 && s->short_of >= 0);

    bool first = s->last_slice == 0;
    bool low = s->asked && rest <= slice_low_water(s, rate_milli);

    if (s->short_of == 0 && !first && !low)
        return 0;
    return min_i64(s->short_of + max_i64(1, demand(rate_milli, WANT_AHEAD_MS)), UNITS_MAX);
}

int64_t slice_surplus(const struct slice *s, int64_t rest)
{
    /* What consumers wait for is not surplus, whatever the pool would like. */
    int64_t keep = max_i64(s->keep, s->short_of > 0 ? rest : 0);

    return rest > keep ? rest - keep : 0;
}
