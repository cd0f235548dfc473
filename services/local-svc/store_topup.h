#pragma once

/* store_topup: many topups in one transaction: lock, load, decide, save. */

#include <stdint.h>

#include "common/base/err.h"
#include "common/io/db.h"
#include "services/local-svc/peers.h"
#include "services/local-svc/topup.h"
#include "services/local-svc/witness.h"

/* Units that one transaction moved, for the counters of /metrics. */
struct units_moved {
    int64_t minted, burned, granted, returned, consumed, refunded;
    int64_t received, sent; /* from and to other data centres */
};

void units_moved_add(struct units_moved *m, const struct pool *before, const struct pool *after);

struct topup_batch {
    struct topup_request *const *requests; /* in the order they came; answered on success */
    size_t count;
    int64_t active_servers;
    const struct peers *peers; /* the other data centres */
    struct units_moved moved;  /* set on success */
};

MUST_CHECK bool store_topup(struct db *db, struct witness *witness, struct topup_batch *batch,
                            struct err *e);
