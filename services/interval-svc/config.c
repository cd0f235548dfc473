#include "services/interval-svc/config.h"

#include "common/io/replicas.h"

/* clang-format off */
static const struct config_row rows[] = {
    HTTPD_ROWS("INTERVAL_", struct interval_config, http, "8082", "2", "1000"),
    CONFIG_LOG_LEVEL("INTERVAL_LOG_LEVEL", struct interval_config, log_level),
    DB_POOL_ROWS("INTERVAL_", struct interval_config, db, 1),
    CONFIG_TEXT("INTERVAL_LOCAL_URL", struct interval_config, local_url,
                "http://127.0.0.1:8083", "where local-svc is" REPLICAS_HELP),
    LEADER_ROWS("INTERVAL_", struct interval_config, leader),
    CONFIG_INT("INTERVAL_RETENTION_MS", struct interval_config, retention_ms,
               "604800000", 0, 31622400000, "calendar time that windows are kept after their end, ms"),
};
/* clang-format on */

const struct config_table interval_config_table = {
    .program = "interval-svc",
    .what = "Cuts the windows of caps, current and next, and tells local-svc of each.",
    .prefix = "INTERVAL_",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};
