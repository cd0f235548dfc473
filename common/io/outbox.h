#pragma once

/*
 * outbox: pushes between services that survive a crash.
 *
 * A change and the message about it are written in one transaction
 * (outbox_put); a relay thread delivers the messages by HTTP, at least once,
 * and the receiver applies them idempotently by version.  A message that the
 * receiver refuses for good (4xx) is parked, logged and counted; one that
 * cannot be delivered is tried again with backoff and does not hold up others.
 * Any number of replicas may relay one outbox: each leases rows before sending,
 * and no lock is held while sending.  Where only one is to act, the lease is
 * fenced, and who begins takes what the one before had leased.  What became of messages is written
 * down all the same by whoever sent them: it is so, whoever is primary now.
 *
 * Table <schema>.outbox: see migrations/.
 */

#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/metric.h"
#include "common/io/db.h"
#include "common/io/leader.h"
#include "common/io/replicas.h"

/*
 * Adds PUT `path` with `body` (JSON).  A waiting message of the same path is
 * replaced: only the newest state matters.
 */
MUST_CHECK bool outbox_put(struct db_conn *c, const char *schema, const char *path,
                           const char *body, struct err *e);

struct outbox_relay;

struct outbox_config {
    struct db *db;
    const char *schema;      /* of the table, "meta" */
    struct replicas *target; /* of the receiver; borrowed */
    struct metrics *metrics;
    struct leader *leader; /* only its epoch may take messages; NULL: every relay may */
};

MUST_CHECK bool outbox_relay_start(const struct outbox_config *config, struct outbox_relay **ret,
                                   struct err *e);
void outbox_relay_wake(struct outbox_relay *r); /* after a commit that put something */
struct outbox_relay *outbox_relay_stop(struct outbox_relay *r);
CLEANUP_DEFINE(outbox_relay, struct outbox_relay, outbox_relay_stop)
#define auto_outbox_relay CLEANUP(outbox_relay)
