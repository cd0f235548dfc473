#pragma once

/*
 * window: which of a cap's windows a server spends from now.
 *
 * Pure.  Boundaries are on the server's own monotonic clock, each computed
 * from a duration that came over the wire.
 */

#include <stddef.h>
#include <stdint.h>

struct window_bounds {
    int64_t starts_at_ms, ends_at_ms; /* calendar: the window's identity */
    int64_t opens_ms, closes_ms;      /* this server's monotonic clock */
};

/*
 * The index of the window that is current at now_ms, or -1.  Windows that
 * touch in the calendar hand over without a gap, whatever the two boundaries
 * were measured to be: the old one serves until the new one opens.
 */
int window_pick(const struct window_bounds *windows, size_t count, int64_t now_ms);
