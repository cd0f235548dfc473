#pragma once

/*
 * cap: the definition of a volume cap, and what makes one valid.
 *
 * Pure: no clock, no I/O, no allocation, no globals.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/num.h"

#define PPM INT64_C(1000000) /* fractions are integers of 10^-6 */

#define CAP_TIME_ZONE_SIZE 65

/* 1970-01-01T00:00:00Z and 9999-12-31T23:59:59.999Z */
#define CAP_TIME_MIN_MS INT64_C(0)
#define CAP_TIME_MAX_MS INT64_C(253402300799999)

#define CAP_TOTAL_NONE INT64_C(-1) /* initial_total: none was given */

#define CAP_TOPUP_PPM_DEFAULT INT64_C(100000)    /* 10 % of the DC's share */
#define CAP_SLICE_MAX_PPM_DEFAULT INT64_C(50000) /* 5 % of the total */
#define CAP_AUTONOMY_MS_DEFAULT INT64_C(10000)
#define CAP_AUTONOMY_MS_MAX INT64_C(3600000)

/* clang-format off */
/* kind, its name in JSON and SQL */
#define CAP_INTERVALS(X)   \
    X(CAP_SINGLE, "single") /* one window, from starts_at to ends_at */ \
    X(CAP_HOUR,   "hour")   \
    X(CAP_DAY,    "day")    \
    X(CAP_WEEK,   "week")   /* starts on Monday */ \
    X(CAP_MONTH,  "month")
/* clang-format on */

enum cap_interval {
#define X(kind, name) kind,
    CAP_INTERVALS(X)
#undef X
};

/* Names in the order of the enum, NULL-terminated: for JS_ENUM and SQL. */
extern const char *const cap_interval_names[];

int cap_interval_of(const char *name); /* -1: there is no such kind */

struct cap {
    char id[NAME_SIZE];
    int64_t starts_at_ms; /* calendar, since 1970 */
    int64_t ends_at_ms;
    int interval;          /* enum cap_interval */
    int64_t total;         /* units a window, 0 to UNITS_MAX */
    int64_t initial_total; /* of the window that is current when the definition arrives */
    char time_zone[CAP_TIME_ZONE_SIZE];
    int64_t topup_ppm;     /* (0, PPM]: a first slice, of the DC's share */
    int64_t slice_max_ppm; /* (0, PPM]: the largest slice, of the total */
    int64_t autonomy_ms;   /* 0 to CAP_AUTONOMY_MS_MAX: how long a slice should last */
    bool paused;
};

/* Where a definition comes from, and since when: what its home adds to what its clients say. */
struct cap_origin {
    char home[NAME_SIZE];  /* the data centre that stores it; "" where that is not known */
    int64_t changed_at_ms; /* calendar time of this version, at home */

    /*
     * From when on the present grid counts.  Its milliseconds are the phase of
     * all windows since then: no other grid of this cap has it, so that no two
     * windows have one start, whichever of the grids a data centre has seen.
     */
    int64_t grid_since_ms;
};

#define CAP_GRID_ALWAYS INT64_C(-1) /* grid_since: it has never changed */

/* A cap with the defaults in every optional member. */
struct cap cap_defaults(void);

/*
 * Everything that can be said of a definition without asking anyone: ranges, order, forms.
 * ERR_INVALID with the pointer of the member that is wrong.  Whether the time zone exists is the
 * database's to say.
 */
MUST_CHECK bool cap_validate(const struct cap *c, struct err *e);

/* Would windows that run at now_ms, or are cut ahead of it, begin or end elsewhere? */
bool cap_moves_windows(const struct cap *from, const struct cap *to, int64_t now_ms);

/* The grid_since of a grid that comes after one of `before_ms`: the last instant until now_ms that
 * has the next phase. */
int64_t cap_next_grid_since(int64_t before_ms, int64_t now_ms);

/* 0: windows begin on the grid itself. */
int64_t cap_phase_ms(int64_t grid_since_ms);

/* The same definition, so that there is nothing to do. */
bool cap_equal(const struct cap *a, const struct cap *b);
