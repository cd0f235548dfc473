#pragma once

/*
 * httpd_target: the target of a request taken apart: path and query
 * parameters, decoded in place.  The filter has refused bad escapes before.
 */

#include <stddef.h>

#include "common/base/err.h"

#define HTTPD_QUERY_MAX 16

struct httpd_query_pair {
    const char *name;
    const char *value; /* "" if it came without '=' */
};

/* Borrows from the text it was parsed from. */
struct httpd_target {
    const char *path;
    struct httpd_query_pair query[HTTPD_QUERY_MAX];
    size_t query_count;
};

/* ERR_INVALID if a query parameter comes twice or there are too many; the path is set anyway. */
MUST_CHECK bool httpd_target_parse(char *text, struct httpd_target *ret, struct err *e);

/* The value, or NULL. */
const char *httpd_target_query(const struct httpd_target *t, const char *name);
