#pragma once

/*
 * interval: which windows a cap must have, given its definition, the calendar
 * and the windows it has.
 *
 * Pure.  The calendar's answers (where the windows of the grid begin and end
 * in the cap's time zone) come from PostgreSQL as an argument.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/domain/cap.h"

/* clang-format off */
/* States only go forward, in this order. */
#define INTERVAL_STATES(X)                                                  \
    X(INTERVAL_PLANNED, "planned") /* not begun; slices may be taken ahead */ \
    X(INTERVAL_OPEN,    "open")                                             \
    X(INTERVAL_CLOSING, "closing") /* over; reports are booked, nothing is granted */ \
    X(INTERVAL_CLOSED,  "closed")  /* over, and its accounts are final */
/* clang-format on */

enum interval_state {
#define X(state, name) state,
    INTERVAL_STATES(X)
#undef X
};

extern const char *const interval_state_names[]; /* NULL-terminated */

/* One window of a cap, [starts_at, ends_at). */
struct interval {
    int64_t starts_at_ms;
    int64_t ends_at_ms;
    int64_t total; /* units asked for this window */
    int state;     /* enum interval_state */
    bool paused;
};

/* What the calendar says: the grid's window that holds `now`, and the one after it. */
struct interval_grid {
    int64_t now_ms;
    int64_t current_starts_ms, current_ends_ms;
    int64_t next_ends_ms; /* the next one starts where the current ends */
};

#define INTERVAL_LIVE_MAX 4 /* windows of a cap that are planned or open, at most */

/* The windows that must be there: at most the current and the next. */
struct interval_plan {
    struct interval want[2];
    size_t count;
    int64_t next_look_ms; /* calendar time at which to plan again; INT64_MAX: never */
};

/*
 * The windows a definition asks for at grid->now_ms: the one that holds now,
 * and the next; both are cut by the cap's bounds, and a cap that has not begun
 * has its first two.  `grid` is that of max(now, starts_at).  A single cap has one.
 */
struct interval_plan interval_plan(const struct cap *cap, const struct interval_grid *grid);

/* What to do with a window that is there (live) when a definition arrives or time passes. */
enum interval_verdict {
    INTERVAL_KEEP,   /* it is in the plan, unchanged */
    INTERVAL_CHANGE, /* it is in the plan, but its total or pause differ */
    INTERVAL_END,    /* it is not: close it now */
};

/*
 * Compares the live windows of a cap with its plan.  `ret_verdicts` has one
 * entry a live window.  Windows to open are left in *ret_open.  A window that
 * is replaced while it runs keeps its start, so its successor on the new grid
 * starts at now; the successor's start is unique for the cap.
 *
 * `is_new_version`: the definition has just changed, so totals are applied to
 * windows that exist; otherwise they keep theirs.
 */
void interval_reconcile(const struct cap *cap, const struct interval_plan *plan, int64_t now_ms,
                        bool is_new_version, const struct interval *live, size_t live_count,
                        enum interval_verdict *ret_verdicts, struct interval_plan *ret_open);
