#pragma once

/*
 * waiting: consumes that the slice does not cover and that a topup may.
 *
 * Items wait in line by cap, in the order they came, and are tried again after
 * each answer of the pool.  A request is answered when all its items are
 * decided, at the latest after wait_ms.  How many may wait is bounded; of these
 * a tenth may wait for caps that this server has not heard of.
 *
 * Locks: this module's own first, then a shard's.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/io/httpd.h"
#include "services/volumecap-server/consume.h"

struct waiting;

struct waiting_config {
    struct spender spender;
    const struct server_metrics *metrics;
    int64_t wait_ms;
    int64_t items_max;
};

MUST_CHECK bool waiting_start(const struct waiting_config *config, struct waiting **ret,
                              struct err *e);

/* Nobody may wait any more; those who do are answered at their deadline, or soon. */
void waiting_drain(struct waiting *w);

/* Drains. */
struct waiting *waiting_stop(struct waiting *w);
CLEANUP_DEFINE(waiting, struct waiting, waiting_stop)
#define auto_waiting CLEANUP(waiting)

/*
 * Takes over the consume and will answer the request.  False: too many wait
 * already, or nobody may; then nothing was taken.
 */
bool waiting_add(struct waiting *w, const struct httpd_request *req, struct consume *c);

/* The pool has answered for this cap: try those again who wait for it. */
void waiting_retry(struct waiting *w, const char *cap);

/* What is waited for; all 0 if nobody waits. */
struct waiting_wish {
    int64_t units; /* by all together */
    int64_t least; /* by the one who needs least */
};
struct waiting_wish waiting_wish(struct waiting *w, const char *cap);
