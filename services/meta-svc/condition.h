#pragma once

/*
 * condition: If-Match and If-None-Match of RFC 9110, for things whose ETag is
 * their version in quotes.  Pure.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

/* The headers' values, borrowed; NULL: not given. */
struct condition {
    const char *if_match;
    const char *if_none_match;
};

/* ERR_INVALID unless each is "*" or a list of entity tags. */
MUST_CHECK bool condition_is_wellformed(const struct condition *c, struct err *e);

/* `version` 0: there is no such thing now.  Only for well-formed headers. */
bool condition_match_holds(const struct condition *c, int64_t version);      /* If-Match */
bool condition_none_match_holds(const struct condition *c, int64_t version); /* If-None-Match */
