#pragma once

/*
 * clf: lines of a web server's access log in Common or Combined Log Format.
 *
 *   192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET /a/b?c HTTP/1.1" 200 ...
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/num.h"

struct clf_request {
    int64_t at_s; /* seconds since 1970 */
    char client[NAME_SIZE];
    char key[NAME_SIZE]; /* of the path, see clf_key */
};

/* False: not such a line, or its request has no path. */
bool clf_parse(const char *line, struct clf_request *ret);

/*
 * A cap's id for a path (which is `len` bytes long, without a query): '_' for
 * each '/', without the first one.  Where that cannot be undone, other
 * characters become '-' and a hash of the path is added: different paths stay
 * different caps.
 */
void clf_key(const char *path, size_t len, char ret[NAME_SIZE]);
