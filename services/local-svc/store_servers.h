#pragma once

/* store_servers: who may speak for a ledger, and when each was last heard. */

#include <stdint.h>

#include "common/base/err.h"
#include "common/io/db.h"
#include "services/local-svc/topup.h"

/*
 * Locks the rows of all who ask (making those that are missing), and decides
 * in the order of the requests who is an impostor.  Before anything else is
 * locked.
 */
MUST_CHECK bool store_servers_admit(struct db_conn *c, struct topup_request *const *requests,
                                    size_t count, struct err *e);

/* Notes that those who were not refused spoke. */
MUST_CHECK bool store_servers_spoke(struct db_conn *c, struct topup_request *const *requests,
                                    size_t count, struct err *e);

/* How many have spoken within so many ms; at least 1. */
MUST_CHECK bool store_servers_active(struct db *db, int64_t within_ms, int64_t *ret, struct err *e);
