#include "services/volumecap-server/app.h"

/* clang-format off */
const struct httpd_route server_routes[] = {
    {"POST", "/consume",   "consume", 200, server_handle_consume, true},
    {"POST", "/refund",    "refund",  200, server_handle_refund,  true},
    {"GET",  "/caps/{id}", "getCap",  200, server_handle_get_cap, false},
};
/* clang-format on */

const size_t server_routes_count = sizeof(server_routes) / sizeof(server_routes[0]);
