#pragma once

/* watch_wire: the answer of GET /watch of local-svc. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/io/js.h"
#include "services/volumecap-server/announce.h"

#define WATCH_ROWS_MAX 1000

struct watch_page {
    int64_t revision;
    bool more;
    const cJSON *windows; /* in `json` */
    cJSON *json;
};

MUST_CHECK bool watch_decode(const struct buf *body, struct watch_page *ret, struct err *e);
void watch_page_done(struct watch_page *page);

/* The row at `index`. */
MUST_CHECK bool watch_decode_row(const cJSON *row, size_t index, struct announcement *ret,
                                 struct err *e);
