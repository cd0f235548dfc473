#pragma once

/*
 * store_peers: the accounts with other data centres, as rows, for pools that
 * are locked: whoever changes one of them holds its pool.  The revision of
 * what others are to be told is locked last, after that of the news.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/domain/trade.h"
#include "common/io/db.h"
#include "services/local-svc/peers.h"
#include "services/local-svc/store_rows.h"

struct store_peer {
    struct trade_peer row;
    struct trade_ask asked; /* what our last row asked for */
    int64_t told_at_ms;     /* the database's real clock */
    bool is_changed;
    bool is_to_be_told;
};

/*
 * Loads the rows of the pools that are found and have is_trading set, one for
 * each peer in the order of `peers`, all zero if it is not there yet, into
 * pool.peers.  `rows` has room for all peers of all pools.
 */
MUST_CHECK bool store_peers_load(struct db_conn *c, const struct peers *peers,
                                 struct store_pool *pools, size_t count, struct store_peer *rows,
                                 struct err *e);

/* Saves what is_changed, of the pools that have their rows loaded. */
MUST_CHECK bool store_peers_save(struct db_conn *c, const struct peers *peers,
                                 const struct store_pool *pools, size_t count, struct err *e);

/* Gives what is_to_be_told a revision and wakes who tells it.  After store_news(). */
MUST_CHECK bool store_peers_tell(struct db_conn *c, const struct peers *peers,
                                 const struct store_pool *pools, size_t count, struct err *e);

/* The channel on which those are woken who tell other data centres. */
#define STORE_ROWS_CHANNEL "local_rows"
