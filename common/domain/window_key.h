#pragma once

/* window_key: which window of which cap, and the order in which rows are locked everywhere. */

#include <stdint.h>
#include <string.h>

#include "common/base/num.h"

struct window_key {
    char cap[NAME_SIZE];
    int64_t starts_at_ms;
};

/* The same order as ORDER BY cap, starts_at in the database, whose names are COLLATE "C". */
static inline int window_key_compare(const struct window_key *a, const struct window_key *b)
{
    int order = strcmp(a->cap, b->cap);

    return order != 0 ? order
                      : (a->starts_at_ms > b->starts_at_ms) - (a->starts_at_ms < b->starts_at_ms);
}
