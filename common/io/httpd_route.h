#pragma once

/*
 * httpd_route: which row of the route table answers a method and a path.
 * Pure.  The first row that fits wins, so a literal goes before a template.
 */

#include <stddef.h>

#include "common/io/httpd.h"

/* A route with this method answers every method. */
#define HTTPD_ANY "ANY"

#define HTTPD_ALLOW_SIZE 64

enum httpd_route_outcome { HTTPD_ROUTE_FOUND, HTTPD_ROUTE_NO_PATH, HTTPD_ROUTE_NO_METHOD };

struct httpd_route_match {
    enum httpd_route_outcome outcome;
    size_t index;                                    /* HTTPD_ROUTE_FOUND: the row */
    char params[HTTPD_PARAMS_MAX][HTTPD_PARAM_SIZE]; /* likewise */
    char allow[HTTPD_ALLOW_SIZE];                    /* HTTPD_ROUTE_NO_METHOD: "GET, PUT" */
};

void httpd_route_find(const struct httpd_route *routes, size_t count, const char *method,
                      const char *path, struct httpd_route_match *ret);
