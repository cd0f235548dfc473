#pragma once

/*
 * committer: group commit.  Handlers put topups in a bounded queue; one thread
 * takes all that is waiting and commits it in one transaction.  While that
 * runs the next batch gathers, so the busier it is, the more each transaction
 * carries.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/io/db.h"
#include "services/local-svc/local_metrics.h"
#include "services/local-svc/topup.h"

/* A request in the queue; embedded in what its owner keeps about it. */
struct committer_job {
    struct topup_request request;
    struct committer_job *next; /* the queue's */
};

/* Answered (`e` NULL) or not; exactly once a job, on the committer's thread. */
typedef void committer_done(struct committer_job *job, const struct err *e);

struct committer_config {
    struct db *db;
    int64_t queue_items_max;
    struct witness *witness;
    const struct peers *peers;
    const atomic_int_least64_t *active_servers;
    const struct local_metrics *metrics;
    committer_done *done;
};

struct committer;

MUST_CHECK bool committer_start(const struct committer_config *config, struct committer **ret,
                                struct err *e);

/* On success `done` will be called.  Full or stopping: ERR_UNAVAILABLE. */
MUST_CHECK bool committer_put(struct committer *c, struct committer_job *job, struct err *e);

/*
 * Finishes what is in the queue and takes nothing more.  Once the database was
 * away, what is left is refused: to wait for it again would take too long.
 */
void committer_drain(struct committer *c);

struct committer *committer_stop(struct committer *c);
CLEANUP_DEFINE(committer, struct committer, committer_stop)
#define auto_committer CLEANUP(committer)
