#pragma once

/* topup_json: the bodies of POST /topup and POST /return. */

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "services/local-svc/topup.h"

/*
 * Fills all but the answers, for which it makes room; free both arrays with
 * topup_request_done(), whatever came of it.  `is_return`: nothing may be wanted.
 */
MUST_CHECK bool topup_decode(const char *body, size_t len, bool is_return,
                             struct topup_request *ret, struct err *e);
void topup_request_done(struct topup_request *r);

void topup_encode(const struct topup_request *r, struct buf *out);
