#include "services/meta-svc/app.h"

#include "common/base/num.h"

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

bool meta_cap_id(const struct httpd_request *http, const char **ret, struct err *e)
{
    if (!name_is_valid(http->params[0]))
        return err_set(e, ERR_INVALID, "the id must be 1 to %d characters of A-Z a-z 0-9 . _ -",
                       NAME_SIZE - 1);
    *ret = http->params[0];
    return true;
}
