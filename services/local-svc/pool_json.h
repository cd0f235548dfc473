#pragma once

/* pool_json: the accounts of a pool and its slices, as GET /pools and GET /pools/{cap} show them.
 */

#include "common/io/js.h"
#include "services/local-svc/store_pools.h"

/* The members of a pool, into an object that is open.  `self`: this data centre's name. */
void pool_json(struct js_writer *w, const struct pool_view *p, const char *self);

/* The accounts of a pool with other data centres, a member of it; *at, the first that is not yet
 * written, moves behind them. */
void peers_json(struct js_writer *w, const struct pool_views *v, const struct window_key *key,
                size_t *at);

struct silence_limits {
    int64_t suspect_ms, presume_ms;
};

/* A whole slice, an element of an array. */
void slice_json(struct js_writer *w, const struct slice_view *s,
                const struct silence_limits *limits);
