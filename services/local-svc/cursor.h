#pragma once

/* cursor: where the next page of a list by (cap, starts_at) begins: "cap/starts_at". */

#include "common/base/err.h"
#include "common/domain/window_key.h"
#include "common/io/httpd.h"
#include "common/io/js.h"

/* The query parameter `after`; absent: the key before all others. */
MUST_CHECK bool cursor_parse(const struct httpd_request *req, struct window_key *ret,
                             struct err *e);

/* The query parameter `limit`. */
MUST_CHECK bool cursor_limit(const struct httpd_request *req, int64_t dflt, int64_t max,
                             int64_t *ret, struct err *e);

/* The member `next`: the key of the last row of this page, or null (`last` NULL). */
void cursor_write(struct js_writer *w, const struct window_key *last);
