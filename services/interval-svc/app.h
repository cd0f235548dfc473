#pragma once

/* app: what the handlers of interval-svc share; made by main(), and only read afterwards. */

#include "common/io/db.h"
#include "common/io/httpd.h"
#include "common/io/leader.h"
#include "common/io/replicas.h"
#include "common/io/zones.h"
#include "services/interval-svc/worker.h"

struct interval_app {
    struct db *db;
    struct zones *zones;
    struct leader *leader;
    struct interval_worker *worker;
    struct replicas *locals;
    struct metric *definitions; /* volumecap_definitions_applied_total{outcome} */
};

extern const struct httpd_route interval_routes[];
extern const size_t interval_routes_count;

httpd_handler interval_handle_put_definition;
httpd_handler interval_handle_list_intervals;
