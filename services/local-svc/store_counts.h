#pragma once

/* store_counts: how much of everything there is, for gauges. */

#include <stdint.h>

#include "common/base/err.h"
#include "common/domain/interval.h"
#include "common/io/db.h"

struct store_counts {
    int64_t pools[INTERVAL_CLOSED + 1]; /* by state */
    int64_t presumed_units;
    int64_t slices, frozen;                /* of windows that are not closed */
    int64_t live, suspect, presumed_spent; /* servers */
};

MUST_CHECK bool store_counts(struct db *db, int64_t suspect_ms, int64_t presume_ms,
                             struct store_counts *ret, struct err *e);
