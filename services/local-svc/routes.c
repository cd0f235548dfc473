#include "services/local-svc/app.h"

/* clang-format off */
const struct httpd_route local_routes[] = {
    {"PUT",  "/intervals/{cap}/{starts_at}", "putInterval", 204, handle_put_interval, true},
    {"POST", "/topup",                       "topup",       200, handle_topup,        true},
    {"POST", "/return",                      "return",      200, handle_return,       true},
    {"GET",  "/watch",                       "watch",       200, handle_watch,        false},
    {"GET",  "/pools",                       "listPools",   200, handle_get_pools,    false},
    {"GET",  "/pools/{cap}",                 "getPool",     200, handle_get_pool,     false},
    {"POST", "/rows",                        "postRows",    200, handle_post_rows,    true},
    {"GET",  "/rows",                        "listRows",    200, handle_get_rows,     false},
    {"GET",  "/audit",                       "audit",       200, handle_audit,        false},
    {"GET",  "/learning",                    "getLearning", 200, handle_get_learning, false},
    {"POST", "/learning/end",                "endLearning", 200, handle_end_learning, true},
};
/* clang-format on */

const size_t local_routes_count = sizeof(local_routes) / sizeof(local_routes[0]);

const char *const local_no_query[] = {NULL};
