#pragma once

/*
 * trading: what a change of a pool means for the other data centres.  Pure:
 * the pool and its rows are loaded, and are saved and told by the caller.
 */

#include <stdint.h>

#include "services/local-svc/peers.h"
#include "services/local-svc/store_peers.h"
#include "services/local-svc/store_rows.h"

/* At home: of so many units that were just minted, each other data centre gets its share. */
void trading_share(struct store_pool *p, const struct peers *peers, int64_t minted);

/* Away: the window is new here.  Its home hears so, and says again what it sent before. */
void trading_begin(struct store_pool *p, const struct peers *peers);

/* Is the window's home the one with this index? */
bool trading_is_home(const struct store_pool *p, const struct peers *peers, size_t peer);

/* At home: the total was lowered, and all hear so. */
void trading_tell_all(struct store_pool *p, const struct peers *peers);

/* Away: what is free above the own share goes to the home. */
void trading_send_home(struct store_pool *p, const struct peers *peers);

/* Those who were left short get what came free since. */
void trading_give(struct store_pool *p, const struct peers *peers);

/*
 * What to ask the others for now.  Those who must hear of it soon are to be
 * told; the one with the index `answered` is told anyway (-1: none).
 */
void trading_plan(struct store_pool *p, const struct peers *peers, int answered);

/*
 * In doubt: have all others said what they ever got of it?  Those who have not are
 * told that this data centre begins anew, now and then.
 */
bool trading_is_answered(struct store_pool *p, const struct peers *peers);
#define LEARN_ASK_EVERY_MS 1000

/* For decisions on this pool.  One that is closing is over, whatever the clock says. */
struct trade_context trading_context(const struct store_pool *p);
