#pragma once

/*
 * migrate: brings a database up to the files of a folder.
 *
 * Each file is one transaction, which takes an advisory lock first: any number
 * of these may run at once.  A database that the folder does not explain (a
 * file that was applied is gone or has changed, or a new file comes before one
 * that was applied) is refused and left as it is.
 */

#include <stdint.h>

#include "common/base/err.h"
#include "services/migrate/config.h"

/* Waits for the database, at most config->wait_ms. */
MUST_CHECK bool migrate_run(const struct migrate_config *config, int64_t *ret_applied,
                            struct err *e);
