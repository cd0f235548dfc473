#pragma once

/* store_told: our rows for other data centres, to be told. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/io/db.h"
#include "services/local-svc/told.h"

struct told_page {
    int64_t revision; /* of store_told_since(): everything up to here is known after these rows */
    bool more;
    size_t count;
    struct told_row *rows;
    struct told_sums {
        int64_t rows, units;
    } in_transit; /* of store_told_to(): of all pages, if only these were asked for */
};

void told_page_done(struct told_page *p);
#define auto_told_page __attribute__((cleanup(told_page_done)))

/* What is to be told after a revision, oldest first. */
MUST_CHECK bool store_told_since(struct db *db, int64_t since, int64_t limit, struct told_page *ret,
                                 struct err *e);

struct told_query {
    const char *peer;
    struct window_key after; /* "": from the first */
    int64_t limit;
    bool in_transit; /* only where units are on their way, of windows in any state */
};

/* The rows for one other data centre, of windows that are not closed, by key. */
MUST_CHECK bool store_told_to(struct db *db, const struct told_query *q, struct told_page *ret,
                              struct err *e);
