#pragma once

/* store_interval: a window as interval-svc announces it becomes a pool, or changes one. */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/domain/window_key.h"
#include "common/io/db.h"
#include "services/local-svc/peers.h"
#include "services/local-svc/store_topup.h"

struct announcement {
    struct window_key key;
    int64_t version;
    int64_t ends_at_ms;
    int state; /* INTERVAL_PLANNED, _OPEN or _CLOSING */
    int64_t total;
    int64_t total_max;    /* the largest that was ever asked for; 0: `total` */
    int64_t definition;   /* the version of it that `total` is of, the home's; 0: not said */
    char home[NAME_SIZE]; /* "": this data centre */
    bool paused;
    int64_t topup_ppm, slice_max_ppm, autonomy_ms;
};

/* An older or equal version changes nothing. */
MUST_CHECK bool store_interval(struct db *db, struct witness *witness, const struct peers *peers,
                               const struct announcement *a, struct units_moved *ret_moved,
                               struct err *e);
