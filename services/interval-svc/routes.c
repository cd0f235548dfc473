#include "services/interval-svc/app.h"

#include "common/base/num.h"

/* clang-format off */
const struct httpd_route interval_routes[] = {
    {"GET", "/caps/{id}/intervals", "listIntervals", 200, interval_handle_list_intervals, false},
    {"PUT", "/definitions/{id}",    "putDefinition", 204, interval_handle_put_definition, true},
};
/* clang-format on */

const size_t interval_routes_count = sizeof(interval_routes) / sizeof(interval_routes[0]);

bool interval_cap_id(const struct httpd_request *http, const char **ret, struct err *e)
{
    if (!name_is_valid(http->params[0]))
        return err_set(e, ERR_INVALID, "the id must be 1 to %d characters of A-Z a-z 0-9 . _ -",
                       NAME_SIZE - 1);
    *ret = http->params[0];
    return true;
}
