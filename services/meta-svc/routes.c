#include "services/meta-svc/app.h"

/* clang-format off */
const struct httpd_route meta_routes[] = {
    {"GET",    "/caps",      "listCaps",  200, meta_handle_list_caps,  false},
    {"GET",    "/caps/{id}", "getCap",    200, meta_handle_get_cap,    false},
    {"PUT",    "/caps/{id}", "putCap",    200, meta_handle_put_cap,    true},
    {"DELETE", "/caps/{id}", "deleteCap", 204, meta_handle_delete_cap, false},
    {"GET",    "/definitions", "listDefinitions", 200, meta_handle_list_definitions, false},
    {"GET",    "/peers/{dc}/definitions", "getPeerDefinitions", 200, meta_handle_get_peer, false},
    {"PUT",    "/peers/{dc}/definitions", "putPeerDefinitions", 200, meta_handle_put_peer, true},
};
/* clang-format on */

const size_t meta_routes_count = sizeof(meta_routes) / sizeof(meta_routes[0]);
