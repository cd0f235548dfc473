#pragma once

/*
 * store_time: what happens to pools and servers because time passes, each a
 * bounded amount in one transaction.  Any number of replicas may do it at once.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/io/db.h"

#define ADVANCE_POOLS_MAX 500
#define SETTLE_SLICES_MAX 500
#define PURGE_POOLS_MAX 100
#define PURGE_SERVERS_MAX 1000

/*
 * Moves pools on: planned, open, closing, closed.  A pool that is over is
 * closed when all that is held counts as spent, or `close_ms` of calendar time
 * after it began to close.  `ret_moved` is how many; `ret_due_ms` real time
 * until the next one begins or ends, INT64_MAX if none is known.
 */
MUST_CHECK bool store_advance(struct db *db, int64_t close_ms, int64_t *ret_moved,
                              int64_t *ret_due_ms, struct err *e);

/* What was done about a server's silence; local.server.silence. */
enum silence {
    SILENCE_NONE,
    SILENCE_SUSPECT,  /* its wishes are dropped, so that nobody returns units for it */
    SILENCE_PRESUMED, /* its rests count as spent */
};

/*
 * Takes one server that has been silent for `silent_ms` and about which less
 * than `silence` was done, and does it to some of its slices.  `ret_more`:
 * call again, there was something to do.
 */
MUST_CHECK bool store_settle(struct db *db, enum silence silence, int64_t silent_ms, bool *ret_more,
                             struct err *e);

/* Forgets closed windows that ended so long ago, and servers that have been silent for
 * `silent_ms` of real time and hold no slice of any window that is kept. */
MUST_CHECK bool store_purge(struct db *db, int64_t retention_ms, int64_t silent_ms,
                            int64_t *ret_purged, struct err *e);
