#pragma once

/* chaos: what the files of the program chaos share; see chaos.c. */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "tests/harness/dc.h"

struct chaos_cap {
    const char *name;
    const char *interval;
    int64_t total;
    int64_t cut_to;     /* its total changes between the two; 0: it never changes */
    int64_t amount_max; /* of one consume */
};

#define CHAOS_CAPS 6
extern const struct chaos_cap chaos_caps[CHAOS_CAPS];

/* What clients know of one window: only of a 200 do they know for certain. */
struct tally_row {
    int cap;
    int64_t starts_at_ms;
    int64_t granted;
    int64_t refunded;
    int64_t perhaps_refunded; /* no answer came */
};

struct tally {
    struct tally_row *rows;
    int count, room;
    int64_t asked[VERDICTS];
    int64_t perhaps_granted[CHAOS_CAPS]; /* units of consumes without an answer */
};

struct tally *tally_new(void);
struct tally *tally_free(struct tally *t);
CLEANUP_DEFINE(tally, struct tally, tally_free)
#define auto_tally CLEANUP(tally)

/* The row of the window, made if missing; valid until the next one is made. */
struct tally_row *tally_at(struct tally *t, int cap, int64_t starts_at_ms);

/* Clients on threads of their own, until load_stop(), which returns what all of them know. */
struct load;
struct load *load_start(const struct dc *dc, uint64_t seed);
struct tally *load_stop(struct load *l);

/* Prints each claim that does not hold; how many there were. */
int chaos_check(const struct dc *dc, const struct tally *t);
