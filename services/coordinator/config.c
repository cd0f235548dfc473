#include "services/coordinator/config.h"

/* clang-format off */
static const struct config_row rows[] = {
    HTTPD_ROWS("COORDINATOR_", struct coordinator_config, http, "8086", "2", "100"),
    CONFIG_LOG_LEVEL("COORDINATOR_LOG_LEVEL", struct coordinator_config, log_level),
    CONFIG_SECRET("COORDINATOR_DB", struct coordinator_config, db,
                  NULL, "libpq conninfo of the data centre's database; directly, not through a pooler"),
    CONFIG_NAME("COORDINATOR_ROLE", struct coordinator_config, role,
                NULL, "what there is one primary of, \"interval-svc\""),
    CONFIG_HOST_NAME("COORDINATOR_NAME", struct coordinator_config, name, "this replica's name"),
    CONFIG_INT("COORDINATOR_REST_MS", struct coordinator_config, rest_ms,
               "3000", 0, 600000, "after stepping down others go first for so long, unless one has won, ms"),
    CONFIG_INT("COORDINATOR_SERVICE_SILENT_MS", struct coordinator_config, service_silent_ms,
               "2000", 0, 600000, "not asked by its service for so long it gives up, and does not compete, ms; 0: never"),
    CONFIG_INT("COORDINATOR_STANDBY_MISSING_MS", struct coordinator_config, standby_missing_ms,
               "10000", 1000, 86400000, "without a standby for so long the primary complains, ms"),
    CONFIG_TEXT("COORDINATOR_START_STANDBY", struct coordinator_config, start_standby,
                "", "shell command that starts a standby then, and returns within 30 s; empty: none"),
};
/* clang-format on */

const struct config_table coordinator_config_table = {
    .program = "coordinator",
    .what = "Decides which replica of a service acts, by a lock in the database; one beside each.",
    .prefix = "COORDINATOR_",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};
