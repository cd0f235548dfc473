#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "common/base/num.h"
#include "common/domain/slice.h"

static struct slice held(int64_t last_slice)
{
    struct slice s = slice_new(10000);

    s.last_slice = last_slice;
    s.asked = true;
    return s;
}

static const struct {
    const char *name;
    int64_t last_slice, rate_milli, low_water;
} waters[] = {
    {"a tenth of the last slice while the demand is unknown", 50, RATE_UNKNOWN, 5},
    {"half of the autonomy when that is more", 50, 4000, 20},
    {"never above half a slice", 50, 1000000, 25},
    {"nothing of a slice of one", 1, 1000000, 0},
    {"a tenth when there is no demand", 50, 0, 5},
};

Test(slice, asks_again_at_its_low_water)
{
    for (size_t i = 0; i < sizeof(waters) / sizeof(waters[0]); i++) {
        struct slice s = held(waters[i].last_slice);
        int64_t low = slice_low_water(&s, waters[i].rate_milli);

        cr_expect(low == waters[i].low_water, "%s: %lld", waters[i].name, (long long)low);
        cr_expect(slice_want(&s, low, waters[i].rate_milli) >= 1, "%s", waters[i].name);
        cr_expect(slice_want(&s, low + 1, waters[i].rate_milli) == 0, "%s", waters[i].name);
    }
}

Test(slice, takes_a_first_slice_before_anyone_asks)
{
    struct slice s = slice_new(10000);

    cr_expect(eq(i64, slice_want(&s, 0, RATE_UNKNOWN), 1));
}

Test(slice, without_demand_since_the_last_grant_nothing_more_is_wanted)
{
    struct slice s = held(50);

    s.asked = false;
    cr_expect(eq(i64, slice_want(&s, 0, 5000), 0));
}

Test(slice, asks_for_what_consumers_wait_for_and_leaves_the_rest_to_the_pool)
{
    struct slice s = held(50);

    s.short_of = 7;
    cr_expect(eq(i64, slice_want(&s, 0, 4000), 7));
    s.short_of = 0;
    cr_expect(eq(i64, slice_want(&s, 0, 4000), 1));
}

Test(slice, of_a_dry_pool_nothing_is_asked_unless_somebody_waits)
{
    struct slice s = held(50);

    s.state = POOL_DRY;
    cr_expect(eq(i64, slice_want(&s, 0, 1000), 0));
    s.short_of = 1;
    cr_expect(ge(i64, slice_want(&s, 0, 1000), 1));
    s.short_of = 0;
    slice_news(&s);
    cr_expect(ge(i64, slice_want(&s, 0, 1000), 1));
}

Test(slice, an_answer_raises_what_is_granted_once)
{
    struct slice s = held(0);
    struct slot slot = {.granted = 0};
    const struct pool_answer a = {.granted = 50, .keep = UNITS_MAX, .left = 950};

    cr_expect(eq(i64, slice_apply(&s, &slot, &a), 50));
    cr_expect(eq(i64, slice_apply(&s, &slot, &a), 0));
    cr_expect(eq(i64, slot_rest(&slot), 50));
    cr_expect(eq(i64, s.last_slice, 50));
    cr_expect(eq(i64, s.left, 950));
}

static const struct {
    const char *name;
    enum pool_state state;
    int64_t left, rest, n;
    enum slice_verdict verdict;
} refusals[] = {
    {"before the first answer nothing is known", POOL_OPEN, UNITS_MAX, 0, 1, SLICE_UNREACHABLE},
    {"units are left elsewhere", POOL_DRY, 3, 0, 1, SLICE_UNREACHABLE},
    {"too few are left anywhere", POOL_DRY, 3, 1, 5, SLICE_USED_UP},
    {"just enough are left", POOL_DRY, 3, 1, 4, SLICE_UNREACHABLE},
    {"all is spent", POOL_USED_UP, 0, 0, 1, SLICE_USED_UP},
    {"all but this rest is spent", POOL_USED_UP, 0, 2, 3, SLICE_USED_UP},
    {"an open pool may be known to hold too few", POOL_OPEN, 10, 0, 11, SLICE_USED_UP},
    {"paused", POOL_PAUSED, 0, 0, 1, SLICE_PAUSED},
    {"over", POOL_CLOSED, 0, 0, 1, SLICE_NOT_OPEN},
    {"unknown to the pool", POOL_UNKNOWN, 0, 0, 1, SLICE_UNKNOWN},
    {"a frozen slice reaches nothing", POOL_FROZEN, 0, 0, 1, SLICE_UNREACHABLE},
};

Test(slice, used_up_is_said_only_if_it_is_known)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct slice s = held(10);

        s.state = (int)refusals[i].state;
        s.left = refusals[i].left;
        cr_expect(slice_refusal(&s, refusals[i].rest, refusals[i].n) == refusals[i].verdict, "%s",
                  refusals[i].name);
    }
}

Test(slice, what_it_returns_is_then_left_elsewhere)
{
    struct slice s = held(10);

    s.left = 0;
    s.keep = 1;
    cr_expect(eq(i64, slice_surplus(&s, 5), 4));
    slice_before_return(&s, 4);
    cr_expect(slice_refusal(&s, 1, 5) == SLICE_UNREACHABLE);
    cr_expect(slice_refusal(&s, 1, 6) == SLICE_USED_UP);
}

Test(slice, what_consumers_wait_for_is_no_surplus)
{
    struct slice s = held(10);

    s.keep = 0;
    s.short_of = 2;
    cr_expect(eq(i64, slice_surplus(&s, 5), 0));
}

Test(slice, unless_the_pool_has_nothing_for_them_then_it_may_serve_others)
{
    struct slice s = held(10);

    s.keep = 3;
    s.short_of = 2;
    s.state = POOL_DRY;
    cr_expect(eq(i64, slice_surplus(&s, 5), 2));
    slice_news(&s);
    cr_expect(eq(i64, slice_surplus(&s, 5), 0));
}

/* The watch may have had news between the pool's answer and then. */
Test(slice, when_nobody_waits_any_more_the_pool_must_hear_it_once)
{
    struct slice s = held(10);
    struct slot slot = {.granted = 10};
    const struct pool_answer dry = {
        .granted = 10, .keep = UNITS_MAX, .state = POOL_DRY, .left = 50};

    s.short_of = s.short_min = 30;
    (void)slice_report(&s, &slot, 4000);
    (void)slice_apply(&s, &slot, &dry);
    slice_news(&s);
    cr_expect(not(slice_must_retract(&s)));
    s.short_of = s.short_min = 0;
    cr_expect(slice_must_retract(&s));
    (void)slice_report(&s, &slot, 4000);
    (void)slice_apply(&s, &slot, &dry);
    cr_expect(not(slice_must_retract(&s)));
}

Test(slice, the_pool_hears_how_few_units_are_of_use)
{
    struct slice s = held(10);
    struct slot slot = {.granted = 10};

    s.short_of = 70;
    s.short_min = 30;
    cr_expect(eq(i64, slice_report(&s, &slot, 4000).want, 70));
    cr_expect(eq(i64, slice_report(&s, &slot, 4000).want_min, 30));
    s.short_of = 0;
    cr_expect(eq(i64, slice_report(&s, &slot, 4000).want, 0));
    cr_expect(eq(i64, slice_report(&s, &slot, 4000).want_min, 0));
}

Test(rate, is_unknown_until_demand_was_watched_for_a_second)
{
    struct rate r = {0};

    rate_measure(&r, 0, 1000);
    cr_expect(eq(i64, rate_milli(&r, 9000), RATE_UNKNOWN));
    rate_measure(&r, 45, 10000);
    cr_expect(eq(i64, rate_milli(&r, 10500), RATE_UNKNOWN));
    cr_expect(ne(i64, rate_milli(&r, 11000), RATE_UNKNOWN));
}

Test(rate, approaches_a_steady_demand_and_forgets_it_again)
{
    struct rate r = {0};
    int64_t now = 1000;

    for (int i = 0; i < 100; i++, now += 500)
        rate_measure(&r, 50, now);
    cr_expect(gt(i64, rate_milli(&r, now), 95000));
    cr_expect(lt(i64, rate_milli(&r, now), 105000));
    for (int i = 0; i < 100; i++, now += 500)
        rate_measure(&r, 0, now);
    cr_expect(lt(i64, rate_milli(&r, now), 1000));
}
