#pragma once

/* pool_json: the accounts of a pool and its slices, as GET /pools and GET /pools/{cap} show them.
 */

#include "common/io/js.h"
#include "services/local-svc/store_pools.h"

/* The members of a pool, into an object that is open. */
void pool_json(struct js_writer *w, const struct pool_view *p);

struct silence_limits {
    int64_t suspect_ms, presume_ms;
};

/* A whole slice, an element of an array. */
void slice_json(struct js_writer *w, const struct slice_view *s,
                const struct silence_limits *limits);
