#pragma once

/* report: what the clients were told against what the accounts say, window by window. */

#include <stdio.h>

#include "tests/demo/tally.h"

struct report_row {
    int cap;
    int64_t starts_at_ms;
    int64_t total;      /* as the pools have it */
    int64_t spent;      /* consumed - refunded, in the accounts of all data centres */
    int64_t held;       /* still in slices, in the accounts */
    int64_t in_transit; /* between data centres */
    int64_t granted;    /* seen by clients */
    int64_t refused;
    int64_t granted_by_dc[DCS_MAX];
};

struct report {
    struct report_row *rows; /* the busiest caps first, then in the order of time */
    size_t count;
    int64_t over_granted;  /* granted to clients, or spent, above the total */
    int64_t refused_early; /* refused while units were left at the end of the window */
    int64_t unaccounted;   /* granted to clients and not spent in the accounts */
    int64_t unsettled;     /* windows with units in slices, in transit, or unaccounted for */
};

/* Reads the accounts of all data centres from their local-svcs. */
MUST_CHECK bool report_read(const struct tally *t, const struct dcs *dcs, struct report *ret,
                            struct err *e);
void report_done(struct report *r);

/* The windows of the `caps` busiest caps in which anything was asked. */
void report_print(const struct report *r, const struct plan *p, int caps, int dcs, FILE *out);
