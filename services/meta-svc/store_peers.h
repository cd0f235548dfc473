#pragma once

/* store_peers: definitions between data centres: ours for the others, and theirs. */

#include <stddef.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "services/meta-svc/store.h"

#define META_BATCH_MAX 200

/* Definitions whose home is here. */
struct meta_news {
    int64_t revision; /* everything up to here is known after these */
    bool more;        /* there is still newer news */
    size_t count;
    struct meta_cap list[META_BATCH_MAX]; /* by revision */
};

static inline struct meta_news *meta_news_free(struct meta_news *n)
{
    free(n);
    return NULL;
}
CLEANUP_DEFINE(meta_news, struct meta_news, meta_news_free)
#define auto_meta_news CLEANUP(meta_news)

/* The oldest definitions of ours after revision `since`, `limit` at most, tombstones included. */
MUST_CHECK bool meta_store_news(const struct meta_home *here, int64_t since, int64_t limit,
                                struct meta_news **ret, struct err *e);

/*
 * The highest version of a definition that is taken from a peer.  Nobody
 * changes a cap that often; and what interval-svc is told is a sum of versions,
 * which must stay a number that it takes.
 */
#define META_VERSION_MAX (INT64_C(1) << 40)

/*
 * All definitions of a peer with revisions in (from, to], but for those that
 * could not be read; of one id, only the newest.
 */
struct meta_batch {
    const char *dc;
    int64_t from_revision, to_revision;
    size_t count;
    struct meta_cap *list; /* by revision */
};

struct meta_applied {
    int64_t revision; /* all of that peer's definitions up to here have been heard */
    size_t changed;   /* definitions that were news */
};

/*
 * Applies a batch as a whole, unless there is a gap before it: then nothing
 * changes.  A definition that is here already, or a newer one, is passed over.
 * If an id was defined here, too, and this is the lower home, ours begins a
 * new grid: its windows must not be taken for those that the other one had.
 */
MUST_CHECK bool meta_store_apply(const struct meta_home *here, const struct meta_batch *batch,
                                 struct meta_applied *ret, struct err *e);

/* How much of a peer's definitions was heard: revision 0 if nothing was ever heard of it. */
MUST_CHECK bool meta_store_applied(const struct meta_home *here, const char *dc, int64_t *ret,
                                   struct err *e);
