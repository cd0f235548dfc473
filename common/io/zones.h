#pragma once

/*
 * zones: the time zones that the database knows, by their exact names.
 *
 * The list is read on first use and kept; a name that is not in it makes it
 * be read again, at most once a minute, so that a new release of the zones is
 * found and unknown names cost nothing.  Any number of threads may ask.
 */

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/io/db.h"

struct zones;

/* `db` must outlive it. */
MUST_CHECK bool zones_new(struct db *db, struct zones **ret, struct err *e);
struct zones *zones_free(struct zones *z);
CLEANUP_DEFINE(zones, struct zones, zones_free)
#define auto_zones CLEANUP(zones)

/* ERR_INVALID at `pointer` if there is no such zone. */
MUST_CHECK bool zones_require(struct zones *z, const char *name, const char *pointer,
                              struct err *e);
