#include "common/domain/slot.h"

#include "common/base/check.h"
#include "common/base/num.h"

/* A return takes a few stores; whoever meets one in progress looks again this often. */
#define FROZEN_TRIES 10000

const char *const consume_mode_names[] = {"all", "best_effort", "check", NULL};

/*
 * Both limits only grow, so a value read late errs towards refusing.  What was
 * refunded may be used again, but `used` ends at UNITS_MAX like every amount:
 * a counter beyond could not be told to the pool, and far beyond is the flag.
 */
static int64_t room(const struct slot *s, int64_t used)
{
    int64_t granted = atomic_load_explicit(&s->granted, memory_order_acquire);
    int64_t refunded = atomic_load_explicit(&s->refunded, memory_order_acquire);

    return max_i64(min_i64(granted + refunded, UNITS_MAX) - used, 0);
}

/* What of n fits into the rest, by mode. */
static int64_t fitting(int64_t n, int64_t rest, enum consume_mode mode)
{
    if (n <= rest)
        return n;
    return mode == CONSUME_BEST_EFFORT ? rest : 0;
}

struct slot_take slot_consume(struct slot *s, int64_t n, enum consume_mode mode)
{
    CHECK(n >= 1);

    for (int tries = 0; tries < FROZEN_TRIES;) {
        int64_t used = atomic_load_explicit(&s->used, memory_order_acquire);
        if (used & SLOT_FROZEN) {
            tries++;
            continue;
        }

        int64_t rest = room(s, used);
        int64_t units = fitting(n, rest, mode);
        if (units == 0)
            return (struct slot_take){.verdict = SLOT_SHORT, .rest = rest};
        if (mode == CONSUME_CHECK)
            return (struct slot_take){.verdict = SLOT_GRANTED, .units = units, .rest = rest};
        if (atomic_compare_exchange_weak(&s->used, &used, used + units))
            return (struct slot_take){
                .verdict = SLOT_GRANTED, .units = units, .rest = rest - units};
    }
    return (struct slot_take){.verdict = SLOT_FROZEN_NOW};
}

/*
 * What was consumed, while others consume and one thread may be returning.
 * `returned` and `used` change together only while `used` is frozen, so the
 * pair is consistent if `used` was not frozen and `returned` is the same
 * before and after.  -1: a return did not finish in time.
 */
static int64_t consumed(const struct slot *s)
{
    for (int tries = 0; tries < FROZEN_TRIES; tries++) {
        int64_t before = atomic_load(&s->returned);
        int64_t used = atomic_load(&s->used);

        if (!(used & SLOT_FROZEN) && atomic_load(&s->returned) == before)
            return used - before;
    }
    return -1;
}

bool slot_refund(struct slot *s, int64_t n)
{
    CHECK(n >= 1);

    int64_t refunded = atomic_load(&s->refunded);
    do {
        /* Consumed only grows, so what is refundable now stays so. */
        if (n > consumed(s) - refunded)
            return false;
    } while (!atomic_compare_exchange_weak(&s->refunded, &refunded, refunded + n));
    return true;
}

void slot_grant(struct slot *s, int64_t granted)
{
    CHECK(granted >= 0 && granted <= UNITS_MAX);

    if (granted > atomic_load(&s->granted))
        atomic_store(&s->granted, granted);
}

bool slot_return_freeze(struct slot *s)
{
    return !(atomic_fetch_or(&s->used, SLOT_FROZEN) & SLOT_FROZEN);
}

int64_t slot_return_note(struct slot *s, int64_t n)
{
    int64_t used = atomic_load(&s->used) & ~SLOT_FROZEN;
    int64_t units = min_i64(n, room(s, used));

    if (units <= 0)
        return 0;
    atomic_store(&s->intent_returned, atomic_load(&s->returned) + units);
    atomic_store(&s->intent_used, used + units);
    return units;
}

/* The intent holds absolute values, so doing this twice is doing it once. */
void slot_return_raise(struct slot *s)
{
    if (atomic_load(&s->intent_used) != 0)
        atomic_store(&s->returned, atomic_load(&s->intent_returned));
}

void slot_return_settle(struct slot *s)
{
    int64_t used = atomic_load(&s->intent_used);

    if (used != 0)
        atomic_store(&s->used, used | SLOT_FROZEN);
    atomic_store(&s->intent_used, 0);
}

/* The intent is gone before the flag is: a later flag must not find an old intent. */
void slot_return_finish(struct slot *s)
{
    CHECK(atomic_load(&s->intent_used) == 0);
    atomic_fetch_and(&s->used, ~SLOT_FROZEN);
}

int64_t slot_return(struct slot *s, int64_t n)
{
    CHECK(n >= 0);

    if (!slot_return_freeze(s))
        return 0;
    int64_t units = slot_return_note(s, n);
    slot_return_raise(s);
    slot_return_settle(s);
    slot_return_finish(s);
    return units;
}

void slot_recover(struct slot *s)
{
    if (atomic_load(&s->used) & SLOT_FROZEN) {
        slot_return_raise(s);
        slot_return_settle(s);
        slot_return_finish(s);
    }
}

static bool is_amount(int64_t n)
{
    return n >= 0 && n <= UNITS_MAX;
}

/*
 * An intent is noted only while frozen.  It raises both by the same, first
 * `returned`, then `used`: each of them is behind by all of it or not at all.
 */
static bool intent_is_sound(const struct slot *s)
{
    int64_t used = atomic_load(&s->used);
    int64_t intent_used = atomic_load(&s->intent_used);
    int64_t intent_returned = atomic_load(&s->intent_returned);

    if (intent_used == 0)
        return true;
    if (!(used & SLOT_FROZEN) || !is_amount(intent_used) || !is_amount(intent_returned))
        return false;
    int64_t units = intent_used - (used & ~SLOT_FROZEN);
    int64_t unraised = intent_returned - atomic_load(&s->returned);
    return units >= 0 && (unraised == 0 || unraised == units);
}

/* Judged as slot_recover() will leave it. */
bool slot_is_sound(const struct slot *s)
{
    bool noted = atomic_load(&s->intent_used) != 0;
    int64_t granted = atomic_load(&s->granted);
    int64_t refunded = atomic_load(&s->refunded);
    int64_t used = noted ? atomic_load(&s->intent_used) : atomic_load(&s->used) & ~SLOT_FROZEN;
    int64_t returned = noted ? atomic_load(&s->intent_returned) : atomic_load(&s->returned);

    if (!is_amount(granted) || !is_amount(atomic_load(&s->returned)) || !is_amount(refunded) ||
        !is_amount(atomic_load(&s->used) & ~SLOT_FROZEN) || !intent_is_sound(s))
        return false;
    return used <= granted + refunded && returned <= used && refunded <= used - returned;
}

/*
 * Refunds are read first, and what was used only counts as far as those
 * refunds allow: a unit that was refunded and consumed again in between is
 * left to the next report.  So a report never contradicts itself.
 */
struct slot_counts slot_counts(const struct slot *s)
{
    int64_t granted = atomic_load(&s->granted);
    int64_t returned = atomic_load(&s->returned);
    int64_t refunded = atomic_load(&s->refunded);
    int64_t used = atomic_load(&s->used) & ~SLOT_FROZEN;

    return (struct slot_counts){
        .granted = granted,
        .returned = returned,
        .consumed = min_i64(used, granted + refunded) - returned,
        .refunded = refunded,
    };
}

int64_t slot_rest(const struct slot *s)
{
    return room(s, atomic_load(&s->used) & ~SLOT_FROZEN);
}
