#include "services/remote-svc/app.h"

/* clang-format off */
const struct httpd_route remote_routes[] = {
    {"GET", "/peers", "listPeers", 200, remote_handle_get_peers, false},
};
/* clang-format on */

const size_t remote_routes_count = sizeof(remote_routes) / sizeof(remote_routes[0]);
