#pragma once

/*
 * store: definitions and windows in PostgreSQL, and the message to local-svc
 * with each change of a window.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/domain/cap.h"
#include "common/domain/interval.h"
#include "common/io/db.h"

#define INTERVAL_NOW INT64_C(-1)

/* What the coordinator calls those of whom one cuts windows.  What is given an epoch is fenced by
 * it (leader.h): ERR_PRECONDITION if another one has begun, and then nothing was written. */
#define INTERVAL_ROLE "interval-svc"

struct interval_definition {
    struct cap cap;
    struct cap_origin origin; /* changed_at INTERVAL_NOW: meta-svc did not say */
    int64_t version;          /* as meta-svc counts them here, for whichever home they come from */
    int64_t home_version; /* as its home numbers them: the same in all data centres; 0: not said */
    bool deleted;
};

/*
 * Keeps a definition, unless the same version or a newer one is here: then
 * *ret_is_new is false.  The worker does the rest; `tell_others` wakes those of
 * all other replicas, as the one that may act is among them.
 */
MUST_CHECK bool interval_store_put(struct db *db, const struct interval_definition *d,
                                   bool tell_others, bool *ret_is_new, struct err *e);

#define INTERVAL_SHOWN_MAX 10

struct interval_shown {
    int64_t version; /* of the definition */
    size_t count;
    struct interval list[INTERVAL_SHOWN_MAX]; /* newest first, states as of now */
};

/* ERR_NOT_FOUND if the cap has never been heard of. */
MUST_CHECK bool interval_store_show(struct db *db, const char *cap, struct interval_shown *ret,
                                    struct err *e);

#define INTERVAL_BATCH_MAX 200

/* What one look at the definitions that are due came to. */
struct interval_batch {
    size_t due;            /* definitions looked at */
    size_t opened;         /* windows made */
    size_t told;           /* messages written for local-svc */
    char first[NAME_SIZE]; /* the first of those due, also when looking at it failed */
    int64_t late_ms[INTERVAL_BATCH_MAX]; /* each definition's delay, in real time */
};

/*
 * Brings the windows of up to `limit` caps whose time has come in line with
 * their definitions, in one transaction.  Any number of processes may do this
 * at once: none waits for a definition that another one has.
 */
MUST_CHECK bool interval_store_plan(struct db *db, int64_t epoch, size_t limit,
                                    struct interval_batch *ret, struct err *e);

/* Real time until the next definition is due, at most `max_ms`, at least 0. */
MUST_CHECK bool interval_store_until_due(struct db *db, int64_t max_ms, int64_t *ret_ms,
                                         struct err *e);

/* Puts off a definition that cannot be planned, so that it does not hold up the others. */
MUST_CHECK bool interval_store_postpone(struct db *db, int64_t epoch, const char *cap,
                                        struct err *e);

/* clang-format off */
/* How many definitions there are, by what they are at now. */
#define INTERVAL_CAP_STATES(X) \
    X(INTERVAL_CAP_WAITING, "waiting") /* not begun */ \
    X(INTERVAL_CAP_RUNNING, "running") \
    X(INTERVAL_CAP_PAUSED,  "paused")  \
    X(INTERVAL_CAP_OVER,    "over")    \
    X(INTERVAL_CAP_DELETED, "deleted")
/* clang-format on */

enum interval_cap_state {
#define X(state, name) state,
    INTERVAL_CAP_STATES(X)
#undef X
        INTERVAL_CAP_STATES_COUNT
};

extern const char *const interval_cap_state_names[];

MUST_CHECK bool interval_store_count(struct db *db, int64_t ret[INTERVAL_CAP_STATES_COUNT],
                                     struct err *e);

#define INTERVAL_SWEEP_MAX 1000

/*
 * Closes windows that were ended early once their time is over, and forgets
 * those that ended `retention_ms` of calendar time ago; INTERVAL_SWEEP_MAX of
 * each at most.  *ret_more: there may be further ones.
 */
MUST_CHECK bool interval_store_sweep(struct db *db, int64_t epoch, int64_t retention_ms,
                                     bool *ret_more, struct err *e);
