#pragma once

/* intervals: what is effective of a cap, asked of interval-svc. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/domain/interval.h"
#include "common/io/replicas.h"

#define META_INTERVALS_MAX 16
#define META_UNKNOWN INT64_C(-1)

struct meta_interval {
    int64_t starts_at_ms, ends_at_ms;
    int state; /* enum interval_state */
    /* META_UNKNOWN where interval-svc does not know either */
    int64_t requested, effective, pending, spent;
};

struct meta_intervals {
    bool known; /* false: interval-svc could not be asked */
    size_t count;
    struct meta_interval list[META_INTERVALS_MAX];
};

/* Never fails: a definition is worth showing without them.  Takes a second at most. */
struct meta_intervals meta_intervals_ask(struct replicas *interval_svc, const char *id);
