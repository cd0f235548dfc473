#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <signal.h>

#include "common/base/num.h"
#include "common/domain/slot.h"

static struct slot slot_with(int64_t granted, int64_t consumed)
{
    struct slot s = {.granted = granted, .used = consumed};
    return s;
}

static const struct {
    const char *name;
    int64_t granted, consumed, n;
    enum consume_mode mode;
    enum slot_verdict verdict;
    int64_t units, rest;
} consumes[] = {
    {"5 of 50 leaves 45", 50, 0, 5, CONSUME_ALL, SLOT_GRANTED, 5, 45},
    {"the last unit is granted", 50, 49, 1, CONSUME_ALL, SLOT_GRANTED, 1, 0},
    {"all or nothing takes nothing of too little", 50, 46, 5, CONSUME_ALL, SLOT_SHORT, 0, 4},
    {"best effort takes what is left", 50, 46, 5, CONSUME_BEST_EFFORT, SLOT_GRANTED, 4, 0},
    {"best effort of nothing is short", 50, 50, 1, CONSUME_BEST_EFFORT, SLOT_SHORT, 0, 0},
    {"a check takes nothing", 50, 0, 5, CONSUME_CHECK, SLOT_GRANTED, 5, 50},
    {"a check that would fail is short", 50, 46, 5, CONSUME_CHECK, SLOT_SHORT, 0, 4},
    {"nothing was granted", 0, 0, 1, CONSUME_ALL, SLOT_SHORT, 0, 0},
    {"2^53-1 is an amount", UNITS_MAX, 0, UNITS_MAX, CONSUME_ALL, SLOT_GRANTED, UNITS_MAX, 0},
};

Test(slot, consumes_by_mode)
{
    for (size_t i = 0; i < sizeof(consumes) / sizeof(consumes[0]); i++) {
        struct slot s = slot_with(consumes[i].granted, consumes[i].consumed);
        struct slot_take t = slot_consume(&s, consumes[i].n, consumes[i].mode);

        cr_expect(t.verdict == consumes[i].verdict && t.units == consumes[i].units &&
                      t.rest == consumes[i].rest,
                  "%s", consumes[i].name);
        cr_expect(slot_is_sound(&s), "%s", consumes[i].name);
    }
}

Test(slot, a_refund_makes_room_but_never_more_than_was_consumed)
{
    struct slot s = slot_with(10, 10);

    cr_expect(slot_refund(&s, 4));
    cr_expect(eq(i64, slot_rest(&s), 4));
    cr_expect(not(slot_refund(&s, 7)));
    cr_expect(slot_refund(&s, 6));
    cr_expect(not(slot_refund(&s, 1)));
    cr_expect(eq(i64, slot_rest(&s), 10));
}

/* Its cumulative counters would no longer fit on the wire, and in the end reach SLOT_FROZEN. */
Test(slot, units_refunded_and_spent_again_never_count_beyond_2_to_53)
{
    struct slot s = slot_with(UNITS_MAX, 0);

    cr_assert(slot_consume(&s, UNITS_MAX - 1, CONSUME_ALL).verdict == SLOT_GRANTED);
    cr_assert(slot_refund(&s, UNITS_MAX - 1));
    cr_expect(slot_consume(&s, 2, CONSUME_ALL).verdict == SLOT_SHORT);
    cr_expect(slot_consume(&s, 1, CONSUME_ALL).verdict == SLOT_GRANTED);
    cr_expect(eq(i64, slot_rest(&s), 0));
    cr_expect(eq(i64, slot_return(&s, 1), 0));
    cr_expect(slot_is_sound(&s));
}

Test(slot, an_old_answer_changes_nothing)
{
    struct slot s = slot_with(0, 0);

    slot_grant(&s, 30);
    slot_grant(&s, 10);
    slot_grant(&s, 30);
    cr_expect(eq(i64, slot_rest(&s), 30));
}

Test(slot, a_return_gives_back_at_most_the_rest)
{
    struct slot s = slot_with(50, 45);

    cr_expect(eq(i64, slot_return(&s, 9), 5));
    cr_expect(eq(i64, slot_rest(&s), 0));
    cr_expect(eq(i64, slot_counts(&s).consumed, 45));
    cr_expect(eq(i64, slot_return(&s, 9), 0));
    cr_expect(slot_is_sound(&s));
}

Test(slot, returned_units_cannot_be_refunded)
{
    struct slot s = slot_with(50, 5);

    cr_expect(eq(i64, slot_return(&s, 45), 45));
    cr_expect(not(slot_refund(&s, 6)));
    cr_expect(slot_refund(&s, 5));
}

Test(slot, nobody_consumes_from_a_frozen_slot_and_nobody_waits_for_ever)
{
    struct slot s = slot_with(50, 0);

    cr_assert(slot_return_freeze(&s));
    cr_expect(slot_consume(&s, 1, CONSUME_ALL).verdict == SLOT_FROZEN_NOW);
    cr_expect(not(slot_return_freeze(&s)));
    cr_expect(not(slot_refund(&s, 1)));
}

/* Dies after so many steps of a return of 20 out of a rest of 30; recovers. */
static struct slot died_after(int steps)
{
    struct slot s = slot_with(50, 20);

    if (steps > 0)
        (void)slot_return_freeze(&s);
    if (steps > 1)
        (void)slot_return_note(&s, 20);
    if (steps > 2)
        slot_return_raise(&s);
    if (steps > 3)
        slot_return_settle(&s);
    if (steps > 4)
        slot_return_finish(&s);
    return s;
}

Test(slot, a_return_killed_at_any_step_is_done_or_not_done)
{
    for (int steps = 0; steps <= 5; steps++) {
        struct slot s = died_after(steps);

        cr_expect(slot_is_sound(&s), "before recovery, after %d steps", steps);
        slot_recover(&s);

        struct slot_counts c = slot_counts(&s);
        int64_t returned = steps >= 2 ? 20 : 0;
        cr_expect(c.returned == returned && c.consumed == 20, "after %d steps", steps);
        cr_expect(slot_rest(&s) == 30 - returned, "after %d steps", steps);
        cr_expect(slot_consume(&s, 1, CONSUME_ALL).verdict == SLOT_GRANTED, "after %d steps",
                  steps);
    }
}

Test(slot, recovery_does_not_complete_an_older_return)
{
    struct slot s = slot_with(50, 0);

    (void)slot_return(&s, 10);
    (void)slot_consume(&s, 5, CONSUME_ALL);
    (void)slot_return_freeze(&s);
    slot_recover(&s);
    cr_expect(eq(i64, slot_rest(&s), 35));
    cr_expect(eq(i64, slot_counts(&s).consumed, 5));
}

Test(slot, a_ledger_with_impossible_numbers_is_noticed)
{
    static const struct slot unsound[] = {
        {.granted = -1},
        {.granted = UNITS_MAX + 1},
        {.granted = 10, .used = 11},
        {.granted = 10, .used = 5, .returned = 6},
        {.granted = 10, .used = 5, .refunded = 6},
        {.granted = 10, .returned = -1},
        {.granted = 10, .used = SLOT_FROZEN | 11},
        {.granted = 10, .used = SLOT_FROZEN | 5, .intent_used = 11},
        {.granted = 10, .used = 5, .refunded = INT64_MAX},
        {.granted = 10, .used = 5, .intent_used = 6, .intent_returned = 1},
        {.granted = 10, .used = SLOT_FROZEN | 5, .returned = 6},
        {.granted = 10, .used = SLOT_FROZEN | 5, .intent_used = 4, .intent_returned = 1},
        {.granted = 10, .used = SLOT_FROZEN | 5, .intent_used = 7, .intent_returned = 1},
        {.granted = 10, .used = SLOT_FROZEN | 5, .intent_used = 7, .intent_returned = 8},
        {.granted = 10, .used = SLOT_FROZEN | 5, .intent_used = 7, .intent_returned = -2},
        {.granted = 10, .used = SLOT_FROZEN | 5, .intent_used = INT64_MIN},
    };
    for (size_t i = 0; i < sizeof(unsound) / sizeof(unsound[0]); i++)
        cr_expect(not(slot_is_sound(&unsound[i])), "row %zu", i);
}

Test(slot, consuming_nothing_is_a_bug, .signal = SIGABRT)
{
    struct slot s = slot_with(1, 0);

    (void)slot_consume(&s, 0, CONSUME_ALL);
}
