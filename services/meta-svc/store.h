#pragma once

/* store: the definitions in PostgreSQL, and the message to interval-svc with each change. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/domain/cap.h"
#include "common/io/db.h"
#include "services/meta-svc/condition.h"

struct meta_cap {
    struct cap cap;
    struct cap_origin origin;
    int64_t version; /* 0: there has never been such a cap */
    bool deleted;
    int64_t created_at_ms;
    int64_t revision; /* 0: its home is elsewhere */
    bool lost_here;   /* the id was defined here, too, and this home has the lower name */
};

/* This data centre. */
struct meta_home {
    struct db *db;
    const char *dc;
};

/* The version that clients see: none of a tombstone. */
static inline int64_t meta_cap_visible_version(const struct meta_cap *m)
{
    return m->deleted ? 0 : m->version;
}

/* ERR_CONFLICT if the definitions of this database were made by another data centre. */
MUST_CHECK bool meta_store_check_dc(const struct meta_home *here, struct err *e);

/* AWAY: only the cap's home, ret->origin.home, may change it. */
enum meta_put_outcome { META_PUT_CREATED, META_PUT_CHANGED, META_PUT_SAME, META_PUT_AWAY };

/*
 * Makes `cap` the definition of its id.  The same definition again changes
 * nothing.  ERR_PRECONDITION if the condition does not hold,
 * ERR_PRECONDITION_REQUIRED for a change without If-Match.
 */
MUST_CHECK bool meta_store_put(const struct meta_home *here, const struct cap *cap,
                               const struct condition *cond, struct meta_cap *ret,
                               enum meta_put_outcome *ret_outcome, struct err *e);

/* ERR_NOT_FOUND, ERR_PRECONDITION.  *ret_away: "", or the home that alone may delete it. */
MUST_CHECK bool meta_store_delete(const struct meta_home *here, const char *id,
                                  const struct condition *cond, char ret_away[NAME_SIZE],
                                  struct err *e);

/* ERR_NOT_FOUND. */
MUST_CHECK bool meta_store_get(const struct meta_home *here, const char *id, struct meta_cap *ret,
                               struct err *e);

#define META_LIST_MAX 1000

/* Up to `limit` caps in the order of their ids, after `after` ("" for the first ones). */
MUST_CHECK bool meta_store_list(const struct meta_home *here, const char *after, int64_t limit,
                                struct meta_cap *ret, size_t *ret_count, struct err *e);
