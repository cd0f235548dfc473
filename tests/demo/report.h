#pragma once

/* report: what the clients were told against what the accounts say, window by window. */

#include <stdio.h>

#include "tests/demo/tally.h"

struct report_row {
    int cap;
    int64_t starts_at_ms;
    int64_t total;   /* as the pool has it */
    int64_t spent;   /* consumed - refunded, in the accounts */
    int64_t held;    /* still in slices, in the accounts */
    int64_t granted; /* seen by clients */
    int64_t refused;
};

struct report {
    struct report_row *rows; /* the busiest caps first, then in the order of time */
    size_t count;
    int64_t over_granted;  /* granted to clients, or spent, above the total */
    int64_t refused_early; /* refused while units were left at the end of the window */
    int64_t unaccounted;   /* granted to clients and not spent in the accounts */
    int64_t unsettled;     /* windows with units still in slices, or with units unaccounted for */
};

/* Reads the accounts from local-svc. */
MUST_CHECK bool report_read(const struct tally *t, struct client *local, struct report *ret,
                            struct err *e);
void report_done(struct report *r);

/* The windows of the `caps` busiest caps in which anything was asked. */
void report_print(const struct report *r, const struct plan *p, int caps, FILE *out);
