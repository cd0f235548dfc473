#pragma once

/*
 * slice: how a server manages its slice of a window: how fast units go, when
 * to ask for more, what to tell the pool, what its answer means, what to hand
 * back, and what to say to a consumer whom the slice cannot serve.
 *
 * Pure, and shared with the simulator: the counters are in a slot (the
 * ledger), everything else the server holds about a window is in a slice.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/domain/pool.h"
#include "common/domain/slot.h"

/* A measure of demand in thousandths of a unit per second, smoothed over about 5 s. */
struct rate {
    int64_t milli;
    int64_t since_ms; /* last measured; 0: never */
    int64_t first_ms; /* of the first demand; 0: none yet */
};

/* The demand is unknown until it was watched for a second. */
#define RATE_UNKNOWN INT64_C(-1)

/* `asked` units were asked for since the last measure (granted or not). */
void rate_measure(struct rate *r, int64_t asked, int64_t now_ms);
int64_t rate_milli(const struct rate *r, int64_t now_ms); /* or RATE_UNKNOWN */

/* What the pool last said about the window, and what the server saw since. */
struct slice {
    int state;           /* enum pool_state, of the last answer; POOL_OPEN before the first */
    int64_t left;        /* of the last answer: units that may still come; UNITS_MAX before it */
    int64_t keep;        /* of the last answer: hand back what is above; UNITS_MAX: keep all */
    int64_t last_slice;  /* units of the last grant; 0: none yet */
    int64_t autonomy_ms; /* the cap's */
    bool asked;          /* someone asked for units since the last grant */
    int64_t short_of;    /* units that consumers wait for beyond the rest; 0: nobody waits */
    int64_t short_min;   /* the same for the one of them who needs least */
    int64_t wished;      /* units that the pool was asked for last */
    bool is_noted;       /* it could not meet that, and may remember it */
};

/* Of a window just heard of: nothing granted, nothing known. */
struct slice slice_new(int64_t autonomy_ms);

/* The rest at or below which more is asked for. */
int64_t slice_low_water(const struct slice *s, int64_t rate_milli);

/*
 * How many units to ask the pool for now: 0 is none.  While the pool is known
 * to be dry or used up, units are asked for only if consumers wait for them.
 */
int64_t slice_want(const struct slice *s, int64_t rest, int64_t rate_milli);

/* What to tell the pool: the slot's counters and the wish.  `slot` NULL: nothing granted yet. */
struct pool_report slice_report(struct slice *s, const struct slot *slot, int64_t rate_milli);

/*
 * Takes the pool's answer: raises the slot's `granted` and remembers the rest.
 * The return value is how many units are new.  Nothing may be returned while a
 * report is under way (`left` would not count it), and consumers who wait are
 * served before slice_surplus() is handed back.  `slot` may be NULL if a->granted is 0.
 */
int64_t slice_apply(struct slice *s, struct slot *slot, const struct pool_answer *a);

/*
 * Must the pool be told that nobody waits any more?  A wish that it could not
 * meet is remembered there, and others hand back units for it.
 */
bool slice_must_retract(const struct slice *s);

/* The watch has news of the window: what was known of dryness is void. */
void slice_news(struct slice *s);

/*
 * How much to hand back now.  What consumers wait for only if the pool has
 * nothing for them: others may wait for less.
 */
int64_t slice_surplus(const struct slice *s, int64_t rest);

/* Before units are returned (slot_return): they may then be had elsewhere, so `left` covers them.
 */
void slice_before_return(struct slice *s, int64_t units);

/* clang-format off */
#define SLICE_VERDICTS(X)                                                                  \
    X(SLICE_GRANTED,     "granted")                                                        \
    X(SLICE_USED_UP,     "used_up")     /* not so many units are left anywhere: 429 */      \
    X(SLICE_UNREACHABLE, "unreachable") /* units may be left, but not here, now: 503 */     \
    X(SLICE_PAUSED,      "paused")                                                         \
    X(SLICE_NOT_OPEN,    "not_open")    /* no window is open now */                         \
    X(SLICE_UNKNOWN,     "unknown")     /* no such cap here */
/* clang-format on */

enum slice_verdict {
#define X(verdict, name) verdict,
    SLICE_VERDICTS(X)
#undef X
};

extern const char *const slice_verdict_names[]; /* NULL-terminated */

/*
 * What a consumer of n units, whom the rest does not cover, is to be told if
 * he cannot wait: used up is said only if it is known.  UNREACHABLE is also
 * the sign that waiting for a topup makes sense.
 */
enum slice_verdict slice_refusal(const struct slice *s, int64_t rest, int64_t n);
