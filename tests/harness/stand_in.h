#pragma once

/*
 * stand_in: an HTTP server in the test's own process, in place of a service
 * that another one calls.  What it answers is the test's routes to say, with
 * `arg`.  Everything aborts with a message when it fails, as in proc.h.
 */

#include <stddef.h>

#include "common/base/metric.h"
#include "common/io/httpd.h"

struct stand_in {
    struct metrics *metrics;
    struct httpd *httpd;
    char url[64]; /* "http://127.0.0.1:40123" */
};

/* On a free port. */
void stand_in_start(struct stand_in *s, const struct httpd_route *routes, size_t count, void *arg);
void stand_in_stop(struct stand_in *s);
