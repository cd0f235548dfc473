#pragma once

/*
 * leader: may this process act?  For services of which only one replica acts.
 *
 * A thread asks the coordinator beside the service (GET /leadership) five times
 * a second, and four times as often while it stands by.  An answer counts for as long as it says,
 * from before it was asked for, on the clock that counts suspension: without news, or after a
 * freeze, the service stops acting by itself.
 *
 *   if (leader_epoch(leader, &epoch))      // before each piece of work
 *       ... db_tx: leader_fence(c, role, epoch, e) && UPDATE ...
 *
 * See docs/PROTOCOL.md, "Who acts once".
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/config.h"
#include "common/base/err.h"
#include "common/base/metric.h"
#include "common/io/db.h"

struct leader;

/* What an operator sets. */
struct leader_settings {
    const char *coordinator_url; /* "http://127.0.0.1:8086"; "": none */
    int64_t alone;               /* 1: the only replica, which acts without a coordinator */
};

/* Their rows: LEADER_ROWS("INTERVAL_", struct interval_config, leader) */
/* clang-format off */
#define LEADER_ROWS(prefix, type, member)                                                          \
    CONFIG_TEXT(prefix "COORDINATOR_URL", type, member.coordinator_url,                            \
                "", "the coordinator beside this replica, http://127.0.0.1:8086; empty: none"),    \
    CONFIG_INT(prefix "ALONE", type, member.alone,                                                 \
               "0", 0, 1, "1: the only replica, which acts without a coordinator; "                \
               "without either none acts")
/* clang-format on */

struct leader_config {
    const char *role; /* the coordinator's; borrowed, as are the other texts */
    struct leader_settings settings;
    const char *prefix; /* of the service's settings, "INTERVAL_", for messages */
    struct metrics *metrics;
};

/*
 * With neither a coordinator nor `alone` it starts, and never acts: not at all
 * is better than twice.  Both are ERR_INVALID.
 */
MUST_CHECK bool leader_start(const struct leader_config *config, struct leader **ret,
                             struct err *e);

/*
 * From now on this process does not act, nor ask.  Its coordinator, if it goes on, hands over when
 * it finds its service silent (COORDINATOR_SERVICE_SILENT_MS, 2 s).  `l` may be NULL.
 */
void leader_resign(struct leader *l);
struct leader *leader_stop(struct leader *l);
CLEANUP_DEFINE(leader, struct leader, leader_stop)
#define auto_leader CLEANUP(leader)

/* The epoch of a process that is alone. */
#define LEADER_ALONE INT64_C(0)

/* True while this process may act; then its epoch, for leader_fence().  From any thread. */
bool leader_epoch(struct leader *l, int64_t *ret_epoch);

const char *leader_role(const struct leader *l);

/* False if it will never act, as nobody said how. */
bool leader_is_configured(const struct leader *l);

/* Appends a line "leadership: ..." for /readyz?verbose. */
void leader_describe(struct leader *l, struct buf *out);

/*
 * In a transaction, before it writes: true if the epoch is the role's still, and
 * it stays so until the transaction ends.  ERR_PRECONDITION: another one has begun.
 */
MUST_CHECK bool leader_fence(struct db_conn *c, const char *role, int64_t epoch, struct err *e);
