#pragma once

/* message: what local-svc is told of a window, PUT /intervals/{cap}/{starts_at}. */

#include "common/io/db.h"
#include "services/interval-svc/store.h"

/* Writes it to the outbox. */
MUST_CHECK bool interval_message_put(struct db_conn *c, const struct interval_definition *d,
                                     const struct interval *w, struct err *e);
