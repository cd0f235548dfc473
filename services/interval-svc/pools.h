#pragma once

/* pools: what became of windows, asked of local-svc. */

#include <stddef.h>
#include <stdint.h>

#include "common/io/replicas.h"
#include "services/interval-svc/store.h"

#define INTERVAL_UNKNOWN INT64_C(-1)

/* All are INTERVAL_UNKNOWN where local-svc could not be asked or does not have the window. */
struct interval_amounts {
    int64_t requested, effective, pending, spent;
};

/* One entry for each of the windows shown.  Never fails; takes a second at most. */
void interval_pools_ask(struct replicas *locals, const char *cap,
                        const struct interval_shown *shown,
                        struct interval_amounts ret[INTERVAL_SHOWN_MAX]);
