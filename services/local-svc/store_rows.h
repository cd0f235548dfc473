#pragma once

/*
 * store_rows: pools and slices as rows, many at once: lock, load, save, and
 * tell the watchers.
 *
 * The order of locks in every transaction: servers by (name, incarnation),
 * pools by (cap, starts_at), the revision.  Slices need none of their own:
 * whoever changes one holds its pool.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/domain/interval.h"
#include "common/domain/pool.h"
#include "common/domain/window_key.h"
#include "common/io/db.h"

struct store_peer;

struct store_pool {
    struct window_key key;
    bool is_found;
    struct pool pool;
    int state;                        /* enum interval_state */
    int64_t starts_in_ms, ends_in_ms; /* real time; negative if it is past */
    int64_t now_ms;                   /* the database's real clock */
    int64_t changes;                  /* how often it was saved */
    char home[NAME_SIZE];             /* "": here */
    int64_t incarnation;              /* of this data centre */
    bool has_heard;                   /* all servers have told what they hold in it */
    bool is_changed;
    enum pool_news news;
    bool is_trading;          /* its rows for other data centres are needed */
    struct store_peer *peers; /* those rows, if they were loaded; see store_peers.h */
};

struct store_slice {
    struct window_key key;
    char server[NAME_SIZE];
    char incarnation[37];
    size_t pool; /* its index among the pools of the same work */
    struct pool_slice slice;
    bool is_changed;
};

/*
 * How rows are found by the keys of an unnest() called k, in its order.  A
 * plan is made once a connection, when a table may still be small, and reading
 * all of it must never be that plan: so the keys come first (LATERAL), and an
 * update goes to the place (ctid) that was found, which cannot change, since
 * the row is locked.  store_by_key() is the first statement wherever these are
 * used: it takes the other ways to a row from the planner.
 */
#define STORE_IS_KEY "cap = k.cap AND starts_at = calendar.from_ms(k.starts_at_ms)"
#define STORE_POOL_PLACE                                                                           \
    " CROSS JOIN LATERAL (SELECT ctid AS place FROM local.pool WHERE " STORE_IS_KEY                \
    "                     OFFSET 0) found"                                                         \
    " WHERE p.ctid = found.place"
MUST_CHECK bool store_by_key(struct db_conn *c, struct err *e);

/*
 * Locks and loads the pools whose keys are set; they must be sorted and
 * distinct.  All else is overwritten; what is not there has is_found false.
 */
MUST_CHECK bool store_pools_lock(struct db_conn *c, struct store_pool *pools, size_t count,
                                 struct err *e);

/* Loads the slices whose keys are set; one that is not there is all zero.  Pools locked. */
MUST_CHECK bool store_slices_load(struct db_conn *c, struct store_slice *slices, size_t count,
                                  struct err *e);

/* Save what is_changed. */
MUST_CHECK bool store_pools_save(struct db_conn *c, const struct store_pool *pools, size_t count,
                                 struct err *e);
MUST_CHECK bool store_slices_save(struct db_conn *c, const struct store_slice *slices, size_t count,
                                  struct err *e);

/* Gives each pool with news a revision of its own and wakes the watchers.  The last thing in a
 * transaction. */
MUST_CHECK bool store_news(struct db_conn *c, const struct store_pool *pools, size_t count,
                           struct err *e);

/* Rows that contradict each other or themselves: somebody changed them by hand. */
bool store_is_damaged(const struct store_pool *p, const struct store_slice *s);

/* A recall is the stronger news. */
void store_pool_add_news(struct store_pool *p, enum pool_news news);

/* What was decided becomes the rows'; of a pool's news, a recall says most. */
void store_apply(struct store_pool *p, struct store_slice *s, const struct pool_topup *t);

/* The INTERVAL_ state of this name, which must be one. */
int store_state(const char *name);

/*
 * db_tx() with errors as callers may hear them.  All that is done here may be
 * said again, so an unknown outcome is no more than "not now"; and a
 * constraint that was run into is a fault of ours, not a conflict of theirs.
 */
MUST_CHECK bool store_tx(struct db *db, db_tx_fn *fn, void *arg, struct err *e);

/* One snapshot for all statements that follow; the first statement of a transaction. */
MUST_CHECK bool store_snapshot(struct db_conn *c, struct err *e);

/* The channel on which watchers of all replicas are woken. */
#define STORE_CHANNEL "local_watch"
