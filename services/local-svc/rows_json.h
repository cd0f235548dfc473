#pragma once

/* rows_json: what data centres tell each other, as JSON. */

#include "common/base/buf.h"
#include "common/base/err.h"
#include "services/local-svc/store_told.h"
#include "services/local-svc/store_trade.h"

/* {"from": ..., "rows": [...]}; the index of `from` among the peers.  Free *ret_rows. */
MUST_CHECK bool rows_decode(const char *text, size_t len, const struct peers *peers,
                            size_t *ret_from, struct told_row **ret_rows, size_t *ret_count,
                            struct err *e);

/* The answer: what became of each row, and what the sender should hear. */
void rows_encode_outcomes(const struct trade_batch *batch, struct buf *out);

/* A page of what is to be told after a revision. */
void rows_encode_news(const struct told_page *page, struct buf *out);

/* One for a single other data centre; `in_transit`: with the sums of all pages. */
void rows_encode_page(const struct told_page *page, bool in_transit, struct buf *out);
