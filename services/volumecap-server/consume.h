#pragma once

/*
 * consume: one POST /consume from decoded to answered, be it one item or a
 * batch.  It lives on the handler's stack, and moves to the heap only if some
 * item has to wait.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/io/httpd.h"
#include "services/volumecap-server/metrics.h"
#include "services/volumecap-server/spend.h"

struct consume_item {
    struct spend_ask ask;
    struct spend outcome;
};

struct consume {
    bool batch;
    size_t count;
    struct consume_item *items; /* one: &only; a batch: on the heap */
    struct consume_item only;
    char request_id[80];
};

MUST_CHECK bool consume_decode(const struct httpd_request *req, struct consume *ret, struct err *e);
void consume_done(struct consume *c); /* frees the items of a batch */

/* Tries each item once; how many are left that may wait. */
size_t consume_try(struct consume *c, const struct spender *s, int64_t now_ms);

/* The answer of a consume whose items are all decided. */
void consume_reply(const struct consume *c, const struct server_metrics *m,
                   struct httpd_reply *reply);
