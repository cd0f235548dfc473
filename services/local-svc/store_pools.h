#pragma once

/* store_pools: the accounts, for people and for other services to read. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/prng.h"
#include "common/domain/trade.h"
#include "common/domain/window_key.h"
#include "common/io/db.h"

#define POOLS_LIMIT_MAX 1000  /* of a page of the list */
#define POOL_WINDOWS_MAX 100  /* of one cap: the newest */
#define POOL_SLICES_MAX 10000 /* of one cap */
#define POOL_PEERS_MAX (POOL_WINDOWS_MAX * (TRADE_PEERS_MAX + 1))

struct pool_view {
    struct window_key key;
    int64_t ends_at_ms;
    int state; /* enum interval_state */
    int64_t version;
    char home[NAME_SIZE]; /* "": here */
    struct pool pool;
};

struct slice_view {
    int64_t starts_at_ms; /* whose slice it is */
    char server[NAME_SIZE];
    char incarnation[UUID_SIZE];
    struct pool_slice slice;
    int64_t seen_ms_ago;
};

/* The account with one other data centre. */
struct peer_view {
    struct window_key key; /* of the pool that it belongs to */
    char peer[NAME_SIZE];
    struct trade_peer row;
};

struct pool_views {
    bool more; /* something is left out at the end */
    size_t pools_count;
    struct pool_view *pools;
    size_t slices_count;
    struct slice_view *slices; /* in the order of the pools */
    size_t peers_count;
    struct peer_view *peers; /* in the order of the pools */
};

void pool_views_done(struct pool_views *v);
#define auto_pool_views __attribute__((cleanup(pool_views_done)))

struct pools_query {
    struct window_key after; /* "": from the first */
    int64_t limit;
    bool peers; /* the accounts with other data centres, too, in the same snapshot */
};

/* Pools after a key, by key; without slices. */
MUST_CHECK bool store_pools_list(struct db *db, const struct pools_query *q, struct pool_views *ret,
                                 struct err *e);

/* The pools of one cap, newest window first, with their slices and peers, in one snapshot.
 * ERR_NOT_FOUND: none. */
MUST_CHECK bool store_pools_of(struct db *db, const char *cap, struct pool_views *ret,
                               struct err *e);
