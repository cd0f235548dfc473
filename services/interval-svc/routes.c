#include "services/interval-svc/app.h"

/* clang-format off */
const struct httpd_route interval_routes[] = {
    {"GET", "/caps/{id}/intervals", "listIntervals", 200, interval_handle_list_intervals, false},
    {"PUT", "/definitions/{id}",    "putDefinition", 204, interval_handle_put_definition, true},
};
/* clang-format on */

const size_t interval_routes_count = sizeof(interval_routes) / sizeof(interval_routes[0]);
