#include "services/meta-svc/config.h"

#include "common/io/replicas.h"

/* clang-format off */
static const struct config_row rows[] = {
    HTTPD_ROWS("META_", struct meta_config, http, "8081", "2", "1000"),
    CONFIG_LOG_LEVEL("META_LOG_LEVEL", struct meta_config, log_level),
    DB_POOL_ROWS("META_", struct meta_config, db, 1),
    CONFIG_TEXT("META_INTERVAL_URL", struct meta_config, interval_url,
                "http://127.0.0.1:8082", "where interval-svc is" REPLICAS_HELP),
    CONFIG_NAME("META_DC", struct meta_config, dc,
                "local", "name of this data centre: the home of what is defined here"),
    CONFIG_INT("META_WATCHERS_MAX", struct meta_config, watchers_max,
               "16", 1, 1000, "suspended GET /definitions calls, then 503"),
};
/* clang-format on */

const struct config_table meta_config_table = {
    .program = "meta-svc",
    .what = "Keeps the definitions of caps and tells interval-svc of each change.",
    .prefix = "META_",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};
