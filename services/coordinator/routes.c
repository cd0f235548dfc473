#include "services/coordinator/app.h"

/* clang-format off */
const struct httpd_route coordinator_routes[] = {
    {"GET",  "/leadership", "getLeadership", 200, coordinator_handle_get_leadership, false},
    {"GET",  "/members",    "listMembers",   200, coordinator_handle_get_members,    false},
    {"POST", "/step-down",  "stepDown",      200, coordinator_handle_step_down,      false},
};
/* clang-format on */

const size_t coordinator_routes_count = sizeof(coordinator_routes) / sizeof(coordinator_routes[0]);
