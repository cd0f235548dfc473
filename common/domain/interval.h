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
    X(INTERVAL_CLOSING, "closing") /* ended early; reports are booked, nothing is granted */ \
    X(INTERVAL_CLOSED,  "closed")  /* over */
/* clang-format on */

enum interval_state {
#define X(state, name) state,
    INTERVAL_STATES(X)
#undef X
};

extern const char *const interval_state_names[]; /* NULL-terminated */

int interval_state_of(const char *name); /* -1: there is no such state */

/* One window of a cap, [starts_at, ends_at). */
struct interval {
    int64_t starts_at_ms;
    int64_t ends_at_ms;

    /*
     * Where the definition has this window start.  starts_at is later if
     * another one ran there before: the start is a window's identity, so a
     * successor must have its own.
     */
    int64_t grid_starts_ms;
    int64_t version;      /* grows with each change that local-svc is told of */
    int64_t total;        /* units asked for this window */
    int64_t total_max;    /* the most that was ever asked for it */
    int state;            /* enum interval_state */
    char home[NAME_SIZE]; /* of the definition it was cut from; the units come from there */
    bool paused;
};

/* Planned or open: there is something to spend, now or later. */
static inline bool interval_is_live(const struct interval *w)
{
    return w->state == INTERVAL_PLANNED || w->state == INTERVAL_OPEN;
}

/* The state that time alone has brought a window to. */
int interval_state_at(const struct interval *w, int64_t now_ms);

/* What the calendar says: the grid's window that holds interval_grid_at(), and the one after it,
 * which starts where the first one ends.  That of a single cap is the cap's own. */
struct interval_grid {
    int64_t starts_ms, ends_ms;
    int64_t next_ends_ms;
};

/* The instant that tells the current window, or the first, on a grid whose windows begin a phase
 * late. */
static inline int64_t interval_grid_at(const struct cap *cap, const struct cap_origin *origin,
                                       int64_t now_ms)
{
    return max_i64(cap->starts_at_ms, now_ms - cap_phase_ms(origin->grid_since_ms));
}

/* The windows that must be there at now_ms: the current and the next, or the cap's first two. */
struct interval_plan {
    int64_t now_ms;
    bool is_new_version; /* totals and pause go to windows that exist, too */
    bool is_dated;       /* starts are the definition's to say, not the moment's */
    struct interval want[2];
    size_t count;
    int64_t next_look_ms; /* calendar time at which to plan again */
};

#define INTERVAL_NEVER_MS INT64_MAX

/*
 * A function of the definition's newest version and the time alone: data
 * centres that have seen different ones before want the same windows now.  The
 * initial total is for the window in which the version was made, or the first.
 * `is_new_version`: the definition has just come or changed.
 */
struct interval_plan interval_plan(const struct cap *cap, const struct cap_origin *origin,
                                   const struct interval_grid *grid, int64_t now_ms,
                                   bool is_new_version);

/* The plan for a cap that was deleted: no windows, no further look. */
struct interval_plan interval_plan_none(int64_t now_ms);

#define INTERVAL_LIVE_MAX 4   /* more than two are only there if something went wrong */
#define INTERVAL_ENDED_MAX 32 /* that a new window's start might collide with */
#define INTERVAL_KNOWN_MAX (INTERVAL_LIVE_MAX + INTERVAL_ENDED_MAX)
#define INTERVAL_STEPS_MAX (INTERVAL_LIVE_MAX + 2)

/* What to do: a window as it must be from now on. */
struct interval_step {
    struct interval window;
    bool is_new;  /* to be made; otherwise it exists, with the same start */
    bool is_told; /* local-svc must hear of it; what time alone does needs no message */
};

struct interval_steps {
    struct interval_step list[INTERVAL_STEPS_MAX];
    size_t count;
};

/*
 * Compares the windows that a cap has with its plan: what is over closes, what
 * fits stays, what does not fit is closed at once, what is missing opens.
 * `known` are all live windows, at most INTERVAL_LIVE_MAX, and those ended ones
 * that a new window's start might collide with, at most INTERVAL_ENDED_MAX.
 * Applying the steps and asking again, without a new version, gives none.
 */
struct interval_steps interval_reconcile(const struct interval_plan *plan,
                                         const struct interval *known, size_t count);
