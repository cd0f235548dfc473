#pragma once

/*
 * store_rows: rows of meta.cap as structs, and how one is saved; shared by the
 * store's files.
 *
 * An id has one row for each home that ever defined it; the one with the
 * lowest home is the cap.
 */

#include "common/io/db.h"
#include "services/meta-svc/store.h"

#define META_COLUMNS                                                                               \
    "c.id, c.version, c.deleted, calendar.to_ms(c.starts_at), calendar.to_ms(c.ends_at),"          \
    " c.interval, c.total, coalesce(c.initial_total, -1), c.time_zone, c.topup_ppm,"               \
    " c.slice_max_ppm, c.autonomy_ms, c.paused, calendar.to_ms(c.created_at),"                     \
    " calendar.to_ms(c.updated_at), c.home, coalesce(calendar.to_ms(c.grid_since), -1),"           \
    " c.revision"

#define META_IS_THE_CAP                                                                            \
    "NOT EXISTS (SELECT FROM meta.cap AS o WHERE o.id = c.id AND o.home < c.home)"

/* The definition in the columns from `first` on; `lost_here` is not among them. */
struct meta_cap meta_row(const struct db_rows *rows, int row, int first);

/* The cap, or version 0; the caller has locked its id. */
MUST_CHECK bool meta_rows_cap(struct db_conn *c, const char *id, struct meta_cap *ret,
                              struct err *e);

/*
 * ERR_CONFLICT if what was defined here has another home than `dc`: the data
 * centre was given another name.  Nobody could change those caps any more, and
 * nobody would mint for them.
 */
MUST_CHECK bool meta_rows_check_dc(struct db_conn *c, const char *dc, struct err *e);

MUST_CHECK bool meta_rows_now(struct db_conn *c, int64_t *ret_now_ms, struct err *e);

/*
 * Keeps every rival out until the transaction ends.  A row that is not there
 * yet cannot be locked: advisory locks make two who create the same cap take
 * turns.
 */
MUST_CHECK bool meta_rows_lock(struct db_conn *c, const char *const *ids, size_t count,
                               struct err *e);

enum meta_told { META_SILENT, META_TOLD };

/*
 * Saves a definition.  One whose home is here gets the next revision, which
 * locks the counter: no id may be locked after that.  META_TOLD: interval-svc
 * hears of it.  Its message has a version of its own, the sum over all
 * definitions of the id: that grows also when a winner takes the place of a
 * loser with a higher version.
 */
MUST_CHECK bool meta_rows_save(struct db_conn *c, const char *here, const struct meta_cap *m,
                               enum meta_told told, struct err *e);

#define META_CHANNEL "meta_definitions"
