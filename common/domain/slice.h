#pragma once

/*
 * slice: how a server manages its slice of a window: how fast units go, when
 * to ask for more, how much, what to hand back.  None of it matters for
 * safety; all of it is pure.
 */

#include <stdbool.h>
#include <stdint.h>

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
    int64_t last_slice;  /* units of the last grant, 0: none yet */
    int64_t keep;        /* hand back what is above; UNITS_MAX: keep all */
    int64_t autonomy_ms; /* the cap's */
    bool asked;          /* someone asked for units since the last grant */
    int64_t short_of;    /* units that consumers wait for beyond the rest; 0: nobody waits */
};

/* The rest at or below which more is asked for. */
int64_t slice_low_water(const struct slice *s, int64_t rate_milli);

/* How much to ask the pool for now: 0 is nothing. */
int64_t slice_want(const struct slice *s, int64_t rest, int64_t rate_milli);

/* How much to hand back now. */
int64_t slice_surplus(const struct slice *s, int64_t rest);
